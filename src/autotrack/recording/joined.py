"""Runs of other processes, in which this one works."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from .origin import Origin

if TYPE_CHECKING:
    from .run import ActiveRun

MOST = 64
"""So many are remembered; one that comes again later begins to count its steps anew."""


class JoinedRuns:
    """One run for all tasks of an origin, as it counts their steps; those that were used last.

    `join` makes one; `left` is told of each that is forgotten.
    """

    def __init__(self, join: Callable[[Origin], ActiveRun], left: Callable[[ActiveRun], None]) -> None:
        self.only = False
        """Whether nothing else is recorded in this process."""
        self._join = join
        self._left = left
        self._runs: OrderedDict[Origin, ActiveRun] = OrderedDict()
        self._lock = threading.RLock()  # a signal handler may come back in

    def of(self, origin: Origin) -> ActiveRun:
        """The run for what comes from there."""
        with self._lock:
            run = self._runs.get(origin)
            if run is None:
                while len(self._runs) >= MOST:
                    self._left(self._runs.popitem(last=False)[1])
                run = self._runs[origin] = self._join(origin)
            self._runs.move_to_end(origin)
            return run

    def __bool__(self) -> bool:
        return bool(self._runs)

    def renewed(self) -> list[ActiveRun]:
        """All of them, in a forked child: a thread that is not there may have held the lock."""
        self._lock = threading.RLock()
        return list(self._runs.values())
