"""Data of every kind as a table of columns, each as numpy sees it: what `enforce` reads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemaError
from .casting import Misfit, tensor_array
from .libraries import as_series, column_name, library_of
from .types import Array, Column, DataType, Schema, Type
from .values import is_missing, type_of


@dataclass(frozen=True, slots=True)
class Cells:
    """A column. Where `missing` is true a value means nothing; NaN, NaT and None are missing as well.

    `native` is the pandas Series that it was, `categories` what a column of categories can hold.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_] | None = None
    native: Any = None
    categories: Sequence[Any] | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Columns by position; `names` are None where the data has none. `index` is pandas'."""

    names: Sequence[str | int] | None
    width: int
    length: int
    column: Callable[[int], Any]
    index: Any = field(default=None)


def table_of(data: Any, schema: Schema) -> Table:
    """The data as a table; the schema tells how lists and dicts are meant. Raises `SchemaError`."""
    library, data = library_of(data), as_series(data)
    if library in _READERS and hasattr(data, "__len__"):
        return _READERS[library](data, schema)
    if isinstance(data, Mapping):
        return _of_dict(data, schema)
    if isinstance(data, (list, tuple)):
        return _of_list(data, schema)
    if len(schema) == 1 and type_of(data) is not DataType.ANY:
        return Table(None, 1, 1, lambda _: [data])
    raise _no_table(data)


def _no_table(data: Any) -> SchemaError:
    return SchemaError(f"a {type(data).__name__} is no table; give a DataFrame, an array, a dict or a list")


def _of_pandas(data: Any, schema: Schema) -> Table:
    pandas = sys.modules["pandas"]
    if isinstance(data, (pandas.Series, pandas.Index)):
        series = data if hasattr(data, "index") else data.to_series().reset_index(drop=True)
        names = None if data.name is None else [column_name(data.name)]
        return Table(names, 1, len(data), lambda _: series, series.index)
    if not isinstance(data, pandas.DataFrame):  # rows in groups or windows
        raise _no_table(data)
    columns = data.columns
    # Nobody named the columns of DataFrame(array).
    unnamed = type(columns).__name__ == "RangeIndex" and not any(isinstance(n, int) for n in schema.names)
    names = None if unnamed else list(map(column_name, columns))
    return Table(names, data.shape[1], len(data), lambda i: data.iloc[:, i], data.index)


def _of_polars(data: Any, schema: Schema) -> Table:
    if hasattr(data, "to_frame"):
        return Table([data.name] if data.name else None, 1, len(data), lambda _: data)
    columns = data.get_columns()
    return Table(data.columns, data.width, data.height, columns.__getitem__)


def _of_arrow(data: Any, schema: Schema) -> Table:
    if not hasattr(data, "schema"):
        return Table(None, 1, len(data), lambda _: data)
    return Table(data.schema.names, data.num_columns, data.num_rows, data.column)


def _of_array(data: Any, schema: Schema) -> Table:
    if library_of(data) == "scipy":
        raise SchemaError("a sparse array has no columns to check; give .toarray(), or a model of tensors")
    try:
        array = np.asanyarray(tensor_array(data) if library_of(data) == "torch" else data)
    except Misfit as error:
        raise SchemaError(error.problem) from None
    array = array if isinstance(array, np.ma.MaskedArray) else np.asarray(array)
    if array.dtype.names:
        names = array.dtype.names
        return Table(names, len(names), len(array), lambda i: array[names[i]])
    if array.ndim == 2:
        return Table(None, array.shape[1], len(array), lambda i: array[:, i])
    if array.ndim <= 1 and len(schema) == 1:
        return Table(None, 1, array.size, lambda _: array.reshape(-1))
    hint = "; of one row make a table by .reshape(1, -1)" if array.ndim == 1 else ""
    raise SchemaError(f"an array of shape {array.shape} is no table of {len(schema)} columns{hint}")


