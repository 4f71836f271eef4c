"""Forged models of scikit-learn: what would crash the process, or never end, when it is asked, is refused."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.interpolate import make_interp_spline
from sklearn.cluster import Birch, BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomTreesEmbedding,
)
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.impute import KNNImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import DistanceMetric
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import (
    BallTree,
    KDTree,
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestNeighbors,
    RadiusNeighborsClassifier,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    SplineTransformer,
    StandardScaler,
)
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC, SVR, NuSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier, XGBRegressor, XGBRFClassifier

from autotrack.errors import ModelError
from autotrack.models import sound
from autotrack.models.sklearn import FILE, SklearnFlavor

from ..scripts import TIMEOUT
from .folders import loaded
from .forging import packed, records

X, Y = make_classification(80, 6, random_state=0)
Y3 = np.arange(80) % 3
CATEGORIES = np.abs(X * 3).astype(int).astype(float)
TEXTS = ["a word", "another b"]
MIXED = np.array([["a"], ["b"], ["c"]], object)
DAYS = np.array([["2020-01-01"], ["NaT"], ["2019-01-01"]], "datetime64[s]")
BEFORE_CHILDREN = b"left_children[$l#L"
"""In a booster's bytes: their number follows, and the nodes themselves."""

SOUND: dict[str, Callable[[], Any]] = {
    "tree": lambda: DecisionTreeClassifier().fit(X, Y),
    "pruned tree": lambda: DecisionTreeClassifier(ccp_alpha=0.02).fit(X, Y),
    "best first tree": lambda: DecisionTreeClassifier(max_leaf_nodes=7).fit(X, Y),
    "forest": lambda: RandomForestClassifier(5).fit(X, Y3),
    "extra trees": lambda: ExtraTreesRegressor(3).fit(X, np.stack([Y, Y3], 1)),
    "embedding": lambda: RandomTreesEmbedding(3).fit(X),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=2).fit(X, Y3),
    "other boosting": lambda: (
        [
            GradientBoostingClassifier(n_estimators=2, init=init).fit(X, labels)
            for init in (None, "zero", LogisticRegression(), DummyClassifier(), RandomForestClassifier(2))
            for labels in (Y, Y3)
        ]
        + [GradientBoostingRegressor(n_estimators=2, init=init).fit(X, Y) for init in (None, "zero", SVR())]
    ),
    "histogram boosting": lambda: HistGradientBoostingClassifier(max_iter=2).fit(X, Y3),
    "categories": lambda: HistGradientBoostingClassifier(max_iter=2, categorical_features=[0, 3]).fit(
        CATEGORIES, Y
    ),
    "isolation": lambda: IsolationForest(n_estimators=3).fit(X),
    "isolation of some features": lambda: IsolationForest(n_estimators=3, max_features=3).fit(X),
    "bagging of some features": lambda: BaggingClassifier(n_estimators=3, max_features=3).fit(X, Y),
    "k-d tree": lambda: KNeighborsClassifier(algorithm="kd_tree", leaf_size=5).fit(X, Y),
    "ball tree": lambda: KNeighborsClassifier(
        algorithm="ball_tree", metric="seuclidean", metric_params={"V": np.ones(6)}
    ).fit(X, Y),
    "neighbours without a tree": lambda: [
        KNeighborsClassifier(algorithm="brute", metric="manhattan").fit(X, Y3),
        KNeighborsClassifier(algorithm="brute").fit(sp.csr_matrix(X), np.stack([Y, Y3], 1)),
        KNeighborsClassifier(metric="precomputed").fit(np.abs(X @ X.T), Y),
        KNeighborsClassifier(metric="minkowski", p=3).fit(X, Y),
        KNeighborsClassifier().fit(KDTree(X), Y),
        KNeighborsRegressor().fit(X, X),
        RadiusNeighborsClassifier(radius=9).fit(X, np.array(list("abc"))[Y3]),
        NearestNeighbors(metric="haversine").fit(X[:, :2]),
        KNNImputer().fit(X),
        LabelSpreading(kernel="knn").fit(X, Y3),
    ],
    "other clusters": lambda: [
        Birch(n_clusters=None).fit(X),
        Birch(n_clusters=3).fit(X),
        BisectingKMeans(4).fit(X),
        MiniBatchKMeans(3).fit(X),
    ],
    "outliers": lambda: LocalOutlierFactor(novelty=True).fit(X),
    "clusters": lambda: KMeans(3).fit(X),
    "splines": lambda: [
        SplineTransformer(degree=degree, extrapolation=how).fit(X)
        for degree in (0, 1, 3)
        for how in ("error", "constant", "linear", "continue", "periodic")
        if degree or how != "periodic"
    ],
    "other splines": lambda: [
        make_interp_spline(np.arange(80.0), values, bc_type="natural", axis=axis)
        for values, axis in ((X, 0), (X.T, 1), (X[:, 0] * 1j, 0))
    ],
    "sparse matrices": lambda: [sp.csr_matrix(X), sp.csc_array(X), sp.bsr_matrix(X), sp.csr_array(X[0])],
    "svm": lambda: SVC(probability=True).fit(X, Y3),
    "sparse svm": lambda: SVC().fit(sp.csr_matrix(X), Y),
    "precomputed svm": lambda: SVC(kernel="precomputed").fit(X @ X.T, Y3),
    "svm of a function": lambda: SVC(kernel=rbf_kernel).fit(X, Y3),
    "boosters": lambda: [
        XGBClassifier(n_estimators=2).fit(X, Y3),
        XGBRFClassifier(n_estimators=2).fit(X, Y),
        XGBRegressor(n_estimators=2, booster="dart").fit(X, np.stack([Y, Y3], 1)),
        XGBRegressor(n_estimators=2, booster="gblinear").fit(X, Y),
        XGBClassifier().fit(X, Y).get_booster()[:3],
    ],
    "other svms": lambda: [
        NuSVC().fit(X, Y),
        NuSVC(probability=True).fit(X, Y),
        SVR().fit(X, Y),
        OneClassSVM().fit(X),
    ],
    "vocabularies": lambda: [
        CountVectorizer().fit(TEXTS),
        TfidfVectorizer(ngram_range=(1, 2), vocabulary={"b": 1, "a": 0}).fit(TEXTS),
        CountVectorizer(vocabulary=["b", "a"]).fit(TEXTS),
        CountVectorizer(),
        DictVectorizer().fit([{"a": 1, "b": "c"}, {"d": 2}]).restrict(np.array([0, 2])),
        HashingVectorizer(n_features=8),
        FeatureHasher().fit(),
    ],
    "encoders": lambda: (
        [
            OneHotEncoder(drop=drop, min_frequency=least, handle_unknown=unknown).fit(values)
            for drop in (None, "first", "if_binary")
            for least in (None, 9)
            for unknown in ("ignore", "infrequent_if_exist", "warn")
            for values in (
                CATEGORIES,
                np.array(list("abc"))[Y3, None],
                MIXED,
                np.array([[1.0], [np.nan]]),
                DAYS,
            )
        ]
        + [
            OneHotEncoder(categories=[["b", "a", "c"]], drop=["a"]).fit(MIXED),
            OneHotEncoder(max_categories=99, drop=[0.0] * 6).fit(CATEGORIES),
            OneHotEncoder(),
            KBinsDiscretizer(3).fit(X),
            KBinsDiscretizer(3, encode="ordinal").fit(X),
        ]
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_scikit_learn_makes_is_sound(name: str) -> None:
    sound.check(SOUND[name]())


# --- forged -------------------------------------------------------------------------------------------


def tree_with(**changes: Any) -> Any:
    """A tree of which some columns of the root are others."""
    model = DecisionTreeClassifier(max_depth=3).fit(X, Y)
    tree = model.tree_
    state = tree.__getstate__()
    state["nodes"] = state["nodes"].copy()
    for name, value in changes.items():
        state["nodes"][name][0] = value
    tree.__setstate__(state)
    return model


def forest_with_a_tree_of_more_features() -> Any:
    model = RandomForestClassifier(3).fit(X, Y)
    model.estimators_[1] = DecisionTreeClassifier().fit(np.hstack([X * 0, X]), Y)
    return model


def boosting_from_fewer_classes() -> Any:
    """What it begins with says that it knows as many classes, and gives one column."""
    model = GradientBoostingClassifier(n_estimators=2).fit(X, Y3)
    set_to(model.init_, "class_prior_", np.ones(1))
    return model


def set_to(model: Any, name: str, value: Any) -> Any:
    vars(model)[name] = value
    return model


def histogram_with(**changes: Any) -> Any:
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features=[0, 1, 2, 3, 4, 5])
    model.fit(CATEGORIES, Y)
    for name, value in changes.items():
        model._predictors[1][0].nodes[name][0] = value
    return model


