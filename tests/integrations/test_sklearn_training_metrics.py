"""How well a model predicts what it was trained on: what is recorded, and what is left alone."""

from __future__ import annotations

import json
import pickle
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.decomposition import NMF
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import autotrack
from autotrack.patches.sklearn import telling
from autotrack.patches.sklearn.predictions import MAX_CELLS, MAX_ROWS, predictions
from autotrack.store import Run

from ..tracking import Tracking

X, y = load_iris(return_X_y=True)
words = np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows are affordable, however slow the machine is."""
    monkeypatch.setattr(telling, "MIN_BUDGET", 60.0)


def table(run: Run, name: str) -> pd.DataFrame:
    """A table artifact, as pandas reads it."""
    found = json.loads(run.artifact(f"{name}.json").read_text())
    return pd.DataFrame(found["data"], found["index"], found["columns"])


def training(run: Run) -> dict[str, float]:
    return {n.removeprefix("training_"): v for n, v in run.metrics.items() if n.startswith("training_")}


@pytest.mark.parametrize("target", [y, words, y > 0, list(words), pd.Series(words, dtype="category")])
def test_a_classifier(tracking: Tracking, target: Any) -> None:
    tracking.enable()
    weight = np.linspace(1, 2, len(X))
    model = LogisticRegression(max_iter=200).fit(X, target, sample_weight=weight)
    predicted, probabilities = model.predict(X), model.predict_proba(X)
    found = training(tracking.run())
    of = {"sample_weight": weight, "average": "weighted"}
    score = probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities
    expected = {
        "accuracy_score": metrics.accuracy_score(target, predicted, sample_weight=weight),
        "precision_score": metrics.precision_score(target, predicted, **of),
        "recall_score": metrics.recall_score(target, predicted, **of),
        "f1_score": metrics.f1_score(target, predicted, **of),
        "log_loss": metrics.log_loss(target, probabilities, sample_weight=weight),
        "roc_auc": metrics.roc_auc_score(target, score, multi_class="ovr", **of),
        "score": model.score(X, target, sample_weight=weight),
    }
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    "model", [Ridge(), DecisionTreeRegressor(max_depth=2), make_pipeline(StandardScaler(), Ridge())]
)
@pytest.mark.parametrize("outputs", [1, 2])
def test_a_regressor(tracking: Tracking, model: Any, outputs: int) -> None:
    X, y = load_diabetes(return_X_y=True)
    target = y if outputs == 1 else np.column_stack([y, -y])
    tracking.enable()
    predicted = model.fit(X, target).predict(X)
    assert training(tracking.run()) == pytest.approx(
        {
            "mean_squared_error": metrics.mean_squared_error(target, predicted),
            "root_mean_squared_error": metrics.mean_squared_error(target, predicted) ** 0.5,
            "mean_absolute_error": metrics.mean_absolute_error(target, predicted),
            "r2_score": metrics.r2_score(target, predicted),
            "score": model.score(X, target),
        }
    )


DATA = {
    "frame": pd.DataFrame(X, columns=list("abcd")),
    "list": X.tolist(),
    "csr": scipy.sparse.csr_matrix(X),
    "csc": scipy.sparse.csc_array(X),
    "coo": scipy.sparse.coo_array(X),
    "float32": X.astype(np.float32),
    "fortran": np.asfortranarray(X),
}


@pytest.mark.parametrize("kind", DATA)
def test_data_of_every_kind(tracking: Tracking, kind: str) -> None:
    tracking.enable()
    data = DATA[kind]
    model = LogisticRegression(max_iter=200).fit(data, y)
    assert tracking.run().metrics["training_accuracy_score"] == model.score(data, y)


def test_arrow_tables(tracking: Tracking) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    tracking.enable()
    LogisticRegression(max_iter=200).fit(pyarrow.table(dict(zip("abcd", X.T, strict=True))), y)
    assert tracking.run().metrics["training_accuracy_score"] > 0.9


def test_of_a_huge_memmap_only_a_part_is_read(tmp_path: Path) -> None:
    """Ten gigabytes of zeros that take no place on the disk."""
    rows, columns = 5_000_000, 250
    data = np.memmap(tmp_path / "huge", np.float64, "w+", shape=(rows, columns))
    seen = []

    class Spy(DecisionTreeClassifier):
        classes_ = np.array([0, 1])

        def predict_proba(self, X: Any) -> Any:
            seen.append(len(X))
            return np.full((len(X), 2), 0.5)

    found = predictions(Spy(), True, data, np.zeros(rows, np.int8), None, seconds=10.0)
    assert found is not None
    assert found.rows == max(seen) <= MAX_CELLS // columns
    assert found.of_rows == rows


def test_no_more_rows_than_the_budget_allows(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "MIN_BUDGET", 0.02)
    tracking.enable()
    rng = np.random.default_rng(0)
    many = rng.normal(size=(20_000, 20))
    KNeighborsClassifier(algorithm="brute").fit(many, many[:, 0] > 0)
    run = tracking.run()
    assert 16 <= run.params["training_metrics_rows"] < 20_000
    assert run.metrics["training_accuracy_score"] > 0.6


def test_the_same_rows_each_time() -> None:
    class Fast(ClassifierMixin, BaseEstimator):
        def predict(self, X: Any) -> Any:
            return X[:, 0]

    many = np.arange(2 * MAX_ROWS, dtype=np.float64).reshape(-1, 1)
    found = predictions(Fast(), False, many, many[:, 0], None, seconds=10.0)
    assert found is not None
    assert found.rows == MAX_ROWS
    assert found.truth.tolist() == list(range(0, 2 * MAX_ROWS, 2))


def test_predictions_that_draw_random_numbers_are_not_asked_for(tracking: Tracking) -> None:
    def train() -> Any:
        np.random.seed(0)
        random.seed(0)
        state = np.random.RandomState(5)
        DummyClassifier(strategy="stratified", random_state=state).fit(X, y)
        DummyClassifier(strategy="uniform").fit(X, y)
        make_pipeline(NMF(2, shuffle=True, random_state=state), GaussianNB()).fit(abs(X), y)
        make_pipeline(NMF(2, shuffle=True, init="nndsvd"), GaussianNB()).fit(abs(X), y)
        return np.random.random(), random.random(), state.random_sample()

    plain = train()
    tracking.enable()
    assert train() == plain
    assert [training(run) for run in tracking.runs()] == [{}] * 4


def stamp(X: Any) -> Any:
    stamp.calls += 1  # type: ignore[attr-defined]
    return X


def test_a_strangers_code_is_not_called(tracking: Tracking) -> None:
    class Mine(LogisticRegression):
        def predict_proba(self, X: Any) -> Any:
            raise AssertionError("nobody asked")

    stamp.calls = 0  # type: ignore[attr-defined]
    tracking.enable()
    Mine(max_iter=200).fit(X, y)
    make_pipeline(FunctionTransformer(stamp), GaussianNB()).fit(X, y)
    assert [training(run) for run in tracking.runs()] == [{}, {}]
    assert stamp.calls == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "model", [LinearRegression(copy_X=False), make_pipeline(StandardScaler(copy=False), Ridge())]
)
def test_data_that_is_overwritten_is_left_alone(tracking: Tracking, model: Any) -> None:
    def train() -> bytes:
        data = X.copy()
        model.fit(data, y)
        return data.tobytes()

    plain = train()
    tracking.enable()
    assert train() == plain
    assert training(tracking.run()) == {}


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (KMeans(2, n_init=1), None),
        (StandardScaler(), y),
        (RandomForestClassifier(3), np.column_stack([y, y[::-1]])),  # several targets of several classes
        (RandomForestRegressor(3), y.astype(object)),
    ],
)
def test_where_there_is_nothing_to_say(tracking: Tracking, model: Any, target: Any) -> None:
    tracking.enable()
    model.fit(X, target)
    assert training(tracking.run()) == {}


class Scalar(ClassifierMixin, BaseEstimator):
    """A user's own, that predicts one class for everything."""

    def fit(self, X: Any, y: Any) -> Any:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return self.classes_[0]


