"""Content-addressed files: a blob's name is the sha256 of its bytes."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .locations import make_private

_BLOCK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Blob:
    """Stored bytes: `sha256` in hex, `size` in bytes, and the file that holds them."""

    sha256: str
    size: int
    path: Path


def put(source: Path | bytes, folders: Sequence[Path]) -> Blob:
    """Copy a file, or bytes, into the first folder that takes it; when this returns it is on disk.

    Raises OSError if `source` cannot be read or no folder can be written.
    """
    problem: OSError | None = None
    for folder in folders:
        with _opened(source) as original:  # an unreadable source is no reason to try the next folder
            try:
                return _put(original, folder)
            except OSError as error:
                problem = problem or error
    raise problem or FileNotFoundError("no folder for artifacts")


def _opened(source: Path | bytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def find(sha256: str, folders: Sequence[Path]) -> Path | None:
    """The file of a blob, or None. The digest is checked for its form: it may come from outside."""
    if not _DIGEST.fullmatch(sha256):
        return None
    return next((p for folder in folders if (p := _blob_path(folder, sha256)).is_file()), None)


def _put(original: BinaryIO, folder: Path) -> Blob:
    make_private(folder)
    hidden = folder / f".{os.urandom(8).hex()}"
    digest, size = hashlib.sha256(), 0
    try:
        with hidden.open("xb") as copy:
            while block := original.read(_BLOCK):
                digest.update(block)
                copy.write(block)
                size += len(block)
            copy.flush()
            os.fsync(copy.fileno())
        final = _blob_path(folder, digest.hexdigest())
        final.parent.mkdir(exist_ok=True)
        os.replace(hidden, final)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    return Blob(digest.hexdigest(), size, final)


def _blob_path(folder: Path, sha256: str) -> Path:
    return folder / sha256[:2] / sha256
