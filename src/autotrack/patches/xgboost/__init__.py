"""XGBoost: `xgboost.train`, called by the user or by its scikit-learn estimators, and `xgboost.cv`.

`points.py` follows the iterations; `boosters.py` reads what a trained booster tells about itself.
Both import XGBoost, so they are imported where a call of it is going on.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...integration import Call, Integration, Outcome, hook

if TYPE_CHECKING:
    from ...recording.run import ActiveRun

NOT_SETTINGS = {
    "params",
    "dtrain",
    "evals",
    "evals_result",
    "callbacks",
    "fpreproc",
    "as_pandas",
    "show_stdv",
}
"""Arguments that are data, or only change what is given back; all others are recorded as params."""
IMPORTANCES = "feature_importances.json"
"""The table of a booster's features: weight, gain, cover, total_gain and total_cover of each."""


@dataclass(frozen=True)
class XgboostOptions:
    """Options of the XGBoost integration.

    every: record the eval metrics of every n-th iteration, and of the last.
    importances: keep the table of the features' importances.
    log_dataset: record shape, columns and a digest of the labels of each matrix: its values are out of reach.
    log_model: keep the trained booster.
    """

    every: int = 1
    importances: bool = True
    log_dataset: bool = True
    log_model: bool = True


class Xgboost(Integration):
    """Params and arguments, and every eval metric of every iteration as `<data>-<metric>`."""

    name = "xgboost"
    requires = "xgboost>=2.0"
    Options = XgboostOptions

    @hook("xgboost:train", "xgboost.sklearn:train", nested=True)
    def train(self, run: ActiveRun, call: Call) -> Generator[None, Outcome, None]:
        """One booster."""
        from . import boosters
        from .points import Points

        settings = self.settings(call)
        run.log_params(settings)
        if self.options.log_dataset and not call.is_nested:  # an estimator's own call has the data itself
            _log_data(run, call.arguments)
        points = Points(run, self.options.every)
        call.append("callbacks", points)
        outcome = yield
        points.finish()
        if outcome.error is None:
            if self.options.log_model and not call.is_nested:
                from ...signatures.trained import signature_of

                run.log_model(outcome.value, signature=signature_of(call.arguments["dtrain"]))
            run.log_params(boosters.defaults(outcome.value, settings))
            points.log_best(outcome.value)
            if self.options.importances:
                run.log_table(boosters.importances(outcome.value), IMPORTANCES)

    @hook("xgboost:cv")
    def cv(self, run: ActiveRun, call: Call) -> Generator[None, Outcome, None]:
        """One cross-validation: mean and standard deviation by iteration, and each fold's own values."""
        from . import boosters
        from .points import FoldPoints

        settings = self.settings(call)
        run.log_params(settings)
        points = FoldPoints(run, self.options.every)
        call.append("callbacks", points)
        outcome = yield
        folds = points.folds
        points.finish()
        if outcome.error is None and folds:
            run.log_params({"nfold": len(folds), **boosters.defaults(folds[0], settings)})
            points.log_best(folds[0])

    def settings(self, call: Call) -> Mapping[str, Any]:
        """The arguments and booster params that were given; None means XGBoost's default to it."""
        arguments = {name: value for name, value in call.arguments.items() if name not in NOT_SETTINGS}
        for name in ("xgb_model", "folds"):  # a model's or a list's text may be long
            if not isinstance(arguments.get(name), str | None):
                arguments[name] = type(arguments[name]).__name__
        given = {**arguments, **_as_dict(call.arguments["params"])}
        return {name: value for name, value in given.items() if value is not None}


def _log_data(run: ActiveRun, arguments: Mapping[str, Any]) -> None:
    """What is trained on, and what is evaluated under the user's names."""
    run.log_dataset(arguments["dtrain"], "train")
    for data, name in arguments["evals"] or ():
        if data is not arguments["dtrain"]:
            run.log_dataset(data, name, role="eval")


def _as_dict(params: Any) -> dict[str, Any]:
    """Booster params; in a list of pairs a name may come several times, as in eval_metric."""
    if not isinstance(params, list):
        return dict(params or {})
    found: dict[str, Any] = {}
    for name, value in params:
        found[name] = [*_as_list(found[name]), value] if name in found else value
    return found


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
