"""What a model gets: the data itself where it fits, or an error that names the column and the row."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autotrack.errors import ModelError, SchemaError
from autotrack.signatures import Column, DataType, Param, Schema, Signature, Tensor, from_mlmodel, infer
from autotrack.signatures.enforcing import enforce, enforce_params
from autotrack.signatures.written import as_written

from .frames import every_kind


def schema(**kinds: str) -> Schema:
    """`a="long?"`: a column of longs that may be missing."""
    fields = [
        Column(name, DataType(kind.rstrip("?")), not kind.endswith("?")) for name, kind in kinds.items()
    ]
    return Schema(tuple(fields))


def typed(text: str) -> Schema:
    """A schema as MLflow writes it, of one column named x."""
    found = from_mlmodel({"inputs": f'[{{"name": "x", "required": true, {text}}}]'}).inputs
    assert found is not None
    return found


def tensor(dtype: str, *shape: int) -> Schema:
    return Schema((Tensor(None, dtype, shape),))


# --- the data itself --------------------------------------------------------------------------------

rows = 5
floats = st.floats(width=64)
cells: dict[str, st.SearchStrategy[Any]] = {
    "Int64": st.none() | st.integers(-(2**63), 2**63 - 1),
    "Int8": st.none() | st.integers(-128, 127),
    "Float64": st.none() | floats,
    "Boolean": st.none() | st.booleans(),
    "String": st.none() | st.text(max_size=4),
    "Binary": st.none() | st.binary(max_size=4),
    "Datetime": st.none() | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)),
    "List(Int64)": st.none() | st.lists(st.none() | st.integers(-9, 9), max_size=3),
    "Struct({'p': Float64, 'q': String})": st.fixed_dictionaries({"p": floats, "q": st.none() | st.text()}),
}
POLARS = {
    "Int64": pl.Int64(),
    "Int8": pl.Int8(),
    "Float64": pl.Float64(),
    "Boolean": pl.Boolean(),
    "String": pl.String(),
    "Binary": pl.Binary(),
    "Datetime": pl.Datetime("us"),
    "List(Int64)": pl.List(pl.Int64),
    "Struct({'p': Float64, 'q': String})": pl.Struct({"p": pl.Float64(), "q": pl.String()}),
}
tables = st.lists(st.sampled_from(list(cells)), min_size=1, max_size=4, unique=True).flatmap(
    lambda kinds: st.fixed_dictionaries(
        {kind: st.lists(cells[kind], min_size=rows, max_size=rows) for kind in kinds}
    )
)


def plain(value: Any) -> Any:
    """Values as Python has them, what is missing as None."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, np.ndarray)):
        return [plain(item) for item in value]
    if pd.isna(value):
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def values(table: pd.DataFrame) -> dict[str, Any]:
    return {name: [plain(v) for v in table[name].astype(object)] for name in table}


def expected(table: dict[str, list[Any]]) -> dict[str, Any]:
    return {name: [plain(v) for v in column] for name, column in table.items()}


@given(tables)
def test_a_polars_table_fits_its_own_signature(table: dict[str, list[Any]]) -> None:
    data = pl.DataFrame({name: pl.Series(name, column, POLARS[name]) for name, column in table.items()})
    assert values(enforce(infer(data).inputs, data)) == expected(table)


@given(tables)
def test_an_arrow_table_fits_its_own_signature(table: dict[str, list[Any]]) -> None:
    data = pl.DataFrame(
        {name: pl.Series(name, column, POLARS[name]) for name, column in table.items()}
    ).to_arrow()
    assert values(enforce(infer(data).inputs, data)) == expected(table)


PANDAS = {
    "Int64": "Int64",
    "Int8": "Int8",
    "Boolean": "boolean",
    "String": "string",
    "Datetime": "datetime64[us]",
}


@given(tables)
def test_a_pandas_table_fits_its_own_signature(table: dict[str, list[Any]]) -> None:
    columns = {name: pd.Series(column, dtype=PANDAS.get(name, object)) for name, column in table.items()}
    data = pd.DataFrame(columns, index=[7, 7, 1, 2, 3])
    data.index = [7, 7, 1, 2, 3]
    found = enforce(infer(data).inputs, data)
    assert values(found) == values(data)
    assert list(found.index) == [7, 7, 1, 2, 3]


@given(tables)
def test_rows_fit_their_own_signature(table: dict[str, list[Any]]) -> None:
    data = [{name: column[i] for name, column in table.items()} for i in range(rows)]
    assert values(enforce(infer(data).inputs, data)) == expected(table)


