"""Whether a core is free for the helper."""

from __future__ import annotations

import os
import time

WATCHED = 0.4, 10.0
"""Seconds: a moment between two calls says nothing, and what was long ago nothing of now."""
LONGEST_WAIT = 20.0
"""Seconds after which a model is converted though no core is free."""
SPARE = 0.75
"""Of a core: a training in one thread, and the flusher beside it, leave as much of the second one."""


class Load:
    """The CPU time that this process and its machine use, from one question to the next.

    Numerical libraries keep a thread spinning on every core: whoever takes one of them stops all.
    """

    def __init__(self) -> None:
        self._cores = _cores()
        self._last: _Times | None = None

    def leaves_a_core(self) -> bool:
        """Since the last question; False where that was a moment ago, or long ago.

        Of the cores that this process may use, which may be fewer than the machine has.
        """
        last = self._last = self._last or _Times()
        now = _Times()
        shortest, longest = WATCHED
        elapsed = now.at - last.at
        if elapsed < shortest:
            return False
        self._last = now
        left = self._cores - (now.used - last.used) / elapsed
        idle = (now.idle - last.idle) / elapsed
        return elapsed < longest and min(left, idle) >= SPARE


class _Times:
    """Seconds so far: of the clock, used by this process, and idle on all of the machine's cores."""

    def __init__(self) -> None:
        import psutil  # 17 ms: for who has models converted

        machine = psutil.cpu_times()
        self.at: float = time.monotonic()
        self.used: float = time.process_time()
        self.idle: float = machine.idle + getattr(machine, "iowait", 0.0)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
