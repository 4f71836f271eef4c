"""Grid, randomized and halving search: every candidate is a child run of the search's run.

They are recorded once the search is over, in the flusher, from `cv_results_`: the same whether folds were
trained here, in threads or in other processes. Those trained in the search's own thread have been seen, and
are `fit` spans of their candidate, at their true times. Of others scikit-learn tells only how long they
took: their candidates are laid one after the other over the time of the search, in their order.
"""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...recording.outcomes import qualified_name
from ...states import RunError, State
from .params import described, described_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...integration import Call, Outcome
    from ...recording.run import ActiveRun
    from ...recording.segments import Fit

BATCH = 100
"""Candidates recorded at a time: the flusher must come up for air."""


def is_search(estimator: Any) -> bool:
    """scikit-learn's own, and others made after them."""
    return any(kind.__name__ == "BaseSearchCV" for kind in type(estimator).__mro__)


class Folds:
    """The trainings of the candidates that go on inside a search; the refit is not one of them.

    Only of those in the search's own thread is the order that of the candidates.
    """

    def __init__(self, call: Call) -> None:
        self.seen: list[Fit] = []
        self._elsewhere: list[Fit] = []
        self._search = call.instance
        self._thread = threading.get_ident()
        call.inner_fits = self._takes

    def _takes(self, inner: Call) -> list[Fit] | None:
        if inner.instance is vars(self._search).get("best_estimator_"):
            return None
        return self.seen if threading.get_ident() == self._thread else self._elsewhere

    def record_on(self, run: ActiveRun) -> None:
        """As `fit` spans of a run of their own, where they belong to no candidate."""
        for fit in self.seen + self._elsewhere:
            run.record_fit(fit)


def log_search(run: ActiveRun, search: Any, folds: Folds, outcome: Outcome, with_children: bool) -> None:
    """What a search found: the best on its own run, every candidate on a child run."""
    state = vars(search)
    columns = state.get("cv_results_")
    if outcome.error is not None or not isinstance(columns, dict) or "params" not in columns:
        folds.record_on(run)
        return
    columns = dict(columns)
    run.log_params({f"best_{name}": v for name, v in described(state.get("best_params_") or {}).items()})
    if "best_index_" in state:
        run.log({"best_index": state["best_index_"]})
    run.later(lambda segment: run.log_table(_table(columns), "cv_results.json"))
    if not with_children:
        folds.record_on(run)
        return
    now = time.time_ns()
    window = now - int(outcome.duration * 1e9), now - int(state.get("refit_time_", 0) * 1e9)
    candidates = _Candidates(run, search, columns, folds.seen, window)
    for first in range(0, candidates.count, BATCH):
        run.later(functools.partial(candidates.record, first))


class _Candidates:
    """The candidates of one search, which tried them in a `window` of time: from, to in unix ns."""

    def __init__(
        self,
        run: ActiveRun,
        search: Any,
        columns: Mapping[str, Any],
        seen: Sequence[Fit],
        window: tuple[int, int],
    ) -> None:
        state = vars(search)
        kind = type(state.get("estimator"))
        self._run = run
        self._name = kind.__name__
        self._params = columns["params"]
        self._best = state.get("best_index_")
        self.count = len(self._params)
        self._of_fold = _columns_of_folds(columns)
        self._of_all = {name: values for name, values in columns.items() if _is_of_all(name)}
        self._ends = _ends(columns, len(self._of_fold), window)
        fits = [fit for fit in seen if fit.kind == qualified_name(kind)]
        self._fits = fits if len(fits) == self.count * len(self._of_fold) else []

    def record(self, first: int, segment: object) -> None:
        """The child runs of one batch."""
        for number in range(first, min(first + BATCH, self.count)):
            self._record_one(number)

    def _record_one(self, number: int) -> None:
        width = len(self._of_fold)
        fits = self._fits[number * width : (number + 1) * width]
        started, ended = int(self._ends[number]), int(self._ends[number + 1])
        if fits:
            started, ended = fits[0].start, fits[-1].end
        tags = {"candidate": str(number)} | ({"best": "true"} if number == self._best else {})
        child = self._run.new_child(
            self._name, params=described(self._params[number]), tags=tags, started=started
        )
        scores = [{name: float(v[number]) for name, v in columns.items()} for columns in self._of_fold]
        for fold, (values, fit) in enumerate(itertools.zip_longest(scores, fits)):
            child.log_past(values, fold, fit.end if fit else ended)
            if fit:
                child.record_fit(fit)
        child.log_past({name: float(v[number]) for name, v in self._of_all.items()}, 0, ended)
        child.finish(*_outcome(scores, fits), at=ended)


def _columns_of_folds(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each fold its columns by their names without it: "test_score" of "split0_test_score"."""
    folds: dict[int, dict[str, Any]] = {}
    for name, values in columns.items():
        fold, _, rest = name.removeprefix("split").partition("_")
        if name.startswith("split") and fold.isdigit():
            folds.setdefault(int(fold), {})[rest] = values
    return [folds[number] for number in sorted(folds)]


def _is_of_all(name: str) -> bool:
    """Whether a column has a number of the candidate as a whole; the last two are halving's."""
    return name.startswith(("mean_", "std_", "rank_")) or name in ("iter", "n_resources")


def _ends(columns: Mapping[str, Any], folds: int, window: tuple[int, int]) -> NDArray[np.int64]:
    """When each candidate ended, laid one after the other; first when the first one began."""
    import numpy as np

    seconds = np.nan_to_num(columns.get("mean_fit_time", 0) + columns.get("mean_score_time", 0.0))
    sums = np.cumsum(np.broadcast_to(seconds, len(columns["params"]))) * folds * 1e9
    total = sums[-1] if len(sums) else 0.0
    from_, to = window
    scale = min(1.0, max(0, to - from_) / total) if total > 0 else 0.0
    return from_ + np.concatenate([[0], (sums * scale)]).astype(np.int64)


def _outcome(scores: Sequence[Mapping[str, float]], fits: Sequence[Fit]) -> tuple[State, RunError | None]:
    """Failed, if a fold raised or has no score."""
    errors = [fit.error for fit in fits if fit.error]
    without = sum(any(value != value for value in values.values()) for values in scores)
    if not errors and not without:
        return State.FINISHED, None
    kind = errors[0] if errors else "sklearn.exceptions.FitFailedWarning"
    return State.FAILED, RunError(kind, f"{max(len(errors), without)} of {len(scores)} folds failed", "")


def _table(columns: Mapping[str, Any]) -> dict[str, Any]:
    """`cv_results_` without the params as dicts, which stand in columns of their own as well."""
    return {
        name: [described_value(v) for v in values.tolist()] if values.dtype == object else values
        for name, values in columns.items()
        if name != "params"
    }
