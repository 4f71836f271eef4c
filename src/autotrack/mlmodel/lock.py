"""The lock of the project that a model is made in: what uv resolved, to the last package."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..interrupts import pass_on
from .description import Files

LOCK = "uv.lock"
PROJECT = "pyproject.toml"
MOST_BYTES = 16 << 20


def locked() -> Files:
    """`uv.lock` and its `pyproject.toml`; {} where the working directory is in no such project."""
    try:
        return _of(Path.cwd())
    except OSError as error:  # the directory may be gone
        pass_on(error)
        return {}


def _of(folder: Path) -> Files:
    for parent in (folder, *folder.parents):
        lock, project = parent / LOCK, parent / PROJECT
        if lock.is_file() and project.is_file() and lock.stat().st_size <= MOST_BYTES:
            return {file.name: _read(file, file.stat().st_mtime_ns) for file in (lock, project)}
        if (parent / ".git").exists():
            break  # what lies above is another project's
    return {}


@lru_cache(maxsize=8)
def _read(file: Path, modified: int) -> bytes:
    """A file's bytes as of the time it was modified."""
    return file.read_bytes()
