"""`ckpt_path`: a fit goes on with the run that its checkpoint is of, wherever that is right."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, OnExceptionCheckpoint
from lightning.pytorch.plugins.io import AsyncCheckpointIO

import autotrack
from autotrack.patches.lightning.resuming import KEY
from autotrack.states import State

from ..scripts import Place, curve
from ..tracking import Tracking
from .lightning_models import BATCHES, line, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore")


def half(folder: Path, **settings: Any) -> str:
    """The checkpoint of a fit over the first epoch of two."""
    fit = trainer(folder, max_epochs=1, **settings)
    fit.fit(line(), loader())
    path = str(folder / "half.ckpt")
    fit.save_checkpoint(path)
    return path


def assert_went_on(run: autotrack.Run) -> None:
    assert (run.state, run.name) == (State.FINISHED, "Line")
    assert [step for step, _ in curve(run, "loss_step")] == [*range(2 * BATCHES)]


SCRIPT = """
    import sys, warnings
    warnings.simplefilter("ignore")
    import autotrack
    autotrack.enable()
    import lightning.pytorch as pl
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint
    from torch.utils.data import DataLoader

    class Line(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.line = torch.nn.Linear(1, 1)

        def training_step(self, batch, number):
            loss = self.line(batch).square().mean()
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 0.1)

    epochs, path = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[ModelCheckpoint("kept", save_last=True)],
    ).fit(Line(), DataLoader(torch.ones(8, 1), batch_size=2), ckpt_path=path)
