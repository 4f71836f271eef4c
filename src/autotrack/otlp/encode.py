"""OTLP bytes from the SDK's spans, written by hand.

Recording must stay light: neither protobuf nor the OTLP classes are imported, and numpy only if the
program itself did. The bytes equal those of OpenTelemetry's own encoder, save that numpy arrays are
encoded as their elements are, and that a value which OTLP cannot hold becomes text.
`wire.py` tells how protobuf lays out a message. Fields ascend, and are left out where they hold their
default.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from struct import Struct
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..interrupts import pass_on
from .wire import SHORT_VARINTS, block, varint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanContext, Status

_T = TypeVar("_T")
_Owner = tuple[bytes, bytes]
"""A resource or scope: the fields that come before and after what it owns."""

_REMEMBERED_OWNERS = 64
_REMEMBERED_KEYS = 4096
# Readers refuse messages nested deeper than 100; a mapping takes three levels, the way to it eight.
MAX_NESTING = 24
_WORTH_NUMPY = 16
"""Elements of an array from which on numpy is faster than encoding one by one."""


def encode_resource_spans(spans: Iterable[ReadableSpan]) -> list[bytes]:
    """Serialize ended spans as OTLP `ResourceSpans` messages, one for each distinct resource.

    Resources, and inside them scopes, come in the order in which they are first seen; two that
    encode to the same bytes are one. Values of attributes may be numpy arrays too. No value makes
    this raise: integers beyond int64 become decimal text, lone surrogates backslash escapes, and
    unknown objects their `str()`, or ``<ClassName>`` if that fails.
    """
    resources: dict[_Owner, dict[_Owner, list[bytes]]] = {}
    for span in spans:
        scopes = resources.setdefault(_once(_resource, span.resource), {})
        scopes.setdefault(_once(_scope, span.instrumentation_scope), []).extend(_span(span))
    return [
        b"".join([before, *chain.from_iterable(_scope_spans(*item) for item in scopes.items()), after])
        for (before, after), scopes in resources.items()
    ]


def encode_status(message: str) -> bytes:
    """Serialize a `google.rpc.Status`, OTLP's answer to a request that failed; HTTP has the code."""
    return _text(b"\x12", message)


def _scope_spans(scope: _Owner, spans: list[bytes]) -> list[bytes]:
    before, after = scope
    return _message(b"\x12", [before, *spans, after])


# --- who sent the spans -----------------------------------------------------------------------

_owners: dict[int, tuple[object, _Owner]] = {}


def _once(encode: Callable[[_T], _Owner], owner: _T) -> _Owner:
    """Encode a resource or scope, which every flush repeats, the first time only.

    It is known by its id, as hashing a resource costs more than encoding a span; the entry keeps it
    alive, so that nothing else gets that id.
    """
    known = _owners.get(id(owner))
    if known is None:
        if len(_owners) >= _REMEMBERED_OWNERS:
            _owners.clear()
        known = _owners[id(owner)] = (owner, encode(owner))
    return known[1]


def _resource(resource: Resource) -> _Owner:
    attributes = _message(b"\x0a", _attributes(b"\x0a", resource.attributes))
    return b"".join(attributes), _text(b"\x1a", resource.schema_url)


def _scope(scope: InstrumentationScope | None) -> _Owner:
    if scope is None:
        return b"\x0a\x00", b""
    fields = [
        _text(b"\x0a", scope.name),
        _text(b"\x12", scope.version),
        *_attributes(b"\x1a", scope.attributes),
    ]
    return b"".join(_message(b"\x0a", fields)), _text(b"\x1a", scope.schema_url)


# --- spans ------------------------------------------------------------------------------------


