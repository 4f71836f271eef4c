"""Points that come after the training: `score` and `sklearn.metrics` of a trained estimator."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import pickle
import threading
import weakref
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
import xgboost
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, mean_squared_error, roc_auc_score, silhouette_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import autotrack
from autotrack.recording.lineage import MAX_PREDICTIONS, Lineage
from autotrack.recording.run import ActiveRun
from autotrack.states import State

from ..scripts import Place, curve, values
from ..tracking import Tracking

X, y = load_breast_cancer(return_X_y=True)
X = X[:, :3]
X_train, X_test = X[::2], X[1::2]
y_train, y_test = y[::2], y[1::2]
metrics_before = dict(vars(sklearn.metrics))


class Echo(ClassifierMixin, BaseEstimator):
    """A user's own estimator, which returns and raises what it is told to."""

    def __init__(self, says: Any = None) -> None:
        self.says = says

    def fit(self, X: Any, y: Any = None) -> Echo:
        return self

    def predict(self, X: Any) -> Any:
        return self._say(X)

    def score(self, X: Any, y: Any = None) -> Any:
        return self._say(X)

    def _say(self, X: Any) -> Any:
        if isinstance(self.says, BaseException):
            raise self.says
        return self.says(X) if callable(self.says) else self.says


@pytest.fixture
def model(tracking: Tracking) -> Any:
    tracking.enable()
    return LogisticRegression().fit(X_train, y_train)


# --- what is recorded, and under which name ---------------------------------------------------------


def test_scores_and_metrics_are_points_of_the_run(tracking: Tracking, model: Any) -> None:
    score = model.score(X_test, y_test)
    predicted = model.predict(X_test)
    accuracy = accuracy_score(y_test, predicted)
    f1 = sklearn.metrics.f1_score(y_true=y_test, y_pred=predicted)
    run = tracking.run()
    assert run.metrics["score/X_test"] == run.metrics["accuracy_score/X_test"] == score == accuracy
    assert run.metrics["f1_score/X_test"] == f1


def test_asked_again_the_curve_goes_on(tracking: Tracking, model: Any) -> None:
    scores = [model.score(X_test, y_test), model.score(X_train, y_train), model.score(X_test, y_test)]
    run = tracking.run()
    assert curve(run, "score/X_test") == [(0, scores[0]), (1, scores[2])]
    assert curve(run, "score/X_train") == [(0, scores[1])]


def test_a_name_tells_how_the_metric_was_asked_for(tracking: Tracking, model: Any) -> None:
    predicted, weights = model.predict(X_test), np.ones(len(y_test))
    f1_score(y_test, predicted, average="macro")
    f1_score(y_test, predicted, average="micro", sample_weight=weights)
    assert {name for name in tracking.run().metrics if name.startswith("f1")} == {
        "f1_score/X_test/average=macro",
        "f1_score/X_test/average=micro,sample_weight",
    }


def test_the_data_is_named_as_the_caller_names_it(tracking: Tracking, model: Any) -> None:
    def evaluate(X: Any, y: Any) -> None:
        model.score(X, y)
        accuracy_score(y, model.predict(X))

    mine, labels = X_test.copy(), y_test.copy()
    evaluate(X_train, y_train)
    evaluate(X=mine, y=labels)
    evaluate(X_test[:50], labels[:50])
    assert {name for name in tracking.run().metrics if "/" in name} == {
        f"{metric}/{data}" for metric in ("score", "accuracy_score") for data in ("X_train", "mine", "X")
    }


def test_data_without_a_name(tracking: Tracking, model: Any) -> None:
    accuracy_score(y_test, model.predict(X_test + 0))
    roc_auc_score(y_test + 0, model.decision_function(X_test + 0))
    model.score(X_test + 0, y_test + 0)
    assert {"accuracy_score/y_test", "roc_auc_score/data", "score/data"} <= set(tracking.run().metrics)


