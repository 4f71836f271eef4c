"""What the one who writes knows of the store, and need not ask while nobody else has written."""

from __future__ import annotations

from dataclasses import dataclass, field

from .ledger import Ranges

MOST = 50_000
"""Entries of a kind that are kept in mind."""


@dataclass(slots=True)
class Known:
    """Keys, which never change, and which numbers of each writer have come, which only this writer changes.

    It lives as long as a connection, and ends with a transaction that fails.
    """

    runs: dict[str, int] = field(default_factory=dict)
    """By id, the key."""
    started: dict[str, int] = field(default_factory=dict)
    """By id, unix ns that the run's start is at the latest."""
    names: dict[str, int] = field(default_factory=dict)
    experiments: dict[str, int] = field(default_factory=dict)
    ledger: dict[str, Ranges] = field(default_factory=dict)
    version: int | None = None
    """SQLite's count of what others have written, as of the last look."""

    def look(self, version: int) -> None:
        """Forget what may no longer hold, or is too much."""
        kinds = (self.runs, self.started, self.names, self.experiments, self.ledger)
        if version != self.version or any(len(kind) > MOST for kind in kinds):
            for kind in kinds:
                kind.clear()
            self.version = version
