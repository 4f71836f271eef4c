"""Optimizers whose step is compiled: no hook is told of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import nn

import autotrack
from autotrack._patching.frames import Frame, frames
from autotrack.integration import Call

from ..scripts import Place, values
from ..tracking import Tracking
from .test_torch import steps
from .torch_loops import Net, data


@pytest.fixture(autouse=True)
def afresh() -> None:
    torch._dynamo.reset()


def compiled(optimizer: Any) -> Any:
    return torch.compile(optimizer.step, backend="eager")


def backward(model: Any) -> float:
    loss = nn.functional.mse_loss(model(data()[0]), data()[1])
    loss.backward()
    return loss.item()


def test_rates_are_those_of_the_step(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.8)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    step, losses = compiled(optimizer), []
    for _ in range(4):
        losses.append(backward(model))
        step()
        scheduler.step()
        optimizer.zero_grad()
    run = tracking.run()
    assert run.params["lr"] == 0.8
    assert values(run, "lr") == [0.8, 0.4, 0.2, 0.1]
    assert values(run, "loss") == losses


@pytest.mark.parametrize("kind", ["warm restarts", "plateau"])
def test_schedulers_with_a_step_of_their_own(tracking: Tracking, kind: str) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.8)
    schedulers = torch.optim.lr_scheduler
    scheduler: Any = (
        schedulers.CosineAnnealingWarmRestarts(optimizer, 10)
        if kind == "warm restarts"
        else schedulers.ReduceLROnPlateau(optimizer, patience=0)
    )
    step, rates = compiled(optimizer), []
    for number in range(3):
        backward(model)
        step()
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(number)
    assert values(tracking.run(), "lr") == rates
    assert len(set(rates)) > 1


def test_two_compiled_optimizers(tracking: Tracking) -> None:
    """Each step is that of the one which made it, also where both come before anything else."""
    tracking.enable()
    models = Net(), Net()
    first, second = (torch.optim.SGD(m.parameters(), lr=lr) for m, lr in zip(models, (0.1, 0.2), strict=True))
    step_first, step_second = compiled(first), compiled(second)
    for number in range(3):
        for model in models:
            backward(model)
        step_first()
        if number != 1:
            step_second()
    run = tracking.run()
    assert values(run, "lr") == [0.1] * 3
    assert values(run, "second/lr") == [0.2] * 2


def test_the_last_step_before_a_run_ends(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = compiled(optimizer)
    with autotrack.run("mine"):
        for _ in range(2):
            backward(model)
            step()
    backward(model)
    step()
    autotrack.flush()
    runs = {run.name: run for run in tracking.runs()}
    assert steps(runs["mine"], "lr") == steps(runs["mine"], "loss") == [0, 1]
    assert steps(runs["Net"], "lr") == [0]


SCRIPT = """
    import autotrack
    autotrack.enable()
    import torch

    def main():
        model = torch.nn.Linear(4, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        step = torch.compile(optimizer.step, backend="eager")
        for _ in range(3):
            loss = model(torch.ones(2, 4)).mean()
            loss.backward()
            step()
        {last}

    {call}
"""


@pytest.mark.parametrize("is_gone", [False, True])
def test_the_last_step_of_a_script(store: Place, is_gone: bool) -> None:
    """Whether or not its optimizer is there at the end."""
    last = "torch._dynamo.reset()" if is_gone else "return optimizer"
    ended = store.run(SCRIPT.format(last=last, call="main()" if is_gone else "kept = main()"))
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert steps(run, "loss") == [0, 1, 2]


@pytest.mark.parametrize("way", ["by hand", "twice", "two optimizers", "in a sealed call"])
def test_nothing_is_compiled_anew(tracking: Tracking, way: str) -> None:
    """Whatever is told in between, or not at all, the code stays as it was compiled."""
    tracking.enable()
    model = Net()
    first, second = (torch.optim.SGD(model.parameters(), lr=0.1) for _ in range(2))

    def both() -> None:
        first.step()
        second.step()

    step = torch.compile(both if way == "two optimizers" else first.step, backend="eager")
    if way == "in a sealed call":
        frames.set((Frame(Call(len, None, (), {}), None, None, is_sealed=True),))  # type: ignore[arg-type]
    try:
        for number in range(12):  # two optimizers are two versions of torch's own code
            with torch._dynamo.config.patch(error_on_recompile=number > 1):
                if way == "by hand":
                    loss = nn.functional.mse_loss(model(data()[0]), data()[1])
                    gradients = torch.autograd.grad(loss, [*model.parameters()])
                    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                        parameter.grad = gradient
                else:
                    backward(model)
                step()
                if way == "twice":
                    step()
    finally:
        frames.set(())
    if way == "two optimizers":
        assert steps(tracking.run(), "lr") == steps(tracking.run(), "second/lr") == [*range(12)]


def test_threads_have_steps_of_their_own(tracking: Tracking) -> None:
    """One after the other: torch's compiler does not bear two at once, and may end the process."""
    tracking.enable()
    turns, one_at_a_time = threading.Barrier(2), threading.Lock()

    def train(lr: float) -> None:
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        step = compiled(optimizer)
        with autotrack.run(f"{lr}"):
            for _ in range(6):
                turns.wait()
                with one_at_a_time:
                    backward(model)
                turns.wait()
                with one_at_a_time:
                    step()

    threads = [threading.Thread(target=train, args=(lr,)) for lr in (0.1, 0.2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run in tracking.runs():
        assert values(run, "lr") == [float(run.name)] * 6, run.name
        assert not [name for name in run.metrics if "/" in name and "system" not in name]


def test_an_eager_step_comes_after_a_compiled_one(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    first, second = (torch.optim.SGD(model.parameters(), lr=lr) for lr in (0.1, 0.2))
    step = compiled(first)
    for _ in range(3):
        backward(model)
        step()
        second.step()
    run = tracking.run()
    assert values(run, "lr") == [0.1] * 3
    assert values(run, "second/lr") == [0.2] * 3


def test_a_forked_process_leaves_the_step_to_its_parent(store: Place) -> None:
    fork = "import os; os.waitpid(os.fork() or sys.exit(0), 0)"
    ended = store.run(SCRIPT.format(last=f"import sys; {fork}; return optimizer", call="kept = main()"))
    assert ended.returncode == 0, ended.err
    assert steps(store.only_run(), "loss") == [0, 1, 2]
