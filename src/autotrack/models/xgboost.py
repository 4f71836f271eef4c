"""XGBoost: boosters and scikit-learn estimators as UBJSON, XGBoost's own safe format."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..errors import ModelError
from ..flavor import Files, Flavor, Frozen, NotKept

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


class XgboostFlavor(Flavor):
    """See `Flavor`. An estimator keeps what it predicts with; its settings are params of the run."""

    libraries = {"xgboost": "xgboost"}

    def freeze(self, model: Any, limit: int) -> Frozen:
        kind = type(model)
        if kind.__name__ not in CLASSES or not kind.__module__.startswith("xgboost."):
            raise NotKept(f"{kind.__module__}.{kind.__qualname__} is no class of XGBoost's own")
        booster = model if kind.__name__ == "Booster" else model.get_booster()
        data = booster.save_raw("ubj")
        if len(data) > limit:
            raise NotKept(f"it has {len(data):,} bytes, more than model_max_bytes ({limit:,})")
        return Frozen(data, FILE)

    def load(self, files: Files, kind: str, trusted: Collection[str]) -> Any:
        import xgboost

        name = kind.rpartition(".")[2]
        if name not in CLASSES or not kind.startswith("xgboost."):
            raise ModelError(f"{kind} is no class of XGBoost's own")
        data = files.get(FILE, b"")
        if not data.startswith(b"{"):  # of no bytes at all XGBoost dies
            raise ModelError(f"the model has no file {FILE}, or one that is no UBJSON")
        model = getattr(xgboost, name)()
        model.load_model(bytearray(data))
        return model
