"""Automatic mixed precision in plain PyTorch loops: which steps were skipped."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ..scripts import values
from ..tracking import Tracking
from .test_torch import steps
from .torch_loops import Net, data, loader


def amp(tracking: Tracking) -> Any:
    tracking.enable()
    torch.manual_seed(0)
    return torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=100)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_an_optimizer_that_skips_by_itself(tracking: Tracking, kind: Any) -> None:
    """A fused one is told whether to, where only its device knows: so it counts as a step."""
    scaler = amp(tracking)
    model = Net()
    optimizer = kind(model.parameters(), lr=0.1, fused=True)
    for number in range(4):
        optimizer.zero_grad()
        loss = model(data()[0]).mean() * (float("inf") if number == 2 else 1)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    run = tracking.run()
    assert values(run, "skipped_step") == [0, 0, 1, 0]
    assert steps(run, "skipped_step") == steps(run, "loss") == [0, 1, 2, 3]


def test_two_optimizers_of_which_one_or_both_skip(tracking: Tracking) -> None:
    scaler = amp(tracking)
    models = Net(), Net()
    first, second = (torch.optim.SGD(model.parameters(), lr=0.1) for model in models)
    for number in range(4):
        losses = [model(data()[0]).mean() for model in models]
        factors = [float("inf") if number in when else 1.0 for when in ((2,), (1, 2))]
        for loss, factor, optimizer in zip(losses, factors, (first, second), strict=True):
            optimizer.zero_grad()
            scaler.scale(loss * factor).backward()
        scaler.step(first)
        scaler.step(second)
        scaler.update()
    run = tracking.run()
    assert steps(run, "lr") == [0, 1, 2]
    assert steps(run, "skipped_step") == [2]
    assert steps(run, "second/lr") == [0, 1]
    assert steps(run, "second/skipped_step") == [1, 1]


def test_gradients_that_are_asked_for_without_backward(tracking: Tracking) -> None:
    scaler = amp(tracking)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for number in range(3):
        loss = model(data()[0]).mean() * (float("inf") if number == 1 else 1)
        gradients = torch.autograd.grad(scaler.scale(loss), list(model.parameters()))
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient
        scaler.step(optimizer)
        scaler.update()
    run = tracking.run()
    assert steps(run, "lr") == [0, 1]
    assert steps(run, "skipped_step") == [1]


def test_a_scaler_that_is_switched_off(tracking: Tracking) -> None:
    tracking.enable()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        scaler.scale(model(data()[0]).mean()).backward()
        scaler.step(optimizer)
        scaler.update()
    run = tracking.run()
    assert steps(run, "lr") == [0, 1, 2]
    assert "skipped_step" not in run.metrics


def test_a_skipped_step_is_none_in_an_epoch(tracking: Tracking) -> None:
    """It takes its own time, and a pass in which all are skipped is no evaluation."""
    scaler = amp(tracking)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(3):
        for x, _ in loader(8):
            optimizer.zero_grad()
            loss = model(x).mean() * (float("inf") if epoch == 1 else 1)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    run = tracking.run()
    assert steps(run, "skipped_step") == [2, 2]
    assert "eval_seconds" not in run.metrics


class Wrapped:
    """As a Lookahead may be: it holds an optimizer, and is none by itself."""

    def __init__(self, base: torch.optim.Optimizer) -> None:
        self.base = base
        self.param_groups, self.state, self.defaults = base.param_groups, base.state, base.defaults
        self.zero_grad = base.zero_grad

    def step(self, closure: Any = None) -> Any:
        return self.base.step(closure)


def test_an_optimizer_that_wraps_another_skips_nothing(tracking: Tracking) -> None:
    scaler = amp(tracking)
    model = Net()
    optimizer = Wrapped(torch.optim.SGD(model.parameters(), lr=0.1))
    for _ in range(3):
        optimizer.zero_grad()
        scaler.scale(model(data()[0]).mean()).backward()
        scaler.step(optimizer)  # type: ignore[arg-type]
        scaler.update()
    run = tracking.run()
    assert steps(run, "loss") == steps(run, "lr") == [0, 1, 2]
    assert not [name for name in run.metrics if name.endswith("skipped_step")]
