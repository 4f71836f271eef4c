"""Data of every kind as columns that can be read by ranges, in one order whatever the memory's is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .digest import WHOLE_BYTES, Column
from .values import text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OBJECT_COST = 8
"""A byte of a Python object takes as long to read as so many of an array's."""
_OBJECTS_SAMPLED = 32


@dataclass(frozen=True, slots=True)
class Contents:
    """Data as it can be read.

    `fields` are names and types where the data names its columns, `layout` tells apart what has
    equal columns. `only` says what can be read where that is not everything.
    """

    shape: tuple[int, ...]
    columns: Sequence[Column]
    fields: Sequence[tuple[str, str]] = ()
    layout: str = ""
    only: str = ""

    @property
    def size(self) -> int | None:
        """Bytes in memory; None where Python objects are among it, or nothing could be read."""
        if self.only or not self.columns or any(c.cost > 1 for c in self.columns):
            return None
        return sum(c.length * c.item_bytes for c in self.columns)


def of(data: Any) -> Contents:
    """The contents of `data`; of an unknown kind only the shape.

    It is known by its class and the name of its library, which is not imported for it.
    """
    if isinstance(data, (list, tuple)):
        return _of_list(data)
    for module, read in _READERS:
        if any(kind.__module__.partition(".")[0] == module for kind in type(data).__mro__):
            found = read(data)
            if found is not None:
                return found
    return Contents(_shape(data), (), only="shape")


def _shape(data: Any) -> tuple[int, ...]:
    shape = getattr(data, "shape", ())
    return tuple(int(n) for n in shape) if isinstance(shape, tuple) else ()


# --- arrays and lists -------------------------------------------------------------------------------


def _of_list(data: Sequence[Any]) -> Contents:
    width = (len(data[0]),) if len(data) and isinstance(data[0], (list, tuple)) else ()
    return Contents((len(data), *width), [_objects("", len(data), lambda start, end: data[start:end])])


def _of_numpy(data: Any) -> Contents | None:
    np = sys.modules["numpy"]
    if not isinstance(data, np.ndarray):
        return None
    array = data.view(np.ndarray)  # a subclass may have an indexing of its own
    mask = getattr(data, "_mask", None) if isinstance(data, np.ma.MaskedArray) else None
    masks = [_array("mask", mask)] if isinstance(mask, np.ndarray) and mask.shape else []
    return Contents(array.shape, [_array("", array), *masks])


def _array(name: str, array: NDArray[Any]) -> Column:
    """The array's items in C order."""
    import numpy as np

    if array.dtype.hasobject:
        flat = array.reshape(-1) if array.ndim != 1 else array
        return _objects(name, array.size, lambda start, end: flat[start:end].tolist())
    if array.ndim != 1 and not array.flags.c_contiguous and array.nbytes <= WHOLE_BYTES:
        array = np.ascontiguousarray(array)
    items: Any = array
    if array.ndim != 1:
        # A flat iterator reads any order, slowly; what is larger than that is read in a few blocks.
        items = array.reshape(-1) if array.flags.c_contiguous else array.flat

    def read(start: int, end: int) -> NDArray[np.uint8]:
        return np.ascontiguousarray(items[start:end]).view(np.uint8)

    return Column(name, _dtype_name(array.dtype), array.size, array.dtype.itemsize, read)


_dtype_name = lru_cache(maxsize=256)(str)  # numpy takes 10 µs to spell one


