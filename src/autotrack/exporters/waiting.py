"""What waits on this disk for the network; apart from who carries it, which takes long to import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..locations import Home
from ..spool import SpoolReader

CONSUMER = "network"
"""Whose cursors are in the spool. ("otlp" would give them the ending of segments.)"""


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
