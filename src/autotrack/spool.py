"""The spool: the write-ahead log between a training process and whoever consumes it.

A spool is a folder. Each writer appends frames to segment files of its own, ``<writer>-<n>.otlp``::

    frame = length (4 bytes, little endian) | crc32 of the payload (4 bytes) | payload

The payload is one serialized OTLP ``ResourceSpans``. A writer holds an flock on its newest segment
for as long as it lives, so "is that process gone?" is a question to the lock, right across
containers and reused process ids. A consumer remembers how far it got in ``<segment>.<consumer>``
and deletes a segment that it has read to the end and that no writer holds.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import struct
import time
import weakref
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .interrupts import pass_on
from .locations import make_private

log = logging.getLogger("autotrack")

SEGMENT_BYTES = 4 << 20
_HEADER = struct.Struct("<II")
_CURSOR = struct.Struct("<QI")  # offset, crc32 of it
_AHEAD = 64 << 10
_SUFFIX = ".otlp"
_REJECTED = "rejected"
_FIRST = b"\x0a"
"""The first byte of a payload: a `ResourceSpans` begins with its resource."""
_LOOK_EVERY = 0.02
"""Seconds between two tries to have a lock."""
_MOST_TRIED = 64
"""How often as much as there is may be read in the search for a frame behind damage."""


class SpoolWriter:
    """Appends frames for one writer; not thread-safe (its exporter is called by one thread at a time)."""

    def __init__(self, folder: Path, writer: str) -> None:
        self._folder = folder
        self._writer = writer
        self._number = 0
        self._fd: int | None = None
        self._file: tuple[int, int] | None = None  # which one that was opened as
        self._size = 0
        self._deleted = 0
        if hasattr(os, "register_at_fork"):
            # A child's copy of the descriptor would keep the lock after this process is gone.
            close = weakref.WeakMethod(self.close)
            os.register_at_fork(after_in_child=lambda: (method := close()) and method())

    def append(self, payload: bytes) -> None:
        """Write one frame. Raises OSError, and then nothing of the frame is left in the file."""
        frame = _HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        if self._size >= SEGMENT_BYTES or not self._is_whole():
            self._roll()
        try:
            self._write(frame)
        except OSError as error:
            if error.errno != errno.EFBIG or not self._size:
                raise
            self._roll()  # no file may be as large here (`ulimit -f`)
            self._write(frame)

    def take_deleted(self) -> int:
        """Bytes that somebody deleted since the last call; whether they had been read is not known."""
        deleted, self._deleted = self._deleted, 0
        return deleted

    def _is_whole(self) -> bool:
        """Whether the segment is open, and what was written to it is there."""
        if self._fd is None:
            return False
        found = _stat(self._fd)
        if found is None or (found.st_dev, found.st_ino) != self._file:
            self._fd = None  # the program has closed it, and may have given its number to a file of its own
            return False
        # No reader deletes what a writer holds.
        if found.st_nlink and found.st_size >= self._size:
            return True
        self._deleted += self._size
        self._size = SEGMENT_BYTES  # nothing more goes there, whatever becomes of the next one
        return False

    def _write(self, frame: bytes) -> None:
        assert self._fd is not None
        try:
            write_all(self._fd, frame)
        except BaseException:
            self._take_back()
            raise
        self._size += len(frame)

    def _take_back(self) -> None:
        """Cut off what a failed write left; where that fails too, go on in a new segment."""
        assert self._fd is not None
        try:
            os.ftruncate(self._fd, self._size)
        except BaseException as error:
            self.close()
            if not isinstance(error, OSError):
                raise  # a signal's
            pass_on(error)

    def close(self) -> None:
        """Let go of the newest segment: this writer is gone."""
        fd, self._fd = self._fd, None
        if fd is not None and (found := _stat(fd)) and (found.st_dev, found.st_ino) == self._file:
            os.close(fd)

    def _roll(self) -> None:
        """Start the next segment, locked before anyone can see it under its final name."""
        make_private(self._folder)
        name = f"{self._writer}-{self._number:06d}{_SUFFIX}"
        hidden = self._folder / f".{name}"
        if (self._folder / name).exists():
            raise FileExistsError(errno.EEXIST, "another writer has this one's name", name)
        fd = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(hidden, self._folder / name)
            opened = os.fstat(fd)  # on some file systems a name's number is its own
        except BaseException:
            os.close(fd)
            hidden.unlink(missing_ok=True)
            raise
        self.close()  # only now: there is always one locked segment while the writer lives
        self._fd, self._size, self._number = fd, 0, self._number + 1
        self._file = opened.st_dev, opened.st_ino


def _stat(fd: int) -> os.stat_result | None:
    """None where it is open no more."""
    try:
        return os.fstat(fd)
    except OSError as error:
        pass_on(error)
        return None


def write_all(fd: int, data: bytes) -> None:
    """`os.write` may take less than it is given."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


