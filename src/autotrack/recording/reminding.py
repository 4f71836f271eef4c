"""SIGTERM in a worker of multiprocessing's, which is how most of them end.

A handler in Python runs when the main thread next runs Python. A signal that comes a moment before that
thread waits for a lock, as a pool's workers do between two tasks, interrupts nothing: the worker would wait
for ever, and so would whoever joins it. Without our handler it would be gone, so a thread hears of the signal
as it comes, and sends it again until the handler runs.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

THE_PROGRAMS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
"""Signals that a thread of ours leaves to the main one: caught by it they would interrupt nothing there."""
_FIRST, _LONGEST = 0.05, 1.0
"""Seconds until it is sent again; each time twice as many, up to the longest."""


class Reminder:
    """Sees to it that SIGTERM's handler runs; `awaits` says whether it is ours and has yet to."""

    def __init__(self, awaits: Callable[[], bool]) -> None:
        self._awaits = awaits
        self._reader = self._writer = -1

    def start(self) -> None:
        """In the main thread. Nothing where somebody else is told of signals, as an event loop is."""
        if self._writer != -1:
            return
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        if self._tell(self._writer):
            threading.Thread(target=self._listen, name="autotrack-signals", daemon=True).start()
        else:
            self.forget()

    def pause(self) -> None:
        """Before a fork: what the child is sent must not be heard here."""
        if self._writer != -1:
            self._tell(-1)

    def listen(self) -> None:
        """Go on after `pause`, unless somebody else is told by now."""
        if self._writer != -1:
            self._tell(self._writer)

    def forget(self) -> None:
        """In a forked child: the thread is the parent's."""
        self.pause()
        if self._writer != -1:
            os.close(self._reader)
            os.close(self._writer)
            self._reader = self._writer = -1

    def _tell(self, descriptor: int) -> bool:
        """Whether this, -1 for nobody, is told of signals by now: not in place of somebody else."""
        if threading.current_thread() is not threading.main_thread():
            return False
        before = signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
        if before in (-1, self._writer):
            return True
        signal.set_wakeup_fd(before)
        return False

    def _listen(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, THE_PROGRAMS)
        while heard := os.read(self._reader, 64):
            pause = _FIRST
            while signal.SIGTERM in heard and self._awaits():
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST)
                if self._awaits():
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
