"""Spans from OTLP's JSON: ids in hex, 64-bit integers as text or numbers, enumerations as numbers."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..records import SpanEvent, SpanRecord
from . import pieces
from .decode import INT64_MAX, LONGEST_TUPLE, Received

_STATUSES = {1: "ok", 2: "error", "STATUS_CODE_OK": "ok", "STATUS_CODE_ERROR": "error"}
_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_INTEGER = re.compile(r"-?\d{1,20}")
_MOST_LEVELS = 24


def decode_json_request(data: bytes) -> Received:
    """Read an `ExportTraceServiceRequest` in JSON. Raises ValueError if `data` is none.

    As by `decode_request`, long arrays of numbers become numpy arrays, and a span that is none costs the
    others nothing.
    """
    message = loaded(data, pieces.TRACES)
    received = Received()
    for group in rows(message, "resourceSpans"):
        resource = mapping(rows(as_object(group.get("resource") or {}), "attributes"))
        for scope_spans in rows(group, "scopeSpans"):
            scope = as_object(scope_spans.get("scope") or {})
            for span in _list(scope_spans, "spans"):
                try:
                    received.spans.append(_record(as_object(span), scope, resource))
                except ValueError as error:
                    received.reject(error)
    return received


def loaded(data: bytes, levels: pieces.Levels) -> dict[str, Any]:
    """The object that is the request. Raises ValueError."""
    pieces.check_brackets(data)
    try:
        message = as_object(json.loads(data))
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    pieces.check_json(message, levels)
    return message


def as_object(found: Any) -> dict[str, Any]:
    """An object of JSON. Raises ValueError if it is something else."""
    if not isinstance(found, dict):
        raise ValueError(f"{found!r:.60} is no object")
    return found


def rows(message: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """The objects of a list, which may be absent. Raises ValueError if it is something else."""
    return map(as_object, _list(message, name))


def mapping(items: Iterator[dict[str, Any]], room: int = _MOST_LEVELS) -> dict[str, Any]:
    """Attributes. Raises ValueError."""
    return {text(item, "key"): value(as_object(item.get("value") or {}), room) for item in items}


def value(told: Mapping[str, Any], room: int = _MOST_LEVELS) -> Any:
    """An `AnyValue`. Raises ValueError."""
    if not room:
        raise ValueError("a value is nested too deeply")
    for kind, found in told.items():
        match kind:
            case "stringValue":
                return text(told, kind)
            case "boolValue":
                if not isinstance(found, bool):
                    raise ValueError(f"{found!r:.60} is neither true nor false")
                return found
            case "intValue":
                return integer(found)
            case "doubleValue":
                return number(found)
            case "bytesValue":
                return _bytes(text(told, kind))
            case "arrayValue":
                return _array([value(item, room - 1) for item in rows(as_object(found), "values")])
            case "kvlistValue":
                return mapping(rows(as_object(found), "values"), room - 1)
    return None


def integer(told: Any) -> int:
    """A 64-bit number, as text or not. Raises ValueError."""
    if isinstance(told, str) and _INTEGER.fullmatch(told):
        told = int(told)
    if isinstance(told, float) and told.is_integer():
        told = int(told)
    if type(told) is not int or not -(2**63) <= told < 2**64:
        raise ValueError(f"{told!r:.60} is no 64-bit number")
    return told


def number(told: Any) -> float:
    """A double; proto3's JSON has NaN and infinities as text. Raises ValueError."""
    if isinstance(told, str) and told in _NUMBERS:
        return _NUMBERS[told]
    if isinstance(told, bool) or not isinstance(told, (int, float, str)):
        raise ValueError(f"{told!r:.60} is no number")
    try:
        return float(told)
    except (ValueError, OverflowError):
        raise ValueError(f"{told!r:.60} is no number") from None


def text(message: Mapping[str, Any], name: str) -> str:
    """A text, "" where it is absent. Raises ValueError if it is something else."""
    found = message.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise ValueError(f"{name} is no text")
    return found.encode("utf-8", "replace").decode()  # half a surrogate pair is no character


def nanoseconds(message: Mapping[str, Any], name: str) -> int:
    """A time, 0 where it is absent. Raises ValueError."""
    return min(max(integer(message.get(name) or 0), 0), INT64_MAX)


def identifier(message: Mapping[str, Any], name: str, size: int) -> str:
    """An id in hex, "" where it is absent. Raises ValueError if it has another length."""
    found = text(message, name).lower()
    if found and not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", found):
        raise ValueError(f"{name} is not {2 * size} hexadecimal digits")
    return found


def optional_identifier(message: Mapping[str, Any], name: str, size: int) -> str | None:
    """The same; None where it is absent or all zeros, which says so too."""
    found = identifier(message, name, size)
    return found if found.strip("0") else None


def _record(span: Mapping[str, Any], scope: Mapping[str, Any], resource: Mapping[str, Any]) -> SpanRecord:
    trace_id, span_id = identifier(span, "traceId", 16), identifier(span, "spanId", 8)
    if not (trace_id and span_id):
        raise ValueError("a span without an id")
    status = as_object(span.get("status") or {})
    code = status.get("code")
    return SpanRecord(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=optional_identifier(span, "parentSpanId", 8),
        name=text(span, "name"),
        start=nanoseconds(span, "startTimeUnixNano"),
        end=nanoseconds(span, "endTimeUnixNano"),
        attributes=mapping(rows(span, "attributes")),
        status=_STATUSES.get(code, "unset") if isinstance(code, (int, str)) else "unset",
        status_message=text(status, "message"),
        resource=resource,
        scope=text(scope, "name"),
        scope_version=text(scope, "version"),
        events=tuple(
            SpanEvent(
                text(event, "name"), nanoseconds(event, "timeUnixNano"), mapping(rows(event, "attributes"))
            )
            for event in rows(span, "events")
        ),
    )


def _array(values: list[Any]) -> Any:
    """As `decode` has it: many numbers are an array, one double among them makes it one of doubles."""
    if len(values) > LONGEST_TUPLE:
        kinds = {type(found) for found in values}
        if kinds == {int} and all(-(2**63) <= found < 2**63 for found in values):
            return np.array(values, np.int64)
        if kinds <= {int, float}:
            return np.array(values, np.float64)
    return tuple(values)


def _bytes(told: str) -> bytes:
    try:
        return base64.b64decode(told, validate=True)
    except binascii.Error:
        raise ValueError("bytesValue is no base64") from None


def _list(message: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = message.get(name)
    if found is None:
        return ()
    if not isinstance(found, list):
        raise ValueError(f"{name} is no list")
    return found
