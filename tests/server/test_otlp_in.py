"""OTLP in over HTTP, as SDKs, collectors and broken programs send it."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from backports import zstd
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from autotrack import semconv as sc
from autotrack.backends.sqlite import SqliteBackend
from autotrack.otlp import pieces
from autotrack.otlp.answer import Kind
from autotrack.otlp.decode import decode_request
from autotrack.otlp.decode_json import decode_json_request
from autotrack.otlp.records import encode_records
from autotrack.otlp.requests import joined
from autotrack.otlp.transport import answer_of
from autotrack.otlp.wire import block
from autotrack.records import SpanRecord
from autotrack.server import bodies, intake
from autotrack.testing.histories import histories, ours

from ..disks import Disk
from ..scripts import TIMEOUT, wait_until
from .live import Threaded

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
_numbers = iter(range(1, 1 << 30))


def points(name: str, values: Any, run: str | None = None) -> tuple[str, SpanRecord]:
    """A run of its own, and a table of its points."""
    number = next(_numbers)
    run = run or f"{number:032x}"
    facts = {
        sc.METRICS_STEP: tuple(range(len(values))),
        sc.METRICS_TIME: tuple(range(len(values))),
        sc.METRICS_VALUE_PREFIX + name: tuple(values),
    }
    return run, ours("metrics", run, 1, f"{number:016x}", (1,), facts, 1)


def body_of(*spans: SpanRecord) -> bytes:
    return joined(encode_records(spans))


def as_json(body: bytes) -> dict[str, Any]:
    """As OTLP's JSON has it: ids in hexadecimal."""
    told = MessageToDict(ExportTraceServiceRequest.FromString(body), use_integers_for_enums=True)
    request = ExportTraceServiceRequest.FromString(body)
    for group, raw_group in zip(told.get("resourceSpans", ()), request.resource_spans, strict=True):
        for scope, raw_scope in zip(group.get("scopeSpans", ()), raw_group.scope_spans, strict=True):
            for span, raw in zip(scope["spans"], raw_scope.spans, strict=True):
                span |= {"traceId": raw.trace_id.hex(), "spanId": raw.span_id.hex()}
                span["parentSpanId"] = raw.parent_span_id.hex()
    return told


def curve(server: Threaded, run: str, name: str) -> list[float]:
    """What the server says of it."""
    return list(server.ask("GET", f"/api/v1/runs/{run}/points?name={name}").json()["value"])


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("identity", bytes), ("gzip", gzip.compress), ("zstd", zstd.compress), ("", bytes)],
)
def test_protobuf_in_each_encoding(server: Threaded, encoding: str, packed: Any) -> None:
    run, span = points("loss", [1.0, 2.0, 3.5])
    headers = PROTOBUF | ({"content-encoding": encoding} if encoding else {})
    answer = server.ask("POST", "/v1/traces", packed(body_of(span)), headers)
    assert (answer.status, answer.headers["content-type"], answer.data) == (
        200,
        PROTOBUF["content-type"],
        b"",
    )
    assert curve(server, run, "loss") == [1.0, 2.0, 3.5], "it was committed before the answer"


def test_json_with_integers_among_the_numbers(server: Threaded) -> None:
    """JavaScript has one type of number."""
    run, span = points("loss", [1.0, 2.5] * 30)
    told = as_json(body_of(span))
    for attribute in told["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"]:
        for value in attribute["value"].get("arrayValue", {}).get("values", ()):
            if value.get("doubleValue") == 1.0:
                del value["doubleValue"]
                value["intValue"] = "1"
    answer = server.ask(
        "POST", "/v1/traces", json.dumps(told), JSON | {"content-type": "application/json; charset=utf-8"}
    )
    assert (answer.status, answer.json()) == (200, {})
    assert curve(server, run, "loss") == [1.0, 2.5] * 30


def test_chunked_bodies_without_a_length(server: Threaded) -> None:
    run, span = points("loss", [4.0])
    body = body_of(span)
    parts = iter([body[:10], body[10:]])
    assert server.ask("POST", "/v1/traces", parts, PROTOBUF).status == 200
    assert curve(server, run, "loss") == [4.0]


