"""XGBoost's models in XGBoost's own format."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import xgboost
from sklearn.datasets import make_classification

from autotrack.errors import ModelError
from autotrack.flavor import Files, NotKept
from autotrack.models.xgboost import CLASSES, FILE, XgboostFlavor
from autotrack.testing import FlavorConformance

from .folders import loaded

X, Y = make_classification(80, 6, random_state=0)
LIMIT = 64 << 20
flavor = XgboostFlavor()


class TestEstimator(FlavorConformance):
    flavor = XgboostFlavor

    def model(self) -> Any:
        return xgboost.XGBClassifier(n_estimators=3, max_depth=2).fit(X, Y)

    def data(self) -> Any:
        return X

    def change(self, model: Any) -> None:
        model.fit(X, 1 - Y)


class TestBooster(TestEstimator):
    def model(self) -> Any:
        return xgboost.train({"max_depth": 2}, xgboost.DMatrix(X, Y), 3)

    def predict(self, model: Any, data: Any) -> Any:
        return model.predict(xgboost.DMatrix(data))

    def change(self, model: Any) -> None:
        model.update(xgboost.DMatrix(X, 1 - Y), 3)


def load(files: Files, kind: str) -> Any:
    return loaded(flavor, files, {"model_class": kind})


def round_trip(model: Any) -> Any:
    kind = type(model)
    frozen = flavor.freeze(model, LIMIT)
    assert frozen.file == FILE
    return load({FILE: bytes(frozen.data)}, f"{kind.__module__}.{kind.__qualname__}")


ESTIMATORS = [name for name in CLASSES if name not in ("Booster", "XGBRanker")]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_predicts_the_same_after_it(name: str) -> None:
    model = getattr(xgboost, name)(n_estimators=3, max_depth=2).fit(X, Y)
    loaded = round_trip(model)
    assert type(loaded) is type(model)
    assert (loaded.predict(X) == model.predict(X)).all()
    if hasattr(model, "predict_proba"):
        assert (loaded.predict_proba(X) == model.predict_proba(X)).all()


def test_a_classifier_of_several_classes() -> None:
    labels = np.arange(80) % 3
    model = xgboost.XGBClassifier(n_estimators=3).fit(X, labels)
    assert (round_trip(model).predict(X) == model.predict(X)).all()


def test_a_ranker() -> None:
    model = xgboost.XGBRanker(n_estimators=3).fit(X, Y, qid=np.arange(80) // 8)
    assert (round_trip(model).predict(X) == model.predict(X)).all()


@pytest.mark.parametrize("missing", [0, -999.0, float("inf"), np.float32(0.5)])
def test_the_number_that_means_missing_is_kept(missing: float) -> None:
    data = np.where(X > 0.3, X, missing)
    for kind in (xgboost.XGBClassifier, xgboost.XGBRFRegressor):
        model = kind(n_estimators=3, missing=missing).fit(data, Y)
        before = model.get_booster().save_raw("ubj")
        loaded = round_trip(round_trip(model))
        assert loaded.missing == missing
        assert (loaded.predict(data) == model.predict(data)).all()
        assert model.get_booster().save_raw("ubj") == before == loaded.get_booster().save_raw("ubj")


def test_what_cannot_mean_missing_is_refused() -> None:
    model = xgboost.XGBRegressor(n_estimators=1).fit(X, Y)
    model.get_booster().set_attr(**{"autotrack.missing": "none"})
    with pytest.raises(ModelError, match="'none' cannot stand for a missing value"):
        round_trip(model)


def test_a_booster_keeps_names_and_where_it_was_best() -> None:
    data = xgboost.DMatrix(X, Y, feature_names=list("abcdef"))
    model = xgboost.train(
        {"max_depth": 2, "objective": "binary:logistic"},
        data,
        20,
        evals=[(xgboost.DMatrix(-X, Y, feature_names=list("abcdef")), "odd")],
        early_stopping_rounds=2,
        verbose_eval=False,
    )
    before = model.save_raw("ubj")
    loaded = round_trip(model)
    assert loaded.feature_names == list("abcdef")
    assert loaded.best_iteration == model.best_iteration
    assert (loaded.predict(data) == model.predict(data)).all()
    assert model.save_raw("ubj") == before


class Mine(xgboost.XGBClassifier):
    """What it adds to XGBoost's, the file would not hold."""

    def get_booster(self) -> Any:
        raise AssertionError("called")


def test_a_class_of_the_users_is_refused_and_not_asked() -> None:
    with pytest.raises(NotKept, match="Mine is no class of XGBoost's own"):
        flavor.freeze(Mine(), LIMIT)


def test_a_model_above_the_limit_is_not_kept() -> None:
    with pytest.raises(NotKept, match="more than model_max_bytes"):
        flavor.freeze(xgboost.XGBClassifier(n_estimators=3).fit(X, Y), 1000)


@pytest.mark.parametrize(
    "kind", ["os.system", "xgboost.core.DMatrix", "xgboost.sklearn.os", "Booster", "evil.Booster"]
)
def test_no_other_class_is_made(kind: str) -> None:
    with pytest.raises(ModelError, match="no class of XGBoost's own"):
        load({FILE: b""}, kind)


@pytest.mark.parametrize("data", [b"", b"{", b"no model at all", b"\x80\x04."])
def test_what_is_no_model_is_an_error(data: bytes) -> None:
    with pytest.raises(Exception):  # noqa: B017  XGBoost's own
        load({FILE: data}, "xgboost.core.Booster")


