"""OTLP over gRPC: OpenTelemetry's own service, called as its clients call it."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import urllib3
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from autotrack import semconv as sc
from autotrack.errors import OptionError
from autotrack.server.access import Access
from autotrack.server.app import Server
from autotrack.server.serving import Serving, serve

from ..scripts import TIMEOUT, Place, free_port
from .live import Threaded
from .test_otlp_in import a_log, as_protobuf, body_of, curve, lines_of, logs_of, metrics_of, points

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


def test_metrics_are_translated(server: Threaded, port: int) -> None:
    run, request = metrics_of()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = MetricsServiceStub(channel).Export(request, metadata=TOKEN, timeout=TIMEOUT)
    assert answer == ExportMetricsServiceResponse()
    assert curve(server, run, "requests") == [3.0]
    assert curve(server, run, "latency/sum") == [1.5]


def test_logs_are_translated(server: Threaded, port: int) -> None:
    run, span = points("x", [1.0])
    assert (
        server.ask("POST", "/v1/traces", body_of(span), {"content-type": "application/x-protobuf"}).status
        == 200
    )
    resource = {"attributes": [{"key": sc.RUN_ID, "value": {"stringValue": run}}]}
    request = ExportLogsServiceRequest.FromString(as_protobuf(logs_of(resource, a_log(5, "hello"))))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = LogsServiceStub(channel).Export(request, metadata=TOKEN, timeout=TIMEOUT)
    assert answer == ExportLogsServiceResponse()
    assert [text for text, *_ in lines_of(server, run)] == ["hello"]


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


# --- where it listens unless told otherwise ---------------------------------------------------------

COMMAND = """
import sys
from autotrack.cli import main
from autotrack.server import serving
serving.PORT, serving.GRPC_PORT = int(sys.argv[1]), int(sys.argv[2])  # the real ones may be in use here
sys.argv[1:3] = ["server"]
main()
"""


@contextmanager
def started(place: Place, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A server that has other ports for the usual ones; the two lines that it says in any case are read."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        env=place.env | {"AUTOTRACK_TOKEN": "secret"},
        cwd=place.folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert "http://" in process.stdout.readline()
        assert "AUTOTRACK_STORE=" in process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT)


def said(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What else it says until it is told to end, on stdout and stderr."""
    assert process.stdout is not None
    assert process.stderr is not None
    process.terminate()
    return (
        process.stdout.read(),
        process.stderr.read(),
    )  # `communicate` would not see what a line's reading took


def test_it_listens_at_otlps_own_port(store: Place) -> None:
    port = free_port()
    run, span = points("loss", [1.0])
    request = ExportTraceServiceRequest.FromString(body_of(span))
    with started(store, free_port(), port) as process:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = TraceServiceStub(channel)
            assert stub.Export(request, metadata=TOKEN, timeout=TIMEOUT) == ExportTraceServiceResponse()
            with pytest.raises(grpc.RpcError) as raised:
                stub.Export(request, timeout=TIMEOUT)
            assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert said(process) == (f"  OTLP over gRPC:  http://127.0.0.1:{port}\n", "")
    assert store.only_run().id == run


def test_where_its_own_port_is_taken_the_server_says_so_and_goes_on(store: Place) -> None:
    http = free_port()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with started(store, http, port) as process:
            assert urllib3.request("GET", f"http://127.0.0.1:{http}/ready", timeout=TIMEOUT).status == 200
            taken = f"port {port} of 127.0.0.1 is taken: choose another by --grpc-port"
            assert said(process) == ("", f"autotrack: no OTLP over gRPC: {taken}\n")


def test_where_its_own_port_is_taken_a_moment_later_it_goes_on_without(
    tmp_path: Path, server: Threaded, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    store, at = f"sqlite:///{tmp_path}/runs.db", ("127.0.0.1", port)
    with Threaded(store, grpc_at=at, may_lack_grpc=True) as other:
        assert other.ask("GET", "/ready").status == 200
        assert other.server.grpc_port is None
    [said] = [line for line in caplog.messages if "gRPC" in line]
    assert said == (
        f"autotrack: no OTLP over gRPC: cannot listen at 127.0.0.1:{port}: choose another port by --grpc-port"
    )


def test_a_grpc_that_is_broken_costs_only_itself(store: Place) -> None:
    store.folder.joinpath("grpc.py").write_text('raise RuntimeError("another version\\nof protobuf")')
    http = free_port()
    with started(store, http, free_port()) as process:
        assert urllib3.request("GET", f"http://127.0.0.1:{http}/ready", timeout=TIMEOUT).status == 200
        broken = "it cannot be imported: RuntimeError: another version of protobuf"
        assert said(process) == ("", f"autotrack: no OTLP over gRPC: {broken}\n")


@pytest.mark.parametrize("arguments", [["--no-grpc"], ["--port", "0"]], ids=" ".join)
def test_where_it_is_not_wanted_or_http_is_elsewhere_it_is_off(store: Place, arguments: list[str]) -> None:
    port = free_port()
    with started(store, free_port(), port, *arguments) as process:
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
        assert said(process) == ("", "")


def test_any_free_port_is_told(store: Place) -> None:
    arguments = ["--port", "0", "--grpc-port", "0"]
    with started(store, free_port(), free_port(), *arguments) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip().removeprefix("OTLP over gRPC:  http://")
        with grpc.insecure_channel(address) as channel:
            TraceServiceStub(channel).Export(ExportTraceServiceRequest(), metadata=TOKEN, timeout=TIMEOUT)
