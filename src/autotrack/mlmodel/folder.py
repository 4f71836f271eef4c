"""A model's files, wherever they lie, as a flavor reads them: each is what was recorded, or an error."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from . import document
from .document import OURS, Section

if TYPE_CHECKING:
    from io import BufferedReader


@dataclass(frozen=True, slots=True)
class ModelFile:
    """Where a file lies, and the sha256 that was recorded of it, if one was."""

    path: Path
    sha256: str | None = None


class ModelFolder:
    """The files of one model by their names below it; `told` is what errors call the model."""

    def __init__(self, files: Mapping[str, ModelFile], told: str, place: Any = None) -> None:
        """`place` is kept as long as this is: the files may be gone with it."""
        self._files = files
        self.told = told
        self._place = place
        self._checked: set[Path] = set()

    @classmethod
    def at(cls, path: Path, told: str = "", place: Any = None) -> ModelFolder:
        """What lies in a folder; a link is followed only to what lies there too. Raises `ModelError`."""
        told = told or str(path)
        root = path.resolve()
        if not (root / document.FILE).is_file():
            raise ModelError(f"{told} is no model: it has no file {document.FILE}")
        files = {}
        for parent, _, names in os.walk(root):
            for name in names:
                file = Path(parent, name)
                if not Path(os.path.realpath(file)).is_relative_to(root):  # `resolve` raises for loops
                    raise ModelError(f"{file} leads out of the model's folder")
                if not file.is_file():
                    raise ModelError(f"{file} is no file, nor a link to one: a model has no other; remove it")
                files[file.relative_to(root).as_posix()] = ModelFile(file)
        bare = cls(files, told)
        recorded = _recorded(bare.section(OURS))
        if missing := sorted(recorded.keys() - files.keys()):
            raise ModelError(f"{told} lacks {', '.join(missing)}, which {document.FILE} names")
        checked = {name: ModelFile(file.path, recorded.get(name)) for name, file in files.items()}
        folder = cls(checked, told, place)
        if document.FILE not in recorded:  # else it is read again, and checked
            folder.document = bare.document
        return folder

    @property
    def names(self) -> list[str]:
        """Of all files."""
        return list(self._files)

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """What its `MLmodel` file says; {} for a model that has none. Raises `ModelError`."""
        return document.parse(self.read(document.FILE)) if document.FILE in self._files else {}

    @property
    def flavors(self) -> Mapping[str, Section]:
        """The sections of its `MLmodel` file, by flavor."""
        found: Mapping[str, Section] = self.document.get("flavors", {})
        return found

    def section(self, flavor: str) -> Section:
        """What its `MLmodel` file says of a flavor; {} if it has none such."""
        return self.flavors.get(flavor, {})

    def read(self, name: str) -> bytes:
        """A file's bytes, as they were recorded. Raises `ModelError`."""
        file = self._file(name)
        with self._opened(name) as opened:
            data = opened.read()
        if file.sha256:
            self._check(name, hashlib.sha256(data).hexdigest())
        return data

    def check_unread(self) -> None:
        """That each file that nobody has read yet is what was recorded, too. Raises `ModelError`."""
        for name, file in self._files.items():
            if file.sha256 and file.path not in self._checked:
                with self._opened(name) as opened:
                    self._check(name, hashlib.file_digest(opened, "sha256").hexdigest())

    @contextmanager
    def _opened(self, name: str) -> Iterator[BufferedReader]:
        try:
            with self._file(name).path.open("rb") as opened:
                yield opened
        except OSError as error:
            raise ModelError(f"{name} of {self.told} is not to be had: {error}") from error

    def _check(self, name: str, sha256: str) -> None:
        if sha256 != self._file(name).sha256:
            raise ModelError(f"{name} of {self.told} is not what was recorded: its sha256 differs")
        self._checked.add(self._file(name).path)

    def below(self, name: str) -> list[str]:
        """The names of a file, or of all files in a folder of that name."""
        return [known for known in self._files if known == name or known.startswith(f"{name.rstrip('/')}/")]

    def inside(self, name: str) -> ModelFolder:
        """The folder of that name, a model's own."""
        prefix = f"{name}/"
        files = {known.removeprefix(prefix): self._files[known] for known in self.below(prefix)}
        inner = ModelFolder(files, f"{self.told}/{name}")
        inner._checked = self._checked
        return inner

    @contextmanager
    def on_disk(self, *names: str) -> Iterator[Path]:
        """A folder with the files below these names, or with all: for libraries that read paths.

        It is a copy of checked bytes, and gone afterwards.
        """
        with tempfile.TemporaryDirectory(prefix="autotrack-model-") as root:
            wanted = [known for name in names for known in self.below(name)] if names else self.names
            self.copy_to(Path(root), wanted)
            yield Path(root)

    def copy_to(self, root: Path, names: list[str] | None = None) -> None:
        """Write checked copies of files below a folder that exists. Raises `ModelError`, OSError."""
        for name in self.names if names is None else names:
            check_name(name)
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.read(name))

    def _file(self, name: str) -> ModelFile:
        if name not in self._files:
            raise ModelError(f"{self.told} has no file {name!r}; it has {', '.join(sorted(self._files))}")
        return self._files[name]


def _recorded(section: Section) -> Mapping[str, str]:
    """The sha256 of each file of which our section tells. Raises `ModelError`."""
    told = section.get("files", {})  # a mapping of mappings: `document.parse` saw to that
    for name, facts in told.items():
        if "sha256" not in facts:
            raise ModelError(f"{document.FILE}: flavors.{OURS}.files has no sha256 of {name!r}")
    return {name: facts["sha256"] for name, facts in told.items()}


def check_name(name: str) -> None:
    """Refuse a name that leads out of the folder it is below. Raises `ModelError`."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise ModelError(f"a model's file cannot be named {name!r}")