"""


@pytest.mark.slow
def test_in_a_process_of_its_own(store: Place) -> None:
    for epochs, path in ((1, ()), (2, ("last",))):
        ended = store.run(SCRIPT, epochs, *path)
        assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert (run.state, run.name) == (State.FINISHED, "Line")
    assert [step for step, _ in curve(run, "loss")] == [*range(2 * BATCHES)]
    saved = torch.load(store.folder / "kept/last.ckpt", weights_only=True)
    assert saved[KEY].partition("@")[0] == run.id


def test_a_run_of_another_store(tracking: Tracking, tmp_path: Path) -> None:
    with Tracking(f"sqlite:///{tmp_path}/other.db") as other:
        other.enable()
        path = half(tmp_path)
        elsewhere = other.run().id
    tracking.enable()
    trainer(tmp_path).fit(line(), loader(), ckpt_path=path)
    run = tracking.run()
    assert (run.id == elsewhere, len(run.points("loss_step"))) == (False, BATCHES)


def test_in_the_same_process_again(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    path = half(tmp_path)
    trainer(tmp_path).fit(line(), loader(), ckpt_path=path)
    run = tracking.run()
    assert_went_on(run)
    again = trainer(tmp_path, max_epochs=3)
    again.fit(line(), loader(), ckpt_path=Path(path))
    again.test(line(), loader(), verbose=False)
    assert run.id == max(tracking.runs(), key=lambda run: len(run.metrics)).id


def test_what_lightning_finds_by_itself(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    kept = ModelCheckpoint(tmp_path / "kept", save_last=True)
    fit = trainer(tmp_path, max_epochs=1, enable_checkpointing=True, callbacks=[kept])
    fit.fit(line(), loader())
    fit.fit_loop.max_epochs = 2
    fit.fit(line(), loader(), ckpt_path="best")
    assert_went_on(tracking.run())


@pytest.mark.parametrize("asked", ["last", "hpc", None, "ckpt_path"])
def test_found_in_its_folder(tracking: Tracking, tmp_path: Path, asked: str | None) -> None:
    tracking.enable()
    fit = trainer(tmp_path, max_epochs=1)
    fit.fit(line(), loader())
    callbacks: list[pl.Callback] = [ModelCheckpoint(tmp_path / "kept")]
    name = "kept/last.ckpt" if asked == "last" else "hpc_ckpt_1.ckpt"
    if asked is None:
        callbacks = [OnExceptionCheckpoint(tmp_path, "hpc_ckpt_1")]
    fit.save_checkpoint(tmp_path / name)
    again = trainer(tmp_path, enable_checkpointing=True, callbacks=callbacks)
    if asked == "ckpt_path":
        asked, again.ckpt_path = None, tmp_path / name
    again.fit(line(), loader(), ckpt_path=asked)
    assert_went_on(tracking.run())


def test_a_job_that_slurm_started_again(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"NTASKS": "1", "NTASKS_PER_NODE": "1", "JOB_NAME": "train", "JOB_ID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    for name in ("PROCID", "LOCALID", "NODEID"):
        monkeypatch.setenv(f"SLURM_{name}", "0")
    tracking.enable()
    fit = trainer(tmp_path, max_epochs=1)
    fit.fit(line(), loader())
    fit.save_checkpoint(tmp_path / "hpc_ckpt_1.ckpt")
    trainer(tmp_path).fit(line(), loader())
    assert_went_on(tracking.run())


def test_a_place_that_is_not_on_this_machine(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    fit = trainer(tmp_path, max_epochs=1)
    fit.fit(line(), loader())
    fit.save_checkpoint("memory://folder/half.ckpt")
    trainer(tmp_path).fit(line(), loader(), ckpt_path="memory://folder/half.ckpt")
    assert_went_on(tracking.run())


def test_the_folder_of_a_sharded_checkpoint(tracking: Tracking, tmp_path: Path) -> None:
    """It cannot be written on one CPU: the fit fails, in the run that it goes on with."""
    tracking.enable()
    (tmp_path / "sharded").mkdir()
    torch.save(torch.load(half(tmp_path), weights_only=True), tmp_path / "sharded" / "meta.pt")
    with pytest.raises(IsADirectoryError):
        trainer(tmp_path).fit(line(), loader(), ckpt_path=tmp_path / "sharded")
    assert tracking.run().state is State.FAILED


def test_written_in_a_thread(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    writer = AsyncCheckpointIO()
    path = half(tmp_path, plugins=[writer])
    writer.teardown()  # waits for it
    trainer(tmp_path).fit(line(), loader(), ckpt_path=path)
    assert_went_on(tracking.run())


def test_the_run_that_the_user_has_opened_wins(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    path = half(tmp_path)
    with autotrack.run("mine"):
        trainer(tmp_path).fit(line(), loader(), ckpt_path=path)
        trainer(tmp_path).fit(line(), loader(), ckpt_path=path)  # a child
    names = [run.name for run in tracking.runs()]
    assert sorted(names) == ["Line", "Line", "mine"]


def test_a_run_of_the_users_goes_on(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    with autotrack.run("mine"):
        path = half(tmp_path)
    trainer(tmp_path).fit(line(), loader(), ckpt_path=path)
    run = tracking.run()
    assert (run.name, len(run.points("loss_step"))) == ("mine", 2 * BATCHES)


def test_the_run_that_the_environment_names_wins(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking.enable()
    path = half(tmp_path)
    first = tracking.run().id
    monkeypatch.setattr(autotrack._enable.recorder(), "resumed_id", "0198c8f0a3b17c54b1f0d2b07e6c1a9d")
    trainer(tmp_path).fit(line(), loader(), ckpt_path=path)
    ids = {run.id for run in tracking.runs()}
    assert ids == {first, "0198c8f0a3b17c54b1f0d2b07e6c1a9d"}


def test_a_run_that_goes_on_here_already(tracking: Tracking, tmp_path: Path) -> None:
    path = tmp_path / "amid.ckpt"
    is_saved, may_end = threading.Event(), threading.Event()

    class Waiting(pl.Callback):
        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            trainer.save_checkpoint(path)
            is_saved.set()
            may_end.wait(60)

    tracking.enable()
    fit = trainer(tmp_path, max_epochs=1, callbacks=[Waiting()])
    thread = threading.Thread(target=fit.fit, args=(line(), loader()))
    thread.start()
    try:
        assert is_saved.wait(60)
        trainer(tmp_path).fit(line(), loader(), ckpt_path=path)
    finally:
        may_end.set()
        thread.join()
    assert [len(run.points("loss_step")) for run in tracking.runs()] == [BATCHES, BATCHES]


def test_an_evaluation_of_a_checkpoint_is_a_run_of_its_own(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    path = half(tmp_path)
    trainer(tmp_path).validate(line(), loader(), ckpt_path=path, verbose=False)
    trainer(tmp_path).test(line(), loader(), ckpt_path=path, verbose=False)
    assert sorted(run.name for run in tracking.runs()) == ["Line", "Line.test", "Line.validate"]


def test_with_other_hyper_parameters_it_is_another_training(tracking: Tracking, tmp_path: Path) -> None:
    """As of a sweep that begins at one checkpoint."""
    tracking.enable()
    fit = trainer(tmp_path, max_epochs=1)
    fit.fit(line(rate=0.1), loader())
    fit.save_checkpoint(tmp_path / "half.ckpt")
    for rate in (0.2, 0.3):
        trainer(tmp_path).fit(line(rate=rate), loader(), ckpt_path=str(tmp_path / "half.ckpt"))
    assert sorted(run.params["rate"] for run in tracking.runs()) == [0.1, 0.2, 0.3]
    trainer(tmp_path).fit(line(rate=0.1), loader(), ckpt_path=str(tmp_path / "half.ckpt"))
    assert len(tracking.runs()) == 3


def test_a_checkpoint_without_a_mark(
    tracking: Tracking, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = half(tmp_path)
    tracking.enable()
    trainer(tmp_path).fit(line(), loader(), ckpt_path=path)
    assert len(tracking.run().points("loss_step")) == BATCHES
    assert not [record for record in caplog.records if record.name == "autotrack"]


@pytest.mark.parametrize("what", ["missing", "no zip", "no mark"])
def test_of_what_is_no_checkpoint_lightning_complains(
    tracking: Tracking, tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "bad.ckpt"
    if what == "no zip":
        path.write_bytes(b"autotrack_run\0\0" + b"0" * 32 + b"@0")
    elif what == "no mark":
        torch.save({KEY: "0" * 32 + "@0", "state_dict": {}}, path)
    tracking.enable()
    with pytest.raises(Exception) as found:
        trainer(tmp_path).fit(line(), loader(), ckpt_path=path)
    assert "autotrack" not in "".join(map(str, found.value.args))
    assert tracking.run().state is State.FAILED
    assert not [record for record in caplog.records if record.name == "autotrack"]


def test_lightning_warns_but_once(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer(tmp_path, max_epochs=1).fit(line(), loader(), ckpt_path="last")
    assert len([w for w in caught if "no last checkpoint" in str(w.message)]) == 1


def test_what_fails_in_our_part_is_a_line(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise AttributeError("Lightning has changed")

    monkeypatch.setattr("autotrack.patches.lightning.mark_in", fail)
    monkeypatch.setattr("autotrack.patches.lightning.put_mark", fail)
    tracking.enable()
    path = half(tmp_path)
    trainer(tmp_path).fit(line(), loader(), ckpt_path=path)
    assert [len(run.points("loss_step")) for run in tracking.runs()] == [BATCHES, BATCHES]
    lines = {record.getMessage() for record in caplog.records if record.name == "autotrack"}
    assert len(lines) == 2
    assert all(said.startswith("autotrack: lightning: ") for said in lines)
