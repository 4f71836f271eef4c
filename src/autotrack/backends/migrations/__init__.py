"""The schema's history (Alembic), applied by whoever writes to the store first.

A release that changes `schema.py` adds a file to ``versions/`` and its revision below.
"""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
HEAD = REVISIONS[-1]
VERSION_TABLE = "autotrack_version"
_lock = threading.Lock()
"""Alembic keeps what it is at in globals, whichever thread it is in."""


def upgrade(db: Connection) -> None:
    """Bring the store of `db` to `HEAD`, in one transaction."""
    from alembic import command  # 150 ms to import, needed once in a store's life
    from alembic.config import Config

    config = Config(attributes={"connection": db})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    with _lock:
        command.upgrade(config, "head")
