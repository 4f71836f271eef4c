"""ONNX models: kept as they are, run by onnxruntime, and made of other libraries' models."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
import xgboost
from onnx import TensorProto, helper, numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import autotrack
from autotrack.errors import ModelError
from autotrack.flavor import ModelFolder, NotKept
from autotrack.models.onnx import FILE, OnnxFlavor
from autotrack.testing import FlavorConformance

from .folders import loaded
from .forging import Touch

X, Y = make_classification(80, 6, random_state=0)
X = X.astype("float32")
LIMIT = 64 << 20
flavor = OnnxFlavor()


def linear(weights: Any = None) -> Any:
    """x @ weights, of any number of rows."""
    weights = np.arange(12, dtype="float32").reshape(4, 3) if weights is None else weights
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class TestLinear(FlavorConformance):
    flavor = OnnxFlavor

    def model(self) -> Any:
        return linear()

    def data(self) -> Any:
        return X[:, :4]

    def change(self, model: Any) -> None:
        model.graph.initializer[0].raw_data = np.ones(12, "float32").tobytes()

    def predict(self, model: Any, data: Any) -> Any:
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(model).run(None, {"x": data})[0]

    def assert_same(self, found: Any, expected: Any) -> None:
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def load(files: dict[str, bytes]) -> Any:
    return loaded(flavor, files, {"data": FILE})


# --- tensors in other files ---------------------------------------------------------------------------


def outside(**entries: Any) -> bytes:
    model = linear()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    data: bytes = model.SerializeToString()
    return data


WEIGHTS = np.arange(12, dtype="float32").tobytes()


def test_tensors_in_the_folder_are_read(tmp_path: Path) -> None:
    model = load({FILE: outside(location="w.bin", offset=4, length=48), "w.bin": b"1234" + WEIGHTS + b"5"})
    assert model == linear()


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../w.bin", "sub/../../w.bin", "", ".", "other.bin", "..\\w.bin", "w.bin\0"]
)
def test_a_path_out_of_the_folder_is_refused(location: str) -> None:
    with pytest.raises(ModelError, match="none of its files"):
        load({FILE: outside(location=location), "w.bin": WEIGHTS})


@pytest.mark.parametrize(
    "entries",
    [{"offset": -4}, {"offset": 44, "length": 8}, {"length": 1 << 60}, {"offset": "x"}, {"length": -1}],
)
def test_bytes_that_are_not_there_are_an_error(entries: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="not there"):
        load({FILE: outside(location="w.bin", **entries), "w.bin": WEIGHTS})


def test_a_file_is_read_once_and_not_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    plain = ModelFolder.read
    monkeypatch.setattr(ModelFolder, "read", lambda self, name: read.append(name) or plain(self, name))
    model = onnx.ModelProto.FromString(outside(location="w.bin", length=48))
    first = next(one for one in model.graph.initializer if one.external_data)
    for _ in range(3):
        model.graph.initializer.add().CopyFrom(first)
    load({FILE: model.SerializeToString(), "w.bin": WEIGHTS})
    assert read.count("w.bin") == 1
    model.graph.initializer.add().CopyFrom(first)
    with pytest.raises(ModelError, match="more than 4 times"):
        load({FILE: model.SerializeToString(), "w.bin": WEIGHTS})


def test_a_tensor_deep_inside_is_found() -> None:
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    constant = helper.make_node("Constant", [], ["c"])
    constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)
    branch = helper.make_graph([constant], "branch", [], [helper.make_tensor_value_info("c", 1, [1])])
    model = linear()
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=branch))
    with pytest.raises(ModelError, match="none of its files"):
        load({FILE: model.SerializeToString()})


def test_a_model_whose_tensors_are_elsewhere_is_not_kept() -> None:
    model = onnx.ModelProto.FromString(outside(location="w.bin"))
    with pytest.raises(NotKept, match=r"onnx\.load"):
        flavor.freeze(model, LIMIT)


# --- what is none -------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", pickle.dumps(Touch("never")), b"\xff" * 30, b"PK\x03\x04"])
def test_what_is_no_onnx_model_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="no ONNX model"):
        load({FILE: data})


def test_what_onnxruntime_cannot_run_is_an_error(tmp_path: Path) -> None:
    model = linear()
    model.graph.node[0].op_type = "NoSuch"
    autotrack.save_model(model, tmp_path / "m")
    with pytest.raises(ModelError, match="onnxruntime cannot run the model"):
        autotrack.load_predictor(tmp_path / "m").predict(X[:, :4])


@pytest.mark.parametrize("name", ["onnx", "onnxruntime"])
def test_a_library_that_is_absent_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    autotrack.save_model(linear(), tmp_path / "m")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModelError, match=rf"{name} is not installed: pip install 'autotrack\[onnx\]'"):
        autotrack.load_predictor(tmp_path / "m").predict(X[:, :4])


# --- asking -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [X[:, :4], X[:, :4].astype("float64"), pd.DataFrame(X[:, :4]), {"x": X[:, :4]}, X[:, :4].tolist()]
)
def test_data_of_any_kind(tmp_path: Path, data: Any) -> None:
    autotrack.save_model(linear(), tmp_path / "m")
    found = autotrack.load_predictor(tmp_path / "m").predict(data)
    assert np.allclose(found, X[:, :4] @ np.arange(12).reshape(4, 3), atol=1e-4)


def test_inputs_that_are_missing_are_named() -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["c"])],
        "add",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 1]) for name in "ab"],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, ["rows", 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = flavor.ready(model)
    with pytest.raises(ModelError, match="takes a, b, and the data lacks b"):
        flavor.predict(session, pd.DataFrame({"a": [1.0]}), {})
    found = flavor.predict(session, pd.DataFrame({"a": [1.0], "b": [2.0]}), {})
    assert found.tolist() == [[3.0]]


def test_its_outputs_are_known() -> None:
    outputs = flavor.outputs(linear())
    assert outputs.shape == (0, 3)
    assert outputs.dtype == np.float32


# --- made of others' models ---------------------------------------------------------------------------


def asked(model: Any, data: Any) -> Any:
    return flavor.predict(flavor.ready(autotrack.to_onnx(model, data)), data, {})


FRAME = pd.DataFrame({"n": X[:, 0], "c": np.where(X[:, 1] > 0, "x", "y")})
NUMBERS = pd.DataFrame(X.astype("float64"), columns=[*"abcdef"])
CLASSIFIERS: dict[str, tuple[Any, Any]] = {
    "linear": (LogisticRegression(), X),
    "linear in float64": (LogisticRegression(), X.astype("float64")),
    "forest": (RandomForestClassifier(5, random_state=0), X),
    "forest in float64": (RandomForestClassifier(5, random_state=0), X.astype("float64")),
    "forest of a table": (RandomForestClassifier(5, random_state=0), NUMBERS),
    "boosting": (GradientBoostingClassifier(n_estimators=3), X),
    "neighbours": (KNeighborsClassifier(), X),
    "pipeline": (make_pipeline(StandardScaler(), LogisticRegression()), X),
    "columns": (
        make_pipeline(
            ColumnTransformer([("n", StandardScaler(), ["n"]), ("c", OneHotEncoder(), ["c"])]),
            LogisticRegression(),
        ),
        FRAME,
    ),
    "xgboost": (xgboost.XGBClassifier(n_estimators=3), X),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("labels", [Y, np.arange(80) % 3])
def test_a_classifier_agrees(name: str, labels: Any) -> None:
    model, data = CLASSIFIERS[name]
    model.fit(data, labels)
    label, probabilities = asked(model, data).values()
    assert (label == model.predict(data)).all()
    assert np.allclose(probabilities, model.predict_proba(data), atol=1e-5)


@pytest.mark.parametrize("model", [Ridge(), RandomForestRegressor(3), xgboost.XGBRegressor(n_estimators=3)])
def test_a_regressor_agrees(model: Any) -> None:
    model.fit(X, X @ np.arange(6))
    assert np.allclose(asked(model, X).ravel(), model.predict(X), rtol=1e-4)


def test_a_model_that_disagrees_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Numbers that are the same in single precision are not once they are scaled."""
    data = np.array([[1e8], [1e8 + 1], [1e8 + 2], [1e8 + 3]])
    model = make_pipeline(StandardScaler(), DecisionTreeClassifier()).fit(data, [0, 1, 1, 1])
    autotrack.to_onnx(make_pipeline(StandardScaler(), Ridge()).fit(X, Y), X)
    assert not caplog.records
    autotrack.to_onnx(model, data)
    [record] = caplog.records
    assert "predicts otherwise than the original for 1 of 4 rows of the example" in record.getMessage()


