"""The numbers of a task, under MLflow's names so that they are found.

Of a training they are made in the flusher: nothing here may warn, since Python's warnings are the whole
process's.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from . import measures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .predictions import Predictions

MAX_CLASSES = 100
"""More classes make a ranking metric of each too long."""
MOST_CONFUSED = 5_000
"""Classes of a confusion matrix: that of more takes more memory than it is worth."""


def metrics(found: Predictions, prefix: str = "") -> dict[str, float]:
    """By the task, each name beginning with `prefix`; without those that the targets do not allow."""
    values = _of_classes(found) if found.classes is not None else _of_numbers(found)
    score = values.get("accuracy_score" if found.classes is not None else "r2_score")
    if score is not None and found.score_is_usual:
        values["score"] = score
    return {f"{prefix}{name}": float(value) for name, value in values.items()}


def class_metrics(found: Predictions) -> dict[str, Any]:
    """Precision, recall, F1 and the rows of each class, as columns; {} where classes are not one by one."""
    codes = None if found.classes is None else codes_of(found)
    if codes is None:
        return {}
    matrix = measures.confusion(*codes, len(np.asarray(found.classes)), found.weight)
    return {"class": np.asarray(found.classes), **measures.by_class(matrix)}


def codes_of(found: Predictions) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Truth and prediction as numbers of classes; None for several targets, or classes unseen."""
    classes = np.asarray(found.classes)
    if classes.ndim != 1 or found.truth.ndim != 1 or found.predicted.ndim != 1:
        return None
    if len(classes) > MOST_CONFUSED:
        return None
    truth, predicted = (
        np.searchsorted(classes, values).clip(max=len(classes) - 1)
        for values in (found.truth, found.predicted)
    )
    seen = (classes[truth] == found.truth).all() and (classes[predicted] == found.predicted).all()
    return (truth, predicted) if seen else None


def _of_classes(found: Predictions) -> dict[str, Any]:
    codes = codes_of(found)
    if codes is None:
        return _of_odd_classes(found)
    truth, predicted = codes
    matrix = measures.confusion(truth, predicted, len(np.asarray(found.classes)), found.weight)
    values: dict[str, Any] = measures.of_confusion(matrix)
    if found.probabilities is not None:
        values |= _of_probabilities(truth, found)
    return values


def _of_odd_classes(found: Predictions) -> dict[str, Any]:
    """Of several labels to a row, or of classes that are not among those of the training."""
    truth, predicted, weight = found.truth, found.predicted, found.weight
    with contextlib.suppress(ValueError, ImportError):  # of targets that scikit-learn has no metric for
        from sklearn import metrics as known

        accuracy = known.accuracy_score(truth, predicted, sample_weight=weight)
        precision, recall, f1, _ = known.precision_recall_fscore_support(
            truth, predicted, average="weighted", zero_division=0.0, sample_weight=weight
        )
        return {
            "accuracy_score": accuracy,
            "precision_score": precision,
            "recall_score": recall,
            "f1_score": f1,
        }
    return {}


def _of_probabilities(truth: NDArray[Any], found: Predictions) -> dict[str, Any]:
    probabilities = np.asarray(found.probabilities, np.float64)
    count = probabilities.shape[1]
    sums = probabilities.sum(axis=1, keepdims=True)
    if count < 2 or not (np.isfinite(sums).all() and (sums > 0).all() and (probabilities >= 0).all()):
        return {}
    if found.weight is not None and (found.weight < 0).any():
        return {}  # a mean may be anything then
    probabilities = probabilities / sums  # float32 ones add up to 1 only nearly
    values = {"log_loss": measures.log_loss(truth, probabilities, found.weight)}
    if (np.bincount(truth, found.weight, count) > 0).all() and count <= MAX_CLASSES:
        values["roc_auc"] = measures.roc_auc(truth, probabilities, found.weight)
    return values


def _of_numbers(found: Predictions) -> dict[str, Any]:
    truth, predicted = found.truth, found.predicted
    if truth.shape != predicted.shape or truth.ndim > 2 or truth.dtype.kind not in "fiub":
        return {}
    return measures.of_numbers(truth, predicted, found.weight)
