"""The driver: hooks around a toy library's calls, good and bad ones."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator, Iterator
from types import ModuleType
from typing import Any

import pytest

import autotrack
from autotrack import _enable, plugins
from autotrack.integration import Call, Integration, Outcome, hook
from autotrack.states import State

from .tracking import Tracking, tracking

__all__ = ["tracking"]

TOY = """
class Trainer:
    def __init__(self, lr=0.1): self.lr = lr
    def fit(self, epochs=3, callbacks=None):
        if epochs < 0: raise ValueError("epochs")
        for epoch in range(epochs):
            for callback in callbacks or []: callback.on_epoch(epoch, 1 / (epoch + 1))
        return self
    def predict(self): return 0
class Scaler:
    def fit(self): return self
def train(params, *, callbacks=None):
    return Trainer(**params).fit(callbacks=callbacks)
async def train_async(params):
    return Trainer(**params).fit()
"""


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = ModuleType("toylib")
    exec(TOY, module.__dict__)
    monkeypatch.setitem(sys.modules, "toylib", module)
    return module


def use(tracking: Tracking, monkeypatch: pytest.MonkeyPatch, integration: type[Integration]) -> None:
    """Enable `integration` as if it were installed."""
    monkeypatch.setattr(plugins, "names", lambda group: {"toy": None})
    monkeypatch.setattr(plugins, "load", lambda group, name: integration)
    tracking.enable("toy")
    monkeypatch.undo()


class Points:
    def __init__(self, run: Any) -> None:
        self.run = run

    def on_epoch(self, epoch: int, loss: float) -> None:
        self.run.log({"loss": loss}, epoch)


class Toy(Integration):
    name = "toy"
    requires = "toylib"

    @hook("toylib:Trainer.fit", "toylib:train", "toylib:Scaler.fit", "toylib:train_async")
    def fit(self, run: Any, call: Call) -> Generator[None, Outcome, None]:
        if "callbacks" in call.arguments:
            call.append("callbacks", Points(run))
        outcome = yield
        run.log_params({"outcome": type(outcome.value).__name__, "took": outcome.duration > 0})


@pytest.fixture
def monkeypatch_toy(toy: Any, tracking: Tracking) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_a_hook_sees_the_call_and_its_outcome(
    toy: Any, tracking: Tracking, monkeypatch_toy: pytest.MonkeyPatch
) -> None:
    use(tracking, monkeypatch_toy, Toy)
    callbacks: list[Any] = []
    assert isinstance(toy.train({"lr": 1}, callbacks=callbacks), toy.Trainer)
    assert callbacks == []
    run = tracking.run()
    assert run.name == "toylib.train"
    assert run.params == {"outcome": "Trainer", "took": True}
    assert run.points("loss").step.tolist() == [0, 1, 2]
    assert [fit.name for fit in run.fits] == ["Trainer"]


def test_positional_callbacks_are_copied_too(
    toy: Any, tracking: Tracking, monkeypatch_toy: pytest.MonkeyPatch
) -> None:
    use(tracking, monkeypatch_toy, Toy)
    callbacks: list[Any] = []
    toy.Trainer().fit(2, callbacks)
    assert callbacks == []
    assert len(tracking.run().points("loss")) == 2


def test_an_explicit_run_takes_transformers_and_the_first_predictor(
    toy: Any, tracking: Tracking, monkeypatch_toy: pytest.MonkeyPatch
) -> None:
    use(tracking, monkeypatch_toy, Toy)
    with autotrack.run("mine"):
        toy.Scaler().fit()
        toy.Trainer().fit()
        toy.Trainer().fit()
    child, mine = tracking.runs()
    assert [fit.name for fit in mine.fits] == ["Scaler", "Trainer"]
    assert (child.parent, child.fits) == (mine.id, [])


def test_coroutine_functions(toy: Any, tracking: Tracking, monkeypatch_toy: pytest.MonkeyPatch) -> None:
    use(tracking, monkeypatch_toy, Toy)

    async def both() -> None:
        await asyncio.gather(toy.train_async({}), toy.train_async({}))
        with pytest.raises(TypeError):
            await toy.train_async({"unknown": 1})

    asyncio.run(both())
    assert [run.state for run in tracking.runs()] == [State.FAILED, State.FINISHED, State.FINISHED]


def fails_before(self: Any, run: Any, call: Call) -> Generator[None, Outcome, None]:
    raise RuntimeError("before")
    yield


def fails_after(self: Any, run: Any, call: Call) -> Generator[None, Outcome, None]:
    yield
    raise RuntimeError("after")


def never_yields(self: Any, run: Any, call: Call) -> Any:
    return iter(())


def yields_twice(self: Any, run: Any, call: Call) -> Generator[None, Outcome, None]:
    yield
    yield


def is_no_generator(self: Any, run: Any, call: Call) -> Any:
    return None


def fails_on_errors(self: Any, run: Any, call: Call) -> Generator[None, Outcome, None]:
    outcome = yield
    outcome.value.missing


BAD_HOOKS = [fails_before, fails_after, never_yields, yields_twice, is_no_generator, fails_on_errors]


@pytest.mark.parametrize("bad", BAD_HOOKS)
def test_a_bad_hook_never_reaches_the_user(
    bad: Any,
    toy: Any,
    tracking: Tracking,
    monkeypatch_toy: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kind = type(
        "Bad", (Integration,), {"name": "toy", "requires": "toylib", "fit": hook("toylib:Trainer.fit")(bad)}
    )
    use(tracking, monkeypatch_toy, kind)
    for _ in range(5):
        trainer = toy.Trainer()
        assert trainer.fit() is trainer
        with pytest.raises(ValueError, match="epochs") as raised:
            trainer.fit(-1)
        assert raised.value.__context__ is None
    states = [run.state for run in tracking.runs()]
    assert states == [State.FAILED, State.FINISHED] * 5
    lines = [r.getMessage() for r in caplog.records if r.name == "autotrack"]
    assert len(lines) <= 3
    assert all(line.startswith("autotrack: toy: ") for line in lines)


def test_a_hook_that_keeps_failing_is_switched_off(
    toy: Any, tracking: Tracking, monkeypatch_toy: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    class Failing(Integration):
        name = "toy"
        requires = "toylib"

        @hook("toylib:Trainer.fit")
        def fit(self, run: Any, call: Call) -> Generator[None, Outcome, None]:
            calls.append(1)
            raise RuntimeError("no")
            yield

    use(tracking, monkeypatch_toy, Failing)
    for _ in range(5):
        toy.Trainer().fit()
    assert len(calls) == 3
    assert "(switched off)" in caplog.text
    assert len(tracking.runs()) == 5


def test_a_second_yield_is_said(
    toy: Any, tracking: Tracking, monkeypatch_toy: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Twice(Integration):
        name = "toy"
        requires = "toylib"

        @hook("toylib:Trainer.fit")
        def fit(self, run: Any, call: Call) -> Generator[None, Outcome, None]:
            yield
            yield

    use(tracking, monkeypatch_toy, Twice)
    toy.Trainer().fit()
    assert "more than one yield" in caplog.text


def test_a_broken_recorder_does_not_stop_training(
    toy: Any, tracking: Tracking, monkeypatch_toy: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use(tracking, monkeypatch_toy, Toy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_enable._recorder, "new_run", lambda *a, **k: 1 / 0)
        assert toy.train({"lr": 2}).lr == 2
    assert "toy: a call was not recorded, training goes on: ZeroDivisionError" in caplog.text


def test_a_target_that_is_gone_is_one_line_and_the_others_work(
    toy: Any, tracking: Tracking, monkeypatch_toy: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Changed(Integration):
        name = "toy"
        requires = "toylib"

        @hook("toylib:Trainer.fit_everything")
        def gone(self, run: Any, call: Call) -> Generator[None, Outcome, None]:
            yield

        @hook("toylib:Scaler.fit")
        def still_there(self, run: Any, call: Call) -> Generator[None, Outcome, None]:
            yield

    use(tracking, monkeypatch_toy, Changed)
    toy.Scaler().fit()
    assert tracking.run().name == "Scaler"
    lines = [r.getMessage() for r in caplog.records if r.name == "autotrack"]
    assert len(lines) == 1
    assert "fit_everything" in lines[0]
