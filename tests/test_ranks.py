"""One training by two processes, as PyTorch starts them: one run, whatever becomes of whom."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap

import pytest

from autotrack.records import Rank
from autotrack.states import State
from autotrack.store import Run, Store

from .scripts import Place, curve, end_of, values
from .server.live import Threaded

QUICK = {
    "AUTOTRACK_FLUSH_INTERVAL": "0.1",
    "AUTOTRACK_ENVIRONMENT": "0",
    "AUTOTRACK_SYSTEM_METRICS": "1",
    "AUTOTRACK_SYSTEM_METRICS_INTERVAL": "0.3",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "GLOO_SOCKET_IFNAME": "lo",
}

TRAIN = """
    import os, signal, sys, time
    import autotrack

    def steps(rank, seconds=1.0, first=0):
        for step in range(first, first + 10):
            autotrack.log({"loss": 1.0 / (step + 1), "step_seconds": float(rank + 1)}, step=step)
            time.sleep(seconds / 10)
"""

BY_TORCHRUN = (
    TRAIN
    + """
    autotrack.enable()
    import torch.distributed as dist

    dist.init_process_group("gloo")
    rank = dist.get_rank()
    with autotrack.run("train", params={"lr": 0.1}, tags={"a": "b"}) as run:
        run.log_params({"rank": rank})
        run.log_text("a text", f"text-{rank}")
        print(f"rank {rank}")
        steps(rank)
        dist.barrier()
    # neither destroys the process group
"""
)

BY_SPAWN = (
    TRAIN
    + """
    import torch.distributed as dist
    import torch.multiprocessing as mp

    def train(rank, when, address):
        autotrack.enable()
        if when == "late":
            autotrack.log({"loss": 9.0}, step=-1)
            time.sleep(0.5)
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
        if when == "without":
            steps(rank)
        elif when == "late":
            steps(rank)
        else:
            with autotrack.run("train"):
                steps(rank)
        dist.barrier()
        dist.destroy_process_group()

    if __name__ == "__main__":
        when, address, outside = sys.argv[1:]
        if outside == "inside":
            autotrack.enable()
            with autotrack.run("main"):
                mp.spawn(train, (when, address), nprocs=2)
        else:
            mp.spawn(train, (when, address), nprocs=2)
"""
)


def by_torchrun(store: Place, source: str, *arguments: object, env: dict[str, str] | None = None) -> Run:
    """The one run that is there when the script has ended well on two ranks."""
    ended = end_of(start(store, source, *arguments, env=env))
    assert ended.returncode == 0, ended.err
    return store.only_run()


def start(
    store: Place, source: str, *arguments: object, env: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    (store.folder / "train.py").write_text(textwrap.dedent(source))
    launch = f"""
        import sys
        from torch.distributed.run import main
        main(["--nproc-per-node=2", "--master-port={free_port()}", "train.py", *sys.argv[1:]])
    """
    return store.start(launch, *arguments, name="launch", env=QUICK | (env or {}))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def states(run: Run) -> dict[int, State | None]:
    return {rank.rank: rank.state for rank in run.ranks}


def assert_two_ranks(run: Run) -> None:
    """Each told what is its own, and rank 0 all else."""
    assert run.state is State.FINISHED
    assert states(run) == {0: State.FINISHED, 1: State.FINISHED}
    assert {rank.count for rank in run.ranks} == {2}
    assert curve(run, "loss") == [(step, 1 / (step + 1)) for step in range(10)]
    assert curve(run, "step_seconds") == [(step, 1.0) for step in range(10)]
    assert curve(run, "rank_1/step_seconds") == [(step, 2.0) for step in range(10)]
    assert "rank_1/loss" not in run.metrics


# --- however they are started -----------------------------------------------------------------------------


def test_torchrun(store: Place) -> None:
    process = start(store, BY_TORCHRUN)
    ended = end_of(process)
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert_two_ranks(run)
    assert (run.params, run.tags) == ({"lr": 0.1, "rank": 0}, {"a": "b"})
    assert [artifact.path for artifact in run.artifacts] == ["text-0"]
    assert [line.text for line in run.logs if line.stream == "stdout"] == ["rank 0"]
    assert {"system/cpu_percent", "rank_1/system/cpu_percent"} <= run.metrics.keys()
    [of_zero] = [line for line in ended.said if "1 finished" in line]
    [of_one] = [line for line in ended.said if "rank 1 of 2" in line]
    assert "see: autotrack runs" in of_zero
    assert "skipped 10: logged by rank 1, where rank 0's is kept (10x)" in of_one
    assert len(ended.said) == 2


def test_torchrun_where_only_rank_0_has_a_run(store: Place) -> None:
    source = (
        TRAIN
        + """
    autotrack.enable(quiet=True)
    import contextlib
    import torch.distributed as dist

    dist.init_process_group("gloo")
    rank = dist.get_rank()
    with autotrack.run("train") if rank == 0 else contextlib.nullcontext():
        for step in range(10):
            if rank == 0:
                autotrack.log({"loss": float(step)}, step=step)
            time.sleep(0.15)
        dist.barrier()
    """
    )
    run = by_torchrun(store, source)
    assert values(run, "loss") == [float(step) for step in range(10)]
    assert "rank_1/system/cpu_percent" in run.metrics
    assert states(run) == {0: State.FINISHED, 1: State.FINISHED}


@pytest.mark.parametrize("when", ["first", "late", "without"])
def test_spawn(store: Place, when: str) -> None:
    """A process group from the start; only after the first point was logged; with the script's own run."""
    address = f"file://{store.folder}/ranks" if when == "without" else f"tcp://127.0.0.1:{free_port()}"
    ended = store.run(BY_SPAWN, when, address, "outside", env=QUICK)
    assert ended.returncode == 0, ended.err
    assert not (store.folder / "ranks").exists(), "the last to leave takes it away"
    run = store.only_run()
    assert run.name == ("train" if when == "first" else "script")
    if when == "late":
        assert curve(run, "loss")[0] == (-1, 9.0)
        assert len(curve(run, "loss")) == 11
        assert len(curve(run, "rank_1/step_seconds")) == 10
    else:
        assert_two_ranks(run)


