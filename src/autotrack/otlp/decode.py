"""Spans from OTLP bytes, whoever wrote them; only what reads spans imports this module.

Long arrays of numbers become numpy arrays. To look at each element from Python would take most of
the time, so protobuf serializes the array again, and numpy picks the numbers out of those bytes:
they are canonical, whatever the sender's looked like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from struct import Struct
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from autotrack.records import SpanEvent, SpanRecord

from . import pieces

LONGEST_TUPLE = 32
_STATUSES = {Status.STATUS_CODE_OK: "ok", Status.STATUS_CODE_ERROR: "error"}
_SCALARS = frozenset({"string_value", "bool_value", "int_value", "double_value", "bytes_value"})
_DOUBLE_CELL = np.dtype([("head", "V3"), ("value", "<f8")])
_DOUBLE_HEAD = b"\x0a\x09\x21"

INT64_MAX = 2**63 - 1


def decode_resource_spans(data: bytes) -> list[SpanRecord]:
    """Read the spans of one serialized OTLP `ResourceSpans` message, in its order.

    Arrays of more than 32 integers become int64, those of doubles, or of both, float64 numpy arrays;
    other arrays become tuples. Raises ValueError if `data` is not such a message, or if an id in it
    has the wrong length.
    """
    try:
        message = ResourceSpans.FromString(data)
    except DecodeError as error:
        raise ValueError(f"not an OTLP ResourceSpans message: {error}") from None
    return [make() for make in _makers(message)]


@dataclass
class Received:
    """What was read of a request: its spans, and how many were none, with what was wrong with the first."""

    spans: list[SpanRecord] = field(default_factory=list)
    rejected: int = 0
    problem: str = ""

    def reject(self, problem: object) -> None:
        """Count one that is none."""
        self.rejected += 1
        self.problem = self.problem or str(problem)


def decode_request(data: bytes) -> Received:
    """Read an `ExportTraceServiceRequest`. Raises ValueError if `data` is none, or has too many spans.

    A span that is none (an id of the wrong length) costs the others nothing.
    """
    pieces.check(data, pieces.TRACES)
    try:
        message = ExportTraceServiceRequest.FromString(data)
    except DecodeError as error:
        raise ValueError(f"not an OTLP ExportTraceServiceRequest message: {error}") from None
    received = Received()
    for group in message.resource_spans:
        for make in _makers(group):
            try:
                received.spans.append(make())
            except ValueError as error:
                received.reject(error)
    return received


def _makers(message: ResourceSpans) -> Iterator[Callable[[], SpanRecord]]:
    """What makes a record of each span; it raises ValueError where the span is none."""
    resource = _mapping(message.resource.attributes)
    for group in message.scope_spans:
        for span in group.spans:
            yield partial(_record, span, group.scope, resource)


def _record(span: Span, scope: InstrumentationScope, resource: Mapping[str, Any]) -> SpanRecord:
    return SpanRecord(
        trace_id=_id(span.trace_id, 16),
        span_id=_id(span.span_id, 8),
        parent_id=_id(span.parent_span_id, 8) if any(span.parent_span_id) else None,
        name=span.name,
        # OTLP has times unsigned, a store int64: the year 2262 will do.
        start=min(span.start_time_unix_nano, INT64_MAX),
        end=min(span.end_time_unix_nano, INT64_MAX),
        attributes=_mapping(span.attributes),
        status=_STATUSES.get(span.status.code, "unset"),
        status_message=span.status.message,
        resource=resource,
        scope=scope.name,
        scope_version=scope.version,
        events=tuple(_event(event) for event in span.events),
    )


def _event(event: Span.Event) -> SpanEvent:
    return SpanEvent(event.name, min(event.time_unix_nano, INT64_MAX), _mapping(event.attributes))


def _id(raw: bytes, size: int) -> str:
    if len(raw) != size:
        raise ValueError(f"not an OTLP ResourceSpans message: an id has {len(raw)} bytes, not {size}")
    return raw.hex()


def _mapping(items: Iterable[KeyValue]) -> dict[str, Any]:
    return {item.key: _value(item.value) for item in items}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind in _SCALARS else _container(value, kind)


def _container(value: AnyValue, kind: str | None) -> Any:
    if kind == "array_value":
        return _array(value.array_value)
    return _mapping(value.kvlist_value.values) if kind == "kvlist_value" else None


def _array(array: ArrayValue) -> Any:
    values = array.values
    if len(values) > LONGEST_TUPLE:
        numbers = _numbers(array)
        if numbers is not None:
            return numbers
    elif len(values) > 1:
        doubles = _few_doubles(array.SerializeToString(), len(values))
        if doubles is not None:
            return doubles
    return tuple(
        [
            # `_value`, spelt out: a call takes as long as what it does
            getattr(value, kind)
            if (kind := value.WhichOneof("value")) in _SCALARS
            else _container(value, kind)
            for value in values
        ]
    )


def _few_doubles(raw: bytes, count: int) -> tuple[float, ...] | None:
    """As `_doubles`, of so few that numpy's calls would take longer than they save."""
    unpack, heads = _few(count)
    size = _DOUBLE_CELL.itemsize
    if len(raw) != count * size or raw[0::size] + raw[1::size] + raw[2::size] != heads:
        return None
    return unpack(raw)