def _objects(name: str, length: int, items: Callable[[int, int], Iterable[Any]]) -> Column:
    """Python objects as JSON: text, numbers, None and lists by value, others by what they are."""
    step = max(1, length // _OBJECTS_SAMPLED)
    sample = [_length(item) for at in range(0, length, step) for item in items(at, at + 1)]
    size = sum(sample) // len(sample) if sample else 1
    return Column(
        name, "object", length, size, lambda start, end: _json(list(items(start, end))), _OBJECT_COST
    )


def _length(item: Any) -> int:
    if type(item) in (str, bytes):
        return 8 + len(item)
    return 8 * (1 + len(item)) if type(item) in (list, tuple) else 16


def _json(items: list[Any]) -> bytes:
    try:
        return json.dumps(items, default=_as_json, skipkeys=True).encode()
    except (ValueError, RecursionError):  # it holds itself
        return json.dumps([type(item).__qualname__ for item in items]).encode()


_SPOKEN = {"datetime", "decimal", "uuid", "pandas", "pathlib"}
"""Modules whose objects are told by their text; anybody else's code is not called."""


def _as_json(item: Any) -> Any:
    module = type(item).__module__.partition(".")[0]
    if module == "numpy" and hasattr(item, "tolist"):
        return item.tolist()
    return str(item) if module in _SPOKEN else type(item).__qualname__


# --- tables -----------------------------------------------------------------------------------------


def _table(shape: tuple[int, ...], columns: Sequence[Column]) -> Contents:
    return Contents(shape, columns, fields=[(c.name, c.dtype) for c in columns], layout="table")


def _of_pandas(data: Any) -> Contents | None:
    pd = sys.modules["pandas"]
    if isinstance(data, pd.DataFrame):
        return _table(data.shape, [_series(text(name), column) for name, column in data.items()])
    if isinstance(data, (pd.Series, pd.Index)):
        return _table(data.shape, [_series(text(data.name), data)])
    return None


def _series(name: str, series: Any) -> Column:
    np = sys.modules["numpy"]
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return _array(name, series.to_numpy())
    if type(dtype).__name__ == "CategoricalDtype":
        return _categories(name, series.array)
    values = series.array
    column = _objects(name, len(values), lambda start, end: values[start:end].to_numpy(dtype=object).tolist())
    return _typed(column, str(dtype))


def _categories(name: str, values: Any) -> Column:
    """Codes, and before them what they stand for."""
    codes = _array(name, values.codes)
    known = _json(values.categories.tolist())

    def read(start: int, end: int) -> Any:
        block = codes.read(start, end)
        return known + bytes(block) if start == 0 else block

    return Column(name, f"category[{codes.dtype}]", codes.length, codes.item_bytes, read)


def _of_polars(data: Any) -> Contents | None:
    pl = sys.modules["polars"]
    if isinstance(data, pl.DataFrame):
        return _table(data.shape, [_polars_series(series) for series in data.get_columns()])
    return _table(data.shape, [_polars_series(data)]) if isinstance(data, pl.Series) else None


def _polars_series(series: Any) -> Column:
    if series.dtype.is_numeric() and not series.null_count():
        return _typed(_array(series.name, series.to_numpy()), str(series.dtype))
    column = _objects(series.name, len(series), lambda start, end: series[start:end].to_list())
    return _typed(column, str(series.dtype))


def _of_arrow(data: Any) -> Contents | None:
    pa = sys.modules["pyarrow"]
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        columns = [_arrow_column(n, c) for n, c in zip(data.column_names, data.columns, strict=True)]
        return _table(data.shape, columns)
    if isinstance(data, (pa.Array, pa.ChunkedArray)):
        return _table((len(data),), [_arrow_column("", data)])
    return None


def _arrow_column(name: str, column: Any) -> Column:
    types = sys.modules["pyarrow"].types
    if (types.is_integer(column.type) or types.is_floating(column.type)) and not column.null_count:

        def read(start: int, end: int) -> Any:
            np = sys.modules["numpy"]
            block = column.slice(start, end - start)
            return np.ascontiguousarray(block.to_numpy(zero_copy_only=False)).view(np.uint8)

        return Column(name, str(column.type), len(column), column.type.bit_width // 8, read)
    found = _objects(name, len(column), lambda start, end: column.slice(start, end - start).to_pylist())
    return _typed(found, str(column.type))


def _typed(column: Column, dtype: str) -> Column:
    return replace(column, dtype=dtype)


# --- others -----------------------------------------------------------------------------------------

_SPARSE_PARTS = ("data", "indices", "indptr", "row", "col", "offsets")


def _of_sparse(data: Any) -> Contents | None:
    layout = getattr(data, "format", None)
    if not isinstance(layout, str):
        return None
    if layout not in ("csr", "csc", "bsr", "coo", "dia"):
        return Contents(_shape(data), (), layout=layout, only="shape")
    parts = [(name, getattr(data, name)) for name in _SPARSE_PARTS if hasattr(data, name)]
    return Contents(_shape(data), [_array(name, part) for name, part in parts], layout=layout)


def _of_xgboost(data: Any) -> Contents | None:
    """A DMatrix tells its shape, names and labels; its values are not to be had without a copy."""
    if not hasattr(data, "num_row"):
        return None
    labels = _array("label", data.get_label())
    names = data.feature_names or ()
    types = data.feature_types or ["float"] * len(names)
    shape = (data.num_row(), data.num_col())
    return Contents(shape, [labels], fields=list(zip(names, types, strict=True)), only="labels")


_READERS: tuple[tuple[str, Callable[[Any], Contents | None]], ...] = (
    ("numpy", _of_numpy),
    ("pandas", _of_pandas),
    ("polars", _of_polars),
    ("pyarrow", _of_arrow),
    ("scipy", _of_sparse),
    ("xgboost", _of_xgboost),
)
