"""`fit` of every estimator, and what stands for it: `fit_transform`, `fit_predict`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from ...integration import Call, Integration, Outcome, hook
from .evaluation import remember_labels
from .keeping import log_data, log_model, stands_for
from .params import described, is_estimator, own_params, params_of
from .random_states import same_random_states
from .search import Folds, is_search, log_search
from .telling import tell
from .trust import is_known

if TYPE_CHECKING:
    from ...recording.run import ActiveRun


class Fitting(Integration):
    """One training: params before, what it left behind after."""

    @hook("sklearn.base:BaseEstimator.fit", subclasses=True)
    def fit(self, run: ActiveRun, call: Call) -> Generator[None, Outcome, None]:
        introduce(run, call.instance)
        folds = Folds(call) if is_search(call.instance) else None
        is_whole = stands_for(run, call.instance)
        if is_whole and self.options.log_dataset:
            log_data(run, call)
        outcome = yield
        if outcome.error is None and is_whole and self.options.log_model:
            log_model(run, call.instance, call)  # as the call leaves it
        if folds is not None:
            log_search(run, call.instance, folds, outcome, self.options.candidates)
        if outcome.error is None:
            remember_labels(run, call)
            tell(run, call, outcome.duration, self.options)

    @hook(
        "sklearn.base:BaseEstimator.fit_transform",
        "sklearn.base:BaseEstimator.fit_predict",
        subclasses=True,
        mixins=False,
    )
    def fit_and_apply(self, run: ActiveRun, call: Call) -> Generator[None, Outcome, None]:
        """Of classes that have their own; what comes from scikit-learn's mixins calls `fit`."""
        yield from self.fit(run, call)

    def settings(self, call: Call) -> Mapping[str, Any]:
        return described(own_params(call.instance)) if is_estimator(call.instance) else {}


def introduce(run: ActiveRun, estimator: Any) -> None:
    """Class and params of what is about to be trained."""
    kind = type(estimator)
    run.set_tags(
        {"estimator_name": kind.__name__, "estimator_class": f"{kind.__module__}.{kind.__qualname__}"}
    )
    if is_known(estimator):
        run.log_params(params_of(estimator))
    else:
        with same_random_states():
            run.log_params(params_of(estimator))
