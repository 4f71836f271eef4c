"""Writes mlflow_signatures.json, by a Python that has mlflow (3.17.2 made it): `python make_golden.py`."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from frames import every_kind  # beside it
from mlflow.models import ModelSignature, infer_signature
from mlflow.models.utils import _Example, convert_input_example_to_serving_input
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property
from scipy.sparse import csc_matrix, csr_matrix

SCALARS = [ColSpec(kind, kind.name) for kind in DataType]
NESTED = [
    ColSpec(Array(DataType.string), "list", required=False),
    ColSpec(Array(Array(DataType.double)), "lists"),
    ColSpec(
        Object(
            [
                Property(
                    "b", Array(Object([Property("z", DataType.datetime, required=False)])), required=False
                ),
                Property("a", DataType.long),
            ]
        ),
        "object",
    ),
    ColSpec(Map(DataType.double), "map"),
    ColSpec(Map(Map(Array(DataType.binary))), "maps"),
    ColSpec(AnyType(), "any", required=False),
]
TENSORS = [
    TensorSpec(np.dtype("float32"), (-1, 28, 28, 1), "image"),
    TensorSpec(np.dtype("str"), (-1,), "text"),
    TensorSpec(np.dtype("datetime64[ns]"), (-1, 2), "when"),
]
PARAMS = [
    ParamSpec("temperature", DataType.double, 1.5),
    ParamSpec("stop", DataType.string, ["a", "b"], shape=(-1,)),
    ParamSpec("since", DataType.datetime, dt.datetime(2020, 1, 2, 3, 4, 5)),
    ParamSpec("nothing", DataType.string, None),
    ParamSpec("settings", Object([Property("k", DataType.long)]), {"k": 1}),
]
SIGNATURES = {
    "scalars": ModelSignature(Schema(SCALARS), Schema([ColSpec(DataType.long)])),
    "nested": ModelSignature(Schema(NESTED)),
    "tensors": ModelSignature(Schema(TENSORS), Schema([TensorSpec(np.dtype("int64"), (-1,))])),
    "params": ModelSignature(Schema([ColSpec("double", "x")]), params=ParamSchema(PARAMS)),
    "numbered": infer_signature(pd.DataFrame(np.zeros((2, 2)))),
    "frame": infer_signature(
        every_kind(), np.zeros((2, 3), "float32"), params={"a": 1.5, "l": [1, 2], "i": np.int32(1)}
    ),
    "records": infer_signature([{"a": 1, "b": "x"}, {"a": 2}]),
    "record": infer_signature({"a": 1, "b": ["x"], "c": {"k": [1.0]}}),
    "texts": infer_signature(["a", "b"], "c"),
    "arrays": infer_signature({"a": np.zeros((3, 2)), "b": np.array(["x", "y"])}),
}

EXAMPLES = {
    "frame": every_kind()[["f64", "text", "when", "bytes", "lists", "records"]],
    "unnamed": pd.DataFrame(np.zeros((2, 2))),
    "array": np.array([[1.5, np.nan]]),
    "texts": np.array(["a", "b"]),
    "arrays": {"a": np.zeros((2, 2)), "b": np.array(["x", "y"])},
    "records": [{"a": 1}, {"a": 2}],
    "text": "hello",
    "csr": csr_matrix(np.eye(3)),
    "csc": csc_matrix(np.eye(3)),
    "params": (pd.DataFrame({"a": [1]}), {"k": 1.5}),
    "array_params": ({"a": np.array([1.0])}, {"k": 1.5}),
}
"""`test_examples` makes the same of them."""


def example(data: Any) -> dict[str, Any]:
    made = _Example(data)
    with TemporaryDirectory() as folder:
        made.save(folder)
        content = json.loads(Path(folder, "input_example.json").read_text())
    return {
        "info": made.info,
        "content": content,
        "serving": json.loads(convert_input_example_to_serving_input(data)),
    }


if __name__ == "__main__":
    told = {name: signature.to_dict() for name, signature in SIGNATURES.items()}
    examples = {name: example(data) for name, data in EXAMPLES.items()}
    text = json.dumps({"mlflow": mlflow.__version__, "signatures": told, "examples": examples}, indent=1)
    Path(__file__).with_name("mlflow_signatures.json").write_text(text + "\n")
