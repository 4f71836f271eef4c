"""The data that a training used, and the model that came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...integration import Call
    from ...recording.run import ActiveRun


def stands_for(run: ActiveRun, estimator: Any) -> bool:
    """Whether the run is this estimator's training: a transformer is but a step of a user's own run."""
    return not run.explicit or hasattr(type(estimator), "predict") or hasattr(estimator, "predict")


def log_data(run: ActiveRun, call: Call) -> None:
    """What it is about to be trained on, which a training may change."""
    given = call.arguments
    if given.get("X") is not None:
        run.log_dataset(given["X"], "train", y=given.get("y"))
    for number, (data, target) in enumerate(_pairs(given.get("eval_set"))):  # as XGBoost names them
        run.log_dataset(data, f"validation_{number}", y=target, role="eval")


def log_model(run: ActiveRun, estimator: Any, call: Call) -> None:
    """What predicts: of a search the best candidate, refitted, as the others are runs of their own.

    The source of a user's own classes is not taken unasked: to gather it takes time of the call.
    """
    from ...signatures.trained import signature_of

    model = vars(estimator).get("best_estimator_", estimator)
    run.log_model(model, signature=signature_of(call.arguments.get("X")), own_code=False)


def _pairs(eval_set: Any) -> list[tuple[Any, Any]]:
    """Of what libraries take as `eval_set`: a list of pairs, or one pair."""
    sets = eval_set if isinstance(eval_set, list) else [eval_set]
    return [pair for pair in sets if isinstance(pair, tuple) and len(pair) == 2]
