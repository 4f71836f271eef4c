"""What a fitted estimator says of its own training data, at a cost that is not felt."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...measuring.predictions import Predictions
from .params import state_of, values_in
from .rows import cell_count, copied, even_rows, row_count, take

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROBE = 256
"""Rows that are predicted first, to see what all of them would take."""
FIRST_PROBE = 16
"""The same where there is so much data that a slow learner may read all of it for each row."""
MUCH_DATA = 5_000_000
"""Values in X from which there is."""
MAX_ROWS = 100_000
MAX_CELLS = 8_000_000
"""More of X is not read: it may lie on a disk."""
MIN_BUDGET, BUDGET = 0.020, 0.05
"""Seconds that predictions may take, or this part of the training's time if that is more."""

_DECIDES_OTHERWISE = frozenset({"SVC", "NuSVC", "FixedThresholdClassifier", "TunedThresholdClassifierCV"})
"""Classifiers that do not predict the class that they give the highest probability."""


def predictions(
    estimator: Any, is_classifier: bool, X: Any, y: Any, weight: Any, seconds: float
) -> Predictions | None:
    """Of as many rows, evenly spread, as can be had within `seconds`; None if there is nothing to say."""
    import numpy as np

    count = row_count(X)
    if not count or row_count(y) != count:
        return None
    with np.errstate(all="ignore"):
        asked = _Asked(estimator, is_classifier)
        rows, (predicted, probabilities) = _within(seconds, asked.predict, X, count)
    if predicted.shape[:1] != (count if rows is None else len(rows),):
        return None  # a user's own, that predicts something else
    return Predictions(
        copied(y, rows),
        predicted,
        probabilities,
        asked.classes,
        None if np.ndim(weight) == 0 else copied(weight, rows),
        count if rows is None else len(rows),
        count,
        _score_is_usual(estimator),
    )


def _within(
    seconds: float, predict: Callable[[Any], Any], X: Any, count: int
) -> tuple[NDArray[np.int64] | None, Any]:
    """The largest affordable prediction, and its rows."""
    cells = cell_count(X)
    limit = min(count, MAX_ROWS, max(1, MAX_CELLS * count // max(cells, 1)))
    size = min(limit, FIRST_PROBE if cells > MUCH_DATA else PROBE)
    while True:
        rows = even_rows(count, size)
        started = time.perf_counter()
        result = predict(take(X, rows))
        took = time.perf_counter() - started
        seconds -= took
        larger = min(limit, int(size * seconds / took))
        if larger < min(limit, 2 * size) or size == limit:
            return rows, result
        size = larger if size >= PROBE else min(larger, PROBE)


def _score_is_usual(estimator: Any) -> bool:
    steps = vars(estimator).get("steps")
    model = steps[-1][1] if isinstance(steps, list) and steps else estimator
    score = getattr(type(model), "score", None)
    return getattr(score, "__qualname__", "") in ("ClassifierMixin.score", "RegressorMixin.score")


def _quiet(estimator: Any) -> Any:
    """The same fitted estimator, which prints nothing when it is asked; a copy of its outside, if need be."""
    state = state_of(estimator)
    changes: dict[str, Any] = {"verbose": 0} if state.get("verbose") else {}
    for name in ("best_estimator_", "estimator_", "final_estimator_"):
        if name in state:
            changes[name] = _quiet(state[name])
    if isinstance(members := state.get("estimators_"), list):
        changes["estimators_"] = list(map(_quiet, members))
    if isinstance(steps := state.get("steps"), list):
        changes["steps"] = [(name, _quiet(step)) for name, step in steps]
    if all(value is state[name] or value == state[name] for name, value in changes.items()):
        return estimator
    copy = object.__new__(type(estimator))
    copy.__dict__.update({**state, **changes})
    return copy


class _Asked:
    """An estimator that is asked once: the class follows from the probabilities, where it does."""

    def __init__(self, estimator: Any, is_classifier: bool) -> None:
        self.classes: Any = getattr(estimator, "classes_", None) if is_classifier else None
        self._estimator = _quiet(estimator)
        self._has_probabilities = (
            self.classes is not None
            and not isinstance(self.classes, list)
            and hasattr(estimator, "predict_proba")
        )
        self._decides_otherwise = self._has_probabilities and any(
            type(value).__name__ in _DECIDES_OTHERWISE for value in values_in(estimator)
        )

    def predict(self, X: Any) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
        import numpy as np

        probabilities = np.asarray(self._estimator.predict_proba(X)) if self._has_probabilities else None
        fits = probabilities is not None and probabilities.shape[1:] == (len(self.classes),)
        if not fits or self._decides_otherwise:
            return np.asarray(self._estimator.predict(X)), probabilities if fits else None
        assert probabilities is not None
        return np.asarray(self.classes)[probabilities.argmax(axis=1)], probabilities
