"""A model's folder as one file, a tar or a zip: unpacked where nothing of it can reach out of its place."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from ..errors import ModelError
from .document import FILE
from .folder import ModelFolder

MOST_EXPANDED = 100
"""A file that grows more than this when it is unpacked is none of a model: weights hardly shrink."""
MOST_FILES = 100_000
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)
_UNSUPPORTED = (NotImplementedError, RuntimeError, ValueError)
"""What Python raises for zips with a password or of another's making, and for names no system has."""


def opened(path: Path) -> ModelFolder:
    """The model in an archive; what is unpacked is gone with the folder. Raises `ModelError`."""
    place = TemporaryDirectory(prefix="autotrack-model-")
    root = Path(place.name)
    try:
        unpack(path, root)
    except (*_DAMAGED, *_UNSUPPORTED) as error:
        raise ModelError(f"{path} cannot be unpacked: {error}") from error
    found = sorted(root.rglob(FILE), key=lambda file: len(file.parts))
    if not found:
        raise ModelError(f"{path} holds no model: there is no file {FILE} in it")
    return ModelFolder.at(found[0].parent, str(path), place)


def unpack(path: Path, root: Path) -> None:
    """Write the files of an archive below a folder. Raises `ModelError` for one that is not made of files.

    Links, devices, absolute names and such as lead out of the folder are refused, and so is what grows
    beyond all measure.
    """
    if tarfile.is_tarfile(path):  # asked first: at a tar's end there may be a zip, which is a model's file
        with tarfile.open(path) as archive:
            _check(path, ((one.name, one.size, one.isfile() or one.isdir()) for one in archive))
            archive.extractall(root, filter="data")
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            _check(path, ((one.filename, one.file_size, _is_plain(one)) for one in archive.infolist()))
            archive.extractall(root)
    else:
        raise ModelError(f"{path} is neither a folder nor a tar or zip of one")


def _check(path: Path, entries: Iterator[tuple[str, int, bool]]) -> None:
    """Each entry by its name, its bytes, and whether it is a file or folder."""
    most, whole, count = MOST_EXPANDED * path.stat().st_size, 0, 0
    for name, size, is_plain in entries:
        parts = PurePosixPath(name.replace("\\", "/"))
        if not is_plain or parts.is_absolute() or ".." in parts.parts:
            raise ModelError(f"{path} holds {name!r}, which is no file of a folder; nothing was unpacked")
        whole, count = whole + size, count + 1
        if whole > most or count > MOST_FILES:
            raise ModelError(f"{path} would grow more than {MOST_EXPANDED} times, or has too many files")


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    """A zip that comes from Unix tells what kind a file was; links and devices are others than these."""
    kind = entry.external_attr >> 28
    return kind in (0, 0o10, 0o4)
