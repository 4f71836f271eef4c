"""The scikit-learn integration keeps the promises of the kit."""

from __future__ import annotations

from typing import Any

from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier

from autotrack.patches.sklearn import Sklearn
from autotrack.testing import IntegrationConformance

X, y = load_iris(return_X_y=True)
WRONG = y[:-1]


class TestFit(IntegrationConformance):
    integration = Sklearn
    params = {"n_estimators": 3, "criterion": "gini"}

    def train(self) -> Any:
        """Without a seed of its own: it draws from numpy's global state."""
        return RandomForestClassifier(3).fit(X, y)

    def broken_train(self) -> Any:
        return RandomForestClassifier(3).fit(X, WRONG)


class TestSearch(IntegrationConformance):
    integration = Sklearn
    params = {"estimator": "DecisionTreeClassifier"}
    metrics = {"best_score"}

    def train(self) -> Any:
        """Not the search itself: it keeps how long each fit took."""
        search = GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, cv=2).fit(X, y)
        return search.best_estimator_, search.cv_results_["mean_test_score"]

    def broken_train(self) -> Any:
        return GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2).fit(X, WRONG)


class TestPartialFit(IntegrationConformance):
    integration = Sklearn
    params = {"alpha": 0.1}

    def train(self) -> Any:
        return SGDClassifier(alpha=0.1, random_state=0).partial_fit(X, y, classes=[0, 1, 2])

    def broken_train(self) -> Any:
        return SGDClassifier(alpha=0.1).partial_fit(X, WRONG, classes=[0, 1, 2])
