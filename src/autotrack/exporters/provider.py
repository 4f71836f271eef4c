"""Hands run spans to the span processors of a TracerProvider that the user has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ..errors import OptionError
from .threaded import plain_span, size_of

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

HELD_BYTES = 16 << 20
"""Of spans that processors may hold, which bound their number alone, and of ours one may be 3 MiB."""


class ProviderExporter(SpanExporter):
    """Ended spans go on to the provider's processors, with their ids; its sampler is not asked.

    Their resource is ours with the provider's on top: its exporters show the runs as of its service.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._processor = processor_of(provider)
        self._held_bytes = 0
        self._merged: dict[int, tuple[Resource, Resource]] = {}

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Give each to the processors; wait for their exporters where they have much already."""
        for span in spans:
            self._held_bytes += size_of(span)
            self._processor.on_end(plain_span(span, self._resource(span.resource)))
            if self._held_bytes > HELD_BYTES:
                self._held_bytes = 0
                self.force_flush()
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Have the provider export what its processors hold."""
        return self._provider.force_flush(timeout_millis)

    def _resource(self, ours: Resource) -> Resource:
        known = self._merged.get(id(ours))
        if known is None:
            known = self._merged[id(ours)] = ours, ours.merge(self._provider.resource)
        return known[1]


def processor_of(provider: Any) -> Any:
    """Where a provider of the SDK sends its spans. Raises `OptionError` for anything else.

    The SDK has no public way to it but to make a tracer.
    """
    try:
        return provider.get_tracer(__name__).span_processor
    except AttributeError:
        raise OptionError(
            f"tracer_provider must be one of opentelemetry.sdk.trace, not {type(provider).__name__}"
        ) from None
