"""Runs a hook around a library's call, and decides which run the call belongs to.

The library's call is made exactly once, with the user's arguments and outside every guard of ours,
so that its result and its exceptions are its own. Everything else here is guarded: what goes wrong
is one line in the log.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..integration import Call, Hook, Integration, Outcome
from ..recording.run import message_of, outcome_of, qualified_name

if TYPE_CHECKING:
    from ..recording.recorder import Recorder
    from ..recording.run import ActiveRun, Fit

FAILURES_BEFORE_OFF = 3
"""A hook that fails this often in a row is switched off; one odd object does not do it."""


class _Frame:
    """One training call that is going on in this context."""

    __slots__ = ("fit", "instance", "run")

    def __init__(self, instance: Any, run: ActiveRun, fit: Fit | None) -> None:
        self.instance = instance
        self.run = run
        self.fit = fit


_frames: ContextVar[tuple[_Frame, ...]] = ContextVar("autotrack_calls", default=())


class Driver:
    """The wrapper of one hook, shared by all its targets."""

    def __init__(
        self,
        integration: Integration,
        hook: Hook,
        recorder: Callable[[], Recorder],
        experiment: Callable[[], str],
    ) -> None:
        self._integration = integration
        self._hook = hook
        self._recorder = recorder
        self._experiment = experiment
        self._failures = 0

    def __call__(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """The wrapper, in wrapt's form."""
        if inspect.iscoroutinefunction(wrapped):
            return self._await(wrapped, instance, args, kwargs)
        session = self._begin(wrapped, instance, args, kwargs)
        if session is None:
            return wrapped(*args, **kwargs)
        with session:
            session.value = wrapped(*session.call.args, **session.call.kwargs)
        return session.value

    async def _await(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """The same for a coroutine function, whose call begins and ends in its own task."""
        session = self._begin(wrapped, instance, args, kwargs)
        if session is None:
            return await wrapped(*args, **kwargs)
        with session:
            session.value = await wrapped(*session.call.args, **session.call.kwargs)
        return session.value

    def _begin(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> _Session | None:
        """Everything before the call; None where the call is to go on alone."""
        frames = _frames.get()
        session = _Session(self, Call(wrapped, instance, args, kwargs), frames)
        if instance is not None and any(f.instance is instance for f in frames):
            return None  # super().fit, or fit calling partial_fit: one call
        try:
            session.open()
        except BaseException as error:
            _frames.set(frames)
            session.abandon(error)
            if not isinstance(error, Exception):
                raise  # Ctrl-C is the user's
            self.warn("a call was not recorded", error)
            return None
        return session

    def claim_run(self, call: Call, name: str) -> tuple[ActiveRun, bool]:
        """The run an outermost call belongs to, and whether it is the call's own to end."""
        run = self._recorder().active_run()
        if run is not None:
            run.begin_if_new()
            if not _is_predictor(call) or run.claim():
                return run, False
        return self._new_run(name, run), True

    def _new_run(self, name: str, parent: ActiveRun | None) -> ActiveRun:
        experiment = parent.experiment if parent else self._experiment()
        return self._recorder().new_run(name, experiment, explicit=False)

    def start_hook(self, run: ActiveRun, call: Call) -> Generator[None, Outcome, None] | None:
        """Run the hook up to its yield; None if it is switched off or failed."""
        if self._failures >= FAILURES_BEFORE_OFF:
            return None
        steps = self._hook.function(self._integration, run, call)
        return steps if self._guarded(lambda: next(steps), "its hook failed before the call") else None

    def finish_hook(self, steps: Generator[None, Outcome, None], outcome: Outcome) -> None:
        """Run the hook from its yield to its end."""
        if self._guarded(lambda: steps.send(outcome), "its hook failed after the call"):
            self._guarded(steps.close, "its hook yielded twice")

    def hooks_into(self, frames: tuple[_Frame, ...]) -> bool:
        """Whether the hook runs for a call at this depth, or the call is only a `fit` span.

        Deeper than directly below the run's own call there may be many alike, as in a search, and
        their metrics would mix.
        """
        return not frames or (self._hook.nested and len(frames) == 1)

    def settings(self, call: Call) -> Mapping[str, Any]:
        """The params of a `fit` span; none if the integration fails to tell."""
        try:
            return self._integration.settings(call)
        except Exception as error:  # noqa: BLE001
            self.warn("the params of a call were not recorded", error)
            return {}

    def warn(self, what: str, error: Exception) -> None:
        """One line naming the integration."""
        self._recorder().report.warn(
            f"{self._integration.name}: {what}, training goes on: {type(error).__name__}: {message_of(error)}"
        )

    def _guarded(self, step: Callable[[], Any], what: str) -> bool:
        """Whether `step` came to a yield."""
        try:
            step()
        except StopIteration:
            self._failures = 0
            return False
        except Exception as error:  # noqa: BLE001
            self._failures += 1
            off = " (switched off)" if self._failures == FAILURES_BEFORE_OFF else ""
            self.warn(what + off, error)
            return False
        return True


class _Session:
    """One call on its way: opened before the library is called, and around it as a context."""

    def __init__(self, driver: Driver, call: Call, frames: tuple[_Frame, ...]) -> None:
        self.call = call
        self.value: Any = None
        self._driver = driver
        self._frames = frames
        self._steps: Generator[None, Outcome, None] | None = None
        self._fit: Fit | None = None
        self._owns_run = False
        self._run: ActiveRun

    def open(self) -> None:
        name, kind = _names(self.call)
        if self._frames:
            self._run = self._frames[-1].run
        else:
            self._run, self._owns_run = self._driver.claim_run(self.call, name)
        if self._owns_run:
            self._run.begin()
        else:
            self._fit = self._run.open_fit(name, kind, self._enclosing_span_id())
        _frames.set((*self._frames, _Frame(self.call.instance, self._run, self._fit)))
        if self._driver.hooks_into(self._frames):
            self._steps = self._driver.start_hook(self._run, self.call)

    def abandon(self, error: BaseException) -> None:
        """What came before the call failed: the call goes on alone."""
        if self._owns_run:
            self._run.finish(*outcome_of(error))

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        """Everything after the call; never raises."""
        duration = time.perf_counter() - self._started
        _frames.set(self._frames)
        try:
            if self._steps is not None:
                self._driver.finish_hook(self._steps, Outcome(self.value, error, duration))
            if self._fit is not None:
                self._run.close_fit(self._fit, self._driver.settings(self.call), error)
        finally:
            if self._owns_run:
                self._run.finish(*outcome_of(error))

    def _enclosing_span_id(self) -> int | None:
        fit = self._frames[-1].fit if self._frames else None
        return fit.span_id if fit is not None else None


def _is_predictor(call: Call) -> bool:
    """A model, as against a transformer: it predicts, or it is a training function."""
    try:
        return call.instance is None or hasattr(call.instance, "predict")
    except Exception:  # noqa: BLE001  a property of the user's class may raise anything
        return True


def _names(call: Call) -> tuple[str, str]:
    """What the call is named, short and qualified: the estimator's class, else the function."""
    if call.instance is not None and not isinstance(call.instance, type):
        kind = type(call.instance)
        return kind.__name__, qualified_name(kind)
    function = call.function
    module = getattr(function, "__module__", "") or ""
    qualname = getattr(function, "__qualname__", "call")
    return f"{module.partition('.')[0]}.{qualname}", f"{module}.{qualname}"
