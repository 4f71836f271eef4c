"""The curves and numbers that an estimator keeps of its own training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...recording.run import ActiveRun

CURVES = ("loss_curve_", "validation_scores_", "train_score_", "validation_score_", "scores_")
"""Fitted attributes with a value per iteration; recorded under the attribute's own name, bare.

`scores_` is one where the estimator has a param `compute_score`; others have scores of features or folds.
"""
FACTS = (
    *("n_iter_", "loss_", "best_loss_", "inertia_", "oob_score_", "best_score_", "lower_bound_"),
    *("n_clusters_", "n_samples_seen_", "n_steps_", "t_"),
)
"""Fitted attributes with one number."""


def log_fitted(run: ActiveRun, estimator: Any) -> None:
    """Record them on `run`."""
    state = vars(estimator)
    for attribute in CURVES if "compute_score" in state else CURVES[:-1]:
        for step, value in enumerate(_numbers(state.get(attribute))):
            run.log({attribute.rstrip("_"): value}, step)
    if numbers := fitted_numbers(estimator):
        run.log(numbers)


def fitted_numbers(estimator: Any) -> dict[str, Any]:
    """The numbers alone, as they are now."""
    state = vars(estimator)
    return {name.rstrip("_"): state[name] for name in FACTS if _is_number(state.get(name))}


def _numbers(curve: Any) -> list[float]:
    """A curve's values; nothing if it is none."""
    values = curve.tolist() if getattr(curve, "ndim", 0) == 1 else curve
    return values if isinstance(values, list) and all(map(_is_number, values)) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0)
