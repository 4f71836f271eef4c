"""numpy's arrays of numbers as the elements of an OTLP array: of each an `AnyValue`.

They are encoded a few hundred at a time. With more, numpy lets go of the interpreter lock in each of its
operations; whoever shares it with a program that computes has it again 5 ms later, and both pay for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .wire import block, varint

_Number = TypeVar("_Number", bound=np.generic)

_TOGETHER = 500
"""Elements that numpy keeps the interpreter lock for."""
_DOUBLE = np.dtype([("head", "V3"), ("value", "<f8")])
_SPREADS = (
    (4, np.uint64(0x0FFF_FFFF), np.uint64(0x00FF_FFFF_F000_0000), np.uint64(4)),
    (2, np.uint64(0x0000_3FFF_0000_3FFF), np.uint64(0x0FFF_C000_0FFF_C000), np.uint64(2)),
    (1, np.uint64(0x007F_007F_007F_007F), np.uint64(0x3F80_3F80_3F80_3F80), np.uint64(1)),
)
"""Halves, quarters and eighths of 56 bits are moved apart, until each 7 of them are in a byte of their own.

Of each step: the groups up to which there is nothing to do, what stays, what moves, and how far.
"""
_BYTES, _MOST = 8, 9
"""Groups that one word holds, and that a number has which is not negative."""


def doubles(values: NDArray[np.floating[Any]]) -> bytearray:
    """Encode each: tag, length 9, tag of `double_value`, 8 bytes."""
    encoded = bytearray(b"\x0a\x09\x21" + bytes(8)) * len(values)
    cells = np.frombuffer(encoded, _DOUBLE)["value"]
    for cell, some in zip(_parts(cells), _parts(values), strict=True):
        cell[:] = some
    return encoded


def ints(values: NDArray[np.signedinteger[Any]]) -> bytes:
    """Encode each: tag, length, tag of `int_value`, a varint."""
    return b"".join([_ints(some.astype(np.int64)) for some in _parts(values)])


def _parts(values: NDArray[_Number]) -> Iterator[NDArray[_Number]]:
    for start in range(0, len(values), _TOGETHER):
        yield values[start : start + _TOGETHER]


def _ints(values: NDArray[np.int64]) -> bytes | bytearray:
    rest = values.view(np.uint64)  # as which they are encoded
    groups = len(varint(int(rest.max())))
    if groups > _MOST or len(varint(int(rest.min()))) < groups:
        return b"".join([block(b"\x0a", b"\x18" + varint(number)) for number in rest.tolist()])
    form, cell, word = _form(groups)
    encoded = bytearray(form) * len(values)
    cells = np.frombuffer(encoded, cell)
    cells["low"] = _spread(rest, groups).view(word)["low"]
    if groups > _BYTES:
        cells["last"] = rest >> np.uint64(7 * _BYTES)
    return encoded


def _spread(rest: NDArray[np.uint64], groups: int) -> NDArray[np.uint64]:
    """The lowest 8 groups of 7 bits, each in a byte, marked where another follows."""
    for most, stays, moves, far in _SPREADS:
        if groups > most:
            rest = rest & stays | (rest & moves) << far
    return rest | np.uint64(int.from_bytes(b"\x80" * min(groups - 1, _BYTES), "little"))


@lru_cache
def _form(groups: int) -> tuple[bytes, np.dtype[np.void], np.dtype[np.void]]:
    """Of integers of so many groups: the bytes of one, where its groups are, and where they are in a word."""
    low = f"V{min(groups, _BYTES)}"
    places = {"low": (low, 3), **({"last": ("u1", 3 + _BYTES)} if groups > _BYTES else {})}
    cell = np.dtype(
        {
            "names": [*places],
            "formats": [form for form, _ in places.values()],
            "offsets": [offset for _, offset in places.values()],
            "itemsize": 3 + groups,
        }
    )
    word = np.dtype({"names": ["low"], "formats": [low], "offsets": [0], "itemsize": _BYTES})
    return bytes((0x0A, groups + 1, 0x18)) + bytes(groups), cell, word
