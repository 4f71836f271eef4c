"""What the recorder asks of an exporter beside what OpenTelemetry does."""

from __future__ import annotations

from opentelemetry.sdk.trace.export import SpanExporter

EXIT_TIMEOUT = 5.0
"""Seconds that the end of a process may take for all exporters together."""


class Exporter(SpanExporter):
    """One that may take long at the end: all of them are told of it before the first is waited for."""

    def end(self, ends: float) -> None:
        """No more is to come: begin to send what is left. Returns at once.

        `shutdown` is called next; it waits until `ends`, monotonic seconds, at most.
        """
