"""`fit` of every estimator."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from ...integration import Call, Integration, Outcome, hook
from .fitted import log_fitted
from .params import params_of

if TYPE_CHECKING:
    from ...recording.run import ActiveRun


class Fitting(Integration):
    """One training: params before, what the estimator kept of its iterations after."""

    @hook("sklearn.base:BaseEstimator.fit", subclasses=True)
    def fit(self, run: ActiveRun, call: Call) -> Generator[None, Outcome, None]:
        run.log_params(params_of(call.instance, deep=True))
        outcome = yield
        if self.options.fitted_metrics and outcome.error is None:
            log_fitted(run, call.instance)

    def settings(self, call: Call) -> Mapping[str, Any]:
        return params_of(call.instance, deep=False)