@dataclass(frozen=True)
class Batch:
    """Whole frames of one segment, and the offset behind the last of them; `is_last`: there were no more."""

    segment: Path
    payloads: list[bytes]
    end: int
    is_last: bool


@dataclass(frozen=True)
class Backlog:
    """What a spool still holds for a consumer: `bytes` not yet read, in `segments` files."""

    segments: int
    bytes: int
    rejected: int


_lock_fds: dict[int, os.stat_result] = {}
"""Of the locks that this process's readers have, or wait for, and what they were opened as."""


def _let_go_of_locks() -> None:
    """In a forked child: its copies would keep the locks after the parent is gone."""
    while _lock_fds:
        fd, opened = _lock_fds.popitem()
        if _is_still(fd, opened):
            os.close(fd)


def _is_still(fd: int, opened: os.stat_result) -> bool:
    """False where the program has closed it, and may have given its number to a file of its own."""
    found = _stat(fd)
    return found is not None and os.path.samestat(found, opened)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_of_locks)


class SpoolReader:
    """Reads a spool for one consumer (a name); one reader of a name at a time, see `lock`."""

    def __init__(self, folder: Path, consumer: str, tell: Callable[[str], object] | None = None) -> None:
        self.folder = folder
        self.live: set[str] = set()  # writers that lived when `batches` came to their segments
        self._consumer = consumer
        self._tell = tell or _log  # what a person should know, in a line
        self._left: set[Path] = set()

    @contextlib.contextmanager
    def lock(self, patience: float | None = None) -> Iterator[None]:
        """Waits until no other process reads for this consumer. Raises OSError if it cannot be had.

        patience: seconds, after which it is BlockingIOError where another still has it.
        """
        file = self.folder / f"{self._consumer}.lock"
        fd = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        process, opened = os.getpid(), os.fstat(fd)
        _lock_fds[fd] = opened
        try:
            _lock(fd, patience)
            yield
        finally:
            if os.getpid() == process:
                _lock_fds.pop(fd, None)
                if _is_still(fd, opened):
                    fcntl.flock(fd, fcntl.LOCK_UN)  # a child amid fork and exec has a copy
                    os.close(fd)

    def segments(self) -> list[Path]:
        """Every segment file, a writer's in the order it wrote them."""
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [self.folder / name for name in sorted(names) if name.endswith(_SUFFIX) and name[0] != "."]

    def batches(self, limit: int = 8 << 20, meanwhile: bool = True) -> Iterator[Batch]:
        """Unread frames, at most about `limit` bytes at a time; call `done` after each.

        meanwhile: also those of segments that come while it is read.

        What is no frame (a torn tail of a writer that is gone, bytes that rotted) is moved to the
        folder ``rejected/``; a live writer's unfinished tail is left for the next time.
        """
        self.live.clear()
        seen: set[Path] = set()
        while new := [segment for segment in self.segments() if segment not in seen]:  # writers roll on
            for segment in new:
                try:
                    yield from self._batches(segment, limit)
                except OSError as error:
                    pass_on(error)
                    self._tell(f"{segment} is not read: {error.strerror or error}")
            if not meanwhile:
                return
            seen.update(new)

    def _batches(self, segment: Path, limit: int) -> Iterator[Batch]:
        # Asked before reading: of a writer that is gone by now, what follows is all there is.
        is_held = _is_held(segment)
        if is_held:
            self.live.add(_writer_of(segment))
        is_sure = False  # that the cursor stands between two frames
        while True:
            while batch := self._read(segment, limit):
                is_sure = True
                yield batch
                if segment in self._left:
                    self._left.discard(segment)
                    return
                if is_held and batch.is_last:
                    return  # what it has written meanwhile is for the next time
            if is_held:
                return
            if not self._passed_damage(segment, is_sure):
                return self._delete(segment)
            is_sure = True

    def leave(self, batch: Batch) -> None:
        """Go on with the next segment: this one is for another time."""
        self._left.add(batch.segment)

    def done(self, batch: Batch, payloads: int | None = None) -> None:
        """The batch, or its first `payloads`, is safe elsewhere: never read it again."""
        rest = [] if payloads is None else batch.payloads[payloads:]
        left = sum(len(payload) + _HEADER.size for payload in rest)
        self._save_offset(batch.segment, batch.end - left)

    def backlog(self, of_the_living: bool = True) -> Backlog:
        """How much is waiting here; of writers that are gone alone, if not `of_the_living`."""
        segments = [s for s in self.segments() if of_the_living or not _is_held(s)]
        begun = {cursor.name for cursor in self.folder.glob(f"*.{self._consumer}")}  # few have one to ask for
        pending = [
            _pending(_size(s), self._offset(s) if self._cursor(s).name in begun else 0) for s in segments
        ]
        waiting = [n for n in pending if n]
        rejected = self.folder / _REJECTED
        return Backlog(len(waiting), sum(waiting), len(list(rejected.iterdir())) if rejected.is_dir() else 0)

    def reject(self, segment: Path, data: bytes) -> Path:
        """Keep bytes that cannot be consumed, for `autotrack doctor` to show; the file that has them."""
        folder = self.folder / _REJECTED
        folder.mkdir(exist_ok=True)
        file = folder / f"{segment.stem}-{zlib.crc32(data):08x}"
        file.write_bytes(data)
        return file

    def _read(self, segment: Path, limit: int) -> Batch | None:
        offset = self._offset(segment)
        payloads = []
        taken, payload = 0, None
        with _opened(segment, os.O_RDONLY) as fd:
            read = _reading(fd, offset)
            while taken < limit and (payload := _read_frame(read)) is not None:
                payloads.append(payload)
                taken += len(payload) + _HEADER.size
        return Batch(segment, payloads, offset + taken, payload is None) if payloads else None

    def _passed_damage(self, segment: Path, is_sure: bool) -> bool:
        """Put aside what lies between the cursor and the next frame; False at the segment's end.

        is_sure: else a cursor that cannot be one of this file is dropped, to begin again: what comes twice
        is better than what never comes, and a ledger drops it.
        """
        offset = self._offset(segment)
        with _opened(segment, os.O_RDONLY) as fd:
            if offset == os.fstat(fd).st_size:
                return False
        data = segment.read_bytes()
        whole = [] if is_sure or not offset else _frames(data, 0)
        if offset > len(data) or any(begin < offset < end for begin, end in whole):
            self._cursor(segment).unlink()
            return True
        end = next((begin for begin, _ in _frames(data, offset)), len(data))
        file = self.reject(segment, data[offset:end])
        self._save_offset(segment, end)
        self._tell(f"{end - offset:,} bytes of {segment} are damaged; they are kept in {file}")
        return True

    def _delete(self, segment: Path) -> None:
        segment.unlink(missing_ok=True)
        self._cursor(segment).unlink(missing_ok=True)

    def _cursor(self, segment: Path) -> Path:
        return segment.with_name(f"{segment.name}.{self._consumer}")

    def _offset(self, segment: Path) -> int:
        try:
            with _opened(self._cursor(segment), os.O_RDONLY) as fd:
                offset, crc = _CURSOR.unpack(os.read(fd, _CURSOR.size))
        except (OSError, struct.error) as error:
            pass_on(error)
            return 0
        # Beginning again is harmless where there is a ledger: it drops what it has.
        return offset if crc == _crc_of_offset(offset) else 0

    def _save_offset(self, segment: Path, offset: int) -> None:
        """Over the one before; half of it would not have its checksum."""
        cursor, told = self._cursor(segment), _CURSOR.pack(offset, _crc_of_offset(offset))
        try:
            _overwrite(cursor, told)
        except PermissionError:  # it is another user's, who has read here; the folder is not
            cursor.unlink(missing_ok=True)
            _overwrite(cursor, told)


