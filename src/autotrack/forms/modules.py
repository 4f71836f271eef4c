"""Makes a torch module again from its folder. autotrack puts this file into models that have no graph.

It stands alone there, beside `loader.py` and `tensors.py`: whoever imports it, as MLflow does, needs torch,
safetensors and the module's own classes, and nothing of autotrack. The folder has `data/module.json`, which
tells what the module is made of, and the tensors that it names. What it names is imported; nothing of that is
called, no `__init__` either.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import MethodType
from typing import Any

from .loader import Reader, imported
from .tensors import arguments, as_numpy, floating_type


def _load_pyfunc(path: str, model_config: Any = None) -> AskedModule:
    """What MLflow calls; `path` is the model's folder."""
    return AskedModule(restored(Path(path)))


def restored(root: Path, models: Any = None) -> Any:
    """The module that was saved, in eval mode. models: as `loader.restored` has it; there are none within."""
    data = root / "data"
    files = [data / f"{name}.safetensors" for name in ("model", "module")]  # the second has what is no state
    tensors = {name: one for file in files if file.is_file() for name, one in _tensors(file).items()}
    source = data / "source.json"
    kept = json.loads(source.read_text()) if source.is_file() else {}
    return ModuleReader(tensors, kept).made(json.loads((data / "module.json").read_text()))


def _tensors(file: Path) -> dict[str, Any]:
    """By their names; of those that are the same one is in the file."""
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        found = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  no mapping
        told = json.loads((opened.metadata() or {}).get("autotrack", "{}"))
    return found | {name: found[other] for name, other in told.get("shared", {}).items()}


class AskedModule:
    """A module as MLflow asks it; `model` is the module itself."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def predict(self, data: Any, params: Any = None) -> Any:
        """Arrays, as `forward` gives them."""
        import torch

        positional, named = arguments(data, floating_type(self.model))
        with torch.inference_mode():
            return as_numpy(self.model(*positional, **named, **(params or {})))


class ModuleReader(Reader):
    """Makes modules and what they hold of torch's; see `Reader`."""

    def __init__(self, tensors: Mapping[str, Any], source: Mapping[str, Any]) -> None:
        """tensors: by the names that are told for them. source: where the user's classes are found by now."""
        super().__init__(Path(), None)
        self._tensors = tensors
        self._package = str(source.get("package", ""))
        self._kept: Mapping[str, Any] = source.get("names", {})

    def _name(self, told: list[str]) -> Any:
        module, path = self._kept.get(".".join(told), told)
        return imported(module, path, self._package)

    def _same(self, number: int) -> Any:
        """A module is known before what it holds: that may hold it too."""
        content = self._contents[number]
        if number not in self._shared and isinstance(content, dict) and [*content] == ["module"]:
            return self._module(content["module"], number)
        return super()._same(number)

    def _module(self, told: Mapping[str, Any], number: int | None = None) -> Any:
        import torch

        kind = self._class(told["class"])
        made = object.__new__(kind)
        torch.nn.Module.__init__(made)
        held = vars(made)
        held["training"] = False
        if number is not None:
            self._shared[number] = made
        held["_parameters"].update(self._members(told["parameters"], torch.nn.Parameter))
        held["_buffers"].update(self._members(told["buffers"], torch.Tensor))
        held["_modules"].update(self._members(told["modules"], torch.nn.Module))
        held["_non_persistent_buffers_set"].update(map(str, told["transient"]))
        held.update(self._attributes(kind, told["attributes"]))
        if any(base.__module__ == "torchmetrics.metric" for base in kind.__mro__):
            made.__setstate__(dict(held))
        return made

    def _class(self, told: Any) -> Any:
        return self.made(told)

    def _members(self, pairs: Any, kind: type) -> dict[str, Any]:
        """Of a module by their names, each of the kind or None."""
        return {str(name): self.made(value) for name, value in pairs}

    def _attributes(self, kind: type, pairs: Any) -> dict[str, Any]:
        return {name: self.made(value) for name, value in pairs}

    def _method(self, told: list[Any]) -> Any:
        module, name = self.made(told[0]), told[1]
        return MethodType(getattr(type(module), name), module)

    def _tensor(self, told: list[Any]) -> Any:
        """By its name; the order of its dimensions in memory is what it was, as sums depend on it."""
        name, requires_grad, order, *tags = told
        found = self._tensors[name]
        if order is not None:
            back = sorted(range(len(order)), key=order.__getitem__)
            found = found.permute(order).contiguous().permute(back)
        return self._tagged(found.requires_grad_(requires_grad), *tags)

    def _parameter(self, told: list[Any]) -> Any:
        import torch

        name, requires_grad, order, *tags = told
        return self._tagged(torch.nn.Parameter(self._tensor([name, False, order]), requires_grad), *tags)

    def _tagged(self, tensor: Any, tags: Any = ()) -> Any:
        """With the plain attributes that somebody gave it."""
        vars(tensor).update((name, self.made(value)) for name, value in tags)
        return tensor

    def _array(self, name: str) -> Any:
        return self._tensor([name, False, None]).numpy()

    def _shape(self, items: list[int]) -> Any:
        import torch

        return torch.Size(items)

    def _constant(self, name: str) -> Any:
        import torch

        return getattr(torch, name)

    def _device(self, name: str) -> Any:
        """The CPU, where all that is loaded lies."""
        import torch

        return torch.device("cpu")

    def _weakref(self, told: Any) -> Any:
        """Of what is gone, one that has nothing either."""
        return weakref.ref(set() if told is None else self.made(told))