def test_lists_and_tables_have_names_too(tracking: Tracking, model: Any) -> None:
    rows, frame, truth = X_test.tolist(), pd.DataFrame(X_test), pd.Series(y_test)
    model.score(rows, y_test)
    accuracy_score(truth, model.predict(frame))
    accuracy_score(truth, model.predict(rows))
    metrics = tracking.run().metrics
    assert {"score/rows", "accuracy_score/frame", "accuracy_score/truth"} <= set(metrics)


def test_curves_matrices_and_reports_are_tables(tracking: Tracking, model: Any) -> None:
    names = np.array(["good", "bad"])
    named = LogisticRegression().fit(X_train, names[y_train])
    truth, predicted = names[y_test], named.predict(X_test)
    matrix = sklearn.metrics.confusion_matrix(truth, predicted)
    turned = sklearn.metrics.confusion_matrix(truth, predicted, labels=["good", "bad"])
    text = sklearn.metrics.classification_report(truth, predicted)
    report = sklearn.metrics.classification_report(truth, predicted, output_dict=True)
    each = f1_score(truth, predicted, average=None)
    positive = named.predict_proba(X_test)[:, 1]
    false, true, threshold = sklearn.metrics.roc_curve(y_test, positive)
    true[:] = 7  # the user's own from here on
    sklearn.metrics.precision_recall_curve(y_test, positive)
    run = tracking.runs()[0]

    def table(name: str) -> dict[str, list[Any]]:
        read = pd.read_json(run.artifact(f"{name}.json"), orient="split", precise_float=True)
        found: dict[str, list[Any]] = read.to_dict("list")
        return found

    assert table("confusion_matrix/X_test") == {
        "true": ["bad", "good"],
        "predicted bad": matrix[:, 0].tolist(),
        "predicted good": matrix[:, 1].tolist(),
    }
    assert table("confusion_matrix/X_test/labels")["predicted good"] == turned[:, 0].tolist()
    assert (
        table("classification_report/X_test/output_dict=True")["precision"][0] == report["bad"]["precision"]
    )
    assert run.artifact("classification_report/X_test.txt").read_text() == text
    assert table("f1_score/X_test/average=None") == {"value": each.tolist()}
    roc = table("roc_curve/X_test")
    assert roc["false_positive_rate"] == false.tolist()
    assert roc["true_positive_rate"][-1] == 1
    assert roc["threshold"][1:] == threshold[1:].tolist()
    assert {"precision", "recall", "threshold"} == set(table("precision_recall_curve/X_test"))


def test_naming_leaves_no_trace_in_the_callers_frame(tracking: Tracking, model: Any) -> None:
    def deleting() -> bool:
        mine = X_test.copy()
        reference = weakref.ref(mine)
        model.score(mine, y_test)
        del mine
        return reference() is None

    def keeping(rate: float) -> list[str]:
        settings = locals()
        mine = X_test.copy()
        model.score(mine, y_test)
        return list(settings)

    assert deleting()
    assert keeping(0.1) == ["rate", "model"]
    assert {"score/mine", "score/y_test"} <= set(tracking.run().metrics)


# --- which run ----------------------------------------------------------------------------------------


def test_every_model_has_its_own_run(tracking: Tracking) -> None:
    tracking.enable()
    ridge, linear = Ridge().fit(X_train, y_train), LinearRegression().fit(X_train, y_train)
    first, second = ridge.predict(X_test), linear.predict(X_test)
    mean_squared_error(y_test, first)
    mean_squared_error(y_test, second)
    sklearn.metrics.r2_score(first, second)  # the second is what is judged
    of = {run.name: run.metrics for run in tracking.runs()}
    assert of["Ridge"]["mean_squared_error/X_test"] == mean_squared_error(y_test + 0, first + 0)
    assert of["LinearRegression"]["mean_squared_error/X_test"] == mean_squared_error(y_test, second + 0)
    assert [name for name in of if "r2_score/X_test" in of[name]] == ["LinearRegression"]


def test_trained_again_it_belongs_to_the_new_run(tracking: Tracking, model: Any) -> None:
    model.fit(X_test, y_test)
    model.score(X_test, y_test)
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(X_test, y_test[:3])
    model.score(X_test, y_test)
    failed, second, first = tracking.runs()
    assert (failed.state, failed.metrics) == (State.FAILED, {})
    assert values(second, "score/X_test") == [run_score(model)] * 2
    assert "score/X_test" not in first.metrics


