"""Plain PyTorch loops: no trainer, no callback."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import autotrack
from autotrack.states import State
from autotrack.store import Run

from ..scripts import values
from ..tracking import Tracking
from .torch_loops import Net, data, fit, loader, train


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def steps(run: Run, name: str) -> list[int]:
    return run.points(name).step.tolist()


# --- what is recorded ---------------------------------------------------------------------------------


def test_each_step_of_a_loop(tracking: Tracking) -> None:
    tracking.enable()
    losses = train(5)
    run = tracking.run()
    assert (run.name, run.parent) == ("Net", None)
    assert values(run, "loss") == losses
    assert steps(run, "loss") == [0, 1, 2, 3, 4]
    assert values(run, "lr") == [0.1] * 5
    assert run.params["optimizer"] == "SGD"
    assert (run.params["lr"], run.params["momentum"]) == (0.1, 0)
    assert run.params["model"].endswith("torch_loops.Net")
    assert (run.params["parameters"], run.params["trainable_parameters"]) == (19, 19)
    assert (run.params["device"], run.params["dtype"]) == ("cpu", "float32")
    assert len(values(run, "step_seconds")) == 4  # where the first began, nobody has seen


def test_the_tree_of_modules(tracking: Tracking) -> None:
    tracking.enable()
    train()
    lines = [line.split() for line in tracking.run().artifact("model.txt").read_text().splitlines()]
    assert lines == [
        ["module", "parameters"],
        ["Net", "19"],
        ["first:", "Linear", "15"],
        ["second:", "Linear", "4"],
    ]


class Grumpy:
    """Nothing of it may be touched."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"{name} was asked for")


def test_the_model_is_found_where_the_users_code_has_it(tracking: Tracking) -> None:
    """In an attribute, beside what does not like to be looked at."""

    class Trainer:
        def __init__(self) -> None:
            self.model = Net()
            self.grumpy = Grumpy()
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)

        def run(self) -> None:
            fit(self.model, self.optimizer, 1)

    grumpy = Grumpy()
    tracking.enable()
    Trainer().run()
    del grumpy
    assert tracking.run().name == "Net"


