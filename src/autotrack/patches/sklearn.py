"""scikit-learn: `fit` of every estimator, its own, a user's or a third party's."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..integration import Call, Integration, Outcome, hook

if TYPE_CHECKING:
    from ..recording.run import ActiveRun

CURVES = ("loss_curve_", "validation_scores_", "train_score_", "validation_score_", "scores_")
"""Fitted attributes with a value per iteration; recorded under the attribute's own name, bare."""
FACTS = ("n_iter_", "loss_", "best_loss_", "inertia_", "oob_score_", "best_score_", "lower_bound_")
"""Fitted attributes with one number."""


@dataclass(frozen=True)
class SklearnOptions:
    """Options of the scikit-learn integration.

    fitted_metrics: record the curves and numbers that an estimator keeps while it is fitted.
    """

    fitted_metrics: bool = True


class Sklearn(Integration):
    """Params from `get_params(deep=True)`, metrics from what the estimator itself computed."""

    name = "sklearn"
    requires = "scikit-learn>=1.3"
    Options = SklearnOptions

    @hook("sklearn.base:BaseEstimator.fit", subclasses=True)
    def fit(self, run: ActiveRun, call: Call) -> Generator[None, Outcome, None]:
        """One training: params before, what the estimator kept of its iterations after."""
        run.log_params(params_of(call.instance, deep=True))
        outcome = yield
        if self.options.fitted_metrics and outcome.error is None:
            _log_fitted(run, call.instance)

    def settings(self, call: Call) -> Mapping[str, Any]:
        return params_of(call.instance, deep=False)


def params_of(estimator: Any, deep: bool) -> dict[str, Any]:
    """The estimator's params; one that is itself an estimator by its class, as its own follow."""
    if deep:
        params = estimator.get_params(deep=True)
    else:  # vars() is read a hundred times faster than get_params() inspects
        state: dict[str, Any] = vars(estimator)
        params = {name: state[name] for name in _param_names(estimator.__class__) if name in state}
    return {name: _described(value) for name, value in params.items()}


@lru_cache(maxsize=1024)
def _param_names(kind: Hashable) -> tuple[str, ...]:
    return tuple(kind._get_param_names())  # type: ignore[attr-defined]


def _described(value: Any) -> Any:
    """Estimators by class, also in the (name, estimator) lists of pipelines: their repr takes ms."""
    if hasattr(value, "get_params"):
        return type(value).__name__ if not isinstance(value, type) else value
    if isinstance(value, list) and value and all(isinstance(v, tuple) and len(v) >= 2 for v in value):
        return ", ".join(f"{v[0]}: {_described(v[1])}" for v in value)
    return value


def _log_fitted(run: ActiveRun, estimator: Any) -> None:
    state = vars(estimator)
    for attribute in CURVES:
        for step, value in enumerate(_numbers(state.get(attribute))):
            run.log({attribute.rstrip("_"): value}, step)
    facts = {name.rstrip("_"): state[name] for name in FACTS if _is_number(state.get(name))}
    if facts:
        run.log(facts)


def _numbers(curve: Any) -> list[float]:
    """A curve's values; nothing if it is none."""
    if curve is None or getattr(curve, "ndim", 1) != 1 or not hasattr(curve, "__len__"):
        return []
    return [float(value) for value in curve] if len(curve) and _is_number(curve[0]) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0)
