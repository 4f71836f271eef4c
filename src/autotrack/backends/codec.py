"""Columns of numbers as bytes: raw while they are few, pcodec once that is smaller.

The first byte says which: ``r`` raw little endian, ``p`` pcodec (https://github.com/pcodec/pcodec).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pcodec import ChunkConfig, standalone

FEW = 32
"""Numbers that are not worth to be packed."""
_CONFIG = ChunkConfig()


def encode(values: NDArray[Any]) -> bytes:
    """`values` (1-d, int64 or float64) without loss, NaN payloads included."""
    raw = encode_raw(values)
    if len(values) < FEW:
        return raw
    packed: bytes = b"p" + standalone.simple_compress(np.ascontiguousarray(values), _CONFIG)
    return packed if len(packed) < len(raw) else raw


def encode_raw(values: NDArray[Any]) -> bytes:
    """The same at once, for what is soon read and put together with others."""
    return b"r" + values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def encode_columns(columns: Mapping[int, NDArray[np.float64]]) -> bytes:
    """Columns of equal length by the ids of their names: the ids, then one column after the other."""
    return np.array([*columns], "<i8").tobytes() + b"".join(
        [column.astype("<f8", copy=False).tobytes() for column in columns.values()]
    )


def decode_columns(data: bytes, rows: int) -> dict[int, NDArray[np.float64]]:
    """What `encode_columns` made of columns with so many rows."""
    count = len(data) // 8 // (1 + rows)
    ids = np.frombuffer(data, "<i8", count)
    values = np.frombuffer(data, "<f8", offset=8 * count).reshape(count, rows)
    return dict(zip(ids.tolist(), values, strict=True))


def name_in_columns(name: int) -> bytes:
    """What stands in the columns of a table that has the name, and hardly in others."""
    return np.array([name], "<i8").tobytes()


def decode_ints(data: bytes) -> NDArray[np.int64]:
    """What `encode` made of int64."""
    return _decode(data, np.dtype("<i8"))


def decode_floats(data: bytes) -> NDArray[np.float64]:
    """What `encode` made of float64."""
    return _decode(data, np.dtype("<f8"))


def _decode(data: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    if data[:1] == b"p":
        values: NDArray[Any] = standalone.simple_decompress(data[1:])
        return values
    return np.frombuffer(data, dtype, offset=1)
