"""Searches: every candidate is a child run, whoever trained it."""

from __future__ import annotations

import warnings
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from autotrack.states import State
from autotrack.store import Run

from ..scripts import Place, wait_until
from ..tracking import Tracking

X, y = load_iris(return_X_y=True)


class Picky(ClassifierMixin, BaseEstimator):
    """Fails for one of its values, like a real one that does not converge."""

    def __init__(self, bias: float = 0.0) -> None:
        self.bias = bias

    def fit(self, X: Any, y: Any) -> Picky:
        if self.bias < 0:
            raise ArithmeticError("bias must not be negative")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.classes_[0])


def searched(tracking: Tracking) -> tuple[Run, list[Run]]:
    """The search's run and its candidates' in their order."""
    runs = tracking.runs()
    (run,) = [r for r in runs if r.parent is None]
    children = [r for r in runs if r.parent == run.id]
    assert set(run.children) == {child.id for child in children}
    return run, sorted(children, key=lambda child: int(child.tags["candidate"]))


def test_every_candidate_is_a_child(tracking: Tracking) -> None:
    tracking.enable()
    grid = {"alpha": [0.1, 1.0, 10.0]}
    search = GridSearchCV(Ridge(), grid, cv=3, return_train_score=True).fit(X, y)
    run, children = searched(tracking)
    results = search.cv_results_
    assert run.name == "GridSearchCV"
    assert (run.params["estimator"], run.params["estimator__alpha"]) == ("Ridge", 1.0)
    assert run.params["best_alpha"] == search.best_params_["alpha"]
    assert run.metrics["best_score"] == search.best_score_
    assert [child.params for child in children] == [{"alpha": 0.1}, {"alpha": 1.0}, {"alpha": 10.0}]
    assert [child.name for child in children] == ["Ridge"] * 3
    for i, child in enumerate(children):
        for name in ("test_score", "train_score"):
            points = child.points(name)
            assert points.step.tolist() == [0, 1, 2]
            assert points.value.tolist() == [results[f"split{fold}_{name}"][i] for fold in range(3)]
        for name in (
            "mean_test_score",
            "std_test_score",
            "rank_test_score",
            "mean_fit_time",
            "std_score_time",
        ):
            assert child.metrics[name] == results[name][i]
        assert child.state is State.FINISHED
    best = [child for child in children if child.tags.get("best") == "true"]
    assert [child.params["alpha"] for child in best] == [search.best_params_["alpha"]]


def test_folds_seen_are_fit_spans_of_their_candidate(tracking: Tracking) -> None:
    tracking.enable()
    model = make_pipeline(StandardScaler(), Ridge())
    GridSearchCV(model, {"ridge__alpha": [1.0, 2.0]}, cv=2).fit(X, y)
    run, children = searched(tracking)
    for child in children:
        assert [fit.name for fit in child.fits] == ["Pipeline", "Pipeline"]
        assert child.started <= child.fits[0].started <= child.fits[1].started
        assert child.ended is not None
        assert child.ended <= run.ended
    assert children[0].ended <= children[1].started
    names = [fit.name for fit in run.fits]  # the refit alone, with its steps
    assert (names.count("Pipeline"), names.count("StandardScaler"), names.count("Ridge")) == (1, 1, 1)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_parallel_folds(tracking: Tracking, backend: str) -> None:
    tracking.enable()
    with joblib.parallel_backend(backend, n_jobs=2):
        search = GridSearchCV(Ridge(), {"alpha": [1.0, 2.0, 3.0]}, cv=2, n_jobs=2).fit(X, y)
    run, children = searched(tracking)
    assert len(tracking.runs()) == 4
    for i, child in enumerate(children):
        expected = [search.cv_results_[f"split{fold}_test_score"][i] for fold in range(2)]
        assert child.points("test_score").value.tolist() == expected
        assert run.started <= child.started
        assert child.ended <= run.ended
    assert children[0].ended <= children[1].ended <= children[2].ended
    fits = 7 if backend == "loky" else 1  # the refit; no worker knows which candidate it trains
    wait_until(lambda: len(tracking.store.run(run.id).fits) >= fits)
    assert [fit.name for fit in tracking.store.run(run.id).fits] == ["Ridge"] * fits