def test_a_group_after_another(store: Place) -> None:
    """The first one's port is free again: nothing of ours holds its store."""
    source = (
        TRAIN
        + """
    import torch.distributed as dist
    import torch.multiprocessing as mp

    def train(rank, address):
        autotrack.enable(quiet=True)
        for name in ("first", "second"):
            dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
            with autotrack.run(name):
                steps(rank, 0.5)
                dist.barrier()
            dist.destroy_process_group()

    if __name__ == "__main__":
        mp.spawn(train, sys.argv[1:], nprocs=2)
    """
    )
    ended = store.run(source, f"tcp://127.0.0.1:{free_port()}", env=QUICK)
    assert ended.returncode == 0, ended.err
    runs = store.runs()
    assert runs.keys() == {"first", "second"}
    for run in runs.values():
        assert_two_ranks(run)


def test_spawn_inside_a_run(store: Place) -> None:
    ended = store.run(BY_SPAWN, "without", f"tcp://127.0.0.1:{free_port()}", "inside", env=QUICK)
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert run.name == "main"
    assert_two_ranks(run)


def test_spawned_without_a_process_group(store: Place) -> None:
    """They only look as if they were to train together: what was kept back is their own."""
    source = """
        import torch.multiprocessing as mp
        import autotrack
        def work(n):
            autotrack.enable(quiet=True)
            with autotrack.run(f"work {n}"):
                autotrack.log({"n": float(n)})
        if __name__ == "__main__":
            mp.spawn(work, nprocs=2)
    """
    ended = store.run(source, env=QUICK)
    assert (ended.returncode, ended.err) == (0, "")
    runs = store.runs()
    assert {name: values(run, "n") for name, run in runs.items()} == {"work 0": [0.0], "work 1": [1.0]}
    assert not any(run.ranks for run in runs.values())


WORKERS = "fork" if sys.version_info >= (3, 12) else "spawn"
"""How a loader starts its workers once ranks have talked to each other. What gloo's threads let go of takes
the lock that CPython before 3.12 waits for in a forked child, which hangs if one of them held it meanwhile:
torch's and CPython's, seen in 3 of 2,786 forks without us.
"""

LIGHTNING = """
    import logging, sys, time, warnings
    warnings.simplefilter("ignore")
    logging.getLogger("lightning").setLevel(logging.ERROR)
    import autotrack
    autotrack.enable()
    import torch
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint
    from torch.utils.data import DataLoader, TensorDataset

    class Model(lightning.LightningModule):
        def __init__(self, width):
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(width, 1)

        def training_step(self, batch, index):
            time.sleep(0.02)
            self.log("loss", 1.0 / (self.global_step + 1))
            return self.layer(batch[0]).mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)
"""


