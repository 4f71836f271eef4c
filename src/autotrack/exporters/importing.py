"""Imports in threads beside the program's, and forks: a child could never end an import of its parent's."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

PATIENCE = 1.0
"""Seconds that a fork waits for an import."""

_lock = threading.RLock()


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """For a thread that imports: no child is forked meanwhile, unless it takes longer than `PATIENCE`."""
    with _lock:
        yield


def _let_imports_finish() -> None:
    _lock.acquire(timeout=PATIENCE)


def _go_on() -> None:
    with contextlib.suppress(RuntimeError):  # it was not to be had in time
        _lock.release()


def _forget_imports() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_let_imports_finish, after_in_parent=_go_on, after_in_child=_forget_imports)
