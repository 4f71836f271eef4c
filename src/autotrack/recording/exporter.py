"""What the recorder asks of an exporter beside what OpenTelemetry does."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExporter

if TYPE_CHECKING:
    from .report import Report

EXIT_TIMEOUT = 5.0
"""Seconds that the end of a process may take for all exporters together."""


class Exporter(SpanExporter):
    """One that may take long at the end: all of them are told of it before the first is waited for."""

    def refuses(self, size: int) -> str:
        """Why no file of so many bytes may be stored that is to be sent as well; "" if it may.

        Whoever refuses one counts it.
        """
        return ""

    def end(self, ends: float) -> None:
        """No more is to come: begin to send what is left. Returns at once.

        `shutdown` is called next; it waits until `ends`, monotonic seconds, at most.
        """


def refusal(exporters: Iterable[Exporter], size: int) -> str:
    """Why no file of so many bytes may be stored; "" if it may."""
    return next(filter(None, (exporter.refuses(size) for exporter in exporters)), "")


def close(exporters: Sequence[Exporter], ends: float, report: Report) -> None:
    """End all of them, by one deadline in monotonic seconds; one that fails costs the others nothing."""
    steps: list[Callable[[], object]] = [functools.partial(exporter.end, ends) for exporter in exporters]
    steps += [exporter.shutdown for exporter in exporters]
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001  it is anybody's
            report.warn(f"an exporter could not be closed: {type(error).__name__}: {error}")
