"""Which run is current: in each context the innermost one, behind it those that it is inside of."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import ActiveRun

current: ContextVar[ActiveRun | None] = ContextVar("autotrack_run", default=None)
"""The run of this context: innermost first, its `outer` ones behind it."""


def open_run() -> ActiveRun | None:
    """The innermost run of this context that has not ended."""
    run = current.get()
    while run is not None and run.ended:
        run = run.outer
    return run


def begun_run() -> ActiveRun | None:
    """The innermost run of this context that has begun and not ended: the parent of a new one."""
    run = current.get()
    while run is not None and (run.ended or run.segment is None):
        run = run.outer
    return run
