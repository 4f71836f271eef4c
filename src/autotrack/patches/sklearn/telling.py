"""What is told of a finished training: read within the call where that is cheap, made ready off it."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..._patching.frames import silence
from ...interrupts import pass_on
from .fitted import log_fitted
from .predictions import BUDGET, MIN_BUDGET, predictions
from .trust import is_known, may_predict
from .weights import Weights, weights_of

if TYPE_CHECKING:
    from ...integration import Call
    from ...measuring.predictions import Predictions
    from ...recording.run import ActiveRun
    from .options import SklearnOptions

log = logging.getLogger("autotrack")

PATIENCE = 5.0
"""Seconds that a finished training waits for its tables; where trainings come faster than they can be
made, later ones have none."""


def tell(run: ActiveRun, call: Call, duration: float, options: SklearnOptions) -> None:
    """Everything that a training of `duration` seconds left behind."""
    estimator = call.instance
    if options.fitted_metrics:
        log_fitted(run, estimator)
    trusted = is_known(estimator)
    found = None
    if trusted and options.training_metrics:
        found = predictions_of(call, max(MIN_BUDGET, BUDGET * duration))
    weights = weights_of(estimator, trusted) if options.curves else None
    if found is not None or weights is not None:
        run.later(functools.partial(_tell_later, run, found, weights, options.curves, time.monotonic()))


def predictions_of(call: Call, seconds: float) -> Predictions | None:
    """Of the data that was trained on; None where scikit-learn cannot say it, of odd targets or none."""
    from sklearn.base import is_classifier, is_regressor

    try:
        estimator, given = call.instance, call.arguments
        is_one = is_classifier(estimator)
        if (is_one or is_regressor(estimator)) and given.get("y") is not None and may_predict(estimator):
            weight = given.get("sample_weight")
            return predictions(estimator, is_one, given["X"], given["y"], weight, seconds)
    except Exception as error:  # noqa: BLE001
        pass_on(error)
    return None


def log_training_metrics(run: ActiveRun, found: Predictions, step: int, segment: object = None) -> None:
    """In the flusher."""
    from ...measuring.metrics import metrics  # numpy, which scikit-learn has loaded by now

    with silence():
        run.log(_computed(metrics, found), step)
    if found.rows < found.of_rows:
        run.log_params({"training_metrics_rows": found.rows})


def _computed(
    compute: Callable[[Predictions, str], Mapping[str, Any]], found: Predictions
) -> Mapping[str, Any]:
    """Nothing where scikit-learn refuses: of odd targets it has no metrics."""
    try:
        return compute(found, "training_")
    except Exception as error:  # noqa: BLE001
        pass_on(error)
        log.debug("autotrack: no %s of a training: %r", compute.__name__, error)
        return {}


def _tell_later(
    run: ActiveRun,
    found: Predictions | None,
    weights: Weights | None,
    with_curves: bool,
    asked: float,
    segment: object,
) -> None:
    from ...measuring.curves import curves  # numpy again

    if found is not None:
        log_training_metrics(run, found, 0)
    if time.monotonic() - asked > PATIENCE:
        run.omit("curves and weights of a training: they come faster than these can be written")
        return
    with silence():
        tables = dict(weights.tables()) if weights is not None else {}
        if with_curves and found is not None:
            tables |= _computed(curves, found)
    for name, columns in tables.items():
        run.log_table(columns, f"{name}.json")