def test_epochs_batches_and_evaluations(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches, held_out = loader(10), loader(6)
    for epoch in range(3):
        model.train()
        for x, y in batches:
            loss = nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            total = sum(nn.functional.mse_loss(model(x), y, reduction="sum") for x, y in held_out)
        autotrack.log({"val_loss": total / 6}, step=epoch)
    run = tracking.run()
    assert values(run, "epoch") == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert steps(run, "epoch_seconds") == [2, 5, 8]
    assert steps(run, "eval_seconds") == [2, 5, 8]
    seconds = np.array(values(run, "epoch_seconds"))
    assert values(run, "samples_per_second") == pytest.approx((10 / seconds).tolist())
    assert len(values(run, "step_seconds")) == len(values(run, "data_seconds")) == 9
    assert sum(values(run, "step_seconds")) < sum(seconds)
    assert all(d < s for d, s in zip(values(run, "data_seconds"), values(run, "step_seconds"), strict=True))
    assert steps(run, "val_loss") == [0, 1, 2]
    assert run.params["batch_size"] == 4
    assert (run.params["dataset"], run.params["dataset_length"]) == ("TensorDataset", 10)


def test_two_loaders_in_one_epoch(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    labelled, unlabelled, held_out = loader(8), loader(8), loader(4)
    for _ in range(2):
        for (x, y), (z, _) in zip(labelled, unlabelled, strict=True):
            next(iter(held_out))
            loss = nn.functional.mse_loss(model(x), y) + model(z).square().mean()
            loss.backward()
            optimizer.step()
    run = tracking.run()
    assert values(run, "epoch") == [0, 0, 1, 1]
    assert "eval_seconds" not in run.metrics


def test_batches_of_odd_shapes() -> None:
    from autotrack.patches.torch.loaders import rows_of

    x = torch.zeros(3, 2)
    assert [rows_of(batch) for batch in (x, [x], (["a", "b"], x), {"id": ["a"], "x": {"y": x}})] == [3] * 4
    assert rows_of([(x, x, x, x), ({"boxes": x},)]) == 4  # images of several sizes
    assert [rows_of(batch) for batch in (None, [], {}, "text", object())] == [0] * 5


def test_a_scheduler(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.8)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    for _ in range(3):
        fit(model, optimizer, 1)
        scheduler.step()
    run = tracking.run()
    assert values(run, "lr") == [0.8, 0.4, 0.2]
    assert (run.params["scheduler"], run.params["scheduler.gamma"]) == ("StepLR", 0.5)
    assert run.params["lr"] == 0.8


def test_a_scheduler_that_waits_for_a_plateau(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.8)
    torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3)
    fit(model, optimizer)
    run = tracking.run()
    assert (run.params["scheduler"], run.params["scheduler.factor"]) == ("ReduceLROnPlateau", 0.3)


def test_groups_of_parameters(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    groups = [{"params": model.first.parameters()}, {"params": model.second.parameters(), "lr": 0.01}]
    fit(model, torch.optim.SGD(groups, lr=0.1, momentum=0.5), 2)
    run = tracking.run()
    assert values(run, "lr") == [0.1, 0.1]
    assert values(run, "lr/group1") == [0.01, 0.01]
    assert run.params["group1.lr"] == 0.01
    assert "group1.momentum" not in run.params
    assert run.params["parameters"] == 19


def test_the_norm_of_gradients_where_it_is_computed(tracking: Tracking) -> None:
    tracking.enable()
    model, norms = Net(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        model(data()[0]).mean().backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
    run = tracking.run()
    assert values(run, "grad_norm") == norms
    assert len(values(run, "loss")) == 3  # of a loss that is in no variable


def test_a_loss_has_the_name_of_its_variable(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        out = model(data()[0])
        mse, penalty = out.square().mean(), out.abs().mean()
        mse.backward(retain_graph=True)
        torch.autograd.backward([penalty])
        optimizer.step()
    run = tracking.run()
    assert steps(run, "mse") == steps(run, "penalty") == [0, 1]


def test_names_are_those_in_the_code(tracking: Tracking) -> None:
    """Of the variable or attribute that `backward` is called on, whatever else has the same tensor."""

    class Holder:
        pass

    tracking.enable()
    model, holder = Net(), Holder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(4):
        entropy = model(data()[0]).mean()
        total = entropy if step < 2 else entropy + 100
        total.backward(retain_graph=True)
        holder.loss_a = model(data()[0]).mean()
        holder.loss_b = holder.loss_a * 2
        holder.loss_a.backward(retain_graph=True)
        holder.loss_b.backward()
        optimizer.step()
    run = tracking.run()
    for name in ("total", "loss_a", "loss_b"):
        assert steps(run, name) == [0, 1, 2, 3]
    assert "entropy" not in run.metrics


def test_a_model_that_is_false(tracking: Tracking) -> None:
    """An agent with an empty memory, say: nobody may call it, and it dies as without us."""

    class Agent(Net):
        calls = 0

        def __len__(self) -> int:
            return 0

        def forward(self, x: Any = None) -> Any:
            Agent.calls += 1
            return super().forward(x)

    tracking.enable()
    agent = Agent()
    optimizer = torch.optim.SGD(agent.parameters(), lr=0.1)
    fit(agent, optimizer, 2)
    assert Agent.calls == 2
    gone = weakref.ref(agent)
    del agent
    gc.collect()
    assert gone() is None
    assert tracking.run().name == "Agent"


class Stream(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    """Whose length is found by reading it."""

    read = 0

    def __iter__(self) -> Any:
        for row in zip(*data(8), strict=True):
            Stream.read += 1
            yield row

    def __len__(self) -> int:
        return sum(1 for _ in self)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_stream_is_not_asked_for_its_length(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Stream.read = 0
    for x, y in DataLoader(Stream(), batch_size=4):
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
    with autotrack.run("by hand") as by_hand:
        by_hand.log_dataset(Stream())
    assert Stream.read == 8
    [run] = [run for run in tracking.runs() if run.name == "Net"]
    assert run.params["dataset"] == "Stream"
    assert values(run, "epoch") == [0, 0]


def test_odd_optimizers(tracking: Tracking) -> None:
    """One without a hash, one without learning rates, one whose rate is a function."""

    class Odd(torch.optim.SGD):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    tracking.enable()
    model = Net()
    optimizer = Odd(model.parameters(), lr=0.1)
    fit(model, optimizer, 2)
    del optimizer.param_groups[0]["lr"]
    model(data()[0]).mean().backward()
    with pytest.raises(KeyError):
        optimizer.step()
    run = tracking.run()
    assert steps(run, "loss") == [0, 1]


def test_gradients_that_are_accumulated(tracking: Tracking) -> None:
    tracking.enable()
    model, losses = Net(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for number, (x, y) in enumerate(loader(16)):
        loss = nn.functional.mse_loss(model(x), y) / 2
        loss.backward()
        losses.append(loss.item())
        if number % 2:
            optimizer.step()
            optimizer.zero_grad()
    run = tracking.run()
    assert values(run, "loss") == losses
    assert steps(run, "loss") == [0, 0, 1, 1]
    assert steps(run, "lr") == [0, 1]


def test_a_closure(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    x, y = data()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    seen = []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        seen.append(loss.item())
        return loss

    for _ in range(2):
        optimizer.step(closure)
    run = tracking.run()
    assert values(run, "loss") == seen
    assert steps(run, "lr") == [0, 1]
    assert run.params["optimizer"] == "LBFGS"


def test_every_nth_step(tracking: Tracking) -> None:
    tracking.enable(torch={"every": 3})
    losses = train(7)
    run = tracking.run()
    assert steps(run, "loss") == [0, 3, 6]
    assert values(run, "loss") == losses[::3]


def test_statistics_of_layers(tracking: Tracking) -> None:
    tracking.enable(torch={"statistics_every": 2})
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(model, optimizer, 4)
    with torch.no_grad():
        model.second.weight[0, 1] = float("nan")
    fit(model, optimizer, 1)
    run = tracking.run()
    assert run.params["first_non_finite"] == "weight/second.weight at step 4"
    assert steps(run, "gradient/first.weight/mean") == [0, 2, 4]
    assert values(run, "weight/second.weight/non_finite") == [0, 0, 3]
    table = json.loads(run.artifact("statistics/00000002.json").read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["of"] for row in rows if row["layer"] == "first.bias"] == ["gradient", "weight"]
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    assert all(sum(row[f"bin{i}"] for i in range(30)) == sizes[row["layer"]] for row in rows)
    assert all(row["low"] <= row["high"] for row in rows)


@pytest.mark.parametrize("spoilt", ["first.weight", "first.bias", "second.weight", "second.bias"])
def test_the_first_weight_that_is_not_finite(tracking: Tracking, spoilt: str) -> None:
    """It is found where the loss first is none, between two steps that are looked at anyway."""
    tracking.enable(torch={"statistics_every": 100})
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(model, optimizer, 2)
    with torch.no_grad():
        dict(model.named_parameters())[spoilt].fill_(float("nan"))
    fit(model, optimizer, 3)
    run = tracking.run()
    assert [*np.isnan(values(run, "loss"))] == [False, False, True, True, True]
    assert run.params["first_non_finite"] == f"weight/{spoilt} at step 2"


@pytest.mark.parametrize("every", [1, 100])
def test_the_first_gradient_that_is_not_finite(tracking: Tracking, every: int) -> None:
    """Of the layers that it spoils, all before, it is the nearest to the output."""

    class Rooted(Net):
        def forward(self, x: Any) -> Any:
            hidden = self.first(x)
            if self.is_bad:
                hidden = (hidden * 0.0).sqrt()  # which is 0, and has no finite slope
            return self.second(hidden)

    tracking.enable(torch={"statistics_every": every})
    model = Rooted()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for is_bad in (False, False, True, False):
        model.is_bad = is_bad
        fit(model, optimizer, 1)
    run = tracking.run()
    assert [*np.isnan(values(run, "loss"))] == [False, False, False, True]
    # A loss that is finite tells nothing: it is noticed at the next one, by then in the weights.
    expected = {1: "gradient/first.bias at step 2", 100: "weight/first.bias at step 3"}
    assert run.params["first_non_finite"] == expected[every]


def test_all_that_is_finite(tracking: Tracking) -> None:
    tracking.enable(torch={"statistics_every": 1})
    train(3)
    assert "first_non_finite" not in tracking.run().params


def test_statistics_change_nothing(tracking: Tracking) -> None:
    losses, weights, state = trained()
    tracking.enable(torch={"statistics_every": 1})
    losses_on, weights_on, state_on = trained()
    assert losses == losses_on
    assert all(torch.equal(weights[name], weights_on[name]) for name in weights)
    assert torch.equal(state, state_on)


# --- which run ----------------------------------------------------------------------------------------


def test_a_sweep_is_as_many_runs(tracking: Tracking) -> None:
    tracking.enable()
    losses = {lr: train(lr=lr) for lr in np.linspace(0.01, 0.1, 10).tolist()}
    runs = tracking.runs()
    assert {run.params["lr"]: values(run, "loss") for run in runs} == losses
    assert all(run.parent is None for run in runs)
    assert [run.state for run in runs] == [State.RUNNING] + [State.FINISHED] * 9


def test_two_optimizers_of_one_training(tracking: Tracking) -> None:
    """A GAN's: both are built before the first step."""
    tracking.enable()
    maker, judge = Net(), Net()
    optimizer_g = torch.optim.Adam(maker.parameters(), lr=0.01)
    optimizer_d = torch.optim.SGD(judge.parameters(), lr=0.1)
    for _ in range(3):
        loss = judge(data()[0]).mean()
        loss.backward()
        optimizer_d.step()
        loss = maker(data()[0]).mean()
        loss.backward()
        optimizer_g.step()
    run = tracking.run()
    assert values(run, "lr") == [0.1] * 3
    assert values(run, "optimizer_g/lr") == [0.01] * 3
    assert len(values(run, "loss")) == len(values(run, "optimizer_g/loss")) == 3
    assert (run.params["optimizer"], run.params["optimizer_g/optimizer"]) == ("SGD", "Adam")


def test_norms_of_two_optimizers(tracking: Tracking) -> None:
    tracking.enable()
    models = Net(), Net()
    one, other = (torch.optim.SGD(model.parameters(), lr=0.1) for model in models)
    for _ in range(2):
        for model, optimizer in zip(models, (one, other), strict=True):
            model(data()[0]).mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    run = tracking.run()
    assert steps(run, "grad_norm") == steps(run, "other/grad_norm") == [0, 1]


def test_optimizers_in_a_list(tracking: Tracking) -> None:
    tracking.enable()
    models = [Net(), Net(), Net()]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in models]
    for _ in range(2):
        for model, optimizer in zip(models, optimizers, strict=True):
            model(data()[0]).mean().backward()
            optimizer.step()
    names = {name for name in tracking.run().metrics if name.endswith("lr")}
    assert names == {"lr", "optimizer/lr", "optimizer2/lr"}


def test_a_later_optimizer_over_the_same_parameters(tracking: Tracking) -> None:
    """Fine-tuning in two phases is one training."""
    tracking.enable()
    model = Net()
    losses = fit(model, torch.optim.SGD(model.second.parameters(), lr=0.1))
    losses += fit(model, torch.optim.SGD(model.parameters(), lr=0.01))
    run = tracking.run()
    assert values(run, "loss") == losses
    assert steps(run, "loss") == [0, 1, 2, 3, 4, 5]
    assert values(run, "lr") == [0.1] * 3 + [0.01] * 3


def test_an_optimizer_that_is_built_anew_at_each_epoch(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autotrack.recording.loop_runs.REST", 0.2)
    tracking.enable(flush_interval=0.05)
    model, losses = Net(), []
    for _ in range(3):
        losses += fit(model, torch.optim.SGD(model.parameters(), lr=0.1), 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        losses += fit(model, optimizer, 1)
        time.sleep(0.1)
    run = tracking.run()
    assert values(run, "loss") == losses
    assert run.state is State.RUNNING


def test_a_training_that_goes_on_after_another_began(tracking: Tracking) -> None:
    tracking.enable()
    one, two = Net(), Net()
    first = torch.optim.SGD(one.parameters(), lr=0.1)
    fit(one, first, 2)
    second = torch.optim.SGD(two.parameters(), lr=0.2)
    for _ in range(20):
        fit(two, second, 1)
        fit(one, first, 1)
    runs = {run.params["lr"]: run for run in tracking.runs()}
    autotrack.log({"of_the_last_step": 1.0})
    runs = {run.params["lr"]: run for run in tracking.runs()}
    assert "of_the_last_step" in runs[0.1].metrics
    assert len(values(runs[0.1], "loss")) == 22
    assert len(values(runs[0.2], "loss")) == 20


def test_without_an_optimizer_nothing_is_recorded(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    for _ in range(3):
        model(data()[0]).mean().backward()
    list(loader())
    assert tracking.runs() == []


def test_in_a_run_of_the_users(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("mine") as mine:
        train(2)
        train(3)
    runs = {run.name: run for run in tracking.runs()}
    assert runs["mine"].id == mine.id
    assert steps(runs["mine"], "loss") == [0, 1]
    assert runs["Net"].parent == mine.id
    assert steps(runs["Net"], "loss") == [0, 1, 2]
    assert runs["Net"].state is State.FINISHED


def test_a_run_of_the_users_that_begins_after_the_first_step(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(model, optimizer, 1)
    with autotrack.run("mine"):
        fit(model, optimizer, 3)
    assert {run.name: len(values(run, "loss")) for run in tracking.runs()} == {"Net": 1, "mine": 3}


def test_copies_are_trainings_of_their_own(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        fit(*copy.deepcopy((model, optimizer)), 2)
    assert [steps(run, "loss") for run in tracking.runs()] == [[0, 1]] * 3


def test_switched_off_and_on_in_a_loop(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(model, optimizer, 2)
    tracking.disable()
    fit(model, optimizer, 2)
    assert tracking.run().state is State.FINISHED
    tracking.enable()
    fit(model, optimizer, 1)
    assert sorted(len(values(run, "loss")) for run in tracking.runs()) == [1, 2]


def test_names_that_the_user_logs_are_the_users(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(model, optimizer, 2)
    for epoch in range(3):
        autotrack.log({"loss": 7.0}, epoch)
        fit(model, optimizer, 1)
    run = tracking.run()
    assert values(run, "loss") == [7.0] * 3
    assert steps(run, "step/loss") == [0, 1, 2, 3, 4]


def test_names_that_the_source_does_not_tell_are_the_users_from_then_on(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(model, optimizer, 2)
    for epoch in range(3):
        autotrack.log(dict.fromkeys(["loss"], 7.0), epoch)
        fit(model, optimizer, 1)
    run = tracking.run()
    assert values(run, "loss").count(7.0) == 3
    assert steps(run, "step/loss") == [2, 3, 4]


def test_a_run_is_over_when_its_optimizers_are_gone(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is logged then is still of it."""
    monkeypatch.setattr("autotrack.recording.loop_runs.REST", 0.0)
    tracking.enable(flush_interval=0.05)
    train(2)
    end = time.monotonic() + 60
    while tracking.run().state is not State.FINISHED and time.monotonic() < end:
        time.sleep(0.05)
    autotrack.log({"test_accuracy": 0.5})
    run = tracking.run()
    assert (run.state, run.metrics["test_accuracy"]) == (State.FINISHED, 0.5)


def test_what_was_logged_before_the_loop_is_of_its_run(tracking: Tracking) -> None:
    tracking.enable()
    autotrack.log_params({"seed": 0})
    train(2)
    autotrack.log({"test_accuracy": 0.5})
    run = tracking.run()
    assert run.params["seed"] == 0
    assert steps(run, "loss") == [0, 1]
    assert run.metrics["test_accuracy"] == 0.5


def test_what_is_logged_after_the_loop_is_of_its_run(tracking: Tracking) -> None:
    tracking.enable()
    train(2)
    assert autotrack.active_run() is not None
    autotrack.log({"test_accuracy": 0.5})
    assert tracking.run().metrics["test_accuracy"] == 0.5


def test_another_training_after_the_loop_is_a_run_of_its_own(tracking: Tracking) -> None:
    from sklearn.linear_model import LinearRegression

    tracking.enable()
    train()
    LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    assert {run.name: run.parent for run in tracking.runs()} == {"Net": None, "LinearRegression": None}


def test_threads_are_separate_runs(tracking: Tracking) -> None:
    tracking.enable()
    both = threading.Barrier(2)

    def work() -> None:
        both.wait(30)
        train(20)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(values(run, "loss")) for run in tracking.runs()] == [20, 20]


def test_a_script_of_two_loops_after_disable(tracking: Tracking) -> None:
    tracking.enable()
    train()
    tracking.disable()
    train()
    assert len(tracking.runs()) == 1


# --- what the user must not notice --------------------------------------------------------------------


def trained() -> tuple[list[float], dict[str, Any], Any]:
    torch.manual_seed(1)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    losses = []
    for x, y in loader(shuffle=True):
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses, model.state_dict(), torch.get_rng_state()


def test_losses_weights_and_random_states_are_the_same(tracking: Tracking) -> None:
    losses, weights, state = trained()
    tracking.enable()
    losses_on, weights_on, state_on = trained()
    assert losses == losses_on
    assert all(torch.equal(weights[name], weights_on[name]) for name in weights)
    assert torch.equal(state, state_on)


def test_an_optimizer_that_is_copied_and_pickled_amid_a_run(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(model, optimizer, 2)
    twin, its_optimizer = copy.deepcopy((model, optimizer))
    back = pickle.loads(pickle.dumps(optimizer))
    assert b"autotrack" not in pickle.dumps(optimizer)
    assert type(back) is torch.optim.SGD
    assert back.param_groups[0]["lr"] == 0.1
    fit(model, optimizer, 1)
    fit(twin, its_optimizer, 1)
    assert [steps(run, "loss") for run in tracking.runs()] == [[0], [0, 1, 2]]


def test_a_loss_that_is_changed_in_place_afterwards(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = []
    for _ in range(3):
        loss = model(data()[0]).mean()
        loss.backward()
        seen.append(loss.item())
        optimizer.step()
        with torch.no_grad():
            loss.mul_(100)
    assert values(tracking.run(), "loss") == seen


def test_backward_of_what_is_no_scalar(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    out = model(data()[0])
    out.backward(torch.ones_like(out))
    optimizer.step()
    run = tracking.run()
    assert steps(run, "lr") == [0]
    assert "loss" not in run.metrics
    assert "out" not in run.metrics


def test_a_loss_that_is_nan(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        loss = model(data()[0]).mean() * float("nan")
        loss.backward()
        optimizer.step()
    assert np.isnan(values(tracking.run(), "loss")).all()


def test_what_else_backward_is_called_on(tracking: Tracking) -> None:
    """Edges of the graph; and scalars that a gradient flows into from elsewhere."""
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        out = model(data()[0]).mean()
        torch.autograd.backward(torch.autograd.graph.get_gradient_edge(out), torch.tensor(1.0))
        inner = model(data()[0]).mean()
        inner.backward(torch.tensor(2.0))
        loss = model(data()[0]).mean()
        loss.backward()
        optimizer.step()
    run = tracking.run()
    assert steps(run, "loss") == [0, 1, 2, 3, 4]
    assert run.metrics.keys().isdisjoint({"out", "inner"})


def test_functions_that_are_watched_can_be_pickled(tracking: Tracking) -> None:
    functions = torch.save, torch.nn.utils.clip_grad_norm_, torch.autograd.backward
    tracking.enable()
    pickled = [pickle.dumps(f) for f in (torch.save, nn.utils.clip_grad_norm_, torch.autograd.backward)]
    tracking.disable()
    assert tuple(map(pickle.loads, pickled)) == functions


def test_an_error_in_backward_is_the_users(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = model(data()[0]).mean()
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()
    optimizer.step()
    assert steps(tracking.run(), "loss") == [0]


def test_automatic_mixed_precision(tracking: Tracking) -> None:
    """The loss is told unscaled, and a step that the scaler skips as skipped."""
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=100)
    losses = []
    for number in range(4):
        loss = model(data()[0]).mean() * (float("inf") if number == 2 else 1)
        losses.append(loss.item())
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    run = tracking.run()
    assert values(run, "loss") == losses
    assert steps(run, "loss") == [0, 1, 2, 2]
    assert values(run, "amp_scale") == [1024.0, 1024.0, 1024.0, 512.0]
    assert steps(run, "skipped_step") == [2]


def test_a_scaled_loss_that_is_in_no_variable(tracking: Tracking) -> None:
    """Nor is it in one that is None."""
    tracking.enable()
    nothing = None
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for number in range(3):
        loss = model(data()[0]).mean() * (float("inf") if number == 0 else 1)
        scaler.scale(loss / 2).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert nothing is None
    run = tracking.run()
    assert steps(run, "loss") == [0, 0, 1]
    assert steps(run, "skipped_step") == [0]
    assert "nothing" not in run.metrics


def test_losses_without_steps_take_no_memory(tracking: Tracking) -> None:
    from autotrack.patches.torch import losses

    tracking.enable()
    weight = torch.ones((), requires_grad=True)
    for _ in range(losses.MOST_LOSSES + 10):
        (weight * 2).backward()
    model = Net()
    fit(model, torch.optim.SGD(model.parameters(), lr=0.1), 1)
    assert len(values(tracking.run(), "loss")) <= losses.MOST_LOSSES


# --- files --------------------------------------------------------------------------------------------


def test_checkpoints(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(2):
        fit(model, optimizer, 1)
        torch.save({"model": model.state_dict(), "epoch": epoch}, tmp_path / f"epoch{epoch}.pt")
        autotrack.flush()
    run = tracking.run()
    kept = {a.path for a in run.artifacts if a.path.startswith("checkpoints/")}
    assert kept == {"checkpoints/epoch0.pt", "checkpoints/epoch1.pt"}
    assert torch.load(run.artifact("checkpoints/epoch1.pt"))["epoch"] == 1


def test_a_file_that_is_not_kept_is_let_go(tracking: Tracking, tmp_path: Path) -> None:
    """By a rank whose run is told by another, say."""
    (tmp_path / "file").write_bytes(b"bytes")
    tracking.enable()
    with autotrack.run("muted") as run, (tmp_path / "file").open("rb") as file:
        run.is_muted = True
        run.keep_file(file, "file")
        assert file.closed


def test_what_is_saved_outside_a_training_is_not_kept(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    torch.save({}, tmp_path / "empty.pt")
    assert tracking.runs() == []


def test_a_summary_writer(tracking: Tracking, tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    writer = SummaryWriter(tmp_path / "tb")
    for step in range(2):
        fit(model, optimizer, 1)
        writer.add_scalar("val/acc", torch.tensor(0.5) + step, step)
    writer.add_hparams({"depth": 2}, {"final": 0.25})
    writer.close()
    run = tracking.run()
    assert values(run, "val/acc") == [0.5, 1.5]
    assert run.params["depth"] == 2
    assert values(run, "final") == [0.25]


# --- torch.compile ------------------------------------------------------------------------------------


def breaks_of_a_compiled_step() -> tuple[int, int]:
    """Graph breaks, and graphs."""
    import torch._dynamo.utils

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    @torch.compile(backend="eager")
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    for _ in range(3):
        step(*data())
    list(loader())
    counters = torch._dynamo.utils.counters
    return sum(counters["graph_break"].values()), counters["stats"]["unique_graphs"]


def test_compiling_a_step_breaks_no_graph(tracking: Tracking) -> None:
    off = breaks_of_a_compiled_step()
    tracking.enable()
    assert breaks_of_a_compiled_step() == off


def test_steps_that_are_compiled_are_recorded(tracking: Tracking) -> None:
    """By what comes after them."""
    tracking.enable()
    breaks_of_a_compiled_step()
    run = tracking.run()
    assert steps(run, "loss") == steps(run, "lr") == [0, 1, 2]


def test_a_compiled_model(tracking: Tracking) -> None:
    tracking.enable()
    model = torch.compile(Net(), backend="eager")
    fit(model, torch.optim.SGD(model.parameters(), lr=0.1), 2)
    run = tracking.run()
    assert run.name == "Net"
    assert run.params["compiled"] is True
    assert steps(run, "loss") == [0, 1]


# --- devices ------------------------------------------------------------------------------------------


class Far(torch.Tensor):
    """A tensor that says it is elsewhere: there is no accelerator here."""

    is_cpu = False

    def item(self) -> Any:
        assert threading.current_thread() is not threading.main_thread(), "the training waits for the device"
        return self.as_subclass(torch.Tensor).item()


def test_a_value_on_a_device_is_read_later(tracking: Tracking) -> None:
    """It is copied when it is logged, and read where nobody waits for it."""
    from autotrack.recording.devices import OnDevice

    copied = OnDevice(torch.tensor(0.5))
    assert float(copied) == 0.5
    tracking.enable()
    with autotrack.run("far") as run:
        for step in range(3):
            value = torch.tensor(float(step))
            far = value.as_subclass(Far)
            run.log({"far": far}, step)
            value.fill_(99.0)
    assert values(tracking.run(), "far") == [0.0, 1.0, 2.0]


def test_a_step_that_is_only_captured_is_none(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA graph notes what would be done; see test_torch_gpu.py for real ones."""
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(model, optimizer, 2)
    with monkeypatch.context() as patch:
        for place in ("recording.values.is_capturing", "patches.torch.loops._is_captured"):
            patch.setattr(f"autotrack.{place}", lambda what: True)
        optimizer.zero_grad()
        loss = model(data()[0]).mean().as_subclass(Far)
        loss.backward()
        optimizer.step()
    fit(model, optimizer, 1)
    run = tracking.run()
    assert steps(run, "loss") == steps(run, "lr") == [0, 1, 2]


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Any]:
    """Of this process alone."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1
    )
    yield torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def test_values_that_ranks_have_together(tracking: Tracking, mesh: Any) -> None:
    """One that each of them has is read; another would have to be asked for from the others, who wait."""
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard

    tracking.enable()
    with autotrack.run("ranks") as run:
        for name, placement in (("whole", Replicate()), ("sum", Partial()), ("part", Shard(0))):
            run.log({name: DTensor.from_local(torch.ones(1), mesh, [placement])})
    assert list(tracking.run().metrics) == ["whole"]


def test_a_norm_of_gradients_that_are_spread_over_ranks(tracking: Tracking, mesh: Any) -> None:
    from torch.distributed.fsdp import fully_shard

    tracking.enable(torch={"statistics_every": 1})
    model = Net()
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        loss = model(data()[0]).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    run = tracking.run()
    assert steps(run, "loss") == [0, 1, 2]
