"""Appends spans to a file of OTLP JSON lines, as the OpenTelemetry Collector's file exporter writes it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExportResult

from ..otlp.encode_json import encode_request_json
from ..recording.exporter import Exporter
from ..spool import write_all

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from ..recording.report import Report


class FileExporter(Exporter):
    """Writes each batch as one line.

    Every process has a file of its own, as no lock holds on every file system: `path` with the
    writer's name put in before its suffix, `autotrack-0123456789abcdef.jsonl`. It is made, and its
    folder, with the first span. What cannot be written is counted in the report.
    """

    def __init__(self, path: Path, writer: str, report: Report) -> None:
        self._path = path.with_name(f"{path.stem}-{writer}{path.suffix}")
        self._report = report

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append a line; see the class for what happens when that fails."""
        line = f"{encode_request_json(spans)}\n".encode("ascii")
        try:
            self._append(line)
        except OSError as error:
            self._report.warn(
                f"cannot write to {self._path} ({error.strerror or error})", kind=str(self._path)
            )
            self._report.count_skipped(f"spans that {self._path.name} could not take", len(spans))
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def _append(self, line: bytes) -> None:
        """All of the line or nothing of it: half of one would spoil the next."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # What people train on is theirs alone.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            try:
                write_all(descriptor, line)
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)