def _span(span: ReadableSpan) -> list[bytes]:
    context, parent = span.get_span_context(), span.parent
    fields = [
        _ids(context),
        _trace_state(context),
        b"\x22\x08" + parent.span_id.to_bytes(8, "big") if parent else b"",
        _text(b"\x2a", as_text(span.name)),
        b"\x30" + varint(span.kind.value + 1),
        _fixed64(b"\x39", span.start_time),
        _fixed64(b"\x41", span.end_time),
        *_attributes(b"\x4a", span.attributes),
        _count(b"\x50", span.dropped_attributes),
        *chain.from_iterable(_event(event) for event in span.events),
        _count(b"\x60", span.dropped_events),
        *chain.from_iterable(_link(link) for link in span.links),
        _count(b"\x70", span.dropped_links),
        _status(span.status),
        _flags(b"\x85\x01", parent),
    ]
    return _message(b"\x12", fields)


def _event(event: Event) -> list[bytes]:
    fields = [
        _fixed64(b"\x09", event.timestamp),
        _text(b"\x12", as_text(event.name)),
        *_attributes(b"\x1a", event.attributes),
        _count(b"\x20", event.dropped_attributes),
    ]
    return _message(b"\x5a", fields)


def _link(link: Link) -> list[bytes]:
    fields = [
        _ids(link.context),
        *_attributes(b"\x22", link.attributes),
        _count(b"\x28", link.dropped_attributes),
        _flags(b"\x35", link.context),
    ]
    return _message(b"\x6a", fields)


def _status(status: Status) -> bytes:
    return block(b"\x7a", _text(b"\x12", status.description) + _count(b"\x18", status.status_code.value))


def _ids(context: SpanContext | None) -> bytes:
    # A span without a context is malformed, but zeros keep the rest of it readable.
    trace_id, span_id = (context.trace_id, context.span_id) if context else (0, 0)
    return b"\x0a\x10" + trace_id.to_bytes(16, "big") + b"\x12\x08" + span_id.to_bytes(8, "big")


def _trace_state(context: SpanContext | None) -> bytes:
    if not context or not context.trace_state:
        return b""
    return _text(b"\x1a", ",".join(f"{key}={value}" for key, value in context.trace_state.items()))


def _flags(tag: bytes, context: SpanContext | None) -> bytes:
    remote = context is not None and context.is_remote
    return tag + (_REMOTE if remote else _LOCAL)


# --- attributes and their values --------------------------------------------------------------


def _attributes(tag: bytes, attributes: Mapping[str, Any] | None) -> list[bytes]:
    fields = []
    for name, value in attributes.items() if attributes else ():
        try:
            fields.append(_key_value(tag, name, value, MAX_NESTING))
        except Exception as error:  # noqa: BLE001 - whatever a foreign container does, its span must not be lost
            pass_on(error)
            fields.append(_key_value(tag, as_text(name), as_text(value), 0))
    return fields


def _key_value(tag: bytes, name: str, value: object, room: int) -> bytes:
    # Most of a span's time goes here, so `_value`, `block` and `varint` are spelt out.
    encode = _SCALARS.get(type(value))
    any_value = encode(value) if encode else _FORM.other(value, room)
    key, size = _key(name), len(any_value)
    head = _VALUE_HEADS[size] if size < 128 else b"\x12" + varint(size)
    total = len(key) + len(head) + size
    return b"".join((tag, SHORT_VARINTS[total] if total < 128 else varint(total), key, head, any_value))


@lru_cache(_REMEMBERED_KEYS)
def _key(name: str) -> bytes:
    return _text(b"\x0a", name)


def _value(value: object, room: int) -> bytes:
    """Encode the fields of an `AnyValue`; `room` is how many levels deeper containers may nest."""
    encode = _SCALARS.get(type(value))
    return encode(value) if encode else _FORM.other(value, room)


