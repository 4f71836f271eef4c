"""Exceptions that a handler of signals raised amid our code: the program's own, as a time-out's.

They pass through whatever else is kept from the training, as they would have come out of the library.
"""

from __future__ import annotations

import functools
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from itertools import pairwise
from types import FrameType
from typing import Any


def pass_on(error: BaseException) -> None:
    """In an `except`: raise what a handler raised, if that is `error` or what it was made of."""
    if threading.current_thread() is not threading.main_thread():
        return  # handlers run there
    handlers = next(filter(raised_by_a_handler, _with_causes(error)), None)
    if handlers is not None:
        try:
            raise handlers
        finally:
            del error, handlers  # a cycle with this frame would keep alive what the user's frames hold


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """Not what else was being handled: that may be by the user, with our call in his `except`."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        yield cause
        seen.add(id(cause))
        cause = cause.__cause__


def raised_by_a_handler(error: BaseException) -> bool:
    """Whether what handles a signal was at work when it was raised: no code that ran is at fault."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if len(frames) < 2:  # what was interrupted stands before it
        return False
    if any(_handles(frame, frames, place) for place, frame in enumerate(frames) if place):
        return True
    codes = {_code_of(handler) for handler in map(signal.getsignal, _SIGNALS) if callable(handler)}
    return any(frame.f_code in codes for frame in frames)  # one may have deleted its arguments


def _handles(frame: FrameType, frames: Sequence[FrameType], place: int) -> bool:
    """Whether it was called with a signal's number and one of the frames before its place: a handler may be
    gone by now.

    That is the frame right below it, or, of C that shows in tracebacks, as Cython's, one farther down.
    """
    code = frame.f_code
    takes_more = bool(code.co_flags & _VARARGS)
    names = code.co_varnames[: code.co_argcount + takes_more * (code.co_kwonlyargcount + 1)]
    if not names:
        return False
    given = [frame.f_locals.get(name) for name in names]
    if takes_more:
        given[code.co_argcount :] = given[-1] if type(given[-1]) is tuple else ()
    calls = ((a, b) for a, b in pairwise(given) if type(a) is int and a in _SIGNALS)
    return any(b is interrupted for _, b in calls for interrupted in frames[:place])


_VARARGS = 4  # inspect.CO_VARARGS, without an import that takes long
_SIGNALS = frozenset(map(int, signal.valid_signals()))


def _code_of(handler: Any) -> Any:
    while isinstance(handler, functools.partial):
        handler = handler.func
    function = getattr(handler, "__func__", handler)
    if not hasattr(function, "__code__"):
        function = vars(type(handler)).get("__call__")
    return getattr(function, "__code__", None)
