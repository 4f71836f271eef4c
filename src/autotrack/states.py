"""What becomes of a run, and of a model's version: known to the training side and to every reader."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """What became of a run.

    `finished`: it ended well. `failed`: an exception ended it. `killed`: a signal or Ctrl-C ended
    it. `lost`: its process vanished without a word. `idle`: a notebook that rests. `running`.
    """

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    KILLED = "killed"
    LOST = "lost"
    IDLE = "idle"


class Stage(StrEnum):
    """How far a version of a registered model has come, in MLflow's words."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


class RunError(NamedTuple):
    """The exception that ended a run: its class name, its text and its traceback."""

    type: str
    message: str
    traceback: str
