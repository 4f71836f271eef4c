"""OTLP over gRPC: OpenTelemetry's own service, called as its clients call it."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
from autotrack.backends.sqlite import SqliteBackend
from autotrack.errors import OptionError, StoreError
from autotrack.server import grpc as grpc_door
from autotrack.server import intake
from autotrack.server.access import Access
from autotrack.server.app import Server
from autotrack.server.bodies import MOST_BYTES
from autotrack.server.serving import Serving, serve

from ..scripts import TIMEOUT, Place, free_port, wait_until
from .live import Threaded
from .test_otlp_in import a_log, as_protobuf, body_of, curve, lines_of, logs_of, metrics_of, points

TOKEN = [("authorization", "Bearer secret")]
SERVICES = [
    f"/opentelemetry.proto.collector.{name}.v1.{name.title()}Service/Export"
    for name in ("trace", "logs", "metrics")
]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Threaded]:
    folder = tmp_path_factory.mktemp("grpc")
    with Threaded(f"sqlite:///{folder}/runs.db", grpc_at=("127.0.0.1", port)) as server:
        yield server


@pytest.fixture
def channel(server: Threaded, port: int) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> TraceServiceStub:
    return TraceServiceStub(channel)


@pytest.fixture
def never() -> Iterator[Iterator[bytes]]:
    """Messages that do not come while the test lasts."""
    over = threading.Event()

    def messages() -> Iterator[bytes]:
        over.wait()
        yield b""

    yield messages()
    over.set()


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


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("metadata", [[], [("authorization", "Bearer wrong")], [("authorization", "secret")]])
def test_nobody_without_the_token(
    channel: grpc.Channel, never: Iterator[bytes], service: str, metadata: list[tuple[str, str]]
) -> None:
    """Who has none is told so before a message is read: here none ever comes."""
    assert code_of(channel.stream_unary(service), never, metadata) is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("service", SERVICES)
def test_bytes_that_are_no_request(channel: grpc.Channel, service: str) -> None:
    assert code_of(channel.unary_unary(service), b"nonsense") is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_that_is_too_large_packed_or_not(
    channel: grpc.Channel, compression: grpc.Compression
) -> None:
    """By what it says autotrack's own client knows to send it in parts."""
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(SERVICES[0])(
            bytes(MOST_BYTES + 1), metadata=TOKEN, timeout=TIMEOUT, compression=compression
        )
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in raised.value.details()


@contextmanager
def held(server: Threaded, channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A call has come, and is not answered until the end."""
    goes_on = threading.Event()
    real = SqliteBackend.write

    def slow(self: SqliteBackend, spans: Any, received: int | None = None) -> set[str]:
        goes_on.wait(TIMEOUT)
        return real(self, spans, received)

    monkeypatch.setattr(SqliteBackend, "write", slow)
    body = body_of(points("x", [1.0])[1])
    first = channel.unary_unary(SERVICES[0]).future(body, metadata=TOKEN, timeout=TIMEOUT)
    wait_until(lambda: server.server.intake._waiting_bytes > 0)
    try:
        yield
    finally:
        goes_on.set()
        first.result()


def test_when_more_waits_than_can_be_kept_it_is_sent_again(
    server: Threaded, channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "WAITING_BYTES", 10)
    with held(server, channel, monkeypatch):
        export = channel.unary_unary(SERVICES[0])
        assert code_of(export, body_of(points("x", [1.0])[1])) is grpc.StatusCode.UNAVAILABLE


def test_where_there_are_too_many_calls_one_more_is_sent_again(
    server: Threaded, channel: grpc.Channel, never: Iterator[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTLP's clients take RESOURCE_EXHAUSTED, which gRPC would answer of itself, for the end of it."""
    monkeypatch.setattr(grpc_door, "MOST_CALLS", 1)
    with held(server, channel, monkeypatch):
        assert code_of(channel.stream_unary(SERVICES[1]), never) is grpc.StatusCode.UNAVAILABLE
    assert channel.unary_unary(SERVICES[1])(b"", metadata=TOKEN, timeout=TIMEOUT) == b""


def test_calls_that_say_nothing_keep_nobody_out(
    server: Threaded, channel: grpc.Channel, never: Iterator[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is slow is waited for, until others need the room."""
    monkeypatch.setattr(grpc_door, "MOST_CALLS", 1)
    monkeypatch.setattr(grpc_door, "SILENCE", 1.0)
    door, ask = server.server._grpc, channel.unary_unary(SERVICES[1])
    assert door is not None
    silent = channel.stream_unary(SERVICES[1]).future(never, metadata=TOKEN, timeout=TIMEOUT)
    wait_until(lambda: door._open == 1)
    assert code_of(ask, b"") is grpc.StatusCode.UNAVAILABLE
    time.sleep(1.0)
    assert not silent.done()
    assert ask(b"", metadata=TOKEN, timeout=TIMEOUT) == b""
    assert silent.code() is grpc.StatusCode.UNAVAILABLE
    assert "did not come" in silent.details()


def test_a_store_that_cannot_be_written_asks_for_patience(
    channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: SqliteBackend, spans: Any, received: int | None = None) -> set[str]:
        raise StoreError("the disk is full")

    monkeypatch.setattr(SqliteBackend, "write", full)
    body = body_of(points("x", [1.0])[1])
    assert code_of(channel.unary_unary(SERVICES[0]), body) is grpc.StatusCode.UNAVAILABLE


def code_of(export: Any, told: Any, metadata: Sequence[tuple[str, str]] = TOKEN) -> grpc.StatusCode:
    """What a call that fails is answered."""
    with pytest.raises(grpc.RpcError) as raised:
        export(told, metadata=metadata, timeout=TIMEOUT)
    return raised.value.code()


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
