"""Passes over data: each iteration of a DataLoader is an epoch of training, or an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any
from weakref import WeakKeyDictionary, ref

from ...recording.contents import length

MOST_PARTS = 10
"""Parts of a batch among which a tensor is looked for."""


class Pass:
    """One iteration over a loader: its batches so far, and whether they were trained on.

    settings: what the loader is set to. data: the id of its dataset. epoch: the number of this pass
    among those its loop was trained on; None while it is none of them.
    """

    __slots__ = ("began", "data", "epoch", "iterator", "samples", "settings", "steps_before")

    def __init__(self, loader: Any, iterator: Any) -> None:
        self.iterator = ref(iterator)
        self.settings = _settings(loader)  # of the loader nobody may hold more than this, later
        self.data = id(getattr(loader, "dataset", loader))
        self.steps_before: int | None = None  # its first batch
        self.began = perf_counter_ns()
        self.samples = 0
        self.epoch: int | None = None

    def took(self, batch: Any, steps: int) -> int:
        """A batch came, after so many steps; gives the time, perf_counter_ns."""
        if self.steps_before is None:
            self.steps_before = steps
        self.samples += rows_of(batch)
        return perf_counter_ns()

    @property
    def lives(self) -> bool:
        """Whether its iterator is there: that of `next(iter(loader))` is gone at once."""
        return self.iterator() is not None

    def seconds(self) -> float:
        """How long it has gone on."""
        return (perf_counter_ns() - self.began) / 1e9


class Loaders:
    """The passes that go on, by the iterator that makes them; the table holds neither."""

    def __init__(self) -> None:
        self._passes: WeakKeyDictionary[Any, Pass] = WeakKeyDictionary()

    def begin(self, loader: Any, iterator: Any) -> None:
        """A loader was asked for an iterator; with persistent workers it is the same each time."""
        self._passes[iterator] = Pass(loader, iterator)

    def of(self, iterator: Any) -> Pass | None:
        """The pass; None for one that began before autotrack."""
        return self._passes.get(iterator)


def rows_of(batch: Any, is_part: bool = False) -> int:
    """How many samples a batch has: the length of the first tensor in it; 0 if there is none.

    A list of tensors inside of it has one for each sample, as where images are of different sizes.
    """
    shape = getattr(batch, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else 1
    if isinstance(batch, Mapping):
        batch, is_part = list(batch.values()), False
    if not isinstance(batch, (list, tuple)):
        return 0
    if is_part and batch and hasattr(batch[0], "shape"):
        return len(batch)
    return next((rows for part in batch[:MOST_PARTS] if (rows := rows_of(part, True))), 0)


def _settings(loader: Any) -> dict[str, Any]:
    dataset = getattr(loader, "dataset", None)
    settings = {
        "batch_size": loader.batch_size,
        "num_workers": loader.num_workers or None,
        "dataset": type(dataset).__name__,
        "dataset_length": length(dataset),
    }
    return {name: value for name, value in settings.items() if value is not None}
