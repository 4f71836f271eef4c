"""The Python source that comes with a model, on the import path for as long as the model lives."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from ..errors import ModelError, OtherCode
from ..interrupts import pass_on
from .folder import ModelFolder

NEEDS_PERMISSION = (
    "comes with Python source, which is run when it is loaded; if you trust where it comes from: "
    "load_model(…, allow_code=True)"
)
"""What is said of a model whose source the caller has not allowed."""


class _Place:
    """A copy, and how many use it. code: the folders of it from which is imported."""

    def __init__(self, folder: ModelFolder, names: list[str]) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="autotrack-model-"))
        self._identity = _identity(self.root)
        self.remove = weakref.finalize(self, _removed, self.root, self._identity, os.getpid())
        self.users = 1
        self.code: set[Path] = set()
        try:
            folder.copy_to(self.root, names)
        except BaseException:
            self.remove()
            raise

    def renew(self, folder: ModelFolder, names: list[str]) -> bool:
        """Copy again what is gone: temporary folders are emptied of what is old, whoever still lives by it.

        False where the folder itself is gone, whose name may be anybody's by now.
        """
        if _identity(self.root) != self._identity:
            return False
        folder.copy_to(self.root, [name for name in names if not (self.root / name).is_file()])
        return True


def _identity(root: Path) -> tuple[int, int, int] | None:
    """The owner too: numbers of files are given again."""
    try:
        found = os.lstat(root)
    except OSError as error:
        pass_on(error)
        return None
    return found.st_dev, found.st_ino, found.st_uid


def _removed(root: Path, identity: tuple[int, int, int] | None, process: int) -> None:
    if os.getpid() == process and _identity(root) == identity:  # a forked child's parent may still need it
        shutil.rmtree(root, ignore_errors=True)


_places: dict[str, _Place] = {}
"""By the digest of what was copied."""
_lock = threading.RLock()


class Copied:
    """Checked copies on disk of a model's files; of the same files there is one copy for all who use it.

    As a context manager it leaves again if the block fails. root: the folder that the files are in.
    """

    def __init__(self, folder: ModelFolder, below: str | None = None) -> None:
        """below: only what is in this folder of the model's. Raises `ModelError`."""
        self.told = folder.told
        names = sorted(folder.names if below is None else folder.below(below))
        contents = {name: hashlib.sha256(folder.read(name)).hexdigest() for name in names}
        digest = hashlib.sha256(repr(contents).encode()).hexdigest()
        with _lock:
            place = _renewed(_places.get(digest), folder, names)
            if place is not None:
                place.users += 1
            if place is None or _places.get(digest) is not place:  # a collection may have come in between
                place = _places[digest] = _Place(folder, names)
        self.root = place.root
        self._place = place
        self._used = {place}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            self.leave()

    def make_importable(self, code: str) -> None:
        """Put a folder of it among what is imported. Raises `OtherCode`."""
        folder = self.root / code
        with _lock:
            for entry in sorted(folder.iterdir()):
                name = entry.stem if entry.suffix == ".py" else entry.name
                if name.isidentifier():
                    self._check(name, entry)
            self._place.code.add(folder)
            if str(folder) not in sys.path:
                sys.path.insert(0, str(folder))
        importlib.invalidate_caches()

    def _check(self, name: str, entry: Path) -> None:
        """That the name leads to just this source; what another model has of it stays as long as this."""
        if name in sys.modules:
            origins = _sources(sys.modules[name])
            if not origins or not all(_is_same(origin, entry) for origin in origins):
                raise self._other(name, *origins)
        for place in list(_places.values()):
            others = [other for code in place.code for other in _entries(code, name)]
            for other in others:
                if not _is_same(other, entry):
                    raise self._other(name, other)
            if others and place not in self._used:
                place.users += 1
                self._used.add(place)

    def _other(self, name: str, *origins: Path) -> OtherCode:
        place = f" from {origins[0]}" if origins else ""
        return OtherCode(
            f"{self.told} comes with a module {name}, and this process has another one{place}; "
            "load the model in a process of its own"
        )

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
            for place in self._used:
                place.users -= 1
                if not place.users:
                    _abandon(place)
                    place.remove()
            self._used = set()


def _renewed(place: _Place | None, folder: ModelFolder, names: list[str]) -> _Place | None:
    """A copy that has each file again. One that could not be made whole is for nobody else."""
    is_whole = False
    try:
        is_whole = place is not None and place.renew(folder, names)
    finally:
        if place is not None and not is_whole:
            _abandon(place)
    return place if is_whole else None


def _abandon(place: _Place) -> None:
    """No other model uses it from now on; what is imported of it is imported anew."""
    for digest in [digest for digest, known in _places.items() if known is place]:
        del _places[digest]
    _forget(place.root)


def _forget(root: Path) -> None:
    """What was imported from below, and that it can be."""
    gone = [
        name
        for name, module in sys.modules.copy().items()
        if any(source.is_relative_to(root) for source in _sources(module))
    ]
    for name in gone:
        sys.modules.pop(name, None)
    sys.path[:] = [entry for entry in sys.path if not Path(entry).is_relative_to(root)]


def _sources(module: Any) -> list[Path]:
    """A module's file, or the folders of a package, which may have no file; [] of what is built in."""
    told = getattr(module, "__dict__", {})  # a lazy module's own `__getattr__` might import
    file = told.get("__file__")
    if "__path__" in told:
        try:
            return [Path(folder) for folder in told["__path__"]]
        except Exception as error:  # noqa: BLE001  a stranger's object
            pass_on(error)
    return [Path(file)] if isinstance(file, str) else []


def _entries(code: Path, name: str) -> Iterator[Path]:
    """What an import of the name would find in a folder."""
    return (entry for entry in (code / name, code / f"{name}.py") if entry.exists())


def _is_same(origin: Path, entry: Path) -> bool:
    """Whether there is, at the origin, each file that a module or package has here."""
    if entry.is_file() or not origin.is_dir():
        return entry.is_file() and origin.is_file() and origin.read_bytes() == entry.read_bytes()
    files = [file for file in entry.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    return all(
        (other := origin / file.relative_to(entry)).is_file() and other.read_bytes() == file.read_bytes()
        for file in files
    )
