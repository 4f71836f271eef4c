"""Sends spans to an OTLP endpoint by way of a spool: nothing is lost, and nobody waits for the network."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import semconv as sc
from ..locations import Home, homes, name_home
from ..otlp.endpoint import Endpoint
from ..recording.report import Report
from .shipper import Shipper
from .spool import SpoolExporter
from .waiting import file_bytes, waiting_bytes

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult

    from ..options import Options
    from .carrying import Carrier

SERVER_INTERVAL = 0.4
"""Seconds between two requests to a store's server."""
LOOK_EVERY = 5.0
"""Seconds between two looks at how much waits."""
_BULK = frozenset({sc.SpanType.METRICS, sc.SpanType.LOG})
"""What is not kept once too much waits; the rest is small, and tells which runs there were."""


class OtlpExporter(SpoolExporter):
    """Appends spans to the endpoint's spool, which a thread of this process sends on.

    Over `options.spool_max_bytes` points and lines are counted in the report, not kept.
    """

    def __init__(self, endpoint: Endpoint, options: Options, writer: str, report: Report) -> None:
        self._homes = homes(endpoint.target)
        super().__init__([home.spool for home in self._homes], writer, report)
        self._endpoint = endpoint
        self._options = options
        self._unnamed = [*self._homes]
        self._has_exported = False
        self._is_full = False
        self._next_look = 0.0
        interval = SERVER_INTERVAL if endpoint.store else _schedule_delay()
        self._shipper = Shipper(self._carrier, endpoint.shown, interval, report)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._has_exported = True
        result = super().export(self._within_bounds(spans))
        self._shipper.start()
        return result

    def end(self, ends: float) -> None:
        """Let go of the spool, and have what is left sent."""
        super().shutdown()
        self._shipper.end(ends)

    def shutdown(self) -> None:
        """Wait for that, and report what then waits; nothing where nothing was recorded."""
        if not self._has_exported:
            return
        self._shipper.wait()
        left = _left(self._homes, bool(self._endpoint.store))
        if left:
            self._report.waiting[self._endpoint.shown] = left
        else:
            self._report.waiting.pop(self._endpoint.shown, None)

    def _appended(self, folder: Path) -> None:
        """Name the home, so that `autotrack sync` finds it."""
        for home in self._unnamed:
            if home.spool == folder:
                with contextlib.suppress(OSError):
                    name_home(home, self._endpoint.target)
                    self._unnamed.remove(home)
                return

    def _carrier(self) -> Carrier:
        from .carrying import Carrier  # ssl and urllib3: the thread's business

        return Carrier(self._endpoint, self._homes, self._report, self._options.otlp_points)

    def _within_bounds(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_EVERY
            waiting = sum(_size(home, bool(self._endpoint.store)) for home in self._homes)
            self._is_full = waiting > self._options.spool_max_bytes
        if not self._is_full:
            return spans
        kept = [span for span in spans if (span.attributes or {}).get(sc.SPAN_TYPE) not in _BULK]
        if len(kept) < len(spans):
            full = f"more than {self._options.spool_max_bytes:,} bytes wait for {self._endpoint.shown}"
            advice = "points and lines are not kept until they are sent (option spool_max_bytes)"
            self._report.warn(f"{full}: {advice}", full)
            self._report.count_skipped(f"tables of points and lines while {full}", len(spans) - len(kept))
        return kept


def _left(places: Sequence[Home], files: bool) -> int:
    try:
        return waiting_bytes(places, of_the_living=False, files=files)
    except OSError:
        return 0  # folders that nobody can read


def _size(home: Home, files: bool) -> int:
    """Bytes of the segments in a home's spool, at most one segment more than what waits, and of its files."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(home.spool) as entries:
        total += sum(entry.stat().st_size for entry in entries if entry.name.endswith(".otlp"))
    with contextlib.suppress(OSError):
        total += file_bytes(home.artifacts) if files else 0
    return total


def _schedule_delay() -> float:
    """Seconds between two requests to a foreign endpoint: OpenTelemetry's own variable, in milliseconds."""
    with contextlib.suppress(ValueError):
        delay = int(os.environ.get("OTEL_BSP_SCHEDULE_DELAY", "").strip() or "5000")
        if delay > 0:
            return delay / 1000
    return 5.0
