"""What models say, in JSON's types: NaN and infinities as text."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np


def as_plain(value: Any) -> Any:
    """In JSON's types. Raises TypeError."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return _number(float(value))
    if isinstance(value, np.ndarray):
        return _of_array(value)
    if isinstance(value, np.longdouble):
        return _number(float(value))
    if isinstance(value, np.generic):
        return as_plain(value.item()) if value.dtype.kind != "M" else _instant(value)
    if isinstance(value, Mapping):
        return dict(zip(texts_of(value), map(as_plain, value.values()), strict=True))
    if isinstance(value, (list, tuple)):
        return [as_plain(item) for item in value]
    return _of_library(value)


def texts_of(names: Iterable[Any]) -> list[str]:
    """Names as JSON has them. Raises TypeError where two are the same: one would hide the other."""
    texts = [str(name) for name in names]
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise TypeError(f"column {twice!r:.60} is there twice; give each a name of its own")
    return texts


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _of_array(array: np.ndarray[Any, Any]) -> Any:
    if array.dtype == np.longdouble and array.itemsize > 8:  # `tolist` makes no Python floats of it
        return _of_array(array.astype(np.float64))
    if array.dtype.kind in "biu" or (array.dtype.kind == "f" and bool(np.isfinite(array).all())):
        return array.tolist()
    if array.dtype.kind == "M":
        return _instants(array)
    return as_plain(array.tolist())


def _instants(array: np.ndarray[Any, Any]) -> Any:
    return [_instants(part) for part in array] if array.ndim else _instant(array[()])


def _instant(value: Any) -> str | None:
    return None if np.isnat(value) else str(value)


def _with_nanoseconds(series: Any) -> list[str | None]:
    """Of polars, whose lists have Python's datetimes: those have microseconds."""
    pairs = zip(series.to_list(), series.dt.nanosecond().to_list(), strict=True)
    return [None if value is None else _told(value, nanoseconds % 1000) for value, nanoseconds in pairs]


def _told(value: datetime, nanoseconds: int) -> str:
    if not nanoseconds:
        return value.isoformat()
    text = value.isoformat(timespec="microseconds")
    end = text.index(".") + 7
    return f"{text[:end]}{nanoseconds:03}{text[end:]}"


_PLAIN = ("toarray", "tolist", "to_list", "to_pylist")
"""How sparse arrays, tensors, columns of polars and tables of Arrow become Python's lists."""


def _of_library(value: Any) -> Any:
    if hasattr(value, "iloc"):  # of pandas
        if hasattr(value, "columns"):
            names = texts_of(value.columns)
            columns = [as_plain(value.iloc[:, i].tolist()) for i in range(len(names))]
            return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return as_plain(value.tolist())
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "column_names"):  # of Arrow, which would itself make one of two
        texts_of(value.column_names)
    if hasattr(value, "get_columns"):  # of polars
        columns = [as_plain(column) for column in value.get_columns()]
        return [dict(zip(value.columns, row, strict=True)) for row in zip(*columns, strict=True)]
    if getattr(getattr(value, "dtype", None), "time_unit", "") == "ns" and hasattr(value.dtype, "time_zone"):
        return _with_nanoseconds(value)
    for method in _PLAIN:
        if hasattr(value, method):
            return as_plain(getattr(value, method)())
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, (set, frozenset)):
        return sorted(map(as_plain, value))
    raise TypeError(f"JSON cannot say a {type(value).__name__}")
