"""Calls somebody else's exporter from a thread of its own, so that it holds nothing up."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ..otlp.suppression import uninstrumented
from ..recording.exporter import EXIT_TIMEOUT, Exporter
from .importing import importing

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from ..recording.report import Report

QUEUED_BYTES = 32 << 20
"""How much may wait; spans that come then are counted, not exported."""
BATCH_BYTES = 1 << 20
"""Of spans in one call; as plain Python numbers they take some four times as much."""
SPAN_BYTES = 1 << 10
"""What a span takes beside its arrays and texts, about."""


class ThreadedExporter(Exporter):
    """Exports by a third party's exporter, which may be slow, hang or raise: what is lost so is counted.

    load: imports and gives what makes the exporter. Both happen in the thread, as either may take long.
    """

    def __init__(self, load: Callable[[], Callable[[], SpanExporter]], name: str, report: Report) -> None:
        self._load = load
        self._name = name
        self._report = report
        self._thread: threading.Thread | None = None
        self._waiting: deque[ReadableSpan] = deque()
        self._waiting_bytes = 0
        self._is_open = True
        self._ends: float | None = None  # once the end has come
        self._changed = threading.Condition()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Queue them; a failure if there is no room, or no exporter."""
        lost = len(spans) - self._queued(spans)
        self._lost(lost)
        if self._thread is None:
            self._start()
        return SpanExportResult.FAILURE if lost else SpanExportResult.SUCCESS

    def end(self, ends: float) -> None:
        """Let what waits be exported, and the exporter be closed.

        In `EXIT_TIMEOUT` at most, whatever the others are given: what hangs would keep a helper for minutes.
        """
        with self._changed:
            self._ends = min(ends, time.monotonic() + EXIT_TIMEOUT)
            self._changed.notify()

    def shutdown(self) -> None:
        """Wait for that, and count what it did not come to."""
        if self._thread is not None:
            self._thread.join(max(0.0, (self._ends or 0.0) - time.monotonic()))
            if self._thread.is_alive():
                self._report.warn(f"exporter {self._name!r} did not end within {EXIT_TIMEOUT:g} s")
        elif self._waiting:  # no thread could be started
            self._loop()
        self._take_no_more()

    def _queued(self, spans: Sequence[ReadableSpan]) -> int:
        """How many of them there was room for."""
        with self._changed:
            for count, span in enumerate(spans):
                if not self._is_open or self._waiting_bytes >= QUEUED_BYTES:
                    return count
                self._waiting.append(span)
                self._waiting_bytes += size_of(span)
            self._changed.notify()
        return len(spans)

    def _start(self) -> None:
        thread = threading.Thread(target=self._loop, name=f"autotrack-{self._name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is going down: it is done at the end, or now, in this thread
            if self._ends is not None:
                self._loop()
        else:
            self._thread = thread

    def _loop(self) -> None:
        with uninstrumented():
            target = self._made()
            while target is not None and (batch := self._next_batch()):
                self._export(target, batch)
            if target is not None:
                self._close(target)
        self._take_no_more()

    def _made(self) -> SpanExporter | None:
        try:
            with importing():
                make = self._load()
            return make()
        except Exception as error:  # noqa: BLE001  third parties' constructors fail in any way
            self._report.warn(f"exporter {self._name!r} is left out: {type(error).__name__}: {error}")
            return None

    def _next_batch(self) -> list[ReadableSpan]:
        """What is to be exported next, empty at the end."""
        batch: list[ReadableSpan] = []
        size = 0
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ends is not None)
            while self._waiting and size < BATCH_BYTES:
                batch.append(self._waiting.popleft())
                size += size_of(batch[-1])
            self._waiting_bytes -= size
        return batch

    def _export(self, target: SpanExporter, batch: Sequence[ReadableSpan]) -> None:
        problem = "it says that it failed"
        try:
            if target.export([plain_span(span) for span in batch]) is SpanExportResult.SUCCESS:
                return
        except Exception as error:  # noqa: BLE001  it is anybody's
            problem = f"{type(error).__name__}: {error}"
        self._report.warn(f"exporter {self._name!r}: {problem}", kind=f"exporter {self._name}")
        self._lost(len(batch))

    def _close(self, target: SpanExporter) -> None:
        try:
            target.force_flush(max(1, int(((self._ends or 0.0) - time.monotonic()) * 1000)))
            target.shutdown()
        except Exception as error:  # noqa: BLE001
            self._report.warn(f"exporter {self._name!r}: {type(error).__name__}: {error}")

    def _take_no_more(self) -> None:
        with self._changed:
            self._is_open, left = False, len(self._waiting)
            self._waiting.clear()
        self._lost(left)

    def _lost(self, count: int) -> None:
        if count > 0:
            self._report.count_skipped(f"spans that exporter {self._name!r} did not take", count)


def size_of(span: ReadableSpan) -> int:
    """Bytes that a span takes, about."""
    return SPAN_BYTES + sum(map(_size, (span.attributes or {}).values()))


def _size(value: Any) -> int:
    if isinstance(value, (tuple, list)):
        return sum(map(_size, value))
    size: int = getattr(value, "nbytes", len(value) if isinstance(value, str) else 8)
    return size


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
