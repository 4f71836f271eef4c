"""What an exporter gets beside the store: the spans of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExportResult

from .. import semconv as sc
from ..recording.exporter import Exporter

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


class RunSpansOnly(Exporter):
    """Leaves out the user's own spans, which the store gets: they have exporters of their provider's."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export those that are ours."""
        ours = [span for span in spans if span.attributes and sc.WRITER in span.attributes]
        return self._exporter.export(ours) if ours else SpanExportResult.SUCCESS

    def end(self, ends: float) -> None:
        """Tell the exporter."""
        self._exporter.end(ends)

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()
