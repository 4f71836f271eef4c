"""Lightning, the real one: what is recorded of a fit, and of an evaluation."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

import autotrack
from autotrack.states import State

from ..scripts import curve, values
from ..tracking import Tracking
from .lightning_models import BATCHES, Line, line, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore")


def steps(run: autotrack.Run, name: str) -> list[int]:
    found: list[int] = run.points(name).step.tolist()
    return found


# --- points ---------------------------------------------------------------------------------------


def test_every_step_and_every_epoch(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    model = line()
    trainer(tmp_path).fit(model, loader(), loader())
    run = tracking.run()
    assert (run.name, run.state) == ("Line", State.FINISHED)
    assert values(run, "loss_step") == model.losses
    assert steps(run, "loss_step") == [*range(2 * BATCHES)]
    assert steps(run, "loss_epoch") == steps(run, "val_loss") == [3, 7]
    means = [sum(model.losses[:4]) / 4, sum(model.losses[4:]) / 4]
    assert values(run, "loss_epoch") == pytest.approx(means)
    assert values(run, "epoch") == [0.0] * 4 + [1.0] * 4
    assert values(run, "lr") == [0.1] * 8


def test_nothing_else_is_told_of_a_fit(tracking: Tracking, tmp_path: Path) -> None:
    """What records plain loops of PyTorch is on too, and finds optimizer, loader and loss in there."""
    tracking.enable()
    trainer(tmp_path).fit(line(), loader(), loader())
    run = tracking.run()
    of_steps = {"loss_step", "lr", "epoch", "step_seconds"}
    assert set(run.metrics) == of_steps | {"loss_epoch", "val_loss"}
    assert {name: steps(run, name) for name in of_steps} == {name: [*range(8)] for name in of_steps}


def test_the_time_of_a_step(tracking: Tracking, tmp_path: Path) -> None:
    class Slow(Line):
        def training_step(self, batch: Any, number: int) -> Any:
            time.sleep(0.02 * (number + 1))
            return super().training_step(batch, number)

        def on_validation_end(self) -> None:
            time.sleep(0.2)

    tracking.enable(lightning={"every": 2})
    started = time.perf_counter()
    trainer(tmp_path, val_check_interval=2, accumulate_grad_batches=2).fit(line(Slow), loader(), loader())
    whole = time.perf_counter() - started
    run = tracking.run()
    assert steps(run, "step_seconds") == [0, 2, 3]
    seconds = values(run, "step_seconds")
    assert all(found >= least for found, least in zip(seconds, (0.06, 0.06, 0.14), strict=True))
    assert sum(seconds) <= whole - 4 * 0.2, "an evaluation is of no step"


def test_the_curves_are_those_of_a_logger_at_every_step(tracking: Tracking, tmp_path: Path) -> None:
    class Various(Line):
        def training_step(self, batch: Any, number: int) -> Any:
            loss = super().training_step(batch, number)
            self.log_dict({"number": float(number), "twice": 2 * loss}, on_step=True)
            self.log("hidden", loss, logger=False)
            if number % 2:
                self.log("odd", loss, on_step=True)
            return loss

        def on_train_epoch_end(self) -> None:
            self.log("at_end", float(self.current_epoch))

        def validation_step(self, batch: Any, number: int, dataloader_idx: int = 0) -> None:
            self.log("val", self.line(batch[0]).square().mean(), on_step=True, on_epoch=True)

    tracking.enable()
    logger = Listed(tmp_path)
    model = line(Various)
    fit = trainer(tmp_path, logger=logger, log_every_n_steps=1, num_sanity_val_steps=2)
    fit.fit(model, loader(), [loader(2), loader(3)])
    run = tracking.run()
    by_logger = logger.curves
    assert by_logger.keys() - {"odd"} <= run.metrics.keys()
    assert "hidden" not in run.metrics
    for name in by_logger.keys() - {"odd", "epoch"}:
        assert curve(run, name) == by_logger[name], name
    # Lightning repeats the value to its loggers at steps that did not log it
    assert steps(run, "odd") == [1, 3, 5, 7]


class Listed(CSVLogger):
    """Keeps what a logger gets."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.curves: dict[str, list[tuple[int, float]]] = {}

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        for name, value in metrics.items():
            self.curves.setdefault(name, []).append((step, value))


