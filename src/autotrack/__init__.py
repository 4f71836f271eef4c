"""autotrack: one line records every training run.

    import autotrack
    autotrack.enable()

From then on each `fit` and `train` call is kept: `autotrack.runs()`, or `autotrack runs` in a shell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._api import active_run, flush, log, log_artifact, log_params, run, set_tags
from ._enable import disable, enable
from .errors import AutotrackError, NewerStore, OptionError, RunNotFound, StoreError
from .integration import Call, Integration, Outcome, hook
from .recording.run import ActiveRun

if TYPE_CHECKING:
    from .store import Run, RunList, get_run, runs

__version__ = "0.1.0"

__all__ = [
    "ActiveRun",
    "AutotrackError",
    "Call",
    "Integration",
    "NewerStore",
    "OptionError",
    "Outcome",
    "Run",
    "RunList",
    "RunNotFound",
    "StoreError",
    "active_run",
    "disable",
    "enable",
    "flush",
    "get_run",
    "hook",
    "log",
    "log_artifact",
    "log_params",
    "run",
    "runs",
    "set_tags",
]


def __getattr__(name: str) -> Any:
    """What reads a store is loaded on first use: a training process never needs it."""
    if name in ("Run", "RunList", "get_run", "runs"):
        from . import store

        return getattr(store, name)
    raise AttributeError(f"module 'autotrack' has no attribute {name!r}")
