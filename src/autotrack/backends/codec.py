"""Columns of numbers as bytes: raw while they are few, pcodec once that is smaller.

The first byte says which: ``r`` raw little endian, ``p`` pcodec (https://github.com/pcodec/pcodec).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pcodec import ChunkConfig, standalone

_FEW = 32
_CONFIG = ChunkConfig()


def encode(values: NDArray[Any]) -> bytes:
    """`values` (1-d, int64 or float64) without loss, NaN payloads included."""
    raw = b"r" + np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    if len(values) < _FEW:
        return raw
    packed: bytes = b"p" + standalone.simple_compress(np.ascontiguousarray(values), _CONFIG)
    return packed if len(packed) < len(raw) else raw


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
