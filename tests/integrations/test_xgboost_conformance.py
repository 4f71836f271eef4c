"""The XGBoost integration keeps the promises of the kit."""

from __future__ import annotations

from typing import Any

import xgboost
from sklearn.datasets import load_iris

from autotrack.patches.xgboost import Xgboost
from autotrack.testing import IntegrationConformance

X, y = load_iris(return_X_y=True)
PARAMS = {"objective": "multi:softprob", "num_class": 3, "max_depth": 2, "nthread": 1}


def matrix() -> xgboost.DMatrix:
    return xgboost.DMatrix(X, y, nthread=1)


class TestTrain(IntegrationConformance):
    integration = Xgboost
    params = {"num_boost_round": 3, "max_depth": 2}
    metrics = {"train-mlogloss"}

    def train(self) -> Any:
        data = matrix()
        return xgboost.train(
            dict(PARAMS), data, 3, evals=[(data, "train")], callbacks=[], verbose_eval=False
        ).save_raw()

    def broken_train(self) -> Any:
        return xgboost.train({**PARAMS, "objective": "no:such"}, matrix(), 3)


class TestEstimator(IntegrationConformance):
    integration = Xgboost
    params = {"num_boost_round": 3, "max_depth": 2}
    metrics = {"validation_0-mlogloss"}

    def train(self) -> Any:
        model = xgboost.XGBClassifier(n_estimators=3, max_depth=2, n_jobs=1)
        return model.fit(X, y, eval_set=[(X, y)], verbose=False).predict_proba(X)

    def broken_train(self) -> Any:
        return xgboost.XGBClassifier(n_estimators=3, max_depth=-7).fit(X, y)
