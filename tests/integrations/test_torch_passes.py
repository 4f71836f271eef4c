"""Passes over data in plain PyTorch loops: which of them is trained on, and where the time goes."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import autotrack
from autotrack.store import Run

from ..scripts import values
from ..tracking import Tracking
from .test_torch import steps
from .torch_loops import Net, data, fit, loader

WAIT = 0.1
"""Seconds that something takes which is to be found, or not to be found, in a time."""


def spent_on_steps(run: Run) -> float:
    """Seconds: no other time lies between where one begins and where it ends."""
    return float(sum(values(run, "step_seconds")))


class Training:
    """A model and its optimizer."""

    def __init__(self) -> None:
        self.model = Net()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)

    def step(self, batch: Any) -> None:
        x, y = batch
        self.optimizer.zero_grad()
        loss = nn.functional.mse_loss(self.model(x), y)
        loss.backward()
        self.optimizer.step()

    def epoch(self, batches: Any) -> None:
        for batch in batches:
            self.step(batch)


def test_each_training_of_a_sweep_tells_of_its_own_data(tracking: Tracking) -> None:
    tracking.enable()
    for rows in (8, 12, 16):
        Training().epoch(loader(rows, batch_size=rows // 4))
    runs = tracking.runs()[::-1]
    assert [run.params["dataset_length"] for run in runs] == [8, 12, 16]
    assert [run.params["batch_size"] for run in runs] == [2, 3, 4]
    assert [run.params["dataset"] for run in runs] == ["TensorDataset"] * 3
    assert [steps(run, "step_seconds") for run in runs] == [[0, 1, 2, 3]] * 3
    assert [values(run, "epoch") for run in runs] == [[0.0] * 4] * 3


def test_folds_that_are_evaluated(tracking: Tracking) -> None:
    tracking.enable()
    whole = TensorDataset(*data(12))
    for fold in range(3):
        held_out = list(range(fold * 4, fold * 4 + 4))
        rest = torch.utils.data.Subset(whole, [row for row in range(12) if row not in held_out])
        training = Training()
        for _ in range(2):
            training.epoch(DataLoader(rest, batch_size=4))
            list(DataLoader(torch.utils.data.Subset(whole, held_out), batch_size=4))
    for run in tracking.runs():
        assert run.params["dataset_length"] == 8
        assert values(run, "epoch") == [0, 0, 1, 1]
        assert steps(run, "step_seconds") == [0, 1, 2, 3]
        assert steps(run, "epoch_seconds") == steps(run, "eval_seconds") == [1, 3]


@pytest.mark.parametrize("kind", ["dataset", "list"])
def test_data_that_is_made_anew_for_each_epoch(tracking: Tracking, kind: str) -> None:
    tracking.enable()
    training = Training()
    for _ in range(3):
        rows = TensorDataset(*data(8))
        training.epoch(DataLoader(rows if kind == "dataset" else list(rows), batch_size=4))
        del rows
        list(DataLoader(TensorDataset(*data(4)), batch_size=4))
    run = tracking.run()
    assert values(run, "epoch") == [0, 0, 1, 1, 2, 2]
    assert steps(run, "step_seconds") == [0, 1, 2, 3, 4, 5]
    assert steps(run, "epoch_seconds") == steps(run, "eval_seconds") == [1, 3, 5]


def test_an_iterator_that_only_shows_a_batch(tracking: Tracking) -> None:
    """As in torch's tutorials: it is there for as long as the script."""
    tracking.enable()
    batches = loader(12)
    shown = iter(batches)
    next(shown)
    training = Training()
    for _ in range(2):
        training.epoch(batches)
    run = tracking.run()
    assert values(run, "epoch") == [0, 0, 0, 1, 1, 1]
    assert steps(run, "epoch_seconds") == [2, 5]
    del shown


def test_an_iterator_over_other_data_that_is_begun_before(tracking: Tracking) -> None:
    tracking.enable()
    shown = iter(loader(6, batch_size=2))
    next(shown)
    training = Training()
    for _ in range(2):
        training.epoch(loader(12))
    run = tracking.run()
    assert (run.params["batch_size"], run.params["dataset_length"]) == (4, 12)
    assert values(run, "epoch") == [0, 0, 0, 1, 1, 1]
    assert steps(run, "epoch_seconds") == [2, 5]
    assert "eval_seconds" not in run.metrics
    del shown


def test_a_second_iterator_in_the_loop(tracking: Tracking) -> None:
    """Of unlabelled data, say, which goes round more often or more seldom."""
    tracking.enable()
    labelled = loader(12)
    unlabelled = iter(loader(400))
    training = Training()
    for _ in range(2):
        for batch in labelled:
            next(unlabelled)
            training.step(batch)
    run = tracking.run()
    assert values(run, "epoch") == [0, 0, 0, 1, 1, 1]
    assert run.params["dataset_length"] == 12
    assert steps(run, "step_seconds") == [0, 1, 2, 3, 4, 5]


def test_an_evaluation_without_a_loader_is_no_part_of_a_step(tracking: Tracking) -> None:
    tracking.enable()
    training = Training()
    for _ in range(3):
        training.model.train()
        fit(training.model, training.optimizer, 2)
        training.model.eval()
        with torch.no_grad():
            training.model(data()[0])
    assert steps(tracking.run(), "step_seconds") == [1, 3, 5]


