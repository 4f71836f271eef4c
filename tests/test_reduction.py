"""A reduced curve shows everything that stands out."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autotrack import reduction
from autotrack.records import Points
from autotrack.reduction import reduced


def points(values: NDArray[np.float64]) -> Points:
    steps = np.arange(len(values), dtype=np.int64)
    return Points(steps, steps * 1000, values)


def a_curve(length: int, seed: int = 0) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(0, 0.01, length)
    return np.exp(-np.arange(length) / length) + noise


@settings(deadline=None, max_examples=60)
@given(
    length=st.integers(200, 40_000),
    most=st.integers(100, 2000),
    odd=st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from([9.0, -9.0, np.nan, np.inf, -np.inf])), max_size=20
    ),
)
def test_what_stands_out_is_kept_wherever_it_is(
    length: int, most: int, odd: list[tuple[float, float]]
) -> None:
    values = a_curve(length)
    places = {int(where * (length - 1)): value for where, value in odd}
    alone = {i: v for i, v in places.items() if places.keys().isdisjoint({i - 1, i + 1})}
    for place, value in alone.items():
        values[place] = value
    few = reduced(points(values), most)
    assert {0, length - 1} | alone.keys() <= set(few.step.tolist())
    assert len(few) <= most + len(alone) + 2
    assert (np.diff(few.step) > 0).all()
    assert np.array_equal(few.value, values[few.step], equal_nan=True)
    assert (few.time == few.step * 1000).all()


@pytest.mark.parametrize("at", [-2, -1, 0, 1])
def test_a_spike_where_two_stretches_meet(at: int) -> None:
    values = a_curve(3 * reduction._STRETCH)
    place = reduction._STRETCH + at
    values[place] += 1.0
    assert place in reduced(points(values), 100).step


def test_the_highest_of_many_spikes() -> None:
    values = a_curve(20_000)
    values[10:20_000:20] += 1.0  # more than there is room for
    values[30] += 1.0
    few = reduced(points(values), 200)
    assert 30 in few.step
    assert len(few) <= 202


@pytest.mark.parametrize("values", [np.zeros(5000), np.arange(5000.0), np.full(5000, np.nan)])
def test_curves_without_a_spike(values: NDArray[np.float64]) -> None:
    few = reduced(points(values), 100)
    is_nan = np.isnan(values).all()
    assert len(few) == 5000 if is_nan else 2 <= len(few) <= 100


def test_leaps_beyond_the_largest_number_are_no_warning() -> None:
    values = np.resize([1e308, -1e308, 0.0], 300)
    values[[150, 170]] = np.nan, np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = reduced(Points(np.arange(300), np.arange(300), values), 40)
    assert {1e308, -1e308} <= set(kept.value.tolist())


def test_a_short_curve_is_itself() -> None:
    values = a_curve(50)
    assert len(reduced(points(values), 50)) == 50
    with pytest.raises(ValueError, match="at least 4"):
        reduced(points(values), 3)
