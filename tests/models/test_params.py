"""What `predict` takes beside the data: kept with the signature where the model takes it, else refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xgboost
import yaml
from sklearn.datasets import load_iris
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import autotrack
from autotrack.errors import ModelError, SchemaError
from autotrack.loading import model_folder
from autotrack.signatures import infer

from ..tracking import Tracking, tracking  # noqa: F401

X, Y = load_iris(return_X_y=True)


class Own:
    """A model that takes no `params`."""

    def predict(self, data: Any, k: int = 1) -> Any:
        return data[:, 0] * k


def fit() -> LogisticRegression:
    return LogisticRegression(max_iter=500).fit(X, Y)


REFUSED = {
    "sklearn": (fit, {"foo": 1}, "takes no params foo: leave them out"),
    "xgboost": (
        lambda: xgboost.XGBClassifier(n_estimators=2).fit(X, Y),
        {"output_margin": True, "bar": 1},
        "takes no params bar: leave them out",
    ),
    "own": (Own, {"k": 2}, "takes no params: leave k out, or give it an argument `params`"),
    "torch": (lambda: torch.nn.Linear(4, 1), {"foo": 1}, "takes no params foo: leave them out"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_predict_does_not_take(tmp_path: Path, kind: str) -> None:
    make, params, problem = REFUSED[kind]
    with pytest.raises(SchemaError, match=problem):
        autotrack.save_model(make(), tmp_path / "m", inputs=X.astype("float32"), params=params)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"foo": 1}, "takes no params foo"),
        (5, "params: give a mapping of names to defaults, not int"),
    ],
)
def test_a_model_is_logged_without_them(
    tracking: Tracking,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    params: Any,
    problem: str,
) -> None:
    tracking.enable(sklearn={"log_model": False})
    with autotrack.run("r") as run:
        run.log_model(fit(), inputs=X, params=params)
    autotrack.flush()
    folder = model_folder(lambda: tracking.store, f"runs:/{run.id}/model")
    assert "inputs" in folder.document["signature"]
    assert folder.document["signature"]["params"] is None
    assert "params of model 'model': " in caplog.text
    assert problem in caplog.text


def test_without_inputs_they_are_refused(tmp_path: Path) -> None:
    model = GaussianProcessRegressor().fit(X, Y)
    with pytest.raises(SchemaError, match="give inputs or an input_example, too"):
        autotrack.save_model(model, tmp_path / "m", params={"return_std": True})
    with pytest.raises(SchemaError, match="give a mapping of names to defaults, not int"):
        autotrack.save_model(model, tmp_path / "m", inputs=X, params=5)  # type: ignore[arg-type]


def test_outputs_have_no_place_without_inputs(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="outputs stand in a model's signature: give inputs"):
        autotrack.save_model(fit(), tmp_path / "m", outputs=Y)


def test_what_a_ready_signature_lacks(tmp_path: Path) -> None:
    model = GaussianProcessRegressor().fit(X, Y)
    inputs, whole = infer(X), infer(X, Y, {"return_std": True})
    autotrack.save_model(model, tmp_path / "m", signature=inputs, outputs=Y, params={"return_std": True})
    found = autotrack.load_predictor(tmp_path / "m").signature
    assert found == whole
    with pytest.raises(SchemaError, match="params stand in the signature already"):
        autotrack.save_model(model, tmp_path / "n", signature=whole, params={"return_std": True})
    with pytest.raises(SchemaError, match="outputs stand in the signature already"):
        autotrack.save_model(model, tmp_path / "n", signature=whole, outputs=Y)
    with pytest.raises(SchemaError, match="takes no params foo"):
        autotrack.save_model(fit(), tmp_path / "n", signature=inputs, params={"foo": 1})


def test_what_predict_takes(tmp_path: Path) -> None:
    model = GaussianProcessRegressor().fit(X, Y)
    autotrack.save_model(model, tmp_path / "m", input_example=X, params={"return_std": True})
    mean, std = autotrack.load_predictor(tmp_path / "m").predict(X)
    np.testing.assert_array_equal(mean, model.predict(X))
    assert len(std) == len(X)


class Failing:
    """Its own TypeErrors are no fault of who asks."""

    def predict(self, data: Any, params: Any = None) -> Any:
        return len(params["k"])


def test_a_type_error_of_the_model_is_its_own(tmp_path: Path) -> None:
    autotrack.save_model(Failing(), tmp_path / "m", inputs=X, params={"k": 1})
    with pytest.raises(TypeError, match="object of type 'int' has no len"):
        autotrack.load_predictor(tmp_path / "m", allow_code=True).predict(X)


def test_a_predict_that_cannot_be_looked_at(tmp_path: Path) -> None:
    """It is not, where there are no params to ask it about."""

    class Shy(LogisticRegression):  # type: ignore[misc]
        @property
        def predict(self) -> Any:
            raise RuntimeError("not on this machine")

    model = Shy(max_iter=500).fit(X, Y)
    autotrack.save_model(model, tmp_path / "m", inputs=X)
    with pytest.raises(RuntimeError, match="not on this machine"):
        autotrack.save_model(model, tmp_path / "n", inputs=X, params={"k": 1})


def test_what_only_the_prediction_shows(tmp_path: Path) -> None:
    """A pipeline hands its params on, whatever they are."""
    autotrack.save_model(make_pipeline(fit()), tmp_path / "m", inputs=X, params={"foo": 1})
    with pytest.raises(SchemaError, match=r"does not predict with the params foo: .*unexpected keyword"):
        autotrack.load_predictor(tmp_path / "m").predict(X)


def test_a_model_that_was_saved_with_such(tmp_path: Path) -> None:
    autotrack.save_model(fit(), tmp_path / "m", inputs=X)
    file = tmp_path / "m/MLmodel"
    told = yaml.safe_load(file.read_text())
    told["signature"]["params"] = '[{"name": "foo", "type": "long", "default": 1, "shape": null}]'
    file.write_text(yaml.safe_dump(told))
    with pytest.raises(ModelError, match="takes no params foo"):
        autotrack.load_predictor(tmp_path / "m").predict(X)
