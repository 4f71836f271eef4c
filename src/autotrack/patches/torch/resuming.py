"""A run that goes on from a checkpoint: how far it was, as far as what was loaded tells.

The process that resumes a run knows nothing of it: the store is not opened by a training.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ...interrupts import pass_on

if TYPE_CHECKING:
    from .loaders import Pass


def steps_before(optimizer: Any, scheduler: Any) -> int:
    """The steps that an optimizer had made before the one that it has just made; 0 where nothing tells.

    Adam and its like count them. A count that is kept on a device is not asked for: it would be waited for.
    Of schedulers only those tell that are made to be stepped with each batch.
    """
    counts: list[Any] = [s["step"] for s in optimizer.state.values() if isinstance(s, dict) and "step" in s]
    known = [int(count) for count in counts if getattr(count, "is_cpu", isinstance(count, (int, float)))]
    if known and max(known) > 1:
        return max(known) - 1
    return int(scheduler.last_epoch) if scheduler is not None and _is_of_batches(scheduler) else 0


def epochs_before(steps: int, scheduler: Any, passage: Pass | None) -> int:
    """The epochs in so many steps: what a scheduler counted, if it counts no steps, else by the loader."""
    counted = getattr(scheduler, "last_epoch", 0)
    if 0 < 2 * counted <= steps:  # one that counts steps may be one behind
        return int(counted)
    loader = passage.loader() if passage is not None else None
    if loader is None or passage is None or "dataset_length" not in passage.settings:
        return 0  # of a stream the length may be found by reading it
    try:
        return steps // max(len(loader), 1)
    except Exception as error:  # noqa: BLE001  a sampler of the user's may not know
        pass_on(error)
        return 0


def _is_of_batches(scheduler: Any) -> bool:
    known = sys.modules["torch"].optim.lr_scheduler
    return isinstance(scheduler, (known.OneCycleLR, known.CyclicLR))