@dataclass(frozen=True, slots=True)
class Form(Generic[_T]):
    """How an encoding writes each kind of value; `room` is how many levels deeper containers may nest."""

    scalars: Mapping[type, Callable[[Any], _T]]
    array: Callable[[Sequence[object], int], _T]
    mapping: Callable[[Mapping[object, object], int], _T]
    numpy: Callable[[Any, int], _T]
    text: Callable[[str], _T]

    def other(self, value: object, room: int) -> _T:
        """A value whose type is none of the scalars' itself."""
        if isinstance(value, (tuple, list)):
            return self.array(value, room)
        for scalar, encode in self.scalars.items():
            if isinstance(value, scalar):
                return encode(value)
        numpy = sys.modules.get("numpy")
        if numpy and isinstance(value, (numpy.ndarray, numpy.generic)):
            return self.numpy(value, room)
        if isinstance(value, Sequence):
            return self.array(value, room)
        if isinstance(value, Mapping):
            return self.mapping(value, room)
        return self.text(as_text(value))


def check_room(room: int) -> None:
    """Raises RecursionError where nothing may nest deeper."""
    if not room:
        raise RecursionError("nested too deeply")


def _array(values: Sequence[object], room: int) -> bytes:
    check_room(room)
    return block(b"\x2a", b"".join([block(b"\x0a", _value(value, room - 1)) for value in values]))


def _mapping(values: Mapping[object, object], room: int) -> bytes:
    check_room(room)
    items = [_key_value(b"\x0a", as_text(key), value, room - 1) for key, value in values.items()]
    return block(b"\x32", b"".join(items))


def _bool(value: bool) -> bytes:
    return b"\x10\x01" if value else b"\x10\x00"


def _int(value: int) -> bytes:
    if -(1 << 63) <= value < 1 << 63:
        return b"\x18" + varint(value if value >= 0 else value + (1 << 64))
    return _string(as_text(value))


def _string(value: str) -> bytes:
    return block(b"\x0a", _utf8(value))


def as_text(value: object) -> str:
    """`str(value)`, or ``<ClassName>`` where that fails."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - __str__ is anybody's code
        pass_on(error)
        return f"<{type(value).__name__}>"


# --- numpy ------------------------------------------------------------------------------------


def _numpy(value: NDArray[Any] | np.generic, room: int) -> bytes:
    import numpy as np

    from . import arrays

    if type(value) is np.ndarray and value.ndim == 1 and value.size >= _WORTH_NUMPY:
        if value.dtype.kind == "f" and value.itemsize <= 8:
            return block(b"\x2a", arrays.doubles(value))
        if value.dtype.kind == "i":
            return block(b"\x2a", arrays.ints(value))
    plain = value.tolist()
    # A long double has no Python equal and stays what it is.
    return _value(as_text(plain) if isinstance(plain, np.generic) else plain, room)


# --- fields -----------------------------------------------------------------------------------


def _message(tag: bytes, fields: list[bytes]) -> list[bytes]:
    """Put tag and length before the fields; they stay apart, to copy large ones but once."""
    return [tag, varint(sum(map(len, fields))), *fields]


def _text(tag: bytes, text: str | None) -> bytes:
    return block(tag, _utf8(text)) if text else b""


def _utf8(text: str) -> bytes:
    return str.encode(text, "utf-8", "backslashreplace")


def _count(tag: bytes, number: int) -> bytes:
    return tag + varint(number) if number else b""


def _fixed64(tag: bytes, number: int | None) -> bytes:
    return tag + (int(number) & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "little") if number else b""


_LOCAL, _REMOTE = b"\x00\x01\x00\x00", b"\x00\x03\x00\x00"
_VALUE_HEADS = tuple(b"\x12" + n for n in SHORT_VARINTS)
_SCALARS: dict[type, Callable[[Any], bytes]] = {
    str: _string,
    float: partial(Struct("<cd").pack, b"\x21"),
    bool: _bool,
    int: _int,
    bytes: partial(block, b"\x3a"),
    NoneType: lambda _: b"",
}
_FORM = Form(_SCALARS, _array, _mapping, _numpy, _string)
