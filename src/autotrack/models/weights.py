"""The weights of a torch module alone, in safetensors' format."""

from __future__ import annotations

import json
from typing import Any

from ..errors import ModelError
from ..flavor import NotKept
from .modules import tensors

INSTALL = "pip install 'autotrack[torch]'"
_TOLD = "autotrack"  # one entry, as several would be written in any order


def frozen(module: Any) -> bytes:
    """A copy of all weights as they are now. Raises `NotKept`.

    Of tensors that are the same one is written, and by whose name the others go.
    """
    first: dict[Any, str] = {}
    shared: dict[str, str] = {}
    kept = {}
    for name, tensor in tensors(module):
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride())
        if tensor.numel() and place in first:
            shared[name] = first[place]
            continue
        first[place] = name
        kept[name] = tensor.detach().cpu().contiguous()
    return saved(kept, {_TOLD: json.dumps({"shared": shared})})


def saved(kept: dict[str, Any], told: dict[str, str] | None = None) -> bytes:
    """Tensors on the CPU as a file. Raises `NotKept`."""
    try:
        from safetensors.torch import save
    except ImportError:
        raise NotKept(f"safetensors is not installed: {INSTALL}") from None
    try:
        return bytes(save(_apart(kept), told))
    except Exception as error:
        raise NotKept(f"safetensors cannot hold it ({error})") from error


def _apart(kept: dict[str, Any]) -> dict[str, Any]:
    """Views of one memory that are not the same are copied: safetensors takes none."""
    seen: set[int] = set()
    for name, tensor in kept.items():
        place = tensor.untyped_storage().data_ptr()
        if place in seen or tensor.untyped_storage().nbytes() != tensor.nbytes:
            kept[name] = tensor.clone()
        seen.add(place)
    return kept


def loaded(data: bytes, told: str) -> dict[str, Any]:
    """The state dict. Raises `ModelError`."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError:
        raise ModelError(f"safetensors is not installed: {INSTALL}") from None

    try:
        state: dict[str, Any] = load(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + length]).get("__metadata__", {}).get(_TOLD, "{}"))
        state.update({str(name): state[other] for name, other in header.get("shared", {}).items()})
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"the weights of {told} are not in safetensors' format: {error}") from error
    return state
