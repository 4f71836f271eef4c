"""OTLP over gRPC: OpenTelemetry's own service, called as its clients call it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from autotrack.errors import OptionError
from autotrack.server.access import Access
from autotrack.server.app import Server
from autotrack.server.serving import Serving, serve

from ..scripts import TIMEOUT, free_port
from .live import Threaded
from .test_otlp_in import body_of, curve, points

TOKEN = [("authorization", "Bearer secret")]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Threaded]:
    folder = tmp_path_factory.mktemp("grpc")
    with Threaded(f"sqlite:///{folder}/runs.db", grpc_at=("127.0.0.1", port)) as server:
        yield server


@pytest.fixture
def stub(server: Threaded, port: int) -> Iterator[TraceServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield TraceServiceStub(channel)


def test_spans_are_committed_before_the_answer(server: Threaded, stub: TraceServiceStub) -> None:
    run, span = points("loss", [1.0, 2.0])
    request = ExportTraceServiceRequest.FromString(body_of(span))
    for compression in (None, grpc.Compression.Gzip):
        answer = stub.Export(request, metadata=TOKEN, compression=compression, timeout=TIMEOUT)
        assert answer == ExportTraceServiceResponse()
    assert curve(server, run, "loss") == [1.0, 2.0]


def test_spans_that_are_none_are_told_of(server: Threaded, stub: TraceServiceStub) -> None:
    run, span = points("loss", [3.0])
    request = ExportTraceServiceRequest.FromString(body_of(span))
    request.resource_spans[0].scope_spans[0].spans.add(name="no ids")
    answer = stub.Export(request, metadata=TOKEN, timeout=TIMEOUT)
    assert answer.partial_success.rejected_spans == 1
    assert curve(server, run, "loss") == [3.0]


@pytest.mark.parametrize("metadata", [[], [("authorization", "Bearer wrong")], [("authorization", "secret")]])
def test_nobody_without_the_token(stub: TraceServiceStub, metadata: list[tuple[str, str]]) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        stub.Export(ExportTraceServiceRequest(), metadata=metadata, timeout=TIMEOUT)
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_bytes_that_are_no_request(server: Threaded, port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        with pytest.raises(grpc.RpcError) as raised:
            export(b"nonsense", metadata=TOKEN, timeout=TIMEOUT)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path, server: Threaded, port: int) -> None:
    asked = Serving(f"sqlite:///{tmp_path}/runs.db", port=0, grpc_port=port)
    with pytest.raises(OptionError, match=f"port {port} of .* is taken: choose another by --grpc-port"):
        serve(asked, lambda started: None)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(OptionError, match=r"pip install 'autotrack\[grpc\]'"):
        Server(f"sqlite:///{tmp_path}/runs.db", Access(None), ("127.0.0.1", 0))
