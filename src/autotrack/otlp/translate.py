"""Logs and metrics of OpenTelemetry as the spans that a store knows.

A log record becomes a span of type `log`, a point of a metric one of type `metrics`. Both name their run by
``ml.run.id``, on themselves or on their resource; a record may instead tell the span that it was written in,
below which it then hangs. Neither has an id of its own, so it gets one made of what it says: one that comes
again is known.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from .. import semconv as sc
from ..records import SpanRecord
from . import decode_json as dj
from . import pieces
from .decode import Received

STREAM = "otel"
"""What `ml.log.stream` says of lines that came as log records."""


class _Origin(NamedTuple):
    """Who sent it: resource, and the scope's name and version."""

    resource: Mapping[str, Any]
    scope: str
    version: str


def decode_logs(data: bytes, is_json: bool) -> Received:
    """The spans of an `ExportLogsServiceRequest`. Raises ValueError if `data` is none.

    Records that tell neither a run nor a span are nobody's here: they are rejected, which the answer says.
    """
    request = _request(ExportLogsServiceRequest, data, is_json, pieces.LOGS)
    received = Received()
    for origin, group in _groups(request, "resourceLogs", "scopeLogs"):
        for record in dj.rows(group, "logRecords"):
            try:
                received.spans.append(_log_span(record, origin))
            except ValueError as error:
                received.reject(error)
    return received


def decode_metrics(data: bytes, is_json: bool) -> Received:
    """The spans of an `ExportMetricsServiceRequest`. Raises ValueError if `data` is none.

    Points that name no run are nobody's here: they are rejected, which the answer says.
    """
    request = _request(ExportMetricsServiceRequest, data, is_json, pieces.METRICS)
    received = Received()
    for origin, group in _groups(request, "resourceMetrics", "scopeMetrics"):
        tables: dict[tuple[str, int, int, int], dict[str, float]] = defaultdict(dict)
        known: dict[tuple[str, int, int, str], set[float]] = defaultdict(set)
        for metric in dj.rows(group, "metrics"):
            for kind, point in _data_points(metric):
                try:
                    for run, step, time, name, value in _points(metric, kind, point, origin):
                        others = known[run, step, time, name]
                        if value not in others:  # of one moment, as where none is told, there may be many
                            tables[run, step, time, len(others)][name] = value
                            others.add(value)
                except ValueError as error:
                    received.reject(error)
        received.spans += [
            _metrics_span(origin, run, step, time, values) for (run, step, time, _), values in tables.items()
        ]
    return received


def _request(kind: type[Message], data: bytes, is_json: bool, levels: pieces.Levels) -> dict[str, Any]:
    """The message as OTLP's JSON has it."""
    if is_json:
        return dj.loaded(data, levels)
    pieces.check(data, levels)
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(f"not an OTLP {kind.__name__} message: {error}") from None
    for group in getattr(message, "resource_logs", ()):
        for scope in group.scope_logs:
            for record in scope.log_records:
                record.trace_id, record.span_id = _hexed(record.trace_id), _hexed(record.span_id)
    found: dict[str, Any] = MessageToDict(message, use_integers_for_enums=True)
    return found


def _hexed(raw: bytes) -> bytes:
    """Bytes whose base64 is the hexadecimal form of `raw`: it becomes that when it is made JSON.

    An odd number of them is no id, nor is their own base64, so the record that has it is rejected.
    """
    return raw if len(raw) % 2 else base64.b64decode(raw.hex())


def _groups(
    request: Mapping[str, Any], of_resource: str, of_scope: str
) -> Iterator[tuple[_Origin, dict[str, Any]]]:
    for outer in dj.rows(request, of_resource):
        resource = dj.mapping(dj.rows(dj.as_object(outer.get("resource") or {}), "attributes"))
        for inner in dj.rows(outer, of_scope):
            scope = dj.as_object(inner.get("scope") or {})
            yield _Origin(resource, dj.text(scope, "name"), dj.text(scope, "version")), inner


# --- logs -----------------------------------------------------------------------------------------


def _log_span(record: Mapping[str, Any], origin: _Origin) -> SpanRecord:
    attributes = dj.mapping(dj.rows(record, "attributes"))
    time = dj.nanoseconds(record, "timeUnixNano") or dj.nanoseconds(record, "observedTimeUnixNano")
    body = dj.value(dj.as_object(record.get("body") or {}))
    trace_id = dj.optional_identifier(record, "traceId", 16)
    parent_id = dj.optional_identifier(record, "spanId", 8)
    run = _run_of(attributes, origin)
    if run is None and (trace_id is None or parent_id is None):
        raise ValueError(f"log records name no run and no span: set {sc.RUN_ID} on their resource")
    digest = _digest(origin, trace_id, parent_id, time, body, attributes)
    return SpanRecord(
        trace_id=trace_id or digest[:32],
        span_id=digest[32:48],
        parent_id=parent_id,
        name=sc.SpanType.LOG,
        start=time,
        end=time,
        attributes={
            **attributes,
            **({sc.RUN_ID: run} if run else {}),
            sc.SPAN_TYPE: sc.SpanType.LOG,
            sc.LOG_STREAM: STREAM,
            sc.LOG_TIMES: (time,),
            sc.LOG_TEXT: body if isinstance(body, str) else json.dumps(body, default=_plain),
            sc.LOG_LEVELS: (dj.text(record, "severityText"),),
            sc.LOG_LOGGERS: (origin.scope,),
        },
        resource=origin.resource,
        scope=origin.scope,
        scope_version=origin.version,
    )


