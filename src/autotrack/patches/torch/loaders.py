"""Passes over data: each iteration of a DataLoader is an epoch of training, or an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from ...recording.contents import length

if TYPE_CHECKING:
    from .loop import Loop

MOST_PARTS = 10
"""Parts of a batch among which a tensor is looked for."""


class Pass:
    """One iteration over a loader: its batches so far, and whether they were trained on.

    settings: what the loader is set to. data: its dataset, weakly. epoch: the number of this pass among
    those that `loop` was trained on; None while it is none of them. asked: when the first batch since the
    last step was asked for, perf_counter_ns, None where that is no part of the step; waited: ns that it
    and those after it took.
    """

    __slots__ = (
        *("asked", "batches", "began", "data", "epoch", "fetched", "is_over", "iterator", "loader", "loop"),
        *("samples", "settings", "steps", "steps_before", "waited"),
    )

    def __init__(self, loader: Any, iterator: Any, gone: Callable[[Pass], None]) -> None:
        self.iterator = ref(iterator, lambda _: gone(self))
        self.settings = _settings(loader)  # nobody may hold the loader, later
        self.loader = ref(loader)
        self.data = _data_of(loader)
        self.steps_before: int | None = None  # its first batch
        self.steps = -1  # before its last batch
        self.began = self.fetched = perf_counter_ns()
        self.asked: int | None = None
        self.batches = self.samples = self.waited = 0
        self.epoch: int | None = None
        self.loop: Loop | None = None
        self.is_over = False

    def took(self, batch: Any, asked: int, steps: int) -> None:
        """A batch came, after so many steps."""
        if self.steps != steps:
            self.steps, self.asked, self.waited = steps, asked, 0
            if self.steps_before is None:
                self.steps_before = steps
        self.batches += 1
        self.samples += rows_of(batch)
        self.fetched = perf_counter_ns()
        self.waited += self.fetched - asked

    def gave(self, steps: int) -> bool:
        """Whether a batch of it came after so many steps."""
        return self.steps == steps

    def follows(self, other: Pass) -> bool:
        """Whether it began when the other had been left, or had been asked for what it was wanted for."""
        return not other.lives or self.began > other.fetched

    @property
    def lives(self) -> bool:
        """Whether its iterator is there: that of `next(iter(loader))` is gone at once."""
        return not self.is_over and self.iterator() is not None


class Loaders:
    """The passes that go on, by the iterator that makes them; the table holds neither."""

    def __init__(self) -> None:
        self._passes: WeakKeyDictionary[Any, Pass] = WeakKeyDictionary()

    def begin(self, loader: Any, iterator: Any, gone: Callable[[Pass], None]) -> Pass | None:
        """A loader was asked for an iterator; `gone` is told when that is no more.

        With persistent workers it is the same each time: then this gives the pass that it made before.
        """
        before = self._passes.get(iterator)
        self._passes[iterator] = Pass(loader, iterator, gone)
        return before

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
    for part in batch[:MOST_PARTS]:
        rows = rows_of(part, True)
        if rows:
            return rows
    return 0


def _settings(loader: Any) -> dict[str, Any]:
    dataset = getattr(loader, "dataset", None)
    settings = {
        "batch_size": loader.batch_size or _size_of_batches(loader.batch_sampler),
        "num_workers": loader.num_workers or None,
        "dataset": type(dataset).__name__,
        "dataset_length": length(dataset),
    }
    return {name: value for name, value in settings.items() if value is not None}


def _size_of_batches(sampler: Any) -> int | None:
    """What a sampler of batches says; one may well make them of several sizes, and say none."""
    size = getattr(sampler, "batch_size", None)
    return size if isinstance(size, int) else None


def _data_of(loader: Any) -> ref[Any]:
    """The dataset, or the loader itself where that is a list: lists take no weak references."""
    try:
        return ref(loader.dataset)
    except TypeError:
        return ref(loader)
