"""The flavors' kit for torch's modules, whichever way they are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from autotrack.models.torch import TorchFlavor
from autotrack.testing import FlavorConformance

X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


def predicted(model: Any, data: Any) -> Any:
    """In eval mode, after which each part of the model is in the mode that it was in."""
    training = [one.training for one in model.modules()]
    model.eval()
    with torch.no_grad():
        found = model(torch.from_numpy(data)).numpy()
    for one, was in zip(model.modules(), training, strict=True):
        one.training = was
    return found


class TorchKit(FlavorConformance):
    flavor = TorchFlavor

    def data(self) -> Any:
        return X

    def change(self, model: Any) -> None:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1)

    def predict(self, model: Any, data: Any) -> Any:
        return predicted(model, data)
