"""A model's folder as one file, a tar or a zip: unpacked where nothing of it can reach out of its place."""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from ..errors import ModelError
from .document import FILE
from .folder import ModelFolder

MOST_EXPANDED = 100
"""A file that grows more than this when it is unpacked is none of a model: weights hardly shrink."""
MOST_FILES = 100_000
MOST_HEADER = 1 << 20
"""Bytes of what a tar says of a file."""
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
    found = sorted((one for one in root.rglob(FILE) if one.is_file()), key=lambda file: len(file.parts))
    if not found:
        raise ModelError(f"{path} holds no model: there is no file {FILE} in it")
    return ModelFolder.at(found[0].parent, str(path), place)


def unpack(path: Path, root: Path) -> None:
    """Write the files of an archive below a folder. Raises `ModelError` for one that is not made of files.

    Links, devices, absolute names and such as lead out of the folder are refused, and so is what grows
    beyond all measure.
    """
    if _is_tar(path):  # asked first: at a tar's end there may be a zip, which is a model's file
        with _plain(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            _check(path, ((one.name, one.size, one.isfile() or one.isdir()) for one in archive))
            archive.extractall(root, filter="data")
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            _check(path, ((one.filename, one.file_size, _is_plain(one)) for one in archive.infolist()))
            archive.extractall(root)
    else:
        raise ModelError(f"{path} is neither a folder nor a tar or zip of one")


class _Bounded(io.RawIOBase):
    """What is read of a tar: headers of names come whole, and what is packed has no end of its own."""

    def __init__(self, file: Any, most: int) -> None:
        self._file = file
        self._most = most

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MOST_HEADER:
            raise tarfile.ReadError(f"a header of it has more than {MOST_HEADER:,} bytes")
        data: bytes = self._file.read(size)
        self._refuse_flood(self._file.tell())
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._refuse_flood(offset)
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def _refuse_flood(self, at: int) -> None:
        if at > self._most:
            raise tarfile.ReadError(f"it would grow more than {MOST_EXPANDED} times")


@contextmanager
def _plain(path: Path) -> Iterator[Any]:
    """A tar without its compression, which its first bytes tell."""
    import bz2
    import gzip

    with path.open("rb") as raw:
        start = raw.read(6)
    openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    opener = next((one for magic, one in openers.items() if start.startswith(magic)), open)
    try:
        with opener(path, "rb") as file:
            yield _Bounded(file, MOST_EXPANDED * path.stat().st_size + MOST_HEADER)
    except (zlib.error, lzma.LZMAError, RecursionError) as error:
        raise tarfile.ReadError(str(error)) from error


def _is_tar(path: Path) -> bool:
    """Whether it begins as a tar does."""
    try:
        with _plain(path) as file:
            tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), tarfile.ENCODING, "surrogateescape")
    except (tarfile.TarError, EOFError, OSError):
        return False
    return True


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