_READERS: Mapping[str, Callable[[Any, Schema], Table]] = {
    "pandas": _of_pandas,
    "polars": _of_polars,
    "pyarrow": _of_arrow,
    "numpy": _of_array,
    "torch": _of_array,
    "scipy": _of_array,
}


# --- lists and dicts --------------------------------------------------------------------------------


def _of_dict(data: Mapping[Any, Any], schema: Schema) -> Table:
    names = list(map(column_name, data))
    values = list(map(as_series, data.values()))
    if _is_one_row(dict(zip(map(str, names), values, strict=True)), schema):
        return Table(names, len(names), 1, lambda i: [values[i]])
    for name, value in zip(names, values, strict=True):
        if not _is_list(value):
            raise SchemaError(f"column {name!r} is one value, others are lists; give each a list", name)
    lengths = {name: len(value) for name, value in zip(names, values, strict=True)}
    longest = max(lengths.values(), default=0)
    short = next((name for name, length in lengths.items() if length < longest), None)
    if short is not None:
        raise SchemaError(
            f"column {short!r} has {lengths[short]} values, others have {longest}; give each as many", short
        )
    return Table(names, len(names), longest, values.__getitem__)


def _is_one_row(values: Mapping[str, Any], schema: Schema) -> bool:
    """Whether a dict is a record, not columns: by its values' depth, beside that of the columns' types."""
    for column in schema.columns or ():
        value = None if column.name is None else values.get(str(column.name))
        if value is not None and column.type is not DataType.ANY:
            return not _is_deeper(value, _depth_of(column.type))
    return not all(map(_is_list, values.values()))


def _is_list(value: Any) -> bool:
    return (
        hasattr(value, "__len__") and not isinstance(value, (str, bytes, Mapping)) and not _is_scalar(value)
    )


def _is_scalar(value: Any) -> bool:
    """Whether it is an array or tensor without dimensions: its length cannot be asked for."""
    return getattr(value, "ndim", None) == 0


def _depth_of(kind: Type) -> int:
    return 1 + _depth_of(kind.items) if isinstance(kind, Array) else 0


def _is_deeper(value: Any, than: int) -> bool:
    """Whether more lists are in each other, by their first items."""
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return value.ndim > than
    if _is_scalar(value) or not (isinstance(value, (list, tuple)) or library_of(value)):
        return False
    has_items = isinstance(value, (list, tuple, np.ndarray)) and len(value)
    return than < 1 or bool(has_items and _is_deeper(value[0], than - 1))


def _of_list(data: Sequence[Any], schema: Schema) -> Table:
    if data and all(isinstance(row, Mapping) for row in data) and not _takes_objects(schema):
        return _of_records(data)
    width = len(schema)
    if width == 1 and not (data and all(_is_row(row) and len(row) == 1 for row in data)):
        return Table(None, 1, len(data), lambda _: data)
    if width == 1 and isinstance(schema.columns[0].type, Array):
        return Table(None, 1, len(data), lambda _: data)
    for i, row in enumerate(data):
        if not _is_row(row) or len(row) != width:
            what = f"has {len(row)} values" if _is_row(row) else f"is a {type(row).__name__}"
            raise SchemaError(
                f"row {i} {what}; the model takes {width} columns: give rows of so many, or dicts"
            )
    return Table(None, width, len(data), lambda i: [row[i] for row in data])


def _takes_objects(schema: Schema) -> bool:
    """Whether dicts in a list are values of the one column, not rows."""
    column: Column = schema.columns[0]
    return len(schema) == 1 and column.name is None and not isinstance(column.type, DataType)


def _is_row(row: Any) -> bool:
    return isinstance(row, (list, tuple)) or (isinstance(row, np.ndarray) and row.ndim == 1)


def _of_records(rows: Sequence[Any]) -> Table:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    names = list(map(column_name, keys))
    return Table(names, len(names), len(rows), lambda i: [row.get(keys[i]) for row in rows])


# --- columns as numpy sees them ---------------------------------------------------------------------