@given(
    hnp.arrays(
        hnp.boolean_dtypes()
        | hnp.integer_dtypes()
        | hnp.floating_dtypes(endianness="=")
        | hnp.datetime64_dtypes(),
        hnp.array_shapes(max_dims=3),
    )
)
def test_an_array_fits_its_own_signature(array: Any) -> None:
    found = enforce(infer(array).inputs, array)
    np.testing.assert_array_equal(found, array)
    if array.dtype.isnative:
        assert found is array


@given(
    st.lists(st.lists(floats, min_size=2, max_size=2), min_size=1), st.sampled_from(["float64", "float32"])
)
def test_lists_become_tensors(data: list[list[float]], dtype: str) -> None:
    with np.errstate(over="ignore"):
        want = np.asarray(data, float).astype(dtype)
    if np.isinf(want).sum() == np.isinf(np.asarray(data)).sum():
        np.testing.assert_array_equal(enforce(tensor(dtype, -1, 2), data), want)


def test_a_table_of_every_type_keeps_its_dtypes() -> None:
    data = every_kind()
    found = enforce(infer(data).inputs, data)
    same = [name for name in data if name not in ("i8", "u32")]
    pd.testing.assert_frame_equal(found[same], data[same])
    assert [str(found[name].dtype) for name in ("i8", "u32")] == ["int32", "int64"]


def test_a_table_that_fits_is_not_copied() -> None:
    data = pd.DataFrame({"a": [1.0], "b": [2]})
    assert enforce(infer(data).inputs, data) is data


# --- made to fit ------------------------------------------------------------------------------------

