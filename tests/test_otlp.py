"""Our OTLP encoder against OpenTelemetry's own, and our decoder against both."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from enum import IntFlag, StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceState

from autotrack.otlp.decode import decode_resource_spans
from autotrack.otlp.encode import encode_resource_spans
from autotrack.records import SpanEvent, SpanRecord

CONTEXT = SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=False)
RESOURCE = Resource({"service.name": "test"})


def make_span(**fields: Any) -> ReadableSpan:
    defaults: dict[str, Any] = {"name": "fit", "context": CONTEXT, "resource": RESOURCE}
    return ReadableSpan(**defaults | fields)


def encode(attributes: Mapping[str, Any]) -> bytes:
    [frame] = encode_resource_spans([make_span(attributes=attributes)])
    return frame


def decode(frame: bytes) -> SpanRecord:
    [record] = decode_resource_spans(frame)
    return record


def roundtrip(value: object) -> Any:
    return decode(encode({"key": value})).attributes["key"]


def standard(spans: list[ReadableSpan]) -> list[bytes]:
    return [message.SerializeToString() for message in encode_spans(spans).resource_spans]


# --- strategies -------------------------------------------------------------------------------

INT64 = st.integers(-(2**63), 2**63 - 1)
TIMES = st.none() | st.integers(0, 2**64 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | INT64 | st.floats() | st.text(max_size=200) | st.binary(max_size=200),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=6,
)
ATTRIBUTES = st.dictionaries(st.text(min_size=1, max_size=8), VALUES, max_size=4)
DROPPING = st.builds(BoundedAttributes, maxlen=st.integers(0, 3), attributes=ATTRIBUTES)
CONTEXTS = st.builds(
    SpanContext,
    trace_id=st.integers(0, 2**128 - 1),
    span_id=st.integers(0, 2**64 - 1),
    is_remote=st.booleans(),
    trace_state=st.sampled_from([None, TraceState(), TraceState([("a", "1"), ("b", "x=y")])]),
)
EVENTS = st.lists(st.builds(Event, st.text(), ATTRIBUTES | DROPPING, st.integers(0, 2**64 - 1)), max_size=2)
LINKS = st.lists(st.builds(Link, CONTEXTS, st.none() | ATTRIBUTES | DROPPING), max_size=2)
STATUSES = st.sampled_from([Status(StatusCode.UNSET), Status(StatusCode.OK)]) | st.builds(
    Status, st.just(StatusCode.ERROR), st.none() | st.text()
)
# What encodes alike is one group for us and two for the standard encoder: hence distinct names.
RESOURCES = st.lists(
    st.builds(Resource, ATTRIBUTES, st.none() | st.text()),
    min_size=1,
    max_size=3,
    unique_by=lambda resource: frozenset(resource.attributes),
)
SCOPES = st.lists(
    st.none()
    | st.builds(InstrumentationScope, st.text(min_size=1), st.none() | st.text(), st.text(), ATTRIBUTES),
    min_size=1,
    max_size=3,
    unique_by=lambda scope: scope and scope.name,
)


@st.composite
def spans(draw: st.DrawFn) -> list[ReadableSpan]:
    resources, scopes = draw(RESOURCES), draw(SCOPES)
    return draw(
        st.lists(
            st.builds(
                ReadableSpan,
                name=st.text(),
                context=CONTEXTS,
                parent=st.none() | CONTEXTS,
                resource=st.sampled_from(resources),
                attributes=st.none() | ATTRIBUTES | DROPPING,
                events=EVENTS | EVENTS.map(lambda events: BoundedList.from_seq(1, events)),
                links=LINKS | LINKS.map(lambda links: BoundedList.from_seq(1, links)),
                kind=st.sampled_from(SpanKind),
                status=STATUSES,
                start_time=TIMES,
                end_time=TIMES,
                instrumentation_scope=st.sampled_from(scopes),
            ),
            max_size=4,
        )
    )


# --- encoding ---------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(spans())
def test_encodes_as_the_standard_encoder(spans: list[ReadableSpan]) -> None:
    assert encode_resource_spans(spans) == standard(spans)


@settings(deadline=None)
@given(VALUES)
def test_any_value_encodes_as_the_standard_encoder(value: object) -> None:
    span = make_span(attributes={"key": value})
    assert encode_resource_spans([span]) == standard([span])


def test_groups_keep_the_order_in_which_they_were_first_seen() -> None:
    resources = [Resource({"n": number}) for number in (2, 1, 2)]
    scopes = [InstrumentationScope(name) for name in "ba"]
    spans = [
        make_span(name=name, resource=resources[which], instrumentation_scope=scope)
        for name, which, scope in zip("pqrs", (0, 1, 2, 0), [*scopes, *scopes], strict=True)
    ]
    frames = encode_resource_spans(spans)
    assert frames == standard(spans)
    assert [[span.name for span in decode_resource_spans(frame)] for frame in frames] == [
        ["p", "r", "s"],
        ["q"],
    ]


def test_no_spans_make_no_messages() -> None:
    assert encode_resource_spans([]) == []


def test_many_resources_are_each_encoded_right() -> None:
    spans = [make_span(resource=Resource({"n": number})) for number in range(200)]
    assert encode_resource_spans(spans) == standard(spans)


class Color(StrEnum):
    RED = "red"


class Flag(IntFlag):
    A = 1
    B = 2


@pytest.mark.parametrize(
    "value",
    [
        *(sign * 2**power + offset for power in range(63) for sign in (-1, 1) for offset in (-1, 0)),
        -(2**63),
        2**63 - 1,
        np.float64(0.1),
        np.str_("text"),
        Color.RED,
        Flag.A | Flag.B,
        range(300),
        bytearray(b"ab"),
        "é" * 100,
        "x" * 20_000,
        [[], {}, ()],
    ],
    ids=repr,
)
def test_boundaries_and_subclasses_encode_as_the_standard_encoder(value: object) -> None:
    span = make_span(attributes={"key": value})
    assert encode_resource_spans([span]) == standard([span])


# --- numpy ------------------------------------------------------------------------------------

LENGTHS = st.integers(0, 70)
SIZED = st.integers(0, 63).flatmap(lambda bits: st.integers(-(2**bits), 2**bits - 1))


@settings(deadline=None)
@given(
    arrays(np.float64, LENGTHS)
    | arrays(np.int64, LENGTHS)
    | arrays(np.int64, LENGTHS, elements=SIZED)
    | arrays(np.int64, LENGTHS, elements=st.integers(2**20, 2**20 + 9))
    | arrays(st.sampled_from([">i8", ">f8", "i4", "f4", "f2", "u4", "?", "S3", "U3"]), LENGTHS)
    | arrays(np.int64, st.tuples(st.integers(0, 3), st.integers(0, 3)))
)
def test_arrays_encode_as_their_elements(array: np.ndarray[Any, Any]) -> None:
    [frame] = standard([make_span(attributes={"key": array.tolist()})])
    assert encode({"key": array}) == frame


@pytest.mark.parametrize(
    "array",
    [
        np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324]),
        np.arange(-200, 200),
        np.array([-(2**63), 2**63 - 1, 0, 127, 128]),
        np.arange(100)[::-3],
        np.arange(100.0)[::2],
        np.array(7),
        np.array([], object),
        np.array([None, "a", 1, 2.5], object),
        np.ma.masked_array([1.0, 2.0], mask=[True, False]),
        np.int32(-5),
        np.bool_(True),
    ],
    ids=repr,
)
def test_odd_arrays_encode_as_their_elements(array: np.ndarray[Any, Any]) -> None:
    [frame] = standard([make_span(attributes={"key": array.tolist()})])
    assert encode({"key": array}) == frame


def test_arrays_inside_other_values_encode_as_their_elements() -> None:
    nested = {"table": [np.arange(3), {"x": np.array([0.5])}]}
    [frame] = standard([make_span(attributes={"key": {"table": [[0, 1, 2], {"x": [0.5]}]}})])
    assert encode({"key": nested}) == frame


def test_a_long_double_becomes_text() -> None:
    assert roundtrip(np.longdouble("0.5")) == "0.5"
    assert roundtrip(np.array([0.5], np.longdouble)) == ("0.5",)


# --- what OTLP cannot hold --------------------------------------------------------------------


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Broken(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise OSError("gone")

    def __iter__(self) -> Iterator[str]:
        raise OSError("gone")

    def __len__(self) -> int:
        return 1

    def __str__(self) -> str:
        return "broken"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (2**70, str(2**70)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (10**5000, "<int>"),
        ("a\ud800b", "a\\ud800b"),
        (1 + 2j, "(1+2j)"),
        ({1}, "{1}"),
        (np.array([1, 2**64 - 1], np.uint64), (1, str(2**64 - 1))),
        (Mute(), "<Mute>"),
        (Broken(), "broken"),
        ([1, 2**70, Mute(), "\udfff"], (1, str(2**70), "<Mute>", "\\udfff")),
        ({"x": Mute(), 3: 4}, {"x": "<Mute>", "3": 4}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_otlp_cannot_hold_becomes_text(value: object, kept: object) -> None:
    record = decode(encode({"before": 1, "key": value, "after": 2}))
    assert record.attributes == {"before": 1, "key": kept, "after": 2}


def test_deep_nesting_becomes_text_that_readers_accept() -> None:
    value: dict[str, Any] = {}
    for _ in range(23):
        value = {"in": value}
    assert roundtrip(value) == value
    [frame] = encode_resource_spans([make_span(events=[Event("e", {"key": value}, 1)])])
    assert decode(frame).events == (SpanEvent("e", 1, {"key": value}),)
    assert roundtrip({"in": value}) == str({"in": value})


def test_a_list_that_holds_itself_twice_becomes_text() -> None:
    value: list[Any] = []
    value += [value, value]
    assert roundtrip(value) == "[[...], [...]]"


def test_malformed_spans_are_kept() -> None:
    frame = encode_resource_spans(
        [
            make_span(name="\ud800"),
            make_span(name="no context", context=None),
            make_span(name="times", start_time=1.5e18, end_time=-1),
            make_span(name="names", attributes={7: "seven", "\ud801": 1}),
            make_span(name=b"bytes"),
        ]
    )[0]
    surrogate, contextless, times, names, unnamed = decode_resource_spans(frame)
    assert surrogate.name == "\\ud800"
    assert contextless.span_id == "0" * 16
    assert times.start == 1_500_000_000_000_000_000
    assert names.attributes == {"7": "seven", "\\ud801": 1}
    assert unnamed.name == "b'bytes'"


# --- decoding ---------------------------------------------------------------------------------


def plain(value: object) -> Any:
    """What a value is after decoding: lists come back as tuples."""
    if isinstance(value, (list, tuple)):
        return tuple(plain(item) for item in value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value


def expected(span: ReadableSpan) -> SpanRecord:
    assert span.context
    scope = span.instrumentation_scope
    return SpanRecord(
        trace_id=f"{span.context.trace_id:032x}",
        span_id=f"{span.context.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent and span.parent.span_id else None,
        name=span.name,
        start=min(span.start_time or 0, 2**63 - 1),  # OTLP has times unsigned, a store int64
        end=min(span.end_time or 0, 2**63 - 1),
        attributes=plain(span.attributes),
        status=span.status.status_code.name.lower(),
        status_message=span.status.description or "",
        resource=plain(span.resource.attributes),
        scope=scope.name if scope else "",
        scope_version=(scope.version or "") if scope else "",
        events=tuple(
            SpanEvent(event.name, min(event.timestamp, 2**63 - 1), plain(event.attributes))
            for event in span.events
        ),
    )


@settings(max_examples=80, deadline=None)
@given(spans())
def test_decoding_gives_back_what_was_encoded(spans: list[ReadableSpan]) -> None:
    decoded = [record for frame in encode_resource_spans(spans) for record in decode_resource_spans(frame)]
    # By repr, for which NaN equals NaN and 1 differs from True; frames reorder spans by resource.
    assert sorted(map(repr, decoded)) == sorted(repr(expected(span)) for span in spans)


@settings(deadline=None)
@given(
    arrays(np.float64, st.integers(33, 70))
    | arrays(np.int64, st.integers(33, 70))
    | arrays(np.int64, st.integers(33, 70), elements=SIZED)
)
def test_long_arrays_of_numbers_decode_to_numpy(array: np.ndarray[Any, Any]) -> None:
    decoded = roundtrip(array)
    assert decoded.dtype == array.dtype
    assert decoded.tobytes() == array.tobytes()
    assert decoded.flags.writeable


@settings(deadline=None)
@given(st.lists(INT64 | st.floats(), max_size=40))
def test_arrays_that_mix_integers_and_doubles(values: list[float]) -> None:
    decoded = roundtrip(values)
    if len(values) <= 32:
        assert repr(decoded) == repr(tuple(values))
    elif len(set(map(type, values))) == 2:
        assert decoded.dtype == np.float64
        assert decoded.tobytes() == np.array(values, np.float64).tobytes()


@pytest.mark.parametrize("odd", [None, True, "", "x" * 7, b"1234567", (0.5,), (), {}, 5, 1 << 55])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_short_arrays_of_doubles_and_anything_else(odd: object, place: int) -> None:
    """Some of these have as many bytes as a double has."""
    values = [0.25, 0.5]
    values.insert(place, odd)  # type: ignore[arg-type]
    assert repr(roundtrip(values)) == repr(tuple(values))


@pytest.mark.parametrize("head", [0, 0.5])
@pytest.mark.parametrize(
    "tail", [None, True, "", "x" * 8, "x" * 200, b"12345678", (), (1, 2), (0.5,), {}, {"a": 1}]
)
def test_long_arrays_that_hold_anything_else_decode_to_tuples(head: float, tail: object) -> None:
    values = (head,) * 40 + (tail,)
    assert roundtrip(values) == values
    assert roundtrip((tail,) * 50) == (tail,) * 50


def test_a_long_array_of_zeros_decodes_to_numpy() -> None:
    assert roundtrip([0] * 33).tolist() == [0] * 33
    assert roundtrip([0] * 32) == (0,) * 32


def test_missing_fields_decode_to_defaults() -> None:
    message = ResourceSpans.FromString(encode({"key": None}))
    message.ClearField("resource")
    message.scope_spans[0].ClearField("scope")
    span = message.scope_spans[0].spans[0]
    span.parent_span_id = bytes(8)
    span.status.code = 7  # type: ignore[assignment]
    span.attributes[0].ClearField("value")
    record = decode(message.SerializeToString())
    assert (record.parent_id, record.status, record.resource, record.scope) == (None, "unset", {}, "")
    assert record.attributes == {"key": None}


@pytest.mark.parametrize("field", ["trace_id", "span_id", "parent_span_id"])
def test_ids_of_a_wrong_length_are_refused(field: str) -> None:
    message = ResourceSpans.FromString(encode({}))
    setattr(message.scope_spans[0].spans[0], field, b"abc")
    with pytest.raises(ValueError, match="an id has 3 bytes"):
        decode_resource_spans(message.SerializeToString())


@given(st.binary(max_size=60))
def test_garbage_raises_nothing_but_value_error(data: bytes) -> None:
    try_to_decode(data)


FRAME = encode({"a": "text", "b": [0.5, 1], "c": np.arange(40), "d": np.ones(40), "e": {"f": None}})


@given(st.integers(0, len(FRAME) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_damage_raises_nothing_but_value_error(at: int, new: bytes, lost: int) -> None:
    try_to_decode(FRAME[:at] + new + FRAME[at + lost :])


def try_to_decode(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        decode_resource_spans(data)


def test_truncated_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="not an OTLP ResourceSpans message"):
        decode_resource_spans(FRAME[:-1])


# --- imports ----------------------------------------------------------------------------------


def test_the_encoder_loads_neither_protobuf_nor_numpy() -> None:
    code = """
import sys
from autotrack.otlp.encode import encode_resource_spans
from opentelemetry.sdk.trace import ReadableSpan

encode_resource_spans([ReadableSpan("fit", attributes={"a": [1, 0.5], "b": object()})])
print([name for name in ("google.protobuf", "numpy", "opentelemetry.proto") if name in sys.modules])
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