@contextlib.contextmanager
def _opened(file: Path, flags: int) -> Iterator[int]:
    """A descriptor.

    `open` asks the system three questions more. At each the interpreter is let go, and a training that is
    busy has it for a while: reading beside it takes as long as it has calls.
    """
    fd = os.open(file, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)  # a pipe would wait for a writer
    try:
        yield fd
    finally:
        os.close(fd)


def _overwrite(file: Path, data: bytes) -> None:
    with _opened(file, os.O_WRONLY | os.O_CREAT) as fd:
        os.write(fd, data)


def _reading(fd: int, at: int) -> Callable[[int], bytes]:
    """Gives so many bytes of a file from `at` on, and then the next: small pieces by one call for many."""
    ahead, start = b"", at

    def read(size: int) -> bytes:
        nonlocal ahead, start, at
        if size > _AHEAD:
            found = os.pread(fd, min(size, os.fstat(fd).st_size - at), at)  # a rotten length may say anything
        else:
            if at + size > start + len(ahead):
                ahead, start = os.pread(fd, _AHEAD, at), at
            found = ahead[at - start : at - start + size]
        at += len(found)
        return found

    return read


def _read_frame(read: Callable[[int], bytes]) -> bytes | None:
    """The next whole frame's payload, or None where there is none (yet)."""
    header = read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    length, crc = _HEADER.unpack(header)
    payload = read(length)
    is_whole = 0 < length == len(payload)  # what is all zeros has the checksum of nothing
    return payload if is_whole and zlib.crc32(payload) == crc else None


