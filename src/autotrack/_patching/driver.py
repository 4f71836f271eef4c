"""Runs a hook around a library's training call, and decides which run the call belongs to.

The library's call is made exactly once, with the user's arguments and outside every guard of ours,
so that its result and its exceptions are its own. Everything else here is guarded: what goes wrong
is one line in the log.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..integration import Call, Hook, Integration, Outcome
from ..interrupts import pass_on
from ..recording.current import current
from ..recording.lineage import lineage
from ..recording.outcomes import outcome_of, qualified_name
from .frames import Frame, frames, is_instance_in, silence, silent
from .guarding import GuardedHook, Steps
from .resting import RestingRun, resting_runs
from .runs import TrainingRuns

if TYPE_CHECKING:
    from ..recording.recorder import Recorder
    from ..recording.run import ActiveRun
    from ..recording.segments import Fit


class Driver:
    """The wrapper of one hook, shared by all its targets."""

    def __init__(
        self,
        integration: Integration,
        hook: Hook,
        recorder: Callable[[], Recorder],
        runs: TrainingRuns,
    ) -> None:
        self.hook = GuardedHook(integration, hook, recorder)
        self.stays_open = hook.stays_open
        self.seals = hook.seals
        self.evaluates = hook.evaluates
        self._is_nested = hook.nested
        self._integration = integration
        self.recorder = recorder
        self._runs = runs

    def __call__(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """The wrapper, in wrapt's form."""
        if inspect.iscoroutinefunction(wrapped):
            return self._await(wrapped, instance, args, kwargs)
        session = self._begin(wrapped, instance, args, kwargs)
        if session is None:
            return wrapped(*args, **kwargs)
        try:
            with session:
                session.value = wrapped(*session.call.args, **session.call.kwargs)
        except BaseException as error:
            session.abandon(error)  # a signal may have come amid the session's own beginning or end
            raise
        return session.value

    async def _await(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """The same for a coroutine function, whose call begins and ends in its own task."""
        session = self._begin(wrapped, instance, args, kwargs)
        if session is None:
            return await wrapped(*args, **kwargs)
        try:
            with session:
                session.value = await wrapped(*session.call.args, **session.call.kwargs)
        except BaseException as error:
            session.abandon(error)
            raise
        return session.value

    def _begin(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> _Session | None:
        """Everything before the call; None where the call is to go on alone."""
        outer = frames.get()
        if silent.get() or (outer and outer[-1].is_sealed) or is_instance_in(instance, outer):
            return None  # not the user's; or super().fit, or fit calling partial_fit: one call
        if not outer and self._runs.is_no_concern():
            return None
        session = _Session(self, Call(wrapped, instance, args, kwargs), outer)
        try:
            session.open()
        except BaseException as error:
            session.abandon(error)
            if not isinstance(error, Exception):
                raise  # Ctrl-C is the user's
            pass_on(error)
            self.hook.warn("a call was not recorded", error)
            return None
        return session

    def run_of(self, call: Call, name: str) -> tuple[ActiveRun, bool]:
        """The run an outermost call belongs to, and whether it is the integration's own to end."""
        if self.evaluates and (run := self.recorder().active_run()) is not None:
            run.begin_if_new()
            return run, False
        return self._runs.run_of(
            name, _is_predictor(call), self.stays_open, resumed=lambda: self._resumed(call)
        )

    def hooks_into(self, outer: tuple[Frame, ...]) -> bool:
        """Whether the hook runs for a call at this depth, or the call is only a `fit` span.

        Deeper than directly below the run's own call there may be many alike, as in a search, and
        their metrics would mix.
        """
        return not outer or (self._is_nested and len(outer) == 1)

    def trained_in(self, subject: Any) -> ActiveRun | None:
        """The run that an evaluating call's subject was trained in, if it is recorded here."""
        run = lineage.run_of(subject) if self.evaluates and subject is not None else None
        return run if run is not None and run.is_of(self.recorder()) else None

    def subject(self, call: Call) -> Any:
        """What is trained; what the call is bound to where the arguments do not tell."""
        try:
            return self._integration.subject(call)
        except Exception as error:  # noqa: BLE001  of a call with wrong arguments the library complains
            pass_on(error)
            return call.instance

    def _resumed(self, call: Call) -> str | None:
        try:
            return None if self.evaluates else self._integration.resumes(call)
        except TypeError:  # of a call with wrong arguments the library complains
            return None
        except Exception as error:  # noqa: BLE001
            pass_on(error)
            self.hook.warn("the run that a call goes on with was not found", error)
            return None

    def settings(self, call: Call) -> Mapping[str, Any]:
        """The params of a `fit` span; none if the integration fails to tell."""
        try:
            return self._integration.settings(call)
        except Exception as error:  # noqa: BLE001
            pass_on(error)
            self.hook.warn("the params of a call were not recorded", error)
            return {}


class _Session:
    """One call on its way: opened before the library is called, and around it as a context."""

    def __init__(self, driver: Driver, call: Call, outer: tuple[Frame, ...]) -> None:
        self.call = call
        self.call.is_nested = bool(outer)
        self.value: Any = None
        self._subject = driver.subject(call)
        self._driver = driver
        self._outer = outer
        self._steps: Steps | None = None
        self._fit: Fit | None = None
        self._held_by: list[Fit] | None = None
        self._resting: RestingRun | None = None
        self._current = current.get()
        self._owns_run = False
        self._is_over = False
        self._run: ActiveRun

    def open(self) -> None:
        name, kind = _names(self.call, self._subject, self._driver.evaluates)
        if not self._driver.stays_open:
            resting_runs.end(self.call.instance)
        if self._outer:
            self._run = self._outer[-1].run
            inner_fits = self._outer[-1].call.inner_fits
            self._held_by = inner_fits(self.call) if inner_fits is not None else None
        elif self._driver.stays_open:
            self._open_step(name)
        elif (run := self._driver.trained_in(self._subject)) is not None:
            self._run, self.call.was_trained = run, True
        else:
            self._run, self._owns_run = self._driver.run_of(self.call, name)
        if self._owns_run:
            self._run.begin()
        elif self._resting is None:
            self._fit = self._run.open_fit(name, kind, self._enclosing_span_id())
        is_sealed = self._held_by is not None or self._resting is not None or self._driver.seals
        frames.set((*self._outer, Frame(self.call, self._run, self._fit, is_sealed)))
        is_ours = not self._run.inherited or self._run.is_muted  # of a muted one a rank's times are kept
        if is_ours and self._driver.hooks_into(self._outer):
            self._steps = self._driver.hook.start(self._run, self.call)

    def _open_step(self, name: str) -> None:
        self._resting, self.call.number = resting_runs.enter(
            self.call.instance, self._driver.recorder(), lambda: self._driver.run_of(self.call, name)
        )
        self._run = self._resting.run
        current.set(self._run)

    def abandon(self, error: BaseException) -> None:
        """Leave what was entered, and end the run, as far as that has not been done."""
        frames.set(self._outer)
        silent.set(False)  # as it was: else there were no session
        if not self._is_over:
            self._end_run(error)

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        """Everything after the call; never raises, but what a signal's handler does."""
        duration = time.perf_counter() - self._started
        frames.set(self._outer)
        try:
            if error is None and not self._driver.evaluates:
                lineage.trained(self.value if self._subject is None else self._subject, self._run)
            if self._steps is not None:
                with silence():
                    self._driver.hook.finish(self._steps, Outcome(self.value, error, duration))
            if self._fit is not None:
                self._end_fit(self._fit, error)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._end_run(error)
            error = None  # a cycle with this frame would keep alive what was trained

    def _end_fit(self, fit: Fit, error: BaseException | None) -> None:
        self._run.end_fit(fit, self._driver.settings(self.call), error)
        if self._held_by is None:
            self._run.record_fit(fit)
        else:
            self._held_by.append(fit)

    def _end_run(self, error: BaseException | None) -> None:
        if self._resting is not None:
            current.set(self._current)
            resting_runs.leave(self._resting, *outcome_of(error))
        elif self._owns_run:
            self._run.finish(*outcome_of(error))
        self._is_over = True

    def _enclosing_span_id(self) -> int | None:
        fit = self._outer[-1].fit if self._outer else None
        return fit.span_id if fit is not None else None


def _is_predictor(call: Call) -> bool:
    """A model, as against a transformer: it predicts, or it is a training function."""
    try:
        return call.instance is None or hasattr(call.instance, "predict")
    except Exception as error:  # noqa: BLE001  a property of the user's class may raise anything
        pass_on(error)
        return True


def _names(call: Call, subject: Any, evaluates: bool) -> tuple[str, str]:
    """What the call is named, short and qualified: the class of its subject, else the function."""
    function = call.function
    if subject is not None and not isinstance(subject, type):
        kind = type(subject)
        name = f"{kind.__name__}.{function.__name__}" if evaluates else kind.__name__
        return name, qualified_name(kind)
    module = getattr(function, "__module__", "") or ""
    qualname = getattr(function, "__qualname__", "call")
    return f"{module.partition('.')[0]}.{qualname}", f"{module}.{qualname}"