class Many(RegressorMixin, BaseEstimator):
    """One that takes targets of any shape, and predicts them."""

    def fit(self, X: Any, y: Any) -> Any:
        self.y_ = y
        return self

    def predict(self, X: Any) -> Any:
        return self.y_[: len(X)]


def test_odd_predictions_make_no_metric_and_no_line(
    tracking: Tracking, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (Scalar, Many):
        monkeypatch.setattr(kind, "__module__", "sklearn.test")  # as if they were known
    tracking.enable(sklearn={"log_model": False})
    Scalar().fit(X, y)
    Many().fit(X, np.zeros((len(X), 2, 2)))
    for run in tracking.runs():
        assert training(run) == {}
    assert [r.message for r in caplog.records if r.name == "autotrack"] == []


def test_several_labels(tracking: Tracking) -> None:
    labels = np.column_stack([y > 0, y > 1])
    tracking.enable()
    model = KNeighborsClassifier().fit(X, labels)
    assert training(tracking.run())["accuracy_score"] == model.score(X, labels)


def test_a_classifier_that_decides_otherwise(tracking: Tracking) -> None:
    data, target = X[50:], y[50:]
    tracking.enable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SVC(probability=True, random_state=0, C=0.05).fit(data, target)
    assert tracking.run().metrics["training_accuracy_score"] == model.score(data, target)


def test_a_searchs_best_model(tracking: Tracking) -> None:
    tracking.enable(sklearn={"candidates": False})
    search = GridSearchCV(LogisticRegression(max_iter=200), {"C": [1.0]}, cv=2).fit(X, y)
    run = tracking.run()
    assert run.metrics["training_accuracy_score"] == search.score(X, y)
    assert table(run, "coefficients")["coefficient 0"].tolist() == search.best_estimator_.coef_[0].tolist()


def test_no_warning_is_of_our_making(tracking: Tracking) -> None:
    tracking.enable()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GaussianNB().fit(X[:60], y[:60])
        DecisionTreeClassifier().fit(X[:1], y[:1])  # one class, one row
        LinearRegression().fit(X[:1], y[:1])
        LogisticRegression().fit(X[40:60].astype(np.float32), y[40:60])
        DummyClassifier(strategy="constant", constant=0).fit(X, y)
        autotrack.flush()
    assert len(tracking.runs()) == 5


def test_tables_of_a_binary_classifier(tracking: Tracking) -> None:
    data = load_breast_cancer(as_frame=True)
    tracking.enable()
    model = RandomForestClassifier(5, random_state=0).fit(data.data, data.target)
    run = tracking.run()
    probability = model.predict_proba(data.data)[:, 1]
    matrix = metrics.confusion_matrix(data.target, model.predict(data.data))
    assert table(run, "training_confusion_matrix").to_numpy()[:, 1:].tolist() == matrix.tolist()
    roc = table(run, "training_roc_curve")
    assert roc["true_positive_rate"].tolist() == metrics.roc_curve(data.target, probability)[1].tolist()
    assert roc["threshold"].iloc[0] == "Infinity"
    pr = table(run, "training_precision_recall_curve")
    assert (
        pr["precision"].tolist() == metrics.precision_recall_curve(data.target, probability)[0][:-1].tolist()
    )
    calibration = table(run, "training_calibration_curve")
    assert calibration["rows"].sum() == len(data.target)
    importances = table(run, "feature_importances")
    assert importances["feature"].tolist() == data.feature_names.tolist()
    assert importances["importance"].tolist() == pytest.approx(model.feature_importances_.tolist())


def test_tables_of_several_classes_in_a_pipeline(tracking: Tracking) -> None:
    tracking.enable()
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, words)
    run = tracking.run()
    coefficients = table(run, "coefficients")
    assert coefficients["feature"].tolist() == list("abcd")
    assert coefficients["coefficient setosa"].tolist() == model[-1].coef_[0].tolist()
    assert set(table(run, "training_roc_curve")["class"]) == set(words)


def test_options_leave_them_out(tracking: Tracking) -> None:
    tracking.enable(sklearn={"curves": False, "training_metrics": False, "log_model": False})
    LogisticRegression(max_iter=200).fit(X, y)
    run = tracking.run()
    assert (training(run), list(run.artifacts)) == ({}, [])


def test_the_model_is_the_same_afterwards(tracking: Tracking) -> None:
    def train() -> bytes:
        models = [LogisticRegression(max_iter=200), RandomForestClassifier(3, random_state=0), GaussianNB()]
        return pickle.dumps([model.fit(X, words) for model in models])

    plain = train()
    tracking.enable()
    trained = train()
    autotrack.flush()
    assert trained == plain
