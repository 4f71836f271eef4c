"""Columns of the libraries' tables, known by their module's name: no library is imported to look at data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .types import Array, Column, DataType, Map, Object, Property, Type
from .values import is_missing, spread, type_of_all, type_of_dtype

MOST_ROWS = 100_000
"""Of a longer pandas table so many rows are looked at, evenly spaced, to see whether values are missing."""


def library_of(data: Any) -> str:
    """The top module that the data's class, or one it is derived from, comes from; "" for Python's own."""
    names = (kind.__module__.partition(".")[0] for kind in type(data).__mro__)
    return next((name for name in names if name in _LIBRARIES), "")


_LIBRARIES = {"numpy", "pandas", "polars", "pyarrow", "scipy", "torch", "xgboost"}


# --- pandas -----------------------------------------------------------------------------------------


def as_series(data: Any) -> Any:
    """An array of pandas' own as the column that it is; all else as it is."""
    if library_of(data) != "pandas":
        return data
    pandas = sys.modules["pandas"]
    return pandas.Series(data) if isinstance(data, pandas.api.extensions.ExtensionArray) else data


def pandas_columns(frame: Any) -> list[Column]:
    """The columns of a DataFrame; their dtypes tell the types, values only of objects."""
    step = -(-len(frame) // MOST_ROWS) or 1
    rows = frame.iloc[::step] if step > 1 else frame
    present = ~rows.isna().to_numpy().any(axis=0) if len(rows) else np.ones(frame.shape[1], bool)
    if step > 1:  # pandas' own dtypes have a mask, and among integers one missing value matters
        own = [i for i, dtype in enumerate(frame.dtypes) if hasattr(dtype, "numpy_dtype")]
        present[own] = [not frame.iloc[:, i].isna().any() for i in own]
    names = [column_name(name) for name in frame.columns]
    kinds = [pandas_type(dtype) for dtype in frame.dtypes]
    for i, kind in enumerate(kinds):
        if kind is None:
            kinds[i] = type_of_all(spread(rows.iloc[:, i].to_numpy()))[0]
    held = [
        _held(kind, rows.iloc[:, i].to_numpy(), whole) if is_object(dtype) else ""
        for i, (dtype, kind, whole) in enumerate(zip(frame.dtypes, kinds, present, strict=True))
    ]
    known = zip(names, kinds, present.tolist(), held, strict=True)
    return [Column(name, kind or DataType.ANY, whole, word) for name, kind, whole, word in known]


def _held(kind: Type | None, values: Any, whole: bool) -> str:
    """The `missing` of a column of objects. Numbers without any missing are NaN's kind: what is not an object
    is another thing than these to scikit-learn's encoders."""
    if not whole:
        return missing_word(values)
    return "NaN" if kind in _NUMBERS else ""


_NUMBERS = (DataType.BOOLEAN, DataType.INTEGER, DataType.LONG, DataType.FLOAT, DataType.DOUBLE)


def is_object(dtype: Any) -> bool:
    """Whether it is numpy's of Python objects."""
    return isinstance(dtype, np.dtype) and dtype.kind == "O"


def missing_word(values: Iterable[Any]) -> str:
    """By what one value all that is missing is told; "" where that are several, or another one."""
    found = {"None" if v is None else "NaN" if isinstance(v, float) else "" for v in values if is_missing(v)}
    return found.pop() if len(found) == 1 else ""


def as_texts(values: Iterable[Any], index: Any) -> Any:
    """Texts as pandas has them where nobody says otherwise, with NaN for those that are missing."""
    pandas = sys.modules["pandas"]
    return pandas.Series([np.nan if is_missing(v) else v for v in values], index=index, dtype=str)


def column_name(name: Any) -> str | int:
    """As an `MLmodel` can hold it: numbers stay numbers, all else is text."""
    return int(name) if isinstance(name, (int, np.integer)) and not isinstance(name, bool) else str(name)


def pandas_type(dtype: Any) -> Type | None:
    """The type that a pandas dtype stands for; None where only the values tell."""
    if hasattr(dtype, "pyarrow_dtype"):
        return arrow_type(dtype.pyarrow_dtype)
    if hasattr(dtype, "categories"):
        return pandas_type(dtype.categories.dtype)
    if type(dtype).__name__ == "StringDtype":
        return DataType.STRING
    if hasattr(dtype, "subtype"):  # a sparse array, an interval
        return None
    inner = getattr(dtype, "numpy_dtype", dtype)
    if isinstance(inner, np.dtype):
        return None if inner.kind == "O" else type_of_dtype(inner)
    return DataType.DATETIME if getattr(dtype, "kind", "") == "M" else DataType.ANY


# --- polars -----------------------------------------------------------------------------------------


def polars_columns(frame: Any) -> list[Column]:
    """The columns of a polars DataFrame."""
    return [_polars_column(s) for s in frame.get_columns()]


def _polars_column(series: Any) -> Column:
    """To whoever reads it as an array null is None, but among numbers NaN."""
    kind, whole = polars_type(series.dtype), series.null_count() == 0
    is_object = kind in (DataType.STRING, DataType.BOOLEAN)
    return Column(series.name, kind, whole, "None" if is_object and not whole else "")


def polars_type(dtype: Any) -> Type:
    """The type that a polars data type stands for."""
    name = dtype.base_type().__name__
    if name in ("List", "Array"):
        return Array(polars_type(dtype.inner))
    if name == "Struct":
        fields = dtype.fields
        return _object([(f.name, polars_type(f.dtype)) for f in fields])
    return _POLARS.get(name, DataType.ANY)


def _object(fields: list[tuple[str, Type]]) -> Type:
    """Fields of a struct may be null, whatever the library: none is required."""
    return Object(tuple(Property(n, k, required=False) for n, k in fields)) if fields else DataType.ANY


_SMALL_INTEGERS = dict.fromkeys(("Int8", "Int16", "Int32", "UInt8", "UInt16"), DataType.INTEGER)
_POLARS = _SMALL_INTEGERS | {
    "Int64": DataType.LONG,
    "UInt32": DataType.LONG,
    "Float16": DataType.FLOAT,
    "Float32": DataType.FLOAT,
    "Float64": DataType.DOUBLE,
    "Boolean": DataType.BOOLEAN,
    "String": DataType.STRING,
    "Categorical": DataType.STRING,
    "Enum": DataType.STRING,
    "Binary": DataType.BINARY,
    "Date": DataType.DATETIME,
    "Datetime": DataType.DATETIME,
}


# --- Arrow ------------------------------------------------------------------------------------------


def arrow_columns(table: Any) -> list[Column]:
    """The columns of an Arrow table or record batch."""
    fields = zip(table.schema.names, table.schema.types, table.columns, strict=True)
    return [Column(name, arrow_type(kind), column.null_count == 0) for name, kind, column in fields]


def arrow_type(kind: Any) -> Type:
    """The type that an Arrow data type stands for."""
    types = sys.modules["pyarrow"].types
    if types.is_dictionary(kind):
        return arrow_type(kind.value_type)
    if types.is_map(kind):
        return Map(arrow_type(kind.item_type)) if _is_text(types, kind.key_type) else DataType.ANY
    if types.is_struct(kind):
        return _object([(field.name, arrow_type(field.type)) for field in kind])
    if any(getattr(types, f"is_{name}")(kind) for name in _ARROW_LISTS if hasattr(types, f"is_{name}")):
        return Array(arrow_type(kind.value_type))
    if _is_text(types, kind):
        return DataType.STRING
    return _ARROW.get(str(kind).partition("[")[0], DataType.ANY)


def _is_text(types: Any, kind: Any) -> bool:
    checks: list[Callable[[Any], bool]] = [types.is_string, types.is_large_string]
    return any(check(kind) for check in [*checks, getattr(types, "is_string_view", types.is_string)])


_ARROW_LISTS = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
_ARROW = {
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), DataType.INTEGER),
    **dict.fromkeys(("int64", "uint32"), DataType.LONG),
    **dict.fromkeys(("halffloat", "float"), DataType.FLOAT),
    "double": DataType.DOUBLE,
    "bool": DataType.BOOLEAN,
    **dict.fromkeys(("binary", "large_binary", "fixed_size_binary", "binary_view"), DataType.BINARY),
    **dict.fromkeys(("timestamp", "date32", "date64"), DataType.DATETIME),
}