@pytest.mark.parametrize("refit", [False, "accuracy", lambda results: 1])
def test_several_scorers(tracking: Tracking, refit: Any) -> None:
    tracking.enable()
    grid = {"max_depth": [1, 2]}
    scoring = ["accuracy", "f1_macro"]
    search = GridSearchCV(DecisionTreeClassifier(), grid, cv=2, scoring=scoring, refit=refit).fit(X, y)
    run, children = searched(tracking)
    for i, child in enumerate(children):
        assert child.metrics["mean_test_f1_macro"] == search.cv_results_["mean_test_f1_macro"][i]
        assert len(child.points("test_accuracy")) == 2
    assert ("best_max_depth" in run.params) == (refit is not False)
    assert len(run.fits) == (1 if refit else 0)


def test_candidates_that_fail(tracking: Tracking) -> None:
    tracking.enable()
    grid = {"bias": [0.0, -1.0]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        GridSearchCV(Picky(), grid, cv=2, error_score=np.nan).fit(X, y)
    run, (good, bad) = searched(tracking)
    assert run.state is State.FINISHED
    assert (good.state, good.error) == (State.FINISHED, None)
    assert bad.state is State.FAILED
    assert (bad.error.type, bad.error.message) == ("ArithmeticError", "2 of 2 folds failed")
    assert np.isnan(bad.points("test_score").value).all()
    assert [fit.error for fit in bad.fits] == ["ArithmeticError"] * 2


def test_candidates_of_a_script_that_ends_at_once(store: Place) -> None:
    """Its candidates are told while it ends: they are as long as their folds, and failed where those did."""
    ended = store.run(
        """
        import warnings
        import autotrack
        autotrack.enable(sklearn={"log_model": False})
        import numpy as np
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV
        warnings.simplefilter("ignore")
        X, y = load_iris(return_X_y=True)
        GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, -1.0]}, cv=2).fit(X, y)
        """
    )
    assert ended.returncode == 0, ended.err
    bad, good, search = store.open().runs()
    assert (search.state, good.state, bad.state) == (State.FINISHED, State.FINISHED, State.FAILED)
    for child in (good, bad):
        assert child.parent == search.id
        assert child.ended is not None
        last = max(fit.started.timestamp() + fit.duration for fit in child.fits)
        assert child.ended.timestamp() == pytest.approx(last, abs=1e-4)
        assert len(child.points("test_score").value) == 2


def test_a_failed_candidate_in_another_process(tracking: Tracking) -> None:
    tracking.enable()
    grid = {"C": [1.0, -1.0]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        GridSearchCV(LogisticRegression(), grid, cv=2, n_jobs=2).fit(X, y)
    _, (good, bad) = searched(tracking)
    assert (good.state, bad.state) == (State.FINISHED, State.FAILED)
    assert bad.error.message == "2 of 2 folds failed"


def test_a_search_that_raises_keeps_its_fits(tracking: Tracking) -> None:
    tracking.enable()
    with pytest.raises(ArithmeticError):
        GridSearchCV(Picky(), {"bias": [0.0, -1.0]}, cv=2, error_score="raise").fit(X, y)
    run = tracking.run()
    assert run.state is State.FAILED
    assert [fit.error for fit in run.fits] == [None, None, "ArithmeticError"]


def test_randomized_and_halving(tracking: Tracking) -> None:
    tracking.enable()
    RandomizedSearchCV(Ridge(), {"alpha": np.arange(1.0, 9.0)}, n_iter=3, cv=2, random_state=0).fit(X, y)
    assert len(searched(tracking)[1]) == 3
    search = HalvingGridSearchCV(
        DecisionTreeClassifier(), {"max_depth": [1, 2, 3, 4]}, cv=2, random_state=0, factor=2
    ).fit(X, y)
    (run,) = [r for r in tracking.runs() if r.name == "HalvingGridSearchCV"]
    children = [r for r in tracking.runs() if r.parent == run.id]
    assert len(children) == len(search.cv_results_["params"]) > 4
    assert sorted(c.metrics["n_resources"] for c in children) == sorted(search.cv_results_["n_resources"])
    assert all(len(child.fits) == 2 for child in children)


def test_candidates_can_be_left_out(tracking: Tracking) -> None:
    tracking.enable(sklearn={"candidates": False})
    GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=2).fit(X, y)
    assert len(tracking.run().fits) == 5


def test_a_search_does_the_same(tracking: Tracking) -> None:
    def search() -> Any:
        np.random.seed(3)
        found = RandomizedSearchCV(
            DecisionTreeClassifier(splitter="random"), {"max_depth": [1, 2, 3]}, n_iter=2, cv=2
        ).fit(X, y)
        times = ("mean_fit_time", "std_fit_time", "mean_score_time", "std_score_time")
        kept = {k: str(v) for k, v in found.cv_results_.items() if k not in times}
        return kept, found.best_params_, np.random.random()

    plain = search()
    tracking.enable()
    assert search() == plain
