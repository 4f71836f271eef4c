"""Content-addressed files: a blob's name is the sha256 of its bytes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .interrupts import pass_on
from .locations import make_private

_BLOCK = 1 << 20
_ROOM = 2
"""Times its size that must be free before a file is moved: training writes there too."""
AT_ONCE = 64 << 20
"""Bytes that are moved before whoever waits goes on; a larger file is moved alone."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHELF = re.compile(r"[0-9a-f]{2}")
UPLOADS = "uploads"
"""The folder, inside one of blobs, of what a server has not wholly got."""
_HALF_WRITTEN = re.compile(r"\.[0-9a-f]{16}")


@dataclass(frozen=True)
class Blob:
    """Stored bytes: `sha256` in hex, `size` in bytes, and the file that holds them."""

    sha256: str
    size: int
    path: Path


@dataclass(frozen=True)
class Stored:
    """A file as it lies in a folder of blobs; `sha256` is "" for what was left half-written."""

    shelf: str
    name: str
    size: int
    modified: float

    @property
    def sha256(self) -> str:
        return self.name if _DIGEST.fullmatch(self.name) and self.shelf != UPLOADS else ""


def put(source: Path | bytes, folders: Sequence[Path]) -> Blob:
    """Copy a file, or bytes, into the first folder that takes it; when this returns it is on disk.

    Bytes that are there already are not written again.
    Raises OSError if `source` cannot be read or no folder can be written.
    """
    problem: OSError | None = None
    for folder in folders:
        with _opened(source) as original:  # an unreadable source is no reason to try the next folder
            try:
                known = _known(source, folder) if isinstance(source, bytes) else None
                return known or _put(original, folder)
            except OSError as error:
                pass_on(error)
                problem = problem or error
    raise problem or FileNotFoundError("no folder for artifacts")


def _opened(source: Path | bytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def adopt(file: Path, sha256: str, folder: Path) -> Blob:
    """Make a file in the same file system the blob it is, by a digest that was checked. Raises OSError."""
    with file.open("rb+") as written:
        os.fsync(written.fileno())
    final = _blob_path(folder, sha256)
    final.parent.mkdir(exist_ok=True)
    os.utime(file)
    os.replace(file, final)
    return Blob(sha256, final.stat().st_size, final)


def bring(source: Path, target: Path) -> None:
    """Move the blobs of a folder that took them in another's place, as far as there is room by now.

    One that is not what its name says stays; after `AT_ONCE` bytes the rest waits for the next call. Raises
    OSError where `target` cannot be written; what has not been moved is where it was.
    """
    brought = 0
    for file in stored(source):
        if brought and brought + file.size > AT_ONCE:
            return
        if file.sha256 and file not in _rotten and shutil.disk_usage(target.parent).free > _ROOM * file.size:
            with contextlib.suppress(FileNotFoundError):  # another process brings it
                _bring_one(source, file, target)
                brought += file.size


_rotten: set[Stored] = set()
"""Files that were seen not to be what their names say."""


def _bring_one(source: Path, file: Stored, target: Path) -> None:
    began, is_new = time.time(), not _blob_path(target, file.sha256).exists()
    path = _blob_path(source, file.sha256)
    with path.open("rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != file.sha256:
            _rotten.add(file)
            return
    blob = put(path, [target])
    if is_new:  # by its age it is known whether anybody may still be about to tell of it
        os.utime(blob.path, (file.modified, file.modified))
    remove(source, file, began)


def find(sha256: str, folders: Sequence[Path]) -> Path | None:
    """The file of a blob, or None. The digest is checked for its form: it may come from outside."""
    if not _DIGEST.fullmatch(sha256):
        return None
    return next((p for folder in folders if (p := _blob_path(folder, sha256)).is_file()), None)


def is_digest(text: str) -> bool:
    """Whether it is a sha256 in hex: what comes from outside is no path before that is known."""
    return _DIGEST.fullmatch(text) is not None


def stored(folder: Path) -> Iterator[Stored]:
    """Every blob in a folder, and what was left half-written: no other file, and nothing behind a link.

    Raises OSError where a folder cannot be read; there being none is well.
    """
    if not folder.is_dir():
        return
    with _opened_folder(folder) as root:
        yield from _on_shelf(root, "")
        with os.scandir(root) as entries:
            shelves = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
        for shelf in sorted(name for name in shelves if _SHELF.fullmatch(name) or name == UPLOADS):
            with _opened_folder(shelf, root) as fd:
                yield from _on_shelf(fd, shelf)


def remove(folder: Path, file: Stored, before: float) -> bool:
    """Delete a stored file; False if it is gone, or was written again after `before` (unix seconds).

    It is put aside, looked at once more, and only then deleted: a training process may put the same
    bytes there at any moment.
    """
    with contextlib.ExitStack() as stack:
        fd = stack.enter_context(_opened_folder(folder))
        if file.shelf:
            fd = stack.enter_context(_opened_folder(file.shelf, fd))
        aside = _half_written_name()
        try:
            os.rename(file.name, aside, src_dir_fd=fd, dst_dir_fd=fd)
        except FileNotFoundError:
            return False
        if os.stat(aside, dir_fd=fd, follow_symlinks=False).st_mtime > before:
            os.rename(aside, file.name, src_dir_fd=fd, dst_dir_fd=fd)
            return False
        os.unlink(aside, dir_fd=fd)
    return True


@contextlib.contextmanager
def _opened_folder(path: Path | str, parent: int | None = None) -> Iterator[int]:
    """A descriptor of a folder; below `parent` it must be no link. Raises OSError."""
    follow = 0 if parent is None else os.O_NOFOLLOW
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | follow, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


def _on_shelf(fd: int, shelf: str) -> Iterator[Stored]:
    with os.scandir(fd) as entries:
        for entry in entries:
            is_blob = shelf == UPLOADS or (shelf and entry.name.startswith(shelf))
            name = _DIGEST if is_blob else _HALF_WRITTEN
            if name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    yield Stored(shelf, entry.name, found.st_size, found.st_mtime)


def _half_written_name() -> str:
    return f".{os.urandom(8).hex()}"


def _known(data: bytes, folder: Path) -> Blob | None:
    """The blob of these bytes, if the folder has it: as good as written now, to whoever clears up by age."""
    path = _blob_path(folder, hashlib.sha256(data).hexdigest())
    try:
        os.utime(path)
        return Blob(path.name, len(data), path) if path.stat().st_size == len(data) else None
    except FileNotFoundError:
        return None


def _put(original: BinaryIO, folder: Path) -> Blob:
    make_private(folder)
    hidden = folder / _half_written_name()
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