@cache
def _few(count: int) -> tuple[Callable[[bytes], tuple[float, ...]], bytes]:
    """What reads so many doubles, and the bytes before them: all first ones, all second, all third."""
    return Struct("<" + "3xd" * count).unpack, b"".join(bytes([byte]) * count for byte in _DOUBLE_HEAD)


def _numbers(array: ArrayValue) -> NDArray[np.float64] | NDArray[np.int64] | None:
    """Read a long array of numbers; None if it holds anything else."""
    kind = array.values[0].WhichOneof("value")
    if kind not in ("int_value", "double_value"):
        return None
    raw, count = array.SerializeToString(), len(array.values)
    uniform = _doubles(raw, count) if kind == "double_value" else _ints(raw, count)
    if uniform is not None:
        return uniform
    # JavaScript has one type of number, and its SDK sends those without a fraction as integers.
    if {value.WhichOneof("value") for value in array.values} == {"int_value", "double_value"}:
        return np.array([_value(value) for value in array.values], np.float64)
    return None


def _doubles(raw: bytes, count: int) -> NDArray[np.float64] | None:
    """Read elements that are all 11 bytes: tag, length 9, tag of `double_value`, 8 bytes."""
    if len(raw) != count * _DOUBLE_CELL.itemsize:
        return None
    cells = np.frombuffer(raw, _DOUBLE_CELL)
    if (cells["head"] != np.void(_DOUBLE_HEAD)).any():
        return None
    return cells["value"].astype(np.float64)


def _ints(raw: bytes, count: int) -> NDArray[np.int64] | None:
    """Read elements that are all a tag, a length, the tag of `int_value` and a varint.

    Of an integer's bytes all are below 128 but those that its varint continues after: so exactly
    four an element, at known distances, or the array holds something else.
    """
    octets = np.frombuffer(raw, np.uint8)
    low = np.flatnonzero(octets < 128)
    if len(low) != 4 * count:
        return None
    start, length, kind, last = low.reshape(-1, 4).T
    fits = (length == start + 1) & (kind == start + 2) & (octets[length] == last - length)
    if not (fits & (octets[kind] == 0x18)).all():
        return None
    numbers = np.zeros(count, np.uint64)
    for group in range(int((last - kind).max())):
        at = kind + 1 + group
        bits = (octets[np.minimum(at, last)] & 127) * (at <= last)
        numbers |= bits.astype(np.uint64) << 7 * group
    return numbers.view(np.int64)
