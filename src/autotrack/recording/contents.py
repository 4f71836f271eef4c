"""Data of every kind as columns that can be read by ranges, in one order whatever the memory's is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..interrupts import pass_on
from . import objects
from .digest import BLOCK_BYTES, WHOLE_BYTES, Column
from .values import text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WIDE = 1000
"""Columns of a table that are read one by one, each at 40 µs. A wider one is read by runs of one type."""
_SPREAD = 256
"""If these are more than `WIDE` as well, so many are read of them."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Data as it can be read.

    `fields` are names and types where the data names its columns, `layout` tells apart what has
    equal columns. `only` says what can be read where that is not everything, `is_part` that `columns`
    are some of very many.
    """

    shape: tuple[int, ...]
    columns: Sequence[Column]
    fields: Sequence[tuple[str, str]] = ()
    layout: str = ""
    only: str = ""
    is_part: bool = False

    @property
    def size(self) -> int | None:
        """Bytes in memory; None where Python objects are among it, or not all can be read."""
        if self.only or self.is_part or not self.columns or any(c.cost > 1 for c in self.columns):
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
    size = length(data)
    return Contents(_shape(data) or (() if size is None else (size,)), (), only="shape")


def _shape(data: Any) -> tuple[int, ...]:
    shape = getattr(data, "shape", ())
    return tuple(int(n) for n in shape) if isinstance(shape, tuple) else ()


def is_stream(data: Any) -> bool:
    """Whether it is torch's kind of data that is only read from its beginning to its end."""
    torch_data = sys.modules.get("torch.utils.data")
    return torch_data is not None and issubclass(type(data), torch_data.IterableDataset)


def length(data: Any) -> int | None:
    """Of what has one, as a torch `Dataset`; None for a stream too, which may count by reading itself."""
    if is_stream(data):
        return None
    try:
        return len(data)
    except Exception as error:  # noqa: BLE001  a user's class may raise anything
        pass_on(error)
        return None


# --- arrays and lists -------------------------------------------------------------------------------


def _of_list(data: Sequence[Any]) -> Contents:
    width = (len(data[0]),) if len(data) and isinstance(data[0], (list, tuple)) else ()
    return Contents((len(data), *width), [objects.column("", "object", len(data), data.__getitem__)])


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
        return objects.column(name, "object", array.size, lambda part: flat[part].tolist())
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


# --- tables -----------------------------------------------------------------------------------------


def _table(shape: tuple[int, ...], columns: Sequence[Column]) -> Contents:
    return Contents(shape, columns, fields=[(c.name, c.dtype) for c in columns], layout="table")


def _wide(
    shape: tuple[int, ...], fields: Sequence[tuple[str, str]], column: Callable[[int], Column]
) -> Contents:
    """A table of too many columns to read each: evenly spaced ones, the first and the last among them."""
    return Contents(shape, [column(i) for i in _spread(len(fields))], fields, "table", is_part=True)


