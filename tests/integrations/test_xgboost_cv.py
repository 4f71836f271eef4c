"""`xgboost.cv`: one run, with what it averages and what it averages over."""

from __future__ import annotations

import gc
import warnings
import weakref
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import KFold

from autotrack.states import State

from ..scripts import values
from ..tracking import Tracking

data = xgboost.DMatrix(*load_breast_cancer(return_X_y=True))
PARAMS = {"objective": "binary:logistic", "eval_metric": ["logloss", "auc"], "max_depth": 2}


def test_the_averages_and_every_fold(tracking: Tracking) -> None:
    tracking.enable()
    table = xgboost.cv(PARAMS, data, 4, nfold=3, seed=7)
    run = tracking.run()
    assert (run.name, run.state) == ("xgboost.cv", State.FINISHED)
    for column in table.columns:
        assert values(run, column) == table[column].tolist()
    folds = [values(run, f"test-auc-fold{number}") for number in range(3)]
    assert np.mean(folds, axis=0).tolist() == table["test-auc-mean"].tolist()
    assert len(run.metrics) == 2 * 2 * (2 + 3)


def test_arguments_and_defaults(tracking: Tracking) -> None:
    tracking.enable()
    xgboost.cv(PARAMS, data, 2, nfold=2, stratified=True, seed=7)
    params = tracking.run().params
    assert (params["num_boost_round"], params["nfold"], params["stratified"], params["seed"]) == (
        2,
        2,
        True,
        7,
    )
    assert (params["max_depth"], params["learning_rate"]) == (2, 0.3)


def test_folds_of_the_users_own_are_counted_and_not_spelled_out(tracking: Tracking) -> None:
    tracking.enable()
    xgboost.cv(PARAMS, data, 1, folds=KFold(4))
    half = np.arange(200), np.arange(200, 400)
    xgboost.cv(PARAMS, data, 1, folds=[half, half[::-1]])
    listed, split = (run.params for run in tracking.runs())
    assert (split["folds"], split["nfold"]) == ("KFold", 4)
    assert (listed["folds"], listed["nfold"]) == ("list", 2)


def test_early_stopping(tracking: Tracking) -> None:
    tracking.enable()
    table = xgboost.cv(PARAMS, data, 100, early_stopping_rounds=2)
    run = tracking.run()
    best = len(table) - 1  # the table ends there
    assert (run.metrics["best_iteration"], run.metrics["stopped_iteration"]) == (best, best + 2)
    assert run.metrics["best_score"] == pytest.approx(table["test-auc-mean"].iloc[-1])
    assert len(run.points("test-auc-mean")) == best + 3


def test_the_table_and_the_random_state_are_the_same(tracking: Tracking) -> None:
    def results() -> tuple[bytes, bytes]:
        table = xgboost.cv(PARAMS, data, 3, custom_metric=lambda p, d: ("mine", float(np.mean(p))))
        return table.to_numpy().tobytes(), np.random.get_state()[1].tobytes()

    plain = results()
    tracking.enable()
    assert results() == plain
    assert len(tracking.run().points("test-mine-fold2")) == 3


def test_params_as_pairs(tracking: Tracking) -> None:
    pairs = [("eval_metric", "logloss"), ("eval_metric", "auc"), ("max_depth", 3)]
    tracking.enable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        xgboost.cv(pairs, data, 1)
    params = tracking.run().params
    assert (params["eval_metric"], params["max_depth"]) == ("['logloss', 'auc']", 3)


def test_the_folds_are_not_kept_alive(tracking: Tracking) -> None:
    kept: list[weakref.ref[Any]] = []

    class Look(xgboost.callback.TrainingCallback):
        def after_training(self, model: Any) -> Any:
            kept.extend(weakref.ref(fold.bst) for fold in model.cvfolds)
            return model

    tracking.enable()
    gc.disable()
    try:
        xgboost.cv(PARAMS, data, 1, callbacks=[Look()])
        assert [ref() for ref in kept] == [None, None, None]
    finally:
        gc.enable()


def test_an_error_keeps_what_came_before_it(tracking: Tracking) -> None:
    class Raise(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if epoch == 2:
                raise KeyboardInterrupt
            return False

    tracking.enable()
    with pytest.raises(KeyboardInterrupt):
        xgboost.cv(PARAMS, data, 5, callbacks=[Raise()])
    run = tracking.run()
    assert run.state is State.KILLED
    assert run.points("test-auc-mean").step.tolist() == [0, 1, 2]
