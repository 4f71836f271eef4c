"""Signals are the program's: threads of ours leave them to it, and forked children lose none."""

from __future__ import annotations

import functools
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from ..interrupts import raised_by_a_handler

NOT_FOR_THREADS = {
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGCHLD),
}
"""Caught by a thread of ours they would interrupt nothing in the main one, whose handlers they are for."""


def leave_to_the_program() -> None:
    """In a thread of ours, as it begins; threads and processes that it starts have its mask too."""
    signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_THREADS)


def not_swallowed(hook: Callable[..., None]) -> Callable[..., None]:
    """A hook of forks: CPython prints what one raises, and goes on.

    What a signal's handler raised amid it, as Ctrl-C's does, is raised again where the thread is after it.
    """

    @functools.wraps(hook)
    def watched(*arguments: Any) -> None:
        try:
            hook(*arguments)
        except BaseException as error:
            if isinstance(error, Exception) and not raised_by_a_handler(error):
                raise
            again = threading.Timer(AGAIN, _raise_in, (threading.get_ident(), error))
            again.daemon = True
            again.start()

    return watched


AGAIN = 0.05
"""Seconds after which it is."""
_forking: set[int] = set()
"""Threads that are among the hooks of a fork: what is raised in others' is swallowed too."""


def _raise_in(thread: int, error: BaseException) -> None:
    """CPython takes a class to raise in another thread, and makes the error of it: this one."""
    import ctypes

    while thread in _forking:
        time.sleep(0.001)
    try:
        again = type("Again", (type(error),), {"__new__": lambda kind: error})
    except TypeError:  # a class that minds how it is derived from
        again = type(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(again))


class _Masks(threading.local):
    """Of a thread before each fork that it is in, as a hook of one may fork itself."""

    def __init__(self) -> None:
        self.before: list[set[int]] = []


class Postponed:
    """Signals to the thread that forks, from before our part of the fork until that has ended.

    CPython forgets in the child what came before that had its handler, as if it had been the parent's; a
    signal that is blocked waits in the kernel. One to the process goes to another thread, if that does not
    block it, and its handler may raise amid our hooks.
    """

    def __init__(self) -> None:
        self._masks = _Masks()

    def begin(self) -> None:
        _forking.add(threading.get_ident())
        self._masks.before.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_THREADS)  # only now: it is known how to undo it

    def end(self) -> None:
        """In the parent."""
        _forking.discard(threading.get_ident())
        if self._masks.before:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.before.pop())

    def end_in_child(self) -> None:
        """As it was before the outermost fork: a child comes back from the innermost only."""
        _forking.clear()
        masks, self._masks.before = self._masks.before, []
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, masks[0])