def neighbours_with(change: Callable[[list[Any]], Any], algorithm: str = "kd_tree") -> Any:
    model = KNeighborsClassifier(algorithm=algorithm, leaf_size=5).fit(X, Y)
    state = [part.copy() if isinstance(part, np.ndarray) else part for part in model._tree.__getstate__()]
    change(state)
    model._tree.__setstate__(tuple(state))
    return model


def first(place: Any, value: Any) -> None:
    place[0] = value


def without_a_tree(name: str, value: Any) -> Any:
    return set_to(KNeighborsClassifier(algorithm="brute", metric="manhattan").fit(X, Y), name, value)


def forged_tree_of(metric: str, data: Any, narrower: Any) -> Any:
    """A tree of a metric over fewer columns than it takes."""
    tree, other = BallTree(data, metric=metric), BallTree(narrower)
    state = list(other.__getstate__())
    state[-2] = tree.__getstate__()[-2]
    other.__setstate__(tuple(state))
    return other


def booster_with_a_far_child() -> Any:
    booster = XGBClassifier(n_estimators=1, max_depth=2).fit(X, Y).get_booster()
    state = booster.__getstate__()
    at = state["handle"].index(BEFORE_CHILDREN) + len(BEFORE_CHILDREN) + 8
    state["handle"][at : at + 4] = (100_000_000).to_bytes(4, "big")
    booster.__setstate__(state)
    return booster


