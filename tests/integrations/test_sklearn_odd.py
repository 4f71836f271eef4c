"""Estimators and data of every odd kind: the training is what it would be without us, and so is the model."""

from __future__ import annotations

import copy
import pickle
import random
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from autotrack.states import State

from ..scripts import Place
from ..tracking import Tracking

X, y = load_iris(return_X_y=True)


class Centre(ClassifierMixin, BaseEstimator):
    """A user's own classifier, by the nearest centre."""

    def __init__(self, scale: Any = 1.0) -> None:
        self.scale = scale

    def fit(self, X: Any, y: Any) -> Any:
        self.classes_ = np.unique(y)
        self.centres_ = np.array([X[y == name].mean(axis=0) for name in self.classes_])
        return self

    def predict(self, X: Any) -> Any:
        distances = ((X[:, None] - self.centres_) ** 2).sum(axis=2)
        return self.classes_[distances.argmin(axis=1)]


class ParamsRaise(Centre):
    def get_params(self, deep: bool = True) -> Any:
        raise RuntimeError("no")


class ReprRaises(Centre):
    def __repr__(self, **_: Any) -> str:
        raise RuntimeError("no")


class EqRaises(Centre):
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")


class PredictRaises(Centre):
    def predict(self, X: Any) -> Any:
        raise RuntimeError("no")


class PredictIsSlow(Centre):
    def predict(self, X: Any) -> Any:
        time.sleep(60)


class PredictDrawsAndMutates(Centre):
    def predict(self, X: Any) -> Any:
        X[:] = np.random.random(X.shape)
        return super().predict(X)


class CopiesItself(Centre):
    """Clones, copies and pickles itself amid its training."""

    def fit(self, X: Any, y: Any) -> Any:
        copies = clone(self), copy.deepcopy(self), pickle.loads(pickle.dumps(self))
        assert [one.scale for one in copies] == [self.scale] * 3
        return super().fit(X, y)


class Array(np.ndarray):
    """Data that refuses to be compared."""

    def __eq__(self, other: object) -> Any:
        raise RuntimeError("no")


def cycle() -> Any:
    items: list[Any] = [1]
    items.append(items)
    return items


KINDS = [
    *(ParamsRaise, ReprRaises, EqRaises, PredictRaises, PredictIsSlow),
    *(PredictDrawsAndMutates, CopiesItself),
]


@pytest.mark.parametrize("kind", KINDS)
def test_odd_estimators(tracking: Tracking, kind: type[Centre]) -> None:
    def train() -> Any:
        np.random.seed(1)
        random.seed(1)
        data = X.copy()
        model = kind(2.0).fit(data, y)
        assert (data == X).all()
        return model.centres_.tolist(), sorted(vars(model)), np.random.random(), random.random()

    plain = train()
    tracking.enable()
    assert train() == plain
    assert tracking.run().state == State.FINISHED


LEAVES_THREADS = {
    "nothing": "",
    "a progress bar's watcher": "from tqdm import TMonitor, tqdm; TMonitor(tqdm, 10.0)",
    "joblib's executor": "joblib.Parallel(n_jobs=2)([joblib.delayed(abs)(-1), joblib.delayed(abs)(-2)])",
    "a pool of processes": "pool = multiprocessing.get_context('fork').Pool(1)",
}


@pytest.mark.parametrize("before", LEAVES_THREADS.values(), ids=LEAVES_THREADS)
def test_params_that_draw_leave_the_random_states(store: Place, before: str) -> None:
    """Threads that run nothing of the user's do not stand in the way, though they stay for ever.

    In a process of its own: other tests leave other threads.
    """
    ended = store.run(
        f"""
        import multiprocessing, random
        import joblib, numpy as np
        from sklearn.base import BaseEstimator
        import autotrack

        class ParamsDraw(BaseEstimator):
            def get_params(self, deep=True):
                np.random.random(), random.random()
                return {{}}
            def fit(self, X, y=None):
                return self

        def train():
            np.random.seed(1)
            random.seed(1)
            ParamsDraw().fit([[1.0]])
            return np.random.random(), random.random()

        if __name__ == "__main__":
            plain = train()
            {before}
            autotrack.enable()
            assert train() == plain
        """
    )
    assert ended.returncode == 0, ended.err
    assert store.only_run().state == State.FINISHED


