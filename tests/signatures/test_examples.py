"""Examples of a model's input: as MLflow writes them, and read again as what the model gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch
import xgboost

from autotrack.errors import ModelError, SchemaError
from autotrack.signatures import infer
from autotrack.signatures.enforcing import enforce
from autotrack.signatures.examples import example_of, read_example

from .frames import every_kind

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("mlflow_signatures.json").read_text())[
    "examples"
]

SOME = every_kind()[["f64", "text", "when", "bytes", "lists", "records"]]
EXAMPLES: dict[str, tuple[Any, dict[str, Any] | None]] = {
    "frame": (SOME, None),
    "unnamed": (pd.DataFrame(np.zeros((2, 2))), None),
    "array": (np.array([[1.5, np.nan]]), None),
    "texts": (np.array(["a", "b"]), None),
    "arrays": ({"a": np.zeros((2, 2)), "b": np.array(["x", "y"])}, None),
    "records": ([{"a": 1}, {"a": 2}], None),
    "text": ("hello", None),
    "csr": (sp.csr_matrix(np.eye(3)), None),
    "csc": (sp.csc_matrix(np.eye(3)), None),
    "params": (pd.DataFrame({"a": [1]}), {"k": 1.5}),
    "array_params": ({"a": np.array([1.0])}, {"k": 1.5}),
}


def same(content: Any) -> Any:
    """Where MLflow writes NaN, which is no JSON, and ends base64 with a line, we do not."""
    if isinstance(content, dict):
        return {name: same(value) for name, value in content.items()}
    if isinstance(content, list):
        return [same(value) for value in content]
    if isinstance(content, str):
        return content.rstrip("\n").removesuffix(".000000")
    return None if content != content else content


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_is_what_mlflow_writes(name: str) -> None:
    data, params = EXAMPLES[name]
    made, golden = example_of(data, params), GOLDEN[name]
    assert made is not None
    files = {path: json.loads(text) for path, text in made.files().items()}
    assert made.info == golden["info"]
    assert same(files["input_example.json"]) == same(golden["content"])
    assert same(files["serving_input_example.json"]) == same(golden["serving"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_mlflow_wrote_is_read_as_what_the_model_gets(name: str, tmp_path: Path) -> None:
    data, params = EXAMPLES[name]
    (tmp_path / "input_example.json").write_text(json.dumps(GOLDEN[name]["content"]))
    signature = infer(data)
    found, with_params = read_example(tmp_path, GOLDEN[name]["info"], signature)
    assert with_params == params
    assert_same(found, enforce(signature.inputs, data))
    read_example(tmp_path, GOLDEN[name]["info"])  # without one there is less to hold it to


def assert_same(found: Any, data: Any) -> None:
    if isinstance(data, pd.DataFrame):
        pd.testing.assert_frame_equal(found, data)
    elif isinstance(data, dict):
        assert found.keys() == data.keys()
        for name in data:
            np.testing.assert_array_equal(found[name], data[name])
    elif sp.issparse(data):
        assert found.format == data.format
        np.testing.assert_array_equal(found.toarray(), data.toarray())
    else:
        np.testing.assert_array_equal(found, data)


TABLE = {"a": [1, None, 3], "s": ["x", "y", "z"]}
FORMS = {
    "polars": pl.DataFrame(TABLE),
    "Arrow": pa.table(TABLE),
    "pandas": pd.DataFrame({"a": pd.array(TABLE["a"], "Int64"), "s": TABLE["s"]}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_table_makes_the_same_example(form: str, tmp_path: Path) -> None:
    made = example_of(FORMS[form], rows=2)
    assert made is not None
    assert made.content == {"columns": ["a", "s"], "data": [[1, "x"], [None, "y"]]}
    for path, text in made.files().items():
        (tmp_path / path).write_bytes(text)
    found, _ = read_example(tmp_path, made.info, infer(FORMS[form]))
    assert found["a"].tolist() == [1, pd.NA]
    assert found["s"].tolist() == ["x", "y"]


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((9, 2)),
        torch.zeros(9, 2, dtype=torch.bfloat16),
        [[0.0, 0.0]] * 9,
        sp.csr_matrix((9, 2)),
        pd.DataFrame(np.zeros((9, 2))),
        {"a": np.zeros(9)},
    ],
)
def test_the_first_rows_are_enough(data: Any) -> None:
    made = example_of(data)
    assert made is not None
    sent = next(iter(made.serving.values()))
    rows = sent.get("data", sent.get("a")) if isinstance(sent, dict) else sent
    assert len(rows) == 5


def test_of_large_rows_fewer_are_kept_and_of_too_large_ones_none() -> None:
    data = np.zeros((5, 1000))
    made = example_of(data, most_bytes=60_000)
    assert made is not None
    assert len(made.content) == 2
    assert example_of(data, most_bytes=1000) is None


@pytest.mark.parametrize("data", [xgboost.DMatrix(np.zeros((2, 2))), [object()], {"a": 1j}])
def test_what_makes_no_example(data: Any) -> None:
    with pytest.raises(SchemaError):
        example_of(data)


INFO = {"artifact_path": "input_example.json", "type": "dataframe", "pandas_orient": "split"}
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "elsewhere": (INFO | {"artifact_path": "../secret.json"}, "{}", "is no file of the model"),
    "absolute": (INFO | {"artifact_path": "/etc/passwd"}, "{}", "is no file of the model"),
    "no path": ({"type": "dataframe"}, "{}", "is no file of the model"),
    "not there": (INFO | {"artifact_path": "other.json"}, "{}", "the model has no input example other.json"),
    "no JSON": (INFO, "{", "cannot be read"),
    "far too deep": (INFO, "[" * 100_000, "cannot be read"),
    "no table": (INFO, "[1]", "is no table of columns and data"),
    "uneven": (INFO, '{"columns": ["a"], "data": [[1, 2]]}', "rows are not of one length"),
    "unknown": (INFO | {"type": "pickle"}, "{}", "an input example of the type 'pickle' is not known"),
    "no params": (INFO | {"params": "true"}, "{}", "has no inputs and params"),
    "not sparse": (INFO | {"type": "sparse_matrix_csr"}, '{"data": 1}', "is no sparse matrix"),
    "no array": (INFO | {"type": "ndarray"}, "[[1], [1, 2]]", "is no array"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_example_is_a_model_error(case: str, tmp_path: Path) -> None:
    info, text, problem = WRONG[case]
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.json").write_text("{}")
    (folder / "input_example.json").write_text(text)
    with pytest.raises(ModelError, match=problem):
        read_example(folder, info)


def test_a_link_out_of_the_model_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"columns": ["a"], "data": [[1]]}')
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "input_example.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(ModelError, match="the model has no input example"):
        read_example(tmp_path / "model", INFO)


ODD: dict[str, tuple[Any, Any]] = {
    "long doubles": (np.array([1, 2], np.longdouble), [1.0, 2.0]),
    "a sparse diagonal": (
        sp.dia_matrix(np.eye(2)),
        {"data": [1.0, 1.0], "indices": [0, 1], "indptr": [0, 1, 2], "shape": [2, 2]},
    ),
    "an index": (pd.Index([1, 2], name="i"), {"columns": ["i"], "data": [[1], [2]]}),
    "lists of Arrow's in pandas": (
        pd.DataFrame({"c": pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64())))}),
        {"columns": ["c"], "data": [[[1]], [None]]},
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_data_makes_an_example(name: str) -> None:
    data, content = ODD[name]
    made = example_of(data)
    assert made is not None
    assert made.content == content


def test_what_holds_itself_makes_no_example() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    for data in (cycle, pd.DataFrame({"a": [cycle]}, dtype=object)):
        with pytest.raises(SchemaError, match="holds itself"):
            example_of(data)
