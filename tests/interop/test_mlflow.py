"""MLflow itself reads the models that we write, and we those that it writes.

It gets a virtual environment of its own, in which it finds our libraries: both sides have the same ones.
"""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import textwrap
import venv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xgboost
import yaml
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autotrack
from autotrack.errors import ModelError

from ..integrations.lightning_models import line, loader, trainer
from ..tracking import Tracking, tracking

__all__ = ["tracking"]

pytestmark = pytest.mark.interop

MLFLOW = "mlflow==3.17.2"
FRAME, CLASSES = load_iris(return_X_y=True, as_frame=True)
ARRAY, LABELS = load_breast_cancer(return_X_y=True)

Model = tuple[Any, Any, Mapping[str, Any]]
"""A model, data that it predicts for, and what is said of it when it is saved."""


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has MLflow."""
    folder = tmp_path_factory.mktemp("mlflow") / "venv"
    venv.create(folder, with_pip=True, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text("\n".join(site.getsitepackages()))
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", MLFLOW]
    subprocess.run(install, check=True)
    return python


def run(python: Path, source: str, *arguments: object) -> Any:
    """What a script prints as its last line, which is JSON."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AUTOTRACK_", "MLFLOW_"))
    }
    script = textwrap.dedent(source)
    ended = subprocess.run(
        [python, "-c", script, *map(str, arguments)], capture_output=True, text=True, env=kept, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def booster() -> Model:
    data = xgboost.DMatrix(FRAME, CLASSES)
    model = xgboost.train({"objective": "multi:softprob", "num_class": 3}, data, 3)
    return model, FRAME, {"inputs": data}


def pipeline() -> Model:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, CLASSES)
    return model, FRAME, {"inputs": FRAME, "input_example": FRAME, "metadata": {"team": "a"}}


WRITTEN: dict[str, Callable[[], Model]] = {
    "pipeline": pipeline,
    "forest": lambda: (RandomForestClassifier(5).fit(FRAME, CLASSES), FRAME, {"inputs": FRAME}),
    "linear, of arrays": lambda: (LinearRegression().fit(ARRAY, LABELS), ARRAY, {"inputs": ARRAY}),
    "no signature": lambda: (LogisticRegression().fit(FRAME, CLASSES), FRAME, {}),
    "booster": booster,
    "xgboost classifier": lambda: (
        xgboost.XGBClassifier(n_estimators=3).fit(FRAME, CLASSES),
        FRAME,
        {"inputs": FRAME},
    ),
    "xgboost regressor": lambda: (
        xgboost.XGBRegressor(n_estimators=3).fit(ARRAY, LABELS),
        ARRAY,
        {"inputs": ARRAY, "outputs": LABELS.astype("float32")},
    ),
}
READS = """
    import json, sys
    import mlflow, numpy as np, pandas as pd

    told = {}
    for name, (folder, data, is_frame) in json.load(open(sys.argv[1])).items():
        frame = pd.read_json(data, orient="split", precise_float=True) if is_frame else np.load(data)
        model = mlflow.pyfunc.load_model(folder)
        signature = model.metadata.signature
        flavor = next(f for f in model.metadata.flavors if f not in ("autotrack", "python_function"))
        told[name] = {
            "predictions": np.asarray(model.predict(frame)).tolist(),
            "class": type(getattr(mlflow, flavor).load_model(folder)).__name__,
            "signature": signature and signature.to_dict(),
            "metadata": model.metadata.metadata,
            "example": None,
        }
        if model.metadata.saved_input_example_info:
            told[name]["example"] = np.asarray(model.input_example).tolist()
    print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def written() -> dict[str, Model]:
    return {name: make() for name, make in WRITTEN.items()}


@pytest.fixture(scope="module")
def read(written: dict[str, Model], mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What MLflow makes of our models, by name."""
    root = tmp_path_factory.mktemp("ours")
    plan = {}
    for number, (name, (model, data, details)) in enumerate(written.items()):
        folder, file = root / f"model {number}", root / f"data{number}"
        autotrack.save_model(model, folder, **details)
        if isinstance(data, pd.DataFrame):
            data.to_json(file, orient="split", double_precision=15)
        else:
            file = file.with_suffix(".npy")
            np.save(file, data)
        plan[name] = (str(folder), str(file), isinstance(data, pd.DataFrame))
    (root / "plan.json").write_text(json.dumps(plan))
    return run(mlflow, READS, root / "plan.json")


