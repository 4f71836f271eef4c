"""Predictions of every kind: as JSON, and cut into what each request asked."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch

from autotrack.serving.predictions import NotByRows, parts, rendered


def told(result: Any) -> Any:
    return json.loads(rendered(result))["predictions"]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (np.array([1, 2]), [1, 2]),
        (np.array([[1.5, np.nan], [np.inf, -np.inf]]), [[1.5, "NaN"], ["Infinity", "-Infinity"]]),
        (np.array(["x", "y"]), ["x", "y"]),
        (np.array([True]), [True]),
        (np.array([1.5, None, "x"], object), [1.5, None, "x"]),
        (np.array(["2024-01-02", "NaT"], "datetime64[D]"), ["2024-01-02", None]),
        (np.float32(0.5), 0.5),
        (pd.Series([1.5, np.nan]), [1.5, "NaN"]),
        (pd.DataFrame({"p": [0.5], 1: ["x"]}), [{"p": 0.5, "1": "x"}]),
        (pd.DataFrame({"t": pd.to_datetime(["2024-01-02"]), "i": pd.array([None], "Int64")}), None),
        (pl.DataFrame({"p": [0.5]}), [{"p": 0.5}]),
        (pl.Series([1, 2]), [1, 2]),
        (torch.ones(2), [1.0, 1.0]),
        (scipy.sparse.csr_array(np.eye(2)), [[1.0, 0.0], [0.0, 1.0]]),
        ({"x": np.ones(1), "y": [b"\0"]}, {"x": [1.0], "y": ["AA=="]}),
        ([("a", 1), {date(2024, 1, 2)}], [["a", 1], ["2024-01-02"]]),
        ("text", "text"),
    ],
)
def test_json(result: Any, expected: Any) -> None:
    if expected is None:
        expected = [{"t": "2024-01-02T00:00:00", "i": None}]
    assert told(result) == expected


def test_datetimes_have_all_their_digits() -> None:
    said = pd.Series(pd.to_datetime(["2024-01-02T03:04:05.123456789", None, "2024-01-02"], format="ISO8601"))
    expected = ["2024-01-02T03:04:05.123456789", None, "2024-01-02T00:00:00"]
    series = pl.Series("t", said)
    for one in (said, pl.Series(said), pa.array(said)):
        assert told(one) == expected
    for table in (said.to_frame("t"), series.to_frame(), pa.table({"t": pa.array(said)})):
        rows = told(table)
        assert [row["t"] for row in rows] == expected
    zoned = series.dt.replace_time_zone("Europe/Berlin")
    assert told(zoned)[0] == "2024-01-02T03:04:05.123456789+01:00"
    assert told(said.to_numpy())[0] == expected[0]


def test_what_json_cannot_say() -> None:
    with pytest.raises(TypeError, match="a object"):
        rendered([object()])


@pytest.mark.parametrize(
    "result",
    [
        pd.DataFrame([[1, 2]], columns=["p", "p"]),
        pa.table([[1], [2]], names=["p", "p"]),
        [{"p": {1: 1, "1": 2}}],
    ],
    ids=["pandas", "Arrow", "dict"],
)
def test_a_column_that_is_there_twice_is_not_dropped(result: Any) -> None:
    with pytest.raises(TypeError, match=r"column '[p1]' is there twice"):
        rendered(result)


@pytest.mark.parametrize(
    "whole",
    [
        np.arange(6).reshape(3, 2),
        pd.Series([1, 2, 3]),
        pd.DataFrame({"p": [1, 2, 3]}),
        [1, 2, 3],
        {"x": np.arange(3), "y": [1, 2, 3]},
        (np.arange(3), np.arange(3)),
    ],
)
def test_parts_are_the_rows(whole: Any) -> None:
    first, second = parts(whole, [1, 2])
    if isinstance(whole, dict):
        first, second, whole = first["x"], second["x"], whole["x"]
    elif isinstance(whole, tuple):
        first, second, whole = first[0], second[0], whole[0]
    assert told(first) == told(whole[:1])
    assert told(second) == told(whole[1:])


@pytest.mark.parametrize("whole", [np.arange(2), 3.5, "abc", np.array(1), {"x": [1, 2, 3], "n": 3}, None])
def test_what_is_not_by_rows_is_not_cut(whole: Any) -> None:
    with pytest.raises(NotByRows):
        parts(whole, [1, 2])
    assert parts(whole, [3]) == [whole]
