"""Bodies become data, or an error that says where they are wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autotrack.errors import SchemaError
from autotrack.server.answers import Refused
from autotrack.serving import inputs
from autotrack.serving.inputs import Rows, Tensors, parsed
from autotrack.signatures import Column, DataType, Schema, Signature, Tensor, columns
from autotrack.signatures.enforcing import enforce
from autotrack.signatures.written import as_written

COLUMNS = Signature(Schema((Column("a", DataType.DOUBLE), Column("s", DataType.STRING))))
ROW = {"inputs": {"a": 1.5, "s": "x"}}
LONG = "a" * 50_000
TENSOR = Signature(Schema((Tensor(None, "float32", (-1, 2)),)))


def asked(told: Any, signature: Signature | None = None) -> Any:
    return parsed(json.dumps(told).encode(), "application/json; charset=utf-8", signature).input


def data(told: Any, signature: Signature | None = None) -> Any:
    return asked(told, signature).joined([])


def test_tables() -> None:
    expected = pd.DataFrame({"a": [1.5, 2.5], "s": ["x", "y"]})
    split = {"columns": ["a", "s"], "data": [[1.5, "x"], [2.5, "y"]], "index": [0, 1]}
    records = [{"a": 1.5, "s": "x"}, {"s": "y", "a": 2.5}]
    for told in ({"dataframe_split": split}, {"dataframe_records": records}):
        pd.testing.assert_frame_equal(data(told), expected)
    for told in ({"instances": records}, {"inputs": {"a": [1.5, 2.5], "s": ["x", "y"]}}):
        pd.testing.assert_frame_equal(data(told, COLUMNS), expected)
    assert data({"inputs": [[1.5, "x"]]}, COLUMNS) == [[1.5, "x"]]  # by position, as the signature has them
    assert data({"inputs": {"a": 1.5, "s": "x"}}, COLUMNS) == {"a": 1.5, "s": "x"}


def test_columns_get_the_types_that_pandas_gives_them() -> None:
    told = {"columns": ["f", "i", "b", "n"], "data": [[1.5, 1, True, None], [2, 2, False, 3]]}
    assert data({"dataframe_split": told}).dtypes.astype(str).tolist() == [
        "float64",
        "int64",
        "bool",
        "float64",
    ]
    floats = data({"dataframe_split": {"columns": ["f", "g"], "data": [[1.5, 2.5]]}})
    assert floats.dtypes.astype(str).tolist() == ["float64", "float64"]
    assert data({"dataframe_records": [{"a": 1.5}, {"b": "x"}]}).isna().to_numpy().tolist() == [
        [False, True],
        [True, False],
    ]


FLOATS = Signature(Schema((Column("a", DataType.FLOAT), Column("b", DataType.FLOAT))))
FLOAT_TENSOR = Signature(Schema((Tensor("x", "float32", (-1, 2)),)))
LARGE, EXACT, SMALL = 2**24 + 1, 2**24, 0.5


def _bodies(a: Any, b: Any) -> list[tuple[Any, Signature]]:
    """Bodies with two rows, in which a and b stand below each other."""
    rows = [{"a": a, "b": 1.0}, {"a": b, "b": 1.0}]
    lists = [[a, 1.0], [b, 1.0]]
    return [
        ({"dataframe_split": {"columns": ["a", "b"], "data": lists}}, FLOATS),
        ({"dataframe_split": {"data": lists}}, FLOATS),
        ({"dataframe_split": {"columns": ["x", "y"], "data": lists}}, TENSOR),
        ({"dataframe_records": rows}, FLOATS),
        ({"instances": rows}, FLOATS),
        ({"instances": lists}, FLOATS),
        ({"inputs": {"a": [a, b], "b": [1.0, 1.0]}}, FLOATS),
        ({"inputs": lists}, TENSOR),
        ({"inputs": lists}, FLOAT_TENSOR),
        ({"instances": [{"x": row} for row in lists]}, FLOAT_TENSOR),
        ({"inputs": {"x": lists}}, FLOAT_TENSOR),
        (f"a,b\n{a},1.0\n{b},1.0\n".replace("None", ""), FLOATS),
        (f"a,b\n{a},1.0\n{b},1.0\n".replace("None", ""), TENSOR),
    ]


def _fitting(told: Any, signature: Signature) -> Any:
    """What a model gets."""
    if isinstance(told, str):
        found = parsed(told.encode(), "text/csv", signature).input
    else:
        found = asked(told, signature)
    assert signature.inputs
    return enforce(signature.inputs, as_written(signature.inputs, found.joined([])))


@pytest.mark.parametrize("form", range(len(_bodies(0, 0))))
def test_a_value_is_treated_alike_whatever_stands_beside_it(form: int) -> None:
    """An integer that floats do not hold is refused, not rounded for another row's sake."""
    for beside in (SMALL, None, EXACT, LARGE):
        with pytest.raises(SchemaError, match=rf"{LARGE}(\.0)? has no exact float"):
            _fitting(*_bodies(LARGE, beside)[form])
        made = _fitting(*_bodies(EXACT, beside)[form]) if beside != LARGE else None
        if made is None:
            continue
        made = made["x"] if isinstance(made, dict) else np.asarray(made)
        expected = np.array([[EXACT, 1], [np.nan if beside is None else beside, 1]], "float32")
        assert made.dtype == np.float32
        np.testing.assert_array_equal(made, expected)


