"""The Lightning integration keeps the promises of the kit, for both packages."""

from __future__ import annotations

from types import ModuleType
from typing import Any, ClassVar

import lightning.pytorch
import pytest
import pytorch_lightning
import torch
from torch.utils.data import DataLoader, TensorDataset

from autotrack.patches.lightning import Lightning, PytorchLightning
from autotrack.testing import IntegrationConformance

pytestmark = pytest.mark.filterwarnings("ignore")


def module(package: ModuleType) -> Any:
    class Line(package.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self, lr: float = 0.1) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.line = torch.nn.Linear(2, 1)

        def training_step(self, batch: Any, number: int) -> Any:
            loss = self.line(batch[0]).square().mean()
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), self.hparams.lr)

    torch.manual_seed(0)
    return Line()


def loader(width: int = 2) -> Any:
    return DataLoader(TensorDataset(torch.arange(8.0).reshape(8 // width, width)), batch_size=2)


def trainer(package: ModuleType) -> Any:
    return package.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


class TestFit(IntegrationConformance):
    integration: ClassVar[Any] = Lightning
    package: ClassVar[ModuleType] = lightning.pytorch
    params = {"max_epochs": 2, "lr": 0.1, "optimizer": "SGD", "trainable_parameters": 3}
    metrics = {"loss", "lr", "epoch"}

    def train(self) -> Any:
        model = module(self.package)
        trainer(self.package).fit(model, loader())
        return {name: tensor.numpy() for name, tensor in model.state_dict().items()}

    def broken_train(self) -> Any:
        trainer(self.package).fit(module(self.package), loader(width=4))


class TestFitOfTheOlderName(TestFit):
    integration = PytorchLightning
    package = pytorch_lightning


class TestEvaluation(IntegrationConformance):
    integration = Lightning
    params = {"lr": 0.1, "accelerator": "cpu"}
    metrics = {"loss"}

    def evaluate(self, width: int) -> Any:
        model = module(lightning.pytorch)
        type(model).test_step = type(model).training_step
        return trainer(lightning.pytorch).test(model, loader(width), verbose=False)

    def train(self) -> Any:
        return self.evaluate(width=2)

    def broken_train(self) -> Any:
        self.evaluate(width=4)
