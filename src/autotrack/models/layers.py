"""What of torch a module may be made of without anybody's permission: its layers, and functions of tensors.

Layers hold numbers and tensors, and compute. So do these functions, named one by one: others beside them
import, compile or write.
"""

from __future__ import annotations

from functools import cache
from types import FunctionType
from typing import Any

_ACTIVATIONS = (
    "celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu log_softmax logsigmoid mish "
    "normalize relu relu6 selu sigmoid silu softmax softmin softplus softshrink softsign tanh tanhshrink"
)
_LOSSES = (
    "binary_cross_entropy binary_cross_entropy_with_logits cosine_similarity cross_entropy huber_loss kl_div "
    "l1_loss mse_loss nll_loss pairwise_distance smooth_l1_loss"
)
_OF_TORCH = "abs celu cos exp log_softmax relu rsqrt selu sigmoid sin softmax sqrt square tanh"


@cache
def known() -> dict[tuple[str, str], Any]:
    """Classes and functions, by module and name."""
    import torch

    layers = torch.nn.modules
    names = [name for name in layers.__all__ if not name.startswith("Lazy")]
    kinds: list[type] = [vars(layers)[name] for name in names]
    kinds = [kind for kind in kinds if issubclass(kind, torch.nn.Module)]
    kinds.append(layers.linear.NonDynamicallyQuantizableLinear)  # in attentions
    functional = torch.nn.functional
    found = {(kind.__module__, kind.__qualname__): kind for kind in kinds}
    found |= {
        (functional.__name__, name): getattr(functional, name) for name in f"{_ACTIVATIONS} {_LOSSES}".split()
    }
    return found | {("torch", name): getattr(torch, name) for name in _OF_TORCH.split()}


@cache
def places() -> dict[int, tuple[str, str]]:
    """Where each is found, by its id: functions written in C do not say."""
    return {id(item): place for place, item in known().items()}


def is_torchs(kind: type) -> bool:
    """Whether it is one of these layers, and no class derived from one."""
    return id(kind) in places()


def hides(kind: type, name: str) -> bool:
    """Whether a class is a layer of torch's that has a method, or the like, of this name."""
    return is_torchs(kind) and hasattr(kind, name)


def method(kind: type, name: Any) -> FunctionType | None:
    """The function that modules of a class have under a name: looked up as it stands, no descriptor is asked.

    None where there is no such, of torch's layers too: among their methods are those that run what they are
    given, write and change the module.
    """
    import torch

    if not issubclass(kind, torch.nn.Module) or is_torchs(kind):
        return None
    if type(name) is not str or name.startswith("__"):
        return None
    found = next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)
    return found if type(found) is FunctionType else None