def run_score(model: Any) -> float:
    return float(np.mean(model.predict(X_test) == y_test))


def test_an_ended_run_stays_as_it_ended(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("mine"):
        model = LogisticRegression().fit(X_train, y_train)
    ended = tracking.run().ended
    with autotrack.run("another"):
        model.score(X_test, y_test)
    another, mine = tracking.runs()
    assert (mine.name, mine.state, mine.ended) == ("mine", State.FINISHED, ended)
    assert "score/X_test" in mine.metrics
    assert another.metrics == {}


def test_parts_of_a_pipeline_and_the_best_of_a_search(tracking: Tracking) -> None:
    tracking.enable()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X_train, y_train)
    scaled = pipeline[0].transform(X_test)
    pipeline[-1].score(scaled, y_test)
    pipeline.score(X_test, y_test)
    accuracy_score(y_test, pipeline.predict(X_test))
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=2).fit(X_train, y_train)
    search.score(X_test, y_test)
    best = search.best_estimator_
    mean_squared_error(y_test, best.predict(X_test))
    of = {run.name: run.metrics for run in tracking.runs()}
    assert {"score/scaled", "score/X_test", "accuracy_score/X_test"} <= set(of["Pipeline"])
    assert {"score/X_test", "mean_squared_error/X_test"} <= set(of["GridSearchCV"])


def test_a_view_of_a_prediction_is_one(tracking: Tracking, model: Any) -> None:
    boosted = xgboost.XGBClassifier(n_estimators=2).fit(X_train, y_train)
    for each in (model, boosted):
        probabilities = each.predict_proba(X_test)
        roc_auc_score(y_test, probabilities[:, 1])
        roc_auc_score(y_test[:100], probabilities[:100][:, 1])
    assert all(len(run.points("roc_auc_score/X_test")) == 2 for run in tracking.runs())


def test_what_is_no_prediction_of_a_tracked_model(tracking: Tracking, model: Any) -> None:
    same = Echo(lambda X: X[:, 0]).fit(X_train)
    mean_squared_error(X_test[:, 1], X_test[:, 2])  # same.predict gave a view of its input
    mean_squared_error(same.predict(X_test), X_test[:, 2])
    accuracy_score(y_test, model.predict(X_test).copy())
    copy.deepcopy(model).score(X_test, y_test)
    stranger = pickle.loads(pickle.dumps(model))
    accuracy_score(y_test, stranger.predict(X_test))
    assert not [name for run in tracking.runs() for name in run.metrics if "/" in name]


def test_predictions_outlive_their_model(tracking: Tracking) -> None:
    tracking.enable()
    model = Ridge().fit(X_train, y_train)
    predicted = model.predict(X_test)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    mean_squared_error(y_test, predicted)
    assert "mean_squared_error/X_test" in tracking.run().metrics


# --- calls that are not the user's evaluation -----------------------------------------------------------


def test_measures_inside_a_training_are_its_own(tracking: Tracking) -> None:
    class Careful(Echo):
        def fit(self, X: Any, y: Any = None) -> Careful:
            self.inner_ = LogisticRegression().fit(X, y)
            self.inner_.score(X, y)
            accuracy_score(y, self.inner_.predict(X))
            return self

    tracking.enable()
    Careful().fit(X_train, y_train)
    cross_val_score(LogisticRegression(), X_train, y_train, cv=2)
    assert not [name for run in tracking.runs() for name in run.metrics if "/" in name]


def test_measures_inside_a_measure_are_part_of_it(tracking: Tracking, model: Any) -> None:
    class Thorough(LogisticRegression):
        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
            return f1_score(y, self.predict(X)) + accuracy_score(y, self.predict(X))

    Thorough().fit(X_train, y_train).score(X_test, y_test)
    permutation_importance(model, X_test, y_test, n_repeats=2)
    thorough, plain = tracking.runs()
    assert [name for name in thorough.metrics if "/" in name] == ["score/X_test"]
    assert [name for name in plain.metrics if "/" in name] == []


