"""A step like the one before it is recorded in a shorter way, and is the same in the run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import autotrack
from autotrack import _enable
from autotrack.patches.torch.gathering import Threads
from autotrack.patches.torch.loops import Loops
from autotrack.patches.torch.steady import Steady
from autotrack.recording.run import ActiveRun

from ..tracking import Tracking
from .torch_loops import Net, data, fit, loader

Curves = dict[str, tuple[list[int], Any]]


class Training:
    """What users do in a loop, one method each."""

    def __init__(self, tracking: Tracking) -> None:
        self.tracking = tracking
        torch.manual_seed(0)
        self.model = Net()
        self.critic = Net()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, fused=True)
        self.other = torch.optim.Adam(self.critic.parameters(), lr=0.01)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 2)
        self.batches = loader(8)
        self.x, self.y = data()

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        return nn.functional.mse_loss(self.model(x), y)

    def step(self) -> None:
        loss = self.loss(self.x, self.y)
        loss.backward()
        self.optimizer.step()

    def clipped(self) -> None:
        loss = self.loss(self.x, self.y)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    def epoch(self) -> None:
        for x, y in self.batches:
            loss = self.loss(x, y)
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()

    def evaluation(self) -> None:
        self.model.eval()
        with torch.no_grad():
            for x, _ in self.batches:
                self.model(x)
        self.model.train()

    def two_passes(self) -> None:
        for (x, y), _ in zip(loader(4), loader(8), strict=False):
            loss = self.loss(x, y)
            loss.backward()
            self.optimizer.step()

    def look(self) -> None:
        next(iter(self.batches))

    def micro_batches(self) -> None:
        for part in range(2):
            loss = self.loss(self.x[part::2], self.y[part::2])
            loss.backward()
        self.optimizer.step()

    def two_losses(self) -> None:
        loss = self.loss(self.x, self.y)
        penalty = self.model(self.x).square().mean()
        loss.backward()
        penalty.backward()
        self.optimizer.step()

    def another_name(self) -> None:
        penalty = self.loss(self.x, self.y)
        penalty.backward()
        self.optimizer.step()

    def in_a_helper(self) -> None:
        def help_with(value: Tensor) -> None:
            value.backward()

        loss = self.loss(self.x, self.y)
        help_with(loss)
        self.optimizer.step()

    def not_finite(self) -> None:
        loss = self.loss(self.x, self.y) * float("nan")
        loss.backward()
        self.optimizer.step()

    def no_loss(self) -> None:
        self.optimizer.step()

    def gradients_alone(self) -> None:
        self.model(self.x).sum().backward()

    def critics(self) -> None:
        loss = self.critic(self.x).mean()
        loss.backward()
        self.other.step()

    def rate(self) -> None:
        self.optimizer.param_groups[0]["lr"] *= 0.5

    def tensor_for_a_rate(self) -> None:
        self.optimizer.param_groups[0]["lr"] = torch.tensor(0.05)

    def group(self) -> None:
        self.optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 0.3})

    def fine_tuning(self) -> None:
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, fused=True)

    def users_own(self) -> None:
        autotrack.log({"loss": 0.5})

    def options(self) -> None:
        self.tracking.enable("torch", torch={"every": 3})

    def skipped(self) -> None:
        """As a scaler tells a fused optimizer, which looks at it on its device."""
        fused: Any = self.optimizer
        fused.grad_scale, fused.found_inf = torch.tensor(1.0), torch.tensor(1.0)
        self.step()
        del fused.grad_scale, fused.found_inf

    def skipped_critics(self) -> None:
        """Another loop's, or another optimizer's of this one."""
        scaler = torch.amp.GradScaler("cpu", init_scale=1e38)
        loss = self.critic(self.x).square().sum() * 1e10
        scaler.scale(loss).backward()
        scaler.step(self.other)
        scaler.update()
        self.other.zero_grad()

    def elsewhere(self) -> None:
        """Another thread goes on with the same parameters and an optimizer that is the first from then on."""
        successor = torch.optim.SGD(self.model.parameters(), lr=0.02)
        thread = threading.Thread(target=fit, args=(self.model, successor, 2))
        thread.start()
        thread.join()

    def interrupted(self) -> None:
        """What a handler of signals raises, right when the step is recorded, is the user's."""
        with suppress(TimeoutError), interrupting_a_record():
            self.step()