@pytest.mark.parametrize(
    "value",
    [
        lambda x: x,
        np.zeros((1000, 1000)),
        Ridge(),
        cycle(),
        X.view(Array),
        Centre,
        ...,
        float("nan"),
        b"\xff",
        {1: {2: 3}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_odd_params(tracking: Tracking, value: Any) -> None:
    tracking.enable()
    model = Centre(value).fit(X, y)
    assert model.scale is value
    [run] = tracking.runs()
    assert "scale" in run.params
    assert len(str(run.params["scale"])) < 1000


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame(X, columns=list("abcd")),
        sp.csr_matrix(X),
        X.tolist(),
        pa.table({name: X[:, i] for i, name in enumerate("abcd")}).to_pandas(),
        np.asfortranarray(X),
        X.astype(object),
        X[::-1][::-1],
    ],
    ids=["frame", "sparse", "list", "arrow", "fortran", "object", "strided"],
)
def test_data_of_every_kind(tracking: Tracking, data: Any) -> None:
    expected = LogisticRegression(max_iter=500).fit(data, y).coef_
    before = pickle.dumps(data)
    tracking.enable()
    model = LogisticRegression(max_iter=500).fit(data, y)
    assert (model.coef_ == expected).all()
    assert pickle.dumps(data) == before
    [dataset] = tracking.run().datasets
    assert dataset.shape == (150, 4)


def test_several_targets(tracking: Tracking) -> None:
    targets = np.c_[X[:, 0], X[:, 1]]
    expected = Ridge().fit(X, targets).coef_
    tracking.enable()
    assert (Ridge().fit(X, targets).coef_ == expected).all()
    assert tracking.run().metrics["training_r2_score"] > 0.5


def test_a_memory_map_of_ten_gigabytes_is_not_read(tracking: Tracking, tmp_path: Path) -> None:
    """A sparse file: it takes no place on the disk, and reading it all would take seconds."""

    class Looks(Centre):
        def fit(self, X: Any, y: Any = None) -> Any:
            return self

    data = np.memmap(tmp_path / "mapped", np.float64, "w+", shape=(10 * 2**30 // 8 // 100, 100))
    tracking.enable()
    started = time.process_time()
    Looks().fit(data)
    tracking.runs()
    assert time.process_time() - started < 5
    [dataset] = tracking.run().datasets
    assert dataset.shape == data.shape
    assert dataset.digest.startswith("xxh3-blocks:")


def test_ctrl_c_amid_a_fit(tracking: Tracking) -> None:
    class Interrupted(Centre):
        def fit(self, X: Any, y: Any) -> Any:
            raise KeyboardInterrupt

    tracking.enable()
    with pytest.raises(KeyboardInterrupt):
        make_pipeline(StandardScaler(), Interrupted()).fit(X, y)
    assert LogisticRegression(max_iter=500).fit(X, y) is not None
    after, interrupted = tracking.runs()
    assert interrupted.state == State.KILLED
    assert after.state == State.FINISHED
    assert after.parent is None


def fitted(c: float) -> Any:
    return LogisticRegression(C=c, max_iter=500).fit(X, y).coef_.tolist()


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_fits_in_joblib(tracking: Tracking, backend: str) -> None:
    strengths = [0.1, 0.5, 1.0, 2.0]
    expected = list(map(fitted, strengths))
    tracking.enable()
    found = joblib.Parallel(2, backend=backend)(joblib.delayed(fitted)(c) for c in strengths)
    assert found == expected
    if backend == "threading":  # other processes have not enabled it
        assert sorted(run.params["C"] for run in tracking.runs()) == strengths


def test_one_estimator_fitted_by_many_threads(tracking: Tracking) -> None:
    tracking.enable()
    model = Centre()
    threads = [threading.Thread(target=model.fit, args=(X, y)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.state for run in tracking.runs()] == [State.FINISHED] * 8


class Slow:
    def __repr__(self) -> str:
        time.sleep(0.002)
        return "Slow"


def test_the_draws_of_another_thread_are_not_taken_back(tracking: Tracking) -> None:
    tracking.enable(sklearn={"log_model": False})
    np.random.seed(0)
    draws: list[float] = []
    is_over = threading.Event()

    def draw() -> None:
        while not is_over.is_set():
            draws.append(np.random.random_sample())
            time.sleep(0)

    thread = threading.Thread(target=draw)
    thread.start()
    for _ in range(20):
        Centre(Slow()).fit(X, y)
    is_over.set()
    thread.join()
    assert len(set(draws)) == len(draws)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomForestClassifier(3, verbose=1, random_state=0),
        lambda: BaggingClassifier(RandomForestClassifier(2, verbose=1), n_estimators=2, verbose=1),
        lambda: make_pipeline(StandardScaler(), RandomForestClassifier(3, verbose=2)),
        lambda: GridSearchCV(RandomForestClassifier(3, verbose=1), {"max_depth": [2]}, cv=2),
    ],
    ids=["forest", "bagging", "pipeline", "search"],
)
def test_what_is_asked_after_a_training_prints_nothing(
    tracking: Tracking, make: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    def lines() -> int:
        make().fit(X, y)
        printed = capfd.readouterr()
        return len((printed.out + printed.err).splitlines())

    plain = lines()
    tracking.enable()
    assert lines() == plain
    [run] = [run for run in tracking.runs() if run.parent is None]
    assert "training_accuracy_score" in run.metrics


WEIGHTS = [np.where(y == 2, 0.0, 1.0), np.where(y == 1, 1.0, 0.0), np.where(y == 2, -0.3, 1.0), 2.0]


@pytest.mark.parametrize("weight", WEIGHTS, ids=["no such class", "only one class", "negative", "one number"])
def test_odd_weights(tracking: Tracking, weight: Any) -> None:
    tracking.enable(sklearn={"log_model": False})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = (
            LogisticRegression(max_iter=5000)
            if weight is WEIGHTS[-1]
            else DecisionTreeClassifier(max_depth=2)
        )
        model.fit(X, y, sample_weight=weight)
        [run] = tracking.runs()
        tables = {a.path for a in run.artifacts if a.path.startswith("training")}
    assert "training_confusion_matrix.json" in tables
    assert run.metrics["training_accuracy_score"] > 0
    assert run.metrics.get("training_log_loss", 0.0) >= 0
    assert 0 <= run.metrics.get("training_roc_auc", 0.0) <= 1
