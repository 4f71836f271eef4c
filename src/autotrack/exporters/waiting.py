"""What waits on this disk for the network; apart from who carries it, which takes long to import."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from ..locations import Home
from ..spool import SpoolReader

CONSUMER = "network"
"""Whose cursors are in the spool. ("otlp" would give them the ending of segments.)"""
LOOK_EVERY = 5.0
"""Seconds between two looks at how much waits."""


class Bound:
    """Whether more may wait in a target's homes, where other processes write too.

    What is asked for here counts at once, what others write with the next look. There is no lock: a signal
    handler may come in, and what two threads add at the same moment is set right by the next look.
    """

    def __init__(self, homes: Sequence[Home], most: int, files: bool) -> None:
        self._homes = homes
        self._most = most
        self._files = files
        self._waiting = 0
        self._next_look = 0.0

    def takes(self, size: int, beyond: int = 0) -> bool:
        """Whether so many bytes may be added; `beyond`: how far over the bound they may go."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_EVERY
            self._waiting = sum(map(self._size, self._homes))
        fits = self._waiting + size <= self._most + beyond
        self._waiting += size if fits else 0
        return fits

    def _size(self, home: Home) -> int:
        with contextlib.suppress(OSError):  # nobody can read it
            return waiting_bytes([home], files=self._files)
        return 0


def waiting_bytes(homes: Sequence[Home], of_the_living: bool = True, files: bool = True) -> int:
    """How much waits in a target's homes; of writers that are gone alone, if not `of_the_living`.

    files: count those that are to be uploaded too. Raises OSError.
    """
    total = 0
    for home in homes:
        if home.is_ours():
            total += SpoolReader(home.spool, CONSUMER).backlog(of_the_living).bytes
            total += file_bytes(home.artifacts) if files else 0
    return total


def file_bytes(folder: Path) -> int:
    """Of the files in a folder of artifacts. Raises OSError."""
    from .. import artifacts  # hashlib takes 3 ms to import

    return sum(blob.size for blob in artifacts.stored(folder) if blob.sha256)
