"""The module that a fit of Lightning trained: kept with its run, and loaded again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

import autotrack
from autotrack.states import State

from ..scripts import Place
from ..tracking import Tracking
from .lightning_models import Line, line, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore")


def models(run: autotrack.Run) -> dict[str, str]:
    return {model.path: model.facts["state"] for model in run.models}


# --- where nothing is kept ----------------------------------------------------------------------------


def test_a_fit_that_fails_keeps_no_model(tracking: Tracking, tmp_path: Path) -> None:
    def fail(*args: Any) -> None:
        raise KeyError("mine")

    tracking.enable()
    with pytest.raises(KeyError):
        trainer(tmp_path).fit(line(type("Failing", (Line,), {"on_train_end": fail})), loader())
    run = tracking.run()
    assert (run.state, models(run)) == (State.FAILED, {})


@pytest.mark.parametrize(
    ("options", "settings"),
    [({"log_model": False}, {}), ({}, {"fast_dev_run": True})],
    ids=["switched off", "fast_dev_run"],
)
def test_nothing_is_kept(tracking: Tracking, tmp_path: Path, options: Any, settings: Any) -> None:
    tracking.enable(lightning=options)
    trainer(tmp_path, **settings).fit(line(), loader())
    run = tracking.run()
    assert (run.state, models(run)) == (State.FINISHED, {})


def test_an_evaluation_keeps_no_model(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    trainer(tmp_path).test(line(), loader(), verbose=False)
    assert models(tracking.run()) == {}


def test_a_module_above_the_limit_is_named_with_its_size(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable(model_max_bytes=8)
    trainer(tmp_path).fit(line(), loader())
    [model] = tracking.run().models
    assert model.facts["state"] == "refused"
    assert model.facts["reason"] == "it has 12 bytes, more than model_max_bytes (8)"


@pytest.mark.parametrize("spread", ["ds_tensor", "FlatParameter"])
def test_weights_that_are_spread_over_processes_are_refused(
    tracking: Tracking, tmp_path: Path, spread: str
) -> None:
    """DeepSpeed leaves empty tensors behind, and FSDP one flat part of all."""

    class Spread(Line):
        def on_train_end(self) -> None:
            if spread == "ds_tensor":
                self.line.weight.ds_tensor = torch.ones(1)
            else:
                self.line.weight = type(spread, (nn.Parameter,), {})(torch.ones(1))

    tracking.enable()
    trainer(tmp_path).fit(line(Spread), loader())
    [model] = tracking.run().models
    assert "spread over processes" in model.facts["reason"]


# --- what is kept -------------------------------------------------------------------------------------


class Judged(Line):
    """With metrics, and an attribute of most kinds."""

    def __init__(self, **hyper_parameters: Any) -> None:
        super().__init__(**hyper_parameters)
        self.accuracy = torchmetrics.Accuracy(task="binary")
        self.register_buffer("seen", torch.zeros(1), persistent=False)
        self.activation = nn.functional.relu

    def forward(self, x: Any) -> Any:
        return self.activation(self.line(x)) * self.hparams["lr"]

    def training_step(self, batch: Any, number: int) -> Any:
        self.accuracy.update(torch.ones(2), torch.ones(2))
        self.seen += 1
        return super().training_step(batch, number)


def test_the_trained_module_loads_again(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    model = line(Judged)
    fit = trainer(tmp_path)
    fit.fit(model, loader())
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x = torch.linspace(-1, 1, 6).reshape(3, 2)
    with torch.no_grad():
        predicted = model.eval()(x)
        model.line.weight.add_(1)  # what becomes of it later does not matter
    run = tracking.run()
    assert models(run) == {"model": "kept"}
    [kept] = run.models
    assert kept.flavor == "lightning"
    uri = f"runs:/{run.id}/model"
    state = autotrack.load_model(uri)
    assert state.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state.items())
    found = autotrack.load_model(uri, allow_code=True)
    assert type(found) is Judged
    assert found._trainer is None
    with torch.no_grad():
        assert torch.equal(found(x), predicted)
    assert np.array_equal(
        autotrack.load_predictor(uri, allow_code=True).predict(x.numpy()), predicted.numpy()
    )
    assert found.seen == 8
    assert found.accuracy.compute() == 1
    source = [file.path for file in run.artifacts if file.path.startswith("model/code")]
    assert source
    assert all(path.startswith("model/code/torch_module_") for path in source)  # ours, not the user's
    trainer(tmp_path).fit(found, loader())  # it can be trained on


def test_log_model_keeps_its_source_too(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    model = line(Judged)
    with autotrack.run() as run:
        trainer(tmp_path).fit(model, loader())
        run.log_model(model, "asked")
    kept = tracking.run()
    assert models(kept) == {"model": "kept", "asked": "kept"}
    found = autotrack.load_model(f"runs:/{kept.id}/asked", allow_code=True)
    assert torch.equal(found.line.weight, model.line.weight)
    assert [file.path for file in kept.artifacts if file.path.startswith("asked/code")]


def test_a_module_without_a_description_is_kept_as_its_weights(tracking: Tracking, tmp_path: Path) -> None:
    class Odd(Line):
        def __init__(self, **hyper_parameters: Any) -> None:
            super().__init__(**hyper_parameters)
            self.odd = lambda x: x

    tracking.enable()
    trainer(tmp_path).fit(line(Odd), loader())
    run = tracking.run()
    assert models(run) == {"model": "kept"}
    assert autotrack.load_model(f"runs:/{run.id}/model").keys() == {"line.weight", "line.bias"}


def test_fit_tells_of_no_large_table_that_a_module_holds(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    model = line(Judged)
    model.words = {f"word {number}": number for number in range(20_000)}
    with autotrack.run() as run:
        trainer(tmp_path).fit(model, loader())
        run.log_model(model, "asked")
    kept = tracking.run()
    assert autotrack.load_model(f"runs:/{kept.id}/model", allow_code=True).keys() >= {"line.weight"}
    assert autotrack.load_model(f"runs:/{kept.id}/asked", allow_code=True).words == model.words


def test_the_best_checkpoint_stays_beside_it(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    callbacks = [ModelCheckpoint(tmp_path / "kept")]
    trainer(tmp_path, enable_checkpointing=True, callbacks=callbacks).fit(line(), loader())
    paths = [file.path for file in tracking.run().artifacts]
    assert any(path.startswith("checkpoints/") for path in paths)
    assert {"model/MLmodel", "model/data/model.safetensors", "model/data/module.json"} <= {*paths}


SCRIPT = """
    import sys, warnings
    import lightning.pytorch as pl
    import torch
    from torch.utils.data import DataLoader
    import autotrack

    warnings.simplefilter("ignore")
    autotrack.enable("lightning")

    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.line = torch.nn.Linear(1, 1)

        def training_step(self, batch, number):
            return self.line(batch).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    pl.Trainer(
        max_epochs=1, accelerator="cpu", devices=2, strategy="ddp", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    ).fit(Net(), DataLoader(torch.ones(8, 1), batch_size=2))
"""


def test_of_several_ranks_the_first_keeps_it(store: Place) -> None:
    done = store.run(SCRIPT)
    assert done.returncode == 0, done.err
    with Tracking(store.url) as tracking:
        tracking.enable()
        run = tracking.run()
        assert models(run) == {"model": "kept"}
        assert autotrack.load_model(f"runs:/{run.id}/model").keys() == {"line.weight", "line.bias"}
