"""Measures that are no single number: matrices, curves and reports."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...measuring.curves import MAX_CONFUSED, Columns, thinned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...integration import Call
    from ...recording.run import ActiveRun

CURVES = {
    "roc_curve": ("false_positive_rate", "true_positive_rate", "threshold"),
    "precision_recall_curve": ("precision", "recall", "threshold"),
    "det_curve": ("false_positive_rate", "false_negative_rate", "threshold"),
}
"""What the arrays are that these functions return."""


def log_report(run: ActiveRun, name: str, call: Call, value: Any, compared: tuple[Any, Any]) -> None:
    """Keep it as a table, or as the text that it is; what is neither is not kept."""
    metric = call.function.__name__
    if metric in CURVES:
        length = min(map(len, value))  # precision and recall end with a point that has no threshold
        arrays = [np.array(array[:length]) for array in value]
        run.log_table(thinned(dict(zip(CURVES[metric], arrays, strict=True))), f"{name}.json")
    elif metric == "confusion_matrix" and len(value) <= MAX_CONFUSED:
        labels = call.kwargs.get("labels")
        known = [np.array(labels)] if labels is not None else [np.array(each) for each in compared]
        run.later(functools.partial(_log_confusion, run, name, value.copy(), known))
    elif metric == "classification_report":
        if isinstance(value, str):
            run.log_text(value, f"{name}.txt")
        else:
            run.log_table(_report(value), f"{name}.json")
    elif isinstance(value, np.ndarray) and value.ndim == 1 and len(value) <= MAX_CONFUSED:
        each: Columns = {"value": value.copy()}  # of each class, of each target
        run.log_table(each, f"{name}.json")


def _log_confusion(
    run: ActiveRun, name: str, matrix: NDArray[Any], known: list[NDArray[Any]], segment: object
) -> None:
    """`known` are the labels, or all that occur: telling them apart takes as long as the matrix did."""
    labels = known[0] if len(known) == 1 else np.union1d(*known)
    table: Columns = {"true": labels}
    table |= {f"predicted {label}": matrix[:, i] for i, label in enumerate(labels.tolist())}
    run.log_table(table, f"{name}.json")


def _report(report: Mapping[str, Any]) -> Columns:
    """By label; the accuracy, which has none, is a metric of its own."""
    rows = {label: row for label, row in report.items() if isinstance(row, Mapping)}
    measures = dict.fromkeys(measure for row in rows.values() for measure in row)
    columns = {measure: [row.get(measure) for row in rows.values()] for measure in measures}
    return {"label": list(rows), **columns}