def halves_of_fewer_columns() -> Any:
    model = BisectingKMeans(4).fit(X)
    model._bisecting_tree.left.center = np.ones(1)
    return model


def spline_with(**changes: Any) -> Any:
    model = SplineTransformer().fit(X)
    for name, value in changes.items():
        setattr(model.bsplines_[1], name, value)
    return model


def knots(*first: float) -> Any:
    """Those of `spline_with`'s, which begins with others."""
    known = SplineTransformer().fit(X).bsplines_[1].t
    return np.array([*first, *known[len(first) :]])


def blocks() -> Any:
    matrix = sp.bsr_matrix(X)
    matrix.indices[0] = 1 << 30
    return matrix


def sparse_vectors() -> Any:
    model = SVC().fit(sp.csr_matrix(X), Y)
    model.support_vectors_.indices[0] = 1 << 30
    return model


def tree_that_says_it_is_flat() -> Any:
    model = tree_with()
    state = model.tree_.__getstate__()
    model.tree_.__setstate__({**state, "max_depth": 1})
    return model


def tree_with_a_child_of_two() -> Any:
    model = tree_with()
    nodes = model.tree_.__getstate__()["nodes"]
    return tree_with(left_child=int(nodes["right_child"][0]))


def one_hot_with(name: str, value: Any) -> Any:
    return set_to(OneHotEncoder(min_frequency=9, drop="first").fit(CATEGORIES), name, value)


