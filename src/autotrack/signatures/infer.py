"""A signature of what a model was given and gave. Dtypes are looked at, values only where they must be."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import SchemaError
from . import libraries
from .types import Array, Column, DataType, Object, Param, Schema, Signature, Tensor, Type, dtype_name
from .values import spread, type_of, type_of_all, type_of_dtype


def infer(inputs: Any = None, outputs: Any = None, params: Mapping[str, Any] | None = None) -> Signature:
    """The signature of a model that was given `inputs` (and `params`) and gave `outputs`; None: not known.

    Tables (pandas, polars, Arrow, a list of dicts) have columns, arrays (numpy, torch, scipy's sparse ones, a
    dict of them) are tensors of any length, a list of values is one column without a name, a dict of
    values one row. A column is required if none of its values that were looked at is missing.
    Raises `SchemaError` for what has no signature.
    """
    return Signature(
        None if inputs is None else infer_schema(inputs),
        None if outputs is None else infer_schema(outputs),
        tuple(_param(name, value) for name, value in (params or {}).items()),
    )


def infer_schema(data: Any) -> Schema:
    """The columns or tensors of `data`, see `infer`. Raises `SchemaError`."""
    library = libraries.library_of(data)
    if library:
        return _of_library(libraries.as_series(data), library)
    if isinstance(data, Mapping):
        return _of_mapping(data)
    if isinstance(data, (list, tuple)):
        return _of_list(data)
    kind = type_of(data)
    if kind is not DataType.ANY:
        return Schema((Column(None, kind),))
    raise SchemaError(f"a {type(data).__name__} has no signature; give a table, an array, a dict or a list")


def _of_library(data: Any, library: str) -> Schema:
    if library in _TABLES and _is_series(data, library):
        column = _series(data, library)
        if (name := getattr(data, "name", None)) in (None, ""):
            return _unnamed(column)
        return Schema((replace(column, name=libraries.column_name(name)),), is_series=True)
    if library in _TABLES and hasattr(data, "shape"):
        return _columns(_TABLES[library](data))
    if library == "xgboost" and hasattr(data, "feature_names"):
        return _of_dmatrix(data)
    if hasattr(data, "dtype") and hasattr(data, "shape"):
        return _of_array(data)
    raise SchemaError(f"a {library} {type(data).__name__} has no signature; give a table or an array")


_TABLES = {
    "pandas": libraries.pandas_columns,
    "polars": libraries.polars_columns,
    "pyarrow": libraries.arrow_columns,
}


def _columns(columns: list[Column]) -> Schema:
    if not columns:
        raise SchemaError("a table without columns has no signature")
    return Schema(tuple(columns))


def _is_series(data: Any, library: str) -> bool:
    """Whether it is one column: a pandas Series or Index, a polars Series, an Arrow array."""
    return not hasattr(data, "schema") if library == "pyarrow" else hasattr(data, "to_frame")


def _series(data: Any, library: str) -> Column:
    """Its type, and whether no value of it is missing."""
    if library == "pyarrow":
        return Column(None, libraries.arrow_type(data.type), data.null_count == 0)
    if getattr(data, "nlevels", 1) > 1:
        raise SchemaError(f"a {type(data).__name__} has no signature; give a table or an array")
    (column,) = _TABLES[library](data.to_frame())
    return column


def _unnamed(column: Column) -> Schema:
    """One column without a name, which MLflow wants to be required: what may be missing is `ANY` there."""
    may_miss = column.type not in (DataType.BOOLEAN, DataType.INTEGER, DataType.LONG)
    kind = column.type if column.required or may_miss else DataType.ANY
    return Schema((Column(None, kind, missing=column.missing),), is_series=True)


def _of_array(data: Any, name: str | None = None) -> Schema:
    shape = tuple(int(n) for n in data.shape)
    if not shape:
        return Schema((Column(name, type_of_dtype(np.dtype(_dtype(data)))),))
    return Schema((_tensor(data, name),))


def _tensor(data: Any, name: str | None = None) -> Tensor:
    return Tensor(name, _dtype(data), (-1, *(int(n) for n in data.shape[1:])))


def _dtype(data: Any) -> str:
    if isinstance(data.dtype, np.dtype):
        return dtype_name(data.dtype)
    name = str(data.dtype).removeprefix("torch.")
    if name == "bfloat16":
        return "float32"
    found = None
    with contextlib.suppress(TypeError):
        found = np.dtype(name)
    if found is None or found.kind == "V":  # ml_dtypes teaches numpy more of them, which readers lack
        raise SchemaError(f"numpy has no {name}, so signatures have none; give another dtype")
    return dtype_name(found)


def _of_dmatrix(data: Any) -> Schema:
    """Of xgboost's own matrix, if it has names; its values are float32 whatever they were."""
    if not data.feature_names:
        return Schema((Tensor(None, "float32", (-1, int(data.num_col()))),))
    kinds = data.feature_types or ["float"] * len(data.feature_names)
    whole = data.num_nonmissing() == data.num_row() * data.num_col()
    names = zip(data.feature_names, kinds, strict=True)
    return Schema(tuple(Column(name, _DMATRIX.get(kind, DataType.ANY), whole) for name, kind in names))


