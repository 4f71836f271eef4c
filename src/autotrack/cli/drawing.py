"""Pictures made of characters: curves and bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..records import Points

_LEVELS = "▁▂▃▄▅▆▇█"


def sparkline(points: Points, width: int) -> str:
    """A curve in at most `width` characters, over its steps; ! where there is no finite value."""
    return sparklines([points], width)[0]


def sparklines(curves: Sequence[Points], width: int) -> list[str]:
    """Curves over the same steps and on the same scale, so that they can be compared.

    Of several the scale leaves out the twentieth at either end: one that leaps would flatten all others.
    """
    drawn = [curve for curve in curves if len(curve)]
    if not drawn:
        return ["" for _ in curves]
    width = min(width, max(map(len, drawn)))
    first, last = min(int(c.step.min()) for c in drawn), max(int(c.step.max()) for c in drawn)
    cells = [_cells(curve, first, last, width) for curve in curves]
    finite = sorted(v for line in cells for v in line if v is not None and math.isfinite(v))
    cut = len(finite) // 20 if len(drawn) > 1 else 0
    low, high = (finite[cut], finite[-1 - cut]) if finite else (0.0, 0.0)
    return ["".join(_level(value, low, high) for value in line) for line in cells]


def _cells(points: Points, first: int, last: int, width: int) -> list[float | None]:
    """The mean value of each of `width` stretches of the steps; None where there is no point."""
    import numpy as np

    place = (points.step - float(first)) / max(float(last - first), 1.0) * width
    index = np.minimum(place.astype(int), width - 1)
    finite = np.isfinite(points.value)
    total = np.bincount(index[finite], points.value[finite], width)
    n = np.bincount(index[finite], minlength=width)
    seen = np.bincount(index, minlength=width)
    return [float(t / k) if k else math.nan if s else None for t, k, s in zip(total, n, seen, strict=True)]


def _level(value: float | None, low: float, high: float) -> str:
    if value is None:
        return " "
    if not math.isfinite(value):
        return "!"
    value = min(max(value, low), high)
    span = high / 2 - low / 2  # halves, for the whole may be beyond what a float can hold
    return _LEVELS[round((value / 2 - low / 2) / span * 7)] if span > 0 else _LEVELS[0]


def bar(start: float, end: float, width: int) -> str:
    """A bar from `start` to `end` (fractions of the whole), to half a character; never invisible."""
    left = min(max(round(start * width * 2), 0), width * 2 - 1)
    right = min(max(round(end * width * 2), left + 1), width * 2)
    halves = "".join("#" if left <= half < right else " " for half in range(width * 2))
    pairs = {"##": "━", "# ": "╸", " #": "╺", "  ": " "}
    return "".join(pairs[halves[i : i + 2]] for i in range(0, width * 2, 2)).rstrip()
