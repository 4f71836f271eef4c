"""What a model said, in parts for those who asked, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..scoring.plain import as_plain


class NotByRows(Exception):
    """What a model said of several requests' rows does not consist of as many rows."""


def parts(result: Any, counts: Sequence[int]) -> list[Any]:
    """The rows of each request, of what was said of all together. Raises `NotByRows`."""
    if len(counts) == 1:
        return [result]
    ends = np.cumsum(counts).tolist()
    bounds = list(zip([0, *ends[:-1]], ends, strict=True))
    return [_cut(result, start, end, ends[-1]) for start, end in bounds]


def _cut(result: Any, start: int, end: int, length: int) -> Any:
    if isinstance(result, Mapping):
        return {name: _cut(value, start, end, length) for name, value in result.items()}
    if isinstance(result, tuple):
        return tuple(_cut(value, start, end, length) for value in result)
    shape = getattr(result, "shape", None)
    rows = len(result) if isinstance(result, list) else shape[0] if shape else -1
    if rows != length:
        raise NotByRows
    return result.iloc[start:end] if hasattr(result, "iloc") else result[start:end]


def rendered(result: Any) -> bytes:
    """``{"predictions": …}``: a DataFrame by rows, NaN and infinities as text.

    Raises TypeError for what JSON cannot say.
    """
    plain = {"predictions": as_plain(result)}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
