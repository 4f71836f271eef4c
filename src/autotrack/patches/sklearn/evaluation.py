"""How good a trained estimator is, by its `score` and by `sklearn.metrics`, on the run that trained it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from numbers import Real
from typing import Any

from ...integration import Call, Integration, Outcome, observe
from ...recording.lineage import Origin, lineage
from .evaluation_tables import log_report

Steps = Generator[None, Outcome, None]

PREDICTING = ("predict", "predict_proba", "predict_log_proba", "decision_function")


class Evaluation(Integration):
    """A point for each number: `<metric>/<data>`, as in `accuracy_score/X_test`.

    The data's name is that of the variable which holds what was predicted on, or else the truth that
    it was held against. Asked again for the same, the curve goes on: its next step.
    """

    @observe(*(f"sklearn.base:BaseEstimator.{name}" for name in PREDICTING), subclasses=True)
    def predictions(self, call: Call) -> Steps:
        """What a trained estimator predicts is remembered: metrics of it are metrics of its run."""
        if lineage.run_of(call.instance) is not None:
            outcome = yield
            lineage.predicted(outcome.value, call.instance, next(_values(call), None))

    @observe("sklearn.base:BaseEstimator.score", subclasses=True)
    def scores(self, call: Call) -> Steps:
        """The estimator's own measure."""
        run = lineage.run_of(call.instance)
        if run is not None:
            outcome = yield
            if isinstance(outcome.value, Real):
                data = list(_values(call))[:2]  # X and y
                run.log({_name("score", call, data): outcome.value})

    @observe("sklearn.metrics:*")
    def metrics(self, call: Call) -> Steps:
        """Any measure of a remembered prediction; what is no number is a table or a text."""
        origin, prediction = _judged(call)
        outcome = yield  # of interest or not: what is fitted inside, by `log_loss` for one, is no training
        if origin is not None and outcome.error is None:
            truth = next((value for value in _values(call) if value is not prediction), None)
            name = _name(call.function.__name__, call, [origin.data(), truth, prediction])
            if isinstance(outcome.value, Real):
                origin.run.log({name: outcome.value})
            else:
                log_report(origin.run, name, call, outcome.value, (truth, prediction))


def remember_labels(call: Call) -> None:
    """What a clusterer found out about the data that it was fitted to is a prediction of them."""
    labels = getattr(call.instance, "__dict__", {}).get("labels_")
    lineage.predicted(labels, call.instance, next(_values(call), None))


def _judged(call: Call) -> tuple[Origin | None, Any]:
    """The prediction among the arguments, the last if there are two: the truth comes first."""
    for value in reversed(list(_values(call))):
        if (origin := lineage.origin_of(value)) is not None:
            return origin, value
    return None, None


def _name(metric: str, call: Call, data: list[Any]) -> str:
    """The metric, the data, and how the metric was asked for: `f1_score/X_test/average=macro`."""
    names = (call.name_of(thing) for thing in data if thing is not None)
    known = {id(thing) for thing in data}
    settings = [_setting(key, value) for key, value in call.kwargs.items() if id(value) not in known]
    return "/".join([metric, next(filter(None, names), "data"), *filter(None, [",".join(settings)])])


def _setting(key: str, value: Any) -> str:
    return f"{key}={value}" if _is_plain(value) else key


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, Real))


def _values(call: Call) -> Iterator[Any]:
    """The arguments that may be data, in the order they were passed."""
    return (value for value in (*call.args, *call.kwargs.values()) if not _is_plain(value))
