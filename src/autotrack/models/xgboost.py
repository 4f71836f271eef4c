"""XGBoost: boosters and scikit-learn estimators as UBJSON, XGBoost's own safe format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import ModelError
from ..flavor import PYTHON_FUNCTION, Files, Flavor, Frozen, ModelFolder, NotKept, Permissions, Section
from . import ubjson

FILE = "model.ubj"
CLASSES = (
    "Booster",
    "XGBClassifier",
    "XGBRegressor",
    "XGBRanker",
    "XGBRFClassifier",
    "XGBRFRegressor",
)
"""What a model can become again."""
_MISSING = "autotrack.missing"
"""A booster's attribute: what number means that a value is missing, which XGBoost's file does not tell."""


class XgboostFlavor(Flavor):
    """See `Flavor`. An estimator keeps what it predicts with; its settings are params of the run.

    XGBoost makes estimators only where scikit-learn is installed.
    """

    name = "xgboost"
    libraries = {"xgboost": "xgboost", "numpy": "numpy"}
    needs = ("xgboost",)
    predicts_by_row = True

    def freeze(self, model: Any, limit: int, example: Any = None) -> Frozen:
        kind = type(model)
        if kind.__name__ not in CLASSES or not kind.__module__.startswith("xgboost."):
            raise NotKept(f"{kind.__module__}.{kind.__qualname__} is no class of XGBoost's own")
        alone = kind.__name__ == "Booster"
        booster = model if alone else model.get_booster()
        data = _telling(booster, getattr(model, "missing", None)).save_raw("ubj")
        if len(data) > limit:
            raise NotKept(f"it has {len(data):,} bytes, more than model_max_bytes ({limit:,})")
        return Frozen(data, FILE, frozenset() if alone else frozenset({"sklearn"}))

    def outputs(self, model: Any) -> Any:
        """Of a classifier its classes' type, of everything else float32."""
        import numpy as np  # XGBoost has loaded it

        if type(model).__name__ in ("XGBClassifier", "XGBRFClassifier"):
            return model.classes_[:1]
        return np.empty(0, np.float32)

    def describe(self, files: Files, kind: str) -> Mapping[str, Section]:
        import xgboost

        ours = {
            "code": None,
            "data": FILE,
            "model_class": kind,
            "model_format": "ubj",
            "xgb_version": xgboost.__version__,
        }
        return {self.name: ours, PYTHON_FUNCTION: {"loader_module": "mlflow.xgboost", "data": FILE}}

    def load(self, folder: ModelFolder, section: Section, permissions: Permissions) -> Any:
        import xgboost

        kind = str(section.get("model_class", "xgboost.core.Booster"))
        name = kind.rpartition(".")[2]
        if name not in CLASSES or not kind.startswith("xgboost."):
            raise ModelError(f"{kind} is no class of XGBoost's own")
        data = folder.read(str(section.get("data", FILE)))
        if not data.startswith(b"{"):  # of no bytes at all XGBoost dies; JSON and UBJSON begin alike
            raise ModelError(f"{folder.told} has no file {FILE}, or one that is neither UBJSON nor JSON")
        from . import boosted

        is_json = data[1:2] in (b'"', b"}", b" ", b"\n", b"\r", b"\t")
        boosted.check(_json(data) if is_json else ubjson.read(data))
        model = getattr(xgboost, name)()
        model.load_model(bytearray(data))
        if name != "Booster":
            _take_missing(model)
        return model

    def ready(self, model: Any) -> Any:
        from . import categories

        return categories.of(model, model if type(model).__name__ == "Booster" else model.get_booster())

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        """A booster takes no arrays, only its own matrices."""
        import xgboost

        from . import categories

        model, data = categories.asked(model, data)
        if isinstance(model, xgboost.Booster) and not isinstance(data, xgboost.DMatrix):
            data = xgboost.DMatrix(data, enable_categorical=True)
        return model.predict(data, **params)


def _telling(booster: Any, missing: float | None) -> Any:
    """The booster, or where another number than NaN means missing one like it that says so."""
    if missing is None or missing != missing:
        return booster
    told = booster.copy()  # the user's own stays as it is
    told.set_attr(**{_MISSING: repr(float(missing))})
    return told


def _take_missing(model: Any) -> None:
    booster = model.get_booster()
    if (told := booster.attr(_MISSING)) is None:
        return
    try:
        model.missing = float(told)
    except ValueError:
        raise ModelError(
            f"the model is damaged or forged: {told!r:.60} cannot stand for a missing value"
        ) from None
    booster.set_attr(**{_MISSING: None})


def _json(data: bytes) -> Any:
    """Raises `ModelError` for what is none, or has a name twice in one object."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) != len(pairs):
            raise ValueError("a name stands twice in one object")
        return found

    try:
        return json.loads(data, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the model's file is damaged: it is no whole JSON: {error}") from None
