"""XGBoost: `xgboost.train`, called by the user or by its scikit-learn estimators."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..integration import Call, Integration, Outcome, hook

if TYPE_CHECKING:
    from ..recording.run import ActiveRun


@dataclass(frozen=True)
class XgboostOptions:
    """Options of the XGBoost integration.

    every: record the eval metrics of every n-th iteration, and of the last.
    """

    every: int = 1


class Xgboost(Integration):
    """Params and arguments, and every eval metric of every iteration as `<data>-<metric>`."""

    name = "xgboost"
    requires = "xgboost>=2.0"
    Options = XgboostOptions

    @hook("xgboost:train", "xgboost.sklearn:train", nested=True)
    def train(self, run: ActiveRun, call: Call) -> Generator[None, Outcome, None]:
        """One booster."""
        run.log_params(self.settings(call))
        call.append("callbacks", _points_callback(run, self.options.every))
        outcome = yield
        booster = outcome.value
        if booster is not None and booster.attr("best_iteration") is not None:
            run.log({"best_iteration": booster.best_iteration, "best_score": booster.best_score})

    def settings(self, call: Call) -> Mapping[str, Any]:
        arguments = call.arguments
        named = {name: arguments[name] for name in ("num_boost_round", "early_stopping_rounds", "maximize")}
        params = arguments["params"]
        return {**{k: v for k, v in named.items() if v is not None}, **dict(params)}


def _points_callback(run: ActiveRun, every: int) -> Any:
    """XGBoost tells it of each iteration; a user's callback before it in the list may keep it from that.

    So it remembers XGBoost's own history of results, and at the end takes from it what it was not told.
    """
    import xgboost

    class Points(xgboost.callback.TrainingCallback):
        history: Mapping[str, Mapping[str, list[Any]]] = {}
        logged = 0

        def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            self.history = evals_log
            return False

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            self.log_new()
            return False

        def after_training(self, model: Any) -> Any:
            self.log_new()
            self.log_last()
            return model

        def log_new(self) -> None:
            series = _series(self.history)
            length = max(map(len, series.values()), default=0)
            for step in range(self.logged, length):
                if step % every == 0:
                    self.log_step(series, step)
            self.logged = length

        def log_last(self) -> None:
            if self.logged and (self.logged - 1) % every:
                self.log_step(_series(self.history), self.logged - 1)

        def log_step(self, series: Mapping[str, list[Any]], step: int) -> None:
            run.log({name: values[step] for name, values in series.items()}, step)

    return Points()


def _series(history: Mapping[str, Mapping[str, list[Any]]]) -> dict[str, list[Any]]:
    """The history by `<data>-<metric>`, the names that XGBoost prints."""
    return {
        f"{data}-{metric}": values for data, metrics in history.items() for metric, values in metrics.items()
    }
