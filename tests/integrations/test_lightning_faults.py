"""Lightning where something goes wrong, or is done twice; and what the user must not notice."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

import autotrack
from autotrack.patches.lightning.resuming import KEY
from autotrack.states import State

from ..scripts import Place, curve, values
from ..tracking import Tracking
from .lightning_models import BATCHES, Line, line, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore")


# --- errors and signals ----------------------------------------------------------------------------


@pytest.mark.parametrize("hook", ["on_fit_start", "on_train_batch_end", "on_validation_epoch_end"])
def test_an_error_in_a_hook_fails_the_run_and_reaches_the_user(
    tracking: Tracking, tmp_path: Path, hook: str
) -> None:
    def fail(*args: Any) -> None:
        raise KeyError("mine")

    tracking.enable()
    with pytest.raises(KeyError, match="mine"):
        trainer(tmp_path, num_sanity_val_steps=0).fit(
            line(type("Failing", (Line,), {hook: fail})), loader(), loader()
        )
    run = tracking.run()
    assert (run.state, run.error and run.error.type) == (State.FAILED, "KeyError")
    assert run.params["lr"] == 0.1
    trained = {"on_fit_start": 0, "on_train_batch_end": 0, "on_validation_epoch_end": BATCHES}[hook]
    assert run.metrics.get("epoch") is None if not trained else len(run.points("loss_step")) == trained


def test_an_error_in_an_evaluation_leaves_the_fit_finished(tracking: Tracking, tmp_path: Path) -> None:
    class Failing(Line):
        def test_step(self, batch: Any, number: int) -> None:
            raise KeyError("mine")

    tracking.enable()
    fit, model = trainer(tmp_path), line(Failing)
    fit.fit(model, loader())
    with pytest.raises(KeyError, match="mine"):
        fit.test(model, loader(), verbose=False)
    with pytest.raises(KeyError, match="mine"):
        trainer(tmp_path).test(line(Failing), loader(), verbose=False)
    alone, trained = tracking.runs()
    assert (trained.state, alone.state) == (State.FINISHED, State.FAILED)
    assert [(span.name, span.error) for span in trained.fits] == [("Failing.test", "KeyError")]


def test_a_call_that_the_library_refuses(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    with pytest.raises(TypeError):
        trainer(tmp_path).fit()
    with pytest.raises(TypeError):
        trainer(tmp_path).fit("no module")
    assert [run.state for run in tracking.runs()] == [State.FAILED, State.FAILED]


STOPPED = """
    import os, signal, sys, warnings
    import lightning.pytorch as pl
    import torch
    from torch.utils.data import DataLoader

    warnings.simplefilter("ignore")
    if sys.argv[2] == "on":
        import autotrack
        autotrack.enable("lightning")

    class Line(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.line = torch.nn.Linear(1, 1)

        def training_step(self, batch, number):
            if number == 2 and sys.argv[1] == "SIGTERM":
                os.kill(os.getpid(), signal.SIGTERM)
            if number == 2 and sys.argv[1] == "Ctrl-C":
                raise KeyboardInterrupt
            loss = self.line(batch).square().mean()
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    class Goodbye(pl.Callback):
        def on_exception(self, trainer, module, error):
            print(type(error).__name__)

    pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[Goodbye()],
        enable_progress_bar=False, enable_model_summary=False,
    ).fit(Line(), DataLoader(torch.ones(8, 1), batch_size=2))
    print("unreached")
