"""How good a trained estimator is, by its `score` and by `sklearn.metrics`, on the run that trained it."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

from ...integration import Call, Integration, observe
from ...recording.lineage import lineage

if TYPE_CHECKING:
    from ...recording.run import ActiveRun

PREDICTING = ("predict", "predict_proba", "predict_log_proba", "decision_function")


class Evaluation(Integration):
    """A point for each number: `<metric>/<data>`, as in `accuracy_score/X_test`.

    The data's name is that of the variable which holds what was predicted on, or else the truth that
    it was held against. Asked again for the same, the curve goes on: its next step.
    """

    @observe(*(f"sklearn.base:BaseEstimator.{name}" for name in PREDICTING), subclasses=True)
    def predictions(self, run: ActiveRun, call: Call, value: Any) -> None:
        """What a trained estimator predicts is remembered: metrics of it are metrics of its run."""
        lineage.predicted(value, run, _first(call))

    @observe("sklearn.base:BaseEstimator.score", subclasses=True)
    def scores(self, run: ActiveRun, call: Call, value: Any) -> None:
        """The estimator's own measure."""
        if isinstance(value, Real):
            run.log({_name("score", call, _data(call)[:2]): value})

    @observe("sklearn.metrics:*")
    def metrics(self, run: ActiveRun, call: Call, value: Any) -> None:
        """Any measure of a remembered prediction; what is no number is a table or a text."""
        given = _data(call)
        predicted = [(origin, one) for one in given if (origin := lineage.origin_of(one)) is not None]
        if predicted:
            origin, prediction = predicted[-1]  # the truth comes first, and may be another's prediction
            truth = next((one for one in given if one is not prediction), None)
            name = _name(call.function.__name__, call, [origin.data, truth, prediction])
            if isinstance(value, Real):
                run.log({name: value})
            else:
                from .evaluation_tables import log_report  # numpy, which scikit-learn has loaded by now

                log_report(run, name, call, value, (truth, prediction))


def remember_labels(run: ActiveRun, call: Call) -> None:
    """What a clusterer found out about the data that it was fitted to is a prediction of them."""
    lineage.predicted(getattr(call.instance, "__dict__", {}).get("labels_"), run, _first(call))


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


def _data(call: Call) -> list[Any]:
    """The arguments that may be data, in the order they were passed."""
    return [value for value in (*call.args, *call.kwargs.values()) if not _is_plain(value)]


def _first(call: Call) -> Any:
    return call.args[0] if call.args else next(iter(call.kwargs.values()), None)