@pytest.mark.parametrize("name", WRITTEN)
def test_mlflow_reads_what_we_write(name: str, written: dict[str, Model], read: Any) -> None:
    model, data, details = written[name]
    told = read[name]
    expected = model.predict(xgboost.DMatrix(data) if name == "booster" else data)
    np.testing.assert_array_equal(told["predictions"], expected)
    assert told["class"] == type(model).__name__
    assert bool(told["signature"]) == bool(details)
    assert told["metadata"] == details.get("metadata")


def test_mlflow_reads_our_signature_and_example(read: Any) -> None:
    [first, *_] = json.loads(read["pipeline"]["signature"]["inputs"])
    assert first == {"name": "sepal length (cm)", "type": "double", "required": True}
    np.testing.assert_array_equal(read["pipeline"]["example"], FRAME.head(5))
    [only] = json.loads(read["linear, of arrays"]["signature"]["inputs"])
    assert only["tensor-spec"] == {"dtype": "float64", "shape": [-1, 30]}


WRITES = """
    import json, sys, warnings
    import mlflow, numpy as np, xgboost
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier

    warnings.simplefilter("ignore")
    root = sys.argv[1]
    X, y = load_iris(return_X_y=True, as_frame=True)
    forest = RandomForestClassifier(5).fit(X, y)
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3}, xgboost.DMatrix(X, y), 3)
    classifier = xgboost.XGBClassifier(n_estimators=3).fit(X, y)
    needs = {"pip_requirements": ["scikit-learn"]}
    tree = ["sklearn.tree._tree.Tree"]
    mlflow.sklearn.save_model(forest, f"{root}/forest", input_example=X, skops_trusted_types=tree, **needs)
    mlflow.sklearn.save_model(forest, f"{root}/pickle", serialization_format="pickle", **needs)
    mlflow.sklearn.save_model(forest, f"{root}/cloudpickle", serialization_format="cloudpickle", **needs)
    mlflow.xgboost.save_model(booster, f"{root}/booster", model_format="ubj", **needs)
    mlflow.xgboost.save_model(booster, f"{root}/json", model_format="json", **needs)
    mlflow.xgboost.save_model(classifier, f"{root}/classifier", **needs)
    told = {name: forest.predict(X).tolist() for name in ("forest", "pickle", "cloudpickle")}
    told |= {name: booster.predict(xgboost.DMatrix(X)).tolist() for name in ("booster", "json")}
    print(json.dumps(told | {"classifier": classifier.predict(X).tolist()}))
"""


