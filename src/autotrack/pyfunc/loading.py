"""Models that are source: ours, and what MLflow wrote. None of it is run unless the caller permits it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import sys
import tempfile
import threading
import weakref
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import flavors
from ..errors import ModelError
from ..flavor import PYTHON_FUNCTION, ModelFolder, Permissions, Section
from ..mlmodel.document import OURS
from ..models import pickled

_MLFLOWS = "mlflow.pyfunc."
"""Below it are the loaders of what MLflow calls Python models; those of its other flavors are not."""
_places: dict[str, _Place] = {}
"""Copies of folders by their digest, for as long as models live that were loaded of them."""
_lock = threading.RLock()


@dataclass
class _Place:
    """A copy, and how many models that live were loaded of it."""

    folder: tempfile.TemporaryDirectory[str]
    users: int


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
    digest, root = _on_disk(folder)
    try:
        _make_importable(root / code, folder.told)
        loader = _imported(module, folder.told)
        if OURS not in folder.flavors or not hasattr(loader, "restored"):
            # who knows what its parts read later: its copy stays
            return loader._load_pyfunc(str(root / str(section.get("data") or "")))
        loaded = loader.restored(root, partial(_nested, folder, permissions=permissions))
    except BaseException:
        _leave(digest)
        raise
    with contextlib.suppress(TypeError):  # of what has no weak references the copy stays
        weakref.finalize(loaded, _leave, digest).atexit = False
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
    _, root = _on_disk(folder)
    if section.get("code"):
        _make_importable(root / str(section["code"]), folder.told)
    return importlib.import_module(module)._load_pyfunc(str(root))


def _strangers(folder: ModelFolder, module: str) -> str:
    others = [name for name in folder.flavors if name not in (OURS, PYTHON_FUNCTION)]
    if others:
        return f"{folder.told} has the flavors {', '.join(others)}, which nothing that is installed can load"
    return f"{folder.told} has the loader {module or '(none)'}, which is not among its files"


def _require_code(folder: ModelFolder, permissions: Permissions) -> None:
    if not permissions.code:
        raise ModelError(
            f"{folder.told} comes with Python source, which is run when it is loaded; if you trust where it "
            "comes from: load_model(…, allow_code=True)"
        )


# --- the files, and their modules ---------------------------------------------------------------------


def _on_disk(folder: ModelFolder) -> tuple[str, Path]:
    """Checked copies of its files, and their digest; of the same folder one copy, until all `_leave` it."""
    contents = {name: hashlib.sha256(folder.read(name)).hexdigest() for name in sorted(folder.names)}
    digest = hashlib.sha256(repr(contents).encode()).hexdigest()
    with _lock:
        place = _places.get(digest)
        if place is not None:
            place.users += 1
        if place is None or _places.get(digest) is not place:  # a collection may have come in between
            place = _Place(tempfile.TemporaryDirectory(prefix="autotrack-model-"), users=1)
            folder.copy_to(Path(place.folder.name))
            _places[digest] = place
        return digest, Path(place.folder.name)


def _leave(digest: str) -> None:
    """One user less; after the last the copy goes, and what was imported from it with it."""
    with _lock:
        place = _places[digest]
        place.users -= 1
        if place.users:
            return
        del _places[digest]
        root = Path(place.folder.name)
        sys.path[:] = [entry for entry in sys.path if not Path(entry).is_relative_to(root)]
        for name, module in [*sys.modules.items()]:
            origin = getattr(module, "__file__", None)
            if isinstance(origin, str) and Path(origin).is_relative_to(root):
                del sys.modules[name]
        place.folder.cleanup()


def _make_importable(code: Path, told: str) -> None:
    """Put a model's code among what is imported, unless other code goes by the same name already."""
    for entry in sorted(code.iterdir()):
        name = entry.stem if entry.suffix == ".py" else entry.name
        loaded = sys.modules.get(name)
        origin = getattr(loaded, "__file__", None)
        if origin and name.isidentifier() and not _is_same(Path(origin), entry):
            raise ModelError(
                f"{told} comes with a module {name}, and this process has another one from {origin}; "
                "load the model in a process of its own"
            )
    if str(code) not in sys.path:
        sys.path.insert(0, str(code))


def _is_same(origin: Path, entry: Path) -> bool:
    """Whether a loaded module has the source that a file or a package in a folder has."""
    if entry.is_file():
        return origin.read_bytes() == entry.read_bytes()
    top = origin.parent
    return all(
        (other := top / file.relative_to(entry)).is_file() and other.read_bytes() == file.read_bytes()
        for file in entry.rglob("*.py")
    )


def _imported(module: str, told: str) -> ModuleType:
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModelError(f"{told} needs {error.name}, which is not installed here") from error
