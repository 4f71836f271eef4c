"""The scripts in examples/, as they are: what each leaves in an empty store."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from autotrack.states import State

from .scripts import Place

EXAMPLES = Path(__file__).parent.parent / "examples"

RUNS = {
    "breast_cancer": {"xgboost.train": 2},
    "diabetes": {"Ridge": 1, "GridSearchCV": 1, "Lasso": 3, "RandomForestRegressor": 1, "XGBRegressor": 1},
    "digits": {"Pipeline": 1, "MLPClassifier": 1, "GradientBoostingClassifier": 1},
    "lightning_digits": {"Digits": 1},
    "torch_ddp": {"torch_ddp": 1},
    "torch_gan": {"torch_gan": 1},
    "torch_loop": {"Digits": 1},
}
"""By script, how many runs of each name."""
POINTS = {
    "breast_cancer": {"valid-auc": 302, "best_score": 2},
    "diabetes": {"score/X_test": 4, "test_score": 15, "oob_score": 1},
    "digits": {"score/X_test": 3, "training_accuracy_score": 3, "train_score": 20},
    "lightning_digits": {"train_loss": 129, "step_seconds": 129, "val_acc": 3, "test_acc": 1},
    "torch_ddp": {"loss": 75, "rank_1/step_seconds": 75, "epoch_seconds": 5},
    "torch_gan": {"loss_d": 145, "loss_g": 145, "lr": 145, "optimizer_g/lr": 145},
    "torch_loop": {"loss": 225, "lr": 225, "epoch_seconds": 5, "eval_seconds": 5},
}
"""By script, how many points some metrics have in all of its runs."""


def test_all_are_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == RUNS.keys() == POINTS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_example(store: Place, name: str) -> None:
    ended = store.run((EXAMPLES / f"{name}.py").read_text("utf-8"), name=name)
    assert ended.returncode == 0, ended.err
    assert "not recorded" not in ended.err
    runs = list(store.open().runs())
    assert Counter(run.name for run in runs) == RUNS[name]
    assert {run.state for run in runs} == {State.FINISHED}
    found = {
        metric: sum(len(run.points(metric)) for run in runs if metric in run.metrics)
        for metric in POINTS[name]
    }
    assert found == POINTS[name]
    ranks = [(rank.rank, rank.state) for run in runs for rank in run.ranks]
    assert ranks == ([(0, State.FINISHED), (1, State.FINISHED)] if name == "torch_ddp" else [])
    scores = {run.metrics["score/X_test"] for run in runs if "score/X_test" in run.metrics}
    assert all(f"{score:.3f}" in ended.out for score in scores)
