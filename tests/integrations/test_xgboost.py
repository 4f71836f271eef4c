"""XGBoost, the real one."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from xgboost import train as train_imported_before

import autotrack
from autotrack.patches.xgboost.points import Points
from autotrack.states import State

from ..tracking import Tracking

X, y = load_breast_cancer(return_X_y=True)
data, valid = xgboost.DMatrix(X[::2], y[::2]), xgboost.DMatrix(X[1::2], y[1::2])
PARAMS = {"objective": "binary:logistic", "eval_metric": ["logloss", "auc"], "max_depth": 2}


def train(rounds: int = 5, **arguments: Any) -> xgboost.Booster:
    return xgboost.train(
        PARAMS, data, rounds, evals=[(data, "train"), (valid, "valid")], verbose_eval=False, **arguments
    )


class Watch(xgboost.callback.TrainingCallback):
    """A user's callback."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.seen: list[int] = []
        self.stop_at = stop_at

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self.seen.append(epoch)
        return epoch == self.stop_at


def test_every_metric_of_every_iteration(tracking: Tracking) -> None:
    results: dict[str, Any] = {}
    tracking.enable()
    train(7, evals_result=results)
    run = tracking.run()
    assert (run.name, run.state) == ("xgboost.train", State.FINISHED)
    assert run.params["max_depth"] == 2
    assert run.params["num_boost_round"] == 7
    assert run.params["eval_metric"] == "['logloss', 'auc']"
    for name in ("train-logloss", "train-auc", "valid-logloss", "valid-auc"):
        dataset, metric = name.split("-")
        points = run.points(name)
        assert points.value.tolist() == results[dataset][metric]
        assert points.step.tolist() == list(range(7))


def test_early_stopping(tracking: Tracking) -> None:
    tracking.enable()
    booster = train(100, early_stopping_rounds=2)
    run = tracking.run()
    assert run.metrics["best_iteration"] == booster.best_iteration
    assert run.metrics["best_score"] == booster.best_score
    assert run.metrics["stopped_iteration"] == booster.best_iteration + 2
    assert run.params["early_stopping_rounds"] == 2
    assert len(run.points("valid-auc")) == booster.best_iteration + 3


def test_the_last_iteration_is_there_when_a_user_callback_stops(tracking: Tracking) -> None:
    watch, results = Watch(stop_at=3), {}
    mine = [watch]
    tracking.enable()
    train(10, callbacks=mine, evals_result=results)
    assert mine == [watch]
    assert watch.seen == [0, 1, 2, 3]
    assert tracking.run().points("valid-auc").value.tolist() == results["valid"]["auc"]


def test_every_nth_iteration_and_the_last(tracking: Tracking) -> None:
    tracking.enable(xgboost={"every": 4})
    train(10)
    assert tracking.run().points("valid-auc").step.tolist() == [0, 4, 8, 9]


def test_the_scikit_learn_api_is_one_run(tracking: Tracking) -> None:
    tracking.enable()
    model = xgboost.XGBClassifier(n_estimators=4, max_depth=3).fit(X, y, eval_set=[(X, y)], verbose=False)
    run = tracking.run()
    assert run.name == "XGBClassifier"
    assert (run.params["n_estimators"], run.params["max_depth"]) == (4, 3)
    assert (
        run.points("validation_0-logloss").value.tolist() == model.evals_result()["validation_0"]["logloss"]
    )
    assert [fit.name for fit in run.fits] == ["xgboost.train"]


def test_boosters_are_bit_identical(tracking: Tracking) -> None:
    np.random.seed(0)
    plain = bytes(train().save_raw("ubj"))
    state = np.random.get_state()[1].tobytes()
    np.random.seed(0)
    tracking.enable()
    assert bytes(train().save_raw("ubj")) == plain
    assert np.random.get_state()[1].tobytes() == state


def test_a_function_imported_before_enable_is_recorded(tracking: Tracking) -> None:
    tracking.enable()
    train_imported_before(PARAMS, data, 1)
    assert tracking.run().name == "xgboost.train"
    autotrack.disable()
    train_imported_before(PARAMS, data, 1)
    assert len(tracking.runs()) == 1


def test_errors_fail_the_run_and_reach_the_user(tracking: Tracking) -> None:
    tracking.enable()
    with pytest.raises(xgboost.core.XGBoostError):
        xgboost.train({"max_depth": "deep"}, data)
    with pytest.raises(TypeError):
        xgboost.train()
    runs = tracking.runs()
    assert [run.state for run in runs] == [State.FAILED, State.FAILED]
    assert runs[1].params["max_depth"] == "deep"


def test_a_users_failing_callback_fails_the_run_as_it_would_have(tracking: Tracking) -> None:
    class Failing(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            raise KeyError("mine")

    tracking.enable()
    with pytest.raises(KeyError, match="mine"):
        train(callbacks=[Failing()])
    assert tracking.run().state is State.FAILED


def test_a_failing_callback_of_ours_is_one_line(
    tracking: Tracking, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Points, "_rows", lambda self, new: 1 / 0)
    tracking.enable()
    assert train(5).num_boosted_rounds() == 5
    lines = [r.getMessage() for r in caplog.records if r.name == "autotrack"]
    assert len(lines) == 1
    assert "Points.after_iteration failed and is off" in lines[0]
    assert tracking.run().state is State.FINISHED


def test_disable_restores_the_functions(tracking: Tracking) -> None:
    before = dict(vars(xgboost)), dict(vars(xgboost.sklearn))
    tracking.enable()
    assert pickle.loads(pickle.dumps(xgboost.train)) is xgboost.training.train
    autotrack.disable()
    assert (dict(vars(xgboost)), dict(vars(xgboost.sklearn))) == before


def test_the_boosters_of_a_search_do_not_mix(tracking: Tracking) -> None:
    tracking.enable()
    search = GridSearchCV(xgboost.XGBClassifier(n_estimators=2), {"max_depth": [1, 2]}, cv=2)
    search.fit(X, y, eval_set=[(X, y)], verbose=False)
    run = next(run for run in tracking.runs() if run.name == "GridSearchCV")
    assert [name for name in run.metrics if name.startswith("validation_0-")] == []
    assert "num_boost_round" not in run.params
    assert run.metrics["best_score"] == search.best_score_
