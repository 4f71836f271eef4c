"""OTLP in over HTTP, from whoever: never a fault of the server, and what is refused leaves nothing behind."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from backports import zstd
from google.protobuf.json_format import ParseDict
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from autotrack import semconv as sc
from autotrack.testing.histories import RUNS, histories

from .live import Threaded
from .test_otlp_in import JSON, PROTOBUF, as_json, body_of, junk, points

Told = dict[str, Any]

numbers = st.integers(0, 2**63 - 1).map(str)
floats = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["NaN", "Infinity", "-Infinity"])
values = st.one_of(
    st.text(max_size=5).map(lambda text: {"stringValue": text}),
    st.integers(-(2**63), 2**63 - 1).map(lambda number: {"intValue": str(number)}),
    floats.map(lambda number: {"doubleValue": number}),
)
attributes = st.dictionaries(st.text(max_size=5) | st.just("ml.step"), values, max_size=2).map(
    lambda told: [{"key": key, "value": value} for key, value in told.items()]
)
resources = st.sampled_from([*RUNS[:2]] * 4 + ["no run", ""]).map(
    lambda run: {"attributes": [{"key": sc.RUN_ID, "value": {"stringValue": run}}] if run else []}
)
counted = {"timeUnixNano": numbers, "count": numbers, "sum": floats, "attributes": attributes}
single = st.fixed_dictionaries({"timeUnixNano": numbers, "asDouble": floats, "attributes": attributes})
whole = st.fixed_dictionaries({"timeUnixNano": numbers, "asInt": numbers, "attributes": attributes})
bounds = st.fixed_dictionaries(
    {**counted, "bucketCounts": st.just(["1", "2"]), "explicitBounds": st.just([0.5])}
)
scaled = st.fixed_dictionaries({**counted, "scale": st.integers(-9, 9), "zeroCount": numbers})
quantiles = st.fixed_dictionaries(counted)
records = st.fixed_dictionaries(
    {"timeUnixNano": numbers, "severityText": st.text(max_size=5), "body": values, "attributes": attributes}
)


def metric(kind: str, point: st.SearchStrategy[Told], **more: Any) -> st.SearchStrategy[Told]:
    told = {"name": st.text(max_size=5), kind: st.lists(point, min_size=1, max_size=3)}
    return st.fixed_dictionaries(told).map(lambda made: {**made, kind: {"dataPoints": made[kind], **more}})


metrics = st.one_of(
    metric("gauge", single | whole),
    metric("sum", single | whole, aggregationTemporality=2, isMonotonic=True),
    metric("histogram", bounds, aggregationTemporality=2),
    metric("exponentialHistogram", scaled, aggregationTemporality=2),
    metric("summary", quantiles),
)


def request(signal: str, scope: str, rows: str, row: st.SearchStrategy[Told]) -> st.SearchStrategy[Told]:
    made = st.tuples(resources, st.lists(row, min_size=1, max_size=3))
    return made.map(lambda own: {signal: [{"resource": own[0], scope: [{rows: own[1]}]}]})


traces = histories().map(lambda spans: body_of(*spans, points("x", [1.0])[1]))  # with what is new in any case
TOLD = {
    "traces": traces.map(as_json),
    "logs": request("resourceLogs", "scopeLogs", "logRecords", records),
    "metrics": request("resourceMetrics", "scopeMetrics", "metrics", metrics),
}
PACKED = {
    "traces": traces,
    "logs": TOLD["logs"].map(lambda told: ParseDict(told, ExportLogsServiceRequest()).SerializeToString()),
    "metrics": TOLD["metrics"].map(
        lambda told: ParseDict(told, ExportMetricsServiceRequest()).SerializeToString()
    ),
}
ENCODED: dict[str, Any] = {"identity": bytes, "gzip": gzip.compress, "zstd": zstd.compress}


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes with some of them left out, put in or flipped."""
    at, end = sorted(draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    match draw(st.sampled_from(["cut", "spliced", "flipped", "junk"])):
        case "cut":
            return whole[:at]
        case "spliced":
            return whole[:at] + draw(st.binary(max_size=20)) + whole[end:]
        case "flipped":
            flipped = bytes(byte ^ draw(st.integers(1, 255)) for byte in whole[at : at + 2])
            return whole[:at] + flipped + whole[at + 2 :]
    return draw(st.binary(max_size=200))


@st.composite
def replaced(draw: st.DrawFn, told: Any) -> Any:
    """What is told, with junk in the place of something in it."""
    inner = list(told) if isinstance(told, dict) else list(range(len(told))) if isinstance(told, list) else []
    if not inner or draw(st.integers(0, 7)) == 0:
        return draw(junk)
    key = draw(st.sampled_from(inner))
    changed = told.copy()
    changed[key] = draw(replaced(told[key]))
    return changed


@st.composite
def messages(draw: st.DrawFn, signal: str, is_json: bool) -> tuple[bytes, dict[str, str]]:
    """A body and its headers; what is wrong with them, if anything, is one thing."""
    told = draw(TOLD[signal])
    wrong = draw(st.sampled_from(["", "", "told", "body", "packed", "type", "encoding"]))
    if wrong == "told" and is_json:
        told = draw(replaced(told))
    body = json.dumps(told).encode() if is_json else draw(PACKED[signal])
    if wrong == "body":
        body = draw(mutated(body))
    encoding = draw(st.sampled_from(list(ENCODED)))
    packed = ENCODED[encoding](body)
    if wrong == "packed":
        packed = draw(mutated(packed))
    headers = dict(JSON if is_json else PROTOBUF)
    if wrong == "type":
        headers = dict(
            draw(st.sampled_from([PROTOBUF if is_json else JSON, {}, {"content-type": "text/plain"}]))
        )
    if wrong == "encoding":
        encoding = draw(st.sampled_from([*ENCODED, "br", "gzip, gzip", "é"]))
    if encoding != "identity":
        headers["content-encoding"] = encoding
    return packed, headers


@pytest.mark.parametrize("is_json", [False, True], ids=["protobuf", "json"])
@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
def test_nothing_that_is_sent_is_a_fault_and_what_is_refused_leaves_nothing(
    server: Threaded, signal: str, is_json: bool
) -> None:
    refused = kept = 0
    known = server.facts()

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],  # a store that has been told something is no longer the same
    )
    @given(messages(signal, is_json))
    def send(message: tuple[bytes, dict[str, str]]) -> None:
        nonlocal refused, kept, known
        body, headers = message
        answer = server.ask("POST", f"/v1/{signal}", body, headers)
        before, known = known, server.facts()
        assert answer.status < 500, answer.data
        if answer.status >= 400:
            assert answer.data, "why, in words"
            assert known == before
            refused += 1
        else:
            kept += known != before

    send()
    assert refused
    assert kept, "else the store may be deaf"
