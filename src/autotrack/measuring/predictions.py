"""What a model predicted for rows whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Predictions:
    """Of `rows` of all `of_rows`: truth, prediction and, from some classifiers, probabilities.

    `classes` is None for a regressor; `weight` is the user's sample_weight. All are copies.
    `score_is_usual`: the estimator's own `score` is accuracy or R².
    """

    truth: NDArray[Any]
    predicted: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    classes: NDArray[Any] | None
    weight: NDArray[np.float64] | None
    rows: int
    of_rows: int
    score_is_usual: bool