@contextmanager
def interrupting_a_record() -> Iterator[None]:
    inner = ActiveRun.log_row

    def log_row(*arguments: Any) -> None:
        inner(*arguments)
        signal.raise_signal(signal.SIGUSR1)

    def handle(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(ActiveRun, "log_row", log_row)
            yield
    finally:
        signal.signal(signal.SIGUSR1, before)


ACTIONS: list[Callable[[Training], None]] = [
    action for name, action in vars(Training).items() if callable(action) and name not in ("__init__", "loss")
]
USUAL = [Training.step, Training.clipped, Training.epoch]
TURNS = st.tuples(st.sampled_from(USUAL), st.sampled_from(USUAL), st.sampled_from(ACTIONS))
"""Of a training: two that are usual, so that the short way is taken, then anything."""


@pytest.fixture
def steadily(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each step was recorded in the short way."""
    kept: list[bool] = []
    inner = Steady.step

    def step(*arguments: Any) -> bool:
        kept.append(inner(*arguments))
        return kept[-1]

    monkeypatch.setattr(Steady, "step", step)
    return kept


def recorded(tracking: Tracking, actions: list[Callable[[Training], None]]) -> list[Curves]:
    """The curves of the runs that come of it, without what differs from time to time."""
    before = {run.id for run in tracking.store.runs()}
    tracking.enable()
    training = Training(tracking)
    try:
        for action in actions:
            action(training)
    finally:
        _enable.end()
    found = [run for run in tracking.store.runs() if run.id not in before]
    return [{name: curve(run, name) for name in run.metrics} for run in found]


def curve(run: Any, name: str) -> tuple[list[int], Any]:
    points = run.points(name)
    is_time = name.endswith(("seconds", "_per_second"))
    return points.step.tolist(), (points.value > 0).tolist() if is_time else list(map(str, points.value))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=st.lists(TURNS, min_size=3, max_size=8))
@example(turns=[(Training.epoch,) * 3] * 2)
def test_the_short_way_records_the_same(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch, turns: list[tuple[Callable[[Training], None], ...]]
) -> None:
    actions = [action for turn in turns for action in turn]
    shortly = recorded(tracking, actions)
    with monkeypatch.context() as patched:
        patched.setattr(Loops, "_steady", lambda *_: None)
        assert recorded(tracking, actions) == shortly


def test_nearly_all_steps_go_the_short_way(tracking: Tracking, steadily: list[bool]) -> None:
    recorded(tracking, [Training.epoch, Training.epoch, Training.evaluation, *[Training.clipped] * 5])
    assert sum(steadily) >= 5


def test_a_thread_that_has_anothers_number_has_seen_nothing() -> None:
    """The system gives the number of a thread that has ended to the next one."""
    threads = Threads()
    numbers: list[int] = []

    def begin() -> None:
        gathering = threads.here()
        numbers.append(threading.get_ident())
        assert not gathering.steps
        gathering.steps = 1

    failed: list[object] = []
    while len(set(numbers)) == len(numbers) < 1000:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(threading, "excepthook", failed.append)
            thread = threading.Thread(target=begin)
            thread.start()
            thread.join()
    assert not failed


class NothingIsRead(TorchDispatchMode):
    """As where a step is traced: values are not to be had."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("no value here")
        return function(*args, **(kwargs or {}))


def test_losses_that_cannot_be_read_cost_no_later_ones(tracking: Tracking) -> None:
    tracking.enable()
    training = Training(tracking)
    for _ in range(3):
        training.step()
    with NothingIsRead():
        for _ in range(5):
            training.step()
    training.step()
    assert tracking.run().points("step/loss").step.tolist() == [0, 1, 2, 8]


def test_an_optimizer_without_a_parameter(tracking: Tracking, caplog: pytest.LogCaptureFixture) -> None:
    """As of a model whose layers are all frozen."""
    tracking.enable()
    weight = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([{"params": []}], lr=0.1)
    for _ in range(5):
        loss = weight.sum()
        loss.backward()
        optimizer.step()
    assert tracking.run().points("loss").step.tolist() == [0, 1, 2, 3, 4]
    assert not caplog.records
