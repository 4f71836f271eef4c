"""OTLP in JSON from the SDK's spans, as the Collector's file exporter writes it: one request a line.

That is proto3's JSON with the exceptions of the OTLP specification: names in lowerCamelCase, ids in
hex, enums as numbers, 64-bit integers as strings, bytes in base64, and NaN and infinities as the
strings "NaN", "Infinity", "-Infinity". Fields at their default are left out. What a value becomes
that OTLP cannot hold is what `encode` makes of it: the two say the same of every span.

Text is put together by hand: of a long array Python's own `repr` writes all numbers at once, which
`json` cannot be told to wrap.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

from .encode import MAX_NESTING, Form, as_text, check_room

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanContext, Status

_UINT64 = 0xFFFF_FFFF_FFFF_FFFF
_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200
"""Bits of a span's or link's flags: whether its parent is known to be in this process."""


def encode_request_json(spans: Iterable[ReadableSpan]) -> str:
    """One OTLP `ExportTraceServiceRequest` as JSON on one line, without its end; ASCII only.

    Spans are grouped as `encode.encode_resource_spans` does, and no value makes this raise.
    """
    resources: dict[str, dict[str, list[str]]] = {}
    owners: dict[tuple[int, int], list[str]] = {}  # every span of a flush has the same two
    for span in spans:
        key = id(span.resource), id(span.instrumentation_scope)
        group = owners.get(key)
        if group is None:
            scopes = resources.setdefault(_resource(span.resource), {})
            group = owners[key] = scopes.setdefault(_scope(span.instrumentation_scope), [])
        group.append(_span(span))
    return _object(
        ("resourceSpans", _list([_owned(*item, "scopeSpans", _scope_spans) for item in resources.items()]))
    )


def _scope_spans(scopes: Mapping[str, list[str]]) -> str:
    return _list([_owned(*item, "spans", _list) for item in scopes.items()])


def _owned(owner: str, owned: Any, name: str, encode: Callable[[Any], str]) -> str:
    """A resource or scope, which is text that lacks but its closing brace, with what it owns."""
    return f'{owner},"{name}":{encode(owned)}}}'


# --- who sent the spans, and the spans ----------------------------------------------------------


def _resource(resource: Resource) -> str:
    facts = _object(_attributes(resource.attributes))
    return _object(("resource", facts), ("schemaUrl", _text(resource.schema_url)))[:-1]


def _scope(scope: InstrumentationScope | None) -> str:
    if scope is None:
        return '{"scope":{}'
    facts = _object(
        ("name", _text(scope.name)), ("version", _text(scope.version)), _attributes(scope.attributes)
    )
    return _object(("scope", facts), ("schemaUrl", _text(scope.schema_url)))[:-1]


def _span(span: ReadableSpan) -> str:
    context, parent = span.get_span_context(), span.parent
    return _object(
        *_ids(context),
        ("traceState", _trace_state(context)),
        ("parentSpanId", f'"{parent.span_id:016x}"' if parent else ""),
        _flags(parent),
        ("name", _text(as_text(span.name))),
        ("kind", str(span.kind.value + 1)),
        ("startTimeUnixNano", _time(span.start_time)),
        ("endTimeUnixNano", _time(span.end_time)),
        _attributes(span.attributes),
        ("droppedAttributesCount", _count(span.dropped_attributes)),
        ("events", _list([_event(event) for event in span.events])),
        ("droppedEventsCount", _count(span.dropped_events)),
        ("links", _list([_link(link) for link in span.links])),
        ("droppedLinksCount", _count(span.dropped_links)),
        ("status", _status(span.status)),
    )


def _event(event: Event) -> str:
    return _object(
        ("timeUnixNano", _time(event.timestamp)),
        ("name", _text(as_text(event.name))),
        _attributes(event.attributes),
        ("droppedAttributesCount", _count(event.dropped_attributes)),
    )


def _link(link: Link) -> str:
    return _object(
        *_ids(link.context),
        _attributes(link.attributes),
        ("droppedAttributesCount", _count(link.dropped_attributes)),
        _flags(link.context),
    )


def _status(status: Status) -> str:
    return _object(("message", _text(status.description)), ("code", _count(status.status_code.value)))


def _ids(context: SpanContext | None) -> list[tuple[str, str]]:
    trace_id, span_id = (context.trace_id, context.span_id) if context else (0, 0)
    return [("traceId", f'"{trace_id:032x}"'), ("spanId", f'"{span_id:016x}"')]


def _trace_state(context: SpanContext | None) -> str:
    state = context.trace_state.items() if context and context.trace_state else ()
    return _text(",".join(f"{key}={value}" for key, value in state))


def _flags(context: SpanContext | None) -> tuple[str, str]:
    is_remote = context is not None and context.is_remote
    return "flags", str(_HAS_IS_REMOTE | (_IS_REMOTE if is_remote else 0))


# --- attributes and their values ----------------------------------------------------------------


def _attributes(attributes: Mapping[str, Any] | None) -> tuple[str, str]:
    pairs = []
    for name, value in attributes.items() if attributes else ():
        try:
            pairs.append(_pair(name, value, MAX_NESTING))
        except Exception:  # noqa: BLE001  whatever a foreign container does, its span must not be lost
            pairs.append(_pair(as_text(name), as_text(value), MAX_NESTING))
    return "attributes", _list(pairs)


def _pair(name: str, value: object, room: int) -> str:
    return f'{{"key":{_string(name)},"value":{_value(value, room)}}}'


def _value(value: object, room: int) -> str:
    """An `AnyValue`; `room` is how many levels deeper containers may nest."""
    if value is None:
        return "{}"
    encode = _SCALARS.get(type(value))
    return encode(value) if encode else _FORM.other(value, room)


def _array(values: Sequence[object], room: int) -> str:
    check_room(room)
    return f'{{"arrayValue":{_values([_value(value, room - 1) for value in values])}}}'


def _mapping(values: Mapping[object, object], room: int) -> str:
    check_room(room)
    pairs = _list([_pair(as_text(key), value, room - 1) for key, value in values.items()])
    return f'{{"kvlistValue":{_object(("values", pairs))}}}'


def _numpy(value: NDArray[Any] | np.generic, room: int) -> str:
    import numpy as np

    plain = value.tolist()
    if type(value) is np.ndarray and value.ndim == 1 and value.size:
        if value.dtype.kind == "f" and value.itemsize <= 8:
            return f'{{"arrayValue":{{"values":[{_doubles(plain)}]}}}}'
        if value.dtype.kind == "i":
            numbers = repr(plain)[1:-1].replace(", ", '"},{"intValue":"')
            return f'{{"arrayValue":{{"values":[{{"intValue":"{numbers}"}}]}}}}'
    # A long double has no Python equal and stays what it is.
    return _value(as_text(plain) if isinstance(plain, np.generic) else plain, room)


def _doubles(values: list[float]) -> str:
    numbers = repr(values)[1:-1]
    if "n" in numbers:  # only nan and inf have one
        numbers = numbers.replace("nan", '"NaN"').replace("-inf", '"-Infinity"').replace("inf", '"Infinity"')
    separated = numbers.replace(", ", '},{"doubleValue":')
    return f'{{"doubleValue":{separated}}}'


def _bool(value: bool) -> str:
    return '{"boolValue":true}' if value else '{"boolValue":false}'


def _int(value: int) -> str:
    if -(1 << 63) <= value < 1 << 63:
        return f'{{"intValue":"{int(value)}"}}'
    return _text_value(as_text(value))


def _double(value: float) -> str:
    if math.isfinite(value):
        return f'{{"doubleValue":{float(value)!r}}}'
    return f'{{"doubleValue":"{"NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}"}}'


def _text_value(value: str) -> str:
    return f'{{"stringValue":{_string(value)}}}'


def _bytes(value: bytes) -> str:
    return f'{{"bytesValue":"{b64encode(value).decode("ascii")}"}}'


_SCALARS: dict[type, Callable[[Any], str]] = {
    str: _text_value,
    float: _double,
    bool: _bool,
    int: _int,
    bytes: _bytes,
}
_FORM = Form(_SCALARS, _array, _mapping, _numpy, _text_value)

# --- fields -------------------------------------------------------------------------------------


def _object(*fields: tuple[str, str]) -> str:
    """A message: of its fields, named and encoded, those that have something to say."""
    return "{" + ",".join([f'"{name}":{value}' for name, value in fields if value]) + "}"


def _list(items: list[str]) -> str:
    return f"[{','.join(items)}]" if items else ""


def _values(items: list[str]) -> str:
    return _object(("values", _list(items)))


def _text(text: str | None) -> str:
    return _string(text) if text else ""


def _string(text: str) -> str:
    # A lone surrogate is no text to a JSON parser that minds.
    return encode_basestring_ascii(str.encode(text, "utf-8", "backslashreplace").decode("utf-8"))


def _count(number: int) -> str:
    return str(number) if number else ""


def _time(time: int | None) -> str:
    return f'"{int(time) & _UINT64}"' if time else ""
