"""Optimizers whose step is compiled: no hook is told of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import autotrack

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