X = {"a": [1, 2], "b": [0.5, 1.5]}
AB = schema(a="long", b="double")
FORMS = {
    "pandas": pd.DataFrame({"c": 0, "b": X["b"], "a": X["a"]}, index=[0, 1]),
    "polars": pl.DataFrame({"c": [0, 0], "b": X["b"], "a": X["a"]}),
    "Arrow": pa.table({"c": [0, 0], "b": X["b"], "a": X["a"]}),
    "a record batch": pa.record_batch({"b": X["b"], "a": X["a"]}),
    "a dict of lists": {"c": [0, 0], **X},
    "a dict of arrays": {"b": np.array(X["b"]), "a": np.array(X["a"])},
    "rows": [{"b": 0.5, "a": 1, "c": None}, {"b": 1.5, "a": 2}],
    "rows without names": [[1, 0.5], (2, 1.5)],
    "a structured array": np.array([(0.5, 1), (1.5, 2)], [("b", "f8"), ("a", "i8")]),
    "pandas without names": pd.DataFrame({0: X["a"], 1: X["b"]}).set_axis(range(2), axis=1),
    "objects without names": np.array([[1, 0.5], [2, 1.5]], object),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_becomes_the_models_columns(form: str) -> None:
    pd.testing.assert_frame_equal(enforce(AB, FORMS[form]), pd.DataFrame(X))


ONE = Schema((Column(None, DataType.DOUBLE),))
MADE: dict[str, tuple[Schema, Any, Any]] = {
    "one row": (AB, {"a": 1, "b": 2}, {"a": [1], "b": [2.0]}),
    "integers as doubles": (schema(a="double"), {"a": np.array([1, 2**53])}, {"a": [1.0, 2.0**53]}),
    "small integers": (schema(a="integer"), pd.DataFrame({"a": np.array([2**31 - 1])}), {"a": [2**31 - 1]}),
    "JSON's numbers as floats": (schema(a="float"), {"a": [0.1]}, {"a": [float(np.float32(0.1))]}),
    "exact floats": (schema(a="float"), pd.DataFrame({"a": [0.5, None]}), {"a": [0.5, None]}),
    "texts as datetimes": (
        schema(a="datetime"),
        {"a": ["2020-01-02", "2020-01-02T03:04:05", None]},
        {"a": [dt.datetime(2020, 1, 2), dt.datetime(2020, 1, 2, 3, 4, 5), None]},
    ),
    "base64 as bytes": (schema(a="binary"), {"a": ["YWI=\n", b"c"]}, {"a": [b"ab", b"c"]}),
    "an optional column that is not there": (
        schema(a="long", b="long?", c="string?", d="double?", e="datetime?"),
        {"a": [1]},
        {"a": [1], "b": [None], "c": [None], "d": [None], "e": [None]},
    ),
    "a value that is missing": (schema(a="long?"), [{"a": 1}, {}], {"a": [1, None]}),
    "a missing value of a required double": (schema(a="double"), {"a": [1.0, None]}, {"a": [1.0, None]}),
    "columns with indices of their own": (
        schema(a="string", b="datetime"),
        {
            "a": pd.Series(["x", "y"], index=[5, 6]),
            "b": pd.Series(pd.to_datetime(["2020-01-01"] * 2), index=[1, 2]),
        },
        {"a": ["x", "y"], "b": [dt.datetime(2020, 1, 1)] * 2},
    ),
    "a masked array": (
        schema(a="double", b="long?"),
        {"a": np.ma.array([1.0, 2.0], mask=[0, 1]), "b": np.ma.array([1, 2], mask=[1, 0])},
        {"a": [1.0, None], "b": [None, 2]},
    ),
    "what lies under a mask": (
        schema(a="float", b="integer?", s="string", t="datetime", u="string"),
        {
            "a": np.ma.array([2.0**60 + 1, 0.5, 1e300], mask=[1, 0, 1]),
            "b": np.ma.array([2**40, 1, 2], mask=[1, 0, 0]),
            "s": np.ma.array(["secret", "x", "y"], mask=[1, 0, 0]),
            "t": np.ma.array(["2020-01-01"] * 3, "datetime64[ns]", mask=[1, 0, 0]),
            "u": np.ma.array([5, "x", "y"], object, mask=[1, 0, 0]),
        },
        {
            "a": [None, 0.5, None],
            "b": [None, 1, 2],
            "s": [None, "x", "y"],
            "t": [None, dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1)],
            "u": [None, "x", "y"],
        },
    ),
    "columns numbered": (
        Schema((Column(0, DataType.LONG), Column(1, DataType.LONG))),
        [{"1": 1, "0": 2}],
        {0: [2], 1: [1]},
    ),
    "values for a column without a name": (ONE, [1, 2.5], {0: [1.0, 2.5]}),
    "an array of pandas' own": (ONE, pd.array([1.0]), {0: [1.0]}),
    "one in a dict": (ONE, {"y": pd.array([1.0])}, {"y": [1.0]}),
    "a column for one without a name": (ONE, pd.Series([1], name="y"), {"y": [1.0]}),
    "one value": (ONE, 3, {0: [3.0]}),
    "one list": (typed('"type": "array", "items": {"type": "long"}'), {"x": [1, 2]}, {"x": [[1, 2]]}),
    "two lists": (typed('"type": "array", "items": {"type": "long"}'), {"x": [[1], [2]]}, {"x": [[1], [2]]}),
    "a map, another property": (
        typed('"type": "object", "properties": {"m": {"type": "map", "values": {"type": "double"}}}'),
        {"x": {"m": {"k": 1}, "other": 2}},
        {"x": [{"m": {"k": 1.0}}]},
    ),
    "bfloat16": (
        schema(a="double", b="float"),
        torch.tensor([[1.5, 2.0]], dtype=torch.bfloat16, requires_grad=True),
        {"a": [1.5], "b": [2.0]},
    ),
    "bfloat16 as a column": (
        schema(a="double"),
        {"a": torch.tensor([1.5], dtype=torch.bfloat16)},
        {"a": [1.5]},
    ),
    "one row of numpy's numbers": (AB, {"a": np.int64(1), "b": np.array(2.5)}, {"a": [1], "b": [2.5]}),
    "a column named as a method": (
        schema(to_frame="double", b="long"),
        pd.DataFrame({"to_frame": [1], "b": [2]}),
        {"to_frame": [1.0], "b": [2]},
    ),
    "no rows": (AB, {"a": [], "b": []}, {"a": [], "b": []}),
    "no rows at all": (AB, pd.DataFrame({"a": [], "b": []}, dtype="int64"), {"a": [], "b": []}),
}


@pytest.mark.parametrize("case", MADE)
def test_what_fits_is_made_what_the_model_takes(case: str) -> None:
    wanted, data, result = MADE[case]
    found = enforce(wanted, data)
    assert values(found) == result
    assert list(found.columns) == list(result)


CATEGORIES = {
    "pandas": pd.DataFrame({"c": pd.Categorical(["b", None, "a"], ["b", "a", "z"])}),
    "polars": pl.DataFrame({"c": pl.Series(["b", None, "a"], dtype=pl.Enum(["b", "a", "z"]))}),
    "Arrow": pa.table({"c": pa.array(["b", None, "a"]).dictionary_encode()}),
}


@pytest.mark.parametrize("library", CATEGORIES)
def test_categories_stay_categories(library: str) -> None:
    found = enforce(schema(c="string"), CATEGORIES[library])["c"]
    assert isinstance(found.dtype, pd.CategoricalDtype)
    assert list(found.cat.categories)[:2] == ["b", "a"]
    assert [plain(v) for v in found] == ["b", None, "a"]


