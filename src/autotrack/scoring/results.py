"""What models say as columns: of arrays, tables, dicts and lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ModelError
from ..signatures import DataType, Schema
from ..signatures.casting import DTYPES
from .plain import texts_of

NAME = "prediction"
"""Of the only column, and what the others' names begin with where the model gives none."""

Columns = Mapping[str, Any]
"""Lists and 1-D arrays of one length, by their names."""


def columns_of(result: Any, rows: int) -> Columns:
    """What a model said of so many rows. Raises `ModelError` where that is not one thing for each."""
    try:
        found = _named(result)
    except TypeError as error:
        raise ModelError(f"the model's predictions are no columns: {error}") from error
    for name, column in found.items():
        try:
            length = None if isinstance(column, str) else len(column)
        except TypeError:  # an array without dimensions has a length that cannot be asked for
            length = None
        if length != rows:
            what = "one value" if length is None else f"{length} values"
            raise ModelError(f"the model gives {what} of {name!r} for {rows} rows: these are no rows")
    return found


def no_rows(outputs: Schema | None) -> Columns | None:
    """The columns of no prediction; None: the signature does not tell which they are."""
    if outputs is None or not (outputs.names or len(outputs) == 1):
        return None
    if not outputs.is_tensors:
        names = outputs.names or [NAME]
        kinds = (_EMPTY.get(column.type, object) for column in outputs.columns)
        return {str(name): np.empty(0, kind) for name, kind in zip(names, kinds, strict=True)}
    if any(length < 0 for tensor in outputs.tensors for length in tensor.shape[1:]):
        return None
    made = {tensor.name: np.empty((0, *tensor.shape[1:]), tensor.dtype) for tensor in outputs.tensors}
    return columns_of(made.get(None, made), 0)


_EMPTY: Mapping[Any, Any] = {
    **DTYPES,
    DataType.STRING: "U",
    DataType.BINARY: "S",
    DataType.DATETIME: "M8[us]",
}
"""How numpy has a column of none."""


def _named(result: Any) -> Columns:
    if isinstance(result, Mapping):
        return dict(zip(texts_of(result), result.values(), strict=True))
    if hasattr(result, "columns") and hasattr(result, "iloc"):
        return {name: _values(result.iloc[:, i]) for i, name in enumerate(texts_of(result.columns))}
    if hasattr(result, "toarray"):
        result = result.toarray()
    if hasattr(result, "to_numpy"):
        result = _values(result) if hasattr(result, "iloc") else result.to_numpy()
    if isinstance(result, np.ndarray) and result.ndim > 1:
        return {f"{NAME}_{i}": column for i, column in enumerate(np.moveaxis(result, 1, 0))}
    return {NAME: result}


def _values(series: Any) -> Any:
    """In numpy, which has no integers with missing values among them: these stay Python's."""
    is_integer = not isinstance(series.dtype, np.dtype) and series.dtype.kind in "iu"
    return series.to_numpy(object, na_value=None) if is_integer and series.hasnans else series.to_numpy()
