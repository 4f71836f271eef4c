"""Models of a library that hold the user's own classes: kept with their source, where it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import autotrack
from autotrack.errors import ModelError

from ..scripts import TIMEOUT
from ..tracking import Tracking, tracking  # noqa: F401

X, Y = load_iris(return_X_y=True)
SOURCE = """
from sklearn.base import BaseEstimator, TransformerMixin

class Scale(TransformerMixin, BaseEstimator):
    def __init__(self, by=2.0):
        self.by = by

    def fit(self, X, y=None):
        self.mean_ = X.mean(axis=0)
        return self

    def transform(self, X):
        return (X - self.mean_) * self.by
"""


class Centre(TransformerMixin, BaseEstimator):
    """Of this module, which other processes do not find."""

    def fit(self, X: Any, y: Any = None) -> Centre:
        """Learn the mean."""
        self.mean_ = X.mean(axis=0)
        return self

    def transform(self, X: Any) -> Any:
        """Less the mean."""
        return X - self.mean_


def doubled(X: Any) -> Any:
    """A step without a state."""
    return 2 * X


def searched() -> Any:
    """With masked arrays among its results, and a scorer that holds it."""
    pipeline = make_pipeline(Centre(), LogisticRegression())
    return GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0]}, cv=2)


MODELS = {
    "columns": lambda: make_pipeline(
        ColumnTransformer([("a", Centre(), [0, 1]), ("b", StandardScaler(), slice(2, 4))]), Ridge()
    ),
    "a vote": lambda: VotingClassifier(
        [("a", make_pipeline(Centre(), LogisticRegression())), ("b", LogisticRegression())]
    ),
    "a bag": lambda: BaggingClassifier(make_pipeline(Centre(), LogisticRegression()), 2, random_state=0),
    "a search": searched,
    "a step of one's own": lambda: make_pipeline(Centre(), LogisticRegression()),
    "a function of one's own": lambda: make_pipeline(FunctionTransformer(doubled), Ridge()),
    "trees behind a step": lambda: make_pipeline(Centre(), RandomForestClassifier(5, random_state=0)),
    "pipelines in each other": lambda: make_pipeline(make_pipeline(Centre(), Centre()), Ridge()),
}


@pytest.mark.parametrize("made", MODELS.values(), ids=MODELS)
def test_it_is_kept_with_the_source(made: Any, tmp_path: Path) -> None:
    model = made().fit(X, Y)
    autotrack.save_model(model, tmp_path / "model", inputs=X)
    with pytest.raises(ModelError, match="allow_code=True"):
        autotrack.load_model(str(tmp_path / "model"))
    loaded = autotrack.load_model(str(tmp_path / "model"), allow_code=True)
    assert type(loaded) is type(model)
    assert np.array_equal(loaded.predict(X), model.predict(X))
    predictor = autotrack.load_predictor(str(tmp_path / "model"), allow_code=True)
    assert np.array_equal(predictor.predict(X), model.predict(X))


def test_it_is_loaded_where_nobody_knows_the_class(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "scaling.py").write_text(SOURCE)
    train = f"""
import autotrack
from scaling import Scale
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

X, y = load_iris(return_X_y=True)
autotrack.save_model(make_pipeline(Scale(3.0), LogisticRegression()).fit(X, y), {str(tmp_path / "m")!r})
"""
    ask = f"""
import autotrack
from sklearn.datasets import load_iris

X, y = load_iris(return_X_y=True)
model = autotrack.load_model({str(tmp_path / "m")!r}, allow_code=True)
print(model.score(X, y), type(model[0]).__name__, model[0].by)
"""
    for code in (train, ask):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path / "here" if code is train else tmp_path,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert done.returncode == 0, done.stderr
    score, name, by = done.stdout.split()
    assert float(score) > 0.9
    assert (name, by) == ("Scale", "3.0")
    told = yaml.safe_load((tmp_path / "m" / "MLmodel").read_text())["flavors"]
    assert set(told) == {"python_function", "autotrack"}


def test_unasked_no_source_is_taken(tracking: Tracking) -> None:  # noqa: F811
    tracking.enable()
    model = make_pipeline(Centre(), LogisticRegression()).fit(X, Y)
    (kept,) = tracking.run().models
    assert kept.facts["state"] == "refused"
    assert "Centre" in kept.facts["reason"]
    assert "log_model" in kept.facts["reason"]
    with autotrack.run("asked") as run:
        run.log_model(model)
    autotrack.flush()
    loaded = autotrack.load_model(f"runs:/{run.id}/model", allow_code=True)
    assert np.array_equal(loaded.predict(X), model.predict(X))


def test_source_can_be_refused(tmp_path: Path) -> None:
    model = make_pipeline(Centre(), Ridge()).fit(X, Y)
    with pytest.raises(ModelError, match=r"it holds \S+Centre"):
        autotrack.save_model(model, tmp_path / "model", own_code=False)


def test_what_has_no_form_is_named(tmp_path: Path) -> None:
    model = make_pipeline(Centre(), Ridge()).fit(X, Y)
    model[0].lines = (line for line in "ab")
    with pytest.raises(ModelError, match=r"attribute steps\[0\]\[1\]\.lines is a builtins\.generator"):
        autotrack.save_model(model, tmp_path / "model")