TENSORS: dict[str, tuple[Schema, Any, Any]] = {
    "lists": (tensor("float32", -1, 2), [[0.1, 1], [2, 3]], np.array([[0.1, 1], [2, 3]], "float32")),
    "null is NaN": (tensor("float64", -1), [1.5, None], np.array([1.5, np.nan])),
    "wider": (tensor("float64", -1), np.array([1, 2], "int32"), np.array([1.0, 2.0])),
    "torch": (tensor("float32", -1, 2), torch.ones(1, 2, requires_grad=True), np.ones((1, 2), "float32")),
    "pandas": (
        tensor("float64", -1, 2),
        pd.DataFrame({"a": [1, 2], "b": [0.5, 1]}),
        np.array([[1, 0.5], [2, 1]]),
    ),
    "polars": (tensor("int64", -1, 1), pl.DataFrame({"a": [1, 2]}), np.array([[1], [2]])),
    "Arrow": (tensor("int64", -1, 2), pa.table({"a": [1], "b": [2]}), np.array([[1, 2]])),
    "texts": (tensor("str", -1), ["a", "bc"], np.array(["a", "bc"])),
    "texts as datetimes": (
        tensor("datetime64[ns]", -1),
        ["2020-01-02"],
        np.array(["2020-01-02"], "datetime64[ns]"),
    ),
    "a conjugated tensor": (
        tensor("complex64", -1),
        torch.tensor([1 + 2j], dtype=torch.complex64).conj(),
        np.array([1 - 2j], "complex64"),
    ),
    "objects": (tensor("object", -1), ["a", None], np.array(["a", None], object)),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_are_made_what_the_model_takes(case: str) -> None:
    wanted, data, result = TENSORS[case]
    found = enforce(wanted, data)
    np.testing.assert_array_equal(found, result)
    assert found.dtype.kind == result.dtype.kind
    assert found.dtype == result.dtype or result.dtype.kind == "U"


def test_tensors_by_name() -> None:
    wanted = Schema((Tensor("x", "float32", (-1, 2)), Tensor("n", "int64", (-1,))))
    result = {"x": [[1, 2], [3, 4]], "n": [1, 2]}
    for data in (
        {"n": [1, 2], "other": 1, "x": [[1, 2], [3, 4]]},
        pd.DataFrame({"x": [[1, 2], [3, 4]], "n": [1, 2]}),
        pl.DataFrame({"x": [[1, 2], [3, 4]], "n": [1, 2]}),
    ):
        found = enforce(wanted, data)
        assert {name: part.tolist() for name, part in found.items()} == result
        assert found["x"].dtype == "float32"


def test_what_is_sparse_stays_sparse() -> None:
    found = enforce(tensor("float64", -1, 3), sp.csr_matrix(np.eye(3, dtype="float32")))
    assert found.format == "csr"
    assert found.dtype == "float64"
    with pytest.raises(SchemaError, match=r"its shape is \(3, 3\), not \(-1, 4\)"):
        enforce(tensor("float64", -1, 4), sp.csr_matrix(np.eye(3)))


# --- what does not fit ------------------------------------------------------------------------------

LISTS = typed('"type": "array", "items": {"type": "long"}')
DEEP = typed(
    '"type": "object", "properties": {"p": {"type": "array", "items": {"type": "long"}, "required": true}}'
)
COLUMN_ERRORS: dict[str, tuple[Schema, Any, str, Any]] = {
    "a column missing": (AB, {"a": [1], "B": [1]}, "column 'b' is missing; did you mean 'B'?", "b"),
    "nothing near it": (
        AB,
        pd.DataFrame({"zzz": [1], "a": [1]}),
        "column 'b' is missing; there are 2: 'zzz', 'a'",
        "b",
    ),
    "two missing": (AB, [{"q": 1}], "columns 'a', 'b' are missing; there are 1: 'q'", "a"),
    "a column twice": (
        AB,
        pd.DataFrame([[1, 1, 2.0]], columns=["a", "a", "b"]),
        "column 'a' is there twice",
        "a",
    ),
    "whole floats": (AB, {"a": [1.0, 2.0], "b": [1, 2]}, "column 'a', row 0: 1.0 is double, not long", "a"),
    "floats of numpy": (
        AB,
        pd.DataFrame({"a": [1.0, 2.5], "b": 0.0}),
        "column 'a', row 1: double, not long",
        "a",
    ),
    "NaN": (AB, pd.DataFrame({"a": [1, None], "b": 0.0}), "column 'a', row 1: NaN, not long", "a"),
    "missing in Int64": (
        AB,
        pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": 0.0}),
        "column 'a', row 1: a value is missing",
        "a",
    ),
    "missing in polars": (
        AB,
        pl.DataFrame({"a": [None, 1], "b": [0.0, 1]}),
        "column 'a', row 0: a value is m",
        "a",
    ),
    "missing in Arrow": (
        schema(a="boolean"),
        pa.table({"a": [True, None]}),
        "column 'a', row 1: a value is m",
        "a",
    ),
    "missing in rows": (AB, [{"a": 1, "b": 1}, {"b": 1}], "column 'a', row 1: a value is missing", "a"),
    "a missing list": (LISTS, [{"x": [1]}, {"x": None}], "column 'x', row 1: a value is missing", "x"),
    "texts": (AB, {"a": [1, "2"], "b": [1, 2]}, "column 'a', row 1: '2' is string, not long", "a"),
    "texts of polars": (
        schema(a="double"),
        pl.DataFrame({"a": ["1"]}),
        "row 0: '1' is string, not double",
        "a",
    ),
    "texts of numpy": (schema(a="double"), np.array([["1"]]), "column 'a', row 0: string, not double", "a"),
    "booleans": (AB, {"a": [True], "b": [1.0]}, "column 'a', row 0: True is boolean, not long", "a"),
    "booleans of pandas": (
        schema(a="double"),
        pd.DataFrame({"a": [True]}),
        "row 0: boolean, not double",
        "a",
    ),
    "integers for booleans": (
        schema(a="boolean"),
        {"a": [1]},
        "column 'a', row 0: 1 is long, not boolean",
        "a",
    ),
    "numbers for texts": (
        schema(a="string"),
        pd.DataFrame({"a": [1]}),
        "column 'a', row 0: int64, not string",
        "a",
    ),
    "a number among texts": (
        schema(a="string"),
        {"a": ["x", 1]},
        "column 'a', row 1: 1 is long, not string",
        "a",
    ),
    "no time of numpy for a text": (
        schema(a="string"),
        pd.DataFrame({"a": pd.Series([np.datetime64("NaT")] * 2, dtype=object)}),
        "column 'a', row 0: np.datetime64('NaT'",
        "a",
    ),
    "no time of numpy among texts": (
        schema(a="string"),
        {"a": ["x", np.datetime64("NaT")]},
        "column 'a', row 1: np.datetime64('NaT'",
        "a",
    ),
    "too large": (
        schema(a="integer"),
        {"a": np.array([1, 2**31])},
        "row 1: 2147483648 has no exact integer",
        "a",
    ),
    "far too large": (schema(a="long"), {"a": [1, 2**70]}, "column 'a', row 1: 118059162071741130", "a"),
    "inexact": (
        schema(a="double"),
        {"a": np.array([1, 2**53 + 1])},
        "row 1: 9007199254740993 has no exact d",
        "a",
    ),
    "the largest": (
        schema(a="double"),
        {"a": np.array([2**63 - 1])},
        "9223372036854775807 has no exact double",
        "a",
    ),
    "narrower": (schema(a="float"), pd.DataFrame({"a": [0.5, 0.1]}), "row 1: 0.1 has no exact float", "a"),
    "no date": (schema(a="datetime"), {"a": ["soon"]}, "column 'a', row 0: 'soon' is no datetime", "a"),
    "numbers for dates": (
        schema(a="datetime"),
        {"a": np.array([1])},
        "column 'a', row 0: int64, not datetime",
        "a",
    ),
    "dates with and without zones": (
        schema(a="datetime"),
        {"a": ["2020-01-01", "2020-01-01T00:00:00Z"]},
        "column 'a': no datetimes of one kind",
        "a",
    ),
    "no base64": (schema(a="binary"), {"a": ["?"]}, "column 'a', row 0: '?' is no base64", "a"),
    "no list": (LISTS, [{"x": [1]}, {"x": 2}], "column 'x', row 1: 2 is long, not an array", "x"),
    "in a list": (LISTS, [{"x": [1, "b"]}], "column 'x', row 0 at [1]: 'b' is string, not long", "x"),
    "in an array": (LISTS, [{"x": np.array([0.5])}], "column 'x', row 0: double, not long", "x"),
    "no object": (DEEP, [{"x": 1}], "column 'x', row 0: 1 is long, not an object", "x"),
    "in an object": (
        DEEP,
        [{"x": {"p": [1, 2.5]}}],
        "column 'x', row 0 at .p[1]: 2.5 is double, not long",
        "x",
    ),
    "not in an object": (DEEP, [{"x": {"q": 1}}], "column 'x', row 0 at .p: it is missing", "x"),
    "no map": (
        typed('"type": "map", "values": {"type": "long"}'),
        [{"x": {"k": "v"}}],
        "column 'x', row 0 at .k: 'v' is string, not long",
        "x",
    ),
    "too few columns": (
        AB,
        np.zeros((2, 1)),
        "the model takes 2 columns, a: long, b: double; there are 1",
        None,
    ),
    "one row as an array": (AB, np.zeros(2), "of one row make a table by .reshape(1, -1)", None),
    "a short row": (AB, [[1, 2.0], [1]], "row 1 has 1 values; the model takes 2 columns", None),
    "no row": (AB, [[1, 2.0], 3], "row 1 is a int; the model takes 2 columns", None),
    "short column": (AB, {"a": [1], "b": [1.0, 2.0]}, "column 'a' has 1 values, others have 2", "a"),
    "a value among columns": (AB, {"a": [1, 2], "b": 1.0}, "column 'b' is one value, others are lists", "b"),
    "without a name": (ONE, [1.0, "x"], "column 0, row 1: 'x' is string, not double", 0),
    "no table": (AB, object(), "a object is no table", None),
    "nothing": (ONE, None, "a NoneType is no table", None),
    "masked": (AB, np.ma.array([[1, 2]], mask=[[1, 0]]), "column 'a', row 0: a value is missing", "a"),
    "a tensor without dimensions": (
        AB,
        {"a": torch.tensor(1.0), "b": torch.tensor(2.0)},
        "column 'a', row 0: tensor(1.) is Tensor, not long",
        "a",
    ),
    "a tensor without dimensions for another column": (
        AB,
        {"q": torch.tensor(1.0), "r": [1]},
        "columns 'a', 'b' are missing",
        "a",
    ),
    "a sparse tensor": (AB, torch.ones(1, 2).to_sparse(), "numpy cannot read the tensor (", None),
    "a tensor without data": (AB, torch.ones(1, 2, device="meta"), "numpy cannot read the tensor (", None),
    "a tensor of a type that numpy lacks": (
        AB,
        torch.ones(1, 2).to(torch.float8_e4m3fn),
        "give .to_dense(), .dequantize() or .float()",
        None,
    ),
    "a sparse tensor as a column": (
        AB,
        {"a": torch.ones(1, dtype=torch.int64).to_sparse(), "b": [1.0]},
        "column 'a': numpy cannot read the tensor (",
        "a",
    ),
    "a conjugated tensor": (
        AB,
        torch.ones(1, 2, dtype=torch.complex64).conj(),
        "column 'a', row 0: complex64, not long",
        "a",
    ),
    "rows in groups": (
        AB,
        pd.DataFrame({"a": [1], "b": [1.0]}).groupby("a"),
        "DataFrameGroupBy is no table",
        None,
    ),
    "an array of pandas": (AB, pd.array([1, 2]), "the model takes 2 columns", None),
    "columns True and False for 1 and 0": (
        Schema((Column(0, DataType.DOUBLE), Column(1, DataType.DOUBLE))),
        pd.DataFrame({True: [2.0], False: [1.0]}),
        "columns 0, 1 are missing; there are 2: 'True', 'False'",
        0,
    ),
    "columns False and True for 0 and 1": (
        Schema((Column(0, DataType.DOUBLE), Column(1, DataType.DOUBLE))),
        pd.DataFrame({False: [2.0], True: [1.0]}),
        "columns 0, 1 are missing; there are 2: 'False', 'True'",
        0,
    ),
    "a sparse matrix": (AB, sp.csr_matrix(np.eye(2)), "a sparse array has no columns", None),
}


@pytest.mark.parametrize("case", COLUMN_ERRORS)
def test_what_does_not_fit_a_column_is_an_error_that_names_it(case: str) -> None:
    wanted, data, problem, column = COLUMN_ERRORS[case]
    with pytest.raises(SchemaError) as caught:
        enforce(wanted, data)
    assert problem in str(caught.value)
    assert caught.value.column == column
    assert isinstance(caught.value, ModelError)
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value).splitlines()) == 1


