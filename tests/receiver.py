"""Real servers that take OTLP, over HTTP blobs too, and can be told to fail in every way that servers do."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from backports import zstd
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from autotrack import semconv as sc
from autotrack.otlp.decode import decode_resource_spans
from autotrack.records import SpanRecord

from .scripts import TIMEOUT

Behaviour = Callable[["Handler"], bool]
"""Answers a request in a way of its own, True if it did."""


class Arrived:
    """Every span that a receiver has acknowledged."""

    def __init__(self) -> None:
        self.spans: list[SpanRecord] = []
        self.schemas: set[tuple[str, str]] = set()  # of a resource, and of a scope of it
        self.asked = 0
        self._lock = threading.Lock()

    def take(self, request: ExportTraceServiceRequest) -> None:
        with self._lock:
            for group in request.resource_spans:
                self.spans += decode_resource_spans(group.SerializeToString())
                self.schemas |= {(group.schema_url, scope.schema_url) for scope in group.scope_spans}

    def of_type(self, kind: str) -> list[SpanRecord]:
        return [span for span in self.spans if span.attributes.get(sc.SPAN_TYPE) == kind]

    def points(self, name: str) -> list[float]:
        """Every value that arrived, sorted: an own server drops what it has by `ml.seq`."""
        seen: dict[Any, list[float]] = {}
        for span in self.of_type(sc.SpanType.METRICS):
            key = span.attributes[sc.WRITER], tuple(span.attributes[sc.SEQ])
            seen[key] = [*span.attributes.get(sc.METRICS_VALUE_PREFIX + name, ())]
        return sorted(value for values in seen.values() for value in values)

    def wait_for(self, done: Callable[[], Any], timeout: float = TIMEOUT) -> None:
        end = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < end, f"{len(self.spans)} spans arrived"
            time.sleep(0.02)


class Receiver(Arrived):
    """Takes spans and files over HTTP.

    tls: its certificate and key. clients: the authorities of whoever may connect; None for everybody.
    """

    def __init__(
        self,
        port: int = 0,
        tls: tuple[Path, Path] | None = None,
        token: str = "",
        clients: Path | None = None,
    ) -> None:
        super().__init__()
        self.bodies: list[tuple[int, dict[str, str]]] = []  # size on the wire, headers
        self.blobs: dict[str, bytearray] = {}
        self.whole: dict[str, bytes] = {}
        self.parts: list[tuple[str, int, int]] = []  # digest, offset, size
        self.token = token
        self.behave: Behaviour = lambda handler: False
        self.most_bytes = 1 << 30
        self.held = contextlib.ExitStack()  # until it is closed
        receiver = self

        class Bound(Handler):
            pass

        Bound.receiver = receiver
        self.server = ThreadingHTTPServer(("127.0.0.1", port), Bound)
        self.server.daemon_threads = True
        self.scheme = "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            if clients:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(clients)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.scheme = "https"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.held.close()

    @property
    def headers(self) -> list[dict[str, str]]:
        """Of each request with spans."""
        return [headers for _, headers in self.bodies]


class GrpcReceiver(Arrived):
    """Takes spans over gRPC, by gRPC's own server; `tls` and `clients` as those of `Receiver`.

    gzip: whether it takes what is packed. most_bytes: of a message.
    """

    def __init__(
        self,
        tls: tuple[Path, Path] | None = None,
        clients: Path | None = None,
        gzip: bool = True,
        most_bytes: int = 1 << 22,
    ) -> None:
        super().__init__()
        self.headers: list[dict[str, str]] = []
        self.sizes: list[int] = []
        self.behave: Callable[[grpc.ServicerContext], Any] = lambda context: None
        options = [("grpc.max_receive_message_length", most_bytes)]
        options += [] if gzip else [("grpc.compression_enabled_algorithms_bitset", 1)]
        self._server = grpc.server(ThreadPoolExecutor(4), options=options)
        add_TraceServiceServicer_to_server(_Servicer(self), self._server)
        if tls:
            certificate, key = (file.read_bytes() for file in tls)
            trusted = clients.read_bytes() if clients else None
            credentials = grpc.ssl_server_credentials(
                [(key, certificate)], trusted, require_client_auth=bool(clients)
            )
            port = self._server.add_secure_port("127.0.0.1:0", credentials)
        else:
            port = self._server.add_insecure_port("127.0.0.1:0")
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(0).wait()


class _Servicer(TraceServiceServicer):
    def __init__(self, receiver: GrpcReceiver) -> None:
        self._receiver = receiver

    def Export(
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        self._receiver.asked += 1
        self._receiver.behave(context)
        self._receiver.headers.append(dict(context.invocation_metadata()))
        self._receiver.sizes.append(request.ByteSize())
        self._receiver.take(request)
        return ExportTraceServiceResponse()


class Handler(BaseHTTPRequestHandler):
    receiver: Receiver
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _is_stopped(self) -> bool:
        self.receiver.asked += 1
        if self.receiver.behave(self):
            return True
        if self.receiver.token and self.headers.get("Authorization") != f"Bearer {self.receiver.token}":
            self.body()
            self.answer(401)
            return True
        return False

    def do_POST(self) -> None:
        if self._is_stopped():
            return
        body = self.body()
        self.receiver.bodies.append((len(body), {k.lower(): v for k, v in self.headers.items()}))
        if len(body) > self.receiver.most_bytes:
            self.answer(413)
            return
        how = self.headers.get("Content-Encoding", "")
        plain = {"zstd": zstd.decompress, "gzip": gzip.decompress, "": bytes}[how](body)
        self.receiver.take(ExportTraceServiceRequest.FromString(plain))
        self.answer(200, {"Content-Type": "application/x-protobuf"})

    def do_HEAD(self) -> None:
        if self._is_stopped():
            return
        digest = self.path.rpartition("/")[2]
        if digest in self.receiver.whole:
            self.send_response(200)
            self.send_header("Upload-Complete", "?1")
            self.send_header("Content-Length", str(len(self.receiver.whole[digest])))
            self.end_headers()
            return
        self.answer(404, {"Upload-Offset": str(len(self.receiver.blobs.get(digest, b"")))})

    def do_PATCH(self) -> None:
        if self._is_stopped():
            return
        digest, data = self.path.rpartition("/")[2], self.body()
        have = self.receiver.blobs.setdefault(digest, bytearray())
        offset = int(self.headers["Upload-Offset"])
        if offset != len(have):
            self.answer(409, {"Upload-Offset": str(len(have))})
            return
        have += data
        self.receiver.parts.append((digest, offset, len(data)))
        if self.headers["Upload-Complete"] == "?1":
            if hashlib.sha256(have).hexdigest() != digest:
                del self.receiver.blobs[digest]
                self.answer(422)
                return
            self.receiver.whole[digest] = bytes(have)
            self.answer(204, {"Upload-Complete": "?1"})
            return
        self.answer(204, {"Upload-Offset": str(len(have)), "Upload-Complete": "?0"})


def status(
    code: int, headers: dict[str, str] | None = None, times: int = 1 << 30, body: bytes = b""
) -> Behaviour:
    """Answers the first requests like this."""
    left = [times]

    def behave(handler: Handler) -> bool:
        left[0] -= 1
        if left[0] < 0:
            return False
        handler.body()
        handler.answer(code, headers, body)
        return True

    return behave


def late(seconds: float, times: int = 1 << 30) -> Callable[[object], bool]:
    """Answers the first requests as ever, but not soon."""
    left = [times]

    def behave(request: object) -> bool:
        left[0] -= 1
        if left[0] >= 0:
            time.sleep(seconds)
        return False

    return behave


def hang(handler: Handler) -> bool:
    """Takes the request, and says nothing."""
    handler.body()
    time.sleep(60)
    return True


def break_off(handler: Handler) -> bool:
    """Closes in the middle of its answer."""
    handler.body()
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        handler.connection.close()
    handler.close_connection = True
    return True
