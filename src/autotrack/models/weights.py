"""The weights of a torch module alone, in safetensors' format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

from ..errors import ModelError
from ..flavor import NotKept
from .modules import tensors

INSTALL = "pip install 'autotrack[torch]'"
_LENGTH, _ALIGNED = 8, 16
"""Bytes of the number that a file begins with, and what the place of its tensors is a multiple of."""
_METADATA = "__metadata__"
_TOLD = "autotrack"  # one entry, as several would be written in any order


def frozen(module: Any) -> bytearray:
    """A copy of all weights as they are now. Raises `NotKept`.

    Of tensors that are the same one is written, and by whose name the others go.
    """
    first: dict[Any, str] = {}
    shared: dict[str, str] = {}
    kept = {}
    for name, tensor in tensors(module):
        place = _place(tensor)
        if tensor.numel() and place in first:
            shared[name] = first[place]
            continue
        first[place] = name
        kept[name] = tensor
    return saved(kept, {_TOLD: json.dumps({"shared": shared})})


def _place(tensor: Any) -> tuple[Any, ...]:
    """What two tensors have in common that hold the same numbers: the bits alone may be read in many ways."""
    where = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride())
    return (*where, tensor.dtype, tensor.is_conj(), tensor.is_neg())


def saved(kept: Mapping[str, Any], told: Mapping[str, str]) -> bytearray:
    """Tensors as a file, with a few texts about them. Raises `NotKept`.

    Each is copied once, from wherever it is to its place in the file; the library's own `save` does that
    three times, in the time of the call.
    """
    import torch

    if find_spec("safetensors") is None:
        raise NotKept(f"safetensors is not installed: {INSTALL}")
    types = _types()
    header: dict[str, Any] = {_METADATA: told}
    end = 0
    for name, tensor in sorted(kept.items(), key=lambda item: (-item[1].element_size(), item[0])):
        if name == _METADATA or not _is_unicode(name):
            raise NotKept(f"safetensors cannot hold a tensor called {name!r}")
        if tensor.is_meta:
            raise NotKept(f"{name} has no data (device meta); load the weights first, or to_empty(device=…)")
        if tensor.dtype not in types or tensor.layout is not torch.strided or tensor.is_quantized:
            raise NotKept(f"safetensors cannot hold {name}, of {tensor.dtype} and {tensor.layout}")
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": types[tensor.dtype], "shape": [*tensor.shape], "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + _LENGTH) % _ALIGNED)
    data = bytearray(_LENGTH + len(text) + end)
    data[: _LENGTH + len(text)] = len(text).to_bytes(_LENGTH, "little") + text
    whole = torch.frombuffer(data, dtype=torch.uint8)[_LENGTH + len(text) :]
    for name, tensor in kept.items():
        begin, end = header[name]["data_offsets"]
        whole[begin:end].view(tensor.dtype).view(tensor.shape).copy_(tensor.detach())
    return data


def _is_unicode(name: str) -> bool:
    """Half of a pair of surrogates is text for Python alone."""
    return name.encode(errors="replace").decode() == name


@cache
def _types() -> Mapping[Any, str]:
    """The format's names for what torch calculates with."""
    import torch

    bits = (8, 16, 32, 64)
    names = {
        **{f"float{size}": f"F{size}" for size in bits[1:]},
        **{f"int{size}": f"I{size}" for size in bits},
        **{f"uint{size}": f"U{size}" for size in bits},
        "bfloat16": "BF16",
        "bool": "BOOL",
        "complex64": "C64",
        "float8_e4m3fn": "F8_E4M3",
        "float8_e5m2": "F8_E5M2",
    }
    return {getattr(torch, name): told for name, told in names.items()}


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
        header = json.loads(json.loads(data[8 : 8 + length]).get(_METADATA, {}).get(_TOLD, "{}"))
        state.update({str(name): state[other] for name, other in header.get("shared", {}).items()})
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        [line, *_] = str(error).splitlines() or [type(error).__name__]
        raise ModelError(f"the weights of {told} are not in safetensors' format: {line}") from error
    return state
