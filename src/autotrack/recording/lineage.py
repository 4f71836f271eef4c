"""Where an object comes from: the run that a model was trained in, the model that predicted an array.

Nothing is set on the objects. They are found by id in tables beside them, which hold them weakly: a
copy or a pickle is another object, and what is collected is forgotten.
"""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .weak import Table

if TYPE_CHECKING:
    from .run import ActiveRun

MAX_PREDICTIONS = 10_000
"""Predictions that are remembered; beyond it, the older half is forgotten."""


class Origin(NamedTuple):
    """The run a prediction comes from, and what was predicted on; None if that is gone, or a list."""

    run: ActiveRun
    data: Any


class Lineage:
    """The tables of a process; of what was predicted on they hold a weak reference too."""

    def __init__(self) -> None:
        self._trained: Table[ActiveRun] = Table()
        self._predicted: Table[tuple[ActiveRun, Callable[[], Any]]] = Table()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget_all)  # the runs are the parent's

    def trained(self, model: Any, run: ActiveRun) -> None:
        """`model` was trained in `run`; the latest training counts."""
        with contextlib.suppress(TypeError):  # it takes no weak reference
            self._trained.set(model, run)

    def predicted(self, prediction: Any, run: ActiveRun, data: Any) -> None:
        """A model of `run` made this array or table of `data`."""
        memory = _memory(prediction)
        if prediction is None or memory is data or (memory is not prediction and memory is _memory(data)):
            return  # a view of its input: other views of it are no predictions
        if len(self._predicted) >= MAX_PREDICTIONS:
            self._predicted.forget_older_half()
        with contextlib.suppress(TypeError):
            self._predicted.set(memory, (run, _weak(data)))

    def run_of(self, model: Any) -> ActiveRun | None:
        """The run that trained it."""
        return self._trained.get(model)

    def origin_of(self, prediction: Any) -> Origin | None:
        """Where an array comes from that is a prediction, or a view of one as `proba[:, 1]` is."""
        found = self._predicted.get(_memory(prediction))
        return Origin(found[0], found[1]()) if found is not None else None

    def run_behind(self, arguments: Sequence[Any]) -> ActiveRun | None:
        """The run of the last argument that has one: a measure is given the truth first."""
        for argument in reversed(arguments):
            origin = self.origin_of(argument)
            run = origin.run if origin is not None else self.run_of(argument)
            if run is not None:
                return run
        return None

    def _forget_all(self) -> None:
        self._trained.clear()
        self._predicted.clear()


def _weak(data: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(data)
    except TypeError:
        return _nothing  # a list, for one


def _nothing() -> None:
    """In the place of a reference."""


def _memory(thing: Any) -> Any:
    """The array whose memory an array shows; anything else itself."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        while type(thing) is numpy.ndarray and type(thing.base) is numpy.ndarray:
            thing = thing.base
    return thing


lineage = Lineage()
