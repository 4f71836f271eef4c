"""How good predicted classes and probabilities are, from numbers of classes, in numpy alone.

The definitions, and the handling of ties and of nothing to divide by, are those of `sklearn.metrics`
(`tests/measuring/test_measures.py` holds them equal). Its functions check their input for
tens of milliseconds in all, with the interpreter lock held: the user's next training would wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.integer[Any]]


def confusion(truth: Codes, predicted: Codes, count: int, weight: Floats | None) -> NDArray[Any]:
    """Rows of each class (their weight, if given) by the true class, then by the predicted one."""
    return np.bincount(truth * count + predicted, weight, count * count).reshape(count, count)


def of_confusion(matrix: NDArray[Any]) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 as means over the classes, weighted by their rows."""
    hits, true, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    return {
        "accuracy_score": hits.sum() / matrix.sum(),
        "precision_score": _mean(_ratio(hits, predicted), true),
        "recall_score": _mean(_ratio(hits, true), true),
        "f1_score": _mean(_ratio(2 * hits, true + predicted), true),
    }


def by_class(matrix: NDArray[Any]) -> dict[str, Floats]:
    """Precision, recall, F1 and rows of each class."""
    hits, true, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    return {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, true),
        "f1": _ratio(2 * hits, true + predicted),
        "rows": true,
    }


def of_numbers(truth: NDArray[Any], predicted: NDArray[Any], weight: Floats | None) -> dict[str, float]:
    """Errors and R² of a regression; of several targets (columns) the plain mean of each one's.

    R² is there for two rows or more. Of a target that is constant it is 1 where it is met, else 0.
    """
    truth, predicted = (
        np.asarray(values, np.float64).reshape(len(values), -1) for values in (truth, predicted)
    )
    error = truth - predicted
    squared = np.average(error**2, axis=0, weights=weight)
    values = {
        "mean_squared_error": float(squared.mean()),
        "root_mean_squared_error": float(np.sqrt(squared.mean())),
        "mean_absolute_error": float(np.average(np.abs(error), axis=0, weights=weight).mean()),
    }
    if len(truth) > 1:
        spread = np.average((truth - np.average(truth, axis=0, weights=weight)) ** 2, axis=0, weights=weight)
        explained = np.divide(squared, spread, out=np.where(squared == 0, 0.0, 1.0), where=spread != 0)
        values["r2_score"] = float((1 - explained).mean())
    return values


def log_loss(truth: Codes, probabilities: Floats, weight: Floats | None) -> float:
    """Mean of -log of the true class's probability, which is held a little away from 0 and 1."""
    tiny = np.finfo(probabilities.dtype).eps
    right = probabilities[np.arange(len(truth)), truth].clip(tiny, 1 - tiny)
    return float(np.average(-np.log(right), weights=weight))


@dataclass(frozen=True)
class Ranking:
    """Weight of the rows on either side of each threshold, from the highest: of the class, and of others."""

    threshold: Floats
    true: Floats
    false: Floats

    @property
    def auc(self) -> float:
        """Area under the ROC curve; the class and the others are both there."""
        true, false = (np.r_[0.0, counts] / counts[-1] for counts in (self.true, self.false))
        return float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2))

    def roc(self) -> dict[str, Floats]:
        """The ROC curve from (0, 0) to (1, 1), without points on a straight line between others."""
        bends = np.r_[True, (np.diff(self.false, 2) != 0) | (np.diff(self.true, 2) != 0), True]
        kept = bends if len(self.true) > 2 else slice(None)
        return {
            "false_positive_rate": np.r_[0.0, self.false[kept] / self.false[-1]],
            "true_positive_rate": np.r_[0.0, self.true[kept] / self.true[-1]],
            "threshold": np.r_[np.inf, self.threshold[kept]],
        }

    def precision_recall(self) -> dict[str, Floats]:
        """Precision and recall at each threshold, the lowest first."""
        return {
            "precision": (self.true / (self.true + self.false))[::-1],
            "recall": (self.true / self.true[-1])[::-1],
            "threshold": self.threshold[::-1],
        }


def ranking(is_it: NDArray[np.bool_], score: Floats, weight: Floats | None) -> Ranking:
    """Of rows that are of the class or not, by their score for it; those without weight do not count."""
    if weight is not None and not weight.all():
        counted = weight != 0
        is_it, score, weight = is_it[counted], score[counted], weight[counted]
    order = np.argsort(score, kind="stable")[::-1]
    score, is_it = score[order], is_it[order]
    last = np.r_[np.flatnonzero(np.diff(score)), len(score) - 1]  # of equal scores
    if weight is None:
        true = np.cumsum(is_it, dtype=np.float64)[last]
        return Ranking(score[last], true, last + 1.0 - true)
    weight = weight[order]
    return Ranking(score[last], np.cumsum(weight * is_it)[last], np.cumsum(weight * ~is_it)[last])


def roc_auc(truth: Codes, probabilities: Floats, weight: Floats | None) -> float:
    """Area under the ROC curve; of several classes the mean of each against the others, by their rows."""
    count = probabilities.shape[1]
    if count == 2:
        return ranking(truth == 1, probabilities[:, 1], weight).auc
    areas = [ranking(truth == number, probabilities[:, number], weight).auc for number in range(count)]
    return float(np.average(areas, weights=np.bincount(truth, weight, count)))


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.zeros(len(whole)), where=whole != 0)
    return ratio


def _mean(values: Floats, weight: NDArray[Any]) -> float:
    return float(np.average(values, weights=weight)) if weight.any() else 0.0
