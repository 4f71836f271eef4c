"""A curve reduced to the points a screen can show, with everything that stands out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tsdownsample import MinMaxDownsampler

from .records import Points

_EXTREMES = MinMaxDownsampler()  # type: ignore[no-untyped-call]
_SPIKE = 8.0
"""A point is a spike if it is this many times further from its neighbours than is usual."""
_STRETCH = 8192
"""Points that are compared with their neighbours at a time: what that computes stays in the cache."""


def reduced(points: Points, most: int) -> Points:
    """At most about `most` points: the first and last, every spike, each stretch's extremes.

    Every NaN and infinity is kept as well, if need be beyond `most`. Raises ValueError for `most`
    below 4.
    """
    if most < 4:
        raise ValueError(f"max_points must be at least 4, not {most}")
    if len(points) <= most:
        return points
    finite = np.isfinite(points.value)
    where = np.flatnonzero(finite)
    keep = ~finite
    keep[[0, -1]] = True
    room = max(most - int(keep.sum()), most // 2)
    values = points.value[where]
    with np.errstate(over="ignore"):  # a leap may be beyond the largest number
        spikes = _spikes(values, room // 2)
    keep[where[spikes]] = True
    buckets = room - len(spikes) & ~1  # the library wants an even number
    if buckets >= 2 and len(where) > buckets:
        keep[where[_EXTREMES.downsample(values, n_out=buckets)]] = True
    else:
        keep[where] = True
    return Points(points.step[keep], points.time[keep], points.value[keep])


def _spikes(values: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Indices of the points that leap from both neighbours, the highest leaps first if there are many.

    Two of them can share a stretch of which only one is its extreme.
    """
    if len(values) < 3:
        return np.empty(0, np.intp)
    sample = len(values) // 4096 + 1  # the median takes longest
    usual = np.median(np.abs(values[1:-1:sample] - values[:-2:sample]))
    found, leaps = [], []
    for start in range(0, len(values) - 2, _STRETCH):
        leap = _leaps(values[start : start + _STRETCH + 2])
        high = np.flatnonzero(leap > _SPIKE * usual)
        found.append(high + start)
        leaps.append(leap[high])
    where, heights = np.concatenate(found), np.concatenate(leaps)
    if len(where) > most:
        where = where[np.argpartition(heights, -most)[-most:]]
    return where + 1


def _leaps(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each point but the first and the last is above both neighbours, or below both; else 0."""
    left, right = np.diff(values[:-1]), -np.diff(values[1:])
    return np.where(left * right > 0, np.minimum(np.abs(left), np.abs(right)), 0.0)