_DMATRIX = {
    "int": DataType.LONG,
    "i": DataType.BOOLEAN,
    "float": DataType.DOUBLE,
    "q": DataType.DOUBLE,
}


def _of_mapping(data: Mapping[Any, Any]) -> Schema:
    if not data:
        raise SchemaError("an empty dict has no signature")
    items = {str(name): libraries.as_series(value) for name, value in data.items()}
    if all(_is_array(value) for value in items.values()):
        return Schema(tuple(_tensor(value, name) for name, value in items.items()))
    kinds = {name: libraries.library_of(value) for name, value in items.items()}
    if all(kind in _TABLES and _is_series(items[name], kind) for name, kind in kinds.items()):
        return Schema(tuple(replace(_series(items[name], kind), name=name) for name, kind in kinds.items()))
    return _of_records([items])


def _is_array(value: Any) -> bool:
    return libraries.library_of(value) in ("numpy", "torch", "scipy") and bool(getattr(value, "shape", ()))


def _of_list(data: list[Any] | tuple[Any, ...]) -> Schema:
    if not data:
        raise SchemaError("an empty list has no signature")
    if all(isinstance(row, Mapping) for row in data):
        return _of_records(data)
    return _unnamed(Column(None, *type_of_all(data), missing=libraries.missing_word(spread(data))))


def _of_records(rows: list[Any] | tuple[Any, ...]) -> Schema:
    kind, _ = type_of_all([dict(row) for row in rows])
    if not isinstance(kind, Object):
        raise SchemaError("rows without values, or with names that are no texts, have no signature")
    inferred = {p.name: Column(p.name, p.type, p.required) for p in kind.properties}
    order = dict.fromkeys(name for row in rows for name in row)  # objects are sorted, columns are not
    return Schema(tuple(inferred[name] for name in order if name in inferred))


def _param(name: str, value: Any) -> Param:
    if isinstance(value, (list, tuple, np.ndarray)):
        return _list_param(name, value)
    kind = type_of(value)
    if kind is DataType.ANY or kind is DataType.BINARY:
        raise SchemaError(f"the parameter {name!r} is a {type(value).__name__}, which has no type", name)
    return Param(name, kind, value.item() if isinstance(value, np.generic) else value)


def _list_param(name: str, value: Any) -> Param:
    kind: Type = type_of(value)
    depth = 0
    while isinstance(kind, Array):
        kind, depth = kind.items, depth + 1
    if kind is DataType.ANY or kind is DataType.BINARY:
        raise SchemaError(f"the parameter {name!r} is a list of no one type", name)
    items = value.tolist() if isinstance(value, np.ndarray) else list(value)
    return Param(name, kind, items, (-1,) * depth)
