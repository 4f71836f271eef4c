"""What a trained booster tells: params with XGBoost's defaults, importances; training that goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
import xgboost
from sklearn.datasets import load_breast_cancer

import autotrack
from autotrack.store import Run

from ..scripts import curve
from ..tracking import Tracking

X, y = load_breast_cancer(return_X_y=True)
data = xgboost.DMatrix(X, y)
TABLE = "feature_importances.json"


def table(run: Run) -> dict[str, Any]:
    """The columns of the importances, by name."""
    found = json.loads(run.artifact(TABLE).read_text("utf-8"))
    return dict(zip(found["columns"], map(list, zip(*found["data"], strict=True)), strict=True))


def test_params_that_were_not_given_have_xgboosts_defaults(tracking: Tracking) -> None:
    tracking.enable()
    xgboost.train({"max_depth": 2, "eta": 0.1, "lambda": "2", "objective": "binary:logistic"}, data, 2)
    params = tracking.run().params
    given = {"max_depth": 2, "eta": 0.1, "lambda": "2", "objective": "binary:logistic", "num_boost_round": 2}
    assert given.items() <= params.items()
    filled_in = {
        "booster": "gbtree",
        "gamma": 0,
        "subsample": 1,
        "min_child_weight": 1,
        "tree_method": "auto",
    }
    assert filled_in.items() <= params.items()
    assert params["eval_metric"] == "logloss"
    assert params["base_score"] == pytest.approx(y.mean(), rel=1e-6)
    assert not {"learning_rate", "reg_lambda", "num_trees", "interaction_constraints"} & params.keys()


def test_the_scikit_learn_api_has_them_in_the_place_of_none(tracking: Tracking) -> None:
    tracking.enable()
    xgboost.XGBClassifier(n_estimators=2, reg_lambda=3.0).fit(X, y)
    params = tracking.run().params
    assert (params["learning_rate"], params["max_depth"], params["reg_lambda"]) == (0.3, 6, 3.0)
    assert (params["grow_policy"], params["n_estimators"]) == ("depthwise", 2)


def test_dart_and_forests(tracking: Tracking) -> None:
    tracking.enable()
    evals = [(data, "train")]
    xgboost.train({"booster": "dart", "rate_drop": 0.5}, data, 3, evals=evals, verbose_eval=False)
    xgboost.XGBRFRegressor(n_estimators=5).fit(X, y, eval_set=[(X, y)], verbose=False)
    forest, dart = tracking.runs()
    assert (dart.params["rate_drop"], dart.params["one_drop"], dart.params["max_depth"]) == (0.5, 0, 6)
    assert len(dart.points("train-rmse")) == 3
    assert (forest.params["num_boost_round"], forest.params["num_parallel_tree"]) == (1, 5)
    assert len(forest.points("validation_0-rmse")) == 1


def test_importances(tracking: Tracking) -> None:
    tracking.enable()
    booster = xgboost.train({}, data, 4)
    columns = table(tracking.run())
    assert columns["gain"] == sorted(columns["gain"], reverse=True)
    for kind in ("weight", "gain", "cover", "total_gain", "total_cover"):
        found = dict(zip(columns["feature"], columns[kind], strict=True))
        assert found == booster.get_score(importance_type=kind)


@pytest.mark.parametrize(("classes", "columns"), [(0, ["weight"]), (3, ["weight_0", "weight_1", "weight_2"])])
def test_a_linear_booster_has_weights(tracking: Tracking, classes: int, columns: list[str]) -> None:
    objective = {"objective": "multi:softprob", "num_class": classes} if classes else {}
    tracking.enable()
    xgboost.train({"booster": "gblinear", **objective}, data, 2)
    run = tracking.run()
    assert list(table(run)) == ["feature", *columns]
    assert run.params["learning_rate"] == 0.5


def test_importances_can_be_left_out(tracking: Tracking) -> None:
    tracking.enable(xgboost={"importances": False})
    xgboost.train({}, data, 2)
    assert TABLE not in [artifact.path for artifact in tracking.run().artifacts]


def test_no_rounds_make_no_points(tracking: Tracking) -> None:
    tracking.enable()
    xgboost.train({}, data, 0, evals=[(data, "train")])
    run = tracking.run()
    assert (run.metrics, run.params["num_boost_round"]) == ({}, 0)


def test_points_of_a_training_that_goes_on_begin_where_the_last_ended(tracking: Tracking) -> None:
    tracking.enable()
    evals: dict[str, Any] = {"evals": [(data, "train")], "verbose_eval": False}
    first = xgboost.train({}, data, 3, **evals)
    xgboost.train({}, data, 2, xgb_model=first, **evals)
    refresh = {"process_type": "update", "updater": "refresh"}
    xgboost.train(refresh, data, 3, xgb_model=first, **evals)
    refreshed, second, _ = tracking.runs()
    assert [step for step, _ in curve(second, "train-rmse")] == [3, 4]
    assert second.params["xgb_model"] == "Booster"
    assert [step for step, _ in curve(refreshed, "train-rmse")] == [0, 1, 2]


def test_a_best_iteration_of_an_earlier_training_is_not_this_ones(tracking: Tracking) -> None:
    first = xgboost.train({}, data, 20, evals=[(data, "train")], early_stopping_rounds=2, verbose_eval=False)
    assert first.attr("best_iteration") is not None
    tracking.enable()
    xgboost.train({}, data, 2, evals=[(data, "train")], verbose_eval=False, xgb_model=first)
    xgboost.train(
        {}, data, 2, evals=[(data, "train")], verbose_eval=False, xgb_model=first, early_stopping_rounds=2
    )
    stopped, plain = tracking.runs()
    assert "best_iteration" not in plain.metrics
    assert stopped.metrics["best_iteration"] == 21


def test_save_best_describes_the_model_that_is_returned(tracking: Tracking) -> None:
    tracking.enable()
    stop = xgboost.callback.EarlyStopping(rounds=2, save_best=True, min_delta=0.05)
    booster = xgboost.train(
        {"max_depth": 2}, data, 50, evals=[(data, "train")], callbacks=[stop], verbose_eval=False
    )
    run = tracking.run()
    assert sum(table(run)["weight"]) == sum(booster.get_score().values())
    assert run.metrics["best_iteration"] == booster.num_boosted_rounds() - 1
    assert run.metrics["stopped_iteration"] == booster.num_boosted_rounds() + 1


def test_a_booster_changed_after_the_call_does_not_change_the_record(tracking: Tracking) -> None:
    tracking.enable()
    booster = xgboost.train({}, data, 2)
    weights = booster.get_score()
    for _ in range(20):
        booster.update(data, booster.num_boosted_rounds())
    booster.set_param({"max_depth": 1})
    autotrack.flush()
    run = tracking.run()
    assert run.params["max_depth"] == 6
    columns = table(run)
    assert dict(zip(columns["feature"], columns["weight"], strict=True)) == weights
