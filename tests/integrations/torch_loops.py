"""The smallest things to train with PyTorch, as users write them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.second = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())


def data(rows: int = 12) -> tuple[Tensor, Tensor]:
    x = torch.linspace(-1, 1, rows * 4).reshape(rows, 4)
    return x, x.sum(1, keepdim=True)


def loader(rows: int = 12, **options: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(*data(rows)), **{"batch_size": 4, **options})


def fit(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> list[float]:
    """All data at each step; gives the losses."""
    x, y = data()
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def train(steps: int = 3, lr: float = 0.1) -> list[float]:
    """A whole training: a model and an optimizer of its own."""
    model = Net()
    return fit(model, torch.optim.SGD(model.parameters(), lr=lr), steps)
