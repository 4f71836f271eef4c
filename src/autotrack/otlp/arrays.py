"""numpy's arrays of numbers as the elements of an OTLP array: of each an `AnyValue`.

They are encoded a few hundred at a time. With more, numpy lets go of the interpreter lock in each of its
operations; whoever shares it with a program that computes has it again 5 ms later, and both pay for that.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    rest = values.view(np.uint64)
    width = 3 + len(varint(int(rest.max())))
    encoded = bytearray(b"\x0a\x02\x18" + bytes(width - 3)) * len(rest)
    cells = np.frombuffer(encoded, np.uint8).reshape(-1, width)
    lengths = np.full(len(rest), 2, np.uint8)
    for column in range(3, width):
        more = rest > 127
        cells[:, column] = rest.astype(np.uint8) & 127 | more.view(np.uint8) << 7
        lengths += more
        rest >>= 7
    cells[:, 1] = lengths
    if int(lengths.min()) == width - 2:
        return encoded
    return cells[np.arange(width) < lengths[:, None] + 2].tobytes()