def test_integers_that_floats_hold_are_made_such() -> None:
    """Models without a signature get the tables and arrays that they always got."""
    told = {"columns": ["a", "b"], "data": [[1, 2**53], [0.5, None]]}
    assert data({"dataframe_split": told}).dtypes.tolist() == [np.float64, np.float64]
    assert data({"inputs": [[1, 2**53], [0.5, 1e300]]}).dtype == np.float64
    told = {"columns": ["a"], "data": [[2**53 + 1], [0.5]]}
    assert data({"dataframe_split": told})["a"].tolist() == [2**53 + 1, 0.5]
    assert data({"inputs": [2**53 + 1, 0.5]}).tolist() == [2**53 + 1, 0.5]
    assert data({"inputs": [2**63, -1]}).tolist() == [2**63, -1]


def test_only_tables_whose_columns_are_made_alike_are_joined() -> None:
    small, large = ({"dataframe_records": [{"a": a, "b": 1}, {"a": 0.5, "b": 1}]} for a in (1, LARGE))
    assert asked(small, FLOATS).kind == asked(small, FLOATS).kind != asked(large, FLOATS).kind


def test_an_optional_integer_may_be_null() -> None:
    columns = (Column("l", DataType.LONG, False), Column("i", DataType.INTEGER, False))
    signature = Signature(Schema(columns))
    for told in (
        {"dataframe_records": [{"l": 2**53 + 1, "i": 1}, {"l": None}]},
        {"dataframe_split": {"columns": ["i", "l"], "data": [[1, 2**53 + 1], [None, None]]}},
        {"inputs": {"l": [2**53 + 1, None], "i": [1, None]}},
        {"instances": [[2**53 + 1, 1], [None, None]]},
        f"l,i\n{2**53 + 1},1\n,\n",
    ):
        made = _fitting(told, signature)
        assert made.dtypes.astype(str).tolist() == ["Int64", "Int32"], told
        assert made["l"].tolist() == [2**53 + 1, pd.NA], told
    required = Signature(Schema((Column("l", DataType.LONG),)))
    with pytest.raises(SchemaError, match="column 'l', row 1: a value is missing"):
        _fitting({"dataframe_records": [{"l": 1}, {"l": None}]}, required)
    with pytest.raises(SchemaError, match=r"column 'l', row 1: 1.5 is double, not long"):
        _fitting({"dataframe_records": [{"l": 1}, {"l": 1.5}]}, required)


def test_dates_and_bytes_of_csv_may_look_like_numbers() -> None:
    columns = (Column("t", DataType.DATETIME), Column("b", DataType.BINARY))
    made = _fitting("t,b\n20200101,1234\n,\n", Signature(Schema(columns)))
    assert made["t"].tolist() == [pd.Timestamp("2020-01-01"), pd.NaT]
    assert made["b"].iloc[0] == b"\xd7m\xf8"


def test_tensors() -> None:
    for form in ("inputs", "instances"):
        made = data({form: [[1, 2], [3, 4]]})
        assert isinstance(made, np.ndarray)
        assert made.tolist() == [[1, 2], [3, 4]]
    columns = data({"inputs": {"x": [[1.0], [2.0]], "y": [3, 4]}})
    rows = data({"instances": [{"x": [1.0], "y": 3}, {"x": [2.0], "y": 4}]})
    for made in (columns, rows):
        assert made["x"].shape == (2, 1)
        assert made["y"].tolist() == [3, 4]
    assert data({"inputs": [[1, 2]]}, TENSOR).tolist() == [[1, 2]]


