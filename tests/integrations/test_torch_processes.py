"""Plain PyTorch loops in processes of their own: their ends, their workers, and the order of imports."""

from __future__ import annotations

import signal

import numpy as np
import pytest

from autotrack.states import State

from ..scripts import Place, curve, end_of, wait_for

LOOP = """
    import os, signal, sys, time
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.set_num_threads(1)
    data = TensorDataset(torch.arange(40.0).reshape(10, 4), torch.ones(10, 1))

    def train(epochs=2, at_end=lambda epoch: None, **options):
        model = nn.Linear(4, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
        loader = DataLoader(data, batch_size=5, **options)
        for epoch in range(epochs):
            for x, y in loader:
                loss = nn.functional.mse_loss(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            at_end(epoch)
"""
MOST_GROWTH = 50
"""MiB in 90,000 steps that log 20 values each; kept, those rows alone would take more than 200."""
ENABLED = f"import autotrack\n    autotrack.enable()\n    {LOOP}"


@pytest.mark.parametrize("first", ["autotrack", "torch"])
def test_whichever_is_imported_first(store: Place, first: str) -> None:
    enable = "import autotrack; autotrack.enable()"
    source = f"    {enable}\n{LOOP}" if first == "autotrack" else f"{LOOP}\n    {enable}\n"
    ended = store.run(f"{source}\n    train()")
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert (run.name, run.state) == ("script", State.FINISHED)
    assert run.points("loss").step.tolist() == [0, 1, 2, 3]
    assert run.points("epoch").value.tolist() == [0, 0, 1, 1]
    assert "recorded 1 run (1 finished)" in ended.err


def test_by_name_before_the_import(store: Place) -> None:
    """Its parts are imported one after the other, some before what our hooks ask."""
    ended = store.run(f"    import autotrack; autotrack.enable(torch={{'every': 2}})\n{LOOP}\n    train()")
    assert ended.returncode == 0, ended.err
    assert "not recorded" not in ended.err
    assert store.only_run().points("loss").step.tolist() == [0, 2]


def test_an_epochs_mean_is_apart_from_the_losses_of_its_steps(store: Place) -> None:
    """Though it is logged after them: the user's name has the user's points alone."""
    source = """
    def report(epoch):
        metrics = {"loss": 7.0 + epoch}
        metrics["lr"] = 0.5
        autotrack.log(metrics, step=epoch)
    train(3, at_end=report)
    """
    ended = store.run(f"    {ENABLED}{source}")
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert curve(run, "loss") == [(0, 7.0), (1, 8.0), (2, 9.0)]
    assert curve(run, "lr") == [(0, 0.5), (1, 0.5), (2, 0.5)]
    assert run.points("step/loss").step.tolist() == [0, 1, 2, 3, 4, 5]
    assert run.points("step/lr").value.tolist() == [1e-4] * 6


def test_what_is_saved_into_a_pipe_is_not_read(store: Place) -> None:
    ended = store.run(
        f"""{LOOP}
    import io
    import autotrack; autotrack.enable()
    reading, writing = os.pipe()
    train(1, at_end=lambda epoch: torch.save({{}}, f"/dev/fd/{{writing}}"))
    os.close(writing)
    whole = b""
    while part := os.read(reading, 1 << 16):
        whole += part
    assert torch.load(io.BytesIO(whole)) == {{}}
    """
    )
    assert ended.returncode == 0, ended.err


def test_it_ends_with_its_last_step(store: Place) -> None:
    store.run(f"{LOOP}\n    import autotrack; autotrack.enable()\n    train(); time.sleep(2)")
    run = store.only_run()
    assert run.ended is not None
    assert abs(run.ended.timestamp() - run.points("loss").time[-1] / 1e9) < 1


def test_an_error_in_the_loop(store: Place) -> None:
    ended = store.run(f"{LOOP}\n    import autotrack; autotrack.enable()\n    train(at_end=lambda e: 1 / 0)")
    assert ended.returncode == 1
    run = store.only_run()
    assert run.state is State.FAILED
    assert run.error is not None
    assert run.error.type == "ZeroDivisionError"
    assert len(run.points("loss")) == 2


def test_an_error_after_the_loop(store: Place) -> None:
    ended = store.run(f"{LOOP}\n    import autotrack; autotrack.enable()\n    train()\n    1 / 0")
    assert ended.returncode == 1
    assert store.only_run().state is State.FINISHED


