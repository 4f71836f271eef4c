"""Files of runs: stored where there is room, and told of by what they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import semconv as sc
from ..semconv import Scalar
from .report import Report

if TYPE_CHECKING:
    from ..artifacts import Blob


class StoredFiles:
    """Puts files into the first of `folders` that takes them; where there are none, none is kept."""

    def __init__(self, folders: Sequence[Path], report: Report) -> None:
        self._folders = folders
        self._report = report

    def __bool__(self) -> bool:
        return bool(self._folders)

    def put(self, source: Path | bytes) -> Blob:
        """See `artifacts.put`, which raises OSError."""
        from .. import artifacts  # hashlib takes 3 ms to import

        blob = artifacts.put(source, self._folders)
        self._tell_where(blob)
        return blob

    def _tell_where(self, blob: Blob) -> None:
        """Say that files lie elsewhere than with the store, unless the spool has said so of itself."""
        first, *others = self._folders
        for folder in others:
            if folder in blob.path.parents:
                told = f"{first} takes no files; until it has room they are in {folder}"
                self._report.warn_of_place(told, first.parent)


def artifact_facts(blob: Blob, path: str, media_type: str = "", named: str = "") -> dict[str, Scalar]:
    """What a span tells of a stored file; its type is what `named`, by default the path, ends in."""
    import mimetypes  # 2 ms

    guessed = mimetypes.guess_type(named or path)[0]
    return {
        sc.ARTIFACT_PATH: path,
        sc.ARTIFACT_URI: blob.path.as_uri(),
        sc.ARTIFACT_SHA256: blob.sha256,
        sc.ARTIFACT_SIZE: blob.size,
        sc.ARTIFACT_MEDIA_TYPE: media_type or guessed or "application/octet-stream",
    }
