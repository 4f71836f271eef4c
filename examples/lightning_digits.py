"""A small network for handwritten digits, trained by Lightning."""

import logging
import warnings

import lightning.pytorch as pl
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import autotrack

autotrack.enable()

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.simplefilter("ignore", FutureWarning)  # of Lightning about torch


class Digits(pl.LightningModule):
    def __init__(self, hidden: int = 32, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = torch.nn.Sequential(
            torch.nn.Linear(64, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 10)
        )

    def training_step(self, batch, number):
        loss = cross_entropy(self.network(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, number):
        self.log_dict(self.measured(batch, "val"))

    def test_step(self, batch, number):
        self.log_dict(self.measured(batch, "test"))

    def measured(self, batch, name):
        scores = self.network(batch[0])
        accuracy = (scores.argmax(1) == batch[1]).float().mean()
        return {f"{name}_loss": cross_entropy(scores, batch[1]), f"{name}_acc": accuracy}

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.hparams.lr)


pl.seed_everything(0, verbose=False)
X, y = load_digits(return_X_y=True)
parts = train_test_split(torch.tensor(X / 16, dtype=torch.float32), torch.tensor(y), random_state=0)
train, test = TensorDataset(parts[0], parts[2]), TensorDataset(parts[1], parts[3])

trainer = pl.Trainer(
    max_epochs=3,
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
model = Digits()
trainer.fit(model, DataLoader(train, batch_size=32, shuffle=True), DataLoader(test, batch_size=512))
[found] = trainer.test(model, DataLoader(test, batch_size=512), verbose=False)
print(f"Digits, 3 epochs               accuracy {found['test_acc']:.3f}")