@pytest.mark.parametrize(
    ("number", "state"),
    [(signal.SIGINT, State.KILLED), (signal.SIGTERM, State.KILLED), (signal.SIGKILL, State.LOST)],
)
def test_a_signal_in_an_epoch(store: Place, number: signal.Signals, state: State) -> None:
    script = store.start(
        f"""{LOOP}
    import signal; signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    import autotrack; autotrack.enable(beat_interval=0.5)

    def wait(epoch):
        autotrack.flush(); print("ready", flush=True); time.sleep(60)

    train(at_end=wait)
    """
    )
    wait_for(script, "ready")
    script.send_signal(number)
    assert end_of(script).returncode == -number
    run = store.only_run()
    assert run.state is state
    assert len(run.points("loss")) == 2


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_of_a_loader(store: Place, context: str) -> None:
    """They record nothing and break nothing; with persistent ones, the iterator is always the same."""
    ended = store.run(
        f"""{LOOP}
    if __name__ == "__main__":
        import autotrack; autotrack.enable()
        train(3, num_workers=2, persistent_workers=True, multiprocessing_context="{context}")
    """
    )
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert run.points("epoch").value.tolist() == [0, 0, 1, 1, 2, 2]
    assert run.params["num_workers"] == 2
    assert len(run.points("epoch_seconds")) == 3


TALKING = f"""
    import autotrack; autotrack.enable()
    {LOOP}
    class Talking(torch.utils.data.Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            autotrack.log({{"seen": float(index)}}, index)
            autotrack.log_params({{"of": "a worker"}})
            autotrack.active_run()
            weight = nn.Parameter(torch.ones(()))  # a training of its own, say of an embedding
            weight.square().backward()
            torch.optim.SGD([weight], lr=0.1).step()
            return torch.ones(4), torch.ones(1)

    data = Talking()
    workers = {{"num_workers": 2, "multiprocessing_context": sys.argv[1]}}
    if __name__ == "__main__":
"""


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_what_a_dataset_logs_in_a_worker_begins_no_run(store: Place, context: str) -> None:
    ended = store.run(f"{TALKING}        train(1, **workers)", context)
    assert ended.returncode == 0, ended.err
    assert len(ended.said) == 1, ended.err
    run = store.only_run()
    assert len(run.points("loss")) == 2
    assert "seen" not in run.metrics
    assert "of" not in run.params


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_what_a_dataset_logs_in_a_worker_is_the_open_runs(store: Place, context: str) -> None:
    ended = store.run(f"{TALKING}        with autotrack.run('mine'): train(2, **workers)", context)
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert (run.name, run.params["of"]) == ("mine", "a worker")
    assert sorted(run.points("seen").value.tolist()) == [float(n // 2) for n in range(16)]
    assert len(run.points("loss")) == 4


def test_what_a_dataset_saves_is_no_checkpoint(store: Place) -> None:
    ended = store.run(
        f"""{LOOP}
    class Cached(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            torch.save({{"x": torch.ones(4)}}, f"sample{{index}}.pt")
            return torch.ones(4), torch.ones(1)

    data = Cached()
    import autotrack; autotrack.enable()
    train(num_workers=2)
    """
    )
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert len(run.points("loss")) == 2
    assert not [a for a in run.artifacts if a.path.startswith("checkpoints/")]


def test_a_checkpoint_that_is_renamed(store: Place) -> None:
    ended = store.run(
        f"""{LOOP}
    import autotrack; autotrack.enable()

    def save(epoch):
        os.makedirs(f"epoch{{epoch}}", exist_ok=True)
        torch.save({{"epoch": epoch}}, f"epoch{{epoch}}/model.pt")
        os.replace(f"epoch{{epoch}}/model.pt", "last.pt")

    train(at_end=save)
    """
    )
    assert ended.returncode == 0, ended.err
    kept = {a.path for a in store.only_run().artifacts if a.path.startswith("checkpoints/")}
    assert kept == {"checkpoints/epoch0/model.pt", "checkpoints/epoch1/model.pt"}


def test_a_child_that_trains_its_own(store: Place) -> None:
    ended = store.run(
        f"""{LOOP}
    import autotrack; autotrack.enable()
    train()
    if (pid := os.fork()) == 0:
        train(3)
        autotrack.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    """
    )
    assert ended.returncode == 0, ended.err
    assert sorted(len(run.points("loss")) for run in store.open().runs()) == [4, 6]


@pytest.mark.slow
def test_many_values_at_many_steps(store: Place) -> None:
    """Nothing is lost, and what waits to be written stays small."""
    ended = store.run(
        f"""{LOOP}
    import resource
    import autotrack; autotrack.enable()
    weight = nn.Parameter(torch.ones(()))
    optimizer = torch.optim.SGD([weight], lr=0.0)

    def go(steps):
        for step in steps:
            loss = weight * 1.0
            loss.backward()
            optimizer.step()
            autotrack.log({{f"value{{i}}": step + i / 32 for i in range(18)}}, step)

    def highest():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

    go(range(10_000))
    autotrack.flush()
    before = highest()
    go(range(10_000, 100_000))
    print(highest() - before)
    """
    )
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    steps = np.arange(100_000)
    expected = {"loss": 1.0 + 0.0 * steps, "lr": 0.0 * steps}
    expected |= {f"value{i}": steps + i / 32 for i in range(18)}
    for name, values in expected.items():
        points = run.points(name)
        assert np.array_equal(points.step, steps), name
        assert np.array_equal(points.value, values), name
    assert int(ended.out) < MOST_GROWTH, "MiB that the recorder has grown by"
