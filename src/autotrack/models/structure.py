"""What a torch module is made of beside its weights, as JSON: read from what it holds, none of it run.

`rebuilding.py` makes the module again. Beside the forms of plain values there are those of what torch has.
A tensor is told by its name: in the state dict, or else, after a dot, in a file of its own.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType, MethodType
from typing import Any

from ..errors import ModelError
from ..flavor import NotKept
from ..forms.telling import Form, Forms, is_importable, refuse_wrapped, slots_of
from . import sizes
from .layers import hides, is_torchs, method, places
from .modules import held, tensors

INTERNALS = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "training")
HOOKS = (
    *("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks"),
    *("_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
)
_HOOKS_KINDS = (
    *("_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs"),
    *("_is_full_backward_hook", "_compiled_call_impl"),
)
_TORCHS_OWN = {*INTERNALS, *HOOKS, *_HOOKS_KINDS}
_PLAIN = (type(None), bool, int, float, str)
_LIGHTNING: Mapping[str, Any] = {
    "_trainer": None,
    "_fabric": None,
    "_fabric_optimizers": [],
    "_metric_attributes": None,
    "_param_requires_grad_state": {},
    "_current_fx_name": None,
    "_compiler_ctx": None,
    "_device_mesh": None,
}
"""What a `LightningModule` holds of the fit that it is in, and has without one."""
_COPIES = ("_hparams_initial",)
_SETTINGS = 100
"""Values that a layer may be set to, and are not counted: walking over layers is what torch does anyway."""
METRICS = ("update", "compute", "_update_signature")
"""What a metric of torchmetrics wraps, and makes again of itself."""


@dataclass(frozen=True, slots=True)
class Structure:
    """`told` is the description as JSON, `beside` the tensors in it that are no part of the state dict.

    users: the classes and functions that are not torch's, by their names.
    """

    told: bytes
    beside: Mapping[str, Any]
    users: Mapping[str, Any]


def structure(module: Any, most: int) -> Structure:
    """Of a module, as it is. Raises `NotKept` for what cannot be made again from what it holds.

    most: values, beside what layers are set to.
    """
    references = _References()
    forms = _ModuleForms(references, module, most)
    try:
        told = forms.document(forms.told(module, ""))
        return Structure(json.dumps(told).encode(), forms.beside, references.users)
    except RecursionError:
        raise NotKept("it is nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise NotKept(f"it cannot be written ({error})") from None


@dataclass(frozen=True, slots=True)
class _References:
    """By the names that things have for themselves."""

    users: dict[str, Any] = field(default_factory=dict)

    def reference(self, item: Any) -> list[str]:
        """See `References`."""
        if place := places().get(id(item)):
            return [*place]
        module, name = str(item.__module__), item.__qualname__
        if "<lambda>" in name:
            raise NotKept("a lambda has no name by which it could be found again")
        if module.partition(".")[0] == "torch" and not is_importable(item):
            raise NotKept(f"torch made the class {name} for it, which stands in no module")
        refuse_wrapped(item)
        if self.users.setdefault(f"{module}.{name}", item) is not item:
            raise NotKept(f"two different things are called {module}.{name}")
        return [module, name]


class _ModuleForms(Forms):
    """Tells modules too, which may refer to what they are in."""

    kept = "numbers, text, tensors, arrays, modules, named functions and classes, and objects of these"

    def __init__(self, references: _References, module: Any, most: int) -> None:
        super().__init__(references)
        self.most = most
        self.beside: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        for name, tensor in tensors(module):
            self._names.setdefault(id(tensor), name)

    def forms(self) -> Collection[Form]:
        """See `Forms`."""
        return (
            *(self._plain, self._tensor, self._torchs, self._array, self._code_told, self._named),
            *(self._reference, self._attributes),
        )

    def told(self, value: Any, where: str) -> Any:
        """See `Forms`."""
        import torch

        if not issubclass(type(value), torch.nn.Module) or id(value) in self._met:
            return super().told(value, where)
        number = self._numbered(value)
        self._contents[number] = {"module": self._module(value, where)}
        return {"same": number}

    def _module(self, module: Any, where: str) -> Mapping[str, Any]:
        self.most += _SETTINGS
        kind, own = type(module), held(module)
        dot = f"{where}." if where else "attribute "
        if hooks := [name for name in HOOKS if own.get(name)]:
            raise NotKept(f"{where or 'the module'} has hooks ({hooks[0]}), which are code without a name")
        for name, _ in slots_of(module, kind):
            raise NotKept(f"{dot}{name} stands in a slot, of which a module made again has none")

        if is_torchs(kind):
            _check(module, where or "the module")

        def pairs(items: Any) -> list[Any]:
            return [[name, self.told(value, f"{dot}{name}")] for name, value in items]

        return {
            "class": self._kind(kind),
            "parameters": pairs(own["_parameters"].items()),
            "buffers": pairs(own["_buffers"].items()),
            "transient": sorted(own["_non_persistent_buffers_set"]),
            "modules": pairs(own["_modules"].items()),
            "attributes": [*self._own(kind, own, dot)],
        }

    def _own(self, kind: type, own: Mapping[str, Any], dot: str) -> Iterator[Any]:
        """What the class itself has set."""
        given = {name: value for name, value in own.items() if name not in _TORCHS_OWN}
        bases = {(base.__module__.partition(".")[0], base.__name__) for base in kind.__mro__}
        if ("torchmetrics", "Metric") in bases:
            given = {name: value for name, value in given.items() if name not in METRICS}
        if bases & {("lightning", "LightningModule"), ("pytorch_lightning", "LightningModule")}:
            given |= {name: value for name, value in _LIGHTNING.items() if name in given}
            given = {name: value for name, value in given.items() if name not in _COPIES}
            if issubclass(type(settings := given.get("_hparams")), dict):
                given["_hparams"] = self._with_forms(settings, f"{dot}_hparams")
        for name, value in given.items():
            yield [name, self.told(value, f"{dot}{name}")]

    def _with_forms(self, settings: Any, where: str) -> Any:
        """Those that can be told: they say how the module was made, and may hold anything."""
        kept = dict.__new__(type(settings))
        for name, value in dict.items(settings):
            try:
                self.told(value, where)
                dict.__setitem__(kept, name, value)
            except NotKept:
                pass
        return kept

    def _tensor(self, value: Any, kind: type, where: str) -> Any:
        import torch

        if not issubclass(kind, torch.Tensor):
            return None
        is_parameter = kind is torch.nn.Parameter
        is_plain = (is_parameter or kind in (torch.Tensor, torch.nn.Buffer)) and not value.is_quantized
        if not is_plain or value.layout is not torch.strided or value.is_meta or value.is_nested:
            raise NotKept(f"{where} is a tensor of a kind that has no safe form ({kind.__qualname__})")
        tags = [*self._tags(value, where)]
        name = self._names.get(id(value)) or f".{len(self.beside)}"
        if name.startswith("."):
            self.beside[name] = value.detach()
        told = [name, value.requires_grad, _order(value), *([tags] if tags else [])]
        return {"parameter" if is_parameter else "tensor": told}

    def _tags(self, tensor: Any, where: str) -> Iterator[Any]:
        """Plain attributes of its own, as optimizers read them.

        Others are refused; with an underscore they are libraries' own notes, and left out.
        """
        import torch

        for name, value in vars(tensor).items():
            if type(value) in _PLAIN and not hasattr(torch.Tensor, name):
                yield [name, self.told(value, f"{where}.{name}")]
            elif not name.startswith("_"):
                raise NotKept(f"{where} has an attribute {name} of its own, which tensors have no form for")

    def _torchs(self, value: Any, kind: type, where: str) -> Any:
        import torch

        if kind is torch.Size:
            return {"shape": [*value]}
        if kind in (torch.dtype, torch.memory_format, torch.layout):
            return {"constant": str(value).removeprefix("torch.")}
        return {"device": str(value)} if kind is torch.device else None

    def _array(self, value: Any, kind: type, where: str) -> Any:
        import numpy as np
        import torch

        if kind is not np.ndarray and not issubclass(kind, np.generic):
            return None
        try:
            made = torch.from_numpy(np.array(value))
        except (TypeError, ValueError) as error:
            raise NotKept(f"{where} cannot be written ({error})") from None
        name = f".{len(self.beside)}"
        self.beside[name] = made
        return {"array" if kind is np.ndarray else "scalar": name}

    def _reference(self, value: Any, kind: type, where: str) -> Any:
        """Bound methods of modules, and weak references, as recurrent layers have them."""
        import torch

        if kind is weakref.ReferenceType:
            return {"weakref": self.told(value(), where)}
        if kind is not MethodType or not issubclass(type(value.__self__), torch.nn.Module):
            return None
        name = value.__func__.__name__ if type(value.__func__) is FunctionType else None
        if name is None or method(type(value.__self__), name) is not value.__func__:
            raise NotKept(f"{where} is a method that its class does not have, or torch's")
        return {"method": [self.told(value.__self__, where), name]}


def _check(layer: Any, where: str) -> None:
    """Whether it would be made again. Raises `NotKept`."""
    try:
        sizes.check(layer)
    except ModelError as error:
        raise NotKept(f"{where} would not load again: {error}") from None
    if found := [name for name in held(layer) if name not in _TORCHS_OWN and hides(type(layer), name)]:
        raise NotKept(f"{where} has a {found[0]} of its own, beside that of its class")


def _order(tensor: Any) -> list[int] | None:
    """Its dimensions as they lie in memory, where that is not as they are counted: sums depend on it."""
    if tensor.is_contiguous():
        return None
    order = sorted(range(tensor.dim()), key=lambda one: (-tensor.stride(one), -tensor.size(one)))
    return order if tensor.permute(order).is_contiguous() else None