def test_a_booster_agrees() -> None:
    data = xgboost.DMatrix(X, Y)
    booster = xgboost.train({"max_depth": 3, "objective": "reg:squarederror"}, data, 4)
    assert np.allclose(asked(booster, X).ravel(), booster.predict(data), atol=1e-5)


def test_a_torch_module_agrees_and_stays_as_it_is() -> None:
    module = torch.nn.Sequential(
        torch.nn.Linear(6, 8),
        torch.nn.BatchNorm1d(8),
        torch.nn.ReLU(),
        torch.nn.Dropout(),
        torch.nn.Linear(8, 3),
    )
    found = autotrack.to_onnx(module, X)
    assert all(one.training for one in module.modules())
    session = flavor.ready(found)
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(X)).numpy()
    for rows in (1, 5, 80):
        assert np.allclose(flavor.predict(session, X[:rows], {}), expected[:rows], atol=1e-5)


class Branches(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))


@pytest.mark.parametrize("module", [torch.nn.Linear(6, 3), Branches()])
def test_what_is_made_of_a_module_says_nothing_of_where(module: Any, tmp_path: Path) -> None:
    """Torch writes the lines of the source that each operation is of, and the paths of their files."""
    autotrack.save_model(autotrack.to_onnx(module, X), tmp_path / "model", input_example=X)
    files = [file for file in (tmp_path / "model").rglob("*") if file.is_file()]
    assert files
    for place in (str(Path.cwd()), str(Path(__file__).parent), sys.prefix, "stack_trace"):
        assert [file for file in files if place.encode() in file.read_bytes()] == []


@pytest.mark.parametrize(
    ("model", "name"),
    [(Ridge(), "skl2onnx"), (xgboost.Booster(), "onnxmltools"), (torch.nn.Linear(1, 1), "onnxscript")],
)
def test_a_converter_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch, model: Any, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModelError, match=rf"{name} is not installed: pip install {name}$"):
        autotrack.to_onnx(model, X)


class Own(Ridge):
    pass


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (object(), "nothing converts a builtins.object"),
        (Own().fit(X, Y), r"cannot be converted to ONNX \("),
        (Ridge(), r"cannot be converted to ONNX \("),
    ],
)
def test_what_cannot_be_converted_says_why(model: Any, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        autotrack.to_onnx(model, X)
