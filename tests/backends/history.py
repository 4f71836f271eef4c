"""Everything a SQLite store says of a history, the audits' tables too."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from autotrack.backends.sqlite import SqliteBackend
from autotrack.testing.histories import RUNS, WRITERS, ours, said, table

__all__ = ["RUNS", "WRITERS", "audited", "contents", "ours", "table"]


def contents(path: Path) -> dict[str, Any]:
    """What its readers return, and what only audits see."""
    return said(SqliteBackend(f"sqlite:///{path}")) | audited(path)


def audited(path: Path) -> dict[str, Any]:
    """What only audits see."""
    with closing(sqlite3.connect(path)) as db:
        return {query: sorted(map(repr, db.execute(query))) for query in _AUDITS}


_AUDITS = (
    "SELECT writer, low, high FROM ledger",
    "SELECT writer, last_seen FROM writer",
    "SELECT r.id, kind, s.name, value, time, s.writer, seq FROM superseded s JOIN run r ON r.pk = s.run",
    "SELECT trace_id, span_id, type, name, start, attributes FROM span",
    "SELECT r.id, s.segment, s.writer, s.name, s.state, s.idle FROM segment s JOIN run r ON pk = s.run",
)