def test_a_file_is_not_taken_for_a_path() -> None:
    with pytest.raises(ModelError, match="has no file"):
        load({"/etc/passwd": b""}, "xgboost.core.Booster")


def told(categorical: bool = False) -> Any:
    """What a model's file says, as JSON."""
    x = np.abs(X * 3).astype(int) if categorical else X
    data = xgboost.DMatrix(x, Y, feature_types=["c"] * 6 if categorical else None)
    return json.loads(xgboost.train({"max_depth": 3}, data, 2).save_raw("json"))


def load_told(told: Any) -> Any:
    return load({FILE: json.dumps(told, separators=(",", ":")).encode()}, "xgboost.core.Booster")


def trees(told: Any) -> Any:
    return told["learner"]["gradient_booster"]["model"]


FORGED: dict[str, tuple[str, Any, int]] = {
    "a child out of the tree": ("left_children", 1 << 20, 0),
    "a child below none": ("right_children", -7, 0),
    "a walk without end": ("left_children", 0, 0),
    "two parents": ("right_children", 1, 0),
    "a feature": ("split_indices", 6, 0),
    "a parent": ("parents", 1 << 20, 1),
    "a category": ("categories", 1 << 30, 0),
    "a category below none": ("categories", -1, 0),
    "categories of others": ("categories_segments", 1 << 20, 0),
    "too many categories": ("categories_sizes", 1 << 20, 0),
    "a node of categories": ("categories_nodes", 1 << 20, 0),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_tree_is_refused(what: str) -> None:
    name, value, at = FORGED[what]
    forged = told(categorical=True)
    trees(forged)["trees"][1][name][at] = value
    with pytest.raises(ModelError, match="damaged or forged"):
        load_told(forged)


def test_trees_of_classes_and_iterations_that_are_not_there_are_refused() -> None:
    for name, value in (("tree_info", [0, 9]), ("tree_info", [0]), ("iteration_indptr", [0, 1, 99])):
        forged = told()
        trees(forged)[name] = value
        with pytest.raises(ModelError, match="damaged or forged"):
            load_told(forged)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("leaf_weights", lambda weights: weights[:2]),  # XGBoost aborts the process
        ("base_weights", lambda weights: weights[:2]),
        ("right_children", lambda children: [*children[:-1], 1 << 20]),  # where a leaf's weights are
    ],
)
def test_a_forged_leaf_of_several_targets_is_refused(name: str, change: Any) -> None:
    params = {"multi_strategy": "multi_output_tree", "tree_method": "hist", "max_depth": 2}
    data = xgboost.DMatrix(X, np.stack([Y, 1 - Y], 1))
    forged = json.loads(bytes(xgboost.train(params, data, 1).save_raw("json")))
    [tree] = trees(forged)["trees"]
    tree[name] = change(tree[name])
    with pytest.raises(ModelError, match="damaged or forged: a tree's leaves have other weights"):
        load_told(forged)


@pytest.mark.parametrize("rounds", [0, 2])
@pytest.mark.parametrize("name", ["num_feature", "num_class", "num_target"])
def test_what_would_take_memory_without_end_is_refused(name: str, rounds: int) -> None:
    """XGBoost lays out rows of so many features, and predictions of so many classes."""
    forged = json.loads(bytes(xgboost.train({}, xgboost.DMatrix(X, Y), rounds).save_raw("json")))
    forged["learner"]["learner_model_param"][name] = "500000000"
    with pytest.raises(ModelError, match="damaged or forged: it says that it has 500,000,000 "):
        load_told(forged)


def test_many_classes_and_features_are_sound() -> None:
    wide = scipy.sparse.random(40, 1 << 21, 1e-4, "csr", random_state=0)
    data = xgboost.DMatrix(wide, np.arange(40) % 20)
    params = {"objective": "multi:softprob", "num_class": 20, "max_depth": 2}
    for rounds in (0, 1):
        round_trip(xgboost.train(params, data, rounds))


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(ModelError, match="twice"):
        load({FILE: b'{"learner":{},"learner":{}}'}, "xgboost.core.Booster")


@pytest.mark.parametrize(
    "params",
    [
        {"booster": "dart"},
        {"booster": "gblinear"},
        {"updater": "grow_colmaker,prune", "gamma": 1.0, "tree_method": "exact"},
        {"multi_strategy": "multi_output_tree", "tree_method": "hist"},
        {"num_parallel_tree": 2},
    ],
    ids=str,
)
def test_every_kind_of_booster_is_sound(params: dict[str, Any]) -> None:
    labels = np.stack([Y, 1 - Y], 1) if "multi_strategy" in params else Y
    model = xgboost.train(params, xgboost.DMatrix(X, labels), 3)
    for kind in ("json", "ubj"):
        found = load({FILE: bytes(model.save_raw(kind))}, "xgboost.core.Booster")
        assert (found.predict(xgboost.DMatrix(X)) == model.predict(xgboost.DMatrix(X))).all()


def test_named_categories_are_sound() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": pandas.Categorical(list("xyzz") * 20), "b": X[:, 0]})
    model = xgboost.XGBClassifier(n_estimators=2, enable_categorical=True).fit(table, Y)
    assert (round_trip(model).predict(table) == model.predict(table)).all()
