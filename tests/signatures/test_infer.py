"""Signatures of data: the same that MLflow infers, and of more kinds of data."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch
import xgboost

from autotrack.errors import SchemaError
from autotrack.signatures import Param, from_mlmodel, infer, to_mlmodel
from autotrack.signatures.libraries import MOST_ROWS
from autotrack.signatures.types import DataType
from autotrack.signatures.values import MOST_VALUES

from .frames import every_kind
from .test_codec import GOLDEN

LIKE_MLFLOW = {
    "frame": lambda: infer(
        every_kind(), np.zeros((2, 3), "float32"), params={"a": 1.5, "l": [1, 2], "i": np.int32(1)}
    ),
    "numbered": lambda: infer(pd.DataFrame(np.zeros((2, 2)))),
    "records": lambda: infer([{"a": 1, "b": "x"}, {"a": 2}]),
    "record": lambda: infer({"a": 1, "b": ["x"], "c": {"k": [1.0]}}),
    "texts": lambda: infer(["a", "b"], "c"),
    "arrays": lambda: infer({"a": np.zeros((3, 2)), "b": np.array(["x", "y"])}),
}


@pytest.mark.parametrize("name", LIKE_MLFLOW)
def test_it_is_what_mlflow_infers(name: str) -> None:
    assert LIKE_MLFLOW[name]() == from_mlmodel(GOLDEN[name])


DAY = dt.date(2020, 1, 1)
STRUCT = [{"q": 1, "r": ["x"]}, {"q": 2, "r": []}]
INFERRED = {
    "polars": (
        pl.DataFrame(
            {
                "a": [1, None],
                "f": [1.0, 2.0],
                "l": [[1.5], [2]],
                "s": STRUCT,
                "d": [DAY] * 2,
                "c": pl.Series(["x", "y"], dtype=pl.Categorical),
                "m": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int8, 2)),
            }
        ),
        "a: long?, f: double, l: [double], s: {q: long?, r: [string]?}, d: datetime, c: string, m: [integer]",
    ),
    "a polars column": (pl.Series("y", [1, 2]), "y: long"),
    "Arrow": (
        pa.table(
            {
                "l": [[1.5], [2]],
                "s": STRUCT,
                "d": [DAY] * 2,
                "c": pa.array(["x", "y"]).dictionary_encode(),
                "m": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int32())),
                "f": pa.array([1, 2], pa.float16()),
            }
        ),
        "l: [double], s: {q: long?, r: [string]?}, d: datetime, c: string, m: {*: integer}, f: float",
    ),
    "polars' unsigned": (pl.DataFrame({"u": pl.Series([1], dtype=pl.UInt64)}), "u: any"),
    "Arrow's others": (
        pa.table(
            {
                "a": [1, None],
                "t": pa.array([1, 2], pa.timestamp("ms", "UTC")),
                "b": [b"x", b"y"],
                "v": pa.array(["x", "y"], pa.string_view()),
                "n": [Decimal(1), None],
            }
        ),
        "a: long?, t: datetime, b: binary, v: string, n: any?",
    ),
    "an Arrow array": (pa.array([1.5]), "double"),
    "Arrow's dtypes in pandas": (
        pd.DataFrame({"a": pd.array([1, None], dtype=pd.ArrowDtype(pa.int32()))}),
        "a: integer?",
    ),
    "sparse pandas": (pd.DataFrame({"a": pd.arrays.SparseArray([0.0, 1.0])}), "a: double"),
    "a pandas column": (pd.Series([1, 2], name="y"), "y: long"),
    "one without a name": (pd.Series([1, 2]), "long"),
    "one that misses a value": (pd.Series([1, None], dtype="Int64"), "any"),
    "durations": (pd.DataFrame({"a": pd.to_timedelta([1, 2])}), "a: any"),
    "no rows": (pd.DataFrame({"a": np.zeros(0), "b": np.zeros(0, "int8")}), "a: double, b: integer"),
    "numpy": (np.zeros((3, 2, 5), "uint8"), "uint8[*, 2, 5]"),
    "numpy's texts": (np.array(["a", "bc"]), "str[*]"),
    "one number of numpy": (np.float32(1), "float"),
    "torch": (torch.zeros(2, 3), "float32[*, 3]"),
    "bfloat16": (torch.zeros(2, 3, dtype=torch.bfloat16), "float32[*, 3]"),
    "tensors by name": ({"x": torch.zeros(2, 3), "y": np.zeros(2, bool)}, "x: float32[*, 3], y: bool[*]"),
    "a sparse matrix": (sp.csr_matrix(np.eye(3)), "float64[*, 3]"),
    "a DMatrix with names": (
        xgboost.DMatrix(pd.DataFrame({"a": [1, 2], "b": [0.5, 1]})),
        "a: long, b: double",
    ),
    "a DMatrix without": (xgboost.DMatrix(np.zeros((2, 3))), "float32[*, 3]"),
    "an array of pandas' own": (pd.array([1, 2]), "long"),
    "arrays of pandas' own in a dict": (
        {"a": pd.array([1, None]), "b": pd.Categorical(["x", "y"])},
        "a: long?, b: string",
    ),
    "columns in a dict": ({"a": pd.Series([1, 2]), "b": pl.Series(["x", None])}, "a: long, b: string?"),
    "numbers": ([1, 2.5], "double"),
    "lists": ([[1.0, 2.0], [3]], "[double]"),
    "lists of nothing": ([[], []], "[any]"),
    "some of all": ([1, "a"], "any"),
    "mixed in one list": ([[1, "a"], [2]], "[any]"),
    "a property that is null": ([{"o": {"a": None}}, {"o": {"a": 1}}], "o: {a: long?}"),
    "too large for 64 bits": ([2**70], "any"),
    "a text": ("a", "string"),
    "a date": (DAY, "datetime"),
}


@pytest.mark.parametrize("case", INFERRED)
def test_what_is_inferred(case: str) -> None:
    data, shown = INFERRED[case]
    assert str(infer(data).inputs) == shown


HELD: dict[str, tuple[Any, bool, str]] = {
    "a list": (["a", None], True, "None"),
    "a column": (pd.Series(["a", "b"], name="x"), True, ""),
    "objects with None": (pd.DataFrame({"x": pd.Series(["a", None], dtype=object)}), False, "None"),
    "objects with NaN": (pd.DataFrame({"x": pd.Series([True, np.nan], dtype=object)}), False, "NaN"),
    "objects with both": (pd.DataFrame({"x": pd.Series(["a", np.nan, None], dtype=object)}), False, ""),
    "pandas' integers": (pd.DataFrame({"x": pd.array([1, None])}), False, ""),
    "polars' texts": (pl.DataFrame({"x": ["a", None]}), False, "None"),
    "polars' numbers": (pl.DataFrame({"x": [1, None]}), False, ""),
}


@pytest.mark.parametrize("case", HELD)
def test_how_the_training_had_its_columns(case: str) -> None:
    data, is_series, missing = HELD[case]
    found = infer(data).inputs
    assert found is not None
    assert (found.is_series, [c.missing for c in found.columns]) == (is_series, [missing])


def test_params() -> None:
    when = dt.datetime(2020, 1, 1)
    given = {"a": 1, "b": True, "c": [[1.5]], "d": when, "e": {"x": 1}, "f": np.array([1, 2])}
    shown = [str(p) for p in infer(params=given).params]
    assert shown == [
        "a: long = 1",
        "b: boolean = True",
        "c: double[*, *] = [[1.5]]",
        f"d: datetime = {when!r}",
        "e: {x: long} = {'x': 1}",
        "f: long[*] = [1, 2]",
    ]
    assert infer(params={"n": np.int32(1)}).params == (Param("n", DataType.INTEGER, 1),)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an object": ({"inputs": object()}, "a object has no signature"),
    "a class of somebody's": ({"inputs": Decimal(1)}, "a Decimal has no signature"),
    "an empty list": ({"inputs": []}, "an empty list"),
    "an empty dict": ({"outputs": {}}, "an empty dict"),
    "no columns": ({"inputs": pd.DataFrame({})}, "a table without columns"),
    "empty records": ({"inputs": [{}, {}]}, "rows without values"),
    "a structured array": ({"inputs": np.zeros(2, "i4,i4")}, "a structured array is no tensor"),
    "columns twice": ({"inputs": pd.DataFrame([[1, 2]], columns=["a", "a"])}, "the field 'a' is there twice"),
    "a param without value": ({"params": {"p": None}}, "the parameter 'p' is a NoneType"),
    "a param of bytes": ({"params": {"p": b"x"}}, "the parameter 'p' is a bytes"),
    "a param of an empty list": ({"params": {"p": []}}, "the parameter 'p' is a list of no one type"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_signature(case: str) -> None:
    given, problem = REFUSED[case]
    with pytest.raises(SchemaError) as caught:
        infer(**given)
    assert problem in str(caught.value)


class Counted(list[Any]):
    """A list that counts what is read of it."""

    reads = 0

    def __getitem__(self, index: Any) -> Any:
        self.reads += 1
        return super().__getitem__(index)


def test_of_a_long_column_of_objects_a_bounded_number_is_looked_at() -> None:
    cells = Counted([1.0] * 50_000)
    assert str(infer(pd.DataFrame({"a": [cells, cells]})).inputs) == "a: [double]"
    assert 0 < cells.reads <= 2 * MOST_VALUES


def test_one_missing_integer_among_very_many_is_seen() -> None:
    values = pd.array(np.arange(3 * MOST_ROWS), dtype="Int64")
    values[7] = pd.NA
    data = pd.DataFrame({"a": values, "b": np.arange(3 * MOST_ROWS)})
    assert str(infer(data).inputs) == "a: long?, b: long"


NAMES: list[Any] = [("a", 1), np.int64(3), pd.Timestamp("2020-01-01"), 1.5, True]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_series_has_a_name_that_an_mlmodel_can_hold(name: Any) -> None:
    made = infer(pd.Series([1, 2], name=name))
    assert made.inputs is not None
    assert made.inputs.names == (3 if name == 3 else str(name),)
    assert from_mlmodel(json.loads(json.dumps(to_mlmodel(made)))) == made


def test_a_dtype_that_an_mlmodel_cannot_tell_is_refused() -> None:
    texts = infer(np.array(["a", "bc"], np.dtypes.StringDType()))
    assert str(texts.inputs) == "str[*]"
    assert from_mlmodel(to_mlmodel(texts)) == texts
    with pytest.raises(SchemaError, match="numpy has no float8_e4m3fn"):
        infer(torch.zeros(2, 2, dtype=torch.float8_e4m3fn))
    pytest.importorskip("ml_dtypes")  # from when it is imported, numpy knows the name
    with pytest.raises(SchemaError, match="numpy has no float8_e4m3fn"):
        infer(torch.zeros(2, 2, dtype=torch.float8_e4m3fn))


def test_an_index_is_a_column() -> None:
    assert str(infer(pd.Index([1, 2], name="i")).inputs) == "i: long"
    with pytest.raises(SchemaError, match="MultiIndex has no signature"):
        infer(pd.MultiIndex.from_tuples([(1, 2)]))
