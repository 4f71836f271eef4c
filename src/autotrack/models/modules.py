"""A torch module seen from outside: what is under its wrappers, and its twin to trace and to ask.

Nothing of a module that somebody trains is set or called: its flags, gradients and hooks stay its own.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from types import MethodType
from typing import Any

from ..flavor import NotKept

_WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}
"""Classes of torch's that stand around the user's module, and where they have it."""


_SPREAD = ("DTensor", "FlatParameter")
"""Kinds of tensors of which only a part is here; DeepSpeed's look empty and have theirs in `ds_tensor`."""


def unwrapped(model: Any) -> Any:
    """The user's own module. Raises `NotKept` for what is none, or is not here whole."""
    import torch

    while (name := _WRAPPERS.get(type(model).__name__)) and type(model).__module__.startswith("torch."):
        model = model._modules[name]
    kind = type(model)
    if not isinstance(model, torch.nn.Module):
        raise NotKept(
            f"{kind.__module__}.{kind.__qualname__} is no torch module; log the module that holds it"
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise NotKept("a scripted module is in TorchScript's own format; log the module it was made from")
    for name, one in tensors(model):
        if torch.nn.parameter.is_lazy(one):
            raise NotKept(f"{name} of a lazy layer has no size yet; ask the module once first")
    if any(type(one).__name__ in _SPREAD or hasattr(one, "ds_tensor") for _, one in tensors(model)):
        raise NotKept("its parameters are spread over processes (FSDP, DeepSpeed): gather them first")
    return model


def held(module: Any) -> dict[str, Any]:
    """Its attributes, whatever its class makes of being asked for one."""
    found: dict[str, Any] = object.__getattribute__(module, "__dict__")
    return found


def tensors(module: Any) -> Iterator[tuple[str, Any]]:
    """Parameters and those buffers that are part of its state, by their names; shared ones each time."""
    for prefix, one in _named(module):
        own = held(one)
        for name, tensor in (*own["_parameters"].items(), *own["_buffers"].items()):
            if tensor is not None and name not in own["_non_persistent_buffers_set"]:
                yield f"{prefix}{name}", tensor


def size(module: Any) -> int:
    """Bytes of its tensors, what is shared counted once."""
    storages = {}
    for _, tensor in tensors(module):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr() or id(tensor)] = tensor.nbytes if storage is None else storage.nbytes()
    return sum(storages.values())


def twin(module: Any) -> Any:
    """The same module as it is in eval mode and on the CPU: other objects, no user's code run for it.

    Its tensors are the module's own where those are on the CPU: it is to be read, not to be trained.
    """
    twins: dict[int, Any] = {}
    made = _twin(module, twins)
    for one in twins.values():  # what holds a module beside `_modules`, as a list or a bound method
        for name, value in vars(one).items():
            if name not in _OWN:
                vars(one)[name] = _moved(value, twins)
    return made


_OWN = {"_parameters", "_buffers", "_modules"}


def _twin(module: Any, twins: dict[int, Any]) -> Any:
    if id(module) in twins:
        return twins[id(module)]
    made = twins[id(module)] = object.__new__(type(module))
    state = dict(vars(module))
    for name in ("_parameters", "_buffers"):
        state[name] = {key: _on_cpu(tensor) for key, tensor in state[name].items()}
    children = state["_modules"].items()
    state["_modules"] = {key: None if child is None else _twin(child, twins) for key, child in children}
    for name in _HOOKS & state.keys():
        state[name] = type(state[name])(
            (key, hook) for key, hook in state[name].items() if _is_torchs_own(module, key)
        )
    vars(made).update(state, training=False)
    return made


_HOOKS = {
    f"_{when}_hooks{told}"
    for when in ("forward", "forward_pre", "backward", "backward_pre")
    for told in ("", "_with_kwargs", "_always_called")
}
"""Where a module keeps what is called around its `forward`, or of what kind that is, each by its number."""
_ASKED = ("_forward_hooks", "_forward_pre_hooks")


def hooked(module: Any) -> str | None:
    """The name of a part that has a hook of the user's around its `forward`, which the twin has not."""
    for prefix, one in _named(module):
        if any(not _is_torchs_own(one, key) for name in _ASKED for key in held(one)[name]):
            return prefix.rstrip(".") or type(one).__name__
    return None


def _is_torchs_own(module: Any, key: int) -> bool:
    """Torch's, such as of weight_norm, compute the weights; the user's count, print and keep."""
    hooks = [hook for name in _ASKED if (hook := vars(module)[name].get(key)) is not None]
    return bool(hooks) and all(type(hook).__module__.startswith("torch.") for hook in hooks)


def _on_cpu(tensor: Any) -> Any:
    import torch

    if tensor is None or tensor.device.type == "cpu":
        return tensor
    moved = tensor.detach().cpu()
    is_parameter = isinstance(tensor, torch.nn.Parameter)
    return torch.nn.Parameter(moved, requires_grad=tensor.requires_grad) if is_parameter else moved


def _moved(value: Any, twins: dict[int, Any]) -> Any:
    if id(value) in twins:
        return twins[id(value)]
    if type(value) is MethodType and id(value.__self__) in twins:
        return MethodType(value.__func__, twins[id(value.__self__)])
    if type(value) in (list, tuple):
        return type(value)(_moved(item, twins) for item in value)
    if type(value) is deque:
        return deque((_moved(item, twins) for item in value), value.maxlen)
    if type(value) in (dict, OrderedDict, defaultdict, Counter):
        copied = value.copy()
        for key, item in value.items():
            copied[key] = _moved(item, twins)
        return copied
    if type(value) in (set, bytearray):
        return value.copy()
    return value


def _named(module: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    yield prefix, module
    for name, child in held(module)["_modules"].items():
        if child is not None:
            yield from _named(child, f"{prefix}{name}.")
