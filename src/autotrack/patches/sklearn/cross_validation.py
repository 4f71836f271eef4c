"""Cross-validation by a function: one run, with a point for each fold."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...integration import Call, Integration, Outcome, hook
from .fitting import introduce
from .params import described

if TYPE_CHECKING:
    from ...recording.run import ActiveRun
    from ...recording.segments import Fit

SETTINGS = ("cv", "scoring", "method", "param_name")
"""Arguments that are params of the run, beside those of the estimator."""
_MODULE = "sklearn.model_selection:"


class CrossValidation(Integration):
    """A fold is a `fit` span, if it was trained in this process, and a point with its number as step."""

    @hook(
        *(_MODULE + name for name in ("cross_validate", "cross_val_score", "cross_val_predict")),
        *(_MODULE + name for name in ("learning_curve", "validation_curve", "permutation_test_score")),
    )
    def cross_validation(self, run: ActiveRun, call: Call) -> Generator[None, Outcome, None]:
        given = call.arguments
        introduce(run, given["estimator"])
        run.log_params(described({n: given[n] for n in SETTINGS if given.get(n) is not None}))
        folds: list[Fit] = []
        call.inner_fits = lambda inner: folds
        outcome = yield
        for fit in folds:
            run.record_fit(fit)
        if outcome.error is None:
            for step, point in _points(call.function.__name__, outcome.value):
                run.log(point, step)


def _points(function: str, value: Any) -> list[tuple[int, dict[str, float]]]:
    """What the function returned, as points."""
    if function == "cross_validate":
        return _of_folds({name: scores for name, scores in value.items() if _is_vector(scores)})
    if function == "cross_val_score":
        return _of_folds({"test_score": value})
    if function == "learning_curve":
        sizes, train, test = value[:3]
        return _of_rows(map(int, sizes), train, test)
    if function == "validation_curve":
        return _of_rows(range(len(value[0])), *value)
    if function == "permutation_test_score":
        return [(0, {"score": float(value[0]), "pvalue": float(value[2])})]
    return []


def _of_folds(columns: Mapping[str, Any]) -> list[tuple[int, dict[str, float]]]:
    """A point of each fold, and the mean and deviation of all."""
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    folds = [(fold, dict(zip(columns, row, strict=True))) for fold, row in enumerate(rows)]
    whole = {f"mean_{name}": float(values.mean()) for name, values in columns.items()}
    whole |= {f"std_{name}": float(values.std()) for name, values in columns.items()}
    return [*folds, (0, whole)]


def _of_rows(steps: Iterable[int], train: Any, test: Any) -> list[tuple[int, dict[str, float]]]:
    """The folds' mean of each row."""
    means = zip(steps, train.mean(axis=1).tolist(), test.mean(axis=1).tolist(), strict=True)
    return [(step, {"mean_train_score": a, "mean_test_score": b}) for step, a, b in means]


def _is_vector(values: Any) -> bool:
    return getattr(values, "ndim", 0) == 1 and values.dtype.kind == "f"
