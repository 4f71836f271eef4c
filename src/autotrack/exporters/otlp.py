"""Sends spans to an OTLP endpoint by way of a spool: nothing is lost, and nobody waits for the network."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import semconv as sc
from ..interrupts import pass_on
from ..locations import Home, homes, name_home
from ..otlp.endpoint import Endpoint
from ..recording.report import Report
from .shipper import Shipper
from .spool import SpoolExporter
from .waiting import Bound, waiting_bytes

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult

    from ..options import Options
    from .carrying import Carrier

SERVER_INTERVAL = 0.4
"""Seconds between two requests to a store's server."""
RESERVE = 64 << 20
"""Bytes for which `_SMALL` spans go beyond the bound."""
_SMALL = frozenset(
    {
        *(sc.SpanType.RUN_START, sc.SpanType.UPDATE, sc.SpanType.RUN, sc.SpanType.RANK),
        *(sc.SpanType.ARTIFACT, sc.SpanType.MODEL),  # of files that had room
    }
)
"""They say which runs there were, and are kept while too much waits for others."""


class OtlpExporter(SpoolExporter):
    """Appends spans to the endpoint's spool, which a thread of this process sends on.

    What would make more than `options.spool_max_bytes` wait is counted in the report, not kept.
    """

    def __init__(self, endpoint: Endpoint, options: Options, writer: str, report: Report) -> None:
        self._homes = homes(endpoint.target)
        super().__init__([home.spool for home in self._homes], writer, report)
        self._endpoint = endpoint
        self._options = options
        self._unnamed = [*self._homes]
        self._has_exported = False
        self._bound = Bound(self._homes, options.spool_max_bytes, bool(endpoint.store))
        interval = SERVER_INTERVAL if endpoint.store else _schedule_delay()
        self._shipper = Shipper(self._carrier, endpoint.shown, interval, report)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._has_exported = True
        result = super().export(spans)
        self._shipper.start()
        return result

    def refuses(self, size: int) -> str:
        return "" if not self._endpoint.store or self._bound.takes(size) else self._too_much("files", 1)

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

    def _frames(self, spans: Sequence[ReadableSpan]) -> Sequence[bytes]:
        frames = super()._frames(spans)
        if self._bound.takes(_size(frames)):
            return frames
        small = [span for span in spans if (span.attributes or {}).get(sc.SPAN_TYPE) in _SMALL]
        frames = super()._frames(small)
        if not self._bound.takes(_size(frames), RESERVE):
            small, frames = [], []
        if len(small) < len(spans):
            self._too_much("spans", len(spans) - len(small))
        return frames

    def _too_much(self, what: str, count: int) -> str:
        """Count what is not kept; the reason."""
        full = f"more than {self._options.spool_max_bytes:,} bytes would wait for {self._endpoint.shown}"
        advice = f"runs, params and tags alone are kept, up to {RESERVE >> 20} MiB (option spool_max_bytes)"
        self._report.warn(f"{full}: until some are sent, {advice}", full)
        self._report.count_skipped(f"{what} while {full}", count)
        return full


def _left(places: Sequence[Home], files: bool) -> int:
    try:
        return waiting_bytes(places, of_the_living=False, files=files)
    except OSError as error:
        pass_on(error)
        return 0  # folders that nobody can read


def _size(frames: Sequence[bytes]) -> int:
    return sum(map(len, frames))


def _schedule_delay() -> float:
    """Seconds between two requests to a foreign endpoint: OpenTelemetry's own variable, in milliseconds."""
    with contextlib.suppress(ValueError):
        delay = int(os.environ.get("OTEL_BSP_SCHEDULE_DELAY", "").strip() or "5000")
        if delay > 0:
            return delay / 1000
    return 5.0