def _spread(count: int) -> list[int]:
    return [i * (count - 1) // (_SPREAD - 1) for i in range(_SPREAD)]


def _of_pandas(data: Any) -> Contents | None:
    pd = sys.modules["pandas"]
    if isinstance(data, pd.DataFrame):
        if data.shape[1] > WIDE:
            return _wide_frame(data)
        return _table(data.shape, [_series(text(name), column) for name, column in data.items()])
    if isinstance(data, (pd.Series, pd.Index)):
        return _table(data.shape, [_series(text(data.name), data)])
    return None


def _wide_frame(data: Any) -> Contents:
    """Runs of columns of one type are read at once, whatever blocks of memory they are in."""
    dtypes = list(data.dtypes)
    spelled = {id(dtype): _dtype_text(dtype) for dtype in _distinct(dtypes)}
    names = map(text, data.columns.tolist())
    fields = [(name, spelled[id(dtype)]) for name, dtype in zip(names, dtypes, strict=True)]
    runs = _runs(dtypes, len(data))
    is_part = len(runs) > WIDE
    picked = [runs[i] for i in _spread(len(runs))] if is_part else runs
    columns = [
        _run(fields[run[0]], data.iloc[:, run.start : run.stop], dtypes[run[0]])
        if len(run) > 1
        else _series(fields[run[0]][0], data.iloc[:, run[0]])
        for run in picked
    ]
    return Contents(data.shape, columns, fields, "table", is_part=is_part)


def _distinct(dtypes: Sequence[Any]) -> Iterable[Any]:
    """Each object once: to compare types may be slow, a category's compares what it holds."""
    return {id(dtype): dtype for dtype in dtypes}.values()


def _runs(dtypes: Sequence[Any], rows: int) -> list[range]:
    """Neighbours of the same type; what is long, or not of numpy, is a run of its own."""
    np = sys.modules["numpy"]

    def kind(dtype: Any) -> str:
        is_plain = isinstance(dtype, np.dtype) and not dtype.hasobject
        return _dtype_name(dtype) if is_plain and rows * dtype.itemsize <= BLOCK_BYTES else ""

    kinds = {id(dtype): kind(dtype) for dtype in _distinct(dtypes)}
    found = [kinds[id(dtype)] for dtype in dtypes]
    changes = [i for i in range(1, len(found)) if not found[i] or found[i] != found[i - 1]]
    return [range(start, end) for start, end in pairwise([0, *changes, len(found)])]


def _run(field: tuple[str, str], part: Any, dtype: Any) -> Column:
    """Columns of one type as the items of one."""

    def read(start: int, end: int) -> Any:
        np = sys.modules["numpy"]
        values = part.iloc[:, start:end].to_numpy()
        return np.ascontiguousarray(values.T).reshape(-1).view(np.uint8)

    return Column(*field, part.shape[1], len(part) * dtype.itemsize, read)


def _dtype_text(dtype: Any) -> str:
    return _dtype_name(dtype) if isinstance(dtype, sys.modules["numpy"].dtype) else str(dtype)


def _series(name: str, series: Any) -> Column:
    np = sys.modules["numpy"]
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return _array(name, series.to_numpy())
    if type(dtype).__name__ == "CategoricalDtype":
        return _categories(name, series.array)
    values = series.array
    return objects.column(
        name, str(dtype), len(values), lambda part: values[part].to_numpy(dtype=object).tolist()
    )


def _categories(name: str, values: Any) -> Column:
    """Codes, and before them what they stand for."""
    codes = _array(name, values.codes)
    known = objects.as_json(values.categories.tolist())

    def read(start: int, end: int) -> Any:
        block = codes.read(start, end)
        return known + bytes(block) if start == 0 else block

    return Column(name, f"category[{codes.dtype}]", codes.length, codes.item_bytes, read)


def _of_polars(data: Any) -> Contents | None:
    pl = sys.modules["polars"]
    if isinstance(data, pl.DataFrame):
        if data.width > WIDE:
            fields = list(zip(data.columns, map(str, data.dtypes), strict=True))
            return _wide(data.shape, fields, lambda i: _polars_series(data.to_series(i)))
        return _table(data.shape, [_polars_series(series) for series in data.get_columns()])
    return _table(data.shape, [_polars_series(data)]) if isinstance(data, pl.Series) else None


def _polars_series(series: Any) -> Column:
    if series.dtype.is_numeric() and not series.null_count():
        return replace(_array(series.name, series.to_numpy()), dtype=str(series.dtype))
    return objects.column(series.name, str(series.dtype), len(series), lambda part: series[part].to_list())


def _of_arrow(data: Any) -> Contents | None:
    pa = sys.modules["pyarrow"]
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        if data.num_columns > WIDE:
            names = data.schema.names
            fields = list(zip(names, map(str, data.schema.types), strict=True))
            return _wide(data.shape, fields, lambda i: _arrow_column(names[i], data.column(i)))
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
    return objects.column(name, str(column.type), len(column), lambda part: column[part].to_pylist())


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
