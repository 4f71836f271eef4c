"""Passes over data: each iteration of a DataLoader is an epoch of training, or an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any
from weakref import WeakKeyDictionary


class Pass:
    """One iteration over a loader: its batches so far, and whether they were trained on.

    settings: what the loader is set to. epoch: the number of this pass among those its loop was
    trained on; None while it is none of them.
    """

    __slots__ = ("began", "epoch", "samples", "settings")

    def __init__(self, loader: Any) -> None:
        self.settings = _settings(loader)  # of the loader nobody may hold more than this, later
        self.began = perf_counter_ns()
        self.samples = 0
        self.epoch: int | None = None

    def took(self, batch: Any) -> int:
        """A batch came; gives the time, perf_counter_ns."""
        self.samples += rows_of(batch)
        return perf_counter_ns()

    def seconds(self) -> float:
        """How long it has gone on."""
        return (perf_counter_ns() - self.began) / 1e9


class Loaders:
    """The passes that go on, by the iterator that makes them; the table holds neither."""

    def __init__(self) -> None:
        self._passes: WeakKeyDictionary[Any, Pass] = WeakKeyDictionary()

    def begin(self, loader: Any, iterator: Any) -> None:
        """A loader was asked for an iterator; with persistent workers it is the same each time."""
        self._passes[iterator] = Pass(loader)

    def of(self, iterator: Any) -> Pass | None:
        """The pass; None for one that began before autotrack."""
        return self._passes.get(iterator)


def rows_of(batch: Any) -> int:
    """How many samples a batch has: the length of the first tensor in it; 0 if there is none."""
    for _ in range(4):  # as deep as batches are nested
        shape = getattr(batch, "shape", None)
        if shape is not None:
            return int(shape[0]) if len(shape) else 1
        if isinstance(batch, Mapping):
            batch = next(iter(batch.values()), None)
        elif isinstance(batch, (list, tuple)) and batch:
            batch = batch[0]
        else:
            break
    return 0


def _settings(loader: Any) -> dict[str, Any]:
    dataset = getattr(loader, "dataset", None)
    settings = {
        "batch_size": loader.batch_size,
        "num_workers": loader.num_workers or None,
        "dataset": type(dataset).__name__,
        "dataset_length": _length(dataset),
    }
    return {name: value for name, value in settings.items() if value is not None}


def _length(dataset: Any) -> int | None:
    try:
        return len(dataset)
    except Exception:  # noqa: BLE001  iterable ones have none, and it is the user's method
        return None