def assert_of_two_ranks(run: Run) -> None:
    """What a fit of `LIGHTNING` over ten steps leaves."""
    assert (run.state, run.name, run.params["optimizer"]) == (State.FINISHED, "Model", "SGD")
    assert curve(run, "loss") == [(step, pytest.approx(1 / (step + 1))) for step in range(10)]
    for name in ("step_seconds", "rank_1/step_seconds"):
        assert run.points(name).step.tolist() == [*range(10)], name
        assert min(values(run, name)) >= 0.02, name
    of_one = {name for name in run.metrics if name.startswith("rank_1/") and "/system/" not in name}
    assert of_one == {"rank_1/step_seconds"}


def test_lightning(store: Place) -> None:
    """It starts the script again for rank 1, which so is inside the run of rank 0; and goes on with that."""
    source = """
    if __name__ == "__main__":
        workers = dict(num_workers=1, multiprocessing_context=sys.argv[1])
        for epochs in (1, 2):
            data = DataLoader(TensorDataset(torch.zeros(10, 2)), **workers)
            trainer = lightning.Trainer(
                accelerator="cpu", devices=2, strategy="ddp", max_epochs=epochs, logger=False,
                enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            )
            trainer.fit(Model(2), data, ckpt_path="first.ckpt" if epochs == 2 else None)
            trainer.save_checkpoint("first.ckpt")
    """
    ended = store.run(f"{LIGHTNING}\n{source}", WORKERS, env=QUICK)
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert_of_two_ranks(run)
    assert (run.params["width"], run.params["ckpt_path"]) == (2, "first.ckpt")
    assert states(run) == {0: State.FINISHED, 1: State.FINISHED}


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork"])
def test_lightning_that_starts_processes_of_its_own(store: Place, strategy: str) -> None:
    """They train, and tell of it, inside the run of the process that asked for it."""
    source = f"""
    if __name__ == "__main__":
        trainer = lightning.Trainer(
            accelerator="cpu", devices=2, strategy="{strategy}", max_epochs=2, logger=False,
            callbacks=[ModelCheckpoint("kept", "best")],
            enable_progress_bar=False, enable_model_summary=False,
        )
        trainer.fit(Model(2), DataLoader(TensorDataset(torch.zeros(10, 2)), num_workers=0))
    """
    ended = store.run(f"{LIGHTNING}\n{source}", env=QUICK)
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert_of_two_ranks(run)
    assert (run.params["width"], run.params["train_batch_size"], run.params["optimizer/lr"]) == (2, 1, 0.1)
    [kept] = [artifact.path for artifact in run.artifacts if "best" in artifact.path]
    assert f"{run.id}@".encode() in run.artifact(kept).read_bytes()  # so that a fit goes on with it


def test_a_plain_loop(store: Place) -> None:
    """Nothing in the script says what is recorded; each rank has data of its own."""
    source = """
    import autotrack
    autotrack.enable()
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel
    from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

    dist.init_process_group("gloo")
    data = TensorDataset(torch.zeros(40, 4), torch.zeros(40, 1))
    model = DistributedDataParallel(torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in DataLoader(data, batch_size=4, sampler=DistributedSampler(data)):
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    dist.destroy_process_group()
    """
    ended = end_of(start(store, source))
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert (run.state, run.params["optimizer"]) == (State.FINISHED, "SGD")
    assert states(run) == {0: State.FINISHED, 1: State.FINISHED}
    names = ("loss", "step_seconds", "rank_1/step_seconds", "rank_1/data_seconds")
    assert [len(run.points(name)) for name in names] == [5] * 4
    assert [artifact.path for artifact in run.artifacts] == ["model.txt"]
    assert any("rank 1 of 2: recorded 10 points; skipped" in line for line in ended.said), ended.err