# --- the user's call is what it was -----------------------------------------------------------------------


def test_values_are_the_very_same_objects(tracking: Tracking) -> None:
    class Number(float):
        pass

    score, predicted = Number(0.5), pd.Series(y_test)
    tracking.enable()
    assert Echo(score).fit(X_train).score(X_test) is score
    assert Echo(predicted).fit(X_train).predict(X_test) is predicted
    assert accuracy_score(y_test, predicted) == 1
    assert [run.metrics for run in tracking.runs()] == [{"accuracy_score/X_test": 1.0}, {"score/X_test": 0.5}]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt("mine")])
def test_exceptions_are_the_users(tracking: Tracking, error: BaseException) -> None:
    tracking.enable()
    failing = Echo(error).fit(X_train)
    for call in (failing.score, failing.predict):
        with pytest.raises(type(error), match="mine") as raised:
            call(X_test)
        assert raised.value is error
        assert raised.value.__context__ is None
    model = LogisticRegression().fit(X_train, y_train)
    with pytest.raises(ValueError, match="inconsistent"):
        accuracy_score(y_test[:3], model.predict(X_test))
    with pytest.raises(TypeError):
        accuracy_score(model.predict(X_test))
    assert model.score(X_test, y_test) > 0
    assert [name for run in tracking.runs() for name in run.metrics if "/" in name] == ["score/X_test"]


def test_values_that_are_no_number_make_no_point(
    tracking: Tracking, caplog: pytest.LogCaptureFixture
) -> None:
    tracking.enable(sklearn={"log_model": False})
    model = LinearRegression().fit(X_train, np.c_[y_train, y_train])
    mean_squared_error(np.c_[y_test, y_test], model.predict(X_test), multioutput="raw_values")
    for odd in (None, "0.5", [0.5], np.array([0.5, 0.6]), object()):
        Echo(odd).fit(X_train).score(X_test)
    assert not [name for run in tracking.runs() for name in run.metrics if "/" in name]
    assert [record.message for record in caplog.records if record.name == "autotrack"] == []


def test_odd_objects(tracking: Tracking, caplog: pytest.LogCaptureFixture) -> None:
    class Rude(Echo):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

        def __bool__(self) -> bool:
            raise RuntimeError("no")

        def __len__(self) -> int:
            raise RuntimeError("no")

    class Slotted:
        __slots__ = ()

    tracking.enable(sklearn={"log_model": False})
    rude = Rude(lambda X: 0.25).fit(X_train)
    rude.score(y for y in y_test)
    rude.score(Slotted(), Slotted())
    rude.score(rude)
    assert rude.predict(Slotted()) == 0.25
    assert values(tracking.run(), "score/data") == [0.25, 0.25]
    assert values(tracking.run(), "score/rude") == [0.25]
    assert [record.message for record in caplog.records if record.name == "autotrack"] == []


def test_a_failure_of_ours_is_one_line(
    tracking: Tracking, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, model: Any
) -> None:
    monkeypatch.setattr("autotrack.patches.sklearn.evaluation._name", lambda *_: 1 / 0)
    assert model.score(X_test, y_test) == run_score(model)
    (line,) = [record.message for record in caplog.records if record.name == "autotrack"]
    assert line.startswith("autotrack: sklearn: its hook failed, training goes on: ZeroDiv")


def test_what_an_estimator_lacks_it_still_lacks(tracking: Tracking) -> None:
    tracking.enable()
    assert not hasattr(SVC(probability=False), "predict_proba")
    assert not hasattr(make_pipeline(StandardScaler()), "predict")
    assert not hasattr(StandardScaler(), "score")
    with pytest.raises(AttributeError, match="predict_proba"):
        SVC(probability=False).fit(X_train, y_train).predict_proba(X_test)


def test_methods_and_functions_pickle(tracking: Tracking, model: Any) -> None:
    assert pickle.loads(pickle.dumps(model.predict))(X_test).tolist() == model.predict(X_test).tolist()
    assert pickle.loads(pickle.dumps(accuracy_score)) is metrics_before["accuracy_score"]