def test_spans_that_are_none_cost_the_others_nothing(server: Threaded) -> None:
    run, span = points("loss", [5.0])
    request = ExportTraceServiceRequest.FromString(body_of(span))
    request.resource_spans[0].scope_spans[0].spans.add(name="no ids")
    answer = server.ask("POST", "/v1/traces", request.SerializeToString(), PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(answer.data).partial_success
    assert (answer.status, partial.rejected_spans) == (200, 1)
    assert "an id has 0 bytes, not 16" in partial.error_message
    assert curve(server, run, "loss") == [5.0]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"nonsense", PROTOBUF, 400),
        (b"nonsense", JSON, 400),
        (b"[]", JSON, 400),
        (b'{"resourceSpans": 1}', JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": {}}]}]}', JSON, 400),
        (b"\xff\xfe", JSON, 400),
        (b"", {}, 415),
        (b"", {"content-type": "text/plain"}, 415),
        (b"x", PROTOBUF | {"content-encoding": "br"}, 415),
        (b"no gzip", PROTOBUF | {"content-encoding": "gzip"}, 400),
        (gzip.compress(b"x" * 1000)[:-9], PROTOBUF | {"content-encoding": "gzip"}, 400),
        (b"no zstd", PROTOBUF | {"content-encoding": "zstd"}, 400),
        (zstd.compress(b"x" * 1000)[:-3], PROTOBUF | {"content-encoding": "zstd"}, 400),
    ],
    ids=[f"case {n}" for n in range(14)],
)
def test_what_is_no_request_gets_a_clear_answer(
    server: Threaded, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = server.ask("POST", "/v1/traces", body, headers)
    assert answer.status == status
    assert answer.data


REFUSED = {
    "no request": (b"nonsense", {}, 400, ""),
    "no token": (b"", {"authorization": "Bearer wrong"}, 401, "a token is needed"),
    "another host": (b"", {"host": "evil.example"}, 403, "does not go by"),
    "another site": (b"", {"origin": "http://evil.example"}, 403, "a page of another site"),
    "encoding": (b"", {"content-encoding": "br"}, 415, "content-encoding 'br' is not known"),
}


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
@pytest.mark.parametrize("kind", [PROTOBUF, JSON], ids=["protobuf", "json"])
@pytest.mark.parametrize(("body", "headers", "status", "said"), REFUSED.values(), ids=[*REFUSED])
def test_an_error_is_a_status_in_the_form_of_the_request(
    server: Threaded,
    signal: str,
    kind: dict[str, str],
    body: bytes,
    headers: dict[str, str],
    status: int,
    said: str,
) -> None:
    """As OTLP/HTTP says, whoever refuses; and autotrack's own client tells it all the same."""
    answer = server.ask("POST", f"/v1/{signal}", body, kind | headers)
    assert (answer.status, answer.headers["content-type"]) == (status, kind["content-type"])
    told = Status.FromString(answer.data) if kind is PROTOBUF else ParseDict(answer.json(), Status())
    assert told.message
    assert said in told.message
    if kind is PROTOBUF:
        found = answer_of(status, dict(answer.headers), answer.data)
        said = "set AUTOTRACK_TOKEN to its token" if status == 401 else told.message[:300]
        expected = Kind.BAD if status == 400 else Kind.REFUSED
        assert (found.kind, found.message) == (expected, f"HTTP {status}: {said}")


def test_a_fault_and_a_method_that_there_is_not_are_statuses_too(
    server: Threaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*asked: object) -> None:
        raise ArithmeticError("what nobody thought of")

    assert ParseDict(server.ask("PUT", "/v1/traces", b"{}", JSON).json(), Status()).message
    monkeypatch.setattr(server.server.intake, "take", broken)
    answer = server.ask("POST", "/v1/logs", b"{}", JSON)
    told = ParseDict(answer.json(), Status())
    assert (answer.status, told.message) == (500, "a fault of the server: ArithmeticError; its log says more")


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_a_small_body_that_unpacks_into_a_huge_one(server: Threaded, encoding: str, pack: Any) -> None:
    bomb = pack(bytes(bodies.MOST_BYTES + 1))
    assert len(bomb) < 1 << 20
    answer = server.ask("POST", "/v1/traces", bomb, PROTOBUF | {"content-encoding": encoding})
    assert answer.status == 413


EMPTY = {
    "groups": b"\x0a\x00" * 200_000,
    "spans": block(b"\x0a", block(b"\x12", b"\x12\x00" * 200_000)),
    "attributes": block(b"\x0a", block(b"\x12", block(b"\x12", b"\x4a\x00" * 2_100_000))),
    "events": block(b"\x0a", block(b"\x12", block(b"\x12", b"\x5a\x00" * 2_100_000))),
    "an event's attributes": block(
        b"\x0a", block(b"\x12", block(b"\x12", block(b"\x5a", b"\x1a\x00" * 2_100_000)))
    ),
    "a resource's attributes": block(b"\x0a", block(b"\x0a", b"\x0a\x00" * 2_100_000)),
    "a scope's attributes": block(b"\x0a", block(b"\x12", block(b"\x0a", b"\x1a\x00" * 2_100_000))),
    "unknown": b"\x0b\x0c" + block(b"\x0a", b"\x28\x00" * 600_000),
    "JSON's groups": b'{"resourceSpans":[' + b"{}," * 100_000 + b"{}]}",
    "JSON's spans": b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"{}," * 100_000 + b"{}]}]}]}",
    "JSON's lists": b"[" + b"[]," * 4_000_000 + b"[]]",
}


@pytest.mark.parametrize("what", EMPTY)
def test_a_small_body_of_many_empty_pieces(server: Threaded, what: str) -> None:
    """They would take gigabytes, and keep all others waiting; a client that splits gets them in."""
    head = JSON if "JSON" in what else PROTOBUF
    answer = server.ask("POST", "/v1/traces", zstd.compress(EMPTY[what]), head | {"content-encoding": "zstd"})
    assert answer.status == 413
    assert answer_of(answer.status, dict(answer.headers), answer.data).kind is Kind.TOO_LARGE


def test_many_empty_points_are_too_many(server: Threaded) -> None:
    points, exemplars = b"\x0a\x00" * 200_000, block(b"\x0a", b"\x2a\x00" * 2_100_000)
    for gauge in (points, exemplars):
        body = block(b"\x0a", block(b"\x12", block(b"\x12", block(b"\x2a", gauge))))
        assert server.ask("POST", "/v1/metrics", body, PROTOBUF).status == 413


def test_a_large_batch_is_taken(server: Threaded) -> None:
    run, span = points("loss", [1.0])
    body = body_of(span, *(replace(span, span_id=f"{n:016x}", attributes={}) for n in range(20_000)))
    assert server.ask("POST", "/v1/traces", body, PROTOBUF).status == 200
    assert curve(server, run, "loss") == [1.0]


@given(noise=st.binary(max_size=40))
def test_pieces_of_no_request_are_left_to_who_decodes_it(noise: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "MOST_PIECES", 5)
        with contextlib.suppress(pieces.TooMany):
            pieces.check(noise, pieces.METRICS)


def test_a_body_that_says_it_is_too_large_is_not_even_read(server: Threaded) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        client.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n"
            b"Content-Type: application/x-protobuf\r\nContent-Length: 99999999999\r\n\r\n"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 413")


def test_a_body_that_ends_early_leaves_nothing(server: Threaded) -> None:
    run, span = points("loss", [6.0])
    body = body_of(span)
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        head = (
            "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n"
            f"Content-Type: application/x-protobuf\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body[:-1])
    assert server.ask("GET", f"/api/v1/runs/{run}").status == 404


def test_many_at_once_are_all_there(server: Threaded) -> None:
    tables = [points("x", [float(n)]) for n in range(100)]
    statuses: list[int] = []

    def send(some: list[tuple[str, SpanRecord]]) -> None:
        statuses.extend(server.ask("POST", "/v1/traces", body_of(span), PROTOBUF).status for _, span in some)

    senders = [threading.Thread(target=send, args=(tables[n::8],)) for n in range(8)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert statuses == [200] * 100
    assert [curve(server, run, "x") for run, _ in tables] == [[float(n)] for n in range(100)]


def test_one_bad_body_in_a_group_costs_the_others_nothing(
    server: Threaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SqliteBackend.write
    run, span = points("x", [1.0])
    poison = points("poison", [1.0])[1]

    def write(self: SqliteBackend, spans: Any, received: int | None = None) -> set[str]:
        spans = list(spans)
        if any(sc.METRICS_VALUE_PREFIX + "poison" in s.attributes for s in spans):
            raise ArithmeticError("what nobody thought of")
        return real(self, spans, received)

    monkeypatch.setattr(SqliteBackend, "write", write)
    answers: dict[str, int] = {}

    def send(name: str, body: bytes) -> None:
        answers[name] = server.ask("POST", "/v1/traces", body, PROTOBUF).status

    senders = [
        threading.Thread(target=send, args=("poison", body_of(poison))),
        threading.Thread(target=send, args=("good", body_of(span))),
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert answers == {"poison": 400, "good": 200}
    assert curve(server, run, "x") == [1.0]


def test_a_disk_that_is_full_asks_for_patience(disk: Disk) -> None:
    """Of what was refused there is nothing; with room again the same requests are taken."""
    numbers = np.random.default_rng(0)
    tables = dict(points("x", numbers.normal(size=5_000).tolist()) for _ in range(20))
    bodies = {run: body_of(span) for run, span in tables.items()}
    with Threaded(f"sqlite:///{disk('size=1m')}/runs.db") as server:
        answers, ready = {}, set()
        for run, body in bodies.items():
            answers[run] = server.ask("POST", "/v1/traces", body, PROTOBUF)
            if answers[run].status != 200:
                ready.add(server.ask("GET", "/ready").status)
        refused = {run for run, answer in answers.items() if answer.status != 200}
        assert 0 < len(refused) < len(tables)
        assert {(answers[run].status, answers[run].headers["retry-after"]) for run in refused} == {(503, "5")}
        assert "full" in answers[min(refused)].data.decode(errors="replace")
        assert ready == {503}
        assert server.ask("GET", "/health").status == 200
        for run in answers:
            assert server.ask("GET", f"/api/v1/runs/{run}").status == (404 if run in refused else 200)
        disk("size=64m")
        for run in refused:
            assert server.ask("POST", "/v1/traces", bodies[run], PROTOBUF).status == 200
        assert server.ask("GET", "/ready").status == 200
        for run, span in tables.items():
            assert curve(server, run, "x") == list(span.attributes[f"{sc.METRICS_VALUE_PREFIX}x"])


def test_when_more_waits_than_can_be_kept(server: Threaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "WAITING_BYTES", 10)
    goes_on = threading.Event()
    real = SqliteBackend.write

    def slow(self: SqliteBackend, spans: Any, received: int | None = None) -> set[str]:
        goes_on.wait(30)
        return real(self, spans, received)

    monkeypatch.setattr(SqliteBackend, "write", slow)
    first = threading.Thread(
        target=server.ask, args=("POST", "/v1/traces", body_of(points("x", [1.0])[1]), PROTOBUF)
    )
    first.start()
    while not server.server.intake._waiting_bytes:  # until the first one has arrived
        time.sleep(0.01)
    answer = server.ask("POST", "/v1/traces", body_of(points("x", [1.0])[1]), PROTOBUF)
    assert answer.status == 429
    assert answer.headers["retry-after"] == "1"
    goes_on.set()
    first.join()


def test_when_more_is_being_read_than_can_be_kept(server: Threaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two whose bodies come, the one that makes it too much is asked to try again."""
    monkeypatch.setattr(bodies, "MOST_BEING_READ", 100)
    body = body_of(points("x", [1.0])[1])
    goes_on, answered = threading.Event(), []

    def parts() -> Iterator[bytes]:
        yield body[:100]
        goes_on.wait(TIMEOUT)
        yield body[100:]

    def send() -> None:
        answered.append(server.ask("POST", "/v1/traces", parts(), PROTOBUF).status)

    first = threading.Thread(target=send)
    first.start()
    wait_until(lambda: bodies._being_read == 100)
    answer = server.ask("POST", "/v1/traces", body, PROTOBUF)
    goes_on.set()
    first.join()
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert "too much is being sent at once" in Status.FromString(answer.data).message
    assert answered == [200], "alone it may be as large as any"
    assert server.ask("POST", "/v1/traces", body, PROTOBUF).status == 200


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_what_is_being_unpacked_counts_too(
    server: Threaded, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(bodies, "MOST_BEING_READ", 3 << 20)
    monkeypatch.setattr(bodies, "_being_read", 10)  # another's
    encoding = {"content-encoding": "gzip" if pack is gzip.compress else "zstd"}
    packed = pack(b"\xff" * (5 << 20))
    answer = server.ask("POST", "/v1/traces", packed, PROTOBUF | encoding)
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert bodies._being_read == 10
    monkeypatch.setattr(bodies, "_being_read", 0)
    answer = server.ask("POST", "/v1/traces", packed, PROTOBUF | encoding)
    assert answer.status == 400, "alone it is unpacked, and holds no spans"
    assert bodies._being_read == 0


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (5 << 20) + 7])
@pytest.mark.parametrize("makes", [bytes, os.urandom])
def test_bodies_are_unpacked_step_by_step(makes: Callable[[int], bytes], size: int) -> None:
    body = makes(size)
    for encoding, pack in (("gzip", gzip.compress), ("zstd", zstd.compress)):
        assert bodies._unpacked(pack(body) + pack(b"end"), encoding, bodies.MOST_BYTES) == body + b"end"


def test_a_body_that_comes_too_slowly_is_given_up(server: Threaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then would keep its room, which is others' too; a slow line gets the time it needs."""
    monkeypatch.setattr(bodies, "SILENCE", 2.0)
    monkeypatch.setattr(bodies, "LEAST_RATE", 20)
    monkeypatch.setattr(bodies, "LINGER", 0.0)
    body = body_of(points("x", [1.0])[1])

    with socket.create_connection(("127.0.0.1", server.port), timeout=0.1) as client:
        client.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n"
            b"Content-Type: application/x-protobuf\r\nContent-Length: 1000\r\n\r\n"
        )
        answer, sent = b"", 0
        while not answer and sent < 200:
            client.sendall(b"\n")
            sent += 1
            with contextlib.suppress(TimeoutError):
                answer = client.recv(1 << 16)
        client.settimeout(TIMEOUT)
        while part := client.recv(1 << 16):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"too slowly" in answer

    def parts() -> Iterator[bytes]:
        for at in range(0, len(body), 30):
            yield body[at : at + 30]
            time.sleep(0.25)

    began = time.monotonic()
    assert server.ask("POST", "/v1/traces", parts(), PROTOBUF).status == 200
    assert time.monotonic() - began > bodies.SILENCE


def test_metrics_are_translated(server: Threaded) -> None:
    run = f"{next(_numbers):032x}"
    resource = {"attributes": [{"key": sc.RUN_ID, "value": {"stringValue": run}}]}
    point = {"timeUnixNano": "7", "asDouble": 0.5}
    metrics = {
        "resourceMetrics": [
            {
                "resource": resource,
                "scopeMetrics": [{"metrics": [{"name": "gpu", "gauge": {"dataPoints": [point]}}]}],
            }
        ]
    }
    for _ in range(2):  # one that comes again is known
        assert server.ask("POST", "/v1/metrics", json.dumps(metrics), JSON).json() == {}
    assert curve(server, run, "gpu") == [0.5]
    del metrics["resourceMetrics"][0]["resource"]
    answer = server.ask("POST", "/v1/metrics", json.dumps(metrics), JSON).json()
    assert answer["partialSuccess"]["rejectedDataPoints"] == "1"
    assert "set ml.run.id on their resource" in answer["partialSuccess"]["errorMessage"]


def gauges(run: str, *points: dict[str, Any]) -> str:
    """Points of the metric `m`."""
    resource = {"attributes": [{"key": sc.RUN_ID, "value": {"stringValue": run}}]}
    group = {"metrics": [{"name": "m", "gauge": {"dataPoints": points}}]}
    return json.dumps({"resourceMetrics": [{"resource": resource, "scopeMetrics": [group]}]})


def series(**attributes: Any) -> list[dict[str, Any]]:
    """Attributes in JSON."""
    return [
        {"key": key, "value": {"stringValue": value} if isinstance(value, str) else value}
        for key, value in attributes.items()
    ]


def test_a_series_has_a_name_of_its_own(server: Threaded) -> None:
    named = {
        "m{k=a,z=b c}": series(k="a", z="b c"),
        'm{k="1,z=2"}': series(k="1,z=2"),
        'm{k="1",z="2"}': series(k="1", z="2"),
        "m{k=1,z=2}": series(k={"intValue": "1"}, z={"intValue": "2"}),
        "m{k=1.0}": series(k={"doubleValue": 1.0}),
        "m{k=True}": series(k={"boolValue": True}),
        'm{k="True"}': series(k="True"),
        'm{k="a}"}': series(k="a}"),
        'm{k="\\"a\\""}': series(k='"a"'),
        'm{k=["a"]}': series(k={"arrayValue": {"values": [{"stringValue": "a"}]}}),
        'm{k="[\\"a\\"]"}': series(k='["a"]'),
        'm{"k=a,z"=b}': series(**{"k=a,z": "b"}),
        'm{k="nan"}': series(k="nan"),
        "m{k=}": series(k=""),
        "m{k=None}": series(k={}),
        'm{k="None"}': series(k="None"),
    }
    run = f"{next(_numbers):032x}"
    points = [{"timeUnixNano": "7", "asDouble": n, "attributes": a} for n, a in enumerate(named.values())]
    assert server.ask("POST", "/v1/metrics", gauges(run, *points), JSON).json() == {}
    assert {name: curve(server, run, name) for name in named} == {n: [v] for v, n in enumerate(named)}


@pytest.mark.parametrize("time", ["0", "7"])
@pytest.mark.parametrize("together", [True, False])
def test_points_that_differ_in_their_values_alone_are_all_kept(
    server: Threaded, time: str, together: bool
) -> None:
    run = f"{next(_numbers):032x}"
    points = [{"timeUnixNano": time, "asDouble": value} for value in (0.5, 0.25, 0.5, float("nan"))]
    points[-1]["asDouble"] = "NaN"
    bodies = [gauges(run, *points)] if together else [gauges(run, point) for point in points]
    for _ in range(2):  # one that comes again is known
        for body in bodies:
            assert server.ask("POST", "/v1/metrics", body, JSON).json() == {}
    assert sorted(map(str, curve(server, run, "m"))) == ["0.25", "0.5", "NaN"]


def a_log(time: int, text: str, **facts: Any) -> dict[str, Any]:
    return {"timeUnixNano": f"{time}", "body": {"stringValue": text}, "severityText": "WARN", **facts}


def logs_of(resource: dict[str, Any], *records: dict[str, Any]) -> dict[str, Any]:
    group = {"scope": {"name": "app"}, "logRecords": records}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [group]}]}


def as_protobuf(logs: dict[str, Any]) -> bytes:
    """Protobuf's own JSON has ids in base64."""
    told = json.loads(json.dumps(logs))
    for record in told["resourceLogs"][0]["scopeLogs"][0]["logRecords"]:
        for key in {"traceId", "spanId"} & record.keys():
            record[key] = base64.b64encode(bytes.fromhex(record[key])).decode()
    return ParseDict(told, ExportLogsServiceRequest()).SerializeToString()


def lines_of(server: Threaded, run: str) -> list[tuple[str, str, str, str]]:
    """What the server tells of them: text, stream, level and logger."""
    told = server.ask("GET", f"/api/v1/runs/{run}/logs").json()["logs"]
    return [(line["text"], line["stream"], line["level"], line["logger"]) for line in told]


def begun() -> tuple[str, str, SpanRecord]:
    """A run, the trace that its own span `bbb…` is of, and what tells that it has begun."""
    number = next(_numbers)
    run, trace = f"{number:032x}", f"{number + (1 << 40):032x}"
    facts = {sc.RUN_NAME: "r", sc.EXPERIMENT_NAME: "e", sc.RUN_BEAT_INTERVAL: 10.0}
    start = ours(sc.SpanType.RUN_START, run, 1, f"{number:016x}", (1,), facts, 1)
    start = replace(start, trace_id=trace, parent_id="b" * 16)
    return run, trace, start


@pytest.mark.parametrize("encoded", [lambda logs: json.dumps(logs).encode(), as_protobuf])
@pytest.mark.parametrize("place", ["resource", "record", "span", "span below"])
def test_log_records_are_lines_of_the_run_that_they_name(server: Threaded, place: str, encoded: Any) -> None:
    run, trace, start = begun()
    below = SpanRecord(trace, "c" * 16, "b" * 16, "of the user", 1, 2, {})
    assert server.ask("POST", "/v1/traces", body_of(start, below), PROTOBUF).status == 200
    names = [{"key": sc.RUN_ID, "value": {"stringValue": run}}]
    resource = {"attributes": names} if place == "resource" else {}
    told = {
        "resource": {},
        "record": {"attributes": names},
        "span": {"traceId": trace, "spanId": "b" * 16},
        "span below": {"traceId": trace, "spanId": "c" * 16},
    }[place]
    body = encoded(logs_of(resource, a_log(5000, "hello", **told), a_log(6000, "world", **told)))
    kind = JSON if body.startswith(b"{") else PROTOBUF
    for _ in range(2):  # one that comes again is known
        assert server.ask("POST", "/v1/logs", body, kind).status == 200
    assert lines_of(server, run) == [("hello", "otel", "WARN", "app"), ("world", "otel", "WARN", "app")]


def test_a_span_of_the_users_is_no_line(server: Threaded) -> None:
    run, trace, start = begun()
    own = SpanRecord(trace, "c" * 16, "b" * 16, "log", 1, 2, {})
    assert server.ask("POST", "/v1/traces", body_of(start, own), PROTOBUF).status == 200
    assert lines_of(server, run) == []


def test_log_records_of_no_run_are_refused(server: Threaded) -> None:
    answer = server.ask("POST", "/v1/logs", json.dumps(logs_of({}, a_log(5000, "hello"))), JSON).json()
    assert answer["partialSuccess"]["rejectedLogRecords"] == "1"
    assert "set ml.run.id on their resource" in answer["partialSuccess"]["errorMessage"]


def valued(told: Any) -> dict[str, Any]:
    """An `AnyValue` in JSON."""
    if isinstance(told, list):
        return {"arrayValue": {"values": [valued(item) for item in told]}}
    return {"doubleValue": told} if isinstance(told, float) else {"intValue": str(told)}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_not_finite_cost_no_line(server: Threaded, number: str) -> None:
    run, _, start = begun()
    assert server.ask("POST", "/v1/traces", body_of(start), PROTOBUF).status == 200
    resource = {"attributes": [{"key": sc.RUN_ID, "value": {"stringValue": run}}]}
    odd = {"attributes": [{"key": "x", "value": {"doubleValue": number}}]}
    body = json.dumps(logs_of(resource, a_log(5000, "hello", **odd), a_log(6000, "world")))
    assert server.ask("POST", "/v1/logs", body, JSON).status == 200
    assert [line[0] for line in lines_of(server, run)] == ["hello", "world"]


@pytest.mark.parametrize("key", ["trace_id", "span_id"])
@pytest.mark.parametrize("size", [1, 7, 9, 14, 15, 23])
def test_a_record_with_an_odd_id_costs_the_others_nothing(server: Threaded, key: str, size: int) -> None:
    run, _, start = begun()
    assert server.ask("POST", "/v1/traces", body_of(start), PROTOBUF).status == 200
    resource = {"attributes": [{"key": sc.RUN_ID, "value": {"stringValue": run}}]}
    body = as_protobuf(logs_of(resource, a_log(5000, "hello"), a_log(6000, "odd"), a_log(7000, "world")))
    request = ExportLogsServiceRequest.FromString(body)
    setattr(request.resource_logs[0].scope_logs[0].log_records[1], key, b"x" * size)
    answer = server.ask("POST", "/v1/logs", request.SerializeToString(), PROTOBUF)
    partial = ExportLogsServiceResponse.FromString(answer.data).partial_success
    assert (answer.status, partial.rejected_log_records) == (200, 1)
    assert "hexadecimal digits" in partial.error_message
    assert [line[0] for line in lines_of(server, run)] == ["hello", "world"]


@pytest.mark.parametrize("place", ["body", "attributes"])
@pytest.mark.parametrize("values", [list(range(2000)), [0.1] * 40], ids=["integers", "doubles"])
def test_long_arrays_in_log_records_are_kept_whole(server: Threaded, place: str, values: list[Any]) -> None:
    """Records are told apart by what they say."""
    run, _, start = begun()
    assert server.ask("POST", "/v1/traces", body_of(start), PROTOBUF).status == 200
    resource = {"attributes": [{"key": sc.RUN_ID, "value": {"stringValue": run}}]}
    others = [*values[:20], values[20] * (1 + 1e-12) if values[20] < 1 else -5, *values[21:]]
    told = [valued(values), valued(others)]
    facts = [
        {"body": one} if place == "body" else {"attributes": [{"key": "x", "value": one}]} for one in told
    ]
    records = [a_log(5000, "hello") | fact for fact in facts]
    for _ in range(2):
        assert server.ask("POST", "/v1/logs", json.dumps(logs_of(resource, *records)), JSON).status == 200
    lines = [line[0] for line in lines_of(server, run)]
    said = [json.dumps(values), json.dumps(others)] if place == "body" else ["hello"] * 2
    assert sorted(lines) == sorted(said)


def metrics_of() -> tuple[str, ExportMetricsServiceRequest]:
    """A run, and a sum and a histogram of it, as an SDK sends them."""
    run = f"{next(_numbers):032x}"
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.add(key=sc.RUN_ID).value.string_value = run
    scope = group.scope_metrics.add()
    total = scope.metrics.add(name="requests").sum
    total.data_points.add(time_unix_nano=7, as_int=3)
    total.is_monotonic = True
    histogram = scope.metrics.add(name="latency").histogram
    histogram.data_points.add(
        time_unix_nano=7, count=3, sum=1.5, bucket_counts=[1, 2], explicit_bounds=[0.25], min=0.125, max=1.0
    )
    return run, request


def test_sums_and_histograms_in_protobuf(server: Threaded) -> None:
    run, request = metrics_of()
    answer = server.ask("POST", "/v1/metrics", request.SerializeToString(), PROTOBUF)
    assert (answer.status, ExportMetricsServiceResponse.FromString(answer.data)) == (
        200,
        ExportMetricsServiceResponse(),
    )
    assert curve(server, run, "requests") == [3.0]
    assert curve(server, run, "latency/count") == [3.0]
    assert curve(server, run, "latency/sum") == [1.5]


# --- properties -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
@given(histories())
def test_json_says_what_protobuf_says(spans: list[SpanRecord]) -> None:
    body = body_of(*spans)
    assert repr(decode_json_request(json.dumps(as_json(body)).encode()).spans) == repr(
        decode_request(body).spans
    )


_keys = st.sampled_from(
    [
        *("resourceSpans", "scopeSpans", "spans", "resource", "scope", "attributes", "key", "value"),
        *("traceId", "spanId", "status", "code", "events", "name", "startTimeUnixNano", "values"),
        *("stringValue", "intValue", "doubleValue", "boolValue", "bytesValue", "arrayValue", "kvlistValue"),
    ]
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(_keys, junk, max_size=3))
def test_no_json_makes_the_decoder_fail_in_another_way(told: dict[str, Any]) -> None:
    for body in (told, {"resourceSpans": [{"scopeSpans": [{"spans": [told]}]}]}):
        with contextlib.suppress(ValueError):
            decode_json_request(json.dumps(body).encode())


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=200), st.data())
def test_no_bytes_make_the_decoder_fail_in_another_way(noise: bytes, data: st.DataObject) -> None:
    whole = body_of(*data.draw(histories()))
    cut = data.draw(st.integers(0, len(whole)))
    for body in (noise, whole[:cut] + noise + whole[cut:], zlib.compress(whole)):
        with contextlib.suppress(ValueError):
            decode_request(body)
