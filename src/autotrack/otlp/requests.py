"""OTLP requests made of the spool's frames: joined as they are, cut in two, or with tables merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from .. import semconv as sc
from .wire import varint

_Table = tuple[Span, dict[str, AnyValue]]
"""A `metrics` span and its columns by name."""


def joined(frames: Iterable[bytes]) -> bytes:
    """An `ExportTraceServiceRequest` that holds each frame, a `ResourceSpans`, byte for byte."""
    parts: list[bytes] = []
    for frame in frames:
        parts += b"\x0a", varint(len(frame)), frame
    return b"".join(parts)


def is_frame(frame: bytes) -> bool:
    """Whether it can be read as a `ResourceSpans`."""
    return _parsed(frame) is not None


def halves(frame: bytes) -> list[bytes]:
    """The frame's spans in two frames; none if it holds but one, or is no frame."""
    whole = _parsed(frame)
    if whole is None:
        return []
    spans = [(scope, span) for scope in whole.scope_spans for span in scope.spans]
    if len(spans) < 2:
        return []
    middle = len(spans) // 2
    return [_with(whole, part) for part in (spans[:middle], spans[middle:])]


def _with(whole: ResourceSpans, spans: Sequence[tuple[ScopeSpans, Span]]) -> bytes:
    part = ResourceSpans(resource=whole.resource, schema_url=whole.schema_url)
    last = None
    for scope, span in spans:
        if scope is not last:
            part.scope_spans.append(ScopeSpans(scope=scope.scope, schema_url=scope.schema_url))
            last = scope
        part.scope_spans[-1].spans.append(span)
    return part.SerializeToString()


def merged(frames: Sequence[bytes], points: Literal["full", "last"] = "full") -> list[bytes]:
    """The same spans with fewer tables, for trace stores: those of one run and one set of names become one.

    Rows come one after the other; `ml.seq` and `ml.metrics.rows` list what each number brought. With
    points "last" a table keeps its last row only, and brings no rows under the numbers before it.
    A frame that is none stays as it is.
    """
    first: dict[object, _Table] = {}
    whole = [_parsed(frame) or frame for frame in frames]
    for message in whole:
        if isinstance(message, ResourceSpans):
            resource = message.resource.SerializeToString(deterministic=True)
            for scope in message.scope_spans:
                for at in reversed(_appended(scope, resource, first)):
                    del scope.spans[at]
    if points == "last":
        for span, columns in first.values():
            _keep_last(columns)
            span.start_time_unix_nano = span.end_time_unix_nano
    return [
        message if isinstance(message, bytes) else message.SerializeToString()
        for message in whole
        if isinstance(message, bytes) or any(scope.spans for scope in message.scope_spans)
    ]


def _appended(scope: ScopeSpans, resource: bytes, first: dict[object, _Table]) -> list[int]:
    """Append each table to the `first` like it; the places of those that are spare now."""
    spare = []
    for at, span in enumerate(scope.spans):
        found = {item.key: item.value for item in span.attributes}
        if sc.SPAN_TYPE not in found or found[sc.SPAN_TYPE].string_value != sc.SpanType.METRICS:
            continue
        arrays = {key: value for key, value in found.items() if value.WhichOneof("value") == "array_value"}
        same = [found[key].SerializeToString() for key in sorted(found.keys() - arrays.keys())]
        key = (resource, *same, *sorted(arrays))
        if key not in first:
            first[key] = span, arrays
            continue
        whole, columns = first[key]
        for name, value in columns.items():
            value.array_value.MergeFrom(arrays[name].array_value)
        whole.end_time_unix_nano = max(whole.end_time_unix_nano, span.end_time_unix_nano)
        spare.append(at)
    return spare


def _keep_last(columns: dict[str, AnyValue]) -> None:
    for name, value in columns.items():
        if name == sc.METRICS_ROWS:
            rows = value.array_value.values
            for row in rows:
                row.int_value = 0
            rows[-1].int_value = 1
        elif name != sc.SEQ:
            del value.array_value.values[:-1]


def _parsed(frame: bytes) -> ResourceSpans | None:
    try:
        return ResourceSpans.FromString(frame)
    except DecodeError:
        return None
