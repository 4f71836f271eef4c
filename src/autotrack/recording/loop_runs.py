"""The runs of loops that have no call around them: nobody's current run, as nothing tells when it is over."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..states import State

if TYPE_CHECKING:
    from .run import ActiveRun

REST = 5.0
"""Seconds after which the run of a loop whose optimizers are gone is over: another may follow at once."""


class LoopRuns:
    """Those of a process; each thread has its own loop."""

    def __init__(self) -> None:
        self._runs: list[ActiveRun] = []
        self._here = threading.local()

    def began(self, run: ActiveRun) -> None:
        """From now on this is the run of the loop that this thread is in, until another begins."""
        self._here.run = run
        self._runs = [*(known for known in self._runs if not known.ended and known is not run), run]

    def here(self) -> ActiveRun | None:
        """The run of this thread's loop, ended or not; where it has had none, the only one that is open."""
        own: ActiveRun | None = getattr(self._here, "run", None)
        if own is not None:
            return own
        open_ones = [run for run in self._runs if not run.ended]
        return open_ones[0] if len(open_ones) == 1 else None

    def end(self) -> None:
        """Nobody tells of their steps any more."""
        for run in self._runs:
            run.finish(State.FINISHED)
        self._runs, self._here = [], threading.local()

    def end_rested(self) -> None:
        """Those whose optimizers have been gone for a while."""
        for run in self._runs:
            if run.activity.rests_for > REST:
                run.finish(State.FINISHED)

    def end_below(self, parent: ActiveRun) -> None:
        """Those inside a run that is over: nobody else would end them."""
        for run in [run for run in self._runs if run.parent_id == parent.id]:
            run.finish(State.FINISHED)
