"""Models that are source: ours, and what MLflow wrote. None of it is run unless the caller permits it."""

from __future__ import annotations

import importlib
import importlib.util
from functools import partial
from typing import Any

from .. import flavors
from ..errors import ModelError
from ..flavor import PYTHON_FUNCTION, ModelFolder, Permissions, Section
from ..mlmodel.document import OURS
from ..mlmodel.importing import NEEDS_PERMISSION, Copied
from ..models import pickled

_MLFLOWS = "mlflow.pyfunc."
"""Below it are the loaders of what MLflow calls Python models; those of its other flavors are not."""


def load(folder: ModelFolder, section: Section, permissions: Permissions) -> Any:
    """See `Flavor.load`."""
    module = str(section.get("loader_module", ""))
    if module.startswith(_MLFLOWS):
        return _mlflows(folder, section, permissions)
    code = str(section.get("code") or "")
    source = f"{code}/{module.replace('.', '/')}"
    if not code or not {f"{source}.py", f"{source}/__init__.py"}.intersection(folder.names):
        raise ModelError(_strangers(folder, module))
    _require_code(folder, permissions)
    with Copied(folder) as copied:
        copied.make_importable(code)
        loader = copied.imported(module)
        if OURS not in folder.flavors or not hasattr(loader, "restored"):
            # who knows what its parts read later: its copy stays
            return loader._load_pyfunc(str(copied.root / str(section.get("data") or "")))
        loaded = loader.restored(copied.root, partial(_nested, folder, permissions=permissions))
    copied.live_with(loaded)
    return loaded


def _nested(folder: ModelFolder, path: str, permissions: Permissions) -> Any:
    """A model of a library within the model: by its flavor, and so by what that takes for safe."""
    inner = folder.inside(path)
    flavor = flavors.flavor_in(inner.flavors, inner.told)
    return flavor.load(inner, inner.section(flavor.name), permissions)


def _mlflows(folder: ModelFolder, section: Section, permissions: Permissions) -> Any:
    module = str(section["loader_module"])
    if "model_code_path" in section:
        _require_code(folder, permissions)
    elif not permissions.pickle:
        raise ModelError(pickled.refusal(folder.told))
    if importlib.util.find_spec("mlflow") is None:
        raise ModelError(f"{folder.told} was written by MLflow's pyfunc, which it needs: pip install mlflow")
    with Copied(folder) as copied:  # which stays: who knows what is read later
        if section.get("code"):
            copied.make_importable(str(section["code"]))
        settings = [section["config"]] if section.get("config") else []  # loaders without any take no second
        return importlib.import_module(module)._load_pyfunc(str(copied.root), *settings)


def _strangers(folder: ModelFolder, module: str) -> str:
    others = [name for name in folder.flavors if name not in (OURS, PYTHON_FUNCTION)]
    if others:
        return f"{folder.told} has the flavors {', '.join(others)}, which nothing that is installed can load"
    return f"{folder.told} has the loader {module or '(none)'}, which is not among its files"


def _require_code(folder: ModelFolder, permissions: Permissions) -> None:
    if not permissions.code:
        raise ModelError(f"{folder.told} {NEEDS_PERMISSION}")