"""


def test_sigterm_is_lightnings_to_answer(store: Place) -> None:
    """It ends the step and says goodbye, where a handler of ours would end the process at once."""
    off, on = (store.run(STOPPED, "SIGTERM", switch) for switch in ("off", "on"))
    assert (on.returncode, on.out) == (off.returncode, off.out) == (0, "SIGTERMException\n")
    assert was_killed(store, by="SIGTERMException") == 3


def test_ctrl_c_kills_the_run(store: Place) -> None:
    ended = store.run(STOPPED, "Ctrl-C", "on")
    assert (ended.returncode, ended.out) == (1, "KeyboardInterrupt\n")
    assert was_killed(store, by="KeyboardInterrupt") == 2


def was_killed(store: Place, by: str) -> int:
    """How many steps were recorded of a run that this ended."""
    run = store.only_run()
    assert run.state is State.KILLED
    assert run.error is not None
    assert run.error.type.rpartition(".")[2] == by
    return len(run.points("loss"))


def test_sigterm_ends_the_process_as_ever_once_the_fit_is_over(store: Place) -> None:
    source = STOPPED.replace('print("unreached")', "os.kill(os.getpid(), signal.SIGTERM)")
    assert store.run(source, "-", "on").returncode == -15
    assert store.only_run().state is State.FINISHED


# --- done twice, done little -----------------------------------------------------------------------


def test_two_fits_are_two_runs(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    fit, model = trainer(tmp_path, max_epochs=1), line()
    fit.fit(model, loader())
    fit.fit_loop.max_epochs = 2
    fit.fit(model, loader())
    fit.test(model, loader(), verbose=False)
    second, first = tracking.runs()
    assert first.points("loss_step").step.tolist() == [*range(4)]
    assert second.points("loss_step").step.tolist() == [*range(4, 8)]
    assert "test_loss" not in first.metrics
    assert curve(second, "test_loss")[0][0] == 8


def test_two_trainers_one_inside_the_other(tracking: Tracking, tmp_path: Path) -> None:
    class Outer(Line):
        def on_train_epoch_end(self) -> None:
            trainer(tmp_path).fit(line(), loader(6))

    tracking.enable()
    model = line(Outer)
    trainer(tmp_path).fit(model, loader())
    trainer(tmp_path).fit(line(), loader(1))
    second, first = tracking.runs()
    assert values(first, "loss_step") == model.losses
    assert len(second.points("loss_step")) == 2


def test_fast_dev_run(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    trainer(tmp_path, fast_dev_run=True).fit(line(), loader(), loader())
    run = tracking.run()
    assert run.params["fast_dev_run"] == 1
    assert len(run.points("loss_step")) == len(run.points("val_loss")) == 1


def test_a_resumed_fit_goes_on_counting(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    checkpoint = tmp_path / "half.ckpt"
    first = trainer(tmp_path, max_epochs=1)
    first.fit(line(), loader())
    first.save_checkpoint(checkpoint)
    trainer(tmp_path).fit(line(), loader(), ckpt_path=checkpoint)
    run = tracking.run()
    assert run.points("loss_step").step.tolist() == [*range(8)]
    assert run.params["ckpt_path"] == str(checkpoint)


# --- what is the user's ----------------------------------------------------------------------------


def test_what_a_callback_logs_to_autotrack_is_the_runs(tracking: Tracking, tmp_path: Path) -> None:
    class Mine(pl.Callback):
        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            autotrack.log({"mine": 1.0}, trainer.current_epoch)

    tracking.enable()
    trainer(tmp_path, callbacks=[Mine()]).fit(line(), loader())
    assert curve(tracking.run(), "mine") == [(0, 1.0), (1, 1.0)]


class Noisy(Line):
    """Draws from every generator that there is."""

    def training_step(self, batch: Any, number: int) -> Any:
        noise = torch.rand(1) + random.random() + np.random.rand()
        return super().training_step([batch[0] + noise], number)


def everything(folder: Path) -> dict[str, Any]:
    """What a seeded fit leaves behind, bit by bit."""
    pl.seed_everything(0, verbose=False)
    checkpoint = ModelCheckpoint(folder, monitor="val_loss", enable_version_counter=False)
    callbacks = [EarlyStopping("val_loss"), checkpoint]
    fit = trainer(folder, enable_checkpointing=True, callbacks=callbacks)
    model = line(Noisy)
    fit.fit(model, loader(), loader())
    saved = torch.load(checkpoint.best_model_path, weights_only=True)
    return {
        "weights": [tensor.numpy().tobytes() for tensor in model.state_dict().values()],
        "losses": model.losses,
        "metrics": {name: value.item() for name, value in fit.callback_metrics.items()},
        "logged": {name: value.item() for name, value in fit.logged_metrics.items()},
        "callbacks": [type(callback).__name__ for callback in fit.callbacks],
        "random": [random.random(), np.random.rand(), torch.rand(1).item()],
        "mark": saved.pop(KEY, ""),
        "checkpoint": sorted(saved),
        "states": repr(saved["callbacks"]),
        "loops": repr(saved["loops"]),
        "attributes": [sorted(vars(thing)) for thing in (model, fit, fit._logger_connector, fit.fit_loop)],
    }


def test_everything_is_the_same_bit_by_bit(tracking: Tracking, tmp_path: Path) -> None:
    off = everything(tmp_path)
    tracking.enable()
    on = everything(tmp_path)
    run = tracking.run()
    assert run.state is State.FINISHED
    assert on.pop("mark").partition("@")[0] == run.id
    assert off.pop("mark") == ""
    assert on == off


@pytest.mark.parametrize("method", ["log_step", "take_rates", "log_epoch"])
def test_what_fails_in_our_part_is_a_line(
    tracking: Tracking,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
) -> None:
    from autotrack.patches.lightning.points import Points

    fail: Callable[..., float] = lambda *args: 1 / 0  # noqa: E731
    monkeypatch.setattr(Points, method, fail)
    tracking.enable()
    trainer(tmp_path).fit(line(), loader())
    assert tracking.run().state is State.FINISHED
    lines = [record.getMessage() for record in caplog.records if record.name == "autotrack"]
    assert lines
    assert all(said.startswith("autotrack: lightning: its hook failed") for said in lines)