def test_texts_that_are_all_missing_are_no_datetimes() -> None:
    data = pd.DataFrame({"a": pd.Series([pd.NaT], dtype=object)})
    found = enforce(schema(a="string"), data)
    assert found["a"].dtype.kind == "O"
    assert values(found) == {"a": [None]}


def test_datetimes_of_text_keep_their_nanoseconds() -> None:
    texts = [
        "2020-01-01T00:00:00.123456789Z",
        "2020-01-01T00:00:00.1234560000Z",
        "2020-01-01T00:00:00.0000001Z",
    ]
    found = enforce(schema(t="datetime"), {"t": texts})["t"]
    assert [(t.microsecond, t.nanosecond) for t in found] == [(123456, 789), (123456, 0), (0, 100)]
    for text, problem in (
        ("2020-01-01T00:00:00.1234567891", "finer than nanoseconds"),
        ("9999-01-01T00:00:00.123456789", "cannot keep its nanoseconds"),
    ):
        with pytest.raises(SchemaError, match=f"column 't', row 0: '{text}' .*{problem}"):
            enforce(schema(t="datetime"), {"t": [text]})


def test_a_wide_table_is_not_all_named_in_an_error() -> None:
    data = pd.DataFrame(np.zeros((1, 5000)), columns=[f"c{i}" for i in range(5000)])
    with pytest.raises(SchemaError) as caught:
        enforce(schema(zzzzzz="long"), data)
    assert len(str(caught.value)) < 250


