"""Signals are the program's: threads of ours leave them to it, and forked children lose none."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NOT_FOR_THREADS = {
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGCHLD),
}
"""Caught by a thread of ours they would interrupt nothing in the main one, whose handlers they are for."""


def leave_to_the_program() -> None:
    """In a thread of ours, as it begins."""
    signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_THREADS)


@contextmanager
def for_a_child() -> Iterator[None]:
    """A process has the mask of the thread that starts it: one that is started here can be ended by each."""
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, NOT_FOR_THREADS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Postponed:
    """SIGTERM, in the thread that forks, from before the fork until the child has settled its handler.

    CPython forgets in the child what came by then, as if it had been the parent's; a signal that is
    blocked waits in the kernel.
    """

    def __init__(self) -> None:
        self._masks = threading.local()  # a stack for each thread: a hook of a fork may fork itself

    def begin(self) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self._masks.__dict__.setdefault("before", []).append(before)

    def end(self) -> None:
        """In the parent; the mask is again what it was."""
        if masks := self._masks.__dict__.get("before"):
            signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop())

    def end_in_child(self) -> None:
        """As it was before the outermost fork: a child comes back from the innermost only."""
        if masks := self._masks.__dict__.pop("before", None):
            signal.pthread_sigmask(signal.SIG_SETMASK, masks[0])
