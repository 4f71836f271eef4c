"""XGBoost's columns of categories: the names that a model knows them by, and tables made to have them.

XGBoost takes categories as pandas has them, never as texts. Since 3.1 its models know the names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np

from ..errors import SchemaError

_INTEGERS = {9: "i1", 10: "u1", 11: "i2", 12: "u2", 13: "i4", 14: "u4", 15: "i8", 16: "u8"}
"""XGBoost's numbers for types."""
_MOST_NAMES = 10
"""Of the categories that there are, so many are named in an error."""


@dataclass(frozen=True, slots=True)
class Categorical:
    """A model, and by the names of its columns of categories what these can hold, if that is known."""

    model: Any
    names: Mapping[str, Any]

    @property
    def predict(self) -> Any:
        """The model's own."""
        return self.model.predict

    def fitting(self, frame: Any) -> Any:
        """A DataFrame with these columns made categories, where they are not. Raises `SchemaError`."""
        made = frame.copy(deep=False)
        for name in frame.columns:
            if str(name) in self.names:
                made[name] = _made(name, frame[name], self.names[str(name)])
        return made


def of(model: Any, booster: Any) -> Any:
    """The model as a `Categorical`, if the booster that gets its data had categories; else itself."""
    if "c" not in (booster.feature_types or ()):
        return model
    told = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]
    known = told.get("gbtree", told)["model"].get("cats", {}).get("enc", [])  # dart has its trees in one
    columns = zip_longest(booster.feature_names or (), booster.feature_types, known)
    return Categorical(model, {name: _names(one) for name, kind, one in columns if kind == "c"})


def asked(model: Any, data: Any) -> tuple[Any, Any]:
    """What is to predict, and a table as that needs it. Raises `SchemaError`."""
    if not isinstance(model, Categorical):
        return model, data
    return model.model, model.fitting(data) if hasattr(data, "columns") else data


def _names(told: Mapping[str, Any] | None) -> Any:
    """None of them where a text is not all ASCII: XGBoost 3.2 cuts its bytes by the number of characters."""
    if told is None or ("offsets" in told and min(told["values"], default=0) < 0):
        return ()
    if "offsets" not in told:
        return np.array(told["values"], _INTEGERS[told["type"]])
    text = np.array(told["values"], "i1").tobytes()
    return [text[start:end].decode("ascii") for start, end in pairwise(told["offsets"])]


def _made(name: Any, column: Any, names: Any) -> Any:
    import pandas

    if isinstance(column.dtype, pandas.CategoricalDtype):
        return column
    if not len(names):
        if pandas.api.types.is_numeric_dtype(column.dtype):  # codes, as they were in the training
            return column
        raise SchemaError(
            f"column {name!r} is of categories whose names the model does not know: "
            "give a pandas DataFrame with all of the training's categories, in their order",
            name,
        )
    unknown = (column.notna() & ~column.isin(names)).to_numpy()
    if unknown.any():
        row = int(unknown.argmax())
        listed = ", ".join(map(repr, np.asarray(names[:_MOST_NAMES]).tolist()))
        more = ", …" if len(names) > _MOST_NAMES else ""
        what = f"{column.tolist()[row]!r:.60} is no category that the model knows"
        raise SchemaError(f"column {name!r}, row {row}: {what}: {listed}{more}", name)
    return pandas.Categorical(column, categories=names)
