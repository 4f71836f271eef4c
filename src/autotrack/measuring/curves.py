"""How a classifier's predictions meet the truth, as tables: what others draw as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .measures import confusion, ranking
from .metrics import codes_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .predictions import Predictions

Columns = dict[str, Any]

MAX_CURVES = 10
"""Classes that get a curve each; of more classes there is none."""
MAX_CONFUSED = 100
"""Classes up to which there is a confusion matrix."""
MAX_POINTS = 1000
"""Points of a curve; of more, evenly spread ones."""
MAX_ROWS = 10_000
"""Rows that curves are made from; of more, evenly spread ones."""
BINS = 10
"""Of the calibration curve."""


def curves(found: Predictions, prefix: str = "") -> Mapping[str, Columns]:
    """The tables by name, which begins with `prefix`; none for a regressor or for several targets."""
    if found.classes is None or (codes := codes_of(found)) is None or not found.rows:
        return {}
    tables = {}
    if len(found.classes) <= MAX_CONFUSED:
        tables["confusion_matrix"] = _confusion(*codes, found)
    if found.probabilities is not None and 2 <= len(found.classes) <= MAX_CURVES:
        tables |= _of_probabilities(codes[0], found)
    return {f"{prefix}{name}": columns for name, columns in tables.items()}


def _confusion(truth: NDArray[Any], predicted: NDArray[Any], found: Predictions) -> Columns:
    classes = np.asarray(found.classes)
    matrix = confusion(truth, predicted, len(classes), found.weight)
    columns = {f"predicted {name}": matrix[:, i] for i, name in enumerate(classes.tolist())}
    return {"true": classes, **columns}


def _of_probabilities(truth: NDArray[Any], found: Predictions) -> dict[str, Columns]:
    """One curve for two classes, else one for each class against the others."""
    rows = slice(None) if len(truth) <= MAX_ROWS else np.arange(MAX_ROWS) * len(truth) // MAX_ROWS
    truth = truth[rows]
    probabilities = np.asarray(found.probabilities, np.float64)[rows]
    weight = None if found.weight is None else found.weight[rows]
    weights = np.ones(len(truth)) if weight is None else weight
    if (weights < 0).any():
        return {}
    names = np.asarray(found.classes).tolist()
    parts: dict[str, list[Columns]] = {}
    for number in [1] if len(names) == 2 else range(len(names)):
        is_it = truth == number
        if weights[is_it].any() and weights[~is_it].any():
            for table, columns in _curves_of_one(is_it, probabilities[:, number], weight).items():
                length = len(next(iter(columns.values())))
                parts.setdefault(table, []).append({"class": [names[number]] * length, **columns})
    return {name: _joined(tables) for name, tables in parts.items()}


def _curves_of_one(is_it: NDArray[Any], probability: NDArray[Any], weight: Any) -> dict[str, Columns]:
    ranked = ranking(is_it, probability, weight)
    return {
        "roc_curve": thinned(ranked.roc()),
        "precision_recall_curve": thinned(ranked.precision_recall()),
        "calibration_curve": _calibration(is_it, probability, weight),
    }


def _calibration(is_it: NDArray[Any], probability: NDArray[Any], weight: Any) -> Columns:
    """Mean probability and share of the class in bins of equal width; empty bins are left out."""
    weight = np.ones(len(is_it)) if weight is None else weight
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    total = np.bincount(bins, weight, BINS)
    kept = total > 0
    return {
        "mean_predicted_probability": (np.bincount(bins, weight * probability, BINS)[kept] / total[kept]),
        "fraction_of_positives": np.bincount(bins, weight * is_it, BINS)[kept] / total[kept],
        "rows": np.bincount(bins, minlength=BINS)[kept],
    }


def thinned(columns: Columns) -> Columns:
    """A table of at most `MAX_POINTS` rows, with its first and its last."""
    length = len(next(iter(columns.values())))
    if length <= MAX_POINTS:
        return columns
    kept = np.linspace(0, length - 1, MAX_POINTS).astype(np.int64)
    return {name: values[kept] for name, values in columns.items()}


def _joined(tables: list[Columns]) -> Columns:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
