"""The smallest modules and trainers of Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

BATCHES = 4


class Line(pl.LightningModule):
    """Logs its loss by step and by epoch, and what a test asks for besides."""

    def __init__(self, lr: float = 0.1, **hyper_parameters: Any) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.line = torch.nn.Linear(2, 1)
        self.losses: list[float] = []

    def forward(self, x: Any) -> Any:
        return self.line(x)

    def training_step(self, batch: Any, number: int) -> Any:
        loss = self.line(batch[0]).square().mean()
        self.losses.append(loss.item())
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, number: int) -> None:
        self.log("val_loss", self.line(batch[0]).square().mean())

    def test_step(self, batch: Any, number: int) -> None:
        self.log("test_loss", self.line(batch[0]).square().mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), self.hparams["lr"])


def line(kind: type[Line] = Line, **hyper_parameters: Any) -> Line:
    torch.manual_seed(0)
    return kind(**hyper_parameters)


def loader(batches: int = BATCHES) -> Any:
    inputs = torch.linspace(-1, 1, batches * 4).reshape(-1, 2)
    return DataLoader(TensorDataset(inputs), batch_size=2)


def trainer(folder: Path, **settings: Any) -> pl.Trainer:
    """Quiet, without a logger and without checkpoints unless a test wants them."""
    quiet = {"logger": False, "enable_checkpointing": False, "max_epochs": 2, **settings}
    return pl.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        **quiet,
    )
