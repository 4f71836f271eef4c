"""Which estimators may be asked for predictions: calling a stranger's code may do anything."""

from __future__ import annotations

from typing import Any

from ...interrupts import pass_on
from .params import own_params, values_in

KNOWN = frozenset({"sklearn", "xgboost", "lightgbm", "catboost"})
"""Libraries whose estimators predict without side effects, but for those below."""
_HARMLESS = KNOWN | {"numpy", "scipy", "builtins"}
_DRAWING = frozenset({"DummyClassifier", "IterativeImputer", "MiniBatchNMF", "NMF"})
"""Their predictions may draw random numbers."""
_OVERWRITING = ("copy", "copy_X", "copy_x", "copy_X_train")
"""Params that let an estimator change its input when they are False."""


def is_known(estimator: Any) -> bool:
    """Whether only code of known libraries runs when it is asked for params or predictions."""
    try:
        return all(map(_is_harmless, values_in(estimator)))
    except Exception as error:  # noqa: BLE001  an odd estimator is a stranger
        pass_on(error)
        return False


def may_predict(estimator: Any) -> bool:
    """Whether a prediction leaves everything as it was. Only asked of known ones."""
    return not any(
        type(value).__name__ in _DRAWING or any(own_params(value).get(name) is False for name in _OVERWRITING)
        for value in values_in(estimator)
        if hasattr(value, "get_params")
    )


def _is_harmless(value: Any) -> bool:
    if hasattr(value, "get_params"):
        return _library(type(value)) in KNOWN
    if callable(value):
        return _library(value) in _HARMLESS or _library(type(value)) in _HARMLESS - {"builtins"}
    return True


def _library(thing: Any) -> str:
    return str(getattr(thing, "__module__", None)).partition(".")[0]
