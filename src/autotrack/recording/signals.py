"""Signals are the program's: threads of ours leave them to it, and forked children lose none."""

from __future__ import annotations

import signal
import threading

NOT_FOR_THREADS = {
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGCHLD),
}
"""Caught by a thread of ours they would interrupt nothing in the main one, whose handlers they are for."""


def leave_to_the_program() -> None:
    """In a thread of ours, as it begins; threads and processes that it starts have its mask too."""
    signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_THREADS)


class _Masks(threading.local):
    """Of a thread before each fork that it is in, as a hook of one may fork itself; None: it was left."""

    def __init__(self) -> None:
        self.before: list[set[int] | None] = []


class Postponed:
    """SIGTERM, in the thread that forks, from before the fork until the child has settled its handler.

    CPython forgets in the child what came by then, as if it had been the parent's; a signal that is
    blocked waits in the kernel.
    """

    def __init__(self) -> None:
        self._masks = _Masks()

    def begin(self, is_wanted: bool) -> None:
        self._masks.before.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()) if is_wanted else None)
        if is_wanted:  # only now is it known how to undo this, whatever a handler raises just here
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def end(self) -> None:
        """In the parent."""
        if self._masks.before and (mask := self._masks.before.pop()) is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def end_in_child(self) -> None:
        """As it was before the outermost fork: a child comes back from the innermost only."""
        changed = [mask for mask in self._masks.before if mask is not None]
        self._masks.before.clear()
        if changed:
            signal.pthread_sigmask(signal.SIG_SETMASK, changed[0])
