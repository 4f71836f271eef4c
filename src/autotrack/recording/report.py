"""What happened in this process, for the one line at the end, and the warnings on the way."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..states import State

log = logging.getLogger("autotrack")

MOST_LINES = 30
"""Different warnings of one process."""


class Report:
    """Counts what was recorded and what was not; every kind of trouble is one line in the log, once."""

    def __init__(self) -> None:
        self.runs: Counter[State] = Counter()
        self.points = 0
        self.skipped: Counter[str] = Counter()
        self.waiting: dict[str, int] = {}  # bytes left on this disk for an address
        self._said: set[str] = set()
        self._lock = threading.RLock()  # a signal handler may come back in

    def renew_lock(self) -> None:
        """In a forked child: a thread that is not there may have held it."""
        self._lock = threading.RLock()

    def skip(self, reason: str, count: int = 1) -> None:
        """Something the user asked for is not kept; say why, once for each reason."""
        self.count_skipped(reason, count)
        self.warn(f"{reason}: not recorded")

    def count_skipped(self, reason: str, count: int = 1) -> None:
        """The same, where the line has been said."""
        with self._lock:
            self.skipped[reason] += count

    def warn(self, message: str, kind: str | None = None) -> None:
        """One line in the log: once for each message, or for each `kind` of them, and not without end."""
        with self._lock:
            key = kind or message
            if key in self._said or len(self._said) >= MOST_LINES:
                return
            self._said.add(key)
        log.warning("autotrack: %s", message)
        if len(self._said) == MOST_LINES:
            log.warning("autotrack: more of this is only counted")

    def warn_of_place(self, message: str, home: Path) -> None:
        """Something lies elsewhere than in this folder, where the store is: one line, whatever it is."""
        self.warn(message, f"elsewhere than in {home}")

    def line(self, see: str, watched: Sequence[str], rank: str = "") -> str:
        """The line that ends a script; `see` is what shows the runs, `watched` are the integrations.

        rank: what this process is where it is another than the first.
        """
        total = self.runs.total()
        if total:
            states = ", ".join(f"{n} {state}" for state, n in self.runs.items())
            line = f"autotrack: recorded {_plural(total, 'run')} ({states}), {_plural(self.points, 'point')}"
        elif rank:
            line = f"autotrack: {rank}: recorded {_plural(self.points, 'point')}"
        else:
            line = f"autotrack: saw no training (watching {', '.join(watched) or 'no library'})"
        if self.skipped:
            line += f"; skipped {self.skipped.total():,}: {self._reasons()}"
        for address, size in self.waiting.items():
            line += f"; {size:,} bytes wait for {address}: autotrack sync"
        return f"{line}; see: {see}" if total and see else line

    def _reasons(self, most: int = 3) -> str:
        """Why things were skipped, the commonest first."""
        reasons = [f"{reason} ({n:,}x)" if n > 1 else reason for reason, n in self.skipped.most_common(most)]
        hidden = len(self.skipped) - len(reasons)
        return "; ".join(reasons) + (f"; and {_plural(hidden, 'other reason')}" if hidden > 0 else "")


def _plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
