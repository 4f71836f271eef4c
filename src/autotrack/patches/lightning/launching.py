"""Strategies that start processes to train in, which get the trainer: `ddp_spawn`, `ddp_fork` and their kind.

The process that asked for the training makes no step: what goes on is told by those that it started.
"""

from __future__ import annotations

import os
from typing import Any


def starts_processes(trainer: Any) -> bool:
    """Whether the trainer's work is done in processes of its own."""
    launcher = getattr(getattr(trainer, "strategy", None), "launcher", None)
    return any(kind.__name__ == "_MultiProcessingLauncher" for kind in type(launcher).__mro__)


def place(trainer: Any) -> tuple[int, int]:
    """The rank of such a process, and how many there are: before the process group is there to tell."""
    strategy = trainer.strategy
    rank = strategy.node_rank * strategy.num_processes + int(os.environ["LOCAL_RANK"])
    return rank, trainer.num_nodes * strategy.num_processes
