"""A model that does what its rows say, and its folder; its class is loaded where a test trusts it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
import yaml
from sklearn.base import BaseEstimator

from autotrack.signatures import Column, DataType, Schema, Signature, to_mlmodel

RAISES, SLEEPS, DIES, HUGE, LEAVES = -1.0, -2.0, -3.0, -4.0, -5.0
"""Values of column a."""
TRUSTED = "tests.serving.toys.Toy"
INPUTS = Schema((Column("a", DataType.DOUBLE), Column("b", DataType.DOUBLE)))


class Toy(BaseEstimator):
    """Tells `factor` times a + b of each row."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def predict(self, data: Any, **params: Any) -> Any:
        """In numpy."""
        a = data["a"].to_numpy()
        if RAISES in a:
            raise ValueError("row of doom\nand more of it")
        if SLEEPS in a:
            time.sleep(params.get("seconds", 1.0))
        if DIES in a:
            os.kill(os.getpid(), signal.SIGKILL)
        if LEAVES in a:
            raise SystemExit("no more")
        return np.where(a == HUGE, np.inf, self.factor * (a + data["b"].to_numpy()))


def save(path: Path, factor: float = 1.0, signature: Signature | None = None) -> Path:
    """The folder of a `Toy`, as whoever trusts it loads it."""
    path.mkdir(parents=True)
    (path / "model.skops").write_bytes(skops.io.dumps(Toy(factor)))
    section = {"pickled_model": "model.skops", "serialization_format": "skops"}
    told: dict[str, Any] = {"flavors": {"sklearn": section, "python_function": {"model_path": "model.skops"}}}
    if signature:
        told["signature"] = to_mlmodel(signature)
    (path / "MLmodel").write_text(yaml.safe_dump(told))
    return path