@pytest.fixture(scope="module")
def theirs(mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Models that MLflow wrote, and what they predict."""
    root = tmp_path_factory.mktemp("theirs")
    return root, run(mlflow, WRITES, root)


@pytest.mark.parametrize("name", ["forest", "booster", "json", "classifier"])
def test_we_read_what_mlflow_writes(name: str, theirs: tuple[Path, Any]) -> None:
    root, predictions = theirs
    loaded = autotrack.load_predictor(str(root / name))
    np.testing.assert_array_equal(loaded.predict(FRAME), predictions[name])


@pytest.mark.parametrize("name", ["pickle", "cloudpickle"])
def test_what_mlflow_pickled_is_loaded_only_by_who_allows_it(name: str, theirs: tuple[Path, Any]) -> None:
    root, predictions = theirs
    with pytest.raises(ModelError, match=r"is a pickle.*allow_pickle=True"):
        autotrack.load_model(str(root / name))
    loaded = autotrack.load_model(str(root / name), allow_pickle=True)
    np.testing.assert_array_equal(loaded.predict(FRAME), predictions[name])


def test_their_signature_holds_for_us(theirs: tuple[Path, Any]) -> None:
    loaded = autotrack.load_predictor(str(theirs[0] / "forest"))
    with pytest.raises(ModelError, match="'petal width"):
        loaded.predict(FRAME.drop(columns="petal width (cm)"))


PYTHON_MODELS = """
    import json, sys
    import mlflow, pandas as pd

    root, ours = sys.argv[1:]
    sys.path.append(ours)
    import autotrack

    class Doubles(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input.iloc[:, 0].to_numpy() * 2

    def refusal(folder):
        try:
            autotrack.load_model(folder)
        except autotrack.errors.ModelError as error:
            return str(error)

    kinds = {
        "pickled": {"python_model": Doubles()},
        "code": {"python_model": f"{root}/m.py", "model_config": {"times": 3}},
        "helped": {"python_model": f"{root}/h.py", "code_paths": [f"{root}/helps.py"]},
    }
    sys.path.append(root)
    for name, kind in kinds.items():
        mlflow.pyfunc.save_model(f"{root}/{name}", **kind, pip_requirements=[])
    sys.path.remove(root)
    del sys.modules["helps"]
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    told = {}
    for name, permission in (("pickled", "allow_pickle"), ("code", "allow_code"), ("helped", "allow_code")):
        loaded = autotrack.load_predictor(f"{root}/{name}", **{permission: True})
        told[name] = [loaded.predict(frame).tolist(), permission in refusal(f"{root}/{name}")]
    print(json.dumps(told))
"""
FROM_CODE = """
import mlflow
{imports}

class Multiplies(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.times = {times}

    def predict(self, context, model_input, params=None):
        return model_input.iloc[:, 0].to_numpy() * self.times

mlflow.models.set_model(Multiplies())
"""


def test_we_read_mlflows_python_models_where_mlflow_is(mlflow: Path, tmp_path: Path) -> None:
    """Pickled, and from code: only by who permits it."""
    settings = 'context.model_config["times"]'
    (tmp_path / "m.py").write_text(FROM_CODE.format(imports="", times=settings))
    (tmp_path / "h.py").write_text(FROM_CODE.format(imports="import helps", times="helps.TIMES"))
    (tmp_path / "helps.py").write_text("TIMES = 4\n")
    told = run(mlflow, PYTHON_MODELS, tmp_path, Path(autotrack.__file__).parents[1])
    assert told == {"pickled": [[2, 4], True], "code": [[3, 6], True], "helped": [[4, 8], True]}


def test_this_test_runs_where_mlflow_is_not() -> None:
    """Ours must load models without it."""
    assert "mlflow" not in sys.modules


# --- graphs -------------------------------------------------------------------------------------------

GRAPHS = """
    import json, sys
    import mlflow, numpy as np, torch
    from mlflow.models import infer_signature

    root = sys.argv[1]
    X = np.load(f"{root}/data.npy")
    told = {"ours": {}, "theirs": {}}
    for name in ("torch", "onnx"):
        found = mlflow.pyfunc.load_model(f"{root}/{name}").predict(X)
        [found] = found.values() if isinstance(found, dict) else [found]
        told["ours"][name] = found.tolist()
    for name in ("layers", "own", "holder", "file"):
        told["ours"][name] = mlflow.pyfunc.load_model(f"{root}/{name}").predict(X).tolist()
    for name in ("layers", "own"):
        found = mlflow.pytorch.load_model(f"{root}/{name}")
        told["ours"][f"{name}, by mlflow.pytorch"] = found(torch.from_numpy(X)).tolist()
    found = mlflow.pytorch.load_model(f"{root}/torch")
    told["ours"]["torch itself"] = found(torch.from_numpy(X)).tolist()
    assert "autotrack" not in sys.modules
    onnx = mlflow.onnx.load_model(f"{root}/onnx")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    needs = {"pip_requirements": ["torch"]}
    signature = infer_signature(X, X[:, :3])
    graph = {"serialization_format": "pt2", "signature": signature, "input_example": X, **needs}
    mlflow.pytorch.save_model(module, f"{root}/their torch", **graph)
    mlflow.pytorch.save_model(module, f"{root}/their pickle", serialization_format="pickle", **needs)
    mlflow.onnx.save_model(onnx, f"{root}/their onnx", signature=signature, **needs)
    told["theirs"]["torch"] = module(torch.from_numpy(X)).tolist()
    told["theirs"]["onnx"] = told["ours"]["onnx"]
    print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def graphs(mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Models of torch and ONNX, ours and theirs, and what MLflow says that all of them predict."""
    root = tmp_path_factory.mktemp("graphs")
    data = FRAME.to_numpy("float32")
    np.save(root / "data.npy", data)
    torch.manual_seed(1)
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(), torch.nn.Linear(8, 3))
    autotrack.save_model(module, root / "torch", input_example=data)
    autotrack.save_model(autotrack.to_onnx(module, data), root / "onnx", input_example=data)
    for name, model in without_example().items():
        autotrack.save_model(model, root / name)
    (root / "scaled.py").write_text("def predict(data):\n    return data * FACTOR\n\n\nFACTOR = 2\n")
    autotrack.save_model(root / "scaled.py", root / "file")
    return root, run(mlflow, GRAPHS, root)


def without_example() -> dict[str, Any]:
    """Of torch's layers, which share weights; of a class that the other process has not; and one within."""
    torch.manual_seed(2)

    class Recurrent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.LSTM(4, 3, batch_first=True)
            self.shift = torch.full((3,), 0.5)

        def forward(self, rows: Any) -> Any:
            return self.layer(rows)[0] + self.shift

    class Holder:
        def __init__(self, module: Any) -> None:
            self.module = module

        def predict(self, data: Any) -> Any:
            return self.module(torch.from_numpy(data)).detach().numpy() * 2

    layers = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 4))
    layers[2].weight = layers[0].weight
    layers.eval()
    return {"layers": layers, "own": Recurrent(), "holder": Holder(layers)}


@pytest.mark.parametrize(
    ("name", "permitted"),
    [("layers", {}), *((name, {"allow_code": True}) for name in ("own", "holder", "file"))],
)
def test_mlflow_reads_modules_that_have_no_graph_and_source(
    name: str, permitted: dict[str, bool], graphs: tuple[Path, Any]
) -> None:
    root, told = graphs
    data = np.load(root / "data.npy")
    found = autotrack.load_predictor(root / name, **permitted).predict(data)
    np.testing.assert_allclose(found, told["ours"][name], rtol=1e-6, atol=1e-7)


def test_mlflow_loads_graphs_and_modules_as_modules(graphs: tuple[Path, Any]) -> None:
    told = graphs[1]["ours"]
    np.testing.assert_array_equal(told["torch itself"], told["torch"])
    for name in ("layers", "own"):
        np.testing.assert_allclose(told[f"{name}, by mlflow.pytorch"], told[name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_graphs_are_read_both_ways(name: str, graphs: tuple[Path, Any]) -> None:
    root, told = graphs
    data = np.load(root / "data.npy")
    for folder, side in ((name, "ours"), (f"their {name}", "theirs")):
        found = autotrack.load_predictor(root / folder).predict(data)
        np.testing.assert_allclose(found, told[side][name], rtol=1e-5, atol=1e-6)


def test_a_module_that_mlflow_pickled_is_loaded_only_by_who_allows_it(graphs: tuple[Path, Any]) -> None:
    root, told = graphs
    with pytest.raises(ModelError, match=r"is a pickle.*allow_pickle=True"):
        autotrack.load_model(root / "their pickle")
    loaded = autotrack.load_predictor(root / "their pickle", allow_pickle=True)
    found = loaded.predict(np.load(root / "data.npy"))
    np.testing.assert_allclose(found, told["theirs"]["torch"], rtol=1e-5, atol=1e-6)


# --- where nothing else is ------------------------------------------------------------------------------

ALONE = """
    import json, sys
    import mlflow, pandas as pd

    frame = pd.read_json(sys.argv[2], orient="split", precise_float=True)
    print(json.dumps(mlflow.pyfunc.load_model(sys.argv[1]).predict(frame).tolist()))
"""


def test_what_a_model_asks_for_is_all_that_mlflow_needs(tmp_path: Path) -> None:
    """As MLflow makes it an environment: by virtualenv, of what `python_env.yaml` names, from an index."""
    model, frame, details = pipeline()
    autotrack.save_model(model, tmp_path / "model", **details)
    frame.to_json(tmp_path / "data.json", orient="split", double_precision=15)
    needed = yaml.safe_load((tmp_path / "model" / "python_env.yaml").read_text())["dependencies"]
    (tmp_path / "model" / "needed.txt").write_text("\n".join(needed))
    (tmp_path / "tested.txt").write_text(MLFLOW)
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    files = ["-r", tmp_path / "model" / "needed.txt", "-c", tmp_path / "tested.txt"]
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *files], check=True
    )
    (tmp_path / "model" / "needed.txt").unlink()
    found = run(python, ALONE, tmp_path / "model", tmp_path / "data.json")
    np.testing.assert_array_equal(found, model.predict(frame))


# --- of runs, and with params -------------------------------------------------------------------------

OF_RUNS = """
    import json, sys
    import mlflow, numpy as np, pandas as pd

    root, above = sys.argv[1:]
    sys.path.append(above)  # where the class of Lightning's module is
    frame = pd.read_json(f"{root}/data.json", orient="split", precise_float=True)
    rows = np.load(f"{root}/rows.npy")
    told = {}
    for name, data in {"fit": frame, "booster": frame, "module": rows, "logged": frame}.items():
        model = mlflow.pyfunc.load_model(f"{root}/{name}")
        signature = model.metadata.signature
        told[name] = {
            "run": model.metadata.run_id,
            "predictions": np.asarray(model.predict(data)).tolist(),
        }
        if signature and signature.outputs:
            told[name]["signature"] = [signature.inputs.input_names(), signature.outputs.numpy_types()]
    for params in (None, {"times": 3.0}):
        told[str(params)] = np.asarray(model.predict(frame, params=params)).tolist()
    told["flavor"] = type(mlflow.sklearn.load_model(f"{root}/fit")).__name__
    print(json.dumps(told, default=str))
"""


def test_mlflow_reads_what_runs_have_kept(
    mlflow: Path,
    tracking: Tracking,
    tmp_path: Path,
) -> None:
    """By itself and by `log_model`, a function with params; each says of which run it is."""

    def times(data: Any, params: Any) -> Any:
        return data.iloc[:, 0].to_numpy() * params["times"]

    tracking.enable()
    model = LogisticRegression(max_iter=500).fit(FRAME, CLASSES)
    booster = xgboost.train({}, xgboost.DMatrix(FRAME, CLASSES), 3)
    module = line()
    trainer(tmp_path).fit(module, loader())
    with autotrack.run("logs") as logged:
        logged.log_model(times, inputs=FRAME, params={"times": 2.0})
    runs = dict(zip(("logged", "module", "booster", "fit"), tracking.runs(), strict=True))
    autotrack.flush()
    for name, one in runs.items():
        autotrack.download_model(f"runs:/{one.id}/model", tmp_path / name)
    FRAME.to_json(tmp_path / "data.json", orient="split", double_precision=15)
    rows = FRAME.to_numpy("float32")[:, :2]
    np.save(tmp_path / "rows.npy", rows)
    told = run(mlflow, OF_RUNS, tmp_path, Path(__file__).parents[2])
    first = FRAME.iloc[:, 0].to_numpy()
    assert {name: told[name]["run"] for name in runs} == {name: one.id for name, one in runs.items()}
    assert told["flavor"] == "LogisticRegression"
    columns = [*FRAME]
    assert told["fit"]["signature"] == [columns, ["int64"]]
    assert told["booster"]["signature"] == [columns, ["float32"]]
    assert "signature" not in told["module"]  # loaders tell of no columns
    np.testing.assert_array_equal(told["fit"]["predictions"], model.predict(FRAME))
    np.testing.assert_array_equal(told["booster"]["predictions"], booster.predict(xgboost.DMatrix(FRAME)))
    expected = module(torch.from_numpy(rows)).detach()
    np.testing.assert_allclose(told["module"]["predictions"], expected, rtol=1e-6)
    np.testing.assert_array_equal(told["logged"]["predictions"], 2 * first)
    np.testing.assert_array_equal(told["None"], 2 * first)
    np.testing.assert_array_equal(told[str({"times": 3.0})], 3 * first)
