"""What the one who writes knows of the store, and need not ask while nobody else has written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .ledger import Ranges

MOST = 50_000
"""Entries of a kind that are kept in mind."""


class KnownRun(NamedTuple):
    """A run's key, and unix ns at which it began at the latest."""

    key: int
    started: int


@dataclass(slots=True)
class Known:
    """Keys, which never change, and which numbers of each writer have come, which only this writer changes.

    It lives as long as a connection, and ends with a transaction that fails.
    """

    runs: dict[str, KnownRun] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    experiments: dict[str, int] = field(default_factory=dict)
    ledger: dict[str, Ranges] = field(default_factory=dict)
    version: int | None = None
    """SQLite's count of what others have written, as of the last transaction."""

    def forget_unless(self, version: int) -> None:
        """Forget what may no longer hold, as others have written by now, and what is too much."""
        for kind in (self.runs, self.names, self.experiments, self.ledger):
            if version != self.version or len(kind) > MOST:
                kind.clear()
        self.version = version
