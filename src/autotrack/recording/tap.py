"""Listens to standard output, standard error and `logging` without being in their way.

A stream keeps its identity: only its `write` is shadowed, on the object itself, so that whoever holds
it is heard. What goes past `write` is not (`sys.stdout.buffer`, file descriptor 1, libraries in C), nor
is a stream that takes its place later, unless that one passes its text on.
"""

from __future__ import annotations

import functools
import logging
import sys
import traceback
from collections.abc import Callable
from threading import get_ident
from typing import Any, NamedTuple

from ..interrupts import pass_on
from .console import LOGGING, STDERR, STDOUT, Console

log = logging.getLogger("autotrack")

_ABSENT: Any = object()


class _Write:
    """A stream's `write` that is heard. Pickled, it is the stream's own again."""

    def __init__(self, stream: Any, hear: Callable[[Any], None]) -> None:
        functools.update_wrapper(self, stream.write)
        self._stream = stream
        self._hear = hear

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        written = self.__wrapped__(*args, **kwargs)
        self._hear(args[0] if args else "")
        return written

    def __getattr__(self, name: str) -> Any:
        """What else methods have, as `__self__`."""
        return getattr(object.__getattribute__(self, "__wrapped__"), name)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._stream, "write")


def own_write(stream: Any) -> Callable[[str], Any]:
    """The stream's own `write`, which nobody hears: for what we say ourselves."""
    write = stream.write
    return write.__wrapped__ if isinstance(write, _Write) else write  # type: ignore[no-any-return]


class _Tapped(NamedTuple):
    """A stream, the `write` that was put on it, and the one of its own that it had before."""

    stream: Any
    write: Any
    before: Any


class Tap:
    """Passes on to `console` what is written to the streams and what `logging` shows."""

    def __init__(self) -> None:
        self.console: Console | None = None
        self._tapped: list[_Tapped] = []
        self._call_handlers: tuple[Any, Any] = (None, None)  # ours, and the one before
        self._handling: set[int] = set()  # threads in which handlers print what has been heard already

    def on(self) -> None:
        """Listen to the streams of this moment.

        No longer to those that they replaced: a stream that passes its text on would be heard twice.
        """
        self.off()
        self._listen_to_logging()
        for name in (STDOUT, STDERR):
            stream = getattr(sys, name)  # None where there is no console
            if stream is not None and all(stream is not tapped.stream for tapped in self._tapped):
                try:
                    self._listen(name, stream)
                except Exception as error:  # noqa: BLE001  the user's object may refuse in any way
                    pass_on(error)
                    log.warning("autotrack: sys.%s is not recorded: %s", name, error)

    def off(self) -> None:
        """Give `logging` and every stream their own again, unless somebody wrapped it in the meantime."""
        ours, before = self._call_handlers
        if vars(logging.Logger)["callHandlers"] is ours:
            logging.Logger.callHandlers = before  # type: ignore[method-assign]
        self._call_handlers = (None, None)
        for stream, write, before in self._tapped:
            if vars(stream).get("write") is not write:
                continue
            if before is _ABSENT:
                del stream.write
            else:
                stream.write = before
        self._tapped.clear()

    def _listen_to_logging(self) -> None:
        """A record is heard once, in `Logger.callHandlers`, not again where a handler prints it.

        A handler of our own on the root logger would turn `logging.basicConfig` into nothing.
        """
        before = logging.Logger.callHandlers

        @functools.wraps(before)
        def call_handlers(logger: logging.Logger, *args: Any, **kwargs: Any) -> None:
            if self._call_handlers[0] is not call_handlers:  # somebody's wrapper has kept it
                return before(logger, *args, **kwargs)
            thread = get_ident()
            is_inner = thread in self._handling
            self._handling.add(thread)
            try:
                return before(logger, *args, **kwargs)
            finally:
                if not is_inner:
                    self._handling.discard(thread)
                if self.console is not None:
                    self._take_record(self.console, logger, *args, **kwargs)

        logging.Logger.callHandlers = call_handlers  # type: ignore[assignment, method-assign]
        self._call_handlers = (call_handlers, before)

    def _listen(self, name: str, stream: Any) -> None:
        before = vars(stream).get("write", _ABSENT)
        write = _Write(stream, functools.partial(self._take_written, name))
        stream.write = write
        self._tapped.append(_Tapped(stream, write, before))

    def _take_written(self, name: str, what: Any) -> None:
        console = self.console
        if console is None or (self._handling and get_ident() in self._handling):
            return
        try:
            console.take(name, what)
        except Exception as error:  # noqa: BLE001  the user's print must not fail of it
            pass_on(error)
            console.failed(error)

    def _take_record(self, console: Console, logger: logging.Logger, record: logging.LogRecord) -> None:
        try:
            if console.place() is not None and _is_shown(logger, record):
                console.take(LOGGING, _text_of(record), record.levelname, record.name)
        except Exception as error:  # noqa: BLE001  nor their logging
            pass_on(error)
            console.failed(error)


def _is_shown(logger: logging.Logger | None, record: logging.LogRecord) -> bool:
    """Whether a handler takes the record, as `Logger.callHandlers` looks for them."""
    has_handlers = False
    while logger:
        for handler in logger.handlers:
            has_handlers = True
            if record.levelno >= handler.level and not isinstance(handler, logging.NullHandler):
                return True
        logger = logger.parent if logger.propagate else None
    last = logging.lastResort
    return not has_handlers and last is not None and record.levelno >= last.level


def _text_of(record: logging.LogRecord) -> str:
    """The message with its traceback, as handlers made them: a user's `__str__` is not asked twice."""
    try:
        message = getattr(record, "message", None) or record.getMessage()
    except Exception as error:  # noqa: BLE001  the handlers have complained of it
        pass_on(error)
        message = f"{record.msg!r} (its arguments cannot be formatted: {type(error).__name__})"
    parts = [message]
    if record.exc_info:
        parts.append(record.exc_text or "".join(traceback.format_exception(*record.exc_info)))
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(part.rstrip("\n") for part in parts)
