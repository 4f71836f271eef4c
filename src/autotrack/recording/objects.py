"""Python objects as bytes to digest: text, numbers, None and lists by value, others by what they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import islice
from math import isqrt
from typing import Any

from .digest import BLOCK_BYTES, WHOLE_BYTES, Column

COST = 8
"""A byte of an object's text takes as long to read as so many of an array's."""
_SAMPLED = 32
_DEEPEST = 3
"""Levels of lists whose items are looked at to tell their size."""

# What takes as long as so many bytes of text: numbers must be spelled, a float's digits above all.
_CONSTANT, _INT, _FLOAT, _OTHER = 8, 24, 128, 128

_LARGE = 8 * BLOCK_BYTES
"""An item that costs more is not read whole where the data is not."""
_KEPT = _LARGE // (_FLOAT * COST)
"""How many values are read of it."""
_KEPT_TEXT = _LARGE // COST


def column(name: str, dtype: str, length: int, items: Callable[[slice], Iterable[Any]]) -> Column:
    """Objects as a column of JSON; `items` gives a slice of them."""
    sample = [_size(item) for item in items(slice(0, length, max(1, length // _SAMPLED)))]
    size = sum(sample) // len(sample) if sample else 1
    is_cut = size * COST > _LARGE and length * size * COST > WHOLE_BYTES

    def read(start: int, end: int) -> bytes:
        found = items(slice(start, end))
        return as_json([_cut(item, _KEPT) for item in found] if is_cut else list(found))

    return Column(name, dtype, length, size, read, COST)


def as_json(items: list[Any]) -> bytes:
    try:
        return json.dumps(items, default=_spoken, skipkeys=True).encode()
    except (ValueError, RecursionError):  # it holds itself
        return json.dumps([type(item).__qualname__ for item in items]).encode()


_SPOKEN = {"datetime", "decimal", "uuid", "pandas", "pathlib"}
"""Modules whose objects are told by their text; anybody else's code is not called."""


def _spoken(item: Any) -> Any:
    kind = type(item)
    if kind in (bytes, bytearray):
        return [kind.__name__, _hash(item)]
    if _is_array(item):
        return _array(item)
    module = kind.__module__.partition(".")[0]
    if module == "numpy" and hasattr(item, "tolist"):
        return item.tolist()
    return str(item) if module in _SPOKEN else kind.__qualname__


def _is_array(item: Any) -> bool:
    """Whether it is numpy's own array, of values."""
    if type(item).__module__.partition(".")[0] != "numpy":
        return False
    return bool(getattr(item, "ndim", 0)) and hasattr(item, "flat") and not item.dtype.hasobject


def _array(array: Any) -> list[Any]:
    """An array among objects is spelled by its digest: its numbers would take a microsecond each."""
    return [str(array.dtype), array.shape, _hash(array.tobytes())]


def _hash(data: Any) -> str:
    import xxhash

    return xxhash.xxh3_128(data).hexdigest()


def _size(item: Any, depth: int = _DEEPEST) -> int:
    """About how many bytes of text take as long to read."""
    kind = type(item)
    if kind is str:
        return _CONSTANT + len(item)
    if kind in (bytes, bytearray):
        return _OTHER + len(item) // COST
    if item is None or kind is bool:
        return _CONSTANT
    if issubclass(kind, (int, float)):
        return _INT if issubclass(kind, int) else _FLOAT
    if issubclass(kind, (list, tuple, dict)):
        return _CONSTANT + _length(item) * _size_within(item, depth)
    if _is_array(item):
        return _OTHER + int(item.nbytes) // COST
    return _OTHER


def _size_within(item: Any, depth: int) -> int:
    """The mean size of what a list or mapping holds, from its ends and its middle."""
    if issubclass(type(item), dict):
        found, key = list(islice(dict.values(item), 3)), 4 * _CONSTANT
    else:
        found, key = _evenly(item, 3), 0
    sizes = [_size(value, depth - 1) if depth else _INT for value in found]
    return key + sum(sizes) // max(1, len(sizes))


# A subclass of a user may have a length and items of its own: its code is not called.


def _length(item: Any) -> int:
    kind = type(item)
    base = list if issubclass(kind, list) else tuple if issubclass(kind, tuple) else dict
    return int(base.__len__(item))


def _evenly(item: Any, count: int) -> list[Any]:
    """So many items of a list or tuple, the first and the last among them."""
    get = list.__getitem__ if issubclass(type(item), list) else tuple.__getitem__
    length = _length(item)
    if length <= count:
        return [get(item, i) for i in range(length)]
    return [get(item, i * (length - 1) // (count - 1)) for i in range(count)]


def _cut(item: Any, kept: int) -> Any:
    """`item` with about so many of the values it holds, evenly spaced, and their number."""
    kind = type(item)
    if kind is str and len(item) > _KEPT_TEXT:
        return [len(item), item[: _KEPT_TEXT // 2], item[-_KEPT_TEXT // 2 :]]
    if _is_array(item) and item.nbytes > _LARGE:
        return _cut_array(item)
    if not issubclass(kind, (list, tuple, dict)):
        return item
    if kept < 2:  # so deep within that it is one of very many
        return [kind.__name__, _length(item)]
    found = _few(item, kept)
    if any(issubclass(type(value), (list, tuple, dict)) for value in found):
        found = _few(item, max(2, isqrt(kept)))
    # One more than they are, so that a list which holds itself comes to an end.
    return [_length(item), *(_cut(value, kept // (1 + len(found))) for value in found)]


def _cut_array(array: Any) -> list[Any]:
    items = array.flat
    return [array.shape, items[:: max(1, array.size // _KEPT)], items[-1:]]


def _few(item: Any, count: int) -> list[Any]:
    if issubclass(type(item), dict):
        return list(islice(dict.items(item), count))
    return _evenly(item, count)