def test_disable_restores_the_functions(tracking: Tracking, model: Any) -> None:
    predict = LogisticRegression.predict
    assert accuracy_score is sklearn.metrics.accuracy_score is not metrics_before["accuracy_score"]
    autotrack.disable()
    assert {name: vars(sklearn.metrics)[name] for name in metrics_before} == metrics_before
    assert accuracy_score is metrics_before["accuracy_score"]
    assert "score" not in vars(LogisticRegression)
    assert LogisticRegression.predict is not predict
    model.score(X_test, y_test)
    assert "score/X_test" not in tracking.run().metrics


# --- processes, threads and memory ------------------------------------------------------------------------


def test_threads_score_beside_each_other(tracking: Tracking, model: Any) -> None:
    def evaluate() -> None:
        for _ in range(20):
            accuracy_score(y_test, model.predict(X_test))

    threads = [threading.Thread(target=evaluate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    points = tracking.run().points("accuracy_score/X_test")
    assert points.step.tolist() == list(range(80))
    assert set(points.value.tolist()) == {run_score(model)}


def test_functions_imported_before_enable_in_a_script_and_its_modules(store: Place) -> None:
    (store.folder / "judging.py").write_text(
        "from sklearn.metrics import accuracy_score as accuracy\n"
        "def judge(truth, predicted):\n"
        "    return accuracy(truth, predicted)\n"
    )
    done = store.run("""
        from judging import judge
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import accuracy_score
        import autotrack

        autotrack.enable(quiet=True)

        def main():
            X_valid, y_valid = load_iris(return_X_y=True)
            model = LogisticRegression(max_iter=1000).fit(X_valid, y_valid)
            predicted = model.predict(X_valid)
            judge(y_valid, predicted)
            accuracy_score(y_valid, predicted)

        main()
    """)
    assert (done.returncode, done.err) == (0, "")
    run = store.only_run()
    assert [step for step, _ in curve(run, "accuracy_score/X_valid")] == [0, 1]


def test_a_forked_child_leaves_the_parents_run_alone(tracking: Tracking, model: Any) -> None:
    predicted = model.predict(X_test)
    context: Any = multiprocessing.get_context("fork")
    child = context.Process(target=lambda: (model.score(X_test, y_test), accuracy_score(y_test, predicted)))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert not [name for name in tracking.run().metrics if "/" in name]


def arrays(count: int) -> Iterator[np.ndarray[Any, Any]]:
    return (np.zeros(3) for _ in range(count))


def test_what_is_gone_is_forgotten() -> None:
    lineage, model, run = Lineage(), Echo(), cast(ActiveRun, object())
    lineage.trained(model, run)
    seen = set()
    for predicted in arrays(100):  # the same memory over and over
        seen.add(id(predicted))
        assert lineage.origin_of(predicted) is None
        lineage.predicted(predicted, run, None)
        assert lineage.origin_of(predicted) is not None
    assert len(seen) < 100
    del predicted
    assert not lineage._predicted
    assert lineage.run_of(model) is run
    del model
    assert not lineage._trained


def test_the_latest_predictions_are_remembered() -> None:
    lineage, run = Lineage(), cast(ActiveRun, object())
    kept = list(arrays(MAX_PREDICTIONS + 10))
    for predicted in kept:
        lineage.predicted(predicted, run, None)
    assert len(lineage._predicted) <= MAX_PREDICTIONS
    assert all(lineage.origin_of(predicted) is not None for predicted in kept[-100:])
    assert lineage.origin_of(kept[0]) is None
    kept.clear()
    del predicted
    assert not lineage._predicted


def test_clusterings_are_judged_too(tracking: Tracking) -> None:
    tracking.enable()
    clusters = KMeans(2, n_init=1, random_state=0)
    labels = clusters.fit_predict(X_train)
    silhouette_score(X_train, labels)
    silhouette_score(X_train, clusters.labels_)
    silhouette_score(X_test, clusters.predict(X_test))
    run = tracking.run()
    assert len(run.points("silhouette_score/X_train")) == 2
    assert len(run.points("silhouette_score/X_test")) == 1