XN = Schema((Tensor("x", "float32", (-1, 2)), Tensor("n", "int64", (-1,))))
TENSOR_ERRORS: dict[str, tuple[Schema, Any, str, Any]] = {
    "another shape": (
        tensor("float32", -1, 4),
        np.zeros((3, 5), "float32"),
        "the tensor: its shape is (3, 5)",
        None,
    ),
    "another rank": (tensor("float32", -1, 4), [1.0], "the tensor: its shape is (1,), not (-1, 4)", None),
    "floats for integers": (
        tensor("int64", -1),
        np.array([1.0, 2.5]),
        "the tensor at [1]: double, not long",
        None,
    ),
    "inexact": (
        tensor("float32", -1),
        np.array([0.5, 0.1]),
        "the tensor at [1]: 0.1 has no exact float",
        None,
    ),
    "texts": (tensor("float64", -1), ["1"], "the tensor at [0]: '1', not float64", None),
    "a text among numbers": (tensor("float64", -1), [1, "x"], "the tensor at [1]: 'x', not float64", None),
    "a number among texts": (tensor("str", -1), ["x", 1], "the tensor at [1]: 1, not str", None),
    "null for an integer": (tensor("int64", -1), [1, None], "the tensor at [1]: None, not int64", None),
    "ragged": (tensor("float64", -1, 2), [[1, 2], [3]], "its lists are not of one length", None),
    "too large": (tensor("float32", -1), [1e300], "a number is too large for float32", None),
    "no date": (tensor("datetime64[ns]", -1), ["soon"], "no datetime64[ns]", None),
    "masked": (
        tensor("int64", -1),
        np.ma.array([1, 2], mask=[0, 1]),
        "the tensor at [1]: a value is masked",
        None,
    ),
    "a sparse tensor": (
        tensor("float32", -1, 2),
        torch.ones(1, 2).to_sparse(),
        "the tensor: numpy cannot read the tensor (",
        None,
    ),
    "without data": (
        Schema((Tensor("x", "float32", (-1, 2)),)),
        torch.ones(1, 2, device="meta"),
        "tensor 'x': numpy cannot read the tensor (",
        "x",
    ),
    "a dict": (tensor("float32", -1), {"a": [1]}, "a dict is no tensor", None),
    "one missing": (XN, {"x": [[1, 2]], "N": [1]}, "tensor 'n' is missing; did you mean 'N'?", "n"),
    "one wrong": (XN, {"x": [[1, 2, 3]], "n": [1]}, "tensor 'x': its shape is (1, 3), not (-1, 2)", "x"),
    "no names": (XN, np.zeros((2, 2)), "a ndarray is no dict; the model takes tensors by name", None),
}


