"""The Python source that comes with a model, on the import path for as long as the model lives."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import sys
import tempfile
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ModelError, OtherCode
from .folder import ModelFolder


@dataclass
class _Place:
    """A copy, and how many use it."""

    folder: tempfile.TemporaryDirectory[str]
    users: int


_places: dict[str, _Place] = {}
"""By the digest of what was copied."""
_lock = threading.RLock()


class Copied:
    """Checked copies on disk of a model's files; of the same files there is one copy for all who use it.

    root: the folder that they are in.
    """

    def __init__(self, folder: ModelFolder, below: str | None = None) -> None:
        """below: only what is in this folder of the model's. Raises `ModelError`."""
        self.told = folder.told
        names = sorted(folder.names if below is None else folder.below(below))
        contents = {name: hashlib.sha256(folder.read(name)).hexdigest() for name in names}
        self._digest = digest = hashlib.sha256(repr(contents).encode()).hexdigest()
        with _lock:
            place = _places.get(digest)
            if place is not None:
                place.users += 1
            if place is None or _places.get(digest) is not place:  # a collection may have come in between
                place = _Place(tempfile.TemporaryDirectory(prefix="autotrack-model-"), users=1)
                folder.copy_to(Path(place.folder.name), names)
                _places[digest] = place
            self.root = Path(place.folder.name)

    def make_importable(self, code: str) -> None:
        """Put a folder of it among what is imported. Raises `OtherCode`."""
        folder = self.root / code
        for entry in sorted(folder.iterdir()):
            name = entry.stem if entry.suffix == ".py" else entry.name
            origin = getattr(sys.modules.get(name), "__file__", None)
            if origin and name.isidentifier() and not _is_same(Path(origin), entry):
                raise OtherCode(
                    f"{self.told} comes with a module {name}, and this process has another one from "
                    f"{origin}; load the model in a process of its own"
                )
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        importlib.invalidate_caches()

    def imported(self, module: str) -> ModuleType:
        """Raises `ModelError` for one that needs what is not installed."""
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise ModelError(f"{self.told} needs {error.name}, which is not installed here") from error

    def live_with(self, model: Any) -> None:
        """Go when the model goes; of what has no weak references the copy stays."""
        with contextlib.suppress(TypeError):
            weakref.finalize(model, self.leave).atexit = False

    def leave(self) -> None:
        """One user less; after the last the copy goes, and what was imported from it with it."""
        with _lock:
            place = _places[self._digest]
            place.users -= 1
            if place.users:
                return
            del _places[self._digest]
            sys.path[:] = [entry for entry in sys.path if not Path(entry).is_relative_to(self.root)]
            for name, module in [*sys.modules.items()]:
                origin = getattr(module, "__file__", None)
                if isinstance(origin, str) and Path(origin).is_relative_to(self.root):
                    del sys.modules[name]
            place.folder.cleanup()


def _is_same(origin: Path, entry: Path) -> bool:
    """Whether a loaded module has the source that a file or a package in a folder has."""
    if entry.is_file():
        return origin.read_bytes() == entry.read_bytes()
    top = origin.parent
    return all(
        (other := top / file.relative_to(entry)).is_file() and other.read_bytes() == file.read_bytes()
        for file in entry.rglob("*.py")
    )
