"""The PyTorch integration keeps the promises of the kit."""

from __future__ import annotations

from typing import Any

import torch

from autotrack.patches.torch import Torch
from autotrack.testing import IntegrationConformance

from .torch_loops import Net, fit


class TestLoop(IntegrationConformance):
    integration = Torch
    encloses = False
    params = {"optimizer": "SGD", "lr": 0.1, "parameters": 19}
    metrics = {"loss", "lr"}

    def train(self) -> Any:
        torch.manual_seed(0)
        model = Net()
        losses = fit(model, torch.optim.SGD(model.parameters(), lr=0.1))
        return losses, [parameter.tolist() for parameter in model.parameters()]

    def broken_train(self) -> Any:
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        fit(model, optimizer)
        loss = model(torch.ones(1, 4)).mean()
        loss.backward()
        loss.backward()
