"""Calls somebody else's exporter from a thread of its own, so that it holds nothing up."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from ..recording.report import Report

QUEUED_SPANS = 2048
"""How many may wait; those that come then are counted, not exported. As OpenTelemetry's own processor."""
BATCH_SPANS = 512
EXIT_TIMEOUT = 5.0
"""Seconds that the end of a process waits for one exporter."""


class ThreadedExporter(SpanExporter):
    """Exports by what `make` gives, which may be slow, hang or raise: what is lost so is counted.

    It is made in the thread that exports first, since importing it may take longer than `enable()` should.
    """

    def __init__(self, make: Callable[[], SpanExporter], name: str, report: Report) -> None:
        self._make = make
        self._name = name
        self._report = report
        self._target: SpanExporter | None = None
        self._thread: threading.Thread | None = None
        self._waiting: deque[ReadableSpan] = deque()
        self._changed = threading.Condition()
        self._deadline: float | None = None  # of the end, once it has come

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Queue them; a failure if there is no room, or no exporter."""
        if self._thread is None:
            self._begin()
        with self._changed:
            room = QUEUED_SPANS - len(self._waiting) if self._target else 0
            self._waiting.extend(spans[:room])
            self._changed.notify()
        self._lost(len(spans) - room)
        return SpanExportResult.SUCCESS if room >= len(spans) else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Let what waits be exported and the exporter be closed, within `EXIT_TIMEOUT`."""
        if self._thread is None:
            return
        with self._changed:
            self._deadline = time.monotonic() + EXIT_TIMEOUT
            self._changed.notify()
        self._thread.join(EXIT_TIMEOUT)
        if self._thread.is_alive():
            self._report.warn(f"exporter {self._name!r} did not end within {EXIT_TIMEOUT:.0f} s")
        self._lost(len(self._waiting))

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._loop, name=f"autotrack-{self._name}", daemon=True)
        try:
            self._target = self._make()
        except Exception as error:  # noqa: BLE001  third parties' constructors fail in any way
            self._report.warn(f"exporter {self._name!r} is left out: {type(error).__name__}: {error}")
        self._thread.start()

    def _loop(self) -> None:
        if self._target is None:
            return None
        otel_context.attach(otel_context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # its own requests
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._deadline is not None)
                batch = [self._waiting.popleft() for _ in range(min(BATCH_SPANS, len(self._waiting)))]
            if batch:
                self._export(self._target, batch)
            elif self._deadline is not None:
                return self._close(self._target, self._deadline)

    def _export(self, target: SpanExporter, batch: Sequence[ReadableSpan]) -> None:
        problem = "it says that it failed"
        try:
            if target.export([plain_span(span) for span in batch]) is SpanExportResult.SUCCESS:
                return
        except Exception as error:  # noqa: BLE001  it is anybody's
            problem = f"{type(error).__name__}: {error}"
        self._report.warn(f"exporter {self._name!r}: {problem}", kind=f"exporter {self._name}")
        self._lost(len(batch))

    def _close(self, target: SpanExporter, deadline: float) -> None:
        try:
            target.force_flush(max(1, int((deadline - time.monotonic()) * 1000)))
            target.shutdown()
        except Exception as error:  # noqa: BLE001
            self._report.warn(f"exporter {self._name!r}: {type(error).__name__}: {error}")

    def _lost(self, count: int) -> None:
        if count > 0:
            self._report.count_skipped(f"spans that exporter {self._name!r} did not take", count)


def plain_span(span: ReadableSpan, resource: Resource | None = None) -> ReadableSpan:
    """The span as other people's code expects it: with tuples where we have numpy arrays."""
    given: Mapping[str, Any] = span.attributes or {}
    attributes = {
        name: tuple(value.tolist()) if hasattr(value, "tolist") else value for name, value in given.items()
    }
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=resource or span.resource,
        attributes=attributes,
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