FORGED: dict[str, Callable[[], Any]] = {
    "child out of the tree": lambda: tree_with(right_child=1 << 40),
    "child before the tree": lambda: tree_with(left_child=-7),
    "child that is its parent": lambda: tree_with(left_child=0),
    "feature out of the data": lambda: tree_with(feature=1 << 40),
    "feature before the data": lambda: tree_with(feature=-3),
    "estimator of fewer features": lambda: set_to(tree_with(), "n_features_in_", 2),
    "forest of fewer features": lambda: set_to(RandomForestClassifier(2).fit(X, Y), "n_features_in_", 2),
    "forest with a strange tree": forest_with_a_tree_of_more_features,
    "boosting of fewer features": lambda: set_to(
        GradientBoostingClassifier(n_estimators=2).fit(X, Y), "n_features_in_", 2
    ),
    "boosting of fewer classes": lambda: set_to(
        GradientBoostingClassifier(n_estimators=2).fit(X, Y3), "n_trees_per_iteration_", 1
    ),
    "boosting from fewer classes": boosting_from_fewer_classes,
    "isolation of fewer features": lambda: set_to(
        set_to(IsolationForest(n_estimators=2).fit(X), "n_features_in_", 2), "_max_features", 2
    ),
    "histogram's child": lambda: histogram_with(left=4_000_000_000),
    "histogram's circle": lambda: histogram_with(right=0),
    "histogram's feature": lambda: histogram_with(feature_idx=-9),
    "histogram's categories": lambda: histogram_with(is_categorical=1, bitset_idx=4_000_000_000),
    "histogram of fewer features": lambda: set_to(histogram_with(), "_n_features", 2),
    "neighbours' rows": lambda: neighbours_with(lambda state: first(state[1], 1 << 40)),
    "neighbours' start": lambda: neighbours_with(lambda state: first(state[2]["idx_start"], -5)),
    "neighbours' end": lambda: neighbours_with(
        lambda state: first(state[2]["idx_end"], 1 << 40), "ball_tree"
    ),
    "neighbours' leaf": lambda: neighbours_with(lambda state: state[2]["is_leaf"].fill(0)),
    "neighbours' nodes": lambda: neighbours_with(lambda state: state.__setitem__(6, 1 << 30)),
    "neighbours' bounds": lambda: neighbours_with(lambda state: state.__setitem__(3, state[3][:, :2].copy())),
    "neighbours of fewer columns": lambda: without_a_tree("_fit_X", np.ones((80, 1))),
    "neighbours of fewer rows": lambda: without_a_tree("n_samples_fit_", 500),
    "neighbours of other classes": lambda: without_a_tree("_y", np.full(80, 100_000_000)),
    "neighbours of classes before the first": lambda: without_a_tree("_y", np.full(80, -9)),
    "neighbours of fewer labels": lambda: without_a_tree("_y", np.zeros(1, int)),
    "neighbours on a globe of one column": lambda: set_to(
        KNeighborsClassifier(), "metric", forged_tree_of("haversine", X[:, :2], X[:, :1])
    ),
    "neighbours' weights of one column": lambda: neighbours_with(
        lambda state: state.__setitem__(-2, DistanceMetric.get_metric("minkowski", p=3, w=np.ones(1)))
    ),
    "halves of fewer columns": halves_of_fewer_columns,
    "subclusters of fewer norms": lambda: set_to(
        Birch(n_clusters=None).fit(X), "_subcluster_norms", np.ones(1)
    ),
    "svm of a function of fewer rows": lambda: set_to(
        SVC(kernel=rbf_kernel).fit(X, Y), "support_", np.full(80, 1 << 30, np.int32)
    ),
    "booster's child": booster_with_a_far_child,
    "clusters of fewer columns": lambda: set_to(KMeans(3).fit(X), "cluster_centers_", np.ones((3, 1))),
    "svm of other classes": lambda: set_to(SVC().fit(X, Y), "_n_support", np.array([9999, 9], np.int32)),
    "svm without coefficients": lambda: set_to(SVC().fit(X, Y), "_dual_coef_", np.ones((1, 1))),
    "svm of fewer columns": lambda: set_to(SVC().fit(X, Y), "support_vectors_", np.ones((2, 1))),
    "sparse svm": sparse_vectors,
    "sparse blocks": blocks,
    "k-d tree's bounds of a ball": lambda: neighbours_with(
        lambda state: state.__setitem__(3, state[3][:1].copy())
    ),
    "tree that says it is flat": tree_that_says_it_is_flat,
    "tree with a child of two": tree_with_a_child_of_two,
    "vocabulary out of its table": lambda: set_to(
        CountVectorizer().fit(TEXTS), "vocabulary_", {"a": 0, "word": 1 << 30}
    ),
    "vocabulary before its table": lambda: set_to(TfidfVectorizer().fit(TEXTS), "vocabulary_", {"word": -9}),
    "vocabulary of what is not in it": lambda: set_to(
        CountVectorizer().fit(TEXTS), "vocabulary_", defaultdict(int, word=0)
    ),
    "names out of their table": lambda: set_to(
        DictVectorizer().fit([{"a": 1}]), "vocabulary_", {"a": 1 << 30}
    ),
    "hasher of no features": lambda: HashingVectorizer(n_features=0),
    "other hasher of no features": lambda: FeatureHasher(n_features=0),
    "encoder of other columns": lambda: one_hot_with("_n_features_outs", [1 << 30] + [1 - (1 << 28)] * 5),
    "encoder of fewer columns": lambda: one_hot_with("_n_features_outs", [99]),
    "encoder of far groups": lambda: one_hot_with(
        "_default_to_infrequent_mappings", [np.full(99, 1 << 30)] * 6
    ),
    "encoder of far rare ones": lambda: one_hot_with("_infrequent_indices", [[1 << 30]] * 6),
    "encoder of what stands before": lambda: one_hot_with("_drop_idx_after_grouping", np.full(6, -9, object)),
    "encoder in disorder": lambda: set_to(
        OneHotEncoder().fit(CATEGORIES[:, :1]), "categories_", [np.array([9.0, 0.0])]
    ),
    "clusters asked by no threads": lambda: set_to(MiniBatchKMeans(3).fit(X), "_n_threads", -5),
    "svm of fewer probabilities": lambda: set_to(
        set_to(SVC(probability=True).fit(X, Y3), "_probA", np.ones(1)), "_probB", np.ones(1)
    ),
    "spline's knots": lambda: spline_with(t=np.linspace(-3, 3, 100_000)),
    "spline's coefficients": lambda: spline_with(c=np.ones((1, 7))),
    "spline's degree": lambda: spline_with(k=1000),
    "spline's degree below 0": lambda: spline_with(k=-1),
    "spline's degree of a half": lambda: spline_with(k=2.5),
    "spline's knots in a table": lambda: spline_with(t=np.ones((30, 2))),
    "spline's knots without end": lambda: spline_with(t=knots(-np.inf)),
    "spline's knots of no number": lambda: spline_with(t=knots(np.nan)),
    "spline's knots in disorder": lambda: spline_with(t=knots(5.0)),
    "spline's knots of float32": lambda: spline_with(t=knots().astype(np.float32)),
    "spline's coefficients of objects": lambda: spline_with(c=np.full((9, 7), None)),
    "spline's single coefficient": lambda: spline_with(c=np.array(1.0)),
    "spline's knots behind others": lambda: spline_with(_t=np.linspace(-3, 3, 100_000), _asarray=np.median),
    "spline's axis": lambda: spline_with(axis=7),
    "spline's extrapolation": lambda: spline_with(extrapolate="everywhere"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_model_is_refused(name: str) -> None:
    model = FORGED[name]()
    with pytest.raises(ModelError, match="damaged or forged"):
        sound.check(model)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tree: make_pipeline(StandardScaler(), tree),
        lambda tree: BaggingClassifier().set_params(estimator=[{"deep": (tree,)}]),
        lambda tree: np.array([None, tree], object),
        lambda tree: FunctionTransformer(kw_args={"tree": tree}),
    ],
)
def test_it_is_found_wherever_it_stands(wrap: Callable[[Any], Any]) -> None:
    with pytest.raises(ModelError, match="lead out of it"):
        sound.check(wrap(tree_with(right_child=1 << 40)))