@pytest.mark.parametrize("case", TENSOR_ERRORS)
def test_what_does_not_fit_a_tensor_is_an_error(case: str) -> None:
    wanted, data, problem, column = TENSOR_ERRORS[case]
    with pytest.raises(SchemaError) as caught:
        enforce(wanted, data)
    assert problem in str(caught.value)
    assert caught.value.column == column


# --- parameters -------------------------------------------------------------------------------------

TAKES = Signature(
    params=(
        Param("temperature", DataType.DOUBLE, 1.5),
        Param("stop", DataType.STRING, ["a"], (-1,)),
        Param("pair", DataType.LONG, [0, 0], (2,)),
        Param("since", DataType.DATETIME),
    )
)


def test_params_have_their_types_and_defaults() -> None:
    defaults = {"temperature": 1.5, "stop": ["a"], "pair": [0, 0], "since": None}
    assert enforce_params(TAKES) == defaults
    given = {"temperature": 2, "stop": ("x", "y"), "since": "2020-01-02"}
    assert enforce_params(TAKES, given) == {
        "temperature": 2.0,
        "stop": ["x", "y"],
        "pair": [0, 0],
        "since": dt.datetime(2020, 1, 2),
    }


PARAM_ERRORS = {
    "unknown": ({"temprature": 1}, "unknown parameter 'temprature'; did you mean 'temperature'?"),
    "text": ({"temperature": "1"}, "parameter 'temperature': '1' is string, not double"),
    "none": ({"temperature": None}, "parameter 'temperature': None is "),
    "no list": ({"stop": "a"}, "parameter 'stop': 'a' is string, not an array"),
    "in a list": ({"stop": ["a", 1]}, "parameter 'stop': at [1]: 1 is long, not string"),
    "length": ({"pair": [1]}, "parameter 'pair': 1 values, not 2"),
}


