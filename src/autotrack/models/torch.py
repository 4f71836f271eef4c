"""torch: a module as the graph that `torch.export` traced, or its weights with what it is made of.

With an example of its input a module becomes a graph that loads without its class, by us and by MLflow.
Without one its weights are kept, and a description by which the module is made again: of torch's layers by
anybody, of classes of the user's where their source may be run. To whom may not, and of a module that has no
description, the weights are given: ``module.load_state_dict(autotrack.load_model(uri))``. MLflow makes the
module again by source of ours that comes along, which we never run.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from .. import forms
from ..errors import ModelError
from ..flavor import (
    PYTHON_FUNCTION,
    Files,
    Flavor,
    Frozen,
    ModelFolder,
    NotKept,
    Permissions,
    Section,
    refuse_unknown,
)
from ..forms import pickle_module
from ..mlmodel.code_paths import FOLDER, SOURCE
from . import exporting, modules, weights

log = logging.getLogger("autotrack")

DATA = "data"
PROGRAM = f"{DATA}/model.pt2"
WEIGHTS = f"{DATA}/model.safetensors"
MODULE = f"{DATA}/module.json"
BESIDE = f"{DATA}/module.safetensors"
"""The tensors that the description names and that are no part of the state dict."""
PARTS = {"module": MODULE, "module_tensors": BESIDE, "module_source": SOURCE}
"""What there may be beside the weights, by the names that `MLmodel` has for it."""
ASKED, UNASKED = 1_000_000, 20_000
"""Values that a module may hold to be described, in the call: 1,000 of them take some milliseconds."""
PICKLED = f"{DATA}/model.pth"
"""What MLflow writes of a module without an example; of ours, what makes MLflow read the module beside it."""
PICKLE_MODULE = f"{DATA}/pickle_module_info.txt"
_LOADER = ("__init__", "loader", "modules", "pickle_module", "tensors")
"""What of `forms` comes along."""


class Weights(dict[str, Any]):
    """A state dict alone, by names, and why there is no module."""

    why = ""


class TorchFlavor(Flavor):
    """See `Flavor`. Lightning's modules are torch's."""

    name = "pytorch"
    libraries = {"torch": "torch", "lightning": "lightning", "pytorch_lightning": "pytorch-lightning"}
    needs = ("torch", "numpy")

    def __init__(self, most: int | None = None) -> None:
        self._most = ASKED if most is None else most

    def unasked(self) -> TorchFlavor:
        """See `Flavor`."""
        return TorchFlavor(UNASKED)

    def freeze(self, model: Any, limit: int, example: Any = None) -> Frozen:
        try:
            module = modules.unwrapped(model)
        except RecursionError:
            raise NotKept("its modules are nested too deeply, or one is in itself") from None
        _refuse_above(limit, modules.size(module))
        if example is None:
            data = weights.frozen(module)
            _refuse_above(limit, len(data))
            return _with_structure(module, data, limit, self._most)
        if hooked := modules.hooked(module):
            log.warning(
                "autotrack: the model is kept without the hooks of %s: it may predict otherwise", hooked
            )
        archive = exporting.exported(module, example)
        _refuse_above(limit, len(archive))
        try:
            from .pt2 import checked

            checked(archive)
        except ModelError as error:
            raise NotKept(f"it would not load again: {error}") from error
        return Frozen(archive, PROGRAM)

    def files(self, frozen: Frozen) -> Files:
        """See `Flavor`."""
        files = super().files(frozen)
        return {**files, **_for_mlflow()} if MODULE in files else files

    def describe(self, files: Files, kind: str) -> Mapping[str, Section]:
        import torch

        code = FOLDER if any(name.startswith(f"{FOLDER}/") for name in files) else None
        ours = {"model_data": DATA, "pytorch_version": str(torch.__version__), "code": code}
        if PROGRAM not in files:
            ours |= {"model_class": kind, "serialization_format": "safetensors"}
            told = {name: file for name, file in PARTS.items() if file in files}
            own = {self.name: {**ours, **told}}
            if MODULE not in files:
                return own
            return {**own, PYTHON_FUNCTION: {"loader_module": f"{_loader()[0]}.modules", "code": FOLDER}}
        generic = {
            "loader_module": "mlflow.pytorch",
            "data": DATA,
            "config": {"device": None},
            "pickle_module_name": "mlflow.pytorch.pickle_module",
        }
        return {self.name: ours, PYTHON_FUNCTION: generic}

    def load(self, folder: ModelFolder, section: Section, permissions: Permissions) -> Any:
        """The module, or a dict of weights by their names."""
        root = str(section.get("model_data", DATA))
        names = {name.rpartition("/")[2]: name for name in folder.below(root)}
        if "model.safetensors" in names:
            state = weights.loaded(folder.read(names["model.safetensors"]), folder.told)
            return _module_or_weights(folder, section, state, permissions)
        if "model.pt2" in names:
            return _program(folder.read(names["model.pt2"]), permissions)
        if "model.pth" not in names:
            raise ModelError(f"{folder.told} has no model.pt2, model.safetensors or model.pth below {root!r}")
        return _unpickled(folder.read(names["model.pth"]), folder.told, permissions)

    def check_params(self, model: Any, names: Collection[str]) -> None:
        """They are arguments of `forward`."""
        refuse_unknown(getattr(model, "forward", None), names)

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        """Arrays, as `forward` gives them: of a tuple a tuple, of a dict a dict.

        data: an array, table or tensor, or a dict of them by the names that `forward` has for them.
        """
        import torch

        from ..forms.tensors import as_numpy

        if isinstance(model, dict):
            raise ModelError(
                f"only the model's weights were loaded{model.why if isinstance(model, Weights) else ''}: "
                "module.load_state_dict(autotrack.load_model(…))"
            )
        positional, named = exporting.called_with(data, model)
        with torch.inference_mode():
            return as_numpy(model(*positional, **named, **params))


@cache
def _loader() -> tuple[str, Files]:
    """The package by which MLflow loads a module of ours, named by what it says."""
    sources = {f"{name}.py": (resources.files(forms) / f"{name}.py").read_bytes() for name in _LOADER}
    package = f"torch_module_{hashlib.sha256(b''.join(sources.values())).hexdigest()[:16]}"
    return package, {f"{FOLDER}/{package}/{name}": data for name, data in sources.items()}


def _for_mlflow() -> Files:
    package, files = _loader()
    return {**files, PICKLED: pickle_module.content(), PICKLE_MODULE: f"{package}.pickle_module".encode()}


def _with_structure(module: Any, data: bytearray, limit: int, most: int) -> Frozen:
    """The weights, and how the module is made again if that can be told."""
    from .rebuilding import MOST_BYTES
    from .structure import structure

    frozen = Frozen(data, WEIGHTS, frozenset({"safetensors"}))
    try:
        told = structure(module, most)
        if len(told.told) > MOST_BYTES:
            raise NotKept(f"its description has {len(told.told):,} bytes, more than {MOST_BYTES:,}")
        _refuse_above(
            limit, len(data) + len(told.told) + sum(tensor.nbytes for tensor in told.beside.values())
        )
        more = {MODULE: told.told}
        if told.beside:
            more[BESIDE] = bytes(weights.saved(told.beside, {}))
    except NotKept as refusal:
        return replace(frozen, left=f"all but its weights, as {refusal}")
    return replace(frozen, more=more, users=told.users)


def _module_or_weights(
    folder: ModelFolder, section: Section, state: dict[str, Any], permissions: Permissions
) -> Any:
    """The module, else its `state`: where the caller does not permit it, or it cannot be made again."""
    from .rebuilding import Damaged, NotPermitted, rebuilt

    parts = {name: folder.read(str(section[name])) for name in PARTS if section.get(name)}
    if "module" not in parts:
        return state
    beside = weights.loaded(parts["module_tensors"], folder.told) if "module_tensors" in parts else {}
    try:
        return rebuilt(parts["module"], {**state, **beside}, parts.get("module_source"), permissions)
    except NotPermitted as refusal:
        why = (
            f", as it is made of {refusal}, whose code is run when it is asked; if you trust where it comes "
            "from: load_model(…, allow_code=True)"
        )
    except Damaged:
        raise
    except ModelError as refusal:
        why = f", as {refusal}"
    log.warning("autotrack: only the weights of %s are loaded%s", folder.told, why)
    alone = Weights(state)
    alone.why = why
    return alone


def _refuse_above(limit: int, size: int) -> None:
    if size > limit:
        raise NotKept(f"it has {size:,} bytes, more than model_max_bytes ({limit:,})")


def _program(data: bytes, permissions: Permissions) -> Any:
    import torch

    from .pt2 import checked

    archive = data if permissions.pickle else checked(data)
    return torch.export.load(io.BytesIO(archive)).module()


def _unpickled(data: bytes, told: str, permissions: Permissions) -> Any:
    from .pickled import refusal

    if not permissions.pickle:
        raise ModelError(refusal(told))
    import torch

    model = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    return model.eval() if isinstance(model, torch.nn.Module) else model
