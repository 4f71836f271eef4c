"""Frees the bytes that no run of a store refers to: mark and sweep.

Marked is what a run's artifacts name, what a span names that the store keeps without knowing it, and
whatever still stands in a spool. Swept is what is not marked and has lain there for the grace period: a
training process writes the bytes first and tells of them later.
"""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import artifacts
from .errors import StoreError
from .locations import is_server
from .store import Store

GRACE = 24.0
"""Hours for which bytes are left alone, whoever refers to them."""
_MAYBE_DIGEST = re.compile(rb"(?=([0-9a-f]{64}))")


@dataclass
class Count:
    """How many files, and their bytes."""

    files: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """One more."""
        self.files += 1
        self.bytes += size


@dataclass
class Collected:
    """What became of the files; `problems` has a line for each that could not be freed."""

    freed: Count = field(default_factory=Count)
    half_written: Count = field(default_factory=Count)
    kept: Count = field(default_factory=Count)
    young: Count = field(default_factory=Count)
    problems: list[str] = field(default_factory=list)


def collect(store: Store, *, grace: float = GRACE, dry_run: bool = False) -> Collected:
    """Free what no run refers to and is older than `grace` hours; with `dry_run` only count it.

    Raises `StoreError`, and frees nothing, where it cannot be known what runs refer to.
    """
    if is_server(store.url):
        raise StoreError(f"{store.url} is a server's: run autotrack gc where its store lies")
    store.drain()
    if not store.backend.exists():
        raise StoreError(f"there is no store at {store.url}, so nothing tells which files are in use")
    before = time.time() - grace * 3600
    in_spools = _in_spools(store)  # first: what another process drains meanwhile is in the store then
    marked = store.backend.blobs() | in_spools
    found = Collected()
    for home in store.homes:
        if home.is_ours():
            _sweep(home.artifacts, marked, before, found, dry_run)
    return found


def _in_spools(store: Store) -> set[str]:
    """Whatever could be a digest in a spool: of spans that wait, or that could not be understood."""
    spools = [home.spool for home in store.homes if home.is_ours()]
    found: set[str] = set()
    try:
        for file in (file for spool in spools for file in spool.rglob("*") if file.is_file()):
            with contextlib.suppress(FileNotFoundError):  # drained meanwhile
                found.update(digest.decode() for digest in _MAYBE_DIGEST.findall(file.read_bytes()))
    except OSError as error:
        raise StoreError(
            f"cannot read {error.filename}, which may tell of files in use: {error.strerror}"
        ) from error
    return found


def _sweep(folder: Path, marked: set[str], before: float, found: Collected, dry_run: bool) -> None:
    try:
        for file in artifacts.stored(folder):
            if file.sha256 in marked:
                found.kept.add(file.size)
            elif file.modified > before:
                found.young.add(file.size)
            elif dry_run or _removed(folder, file, before, found):
                (found.freed if file.sha256 else found.half_written).add(file.size)
    except OSError as error:
        found.problems.append(f"{folder} cannot be read: {error.strerror}")


def _removed(folder: Path, file: artifacts.Stored, before: float, found: Collected) -> bool:
    try:
        return artifacts.remove(folder, file, before)
    except OSError as error:
        found.problems.append(f"{folder / file.shelf / file.name} cannot be deleted: {error.strerror}")
        return False
