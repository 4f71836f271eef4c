"""numpy's arrays of numbers as the elements of an OTLP array: of each an `AnyValue`.

They are encoded a few hundred at a time. With more, numpy lets go of the interpreter lock in each of its
operations; whoever shares it with a program that computes has it again 5 ms later, and both pay for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .wire import varint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Number = TypeVar("_Number", bound=np.generic)

_TOGETHER = 500
"""Elements: for an operation on up to so many numpy keeps the interpreter lock."""
_DOUBLE = np.dtype([("head", "V3"), ("value", "<f8")])


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
    numbers = values.view(np.uint64)
    width, least = (len(varint(int(end))) for end in (numbers.max(), numbers.min()))
    return _of_one_width(numbers, width) if width == least < _LONGEST else _of_any_width(numbers, width)


def _of_one_width(numbers: NDArray[np.uint64], width: int) -> bytearray:
    """Those whose varints have so many bytes, as times do and most steps: eight are made at once."""
    encoded = bytearray(bytes((0x0A, 1 + width, 0x18)) + bytes(width)) * len(numbers)
    cells = np.frombuffer(encoded, _cell(width))
    spread = numbers & _GROUPS
    for low, high, by in _SPREADING:
        spread = spread & low | (spread & high) << by
    spread |= _MORE >> np.uint64(8 * max(0, 9 - width))
    for name in cells.dtype.names or ():
        at = int(name)
        cells[name] = spread >> np.uint64(8 * at) if at < 8 else numbers >> np.uint64(7 * at)
    return encoded


_LONGEST = 10
"""Bytes of a varint, of a negative number's."""
_GROUPS = np.uint64((1 << 56) - 1)
_SPREADING = [
    (np.uint64(0x000000000FFFFFFF), np.uint64(0x00FFFFFFF0000000), np.uint64(4)),
    (np.uint64(0x00003FFF00003FFF), np.uint64(0x0FFFC0000FFFC000), np.uint64(2)),
    (np.uint64(0x007F007F007F007F), np.uint64(0x3F803F803F803F80), np.uint64(1)),
]
"""Eight groups of 7 bits become bytes: first two halves move apart, then quarters, then the groups."""
_MORE = np.uint64(0x8080808080808080)
"""The bit of each byte after which others come."""


@cache
def _cell(width: int) -> np.dtype[np.void]:
    """An element of that width, its varint in parts that numpy has numbers for, by where they begin."""
    places, at = {}, 0
    for size in (8, 4, 2, 1):
        if width - at >= size:
            places[str(at)] = (f"<u{size}", 3 + at)
            at += size
    return np.dtype(
        {
            "names": [*places],
            "formats": [form for form, _ in places.values()],
            "offsets": [place for _, place in places.values()],
            "itemsize": 3 + width,
        }
    )


def _of_any_width(rest: NDArray[np.uint64], longest: int) -> bytes:
    """Byte by byte, and what is too long cut off; it changes what it is given."""
    width = 3 + longest
    encoded = bytearray(b"\x0a\x02\x18" + bytes(longest)) * len(rest)
    cells = np.frombuffer(encoded, np.uint8).reshape(-1, width)
    lengths = np.full(len(rest), 2, np.uint8)
    for column in range(3, width):
        more = rest > 127
        cells[:, column] = rest.astype(np.uint8) & 127 | more.view(np.uint8) << 7
        lengths += more
        rest >>= 7
    cells[:, 1] = lengths
    return cells[np.arange(width) < lengths[:, None] + 2].tobytes()
