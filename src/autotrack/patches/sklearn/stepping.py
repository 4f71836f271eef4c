"""`partial_fit`: all steps of one estimator are one run."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Generator
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ...integration import Call, Integration, Outcome, hook
from .fitted import fitted_numbers
from .fitting import introduce
from .predictions import BUDGET, MIN_BUDGET
from .rows import row_count
from .telling import log_training_metrics, predictions_of

if TYPE_CHECKING:
    from ...recording.run import ActiveRun

METRICS_SECONDS = 0.005
"""What making the metrics of one step takes the flusher, about."""


class _Time:
    """Seconds that a run's steps took, and their training metrics."""

    steps = 0.0
    metrics = 0.0


class Stepping(Integration):
    """A point for each call. Training metrics are of the step's own data, as often as their cost allows."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._times: weakref.WeakKeyDictionary[ActiveRun, _Time] = weakref.WeakKeyDictionary()

    @hook("sklearn.base:BaseEstimator.partial_fit", subclasses=True, stays_open=True)
    def partial_fit(self, run: ActiveRun, call: Call) -> Generator[None, Outcome, None]:
        if call.number == 0:
            introduce(run, call.instance)
        outcome = yield
        if outcome.error is not None:
            return
        point: dict[str, Any] = {"partial_fit/seconds": outcome.duration}
        if (data := call.arguments.get("X")) is not None:
            point["partial_fit/samples"] = float(row_count(data))
        if self.options.fitted_metrics:
            point |= fitted_numbers(call.instance)
        run.log(point, call.number)
        if self.options.training_metrics:
            self._log_training_metrics(run, call, outcome.duration)

    def _log_training_metrics(self, run: ActiveRun, call: Call, duration: float) -> None:
        time = self._times.setdefault(run, _Time())
        time.steps += duration
        left = MIN_BUDGET + BUDGET * time.steps - time.metrics
        if left < METRICS_SECONDS:
            return
        started = perf_counter()
        found = predictions_of(call, left)
        time.metrics += perf_counter() - started + METRICS_SECONDS
        if found is not None:
            run.later(functools.partial(log_training_metrics, run, found, call.number))