@pytest.mark.parametrize("log_every_n_steps", [1, 50])
def test_the_users_logging_interval_is_the_loggers_alone(
    tracking: Tracking, tmp_path: Path, log_every_n_steps: int
) -> None:
    tracking.enable()
    logger = Listed(tmp_path)
    fit = trainer(tmp_path, logger=logger, log_every_n_steps=log_every_n_steps)
    fit.fit(line(), loader())
    assert steps(tracking.run(), "loss_step") == [*range(8)]
    assert len(logger.curves.get("loss_step", ())) == (8 if log_every_n_steps == 1 else 0)
    assert fit.loggers == [logger]


def test_every_nth_step_and_the_last(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable(lightning={"every": 3})
    trainer(tmp_path).fit(line(), loader())
    run = tracking.run()
    assert steps(run, "loss_step") == [0, 3, 6, 7]
    assert steps(run, "loss_epoch") == [3, 7]


def test_accumulated_batches_are_one_step(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    model = line()
    trainer(tmp_path, accumulate_grad_batches=2).fit(model, loader())
    run = tracking.run()
    assert curve(run, "loss_step") == list(enumerate(model.losses[1::2]))
    assert run.params["accumulate_grad_batches"] == 2


def test_validation_every_n_steps(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    trainer(tmp_path, val_check_interval=2).fit(line(), loader(), loader())
    assert steps(tracking.run(), "val_loss") == [1, 3, 5, 7]


def test_a_step_that_the_user_logs_is_the_step(tracking: Tracking, tmp_path: Path) -> None:
    class ByEpoch(Line):
        def on_validation_epoch_end(self) -> None:
            self.log("step", float(self.current_epoch))

    tracking.enable()
    trainer(tmp_path).fit(line(ByEpoch), loader(), loader())
    assert steps(tracking.run(), "val_loss") == [0, 1]


def test_the_sanity_check_logs_nothing(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    trainer(tmp_path, max_steps=0, num_sanity_val_steps=2).fit(line(), loader(), loader())
    run = tracking.run()
    assert (dict(run.metrics), run.state) == ({}, State.FINISHED)
    assert run.params["optimizer"] == "SGD"


# --- learning rates, optimizers --------------------------------------------------------------------


def test_the_rate_of_a_step_is_the_one_it_was_made_with(tracking: Tracking, tmp_path: Path) -> None:
    class Halving(Line):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.Adam(self.parameters(), 0.1, betas=(0.8, 0.9))
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    tracking.enable()
    logger = Listed(tmp_path)
    settings = {"logger": logger, "callbacks": [LearningRateMonitor()], "log_every_n_steps": 1}
    trainer(tmp_path, **settings).fit(line(Halving), loader())
    run = tracking.run()
    assert curve(run, "lr") == [(n, 0.1 * 0.5**n) for n in range(8)] == logger.curves["lr-Adam"]
    params = run.params
    assert (params["optimizer"], params["optimizer/lr"], params["optimizer/betas"]) == (
        *("Adam", 0.1),
        "(0.8, 0.9)",
    )
    assert (params["scheduler"], params["scheduler/interval"]) == ("StepLR", "step")


class Measured(Line):
    """Notes what the gradients were; from a step on its weights are spoilt."""

    spoilt_at = 100

    def on_train_batch_start(self, batch: Any, number: int) -> None:
        if self.global_step == self.spoilt_at:
            with torch.no_grad():
                self.line.weight[0, 0] = float("nan")

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.means = [*getattr(self, "means", []), self.line.weight.grad.mean().item()]


def test_statistics_of_layers(tracking: Tracking, tmp_path: Path) -> None:
    plain = line(Measured)
    trainer(tmp_path).fit(plain, loader())
    tracking.enable(lightning={"statistics_every": 3})
    model = line(Measured)
    trainer(tmp_path).fit(model, loader())
    run = tracking.run()
    assert model.losses == plain.losses, "it changes nothing"
    assert steps(run, "gradient/line.weight/mean") == steps(run, "weight/line.bias/std") == [0, 3, 6]
    assert values(run, "gradient/line.weight/mean") == pytest.approx(model.means[::3])
    table = json.loads(run.artifact("statistics/00000006.json").read_text())
    assert [row[:2] for row in table["data"]] == [
        [layer, of] for layer in ("line.weight", "line.bias") for of in ("gradient", "weight")
    ]
    assert "first_non_finite" not in run.params


def test_the_first_that_is_not_finite(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable(lightning={"statistics_every": 1})
    model = line(Measured)
    model.spoilt_at = 5
    trainer(tmp_path).fit(model, loader())
    run = tracking.run()
    assert run.params["first_non_finite"] == "gradient/line.bias at step 5"
    assert values(run, "weight/line.weight/non_finite")[4:7] == [0, 2, 2]


def test_manual_optimization_with_several_optimizers(tracking: Tracking, tmp_path: Path) -> None:
    class Manual(Line):
        def __init__(self, **hyper_parameters: Any) -> None:
            super().__init__(**hyper_parameters)
            self.automatic_optimization = False

        def training_step(self, batch: Any, number: int) -> None:
            for optimizer in self.optimizers():
                loss = self.line(batch[0]).square().mean()
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
            self.losses.append(loss.item())
            self.log("loss", loss)

        def configure_optimizers(self) -> Any:
            groups = [{"params": [self.line.weight]}, {"params": [self.line.bias], "lr": 0.5}]
            return [torch.optim.SGD(groups, 0.1), torch.optim.SGD([self.line.bias], 0.25)]

    tracking.enable()
    model = line(Manual)
    trainer(tmp_path).fit(model, loader())
    run = tracking.run()
    assert curve(run, "loss") == list(enumerate(model.losses))
    rates = {name: run.metrics[name] for name in run.metrics if name.startswith("lr")}
    assert rates == {"lr-SGD/pg1": 0.1, "lr-SGD/pg2": 0.5, "lr-SGD-1": 0.25}
    assert run.params["optimizer0/group1/lr"] == 0.5
    assert run.params["optimizer1/lr"] == 0.25


# --- params, model, data ---------------------------------------------------------------------------


class Data(pl.LightningDataModule):
    def __init__(self, lr: float = 0.1, folds: int = 5) -> None:
        super().__init__()
        self.save_hyperparameters()

    def train_dataloader(self) -> Any:
        return loader()

    def val_dataloader(self) -> Any:
        return {"near": loader(), "far": loader(2)}


class Judged(Line):
    def validation_step(self, batch: Any, number: int, dataloader_idx: int = 0) -> None:
        super().validation_step(batch, number)


class Unwilling:
    """Has no text, and once it is saved no pickle."""

    is_saved = False

    def __repr__(self) -> str:
        raise RuntimeError("no text for you")

    def __reduce__(self) -> Any:
        if self.is_saved:
            raise TypeError("no pickle either")
        return Unwilling, ()


def test_hyper_parameters_of_any_kind(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    odd = {
        "nested": {"a": 1, "b": {"c": "x"}},
        "odd": Unwilling(),
        "none": None,
        "net": torch.nn.Linear(1, 1),
    }
    model = line(Judged, lr=0.25, **odd)
    trainer(tmp_path).fit(model, datamodule=Data(lr=0.5))
    run = tracking.run()
    assert run.state is State.FINISHED
    expected = {
        "lr": 0.25,
        "datamodule/lr": 0.5,
        "folds": 5,
        "nested/a": 1,
        "nested/b/c": "x",
        "odd": "<Unwilling>",
        "net": "Linear",
    }
    assert {name: run.params[name] for name in expected} == expected


def test_settings_of_the_trainer(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    trainer(tmp_path, gradient_clip_val=0.5, precision="64-true").fit(line(), loader())
    expected = {
        "max_epochs": 2,
        "gradient_clip_val": 0.5,
        "precision": "64-true",
        "accelerator": "cpu",
        "strategy": "SingleDevice",
        "devices": 1,
        "device": "cpu",
        "dtype": "torch.float64",
    }
    params = tracking.run().params
    assert {name: params[name] for name in expected} == expected


def test_the_tree_of_modules(tracking: Tracking, tmp_path: Path) -> None:
    class Deep(Line):
        def __init__(self, **hyper_parameters: Any) -> None:
            super().__init__(**hyper_parameters)
            self.frozen = torch.nn.Sequential(torch.nn.Linear(2, 2)).requires_grad_(False)

    tracking.enable()
    trainer(tmp_path).fit(line(Deep), loader())
    run = tracking.run()
    assert (run.params["parameters"], run.params["trainable_parameters"]) == (9, 3)
    table = json.loads(run.artifact("model_summary.json").read_bytes())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [(row["module"], row["class"], row["parameters"], row["trainable"]) for row in rows] == [
        ("", "Deep", 9, 3),
        ("line", "Linear", 3, 3),
        ("frozen", "Sequential", 6, 0),
        ("frozen.0", "Linear", 6, 0),
    ]


def test_the_data(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    trainer(tmp_path).fit(line(Judged), datamodule=Data())
    run = tracking.run()
    found = {data.name: (data.role, data.kind.rpartition(".")[2], data.shape) for data in run.datasets}
    assert found == {
        "train": ("train", "TensorDataset", (8,)),
        "val/near": ("eval", "TensorDataset", (8,)),
        "val/far": ("eval", "TensorDataset", (4,)),
    }
    assert (run.params["train_batch_size"], run.params["train_samples"]) == (2, 8)


# --- what came of it -------------------------------------------------------------------------------


def test_early_stopping_and_the_best_checkpoint(tracking: Tracking, tmp_path: Path) -> None:
    class Worse(Line):
        def validation_step(self, batch: Any, number: int) -> None:
            self.log("val_loss", float(abs(self.current_epoch - 1)))

    tracking.enable()
    stopping = EarlyStopping("val_loss", patience=2)
    checkpoint = ModelCheckpoint(tmp_path / "kept", monitor="val_loss")
    callbacks = [stopping, checkpoint]
    fit = trainer(tmp_path, max_epochs=10, enable_checkpointing=True, callbacks=callbacks)
    before = list(fit.callbacks)
    fit.fit(line(Worse), loader(), loader())
    run = tracking.run()
    assert (run.params["early_stopping/monitor"], run.params["early_stopping/patience"]) == ("val_loss", 2)
    assert (run.metrics["stopped_epoch"], run.metrics["best_score"]) == (3, 0.0)
    assert run.params["best_model_path"] == checkpoint.best_model_path
    assert run.metrics["best_model_score"] == 0.0
    name = Path(checkpoint.best_model_path).name
    assert run.artifact(f"checkpoints/{name}").read_bytes() == Path(checkpoint.best_model_path).read_bytes()
    assert fit.callbacks == before


def test_a_large_checkpoint_is_named_but_not_kept(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable(lightning={"checkpoint_max_bytes": 100})
    trainer(tmp_path, enable_checkpointing=True).fit(line(), loader())
    run = tracking.run()
    assert run.params["best_model_path"].endswith(".ckpt")
    assert not [file.path for file in run.artifacts if file.path.startswith("checkpoints/")]


# --- evaluations -----------------------------------------------------------------------------------


def test_an_evaluation_belongs_to_the_fit(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    fit = trainer(tmp_path, enable_checkpointing=True)
    fit.fit(line(), loader(), loader())
    [validated] = fit.validate(dataloaders=loader(), verbose=False)
    [tested] = fit.test(dataloaders=loader(), verbose=False)
    run = tracking.run()
    assert curve(run, "val_loss")[-1] == (8, validated["val_loss"])
    assert curve(run, "test_loss") == [(8, tested["test_loss"])]
    assert [(span.name, span.error) for span in run.fits] == [("Line.validate", None), ("Line.test", None)]
    assert run.state is State.FINISHED


def test_an_evaluation_alone_is_a_run(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    [validated] = trainer(tmp_path).validate(line(lr=0.5), loader(), verbose=False)
    [tested] = trainer(tmp_path).test(line(), loader(), verbose=False)
    test, validation = tracking.runs()
    assert (validation.name, test.name) == ("Line.validate", "Line.test")
    assert curve(validation, "val_loss") == [(0, validated["val_loss"])]
    assert curve(test, "test_loss") == [(0, tested["test_loss"])]
    assert validation.params["lr"] == 0.5
    assert [data.name for data in test.datasets] == ["test"]


def test_inside_a_run_of_the_users_all_is_that_runs(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    fit, model = trainer(tmp_path), line()
    with autotrack.run("mine"):
        fit.validate(model, loader(), verbose=False)
        fit.fit(model, loader())
        fit.test(model, loader(), verbose=False)
    run = tracking.run()
    assert run.name == "mine"
    assert steps(run, "val_loss") == [0]
    assert steps(run, "test_loss") == [8]
    assert steps(run, "loss_step") == [*range(8)]
