"""Work that is handed to a thread or a process, and what it takes along: the run and the calls it belongs to.

Not the whole context: that would bring the user's other context variables there, and change what they do.
"""

from __future__ import annotations

import functools
import inspect
import logging
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace

from ..integration import Call
from ..interrupts import pass_on
from ..recording.current import current
from ..recording.origin import Origin
from .frames import Frame, frames, silence, silent

if TYPE_CHECKING:
    from ..recording.recorder import Recorder
    from ..recording.run import ActiveRun
    from ..recording.segments import Fit

log = logging.getLogger("autotrack")


class Handover(NamedTuple):
    """How another process comes to record in the run: `join(config)` gives the recorder there.

    `origin` is None for work that is not recorded, as what goes on inside a call that is observed.
    """

    join: Callable[[str], Recorder]
    config: str
    origin: Origin | None


@functools.lru_cache(maxsize=64)
def _packed(handover: Handover) -> bytes:
    """The same for every task of one place, so that a worker unpacks it once."""
    import pickle  # 4 ms, for who hands over work

    return pickle.dumps(handover)


@functools.lru_cache(maxsize=64)
def _unpacked(packed: bytes) -> Handover:
    import pickle

    handover: Handover = pickle.loads(packed)
    return handover


def origin_here(recorder: Recorder) -> Origin | None:
    """What work that is handed over here belongs to; None if nothing of it is recorded."""
    calls = frames.get()
    if silent.get() or (calls and calls[-1].is_sealed and not calls[-1].call.hands_over):
        return None
    run = calls[-1].run if calls else recorder.active_run()
    if run is None:
        return None
    run.begin_if_new()
    origin = run.origin()
    if origin is None or run.is_muted:
        return None
    fits = [frame.fit.span_id for frame in calls if frame.fit is not None]
    return origin._replace(span_id=[origin.span_id, *fits][-1], is_in_call=bool(calls))


def carried(function: Any, handover: Handover | None = None, may_lack_us: bool = False) -> Any:
    """`function`, to be called in another thread, with a `handover` in another process, as if it were here.

    may_lack_us: that process may have no autotrack; it needs cloudpickle then.
    It stays itself where nothing goes on here, and if it is no plain function: whoever takes a class or a
    coroutine function looks at what it is. A proxy may refuse to be looked at by anybody.
    """
    try:
        is_plain = callable(function) and not isinstance(function, (type, _Task))
        if not is_plain or inspect.iscoroutinefunction(function):
            return function
        if handover is None and not (frames.get() or silent.get() or current.get()):
            return function
        return _Task(function, handover, may_lack_us)
    except Exception as error:  # noqa: BLE001
        pass_on(error)
        log.debug("autotrack: a task does not join the run: %r", error)
        return function


class _Task:
    """A function inside the calls that were going on where it was made; pickled, inside the run alone."""

    def __init__(self, function: Callable[..., Any], handover: Handover | None, may_lack_us: bool) -> None:
        functools.update_wrapper(self, function, updated=())
        self._function = function
        self._handover = handover
        self._may_lack_us = may_lack_us
        self._calls, self._run, self._is_silent = frames.get(), current.get(), silent.get()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tokens = frames.set(self._calls), current.set(self._run)
        try:
            if self._is_silent:
                with silence():
                    return self._function(*args, **kwargs)
            return self._function(*args, **kwargs)
        finally:
            frames.reset(tokens[0])
            current.reset(tokens[1])

    def __reduce__(self) -> Any:
        if self._handover is None:
            return _itself, (self._function,)
        if self._may_lack_us:
            return operator.getitem, ((_anywhere(self._function, _packed(self._handover)),), 0)
        return _Elsewhere, (self._function, _packed(self._handover))

    def __dask_tokenize__(self) -> Any:
        """dask names what it computes by this, and does not compute it twice."""
        from dask.base import normalize_token

        return normalize_token(self._function)


def _itself(function: Any) -> Any:
    return function


def _anywhere(function: Callable[..., Any], packed: bytes) -> Callable[..., Any]:
    """`_Elsewhere`, or without autotrack the function alone: nothing in its pickle is found by name."""

    def task(*args: Any, **kwargs: Any) -> Any:
        try:
            from autotrack._patching.tasks import _Elsewhere
        except ImportError:
            return function(*args, **kwargs)
        return _Elsewhere(function, packed)(*args, **kwargs)

    return task


class _Elsewhere:
    """A task in the process that has taken it: what it trains is recorded in the run it comes from."""

    def __init__(self, function: Callable[..., Any], packed: bytes) -> None:
        self._function = function
        self._packed = packed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        origin, run = _joined(self._packed)
        if run is None or run.segment is None:
            with silence():
                return self._function(*args, **kwargs)
        tokens = frames.set(_calls_above(run, origin)), current.set(run), silent.set(False)
        context = otel_context.attach(trace.set_span_in_context(run.segment.span))
        try:
            return self._function(*args, **kwargs)
        finally:
            otel_context.detach(context)
            frames.reset(tokens[0])
            current.reset(tokens[1])
            silent.reset(tokens[2])

    def __reduce__(self) -> Any:
        return _Elsewhere, (self._function, self._packed)


def _joined(packed: bytes) -> tuple[Origin | None, ActiveRun | None]:
    """Where it comes from, and the run in this process.

    None if nothing is recorded: whatever fails here, the work goes on.
    """
    try:
        handover = _unpacked(packed)
        if handover.origin is None:
            return None, None
        return handover.origin, handover.join(handover.config).joined.of(handover.origin)
    except Exception as error:  # noqa: BLE001
        pass_on(error)
        _log_failure(error)
        return None, None


def arrive(join: Callable[[str], Recorder], config: str, origin: Origin) -> None:
    """This process, which has just started, belongs to the run as a whole."""
    try:
        join(config).join_for_good(origin)
    except Exception as error:  # noqa: BLE001  whatever fails here, the process goes on
        pass_on(error)
        _log_failure(error)


def _log_failure(error: Exception) -> None:
    log.warning("autotrack: what this process trains is not recorded: %s: %s", type(error).__name__, error)


def _calls_above(run: ActiveRun, origin: Origin | None) -> tuple[Frame, ...]:
    """Inside a training call of the other process each call here is a `fit` span, its inside not told."""
    if origin is None or not origin.is_in_call:
        return ()
    call = Call(_joined, None, (), {})
    recorded = _Recorded(run)
    call.inner_fits = lambda inner: recorded
    return (Frame(call, run, None, False),)


class _Recorded(list["Fit"]):
    """The place of `fit` spans that belong to the run at once."""

    def __init__(self, run: ActiveRun) -> None:
        super().__init__()
        self._run = run

    def append(self, fit: Fit) -> None:
        self._run.record_fit(fit)
