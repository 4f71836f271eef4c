"""The eval metrics of every iteration, under the names that XGBoost prints: `<data>-<metric>`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from xgboost.callback import TrainingCallback

if TYPE_CHECKING:
    from ...recording.run import ActiveRun

_History = Mapping[str, Mapping[str, list[Any]]]


class Points(TrainingCallback):
    """Logs each iteration once XGBoost tells of it.

    A user's callback before it in the list may keep it from that, and so may an exception. So it
    remembers XGBoost's own history of results, and `finish` takes from it what it was not told.
    It has no `before_training` or `after_training`: these give XGBoost its model back, so that a
    failure in them could not be kept from the training.
    """

    def __init__(self, run: ActiveRun, every: int) -> None:
        super().__init__()
        self._run = run
        self._every = every
        self._model: Any = None
        self._history: _History = {}
        self._best_before: str | None = None
        self._epoch = 0
        self._offset: int | None = None
        self._taken: dict[tuple[str, str], int] = {}
        self._held: list[dict[str, float]] = []
        self._step = 0  # of what is held

    def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        if self._model is None:
            self._begin(model)
        self._history, self._epoch = evals_log, epoch
        return False

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self._take()
        if self._step % self._every == 0:
            self._log_held()
        return False

    def finish(self) -> None:
        """Log what is there and was not logged: of the last iteration. Let go of the model."""
        self._take()
        self._log_held()
        self._model = None

    def log_best(self, booster: Any) -> None:
        """What early stopping found, if there was any: the facts may be an earlier training's."""
        found = booster.attributes()
        if found.get("best_iteration") not in (None, self._best_before):
            best = {"best_iteration": int(found["best_iteration"]), "best_score": float(found["best_score"])}
            self._run.log({**best, "stopped_iteration": self._step})

    def _begin(self, model: Any) -> None:
        self._model = model
        self._best_before = model.attr("best_iteration")

    def _take(self) -> None:
        """Hold what the history has got since; earlier points that are held were not to be logged."""
        new: dict[str, list[Any]] = {}
        for data, metrics in self._history.items():
            for metric, values in metrics.items():
                taken = self._taken.get((data, metric), 0)
                if len(values) > taken:
                    new[f"{data}-{metric}"] = values[taken:]
                    self._taken[data, metric] = len(values)
        if new:
            self._held, self._step = self._rows(new), self._epoch + self._earlier_rounds()

    def _earlier_rounds(self) -> int:
        """Training may go on from another model: XGBoost then counts from zero, the points do not.

        Asked after an iteration: a model that is asked before the first would configure itself, and
        XGBoost's warnings about the params would name our line.
        """
        if self._offset is None:
            self._offset = self._model.num_boosted_rounds() - 1 - self._epoch
        return self._offset

    def _rows(self, new: Mapping[str, Sequence[Any]]) -> list[dict[str, float]]:
        """One row; more where two data sets share a name, and with it a list."""
        rows = zip_longest(*new.values())
        return [{name: v for name, v in zip(new, row, strict=True) if v is not None} for row in rows]

    def _log_held(self) -> None:
        for row in self._held:
            self._run.log(row, self._step)
        self._held = []


class FoldPoints(Points):
    """The same for `xgboost.cv`: `<data>-<metric>-mean` and `-std`, and `-fold<n>` for each fold."""

    def __init__(self, run: ActiveRun, every: int) -> None:
        super().__init__(run, every)
        self._results: list[str] = []

    @property
    def folds(self) -> list[Any]:
        """The folds' boosters, until `finish`."""
        return [fold.bst for fold in self._model.cvfolds] if self._model is not None else []

    def finish(self) -> None:
        if self._model is not None:
            del self._model.eval
        super().finish()

    def _begin(self, model: Any) -> None:
        super()._begin(model)
        self._keep_results(model.eval)

    def _keep_results(self, evaluate: Callable[..., list[str]]) -> None:
        """XGBoost averages the folds' results and drops them: keep those of the latest iteration."""

        def keeping(*args: Any, **kwargs: Any) -> list[str]:
            self._results = evaluate(*args, **kwargs)
            return self._results

        self._model.eval = keeping

    def _rows(self, new: Mapping[str, Sequence[Any]]) -> list[dict[str, float]]:
        row: dict[str, float] = {}
        for name, pairs in new.items():
            row[f"{name}-mean"], row[f"{name}-std"] = map(float, pairs[-1])
        for number, result in enumerate(self._results):
            for part in result.split()[1:]:  # "[0] train-logloss:0.46 test-logloss:0.48"
                name, _, value = part.rpartition(":")
                row[f"{name}-fold{number}"] = float(value)
        return [row]