def _size(segment: Path) -> int:
    try:
        return segment.stat().st_size
    except FileNotFoundError:  # consumed by another
        return 0


def _lock(fd: int, patience: float | None) -> None:
    if patience is None:
        return fcntl.flock(fd, fcntl.LOCK_EX)
    ends = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends:
                raise
            time.sleep(_LOOK_EVERY)


def _pending(size: int, offset: int) -> int:
    """Bytes not yet read; all, where the cursor cannot be this file's."""
    return size - offset if offset <= size else size


def _writer_of(segment: Path) -> str:
    return segment.name.partition("-")[0]


def _frames(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Where each whole frame from `at` on begins and ends, whatever lies between them."""
    view, tried = memoryview(data), 0
    while len(data) - at > _HEADER.size and tried <= _MOST_TRIED * len(data):
        length, crc = _HEADER.unpack_from(data, at)
        begin, end = at, at + _HEADER.size + length
        if length and end <= len(data):
            if zlib.crc32(view[begin + _HEADER.size : end]) == crc:
                yield begin, end
                at = end
                continue
            tried += length
        found = data.find(_FIRST, begin + _HEADER.size + 1)
        at = found - _HEADER.size if found >= 0 else len(data)


def _log(told: str) -> None:
    log.warning("autotrack: %s", told)


def _crc_of_offset(offset: int) -> int:
    return zlib.crc32(offset.to_bytes(8, "little"))


def _is_held(segment: Path) -> bool:
    """Whether a living process holds the segment."""
    try:
        fd = os.open(segment, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
