"""Importances and coefficients of a fitted model, as tables with the names of its features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...interrupts import pass_on
from .params import state_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_FEATURES = 10_000
MAX_VALUES = 100_000
"""Larger arrays of weights are not kept."""


@dataclass(frozen=True)
class Weights:
    """What the tables are made from later; nothing in it changes when the model is trained again.

    `forest` is a copy of a model that computes its importances from its trees, which takes too long
    for the call. `steps` are the transformers before the model.
    """

    coefficients: NDArray[Any] | None
    importances: NDArray[Any] | None
    forest: Any
    names_in: Any
    steps: tuple[Any, ...]
    classes: Any

    def tables(self) -> Mapping[str, Mapping[str, Any]]:
        """The tables by name."""
        tables: dict[str, Mapping[str, Any]] = {}
        importances = self.importances if self.forest is None else _importances(self.forest)
        if importances is not None and importances.ndim == 1:
            tables["feature_importances"] = {
                "feature": self._names(len(importances)),
                "importance": importances,
            }
        if self.coefficients is not None and self.coefficients.ndim <= 2:
            rows = self.coefficients.reshape(-1, self.coefficients.shape[-1])
            named = dict(zip(self._row_names(len(rows)), rows, strict=True))
            tables["coefficients"] = {"feature": self._names(rows.shape[1]), **named}
        return tables

    def _names(self, count: int) -> list[str]:
        names = self.names_in
        try:
            for step in self.steps:
                names = step.get_feature_names_out(names)
        except Exception as error:  # noqa: BLE001  a step may have no names to give
            pass_on(error)
            names = None
        if names is None or len(names) != count:
            return [f"x{i}" for i in range(count)]
        return list(map(str, names))

    def _row_names(self, count: int) -> list[str]:
        """One for each class, or for each target."""
        if count == 1:
            return ["coefficient"]
        names = self.classes if self.classes is not None and len(self.classes) == count else range(count)
        return [f"coefficient {name}" for name in names]


def _importances(model: Any) -> NDArray[Any]:
    """Those that it computes when it is asked; of a forest without joblib, which takes four times as long."""
    from sklearn.ensemble._forest import BaseForest

    trees = [tree for tree in getattr(model, "estimators_", ()) if isinstance(model, BaseForest)]
    grown = [tree.feature_importances_ for tree in trees if tree.tree_.node_count > 1]
    if not grown:
        importances: NDArray[Any] = model.feature_importances_
    else:
        importances = sum(grown)
        importances /= importances.sum()
    return importances


def weights_of(estimator: Any, is_known: bool) -> Weights | None:
    """None for a model without weights. Of a stranger's only what stands in it as an array is read."""
    model, steps = _fitted(estimator)
    state = state_of(model)
    forest = _copied_forest(model) if is_known else None
    coefficients, importances = _copied(state.get("coef_")), _copied(state.get("feature_importances_"))
    if coefficients is None and importances is None and forest is None:
        return None
    first = state_of(steps[0] if steps else model)
    return Weights(
        coefficients,
        importances,
        forest,
        first.get("feature_names_in_"),
        tuple(steps) if is_known else (),
        state.get("classes_"),
    )


def _fitted(estimator: Any) -> tuple[Any, list[Any]]:
    """What was trained in the end, and the transformers before it."""
    state = state_of(estimator)
    if "best_estimator_" in state:
        return _fitted(state["best_estimator_"])
    steps = state.get("steps")
    if not (isinstance(steps, list) and steps and all(isinstance(step, tuple) for step in steps)):
        return estimator, []
    model, inner = _fitted(steps[-1][1])
    before = [step[1] for step in steps[:-1] if hasattr(step[1], "transform")]
    return model, before + inner


def _copied(array: Any) -> NDArray[Any] | None:
    import numpy as np

    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or not array.ndim:
        return None
    return np.array(array) if 0 < array.size <= MAX_VALUES and array.shape[-1] <= MAX_FEATURES else None


def _copied_forest(model: Any) -> Any:
    """The same trees in an object of our own, if it is a forest of scikit-learn's."""
    kind = type(model)
    is_forest = isinstance(getattr(kind, "feature_importances_", None), property)
    if (
        not is_forest
        or not kind.__module__.startswith("sklearn.")
        or getattr(model, "n_features_in_", 0) > MAX_FEATURES
    ):
        return None
    copy = object.__new__(kind)
    lists = {name: list(value) for name, value in vars(model).items() if type(value) is list}
    copy.__dict__.update({**vars(model), **lists, "n_jobs": 1})
    return copy