def test_one_shorter_than_a_flush_interval(store: Place) -> None:
    """They hear of each other at its end, where no thread is left: it would abort the process."""
    source = (
        TRAIN
        + """
    import atexit, threading

    def left():  # after autotrack's
        names = [thread.name for thread in threading.enumerate()]
        open(f"left-{rank}", "w").write(" ".join(name for name in names if "ranks" in name))

    atexit.register(left)
    autotrack.enable()
    import torch.distributed as dist

    with autotrack.run("train"):  # as Lightning does: the group is made amid it
        dist.init_process_group("gloo")
        rank = dist.get_rank()
        steps(rank)
        dist.barrier()
    """
    )
    run = by_torchrun(store, source, env={"AUTOTRACK_FLUSH_INTERVAL": "60"})
    assert_two_ranks(run)
    assert [(store.folder / f"left-{rank}").read_text() for rank in (0, 1)] == ["", ""]


def test_one_by_spawn_shorter_than_a_flush_interval(store: Place) -> None:
    """The run is over when the process ends, and each rank's was one of its own."""
    source = (
        TRAIN
        + """
    import torch.distributed as dist
    import torch.multiprocessing as mp

    def train(rank, address):
        autotrack.enable()
        with autotrack.run("train"):
            dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
            steps(rank, 0.1)
            dist.barrier()

    if __name__ == "__main__":
        mp.spawn(train, sys.argv[1:], nprocs=2)
    """
    )
    env = QUICK | {"AUTOTRACK_FLUSH_INTERVAL": "60"}
    ended = store.run(source, f"tcp://127.0.0.1:{free_port()}", env=env)
    assert ended.returncode == 0, ended.err
    assert_two_ranks(store.only_run())


def test_where_rank_0_records_nothing_it_is_said(store: Place) -> None:
    source = (
        TRAIN
        + """
    import torch.distributed as dist

    dist.init_process_group("gloo")
    rank = dist.get_rank()
    if rank == 1:
        autotrack.enable()
        with autotrack.run("train"):
            steps(rank)
    dist.barrier()
    """
    )
    ended = end_of(start(store, source))
    assert ended.returncode == 0, ended.err
    assert "rank 0's run was not heard of (10x)" in ended.err


# --- how they end -----------------------------------------------------------------------------------------


DYING = (
    TRAIN
    + """
    autotrack.enable(quiet=True)
    import torch.distributed as dist
    from datetime import timedelta

    dist.init_process_group("gloo", timeout=timedelta(seconds=20))
    rank = dist.get_rank()
    with autotrack.run("train"):
        steps(rank)
        autotrack.flush()
        if rank == int(sys.argv[1]):
            if sys.argv[2] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("this rank is bad")
        if sys.argv[3] == "goes on":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, as it ends the others
            steps(rank, 2.0, first=10)
        else:
            dist.barrier()
"""
)


def ranks_of(store: Place, *arguments: str) -> tuple[Run, dict[int, Rank]]:
    process = start(store, DYING, *arguments)
    assert end_of(process).returncode != 0
    run = store.only_run()
    return run, {rank.rank: rank for rank in run.ranks}


def test_a_rank_that_is_killed(store: Place) -> None:
    """It is lost, as rank 0 goes on to its end."""
    run, ranks = ranks_of(store, "1", "kill", "goes on")
    assert (run.state, ranks[0].state, ranks[1].state) == (State.FINISHED, State.FINISHED, State.LOST)
    assert len(curve(run, "loss")) == 20
    assert values(run, "rank_1/step_seconds") == [2.0] * 10
    assert ranks[1].last_seen < ranks[0].last_seen


def test_a_rank_that_raises(store: Place) -> None:
    run, ranks = ranks_of(store, "1", "raise", "goes on")
    assert (run.state, ranks[1].state, ranks[1].error) == (
        State.FINISHED,
        State.FAILED,
        "ValueError: this rank is bad",
    )


def test_rank_0_is_killed(store: Place) -> None:
    """So is the run, whatever the others do."""
    run, ranks = ranks_of(store, "0", "kill", "waits")
    assert (run.state, ranks[0].state) == (State.LOST, State.LOST)
    assert ranks[1].state in (State.FAILED, State.KILLED)


def test_rank_0_raises(store: Place) -> None:
    run, ranks = ranks_of(store, "0", "raise", "goes on")
    assert (run.state, ranks[0].state) == (State.FAILED, State.FAILED)
    assert run.error is not None
    assert run.error.message == "this rank is bad"


