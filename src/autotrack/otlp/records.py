"""OTLP bytes from `SpanRecord`s: what was read once, sent on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ..records import SpanRecord
from .encode import encode_resource_spans

_CODES = {"ok": StatusCode.OK, "error": StatusCode.ERROR}


def encode_records(records: Iterable[SpanRecord]) -> list[bytes]:
    """Serialize records as OTLP `ResourceSpans` messages, as `encode_resource_spans` does the SDK's spans."""
    return encode_resource_spans(map(_span, records))  # type: ignore[arg-type]  # it has what is asked of one


def _span(record: SpanRecord) -> SimpleNamespace:
    """As the SDK has a span; its own class would refuse attributes that OTLP can carry."""
    context = _context(record.trace_id, record.span_id)
    parent = _context(record.trace_id, record.parent_id) if record.parent_id else None
    code = _CODES.get(record.status, StatusCode.UNSET)
    return SimpleNamespace(
        name=record.name,
        get_span_context=lambda: context,
        parent=parent,
        kind=SpanKind.INTERNAL,
        start_time=record.start,
        end_time=record.end,
        attributes=record.attributes,
        events=[_described(name=e.name, timestamp=e.time, attributes=e.attributes) for e in record.events],
        links=(),
        dropped_attributes=0,
        dropped_events=0,
        dropped_links=0,
        status=Status(code, record.status_message if code is StatusCode.ERROR else None),
        resource=_owner(record.resource),
        instrumentation_scope=_owner({}, name=record.scope, version=record.scope_version),
    )


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), False, TraceFlags(TraceFlags.SAMPLED))


def _owner(attributes: Mapping[str, Any], **more: str) -> SimpleNamespace:
    return SimpleNamespace(attributes=attributes, schema_url="", **more)


def _described(**facts: Any) -> SimpleNamespace:
    return SimpleNamespace(dropped_attributes=0, **facts)
