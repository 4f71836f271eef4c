"""The trees of XGBoost's models, checked: their nodes, features and categories lie where they must.

XGBoost follows what a file says. By a forged one, predicting reads memory that is not the model's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ModelError

MOST_CATEGORIES = 1 << 24
"""Of a feature: XGBoost has them as float32, and takes a bit of memory for each below the greatest."""

MOST_FEATURES = 1 << 24
"""XGBoost lays out some rows at a time with all their features: 4 GiB of so many."""
MOST_GROUPS = 1 << 10
"""Classes or targets of a model without a tree for each: so many numbers are predicted of a row."""


def check(told: Any) -> None:
    """Look at what a file says, as UBJSON and JSON have it. Raises `ModelError`."""
    try:
        learner = told["learner"]
        shape = learner["learner_model_param"]
        features = int(shape["num_feature"])
        groups = max(1, int(shape.get("num_class", 0)), int(shape.get("num_target", 1)))
        _require(0 <= features <= MOST_FEATURES, f"it says that it has {features:,} features")
        booster = learner["gradient_booster"]
        if "gbtree" in booster:  # dart has its trees in one
            trees = booster["gbtree"]["model"]
            _require(len(booster["weight_drop"]) == len(trees["trees"]), "its trees have other weights")
        else:
            trees = booster["model"]
        if "trees" in trees:
            _check_trees(trees, features, groups)
        else:
            _require(len(trees["weights"]) == (features + 1) * groups, "it has other weights than features")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError) as error:
        raise ModelError(
            f"the model is damaged or forged: it is none of XGBoost's ({type(error).__name__}: {error})"
        ) from None


def _check_trees(model: Mapping[str, Any], features: int, groups: int) -> None:
    trees = model["trees"]
    _require(int(model["gbtree_model_param"]["num_trees"]) == len(trees), "it has other trees than it says")
    leaves = max((int(tree["tree_param"].get("size_leaf_vector", 1)) for tree in trees), default=0)
    most = max(len(trees), leaves, MOST_GROUPS)
    _require(groups <= most, f"it says that it has {groups:,} classes or targets, with {len(trees)} trees")
    of_group = _whole(model["tree_info"])
    _require(len(of_group) == len(trees) and _are_below(of_group, groups), "its trees are of other classes")
    if "iteration_indptr" in model:
        _check_segments(_whole(model["iteration_indptr"]), len(trees), "its iterations have other trees")
    for tree in trees:
        _check_tree(tree, features, groups)
    for cats in (model["cats"],) if "cats" in model else ():
        _check_names_of_categories(cats)


def _check_tree(tree: Mapping[str, Any], features: int, groups: int) -> None:
    left, right, parents = (_whole(tree[name]) for name in ("left_children", "right_children", "parents"))
    asked, kinds = _whole(tree["split_indices"]), _whole(tree.get("split_type", []))
    count, leaf = len(left), int(tree["tree_param"].get("size_leaf_vector", 1))
    _require(count == int(tree["tree_param"]["num_nodes"]) > 0, "a tree has other nodes than it says")
    _require({len(right), len(parents), len(asked)} == {count}, "a tree has other nodes than it says")
    _require(len(kinds) in (0, count), "a tree has other nodes than it says")
    for name in ("split_conditions", "default_left"):
        _require(len(tree[name]) == count, "a tree has other nodes than it says")
    _require(leaf in (0, 1, groups), "a tree's leaves are of other classes")
    if leaf > 1:
        _check_leaves(tree, leaf, count, right[left == -1])
    inner = np.flatnonzero(left != -1)
    children = np.concatenate([left[inner], right[inner]])
    # below the first, and each of one parent only: then every walk ends
    is_sound = _are_below(children - 1, count - 1) and np.bincount(children, minlength=1).max() <= 1
    _require(is_sound, "a tree's nodes lead out of it")
    _require(_are_below(asked[inner], features), "a tree asks for features that are not there")
    above = parents[(parents != -1) & (parents != np.iinfo(np.int32).max)]
    _require(_are_below(above, count), "a tree's nodes lead out of it")
    _check_categories(tree, count, inner[kinds[inner] == 1] if len(kinds) else inner[:0])


def _check_leaves(tree: Mapping[str, Any], size: int, count: int, places: Any) -> None:
    """Of several targets: since XGBoost 3.2 their weights stand apart, where the leaf's right tells."""
    is_sound = len(tree["base_weights"]) == size * count
    if "leaf_weights" in tree:
        whole, rest = divmod(len(tree["leaf_weights"]), size)
        is_sound = is_sound and not rest and _are_below(places, whole)
    _require(is_sound, "a tree's leaves have other weights than it says")


def _check_categories(tree: Mapping[str, Any], count: int, needed: Any) -> None:
    if "categories" not in tree and not len(needed):  # as XGBoost wrote them once
        return
    categories, nodes, starts, sizes = (
        _whole(tree[name])
        for name in ("categories", "categories_nodes", "categories_segments", "categories_sizes")
    )
    most = len(categories)
    is_sound = (
        len(nodes) == len(starts) == len(sizes)
        and _are_below(nodes, count)
        and (np.diff(nodes) > 0).all()
        and np.isin(needed, nodes).all()
        and _are_below(starts, most)
        and _are_below(sizes - 1, most)
        and ((starts + sizes) <= most).all()
        and _are_below(categories, MOST_CATEGORIES)
    )
    _require(is_sound, "a tree asks for categories that are not there")


def _check_names_of_categories(cats: Mapping[str, Any]) -> None:
    segments, order = _whole(cats["feature_segments"]), _whole(cats["sorted_idx"])
    if len(segments):
        _check_segments(segments, len(order), "its categories are others than it says")
        sizes = np.diff(segments)
        _require(len(cats["enc"]) == len(sizes), "its categories are others than it says")
        _require((order < np.repeat(sizes, sizes)).all(), "its categories are others than it says")
    _require((order >= 0).all(), "its categories are others than it says")
    for one in cats["enc"]:
        if "offsets" in one and (
            len(one["offsets"]) or len(one["values"])
        ):  # neither, of a feature of numbers
            _check_segments(_whole(one["offsets"]), len(one["values"]), "its categories have other names")


def _check_segments(bounds: Any, end: int, what: str) -> None:
    is_sound = len(bounds) and bounds[0] == 0 and bounds[-1] == end and (np.diff(bounds) >= 0).all()
    _require(is_sound, what)


def _whole(values: Any) -> Any:
    """As int64. Raises ValueError for what is not of whole numbers."""
    found = np.asarray(values)
    if found.ndim != 1 or (len(found) and found.dtype.kind not in "iub"):
        raise ValueError("indices that are no whole numbers")
    return found.astype(np.int64)


def _are_below(indices: Any, end: int) -> bool:
    return bool(((indices >= 0) & (indices < end)).all())


def _require(is_sound: Any, what: str) -> None:
    if not is_sound:
        raise ModelError(f"the model is damaged or forged: {what}")
