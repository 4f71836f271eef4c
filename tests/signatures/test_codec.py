"""Signatures as they stand in an MLmodel: what MLflow wrote is read, and written as it wrote it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotrack.errors import ModelError, SchemaError
from autotrack.signatures import (
    Array,
    Column,
    DataType,
    Map,
    Object,
    Param,
    Property,
    Schema,
    Signature,
    Tensor,
    from_mlmodel,
    to_mlmodel,
)

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("mlflow_signatures.json").read_text())[
    "signatures"
]


@pytest.mark.parametrize("name", GOLDEN)
def test_what_mlflow_wrote_is_read_and_written_again_as_it_was(name: str) -> None:
    assert to_mlmodel(from_mlmodel(GOLDEN[name])) == GOLDEN[name]


def columns(*columns: Column) -> Schema:
    return Schema(columns)


def test_what_mlflow_wrote_means_what_it_says() -> None:
    read = {name: from_mlmodel(text) for name, text in GOLDEN.items()}
    assert read["scalars"].inputs == columns(*(Column(t.value, t) for t in list(DataType)[:8]))
    assert read["scalars"].outputs == columns(Column(None, DataType.LONG))
    inner = Object((Property("z", DataType.DATETIME, required=False),))
    assert read["nested"].inputs == columns(
        Column("list", Array(DataType.STRING), required=False),
        Column("lists", Array(Array(DataType.DOUBLE))),
        Column("object", Object((Property("a", DataType.LONG), Property("b", Array(inner), required=False)))),
        Column("map", Map(DataType.DOUBLE)),
        Column("maps", Map(Map(Array(DataType.BINARY)))),
        Column("any", DataType.ANY, required=False),
    )
    assert read["tensors"].inputs == Schema(
        (
            Tensor("image", "float32", (-1, 28, 28, 1)),
            Tensor("text", "str", (-1,)),
            Tensor("when", "datetime64[ns]", (-1, 2)),
        )
    )
    assert read["params"].params == (
        Param("temperature", DataType.DOUBLE, 1.5),
        Param("stop", DataType.STRING, ["a", "b"], (-1,)),
        Param("since", DataType.DATETIME, dt.datetime(2020, 1, 2, 3, 4, 5)),
        Param("nothing", DataType.STRING),
        Param("settings", Object((Property("k", DataType.LONG),)), {"k": 1}),
    )


def test_how_a_training_had_its_columns_is_told_beside_mlflows_form() -> None:
    columns = (
        Column("a", DataType.STRING, False, "None"),
        Column("b", DataType.LONG),
        Column("c", DataType.BOOLEAN, False, "NaN"),
    )
    written = to_mlmodel(Signature(Schema(columns)))
    assert written["autotrack"] == '{"missing": {"NaN": [2], "None": [0]}}'
    found = from_mlmodel(written).inputs
    assert found is not None
    assert [c.missing for c in found.columns] == ["None", "", "NaN"]
    alone = to_mlmodel(Signature(Schema(columns[1:2], is_series=True)))
    assert from_mlmodel(alone).inputs.is_series  # type: ignore[union-attr]
    assert "autotrack" not in to_mlmodel(Signature(Schema(columns[1:2])))


@pytest.mark.parametrize("told", [1, "{", "[]", '{"missing": 1}', '{"missing": {"None": 1}}'])
def test_what_is_told_wrong_of_the_training(told: Any) -> None:
    written = to_mlmodel(Signature(Schema((Column("a", DataType.LONG),))))
    with pytest.raises(ModelError, match=r"signature\.autotrack: it tells of no such columns"):
        from_mlmodel({**written, "autotrack": told})
    two = to_mlmodel(Signature(Schema((Column("a", DataType.LONG), Column("b", DataType.LONG)))))
    with pytest.raises(ModelError, match="a series is one column"):
        from_mlmodel({**two, "autotrack": '{"series": true}'})


def test_what_older_mlflow_called_optional() -> None:
    read = from_mlmodel({"inputs": '[{"name": "a", "type": "long", "optional": true}]'}).inputs
    assert read == columns(Column("a", DataType.LONG, required=False))


# --- anything that can be said ----------------------------------------------------------------------

names = st.text(min_size=1, max_size=8)


def objects(kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[Object]:
    properties = st.builds(Property, names, kinds, st.booleans())
    return st.lists(properties, min_size=1, max_size=3, unique_by=lambda p: p.name).map(
        lambda some: Object(tuple(some))
    )


types = st.recursive(
    st.sampled_from(DataType),
    lambda kinds: st.one_of(kinds.map(Array), kinds.map(Map), objects(kinds)),
    max_leaves=6,
)
shapes = st.lists(st.integers(-1, 9), max_size=4).map(tuple)
dtypes = st.sampled_from(["float32", "float16", "int8", "uint64", "bool", "str", "bytes", "datetime64[ns]"])
named_columns = st.lists(
    st.builds(Column, st.one_of(names, st.integers(0, 9)), types, st.booleans()),
    min_size=1,
    max_size=5,
    unique_by=lambda c: c.name,
)
unnamed_columns = st.lists(st.builds(Column, st.none(), types), min_size=1, max_size=3)
named_tensors = st.lists(
    st.builds(Tensor, names, dtypes, shapes), min_size=1, max_size=3, unique_by=lambda t: t.name
)
one_tensor = st.builds(Tensor, st.none(), dtypes, shapes).map(lambda t: [t])
schemas = st.one_of(named_columns, unnamed_columns, named_tensors, one_tensor).map(lambda f: Schema(tuple(f)))
params = st.lists(
    st.one_of(
        st.builds(Param, names, st.just(DataType.DOUBLE), st.floats(allow_nan=False, allow_infinity=False)),
        st.builds(Param, names, st.just(DataType.LONG), st.lists(st.integers()), st.just((-1,))),
        st.builds(Param, names, st.just(DataType.STRING), st.one_of(st.none(), st.text())),
        st.builds(Param, names, st.just(DataType.DATETIME), st.datetimes()),
    ),
    max_size=3,
    unique_by=lambda p: p.name,
).map(tuple)
signatures = st.builds(Signature, st.one_of(st.none(), schemas), st.one_of(st.none(), schemas), params)


@given(signatures)
def test_every_signature_comes_back_and_is_one_line(signature: Signature) -> None:
    assert from_mlmodel(to_mlmodel(signature)) == signature
    assert len(str(signature).splitlines()) == 1


keys = st.sampled_from(["type", "name", "items", "values", "properties", "tensor-spec", "dtype", "shape"])
leaves = st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["long", "array", "tensor"])
nodes = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner), max_leaves=12
)


@given(nodes)
def test_any_other_json_is_a_signature_or_a_model_error_of_one_line(nodes: Any) -> None:
    problem = ""
    try:
        from_mlmodel({"inputs": json.dumps(nodes), "params": json.dumps(nodes)})
    except ModelError as error:
        problem = str(error)
    assert len(problem.splitlines()) <= 1


DEEP = '{"type":"array","items":' * 300 + '{"type":"long"}' + "}" * 300
WRONG = {
    "no text": ({"inputs": [{"type": "long"}]}, "signature.inputs: a text of JSON is wanted, not a list"),
    "no JSON": ({"inputs": "[{"}, "signature.inputs: no JSON: "),
    "no list": ({"outputs": "{}"}, "signature.outputs: a list is wanted, not an object"),
    "no columns": ({"inputs": "[]"}, "signature.inputs: a schema has neither columns nor tensors"),
    "no object": ({"inputs": '["long"]'}, "signature.inputs[0]: an object is wanted, not a text"),
    "no type": ({"inputs": '[{"name": "a"}]'}, "signature.inputs[0].type: it is missing"),
    "another type": ({"inputs": '[{"type": "int"}]'}, "signature.inputs[0].type: 'int' is none of boolean, "),
    "no items": (
        {"inputs": '[{"type": "long"}, {"type": "array"}]'},
        "signature.inputs[1].items: it is missing",
    ),
    "inside": (
        {"inputs": '[{"type":"object","properties":{"a":{"type":"map","values":{"type":"x"}}}}]'},
        "signature.inputs[0].properties.a.values.type: 'x' is none of",
    ),
    "no properties": (
        {"inputs": '[{"type": "object", "properties": {}}]'},
        "signature.inputs[0].properties: an object has no properties",
    ),
    "required": (
        {"inputs": '[{"type": "long", "required": 1}]'},
        "signature.inputs[0].required: true or false is wanted, not a number",
    ),
    "name twice": (
        {"inputs": '[{"type": "long", "name": "a"}, {"type": "long", "name": "a"}]'},
        "signature.inputs: the field 'a' is there twice",
    ),
    "some named": ({"inputs": '[{"type": "long", "name": "a"}, {"type": "long"}]'}, "without a name beside"),
    "unnamed, optional": (
        {"inputs": '[{"type": "long", "required": false}]'},
        "without a name is not required",
    ),
    "both kinds": (
        {"inputs": '[{"type": "long"}, {"type": "tensor", "tensor-spec": {"dtype": "int8", "shape": [1]}}]'},
        "signature.inputs: a schema mixes columns and tensors",
    ),
    "no spec": ({"inputs": '[{"type": "tensor"}]'}, "signature.inputs[0].tensor-spec: it is missing"),
    "no dtype": (
        {"inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float33", "shape": [-1]}}]'},
        "signature.inputs[0].tensor-spec.dtype: numpy knows no 'float33'",
    ),
    "structured": (
        {"inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "i4,i4", "shape": [-1]}}]'},
        "signature.inputs[0].tensor-spec.dtype: numpy knows no 'i4,i4'",
    ),
    "no shape": (
        {"inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "int8"}}]'},
        "signature.inputs[0].tensor-spec.shape: it is missing",
    ),
    "shape": (
        {"inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "int8", "shape": [-2]}}]'},
        "signature.inputs[0].tensor-spec.shape: lengths are wanted, or -1, not [-2]",
    ),
    "too deep": ({"inputs": f"[{DEEP}]"}, "types are more than 50 deep in each other"),
    "far too deep": ({"inputs": "[" * 100_000}, "signature.inputs: no JSON"),
    "param unnamed": ({"params": '[{"type": "long"}]'}, "signature.params[0].name: it is missing"),
    "param twice": (
        {"params": '[{"name": "a", "type": "long"}, {"name": "a", "type": "long"}]'},
        "signature.params: the parameter 'a' is there twice",
    ),
    "no date": (
        {"params": '[{"name": "a", "type": "datetime", "default": "soon"}]'},
        "signature.params[0].default: 'soon' is no datetime",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_json_is_an_error_that_names_the_place(case: str) -> None:
    text, problem = WRONG[case]
    with pytest.raises(ModelError) as caught:
        from_mlmodel(text)
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 300


def test_what_is_no_mapping() -> None:
    with pytest.raises(ModelError, match="signature: a mapping is wanted, not a text"):
        from_mlmodel("inputs")  # type: ignore[arg-type]


def test_names_twice_are_refused_where_a_signature_is_made() -> None:
    with pytest.raises(SchemaError, match="the property 'a' is there twice") as caught:
        Object((Property("a", DataType.LONG), Property("a", DataType.LONG)))
    assert caught.value.column == "a"


def test_a_signature_reads_in_one_line() -> None:
    inputs = columns(
        Column("age", DataType.LONG, required=False),
        Column("tags", Array(DataType.STRING)),
        Column(
            "who", Object((Property("id", DataType.LONG), Property("mail", DataType.STRING, required=False)))
        ),
        Column("scores", Map(DataType.DOUBLE)),
    )
    signature = Signature(
        inputs, Schema((Tensor(None, "float32", (-1, 3)),)), (Param("k", DataType.LONG, 5),)
    )
    assert str(signature) == (
        "(age: long?, tags: [string], who: {id: long, mail: string?}, scores: {*: double}; k: long = 5)"
        " → float32[*, 3]"
    )
    assert str(Signature()) == "(?) → ?"
