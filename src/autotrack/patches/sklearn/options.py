"""What a user can choose about the scikit-learn integration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SklearnOptions:
    """Options of the scikit-learn integration.

    fitted_metrics: record the curves and numbers that an estimator keeps while it is fitted.
    training_metrics: record how well a model predicts the data that it was trained on.
    curves: record confusion, ROC, precision-recall and calibration curves, importances and
    coefficients as tables.
    candidates: record every candidate of a search as a child run.
    log_dataset: record digest, shape and schema of the data that a model is trained on.
    log_model: keep the trained model.
    """

    fitted_metrics: bool = True
    training_metrics: bool = True
    curves: bool = True
    candidates: bool = True
    log_dataset: bool = True
    log_model: bool = True
