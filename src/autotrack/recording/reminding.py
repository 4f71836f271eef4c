"""SIGTERM in a worker of multiprocessing's, which is how most of them end.

A handler in Python runs when the main thread next runs Python. A signal that comes a moment before that
thread waits for a lock, as a pool's workers do between two tasks, interrupts nothing: the worker would wait
for ever, and so would whoever joins it. Without our handler it would be gone, so a thread hears of the signal
as it comes, and sends it again until the handler runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

from .signals import leave_to_the_program

_FIRST, _LONGEST = 0.05, 1.0
"""Seconds until it is sent again; each time twice as many, up to the longest."""


class Reminder:
    """Sees to it that SIGTERM's handler runs; `awaits` says whether it is ours and has yet to."""

    def __init__(self, awaits: Callable[[], bool]) -> None:
        self._awaits = awaits
        self._reader = self._writer = -1

    def start(self) -> None:
        """In the main thread, or it does nothing.

        Nor where somebody else is told of signals, as an event loop is: one that comes later takes over, and
        none is reminded from then on; nor where there is no descriptor or thread to be had.
        """
        if self._writer != -1 or threading.current_thread() is not threading.main_thread():
            return
        with contextlib.suppress(OSError, RuntimeError):
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._writer, False)
            if self._tell(self._writer):
                listen = partial(self._listen, threading.get_ident())
                threading.Thread(target=listen, name="autotrack-signals", daemon=True).start()
                return
        self.forget()

    def forget(self) -> None:
        """In a forked child, as the thread is the parent's."""
        if self._writer != -1:
            self._tell(-1)
            os.close(self._reader)
            os.close(self._writer)
            self._reader = self._writer = -1

    def _tell(self, descriptor: int) -> bool:
        """Whether this, -1 for nobody, is told of signals by now: not in place of somebody else."""
        before = signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
        if before in (-1, self._writer):
            return True
        signal.set_wakeup_fd(before, warn_on_full_buffer=False)
        return False

    def _listen(self, main_thread: int) -> None:
        leave_to_the_program()
        while heard := os.read(self._reader, 64):
            pause = _FIRST
            while signal.SIGTERM in heard and self._awaits():
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST)
                if self._awaits():
                    signal.pthread_kill(main_thread, signal.SIGTERM)
