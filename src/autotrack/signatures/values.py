"""The types of Python's and numpy's values, and the one type that fits several of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np

from .types import Array, DataType, Object, Property, Type

MOST_VALUES = 1_000
"""How many of a column of Python objects are looked at, evenly spaced; of a list in one of them too."""
_MOST_DEPTH = 20

_WIDER = {
    frozenset({DataType.INTEGER, DataType.LONG}): DataType.LONG,
    frozenset({DataType.FLOAT, DataType.DOUBLE}): DataType.DOUBLE,
    frozenset({DataType.INTEGER, DataType.FLOAT}): DataType.DOUBLE,
    frozenset({DataType.INTEGER, DataType.DOUBLE}): DataType.DOUBLE,
    frozenset({DataType.LONG, DataType.DOUBLE}): DataType.DOUBLE,
    frozenset({DataType.LONG, DataType.FLOAT}): DataType.DOUBLE,
}


_UNKNOWN: Any = object()
"""The type of what is missing, or of an empty list's items, until something that has one is seen."""


def type_of_all(values: Sequence[Any]) -> tuple[Type, bool]:
    """The type of what stands in a sequence (`ANY` where all is missing), and whether none of it is missing.

    Looks at `MOST_VALUES` of them at most.
    """
    seen = spread(values)
    return _settled(_merged(_of(v) for v in seen)), not any(is_missing(v) for v in seen)


def type_of(value: Any) -> Type:
    """The type of one value; `ANY` where it is missing."""
    return _settled(_of(value))


def _settled(kind: Type) -> Type:
    """Without what stayed unknown."""
    if kind is _UNKNOWN:
        return DataType.ANY
    if isinstance(kind, Array):
        return Array(_settled(kind.items))
    if isinstance(kind, Object):
        return Object(tuple(replace(p, type=_settled(p.type)) for p in kind.properties))
    return kind


def _of(value: Any, depth: int = 0) -> Type:
    if depth > _MOST_DEPTH:
        return DataType.ANY
    if isinstance(value, np.ndarray) and value.ndim:
        return _of_array(value, depth)
    if isinstance(value, (list, tuple)):
        return Array(_merged(_of(v, depth + 1) for v in spread(value)))
    if isinstance(value, Mapping):
        return _of_mapping(value, depth)
    return _UNKNOWN if is_missing(value) else _of_scalar(value)


def _of_array(value: np.ndarray[Any, Any], depth: int) -> Type:
    if value.dtype.kind == "O":
        return Array(_merged(_of(v, depth + 1) for v in spread(value)))
    kind: Type = type_of_dtype(value.dtype)
    for _ in range(value.ndim):
        kind = Array(kind)
    return kind


def _of_mapping(value: Mapping[Any, Any], depth: int) -> Type:
    if not value or not all(isinstance(key, str) for key in value):
        return DataType.ANY
    kinds = {name: _of(item, depth + 1) for name, item in value.items()}
    return Object(tuple(Property(name, kind, kind is not _UNKNOWN) for name, kind in kinds.items()))


def _of_scalar(value: Any) -> Type:
    if isinstance(value, np.ndarray):  # of no dimension
        value = value[()]
    if isinstance(value, np.generic):
        return type_of_dtype(value.dtype)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return DataType.ANY
    return next((name for kind, name in _PYTHON if isinstance(value, kind)), DataType.ANY)


_PYTHON: tuple[tuple[type | tuple[type, ...], DataType], ...] = (
    (bool, DataType.BOOLEAN),  # before int, which it is as well
    (int, DataType.LONG),
    (float, DataType.DOUBLE),
    (str, DataType.STRING),
    ((bytes, bytearray), DataType.BINARY),
    (date, DataType.DATETIME),  # a datetime and pandas' Timestamp are dates
)


def type_of_dtype(dtype: np.dtype[Any]) -> DataType:
    """The type that holds every value of a numpy dtype; `ANY` for uint64, complex, durations and objects."""
    if dtype.kind in "iu":
        bits = dtype.itemsize * 8 + (dtype.kind == "u")
        return DataType.INTEGER if bits <= 32 else DataType.LONG if bits <= 64 else DataType.ANY
    if dtype.kind == "f":
        return DataType.FLOAT if dtype.itemsize <= 4 else DataType.DOUBLE
    return _KINDS.get(dtype.kind, DataType.ANY)


_KINDS = {
    "b": DataType.BOOLEAN,
    "M": DataType.DATETIME,
    "U": DataType.STRING,
    "T": DataType.STRING,
    "S": DataType.BINARY,
}


def is_missing(value: Any) -> bool:
    """Whether it is None, NaN, NaT or pandas' NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, (float, np.floating)):
        return bool(value != value)
    return isinstance(value, (np.datetime64, np.timedelta64)) and bool(np.isnat(value))


def is_half(value: Any) -> bool:
    """Whether it is text with half a character in it, a lone surrogate, which UTF-8 cannot hold."""
    return isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value)


def spread(values: Any) -> Any:
    """At most `MOST_VALUES` of a sequence, evenly spaced, the first and the last among them."""
    if len(values) <= MOST_VALUES:
        return values
    return [values[i * (len(values) - 1) // (MOST_VALUES - 1)] for i in range(MOST_VALUES)]


def _merged(kinds: Iterable[Type]) -> Type:
    """The narrowest type that fits all; `ANY` where nothing narrower does."""
    found: Type = _UNKNOWN
    for kind in kinds:
        if kind != found:
            found = _both(found, kind)
    return found


def _both(one: Type, other: Type) -> Type:
    if one is _UNKNOWN or other is _UNKNOWN:
        return other if one is _UNKNOWN else one
    if isinstance(one, Array) and isinstance(other, Array):
        return Array(_merged([one.items, other.items]))
    if isinstance(one, Object) and isinstance(other, Object):
        return _both_objects(one, other)
    if isinstance(one, DataType) and isinstance(other, DataType):
        return _WIDER.get(frozenset({one, other}), DataType.ANY)
    return DataType.ANY


def _both_objects(one: Object, other: Object) -> Object:
    mine, others = ({p.name: p for p in o.properties} for o in (one, other))
    properties = []
    for name in mine | others:
        both = [known[name] for known in (mine, others) if name in known]
        required = len(both) == 2 and all(p.required for p in both)
        properties.append(Property(name, _merged(p.type for p in both), required))
    return Object(tuple(properties))
