"""Which run a training belongs to that begins now: the user's own one, once, or a new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..recording.current import current
from ..recording.process import is_loader_worker
from ..recording.ranks import Peers
from .frames import Frame, frames

if TYPE_CHECKING:
    from ..integration import Call
    from ..recording.recorder import Recorder
    from ..recording.run import ActiveRun


class TrainingRuns:
    """All three are asked each time, as they may change; `script` names what has no name."""

    def __init__(
        self, recorder: Callable[[], Recorder], experiment: Callable[[], str], script: Callable[[], str]
    ) -> None:
        self._recorder = recorder
        self._experiment = experiment
        self._script = script
        self.home: Callable[[], ActiveRun | None] = current.get  # at each step: a function in C

    def is_no_concern(self) -> bool:
        """Whether this process records for the runs of another one, of which none goes on here.

        Or only loads data for a training: in a worker of a DataLoader there may be one for each sample.
        """
        if is_loader_worker():
            return True
        recorder = self._recorder()
        return recorder.joined.only and recorder.active_run() is None

    def run_of(
        self,
        name: str,
        is_predictor: bool,
        stays_open: bool = False,
        resumed: Callable[[], str | None] = lambda: None,
    ) -> tuple[ActiveRun, bool]:
        """The run an outermost training belongs to, and whether it is the integration's own to end.

        resumed: tells the mark of the run that it goes on with where no other is open.
        """
        recorder = self._recorder()
        run = recorder.active_run()
        if run is None:
            resume = recorder.to_resume(resumed)
            return self._new_run(name, self._experiment(), stays_open, resume), True
        run.begin_if_new()
        if run.inherited and not stays_open:
            return run, False  # a worker of many, perhaps: their params and models would be mixed
        # A transformer is a `fit` span of it; its steps might be too many for that.
        is_its_own = run.claim() if is_predictor else not stays_open
        return (run, False) if is_its_own else (self._new_run(name, run.experiment, stays_open), True)

    def run_of_loop(self, name: str | None) -> tuple[ActiveRun, bool] | None:
        """See `integration.TrainingRuns`."""
        if self.is_no_concern():
            return None
        outer = frames.get()
        if outer:
            return outer[-1].run, False  # of an estimator whose fit is a loop
        recorder = self._recorder()
        implicit = recorder.begun_implicit_run()
        if implicit is not None and recorder.active_run() is None and implicit.claim():
            return implicit, False  # what the script logged before its loop is of the same run
        # It is nobody's current run: where the loop is over nothing tells, and what comes later is not of it.
        run, is_ours = self.run_of(name or self._script(), is_predictor=True, stays_open=True)
        if is_ours:
            run.begin()
        return None if run.inherited else (run, is_ours)

    def go_on(self, run: ActiveRun) -> None:
        """See `integration.TrainingRuns`."""
        if not run.explicit:
            self._recorder().loops.began(run)

    def is_recorded(self, run: ActiveRun) -> bool:
        """See `integration.TrainingRuns`."""
        return run.is_of(self._recorder()) and not run.inherited

    def active(self) -> ActiveRun | None:
        """See `integration.TrainingRuns`."""
        recorder = self._recorder()
        return recorder.active_run() or recorder.loops.here() or recorder.begun_implicit_run()

    def launched(self, rank: int, size: int) -> ActiveRun | None:
        """See `integration.TrainingRuns`."""
        recorder = self._recorder()
        run = recorder.active_run()
        if run is None or not run.inherited:
            return None
        recorder.ranks.launched(Peers(rank, size))
        return run

    def goes_on_inside(self, call: Call, run: ActiveRun) -> None:
        """See `integration.TrainingRuns`."""
        frames.set((*frames.get(), Frame(call, run, None, is_sealed=True)))

    def _new_run(self, name: str, experiment: str, stays_open: bool, resume: str | None = None) -> ActiveRun:
        return self._recorder().new_run(
            name, experiment, explicit=False, ambient=not stays_open, resume=resume
        )