@pytest.mark.parametrize("kind", [CountVectorizer, HashingVectorizer, TfidfVectorizer])
@pytest.mark.parametrize("wanted", ["filename", "file"])
def test_a_vectorizer_that_opens_files_is_refused_unless_it_is_trusted(kind: Any, wanted: str) -> None:
    model = make_pipeline(kind(input=wanted))
    with pytest.raises(ModelError, match="opens the files that it is asked for"):
        sound.check(model)
    sound.check(model, trusted=[f"sklearn.feature_extraction.text.{kind.__name__}"])
    sound.check(make_pipeline(kind()))


def test_a_forged_file_is_refused_before_it_is_asked() -> None:
    flavor = SklearnFlavor()
    files = flavor.convert(pickle.dumps(make_pipeline(StandardScaler(), tree_with(right_child=1 << 40))))
    with pytest.raises(ModelError, match="lead out of it"):
        loaded(flavor, {FILE: files[FILE]}, {"serialization_format": "skops"})


def test_a_sparse_matrix_is_looked_at_as_what_it_is_not_as_what_the_file_calls_it() -> None:
    """The format stands in the matrix's own bytes, and may be another than that of the trusted type."""
    flavor = SklearnFlavor()
    parts = flavor.convert(pickle.dumps(FunctionTransformer(kw_args={"a": sp.csr_matrix(X)})))
    bytes_of_blocks = io.BytesIO()
    sp.save_npz(bytes_of_blocks, blocks())
    forged = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(parts[FILE])) as old, zipfile.ZipFile(forged, "w") as new:
        for entry in old.infolist():
            is_matrix = entry.filename.endswith(".npz")
            new.writestr(entry, bytes_of_blocks.getvalue() if is_matrix else old.read(entry))
    with pytest.raises(ModelError, match="damaged or forged"):
        loaded(flavor, {FILE: forged.getvalue()}, {"serialization_format": "skops"})


