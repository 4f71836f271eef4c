"""What a trained booster tells about itself: the params it was trained with, its features' importances."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

USUAL_NAMES = {
    "eta": "learning_rate",
    "lambda": "reg_lambda",
    "alpha": "reg_alpha",
    "min_split_loss": "gamma",
    "seed": "random_state",
    "nthread": "n_jobs",
}
"""Params with two names: both ways of training are recorded under that of the scikit-learn API."""
NO_PARAMS = {
    "boost_from_average",
    "debug_synchronize",
    "fail_on_invalid_gpu_id",
    "max_cached_hist_node",
    "name",
    "num_feature",
    "num_target",
    "num_trees",
    "updater_seq",
}
"""Entries of a booster's configuration that tell its state, or that no user sets."""
IMPORTANCE_TYPES = ("weight", "gain", "cover", "total_gain", "total_cover")


def defaults(booster: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The params that XGBoost filled in: all that are not `given`, by whichever of their names."""
    learner = json.loads(booster.save_config())["learner"]
    found = {USUAL_NAMES.get(name, name): _value(text) for name, text in _entries(learner)}
    found["eval_metric"] = ", ".join(metric["name"] for metric in learner.get("metrics", ()))
    chosen = {USUAL_NAMES.get(name, name) for name in given}
    return {name: value for name, value in found.items() if name not in chosen and value not in ("", "()")}


def importances(booster: Any) -> dict[str, list[Any]]:
    """The features that the trees use, most gain first, with each type of importance; columns of a table.

    Linear boosters have weights only, one for each class.
    """
    weights = booster.get_score(importance_type="weight")
    if _is_linear(booster):
        return {"feature": list(weights), **_by_class(weights)}
    scores = {kind: booster.get_score(importance_type=kind) for kind in IMPORTANCE_TYPES[1:]}
    features = sorted(weights, key=scores["gain"].__getitem__, reverse=True)
    return {
        "feature": features,
        **{kind: [score[f] for f in features] for kind, score in {"weight": weights, **scores}.items()},
    }


def _is_linear(booster: Any) -> bool:
    name: str = json.loads(booster.save_config())["learner"]["gradient_booster"]["name"]
    return name == "gblinear"


def _by_class(weights: Mapping[str, Any]) -> dict[str, list[float]]:
    rows = [value if isinstance(value, list) else [value] for value in weights.values()]
    columns = [list(column) for column in zip(*rows, strict=True)]
    return {"weight" if len(columns) == 1 else f"weight_{n}": column for n, column in enumerate(columns)}


def _entries(node: Any) -> Iterator[tuple[str, str]]:
    """Names and values at the leaves of a configuration: all of them are text."""
    children = node.items() if isinstance(node, dict) else [("", child) for child in node]
    for name, child in children:
        if isinstance(child, str):
            if name not in NO_PARAMS:
                yield name, child
        elif isinstance(child, (dict, list)):
            yield from _entries(child)


def _value(text: str) -> Any:
    """XGBoost's text as a user would write it: its float32 0.300000012 is 0.3, "[6E-1]" one number."""
    plain = text[1:-1] if text.startswith("[") and "," not in text else text
    try:
        return int(plain)
    except ValueError:
        pass
    try:
        return float(f"{float(plain):.7g}")
    except ValueError:
        return text