@pytest.mark.parametrize("case", PARAM_ERRORS)
def test_params_that_do_not_fit(case: str) -> None:
    wrong, problem = PARAM_ERRORS[case]
    with pytest.raises(SchemaError) as caught:
        enforce_params(TAKES, wrong)
    assert problem in str(caught.value)
    assert caught.value.column == next(iter(wrong))


# --- light ------------------------------------------------------------------------------------------

WITHOUT_PANDAS = """
import sys
for name in ("pandas", "polars", "pyarrow", "scipy", "torch"):
    sys.modules[name] = None
from autotrack.errors import SchemaError
from autotrack.signatures import infer
from autotrack.signatures.enforcing import enforce
rows = [{"a": 1, "b": 0.5, "c": None}, {"a": 2, "b": 1.5, "c": 3}]
print(infer(rows).inputs)
print(enforce(infer(rows).inputs, rows).tolist())
try:
    enforce(infer([{"s": "x"}]).inputs, [{"s": "x"}])
except SchemaError as error:
    print(error)
"""


def test_without_pandas_numbers_are_a_matrix() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_PANDAS], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "a: long, b: double, c: long?",
        "[[1.0, 0.5, nan], [2.0, 1.5, 3.0]]",
        "column 's' is string: install pandas for columns that are no numbers",
    ]


def test_what_it_imports() -> None:
    look = (
        "import sys, autotrack.signatures; "
        "print({'pandas', 'polars', 'pyarrow', 'scipy', 'torch', 'xgboost', 'sqlalchemy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- odd data ---------------------------------------------------------------------------------------


ITS_OWN: dict[str, Any] = {
    "columns named True and False": pd.DataFrame([[1, 2.0]], columns=[True, False]),
    "an index": pd.Index([1, 2]),
    "an index with missing values": pd.Index([1, None], dtype="Int64"),
    "lists of Arrow's in pandas": pd.DataFrame(
        {"c": pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64())))}
    ),
    "one number in an array": np.array(5.0),
    "a dict with a number for a name": {1: [1, 2]},
    "texts of any length": np.array([["a"], ["bc"]], np.dtypes.StringDType()),
    "a column of texts of any length": {"a": np.array(["a", "bc"], np.dtypes.StringDType())},
}


@pytest.mark.parametrize("name", ITS_OWN)
def test_what_a_schema_was_inferred_of_fits_it(name: str) -> None:
    inferred = infer(ITS_OWN[name]).inputs
    assert inferred is not None
    enforce(inferred, ITS_OWN[name])


def test_half_a_character_is_told_by_its_column_and_row() -> None:
    wanted = schema(a="string", b="long")
    for data in ([{"a": "x", "b": 1}, {"a": "\ud800", "b": 2}], {"a": ["x", "y\udfff"], "b": [1, 2]}):
        with pytest.raises(SchemaError, match="column 'a', row 1: half a character"):
            enforce(wanted, data)
    odd = pd.DataFrame({"a": pd.Series(["\ud800"], dtype=object), "b": [1]})
    with pytest.raises(SchemaError, match="column 'a', row 0: half a character"):
        enforce(wanted, odd)


def test_what_holds_itself_is_refused() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(SchemaError, match="column 'x'"):
        enforce(typed('"type": "array", "items": {"type": "array", "items": {"type": "long"}}'), {"x": cycle})


def test_written_numbers_are_rounded_and_those_too_large_are_told() -> None:
    wanted = Schema((Tensor("x", "float32", (-1,)), Tensor("n", "int64", (-1,))))
    told = {"x": np.array([0.1, 0.2]), "n": np.array([1, 2])}
    made = enforce(wanted, as_written(wanted, told))
    assert made["x"].tolist() == np.float32([0.1, 0.2]).tolist()
    with pytest.raises(SchemaError, match=r"tensor 'x' at \[1\]: 1e\+300 has no exact float"):
        enforce(wanted, as_written(wanted, {**told, "x": np.array([0.1, 1e300])}))
    with pytest.raises(SchemaError, match=r"tensor 'n' at \[0\]: double, not long"):
        enforce(wanted, as_written(wanted, {**told, "n": np.array([0.5, 1])}))
