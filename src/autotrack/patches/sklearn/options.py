"""What a user can choose about the scikit-learn integration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SklearnOptions:
    """Options of the scikit-learn integration.

    fitted_metrics: record the curves and numbers that an estimator keeps while it is fitted.
    """

    fitted_metrics: bool = True
