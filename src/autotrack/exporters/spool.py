"""Appends spans to the spool, from which the store is filled."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExportResult

from ..interrupts import pass_on
from ..otlp.encode import encode_resource_spans
from ..recording.exporter import Exporter
from ..spool import SpoolWriter

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from ..recording.report import Report

KEPT_BYTES = 256 << 20
"""How much is kept in memory while no folder can be written."""


class SpoolExporter(Exporter):
    """Writes each batch to the first of `folders` that takes it.

    While none does, frames wait in memory and are tried again with every batch; what is still
    there at the end, or does not fit, is counted in the report.
    """

    def __init__(self, folders: Sequence[Path], writer: str, report: Report) -> None:
        self._spools = [(folder, SpoolWriter(folder, writer)) for folder in folders]
        self._report = report
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Encode and append; see the class for what happens when that fails."""
        for frame in self._frames(spans):
            self._waiting.append(frame)
            self._waiting_bytes += len(frame)
        self._write_waiting()
        return SpanExportResult.FAILURE if self._waiting else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """One last try, then let go of the spool."""
        self._write_waiting()
        self._drop_above(0)
        for _, spool in self._spools:
            spool.close()

    def _frames(self, spans: Sequence[ReadableSpan]) -> Sequence[bytes]:
        """What is written of them."""
        return encode_resource_spans(spans)

    def _write_waiting(self) -> None:
        while self._waiting:
            if not self._append(self._waiting[0]):
                return self._drop_above(KEPT_BYTES)
            self._waiting_bytes -= len(self._waiting.popleft())
        return None

    def _append(self, frame: bytes) -> bool:
        problems = []
        for folder, spool in self._spools:
            try:
                spool.append(frame)
            except OSError as error:
                pass_on(error)
                problems.append(f"cannot write to {folder} ({error.strerror or error})")
            else:
                if problems:
                    home = self._spools[0][0].parent
                    self._report.warn_of_place(f"{problems[0]}; writing to {folder} instead", home)
                if deleted := spool.take_deleted():
                    self._tell_of_deleted(folder, deleted)
                self._appended(folder)
                return True
        self._report.warn(f"{problems[0]}, nor to any other folder; keeping data in memory", kind=problems[0])
        return False

    def _tell_of_deleted(self, folder: Path, size: int) -> None:
        told = f"{size:,} bytes in {folder} were deleted by somebody as they were recorded"
        advice = "what nobody had read of them is lost; recording goes on"
        self._report.warn(f"{told}: {advice}", f"deleted in {folder}")
        self._report.count_skipped("a file of the spool that somebody deleted")

    def _appended(self, folder: Path) -> None:
        """Called after each frame that this folder has taken."""

    def _drop_above(self, limit: int) -> None:
        while self._waiting_bytes > limit:
            frame = self._waiting.popleft()
            self._waiting_bytes -= len(frame)
            self._report.count_skipped("data that no folder could take (disk full or read-only)")
