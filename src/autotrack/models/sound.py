"""What compiled code would follow without a look: indices in the arrays of a loaded model, checked.

A forged file can hold trees whose children or features lie outside their arrays; predicting by them reads
memory that is not theirs, and ends the process. Each check is a few operations of numpy on whole arrays.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np

from ..errors import ModelError
from . import boosted, ubjson

_PLAIN = (
    str,
    bytes,
    int,
    float,
    complex,
    bool,
    type(None),
    type,
    ModuleType,
    FunctionType,
    BuiltinFunctionType,
)


def check(model: Any, trusted: Collection[str] = ()) -> None:
    """Look at every object that the model holds. Raises `ModelError`.

    trusted: types, by their dotted names, that may open the files which they are asked for.
    """
    items = [*_objects(model)]
    for item in items:
        _refuse_opener(item, trusted)
        _check(item, _CHECKERS)
    for item in items:
        _check(item, _ASKERS)


def _check(item: Any, checkers: Mapping[str, Callable[[Any], None]]) -> None:
    for kind in type(item).__mro__:
        if checker := checkers.get(f"{kind.__module__}.{kind.__qualname__}"):
            try:
                checker(item)
            except ModelError:
                raise
            except Exception as error:
                raise ModelError(
                    f"the model is damaged or forged: its {kind.__qualname__}: {error}"
                ) from error


def _objects(model: Any) -> Iterator[Any]:
    """All that it holds but plain values and arrays of numbers, each once."""
    seen: set[int] = set()
    waiting = [model]
    held = []  # what is made in passing must not give its id to another
    while waiting:
        item = waiting.pop()
        if isinstance(item, _PLAIN) or id(item) in seen:
            continue
        seen.add(id(item))
        held.append(item)
        if isinstance(item, np.ndarray):
            waiting.extend(item.ravel().tolist() if item.dtype == object else ())
            continue
        yield item
        if isinstance(item, dict):
            waiting.extend((*item.keys(), *item.values()))
        elif isinstance(item, (list, tuple, set, frozenset)):
            waiting.extend(item)
        waiting.extend(getattr(item, "__dict__", {}).values())
        if isinstance(item, partial):
            waiting.extend((item.func, *item.args, *item.keywords.values()))


def _refuse_opener(item: Any, trusted: Collection[str]) -> None:
    """A vectorizer may take names of files for its texts: those who ask it would read any file by it."""
    kind = type(item)
    name = f"{kind.__module__}.{kind.__qualname__}"
    is_vectorizer = any(
        f"{one.__module__}.{one.__qualname__}" == "sklearn.feature_extraction.text._VectorizerMixin"
        for one in kind.__mro__
    )
    if is_vectorizer and vars(item).get("input", "content") != "content" and name not in trusted:
        raise ModelError(
            f"the model's {kind.__qualname__} opens the files that it is asked for (input={item.input!r}); "
            f"if that is meant: load_model(…, trusted=[{name!r}])"
        )


def _require(is_sound: Any, what: str) -> None:
    if not is_sound:
        raise ModelError(f"the model is damaged or forged: {what}")


def _are_below(indices: Any, end: int) -> bool:
    return bool(((indices >= 0) & (indices < end)).all())


def _lead_on(children: Any, parents: Any, end: int) -> bool:
    """Children come after their parents: a walk ends."""
    return bool(((children > parents) & (children < end)).all())


# --- trees ------------------------------------------------------------------------------------------


def _tree(tree: Any) -> None:
    state = tree.__getstate__()
    nodes, values = state["nodes"], state["values"]
    count = len(nodes)
    _require(count and count == tree.node_count and len(values) == count, "a tree has no nodes, or others")
    _require(values.ndim == 3 and values.shape[1] >= 1 and values.shape[2] >= 1, "a tree has no values")
    inner = np.flatnonzero(nodes["left_child"] != -1)
    for side in ("left_child", "right_child"):
        _require(_lead_on(nodes[side][inner], inner, count), "a tree's nodes lead out of it")
    _require(
        _are_below(nodes["feature"][inner], tree.n_features), "a tree asks for features that are not there"
    )
    children = np.concatenate([nodes["left_child"][inner], nodes["right_child"][inner]])
    _require(np.bincount(children, minlength=1).max() <= 1, "a tree's nodes have several parents")
    _require(not _is_deeper(nodes, tree.max_depth), "a tree is deeper than it says")


def _is_deeper(nodes: Any, depth: int) -> bool:
    """Its paths are written into so much memory as the depth that it says needs."""
    level = np.zeros(1, np.intp)
    for _ in range(depth + 1):
        level = level[nodes["left_child"][level] != -1]
        if not len(level):
            return False
        level = np.concatenate([nodes["left_child"][level], nodes["right_child"][level]])
    return True


def _estimator_of_tree(estimator: Any) -> None:
    if (tree := vars(estimator).get("tree_")) is not None:
        _require(
            tree.n_features == estimator.n_features_in_, "a tree takes other features than its estimator"
        )


def _trees_of(estimator: Any) -> Iterator[Any]:
    for one in np.ravel(np.asarray(vars(estimator).get("estimators_", []), dtype=object)):
        if (tree := getattr(one, "tree_", None)) is not None:
            yield tree


def _forest(forest: Any) -> None:
    for tree in _trees_of(forest):
        _require(tree.n_features == forest.n_features_in_, "a forest's trees take other features than it")


def _boosting(boosting: Any) -> None:
    _forest(boosting)
    trees = vars(boosting).get("estimators_")
    if trees is None:
        return
    columns = boosting.n_trees_per_iteration_
    _require(trees.ndim == 2 and trees.shape[1] == columns, "boosting has other trees than it says")
    classes = len(vars(boosting).get("classes_", ()))
    _require(columns == 1 or columns == classes, "boosting has other trees than classes")


def _beginning(boosting: Any) -> None:
    """Its trees add to what it begins with, without a look at how many columns that has."""
    if "estimators_" in vars(boosting):
        begun = boosting._raw_predict_init(np.zeros((1, boosting.n_features_in_), np.float32))
        columns = boosting.n_trees_per_iteration_
        _require(begun.shape == (1, columns), "boosting begins with other columns than it has trees")


def _isolation(forest: Any) -> None:
    """Its trees are asked for some columns, without a look at how many."""
    trees = [*_trees_of(forest)]
    if all(tree.n_features == forest.n_features_in_ for tree in trees):
        return
    chosen = vars(forest).get("estimators_features_", [])
    is_sound = (
        forest._max_features != forest.n_features_in_
        and len(chosen) == len(trees)
        and all(len(one) == tree.n_features for one, tree in zip(chosen, trees, strict=True))
    )
    _require(is_sound, "a forest's trees take other features than it")


def _histogram_boosting(boosting: Any) -> None:
    known = vars(boosting)
    if "_predictors" not in known:
        return
    features = boosting._n_features  # what is asked is held against this, whoever prepared it
    _require(features == boosting.n_features_in_, "boosting has other features than it says")
    categorical = np.asarray(boosting._bin_mapper.is_categorical_, bool)
    _require(len(categorical) == features, "boosting has other features than its bins")
    for predictor in (one for stage in boosting._predictors for one in stage):
        nodes, bits = predictor.nodes, predictor.raw_left_cat_bitsets
        _require(len(nodes), "a tree has no nodes")
        inner = np.flatnonzero(nodes["is_leaf"] == 0)
        for side in ("left", "right"):
            children = nodes[side][inner].astype(np.int64)
            _require(_lead_on(children, inner, len(nodes)), "a tree's nodes lead out of it")
        asked = nodes["feature_idx"][inner]
        _require(_are_below(asked, features), "a tree asks for features that are not there")
        by_category = inner[nodes["is_categorical"][inner] != 0]
        sets = nodes["bitset_idx"][by_category].astype(np.int64)
        is_sound = _are_below(sets, len(bits)) and categorical[nodes["feature_idx"][by_category]].all()
        _require(
            is_sound and bits.ndim == 2 and bits.shape[1] == 8,
            "a tree asks for categories that are not there",
        )


# --- neighbours -------------------------------------------------------------------------------------


def _space_tree(tree: Any) -> None:
    data, order, nodes, bounds, _, _, count, *_, metric, weights = tree.__getstate__()
    rows, columns = data.shape
    _require(rows and count == len(nodes) and bounds.shape[1:] == (count, columns), "a tree has other nodes")
    sides = 2 if type(tree).__name__.startswith("KD") else 1  # boxes have two ends, balls a centre
    _require(bounds.shape[0] == sides and count >= 1, "a tree has no bounds")
    _require(len(order) == rows and _are_below(order, rows), "a tree refers to rows that are not there")
    _require(weights is None or len(weights) == rows, "a tree has other weights than rows")
    start, end = nodes["idx_start"], nodes["idx_end"]
    _require(
        ((start >= 0) & (start <= end) & (end <= rows)).all(), "a tree refers to rows that are not there"
    )
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    _require((2 * inner + 2 < count).all(), "a tree's nodes lead out of it")
    _distance_of(metric, columns)


def _distance_of(metric: Any, columns: int) -> None:
    _, vector, matrix = metric.__getstate__()
    name = type(metric).__name__
    if name.startswith(("SEuclidean", "Minkowski")):
        is_weighted = name.startswith("SEuclidean") or len(vector)
        _require(not is_weighted or len(vector) == columns, "a distance has other weights than columns")
    if name.startswith("Mahalanobis"):
        _require(matrix.shape == (columns, columns), "a distance has another matrix than columns")
    if name.startswith("Haversine"):
        _require(columns == 2, "a distance on the globe has other columns than two")


def _neighbours(estimator: Any) -> None:
    known = vars(estimator)
    if known.get("_fit_X") is None:
        return
    rows, columns = known["_fit_X"].shape
    _require(rows == estimator.n_samples_fit_, "neighbours have other rows than they say")
    is_sound = estimator._fit_method != "brute" or columns == estimator.n_features_in_  # a tree looks itself
    _require(is_sound, "neighbours have other columns than features")
    if "_y" in known:
        labels = known["_y"]
        _require(len(labels) == rows, "neighbours have other labels than rows")
        is_sound = "classes_" not in known or labels.ndim > 1 or _are_below(labels, len(known["classes_"]))
        _require(is_sound, "neighbours are of classes that are not there")


# --- texts and categories ---------------------------------------------------------------------------


def _vocabulary(vectorizer: Any) -> None:
    """Its places are columns of a sparse table, which what multiplies that does not look at."""
    if (words := vars(vectorizer).get("vocabulary_")) is None:
        return
    _require(type(words) is dict, "a vocabulary is no dict")
    places = np.fromiter(map(operator.index, words.values()), np.int64, len(words))
    _require(_are_below(places, len(words)), "a vocabulary has words in columns that are not there")


def _hasher(hasher: Any) -> None:
    _require(operator.index(hasher.n_features) >= 1, "a hasher has no features")  # it divides by them


def _one_hot(encoder: Any) -> None:
    """What it may be asked for gets a column of its feature: `transform` does the same with each value."""
    known = vars(encoder)
    if "_n_features_outs" not in known:
        return
    none = [None] * len(known["categories_"])
    is_grouped, dropped = known["_infrequent_enabled"], known["_drop_idx_after_grouping"]
    features = zip(
        known["categories_"],
        known["_n_features_outs"],
        none if dropped is None else dropped,
        known["_infrequent_indices"] if is_grouped else none,
        known["_default_to_infrequent_mappings"] if is_grouped else none,
        strict=True,
    )
    for categories, width, without, rare, groups in features:
        count = len(categories)
        codes = np.arange(count)
        if categories.dtype.kind not in "OUS":  # they are looked up as in order
            codes = np.searchsorted(categories, categories)
        codes = np.concatenate([codes, np.asarray([] if rare is None else rare, int)])
        _require(_are_below(codes, count), "an encoder's categories are in disorder")
        codes = codes if groups is None else np.asarray(groups)[codes]
        if without is not None:
            codes = codes[codes != without]
            codes = codes - (codes > without)
        _require(_are_below(codes, width), "an encoder has categories in columns that are not there")


# --- others -----------------------------------------------------------------------------------------


def _sparse(matrix: Any) -> None:
    matrix.check_format(full_check=True)


def _spline(spline: Any) -> None:
    """What its own constructor asks for, which loading does not call."""
    known = vars(spline)  # what `spline.t` gives is made by a function that the file names
    knots, coefficients = (known[f"_{name}" if f"_{name}" in known else name] for name in "tc")
    degree = operator.index(spline.k)
    is_sound = type(knots) is type(coefficients) is np.ndarray and knots.dtype == np.float64
    is_sound = is_sound and coefficients.dtype in (np.float64, np.complex128)
    _require(is_sound, "a spline is of other numbers")
    count = knots.size - degree - 1
    is_sound = knots.ndim == 1 and 0 <= degree < count
    _require(is_sound, "a spline has fewer knots than its degree needs")
    _require(np.isfinite(knots).all() and (np.diff(knots) >= 0).all(), "a spline's knots are in disorder")
    is_sound = coefficients.ndim >= 1 and len(coefficients) >= count
    _require(is_sound, "a spline has fewer coefficients than knots")
    _require(
        _are_below(np.array(operator.index(spline.axis)), coefficients.ndim), "a spline has no such axis"
    )
    how = spline.extrapolate
    _require(isinstance(how, (bool, np.bool_)) or how == "periodic", "a spline goes on in no known way")


def _booster(booster: Any) -> None:
    boosted.check(ubjson.read(booster.save_raw("ubj")))


def _clusters(estimator: Any) -> None:
    if (centers := vars(estimator).get("cluster_centers_")) is not None:
        is_sound = centers.ndim == 2 and len(centers) and centers.shape[1] == estimator.n_features_in_
        _require(is_sound, "clusters have other columns than features")
        _require(operator.index(estimator._n_threads) >= 1, "clusters are asked by no threads")


def _halves(estimator: Any) -> None:
    """The centers between which rows are told apart."""
    for node in _objects(vars(estimator).get("_bisecting_tree")):
        if type(node).__name__ == "_BisectingTree":
            is_sound = np.shape(node.center) == (estimator.n_features_in_,)
            _require(is_sound, "clusters have other columns than features")


def _subclusters(estimator: Any) -> None:
    if "_subcluster_norms" in (known := vars(estimator)):
        is_sound = np.shape(known["_subcluster_norms"]) == (len(known["subcluster_centers_"]),)
        _require(is_sound, "clusters have other norms than centers")


def _support_vectors(machine: Any) -> None:
    known = vars(machine)
    if "support_vectors_" not in known:
        return
    vectors, coefficients = known["support_vectors_"], known["_dual_coef_"]
    numbers = np.asarray(known["support_"])
    count = len(numbers)
    if machine.kernel == "precomputed" or callable(machine.kernel):
        # their numbers are columns of what is asked, or of what the kernel makes of that
        _require(_are_below(numbers, machine.shape_fit_[0]), "support vectors that are not there")
    else:
        _require(vectors.shape == (count, machine.n_features_in_), "support vectors have another shape")
    classes = len(known["classes_"]) if "classes_" in known else 2
    pairs = classes * (classes - 1) // 2
    _require(coefficients.shape == (classes - 1, count), "support vectors have other coefficients")
    _require(len(known["_intercept_"]) == pairs, "support vectors have other intercepts")
    supports = np.asarray(known["_n_support"])
    if "classes_" in known:
        is_sound = len(supports) == classes and (supports >= 0).all() and supports.sum() == count
        _require(is_sound, "support vectors are of other classes")
    probabilities = {len(known.get(name, ())) for name in ("_probA", "_probB")}
    is_sound = probabilities in ({0}, {pairs}) or ("classes_" not in known and probabilities <= {0, 1})
    _require(is_sound, "support vectors have other probabilities")


_HISTOGRAM = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting"
_CHECKERS: dict[str, Callable[[Any], None]] = {
    "sklearn.tree._tree.Tree": _tree,
    "sklearn.tree._classes.BaseDecisionTree": _estimator_of_tree,
    "sklearn.ensemble._forest.BaseForest": _forest,
    "sklearn.ensemble._gb.BaseGradientBoosting": _boosting,
    "sklearn.ensemble._iforest.IsolationForest": _isolation,
    f"{_HISTOGRAM}.BaseHistGradientBoosting": _histogram_boosting,
    "sklearn.neighbors._kd_tree.BinaryTree64": _space_tree,
    "sklearn.neighbors._kd_tree.BinaryTree32": _space_tree,
    "sklearn.neighbors._ball_tree.BinaryTree64": _space_tree,
    "sklearn.neighbors._ball_tree.BinaryTree32": _space_tree,
    "sklearn.neighbors._base.NeighborsBase": _neighbours,
    "sklearn.cluster._kmeans._BaseKMeans": _clusters,
    "sklearn.cluster._bisect_k_means.BisectingKMeans": _halves,
    "sklearn.cluster._birch.Birch": _subclusters,
    "sklearn.svm._base.BaseLibSVM": _support_vectors,
    "sklearn.feature_extraction.text.CountVectorizer": _vocabulary,
    "sklearn.feature_extraction._dict_vectorizer.DictVectorizer": _vocabulary,
    "sklearn.feature_extraction.text.HashingVectorizer": _hasher,
    "sklearn.feature_extraction._hash.FeatureHasher": _hasher,
    "sklearn.preprocessing._encoders.OneHotEncoder": _one_hot,
    "scipy.interpolate._bsplines.BSpline": _spline,
    "xgboost.core.Booster": _booster,
    **{
        f"scipy.sparse._{name}.{name}_{kind}": _sparse
        for name in ("csr", "csc", "bsr")
        for kind in ("matrix", "array")
    },
}
_ASKERS: dict[str, Callable[[Any], None]] = {"sklearn.ensemble._gb.BaseGradientBoosting": _beginning}
"""Those that ask a part of the model, once all of it is known to be sound."""