@pytest.mark.parametrize("told", [{"instances": [LONG, "b"]}, {"inputs": {"x": [[LONG], ["b"]]}}])
def test_a_long_text_takes_its_length_once(told: Any) -> None:
    made = data(told)
    made = made["x"] if isinstance(made, dict) else made
    assert made.nbytes < len(LONG)
    assert made.ravel().tolist() == [LONG, "b"]


@pytest.mark.parametrize("dtype", ["float32", "str"])
def test_a_long_text_fits_no_tensor_of_the_signature(dtype: str) -> None:
    signature = Signature(Schema((Tensor(None, dtype, (-1,)),)))
    texts = [LONG] + [""] * 20_000
    with pytest.raises(SchemaError, match=r"not float32|too long"):
        enforce(signature.inputs, data({"instances": texts}, signature))


def test_texts_are_joined_with_texts_alone() -> None:
    short, long, mixed = (asked({"instances": told}) for told in (["a"], [LONG], ["a", 1]))
    assert short.kind == long.kind is not None
    assert short.joined([long]).tolist() == ["a", LONG]
    assert mixed.kind is None
    assert mixed.joined([]).tolist() == ["a", 1]


def test_csv() -> None:
    body = b"a,s,n,b,e\r\n1,01,1.5,true,\r\n-2,02,,false,\r\n"
    table = parsed(body, "text/csv", None).input.joined([])
    assert table["a"].tolist() == [1, -2]
    assert table["s"].tolist() == [1, 2]
    assert table["n"].iloc[0] == 1.5
    assert table["n"].isna().tolist() == [False, True]
    assert table["b"].tolist() == [True, False]
    assert table["e"].isna().all()
    texts = parsed(body, "text/csv; charset=utf-8", COLUMNS).input.joined([])
    assert texts["s"].tolist() == ["01", "02"]  # as the signature has it
    for text in ("1_0", "\u0661", "\u0661.5", "\uff11"):  # numbers to Python alone
        for signature in (None, COLUMNS):
            body = f"a,s\n{text},x\n".encode()
            assert parsed(body, "text/csv", signature).input.joined([])["a"].tolist() == [text]


def test_an_empty_object_lacks_what_the_signature_wants() -> None:
    for signature, problem in (
        (COLUMNS, "columns 'a', 's' are missing"),
        (Signature(Schema((Tensor("x", "float32", (-1, 2)),))), "tensor 'x' is missing"),
        (TENSOR, "a dict is no tensor"),
    ):
        found = asked({"inputs": {}}, signature)
        assert len(found)
        with pytest.raises(SchemaError, match=problem):
            enforce(signature.inputs, found.joined([]))
    optional = Signature(Schema((Column("a", DataType.DOUBLE, required=False),)))
    assert not len(asked({"inputs": {}}, optional))
    assert not len(asked({"inputs": {}}))


WRONG = [
    (b"{", 400, "no JSON"),
    (b"[" * 100_000, 400, "no JSON"),
    (b"[1]", 400, "one of dataframe_split"),
    (b"{}", 400, "it has none"),
    (b'{"inputs": [1], "instances": [1]}', 400, "instances and inputs"),
    (b'{"inputs": [1], "parms": {}}', 400, "'parms'"),
    (b'{"inputs": [1], "inputs": [2]}', 400, "unclear: name 'inputs' is there twice in one object"),
    (b'{"dataframe_records": [{"a": 1, "b": 1, "a": 1}]}', 400, "name 'a' is there twice"),
    (b'{"inputs": [1], "params": 3}', 400, "params must be"),
    (b'{"dataframe_split": [1]}', 422, "dataframe_split must be"),
    (
        b'{"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}}',
        422,
        "row 1 has 2 values, there are 1",
    ),
    (b'{"dataframe_split": {"columns": ["a"], "data": [3]}}', 422, "row 0 is no list"),
    (b'{"dataframe_split": {"columns": ["a", "a"], "data": []}}', 422, "column 'a' is there twice"),
    (b'{"dataframe_split": {"columns": [null], "data": []}}', 422, "columns must be"),
    (b'{"dataframe_records": [1]}', 422, "a list of objects"),
    (b'{"instances": 3}', 422, "instances must be a list"),
    (b'{"instances": [{"x": 1}, {"y": 1}]}', 422, "the same names"),
    (b'{"inputs": [[1], [1, 2]]}', 422, "inputs is no tensor"),
    (b'{"inputs": {"x": [[1], [1, 2]]}}', 422, "inputs, 'x' is no tensor"),
    (b'{"inputs": [["a"], ["b", "c"]]}', 422, "inputs is no tensor"),
    (b'{"inputs": ["a", ["b"]]}', 422, "inputs is no tensor"),
]


