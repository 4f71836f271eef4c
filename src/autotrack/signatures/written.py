"""Data that was read from text: JSON and CSV do not say how wide a number is, nor how a text is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .casting import DTYPES, exact_up_to
from .libraries import as_texts, is_object, library_of
from .types import Column, DataType, Schema, Tensor


def as_written(schema: Schema | None, data: Any) -> Any:
    """An array, a dict of arrays or a DataFrame, with its floats rounded as the schema has them.

    Rounding loses what nobody could say, and `enforce` would refuse it. What is too large stays, for that to
    tell of; lists are left to it as well. A column of nothing but null is one of texts where the schema says
    so: what is missing is the same in each row, whatever stands beside it.
    """
    if schema is not None and library_of(data) == "pandas":
        data = _with_texts(schema, data)
    wanted = [_narrow(field) for field in schema or ()]
    if schema is None or not any(wanted):
        return data
    named = dict(zip(map(str, schema.names), wanted, strict=False))
    if isinstance(data, np.ndarray):
        return _rounded(data, wanted[0] if len(wanted) == 1 else None)
    if isinstance(data, Mapping):
        return {name: _rounded(part, named.get(str(name))) for name, part in data.items()}
    if library_of(data) != "pandas":
        return data
    if schema.is_tensors and not named:
        wanted *= data.shape[1]
    return _frame(data, [named.get(str(name)) for name in data.columns] if named else wanted)


def _with_texts(schema: Schema, data: Any) -> Any:
    texts = {str(column.name) for column in schema.columns if column.type is DataType.STRING}
    if not texts:
        return data
    objects = [name for name in data.columns if str(name) in texts and is_object(data[name].dtype)]
    made = data.copy(deep=False) if objects else data
    for name in objects:
        if set(map(type, data[name])) <= {str, type(None)}:  # of others `enforce` tells
            made[name] = as_texts(data[name], data.index)
    return made


def floats_hold(schema: Schema | None, names: Sequence[str | int | None]) -> list[int]:
    """Up to which integer each of some columns, or tensors, may be made floats, which hold it as it is.

    -1 where integers are no floats at all.
    """
    fields = list(schema or ())
    if schema is None or not schema.names:
        fields = fields * len(names) if schema is not None and schema.is_tensors else fields
        return [*map(_exact, fields[: len(names)]), *[_exact(None)] * (len(names) - len(fields))]
    named = dict(zip(map(str, schema.names), fields, strict=False))
    only = fields[0] if len(fields) == 1 else None  # what is alone needs no name
    return [_exact(named.get(str(name), only)) for name in names]


def _exact(field: Column | Tensor | None) -> int:
    if isinstance(field, Column) and field.type in (DataType.INTEGER, DataType.LONG):
        return -1
    return exact_up_to((field and _narrow(field)) or DTYPES[DataType.DOUBLE])


def _narrow(field: Column | Tensor) -> np.dtype[Any] | None:
    """The floats of a field that is of narrower ones than Python's."""
    if isinstance(field, Column):
        return DTYPES[DataType.FLOAT] if field.type is DataType.FLOAT else None
    dtype = np.dtype(field.dtype)
    return dtype if dtype.kind == "f" and dtype.itemsize < 8 else None


def _rounded(values: Any, wanted: np.dtype[Any] | None) -> Any:
    if wanted is None or not isinstance(values, np.ndarray) or values.dtype != np.float64:
        return values
    with np.errstate(over="ignore"):
        made = values.astype(wanted)
    return np.where(np.isinf(made), values, made)


def _frame(data: Any, wanted: list[np.dtype[Any] | None]) -> Any:
    import pandas

    if len({*wanted}) == 1 and all(dtype == np.float64 for dtype in data.dtypes):  # at once, however many
        return pandas.DataFrame(_rounded(data.to_numpy(), wanted[0]), data.index, data.columns)
    made = data.copy(deep=False)
    for name, dtype in zip(data.columns, wanted, strict=False):
        if dtype is not None and data[name].dtype == np.float64:
            made[name] = _rounded(data[name].to_numpy(), dtype)
    return made
