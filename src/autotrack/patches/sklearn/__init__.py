"""scikit-learn: every estimator's training, its own, a user's or a third party's.

The class below is put together from one mixin for each kind of call: a module of this package each.
"""

from __future__ import annotations

from .cross_validation import CrossValidation
from .evaluation import Evaluation
from .fitting import Fitting
from .options import SklearnOptions
from .stepping import Stepping


class Sklearn(Fitting, Stepping, CrossValidation, Evaluation):
    """Params from `get_params(deep=True)`, metrics from what the estimator itself computed."""

    name = "sklearn"
    requires = "scikit-learn>=1.3"
    Options = SklearnOptions


__all__ = ["Sklearn", "SklearnOptions"]
