"""Files that a run is to keep: under which names, and whether one is still what it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def named(source: Path, name: str) -> Iterator[tuple[Path, str]]:
    """A file under a name; of a folder every file below it, under the name and its path inside."""
    if not source.is_dir():
        yield source, name
        return
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        yield file, f"{name}/{file.relative_to(source).as_posix()}"


def written(file: BinaryIO) -> tuple[int, int]:
    """When an open file was written last, in ns, and how many bytes it has."""
    found = os.fstat(file.fileno())
    return found.st_mtime_ns, found.st_size
