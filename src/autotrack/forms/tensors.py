"""Data as tensors, and tensors as data: how a torch model is asked. It stands alone: see `modules.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def arguments(data: Any, floating: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a module's `forward` is called with: an array, or a dict of arrays by the names of its arguments.

    floating: the torch dtype that fractions are brought to, None to leave them. Raises ValueError.
    """
    if isinstance(data, Mapping):
        return (), {str(name): tensor(value, floating) for name, value in data.items()}
    if isinstance(data, tuple):
        raise ValueError("several inputs are given as a dict, by the names that forward has for them")
    return (tensor(data, floating),), {}


def tensor(data: Any, floating: Any = None) -> Any:
    """One tensor on the CPU. Raises ValueError for what has no numbers."""
    import numpy as np
    import torch

    if isinstance(data, torch.Tensor):
        made = data.detach().cpu()
    else:
        array = np.asarray(data)  # tables too
        if array.dtype.kind not in "biufc":
            raise ValueError(f"a torch model takes numbers, not {type(data).__qualname__} of {array.dtype}")
        made = torch.from_numpy(np.array(array))  # a copy: what is not writable makes torch warn
    return made.to(floating) if floating is not None and made.is_floating_point() else made


def as_numpy(value: Any) -> Any:
    """Tensors as arrays, also where they are in tuples, lists and dicts; bfloat16 as float32."""
    import torch

    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return value.float().numpy() if value.dtype is torch.bfloat16 else value.numpy()
    if isinstance(value, (tuple, list)):
        return (
            type(value)(map(as_numpy, value)) if type(value) in (tuple, list) else tuple(map(as_numpy, value))
        )
    if isinstance(value, Mapping):
        return {name: as_numpy(item) for name, item in value.items()}
    return value


def floating_type(module: Any) -> Any:
    """The dtype of a module's first parameter or buffer with fractions; None if it has none."""
    for one in (*module.parameters(), *module.buffers()):
        if one.is_floating_point():
            return one.dtype
    return None
