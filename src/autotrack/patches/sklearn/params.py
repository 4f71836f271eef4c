"""An estimator's params, as values that can be kept: in bounded time, whatever they are."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any


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
