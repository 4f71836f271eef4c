"""scikit-learn, the real one."""

from __future__ import annotations

import pickle
import random
import threading
import warnings
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import (
    BayesianRidge,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
)
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import autotrack
from autotrack.states import State
from autotrack.store import Store

from ..scripts import Place
from ..tracking import Tracking

X, y = load_iris(return_X_y=True)


class Mean(ClassifierMixin, BaseEstimator):
    """A user's own estimator."""

    def __init__(self, bias: Any = 0.5) -> None:
        self.bias = bias

    def fit(self, X: Any, y: Any) -> Mean:
        if self.bias == "broken":
            raise ValueError("bias must be a number")
        self.mean_ = X.mean()
        return self

    def predict(self, X: Any) -> Any:
        if not hasattr(self, "mean_"):
            raise NotFittedError
        return X.mean(axis=1) > self.mean_


class FitMixin:
    """`fit` from outside the BaseEstimator family."""

    def fit(self, X: Any, y: Any = None) -> Any:
        return self


class Mixed(FitMixin, BaseEstimator):
    pass


def test_params_metrics_and_state_of_one_fit(tracking: Tracking) -> None:
    tracking.enable()
    model = MLPClassifier((5,), max_iter=7, random_state=0, early_stopping=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    run = tracking.run()
    assert (run.name, run.experiment, run.state) == ("MLPClassifier", "tests", State.FINISHED)
    assert run.params["hidden_layer_sizes"] == "(5,)"
    assert (run.params["max_iter"], run.params["early_stopping"], run.params["alpha"]) == (7, True, 0.0001)
    assert set(run.params) == set(model.get_params())
    assert run.points("loss_curve").value.tolist() == model.loss_curve_
    assert run.points("validation_scores").step.tolist() == list(range(7))
    assert run.metrics["n_iter"] == 7
    assert run.ended is not None
    assert run.duration > 0


@pytest.mark.parametrize(
    "model", [Mean(), Mixed(), StandardScaler(), KMeans(2, n_init=1, random_state=0), GaussianNB()]
)
def test_every_estimator_makes_a_run(tracking: Tracking, model: Any) -> None:
    tracking.enable()
    model.fit(X, y)
    assert tracking.run().name == type(model).__name__


def test_classes_defined_later_are_recorded(tracking: Tracking) -> None:
    tracking.enable()

    class Later(Mean):
        def fit(self, X: Any, y: Any) -> Later:
            super().fit(X, y)  # the same call, not one more
            return self

    Later(bias=3).fit(X, y)
    run = tracking.run()
    assert (run.name, run.params, run.fits) == ("Later", {"bias": 3}, [])


def test_calls_inside_a_call_are_fit_spans(tracking: Tracking) -> None:
    tracking.enable()
    make_pipeline(StandardScaler(), LogisticRegression(C=2)).fit(X, y)
    run = tracking.run()
    assert run.name == "Pipeline"
    assert run.params["logisticregression__C"] == 2
    assert run.params["steps"] == "standardscaler: StandardScaler, logisticregression: LogisticRegression"
    named = {fit.name: fit for fit in run.fits}
    assert named["LogisticRegression"].params["C"] == 2
    assert named["StandardScaler"].duration > 0
    inside = [fit for fit in run.fits if fit.parent == named["LogisticRegression"].id]
    assert all(fit.name == "LabelEncoder" for fit in inside)


def test_nested_meta_estimators(tracking: Tracking) -> None:
    tracking.enable()
    TransformedTargetRegressor(LinearRegression(), transformer=StandardScaler()).fit(X, y)
    VotingClassifier([("a", GaussianNB()), ("b", DecisionTreeClassifier())]).fit(X, y)
    voting, target = tracking.runs()
    assert [f.name for f in voting.fits if f.parent not in {g.id for g in voting.fits}][1:] == [
        "GaussianNB",
        "DecisionTreeClassifier",
    ]
    assert {f.name for f in target.fits} == {"StandardScaler", "LinearRegression"}


def test_an_exception_fails_the_run_and_reaches_the_user(tracking: Tracking) -> None:
    tracking.enable()
    with pytest.raises(ValueError, match="bias must be a number") as raised:
        Mean("broken").fit(X, y)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    run = tracking.run()
    assert run.state is State.FAILED
    assert run.error is not None
    assert (run.error.type, run.error.message) == ("ValueError", "bias must be a number")
    assert "in fit" in run.error.traceback


def test_an_explicit_run_is_claimed_by_the_first_model(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("mine") as mine:
        scaler = StandardScaler().fit(X)
        Ridge(alpha=3.0).fit(scaler.transform(X), y)
        Ridge(alpha=4.0).fit(X, y)
    child, run = tracking.runs()
    assert (run.id, run.name, run.children) == (mine.id, "mine", (child.id,))
    assert run.params["alpha"] == 3.0
    assert [fit.name for fit in run.fits] == ["StandardScaler", "Ridge"]
    assert (child.name, child.parent, child.params["alpha"]) == ("Ridge", mine.id, 4.0)


def test_threads_are_separate_runs(tracking: Tracking) -> None:
    tracking.enable()
    threads = [threading.Thread(target=Mean(bias).fit, args=(X, y)) for bias in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run.params["bias"] for run in tracking.runs()) == list(range(8))


def test_results_and_random_states_are_the_same(tracking: Tracking) -> None:
    def train() -> tuple[Any, ...]:
        np.random.seed(0)
        random.seed(0)
        model = RandomForestClassifier(5).fit(X, y)
        boosted = GradientBoostingClassifier(n_estimators=3, subsample=0.5).fit(X, y)
        proba = model.predict_proba(X).tobytes(), boosted.predict_proba(X).tobytes()
        return *proba, np.random.get_state()[1].tobytes(), random.getstate(), pickle.dumps(model)

    plain = train()
    tracking.enable()
    assert train() == plain


def test_estimators_pickle_clone_and_go_to_other_processes(tracking: Tracking) -> None:
    tracking.enable()
    model = Mean(2)
    assert pickle.loads(pickle.dumps(model.fit))(X, y).bias == 2
    assert clone(model).bias == 2
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=2, n_jobs=2).fit(X, y)
    assert search.best_score_ < 1
    fitted = joblib.Parallel(n_jobs=2)(joblib.delayed(Ridge(alpha).fit)(X, y) for alpha in (1.0, 2.0))
    assert [m.alpha for m in fitted] == [1.0, 2.0]


def test_disable_restores_every_class(tracking: Tracking) -> None:
    def members() -> dict[type, dict[str, Any]]:
        classes, found = [BaseEstimator], {}
        while classes:
            cls = classes.pop()
            found[cls] = dict(vars(cls))
            classes += cls.__subclasses__()
        return found

    before = members()
    tracking.enable()
    tracking.enable()
    StandardScaler().fit(X)
    autotrack.disable()
    after = members()
    for cls, entries in before.items():
        assert after[cls].keys() - entries.keys() <= {"__annotations__"}
        assert all(after[cls][name] is entry for name, entry in entries.items())
    StandardScaler().fit(X)
    assert len(tracking.runs()) == 1


def test_enable_twice_records_once(tracking: Tracking) -> None:
    tracking.enable()
    tracking.enable("sklearn")
    Mean().fit(X, y)
    assert len(tracking.runs()) == 1


def test_fitted_metrics_can_be_left_out(tracking: Tracking) -> None:
    tracking.enable(sklearn={"fitted_metrics": False})
    KMeans(2, n_init=1, random_state=0).fit(X)
    assert tracking.run().metrics == {}


def test_params_that_misbehave_cost_only_themselves(tracking: Tracking) -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    tracking.enable()
    model = Mean(Rude()).fit(X, y)
    assert model.mean_ == X.mean()
    assert tracking.run().params == {"bias": "<Rude>"}


def test_get_params_that_raises_is_one_line(tracking: Tracking, caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Mean):
        def get_params(self, deep: bool = True) -> Any:
            raise RuntimeError("no params today")

    tracking.enable()
    for _ in range(2):
        Odd().fit(X, y)
    assert [run.state for run in tracking.runs()] == [State.FINISHED] * 2
    lines = [r.message for r in caplog.records if r.name == "autotrack"]
    assert lines == [
        "autotrack: sklearn: its hook failed before the call, training goes on: RuntimeError: no params today"
    ]


def test_calls_that_are_wrong_themselves_do_not_switch_a_hook_off(
    tracking: Tracking, caplog: pytest.LogCaptureFixture
) -> None:
    """As long as a notebook's user searches for the right arguments."""
    tracking.enable()
    for _ in range(4):
        with pytest.raises(TypeError):
            LogisticRegression().fit(X)
        with pytest.raises(TypeError):
            Pipeline([("scaler", StandardScaler), ("model", LogisticRegression())]).fit(X, y)  # no instance
    LogisticRegression(C=0.5).fit(X, y)
    assert [r.message for r in caplog.records if r.name == "autotrack"] == []
    last, *others = tracking.runs()
    assert last.params["C"] == 0.5
    assert {run.state for run in others} == {State.FAILED}


@pytest.mark.parametrize(
    "evaluated",
    [(X, y), [(X, y)], [(X, y), (X, y)], [X, y], 3, [None]],
    ids=lambda value: type(value).__name__,
)
def test_an_eval_set_of_any_form(
    tracking: Tracking, evaluated: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Stops(Mean):
        def fit(self, X: Any, y: Any = None, eval_set: Any = None) -> Any:
            return super().fit(X, y)

    tracking.enable(sklearn={"log_model": False})
    Stops().fit(X, y, eval_set=evaluated)
    pairs = [evaluated] if isinstance(evaluated, tuple) else evaluated if isinstance(evaluated, list) else []
    names = [f"validation_{i}" for i, pair in enumerate(pairs) if isinstance(pair, tuple)]
    assert sorted(dataset.name for dataset in tracking.run().datasets) == sorted(["train", *names])
    assert [r.message for r in caplog.records if r.name == "autotrack"] == []


@pytest.mark.parametrize(
    "steps",
    [
        [("scaler", StandardScaler()), ("rest", "passthrough")],
        [("rest", "passthrough"), ("model", LogisticRegression())],
        [("rest", None), ("model", LogisticRegression())],
    ],
)
def test_steps_of_a_pipeline_that_do_nothing(
    tracking: Tracking, steps: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tracking.enable()
    Pipeline(steps).fit(X, y)
    assert [r.message for r in caplog.records if r.name == "autotrack"] == []
    assert tracking.run().state == State.FINISHED


def test_scores_that_are_no_curve(tracking: Tracking, caplog: pytest.LogCaptureFixture) -> None:
    """`scores_` are a curve for some, of features for others, and a dict for a third."""
    tracking.enable()
    BayesianRidge(compute_score=True, max_iter=5, tol=1e-300).fit(X, y)
    assert tracking.run().points("scores").step.tolist() == list(range(6))
    SelectKBest(k=2).fit(X, y)
    assert "scores" not in tracking.runs()[0].metrics
    LogisticRegressionCV(Cs=2, cv=3, max_iter=500).fit(X, y)
    assert "training_accuracy_score" in tracking.runs()[0].metrics
    assert [r.message for r in caplog.records if r.name == "autotrack"] == []


@pytest.mark.parametrize("order", ["before", "after", "inside"])
def test_import_order_does_not_matter(store: Place, order: str) -> None:
    enable = "autotrack.enable()"
    imports = "from sklearn.linear_model import Ridge"
    lines = {"before": [imports, enable], "after": [enable, imports], "inside": [enable]}[order]
    body = f"def main():\n    {imports}\n    Ridge().fit([[1.0], [2.0]], [1.0, 2.0])\nmain()"
    done = store.run("\n".join(["import autotrack", *lines, body]))
    assert done.returncode == 0, done.err
    assert [run.name for run in Store(store.url).runs()] == ["Ridge"]


HEAVY = ["sklearn", "xgboost", "numpy", "sqlalchemy", "alembic", "click", "rich", "pandas", "autotrack.store"]


def test_enable_imports_no_library(store: Place) -> None:
    done = store.run(f"""
        import autotrack, sys
        autotrack.enable(quiet=True)
        print([m for m in {HEAVY} if m in sys.modules])
    """)
    assert (done.out, done.err) == ("[]\n", "")


def test_importing_one_estimator_does_not_import_all_of_sklearn(store: Place) -> None:
    done = store.run("""
        import autotrack, sys
        autotrack.enable(quiet=True)
        from sklearn.preprocessing import StandardScaler
        StandardScaler().fit([[1.0], [2.0]])
        print('sklearn.ensemble' in sys.modules)
    """)
    assert (done.out, done.err) == ("False\n", "")
