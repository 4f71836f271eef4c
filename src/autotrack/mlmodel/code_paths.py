"""Source that whoever keeps a model adds to it: copied to the folder `code`, from where it is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import ModelError
from ..interrupts import pass_on
from .description import Files

FOLDER = "code"
SOURCE = "data/source.json"
"""Tells where the classes and functions of a library's model are found in the source that comes with it."""
MOST_BYTES = 64 << 20
"""Of all together: it is code, and data does not belong there."""


def collected(paths: Sequence[str | os.PathLike[str]]) -> Files:
    """The files of these files and folders. Raises `ModelError`, also for a link that leads out of them."""
    found: dict[str, bytes] = {}
    size = 0
    for path in map(Path, paths):
        for name, file in _files(path):
            if name in found:
                raise ModelError(f"code_paths has {name} twice; {path} needs another name")
            try:
                size += file.stat().st_size
                if size > MOST_BYTES:
                    raise ModelError(f"code_paths has more than {MOST_BYTES:,} bytes at {file}")
                found[name] = file.read_bytes()
            except OSError as error:
                pass_on(error)
                raise ModelError(f"{file} of code_paths cannot be read: {error}") from error
    return {f"{FOLDER}/{name}": data for name, data in found.items()}


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """The names that they will have, and where they lie."""
    root = Path(os.path.realpath(path))  # `resolve` raises for a loop of links
    if root.is_file():
        yield path.name, root
    elif not root.is_dir():
        raise ModelError(f"there is no {path}, which code_paths names")
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(folder for folder in folders if folder != "__pycache__")
        for name in sorted([*names, *(folder for folder in folders if Path(parent, folder).is_symlink())]):
            file = Path(parent, name)
            if not Path(os.path.realpath(file)).is_relative_to(root):
                raise ModelError(f"{file} leads out of {path}, which code_paths names")
            if file.is_file():
                yield f"{root.name}/{file.relative_to(root).as_posix()}", file