def cells_of(column: Any) -> Cells:
    """A library's column as numpy sees it; what numpy has no type for is an array of Python objects."""
    library = library_of(column)
    if library == "pandas":
        return _cells_of_pandas(column)
    if library == "polars":
        return _cells_of_polars(column)
    if library == "pyarrow":
        return _cells_of_arrow(column)
    if isinstance(column, np.ma.MaskedArray) and column.ndim == 1:
        return _cells_of_masked(column)
    if isinstance(column, np.ndarray):
        column = column.astype(object) if column.dtype.kind == "T" else column
        return Cells(column) if column.ndim == 1 else Cells(objects(list(column)))
    if library == "torch":
        return cells_of(tensor_array(column))
    return Cells(objects(column))


def objects(values: Sequence[Any]) -> NDArray[Any]:
    """An array of Python objects, one for each value, whatever these are."""
    array = np.empty(len(values), object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def missing_among(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where an array of objects, floats or datetimes has no value."""
    if values.dtype.kind == "O":
        return np.fromiter((is_missing(v) for v in values), bool, len(values))
    if values.dtype.kind in "fM":
        return np.asarray(np.isnat(values) if values.dtype.kind == "M" else np.isnan(values))
    return np.zeros(len(values), bool)


def _cells_of_masked(column: Any) -> Cells:
    """Without what lies under the mask, which may not even fit."""
    missing = np.ma.getmaskarray(column)
    if column.dtype.kind in "biuf":
        return Cells(column.filled(0), missing)
    if column.dtype.kind in "mM":
        return Cells(np.where(missing, np.array("NaT", column.dtype), column.data))
    values = column.data.astype(object)
    values[missing] = None
    return Cells(values)


def _cells_of_pandas(series: Any) -> Cells:
    dtype = series.dtype
    if hasattr(dtype, "pyarrow_dtype"):
        cells = _cells_of_arrow(series.array.__arrow_array__())
        return Cells(cells.values, cells.missing, series)
    inner = getattr(dtype, "numpy_dtype", None)
    if inner is not None and not isinstance(dtype, np.dtype) and inner.kind in "biuf":
        missing = series.isna().to_numpy()
        values = series.to_numpy(dtype=inner, na_value=inner.type(0))
        return Cells(values, missing if missing.any() else None, series)
    return Cells(series.to_numpy(), None, series)


def _cells_of_polars(series: Any) -> Cells:
    name = series.dtype.base_type().__name__
    if name in ("Categorical", "Enum"):
        known = series.dtype.categories if name == "Enum" else series.unique(maintain_order=True)
        return Cells(objects(series.to_list()), categories=known.drop_nulls().to_list())
    if name == "Datetime" and not series.dtype.time_zone:
        return Cells(series.to_numpy())
    if name not in _POLARS_NUMPY:
        return Cells(objects(series.to_list()))
    if not series.null_count():
        return Cells(series.to_numpy())
    filled = series.fill_null(False if name == "Boolean" else 0).to_numpy()
    return Cells(filled, series.is_null().to_numpy())


_POLARS_NUMPY = {"Boolean", "Float16", "Float32", "Float64"} | {
    f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)
}


def _cells_of_arrow(column: Any) -> Cells:
    types = sys.modules["pyarrow"].types
    kind = column.type
    if types.is_dictionary(kind):
        values = column.to_pylist()
        return Cells(objects(values), categories=[v for v in dict.fromkeys(values) if v is not None])
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        return Cells(objects(column.to_pylist()))
    if not column.null_count:
        return Cells(_arrow_numpy(column))
    missing = _arrow_numpy(column.is_null())
    return Cells(_arrow_numpy(column.fill_null(_zero(types, kind))), missing)


def _arrow_numpy(column: Any) -> NDArray[Any]:
    chunked = hasattr(column, "chunks")
    return np.asarray(column.to_numpy() if chunked else column.to_numpy(zero_copy_only=False))


def _zero(types: Any, kind: Any) -> Any:
    if types.is_boolean(kind):
        return False
    return sys.modules["pyarrow"].scalar(0).cast(kind)
