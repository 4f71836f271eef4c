"""One evaluation, from the data to the run that tells of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import EvaluationFailed, OptionError
from ..measuring.curves import curves
from ..measuring.metrics import class_metrics, metrics
from ..measuring.predictions import Predictions
from ..predictor import Predictor
from ..recording.datasets import is_read
from . import tags
from . import thresholds as bounds
from .columns import column, without
from .comparison import Difference, differences
from .predicting import Task, array_of, column_of, predicted, task_of
from .slices import masks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..recording.run import ActiveRun

Asked = Predictor | Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of an evaluation.

    Attributes: `run_id` of the run that holds it, `task`, `metrics` of all rows, `slices` (metrics of each),
    `differences` (a `Difference` to the champion for each metric; {} without one), `failures` (a line for
    each threshold that was not reached).
    """

    run_id: str
    task: Task
    metrics: Mapping[str, float]
    slices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    differences: Mapping[str, Difference] = field(default_factory=dict)
    failures: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Whether every threshold was reached."""
        return not self.failures

    def require(self) -> Evaluation:
        """Itself, if every threshold was reached: the gate before a promotion. Raises `EvaluationFailed`."""
        if self.failures:
            raise EvaluationFailed(f"the model of run {self.run_id} did not pass: {'; '.join(self.failures)}")
        return self


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What is measured: a model, by its address or what it is, on rows whose truth is known.

    `truth` is what the predictions are held against, `targets` the same as it was given: a training has
    told of them as such, and a dataset is known again by that.
    """

    model: Asked
    name: str
    data: Any
    targets: Any
    truth: NDArray[Any]
    task: Task

    @classmethod
    def of(cls, model: Asked, name: str, data: Any, targets: Any, task: Task | None) -> Evaluated:
        """With the targets taken out of the data, if they are a column of it. Raises `OptionError`."""
        if isinstance(targets, str):
            targets, data = column(data, targets, "targets"), without(data, targets)
        truth = _truth(targets)
        asked = model.model if isinstance(model, Predictor) else model
        chosen = task or task_of(truth, asked)
        if chosen not in ("classification", "regression"):
            raise OptionError(f"task {task!r} is not known; it is classification or regression")
        return cls(model, name, data, targets, truth, chosen)

    def told_targets(self) -> Any:
        """Those that belong to the data's digest: it would be of shapes alone, were they not read."""
        return self.targets if is_read(self.targets) else self.truth

    def predictions(self) -> Predictions:
        """The model's."""
        return predicted(self.model, self.data, self.truth, self.task)


def _truth(targets: Any) -> NDArray[Any]:
    """As an array of numbers, bools or texts, one for each row. Raises `OptionError`."""
    truth = column_of(array_of(targets, "the targets"))
    if not truth.size:
        raise OptionError("there are no targets to hold the predictions against")
    if truth.dtype.kind == "f" and (missing := np.isnan(truth)).any():
        rows = np.flatnonzero(missing.reshape(len(truth), -1).any(axis=1))
        raise OptionError(
            f"{len(rows)} targets are missing, the first at row {rows[0]}: leave those rows out"
        )
    return truth


def evaluate(
    run: ActiveRun,
    it: Evaluated,
    slices: Mapping[str, Any] | Sequence[str],
    thresholds: Mapping[str, float | str],
    champion: tuple[Asked, str] | None,
    dataset: str,
) -> Evaluation:
    """See `autotrack.evaluate`; everything is told to the run."""
    wanted = bounds.read(thresholds)
    parts = masks(slices, it.data, len(it.truth))
    run.set_tags({tags.MODEL: it.name, "task": it.task})
    if isinstance(it.model, Predictor) and it.model.id:
        run.set_tags({tags.MODEL_ID: it.model.id})
    if wanted:
        run.log_params({f"threshold/{one.metric}": f"{one.compare} {one.bound:g}" for one in wanted})
        run.set_tags({tags.PASSED: "false"})
    run.log_dataset(it.data, dataset, y=it.told_targets(), role="test")
    found = it.predictions()
    values = metrics(found)
    if not values:
        raise OptionError(
            f"there is no {it.task} metric of targets of {_shown(it.truth)} and predictions of "
            f"{_shown(found.predicted)}"
        )
    by_slice = {name: _of_slice(found, mask) for name, mask in parts.items()}
    run.log(values)
    for name, of_slice in by_slice.items():
        run.log({f"{name}/{metric}": value for metric, value in of_slice.items()})
    _log_tables(run, found, by_slice)
    compared = {} if champion is None else _compare(run, it, found, *champion)
    named = {f"{name}/{metric}": value for name, one in by_slice.items() for metric, value in one.items()}
    failures = [line for one in wanted if (line := one.failure({**values, **named}))]
    if wanted and not failures:
        run.set_tags({tags.PASSED: "true"})
    return Evaluation(run.id, it.task, values, by_slice, compared, tuple(failures))


def _shown(values: NDArray[Any]) -> str:
    return f"the type {values.dtype.name} and shape {values.shape}"


def _of_slice(found: Predictions, mask: NDArray[np.bool_]) -> Mapping[str, float]:
    """Its metrics, and how many rows it has."""
    rows = int(mask.sum())
    if not rows:
        return {"rows": 0.0}
    part = replace(
        found,
        truth=found.truth[mask],
        predicted=found.predicted[mask],
        probabilities=None if found.probabilities is None else found.probabilities[mask],
        rows=rows,
        of_rows=rows,
    )
    return {**metrics(part), "rows": float(rows)}


def _log_tables(run: ActiveRun, found: Predictions, by_slice: Mapping[str, Mapping[str, float]]) -> None:
    tables = dict(curves(found))
    if of_classes := class_metrics(found):
        tables["classes"] = of_classes
        for number, name in enumerate(of_classes["class"].tolist()):
            run.log(
                {
                    f"class {name}/{metric}": of_classes[metric][number]
                    for metric in ("precision", "recall", "f1")
                }
            )
    if by_slice:
        known = dict.fromkeys(metric for one in by_slice.values() for metric in one)
        columns = {metric: [one.get(metric) for one in by_slice.values()] for metric in known}
        tables["slices"] = {"slice": list(by_slice), **columns}
    for name, columns in tables.items():
        run.log_table(columns, f"{name}.json")


def _compare(
    run: ActiveRun, it: Evaluated, found: Predictions, champion: Asked, name: str
) -> Mapping[str, Difference]:
    run.set_tags({tags.CHAMPION: name})
    compared = differences(found, predicted(champion, it.data, it.truth, it.task))
    run.log({f"champion/{metric}": one.champion for metric, one in compared.items()})
    run.log({f"difference/{metric}": one.value for metric, one in compared.items()})
    columns = {"metric": list(compared)}
    for part in ("challenger", "champion", "value", "low", "high"):
        columns[part] = [getattr(one, part) for one in compared.values()]
    run.log_table(columns, "comparison.json")
    return compared
