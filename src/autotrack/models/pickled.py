"""What others pickled: read only where the caller permits it, as it runs whatever its author wrote."""

from __future__ import annotations

import importlib
import pickle
from typing import Any

from ..errors import ModelError
from ..flavor import Permissions


def refusal(told: str) -> str:
    """Why a pickle is not loaded, and what permits it."""
    return (
        f"{told} is a pickle, which runs whatever its author wrote when it is loaded; if you trust where "
        "it comes from: load_model(…, allow_pickle=True)"
    )


def unpickled(data: bytes, told: str, permissions: Permissions, reader: str = "pickle") -> Any:
    """The object; `reader` is the module whose `loads` it needs. Raises `ModelError` without permission."""
    if not permissions.pickle:
        raise ModelError(refusal(told))
    if reader == "pickle":
        return pickle.loads(data)
    return importlib.import_module(reader).loads(data)