def file_with_a_booster() -> dict[str, bytes]:
    """The parts of a pipeline's file."""
    model = make_pipeline(StandardScaler(), XGBClassifier(n_estimators=2, max_depth=2)).fit(X, Y)
    return records(SklearnFlavor().convert(pickle.dumps(model))[FILE])


def refusal(parts: dict[str, bytes]) -> str:
    with pytest.raises(ModelError) as refused:
        loaded(SklearnFlavor(), {FILE: packed(parts)}, {"serialization_format": "skops"})
    return str(refused.value)


@pytest.mark.parametrize(
    ("place", "forged", "why"),
    [(8, (100_000_000).to_bytes(4, "big"), "lead out of it"), (0, b"\x00\x00\x01", "no whole UBJSON")],
    ids=["a child", "a length"],
)
def test_a_boosters_bytes_are_looked_at_before_xgboost_reads_them(
    place: int, forged: bytes, why: str
) -> None:
    """It follows the nodes, and takes the memory that a length asks for."""
    parts = file_with_a_booster()
    name = next(name for name, content in parts.items() if BEFORE_CHILDREN in content)
    at = parts[name].index(BEFORE_CHILDREN) + len(BEFORE_CHILDREN) + place
    parts[name] = parts[name][:at] + forged + parts[name][at + len(forged) :]
    assert why in refusal(parts)


def test_a_boosters_bytes_are_where_they_can_be_looked_at() -> None:
    parts = file_with_a_booster()
    schema = json.loads(parts["schema.json"])
    booster = schema["content"]["content"]["steps"]["content"][1]["content"][1]["content"]["content"][
        "_Booster"
    ]
    text = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": '"a"'}
    booster["content"]["content"]["handle"] = {**text, "__id__": 1}
    assert "a booster that is not as skops writes it" in refusal(
        {**parts, "schema.json": json.dumps(schema).encode()}
    )


def test_such_a_model_does_end_the_process() -> None:
    """What is checked here is no theory."""
    code = (
        "import pickle, sys; model = pickle.load(sys.stdin.buffer); "
        "import numpy as np; model.predict(np.zeros((5, 6))); model.predict(np.ones((5, 6)) * 1e9)"
    )
    forged = pickle.dumps(tree_with(right_child=1 << 40, left_child=1 << 40))
    done = subprocess.run([sys.executable, "-c", code], input=forged, capture_output=True, timeout=TIMEOUT)
    assert done.returncode < 0