# --- metrics --------------------------------------------------------------------------------------


def _data_points(metric: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each with the kind of its metric."""
    for kind in ("gauge", "sum", "histogram", "exponentialHistogram", "summary"):
        for point in dj.rows(dj.as_object(metric.get(kind) or {}), "dataPoints"):
            yield kind, point


def _points(
    metric: Mapping[str, Any], kind: str, point: Mapping[str, Any], origin: _Origin
) -> Iterator[tuple[str, int, int, str, float]]:
    """Run, step, time, name and value of what a point says."""
    name = dj.text(metric, "name")
    attributes = dj.mapping(dj.rows(point, "attributes"))
    run = _run_of(attributes, origin)
    if run is None:
        raise ValueError(f"points of {name[:100]!r} name no run: set {sc.RUN_ID} on their resource")
    attributes.pop(sc.RUN_ID, None)
    step = attributes.pop(STEP, 0)
    named = _named(name, attributes)
    time = dj.nanoseconds(point, "timeUnixNano")
    for suffix, value in _values(kind, point):
        yield run, step if type(step) is int else 0, time, named + suffix, value


STEP = "ml.step"
"""The attribute of a point that says its step."""


def _values(kind: str, point: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """A number is itself; of many that were counted into one point, their count and sum."""
    if kind in ("gauge", "sum"):
        if "asInt" in point:
            yield "", float(dj.integer(point["asInt"]))
        elif "asDouble" in point:
            yield "", dj.number(point["asDouble"])
        return
    yield "/count", float(dj.integer(point.get("count", 0)))
    if "sum" in point:
        yield "/sum", dj.number(point["sum"])


def _named(name: str, attributes: Mapping[str, Any]) -> str:
    """A metric's attributes tell its series apart, so they are part of the name."""
    if not attributes:
        return name
    said = (f"{_quoted(key)}={_said(value)}" for key, value in sorted(attributes.items()))
    return f"{name}{{{','.join(said)}}}"


def _said(value: Any) -> str:
    """A value so that no other is said like it: a text that reads as one of another type is in quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if _reads_as_another(value) else _quoted(value)
    return str(value) if isinstance(value, _SCALARS) else json.dumps(value, default=_plain)


def _quoted(text: str) -> str:
    """In quotes where it has what parts attributes."""
    return json.dumps(text, ensure_ascii=False) if _PARTING.search(text) else text


def _reads_as_another(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in ("True", "False", "None")
    return True


_SCALARS = (bool, int, float, type(None))
_PARTING = re.compile(r'[,={}\[\]"]')


def _metrics_span(origin: _Origin, run: str, step: int, time: int, values: Mapping[str, float]) -> SpanRecord:
    # Numbers that are digests never follow each other, so no writer should have many: there is one a minute.
    writer = _digest(origin, run, time // _MINUTE)[:16]
    digest = _digest(origin, run, step, time, sorted(values.items()))
    return SpanRecord(
        trace_id=digest[:32],
        span_id=digest[32:48],
        parent_id=None,
        name=sc.SpanType.METRICS,
        start=time,
        end=time,
        attributes={
            sc.SPAN_TYPE: sc.SpanType.METRICS,
            sc.SCHEMA: sc.SCHEMA_VERSION,
            sc.RUN_ID: run,
            sc.WRITER: writer,
            sc.SEQ: (int(digest[:15], 16),),
            sc.METRICS_STEP: (step,),
            sc.METRICS_TIME: (time,),
            **{sc.METRICS_VALUE_PREFIX + name: (value,) for name, value in values.items()},
        },
        resource=origin.resource,
        scope=origin.scope,
        scope_version=origin.version,
    )


_RUN_ID = re.compile(r"[0-9a-f]{32}")
_MINUTE = 60 * 10**9


def _run_of(attributes: Mapping[str, Any], origin: _Origin) -> str | None:
    """The run that it names, or its resource."""
    run = attributes.get(sc.RUN_ID, origin.resource.get(sc.RUN_ID))
    return run if isinstance(run, str) and _RUN_ID.fullmatch(run) else None


def _plain(value: Any) -> Any:
    """What JSON has no type for; numpy's own text of an array leaves most of it out."""
    return value.tolist() if isinstance(value, np.ndarray) else str(value)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, default=_plain, sort_keys=True).encode()).hexdigest()