def test_what_else_is_set_to_evaluate_is_in_the_step(tracking: Tracking) -> None:
    """A teacher, or layers whose statistics are to stay."""
    tracking.enable()
    training, teacher = Training(), Net()
    for _ in range(3):
        teacher.eval()
        training.model.second.eval()
        fit(training.model, training.optimizer, 1)
    assert steps(tracking.run(), "step_seconds") == [1, 2]


def test_an_evaluation_that_is_left(tracking: Tracking) -> None:
    """It is one all the same, and the next step has not waited for it."""
    tracking.enable()
    training, began = Training(), time.perf_counter()
    for _ in range(2):
        training.epoch(loader(12))
        for number, _ in enumerate(loader(40)):
            time.sleep(WAIT)
            if number == 1:
                break
    training.epoch(loader(12))
    spent = time.perf_counter() - began
    run = tracking.run()
    assert steps(run, "eval_seconds") == [2, 5]
    assert all(seconds >= 2 * WAIT for seconds in values(run, "eval_seconds"))
    assert spent_on_steps(run) < spent - 4 * WAIT
    assert sum(values(run, "data_seconds")) < spent_on_steps(run)
    assert steps(run, "data_seconds") == steps(run, "step_seconds") == list(range(9))
    assert steps(run, "epoch_seconds") == [2, 5, 8]


def test_an_evaluation_that_is_left_amid_an_epoch(tracking: Tracking) -> None:
    tracking.enable()
    training, held_out, began = Training(), loader(40), time.perf_counter()
    for number, batch in enumerate(loader(16)):
        training.step(batch)
        if number == 1:
            for seen, _ in enumerate(held_out):
                time.sleep(WAIT)
                if seen == 1:
                    break
    spent = time.perf_counter() - began
    run = tracking.run()
    assert steps(run, "eval_seconds") == [1]
    assert values(run, "epoch") == [0] * 4
    assert spent_on_steps(run) < spent - 2 * WAIT
    assert sum(values(run, "data_seconds")) < spent_on_steps(run)
    assert steps(run, "step_seconds") == [0, 1, 2, 3]
    assert steps(run, "epoch_seconds") == [3]


def test_an_epoch_that_is_left(tracking: Tracking) -> None:
    tracking.enable()
    training, batches = Training(), loader(40)
    for _ in range(2):
        for number, batch in enumerate(batches):
            training.step(batch)
            if number == 2:
                break
    run = tracking.run()
    assert values(run, "epoch") == [0, 0, 0, 1, 1, 1]
    assert steps(run, "epoch_seconds") == steps(run, "samples_per_second") == [2, 5]
    seconds, rates = values(run, "epoch_seconds"), values(run, "samples_per_second")
    assert [s * r for s, r in zip(seconds, rates, strict=True)] == pytest.approx([12, 12])


def test_epochs_of_an_iterator_that_is_asked_by_hand(tracking: Tracking) -> None:
    """It is replaced when it has no more; or after a number of steps, where it has."""
    tracking.enable()
    training, batches = Training(), loader(12)
    batch_of = iter(batches)
    for number in range(8):
        if number == 5:
            batch_of = iter(batches)
        try:
            batch = next(batch_of)
        except StopIteration:
            batch_of = iter(batches)
            batch = next(batch_of)
        training.step(batch)
    run = tracking.run()
    assert values(run, "epoch") == [0, 0, 0, 1, 1, 2, 2, 2]
    assert steps(run, "epoch_seconds") == [2, 4]


def test_gradients_of_a_whole_pass_are_no_evaluation(tracking: Tracking) -> None:
    tracking.enable()
    training = Training()
    for _ in range(2):
        training.optimizer.zero_grad()
        for x, y in loader(12):
            nn.functional.mse_loss(training.model(x), y).backward()
        training.optimizer.step()
    assert "eval_seconds" not in tracking.run().metrics


def test_a_look_at_the_data_is_no_evaluation(tracking: Tracking) -> None:
    tracking.enable()
    training, batches = Training(), loader(12)
    for _ in range(2):
        for batch in batches:
            training.step(batch)
            next(iter(batches))
        autotrack.log({"shown": 1.0})
        next(iter(loader(4)))
    run = tracking.run()
    assert values(run, "epoch") == [0, 0, 0, 1, 1, 1]
    assert "eval_seconds" not in run.metrics
    assert steps(run, "epoch_seconds") == [2, 5]


def test_batches_that_are_each_the_first_of_a_pass_make_no_epochs(tracking: Tracking) -> None:
    tracking.enable()
    training, batches = Training(), loader(12)
    for _ in range(4):
        training.step(next(iter(batches)))
    training.epoch(batches)
    run = tracking.run()
    assert steps(run, "epoch") == [4, 5, 6]
    assert values(run, "epoch") == [0, 0, 0]
    assert steps(run, "epoch_seconds") == [6]
    assert steps(run, "data_seconds") == [*range(7)]
    assert run.params["dataset_length"] == 12


def test_a_batch_that_is_trained_on_again_and_again_has_times(tracking: Tracking) -> None:
    tracking.enable()
    training, batch = Training(), next(iter(loader(12)))
    for _ in range(4):
        training.step(batch)
    assert steps(tracking.run(), "step_seconds") == [0, 1, 2, 3]
