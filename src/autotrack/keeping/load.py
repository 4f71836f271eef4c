"""Whether a core is free for the helper."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

WATCHED = 0.4, 10.0
"""Seconds: a moment between two calls says nothing, and what was long ago nothing of now."""
LONGEST_WAIT = 20.0
"""Seconds after which a model is converted though no core is free."""
SPARE = 0.75
"""Of a core: a training in one thread, and the flusher beside it, leave as much of the second one."""
_GROUPS = Path("/sys/fs/cgroup")


class Load:
    """What is left of the cores that this process may use, from one question to the next.

    Numerical libraries keep a thread spinning on every core: whoever takes one of them stops all.
    """

    def __init__(self) -> None:
        self._at = 0.0
        self._unused: Sequence[float] = ()

    def leaves_a_core(self) -> bool:
        """Since the last question; False where that was a moment ago, or long ago."""
        shortest, longest = WATCHED
        now = time.monotonic()
        elapsed = now - self._at
        if elapsed < shortest:
            return False
        before, self._unused, self._at = self._unused, _unused(now), now
        if elapsed > longest or len(before) != len(self._unused):
            return False
        return all((new - old) / elapsed >= SPARE for new, old in zip(self._unused, before, strict=True))


def _unused(now: float) -> list[float]:
    """Seconds so far that cores were idle which this process may use; and of its container's share."""
    import psutil  # 17 ms: for who has models converted

    each = psutil.cpu_times(percpu=True)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(each))
    ours = [core for number, core in enumerate(each) if number in allowed]
    idle = sum(core.idle + getattr(core, "iowait", 0.0) for core in ours or each)
    share, used = _share(), _used_of_share()
    return [idle] if share is None or used is None else [idle, share * now - used]


@cache
def _group() -> Path:
    """The control group, of version 2, that this process is in."""
    told = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip()
    return _GROUPS / told.lstrip("/")


def _share() -> float | None:
    """Cores that the group may use; None where that is not limited."""
    try:
        quota, period = (_group() / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # "max"
        return None


def _used_of_share() -> float | None:
    """Seconds that the group has used."""
    try:
        told = dict(line.split() for line in (_group() / "cpu.stat").read_text().splitlines())
        return int(told["usage_usec"]) / 1e6
    except (OSError, ValueError, KeyError):
        return None