@pytest.mark.parametrize(("body", "status", "problem"), WRONG)
def test_wrong_bodies_say_where(body: bytes, status: int, problem: str) -> None:
    with pytest.raises(Refused) as refused:
        parsed(body, "application/json", None)
    assert refused.value.status == status
    assert problem in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        (b"", 400, "no line with the columns' names"),
        (b"a,b\n1\n", 400, "row 0 of the CSV has 1 values, its first line 2 names"),
        (b"a,a\n1,2\n", 422, "column 'a' is there twice"),
        (b"a\n\xff\n", 400, "no CSV in UTF-8"),
        (b'a\n"x', 400, "no CSV"),
    ],
)
def test_wrong_csv_says_where(body: bytes, status: int, problem: str) -> None:
    with pytest.raises(Refused) as refused:
        parsed(body, "text/csv", None)
    assert (refused.value.status, problem in refused.value.message) == (status, True), refused.value.message


SPARSE = [{f"k{i}": i} for i in range(1000)]


def test_records_that_make_a_wide_and_empty_table_are_refused() -> None:
    with pytest.raises(Refused, match="1000 rows of 1000 names") as refused:
        asked({"dataframe_records": SPARSE})
    assert refused.value.status == 422
    assert len(asked({"dataframe_records": SPARSE[:500]})) == 500


def test_one_rows_values_are_one_row() -> None:
    assert len(asked(ROW, COLUMNS)) == 1
    assert len(asked({"inputs": "some text"})) == 1


def test_of_records_only_the_signatures_columns_are_taken() -> None:
    rows = [{"a": 1.5, "s": "x", **more} for more in SPARSE]
    table = asked({"dataframe_records": rows}, COLUMNS)
    assert table.names == ("a", "s")
    assert table.rows == [[1.5, "x"]] * 1000
    assert asked({"instances": [{"a": 1.5, "t": "x"}]}, COLUMNS).names == ("a", "t")  # the error names t


class Name(str):
    """Counts how often it is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return str.__eq__(self, other)


@pytest.mark.parametrize("schema", [Schema(tuple(Column(f"n{i}", DataType.DOUBLE) for i in range(500)))])
def test_a_name_that_is_there_twice_is_found_at_once(schema: Schema) -> None:
    names = [Name(f"n{i}") for i in range(500)] + [Name("n499")]
    for check in (lambda: inputs._none_twice(names), lambda: columns._no_wanted_twice(schema, names)):
        Name.compared = 0
        with pytest.raises((Refused, SchemaError), match="'n499' is there twice"):
            check()
        assert Name.compared < 10 * len(names)


def test_another_content_type() -> None:
    for other in ("", "text/plain", "application/x-www-form-urlencoded"):
        with pytest.raises(Refused) as refused:
            parsed(b"{}", other, None)
        assert refused.value.status == 415


def test_only_what_stays_as_it_is_alone_may_be_joined() -> None:
    def kind(*row: Any, names: tuple[str, ...] = ("a", "b")) -> object:
        return Rows.of(names, [row]).kind

    assert kind(1.0, "x") == kind(2.5, "y")
    assert kind(1.0, "x") != kind(1, "x")  # integers would become floats
    assert kind(1.0, "x") != kind(None, "x")
    assert kind(1.0, "x") != kind(1.0, "x", names=("b", "a"))
    assert kind(2**64, 1) is None
    ones, ints = (Tensors({None: np.array([[1, 2]], kind)}) for kind in ("float32", "int64"))
    assert ones.kind != ints.kind
    assert ones.kind == Tensors({None: np.ones((3, 2), "float32")}).kind
    assert ones.kind != Tensors({None: np.ones((3, 3), "float32")}).kind
    assert Tensors({None: np.array(3)}).kind is None
    assert Tensors({"x": np.ones(2), "y": np.ones(3)}).kind is None


def test_joint_rows_are_those_of_all() -> None:
    tables = [asked({"dataframe_records": [{"a": 1.5, "s": "x"}] * n}) for n in (1, 2)]
    pd.testing.assert_frame_equal(
        tables[0].joined(tables[1:]), pd.DataFrame({"a": [1.5] * 3, "s": ["x"] * 3}, columns=["a", "s"])
    )
    tensors = [asked({"inputs": [[n, n]]}) for n in (1, 2, 3)]
    assert tensors[0].joined(tensors[1:]).tolist() == [[1, 1], [2, 2], [3, 3]]