def test_rank_0_is_stopped_while_another_ends(store: Place) -> None:
    """Its store answers nobody: nothing hangs, in the training or at the end."""
    source = (
        TRAIN
        + """
    import multiprocessing.util
    import torch.distributed as dist
    import torch.multiprocessing as mp

    def train(rank, address):
        autotrack.enable(quiet=True)
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
        pids = [None, None]
        dist.all_gather_object(pids, os.getpid())
        with autotrack.run("train"):
            steps(rank, 1.0)
            if rank == 0:
                dist.barrier()
                return
            os.kill(pids[0], signal.SIGSTOP)
            began = time.perf_counter()
            steps(rank, 1.0, first=10)
            autotrack.flush()

        def ended():  # after autotrack's
            with open("took", "w") as file:
                file.write(str(time.perf_counter() - began))
            os.kill(pids[0], signal.SIGKILL)

        multiprocessing.util.Finalize(None, ended, exitpriority=1)

    if __name__ == "__main__":
        mp.spawn(train, sys.argv[1:], nprocs=2)
    """
    )
    ended = store.run(source, f"tcp://127.0.0.1:{free_port()}", env=QUICK)
    assert "ProcessExitedException" in ended.err, ended.err
    assert float((store.folder / "took").read_text()) < 10.0
    run = store.only_run()
    assert (run.state, states(run)) == (State.LOST, {0: State.LOST, 1: State.FINISHED})
    assert len(curve(run, "rank_1/step_seconds")) == 20


# --- what belongs to them ---------------------------------------------------------------------------------


def test_loaders_of_the_ranks(store: Place) -> None:
    """Their workers are forked: they inherit the store's connection, and touch nothing of it."""
    source = (
        TRAIN
        + """
    autotrack.enable(quiet=True)
    import torch
    import torch.distributed as dist
    from torch.utils.data import DataLoader, Dataset

    class Data(Dataset):
        def __len__(self):
            return 10
        def __getitem__(self, index):
            autotrack.log({"fetched": float(index)}, step=index)
            time.sleep(0.05)
            return torch.zeros(2)

    dist.init_process_group("gloo")
    rank = dist.get_rank()
    with autotrack.run("train"):
        for step, batch in enumerate(DataLoader(Data(), num_workers=2)):
            autotrack.log({"loss": 1.0 / (step + 1), "step_seconds": float(rank + 1)}, step=step)
            total = torch.ones(1)
            dist.all_reduce(total)
            assert total.item() == 2
    dist.destroy_process_group()
    """
    )
    run = by_torchrun(store, source)
    assert_two_ranks(run)
    assert values(run, "fetched") == [float(n) for n in range(10)], "rank 0's alone"


def test_two_runs_one_after_the_other(store: Place) -> None:
    source = (
        TRAIN
        + """
    autotrack.enable(quiet=True)
    import torch.distributed as dist

    dist.init_process_group("gloo")
    rank = dist.get_rank()
    for name in ("first", "second"):  # each shorter than it takes to look for it
        with autotrack.run(name) as run:
            steps(rank, 0)
        if rank == 0:
            with autotrack.run("of rank 0 alone"):
                pass
    dist.barrier()
    """
    )
    process = start(store, source)
    ended = end_of(process)
    assert ended.returncode == 0, ended.err
    runs = [run for run in store.open().runs() if run.name != "of rank 0 alone"]
    assert [run.name for run in runs] == ["second", "first"]
    for run in runs:
        assert_two_ranks(run)


def test_into_a_server(store: Place) -> None:
    """Each rank sends for itself; who lives is told by the server."""
    with Threaded(f"sqlite:///{store.folder}/server.db", token=None) as server:
        process = start(store, BY_TORCHRUN, env={"AUTOTRACK_STORE": server.url, "AUTOTRACK_QUIET": "1"})
        ended = end_of(process)
        assert ended.returncode == 0, ended.err
        kept = Store(server.url)
        [run] = kept.runs()
        assert_two_ranks(run)
        assert all(rank.received is not None for rank in run.ranks)
        kept.close()


# --- as it is shown ---------------------------------------------------------------------------------------


def test_shown(store: Place) -> None:
    run, _ = ranks_of(store, "1", "kill", "waits")

    shown = json.loads(store.said("show", run.id, "--json"))
    assert [(rank["rank"], rank["state"]) for rank in shown["ranks"]] == [(0, run.state), (1, "lost")]
    assert "last heard of" in store.said("show", run.id)
    assert "rank_1" not in store.said("runs")
    assert "last heard of" in run._repr_html_()
