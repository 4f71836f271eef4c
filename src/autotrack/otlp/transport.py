"""Sends OTLP bodies to an endpoint, by HTTP or gRPC; imported only where something is sent."""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401  a host's name takes it, and nothing may be imported later, beside a fork
import gzip
import http.client
import io
import json
import math
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import urllib3
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from .. import tokens
from .._version import __version__
from ..errors import AutotrackError
from ..interrupts import pass_on
from .answer import Answer, Kind
from .compression import zstd
from .endpoint import GRPC, Endpoint
from .suppression import uninstrumented

if TYPE_CHECKING:
    import grpc

_MOST_READ = 64 << 10
"""Bytes of an answer that are looked at."""
_MOST_TOLD = 300
"""Characters of an answer that are shown."""
LONGEST_WAIT = 3600.0
"""Seconds that a receiver can ask us to wait."""
AGENT = f"autotrack/{__version__}"
LEAST_RATE = 16 << 10
"""Bytes in a second that a link carries at least: large requests have more time than small ones."""
_SLOWEST = 1000
"""Bytes of an answer in a second: what comes slower runs out of time."""
_PROTOBUF = "application/x-protobuf"
_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class _Timely(http.client.HTTPResponse):
    """An answer with a limit as a whole: the socket's counts for each piece, and a server may drip.

    That is the time for a request, and more for what arrives, as an answer of the API may be long.
    """

    def __init__(self, sock: Any, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock.gettimeout() or math.inf))


class _Timed(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, seconds: float) -> None:
        self._raw = raw
        self._ends = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self._ends:
            raise TimeoutError
        size = self._raw.readinto(buffer)
        self._ends += (size or 0) / _SLOWEST
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _HttpConnection(urllib3.connection.HTTPConnection):
    response_class = _Timely


class _HttpsConnection(urllib3.connection.HTTPSConnection):
    response_class = _Timely


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class Transport(Protocol):
    """A way to one endpoint; used by one thread at a time."""

    def send(self, body: bytes, timeout: float) -> Answer:
        """Send a serialized `ExportTraceServiceRequest`, within about `timeout` seconds. Never raises for
        what a network does."""

    def close(self) -> None:
        """Let go of the connections."""


def transport(endpoint: Endpoint) -> Transport:
    """The transport that the endpoint's protocol asks for. Raises AutotrackError where it cannot be had."""
    return GrpcTransport(endpoint) if endpoint.protocol == GRPC else HttpTransport(HttpClient(endpoint))


class HttpClient:
    """Requests to the host of an endpoint: connections are kept, credentials go nowhere else.

    A server of ours is shown its token; after a 401 that is read again, once.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._pool = _pool(endpoint)
        self._token = tokens.client_token(endpoint.store) if endpoint.store else None

    def request(
        self,
        method: str,
        url: str,
        timeout: float,
        body: Any = None,
        headers: dict[str, str] | None = None,
        most: int | None = _MOST_READ,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers with lower-case names, and the answer, `most` bytes of it.

        Redirects are not followed. Raises `urllib3.exceptions.HTTPError` where there is no answer.
        """
        answer = self._once(method, url, timeout, body, headers or {}, most)
        if answer[0] == 401 and self.endpoint.store:
            token = tokens.client_token(self.endpoint.store)
            if token != self._token:
                self._token = token
                answer = self._once(method, url, timeout, body, headers or {}, most)
        return answer

    def _once(
        self, method: str, url: str, timeout: float, body: Any, headers: dict[str, str], most: int | None
    ) -> tuple[int, dict[str, str], bytes]:
        own = {"user-agent": AGENT, **self.endpoint.headers}
        step = min(timeout, self.endpoint.timeout)  # seconds for each piece that is sent
        block = max(1, int(step * LEAST_RATE))
        if isinstance(body, bytes) and len(body) > block:
            own["content-length"] = str(len(body))
            body = _blocks(body, block, timeout)
        if self._token:
            own["authorization"] = f"Bearer {self._token}"
        with uninstrumented():
            response = self._pool.request(
                method,
                url,
                body=body,
                headers=own | headers,
                timeout=urllib3.Timeout(connect=step, read=timeout),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        try:
            said = response.read(most) if method != "HEAD" else b""
            response.drain_conn()
        finally:
            response.release_conn()
        return response.status, {name.lower(): value for name, value in response.headers.items()}, said

    def close(self) -> None:
        """Let go of the connections."""
        self._pool.clear()


class HttpTransport:
    """OTLP/HTTP with protobuf bodies."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._endpoint = client.endpoint
        self._zstd = zstd.ZstdCompressor(1)  # kept: its tables need not be made anew for each body

    def send(self, body: bytes, timeout: float) -> Answer:
        headers = {"content-type": _PROTOBUF}
        if self._endpoint.compression:
            body = self._compressed(body)
            headers["content-encoding"] = self._endpoint.compression
        try:
            status, answered, said = self._client.request("POST", self._endpoint.url, timeout, body, headers)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            pass_on(error)
            return Answer(Kind.RETRY, network_problem(error))
        return answer_of(status, answered, said, of_store=bool(self._endpoint.store))

    def _compressed(self, body: bytes) -> bytes:
        if self._endpoint.compression == "gzip":
            return gzip.compress(body, 6)
        return self._zstd.compress(body, zstd.ZstdCompressor.FLUSH_FRAME)

    def close(self) -> None:
        self._client.close()


def _blocks(body: bytes, size: int, seconds: float) -> Iterator[bytes]:
    """Raises TimeoutError where all of them together take longer."""
    ends = time.monotonic() + seconds
    for at in range(0, len(body), size):
        if time.monotonic() > ends:
            raise TimeoutError
        yield body[at : at + size]


def answer_of(status: int, headers: dict[str, str], said: bytes, of_store: bool = False) -> Answer:
    """What an HTTP answer to spans means; `of_store`: a server of ours was asked, whose form is known.

    A guest network's page of login says 200 to everything: only an `ExportTraceServiceResponse` is a receipt.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if 200 <= status < 300:
        is_other = of_store and (status, kind) != (200, _PROTOBUF)
        receipt = None if is_other else _receipt(kind, said)
        seen = f"HTTP {status}, content type {kind or 'none'}"
        return receipt or Answer(Kind.REFUSED, f"no receiver of OTLP answers there: {seen}")
    message = _told(status, headers, said)
    if status == 413:
        return Answer(Kind.TOO_LARGE, message)
    if status in (400, 422) and _is_of_otlp(headers, said):
        return Answer(Kind.BAD, message)
    if status in (408, 429) or status >= 500:
        return Answer(Kind.RETRY, message, after=_retry_after(headers.get("retry-after", "")))
    return Answer(Kind.REFUSED, message)


def _is_of_otlp(headers: dict[str, str], said: bytes) -> bool:
    """Whether a receiver of spans says it, by a Status or in our server's form; not whoever else is there."""
    if headers.get("content-type", "").startswith(_PROTOBUF):
        return True
    with contextlib.suppress(ValueError):
        told = json.loads(said)
        return isinstance(told, dict) and isinstance(told.get("error"), dict)
    return False


def _receipt(kind: str, said: bytes) -> Answer | None:
    """What is read from the body of a success; None if a receiver of OTLP does not answer like that.

    Some say nothing at all, and then do not say in which form.
    """
    with contextlib.suppress(DecodeError, ValueError, TypeError, AttributeError):
        if kind == _PROTOBUF:
            return _accepted(said)
        if kind == "application/json":
            partial = json.loads(said).get("partialSuccess") or {}
            rejected = int(partial.get("rejectedSpans", 0))
            return Answer(Kind.ACCEPTED, str(partial.get("errorMessage", "")), max(0, rejected))
    return Answer(Kind.ACCEPTED) if not said and kind in ("", "text/plain") else None


def _accepted(said: bytes) -> Answer:
    """Read what the receiver says of spans that it did not take; most say nothing. Raises DecodeError."""
    partial = ExportTraceServiceResponse.FromString(said).partial_success
    return Answer(Kind.ACCEPTED, partial.error_message, max(0, partial.rejected_spans))


def _told(status: int, headers: dict[str, str], said: bytes) -> str:
    if 300 <= status < 400:
        return f"HTTP {status}: it sends us elsewhere, which is not followed; set the address itself"
    text = ""
    if headers.get("content-type", "").startswith(("text/plain", "application/json")):
        text = " ".join((_message(said) or said.decode("utf-8", "replace")).split())[:_MOST_TOLD]
    elif headers.get("content-type", "").startswith(_PROTOBUF):
        text = " ".join(_status_message(said).split())[:_MOST_TOLD]
    if status == 401:
        text = f"set {tokens.VARIABLE} to its token"
    return f"HTTP {status}{f': {text}' if text else ''}"


def _message(said: bytes) -> str:
    """What our own server says is wrong."""
    try:
        return str(json.loads(said)["error"]["message"])
    except (ValueError, TypeError, KeyError):
        return ""


def _status_message(said: bytes) -> str:
    """The message of a `google.rpc.Status`: its field 2, which nothing that we have can read."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess

    with contextlib.suppress(DecodeError):  # it has a text as field 2 too
        return ExportTracePartialSuccess.FromString(said).error_message
    return ""


def _retry_after(value: str) -> float | None:
    """Seconds, or a date."""
    with contextlib.suppress(ValueError, OverflowError):
        return min(max(0.0, float(value)), LONGEST_WAIT)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - time.time()), LONGEST_WAIT)
    return None


def network_problem(error: Exception) -> str:
    """One line of why there is no answer, without the library's own names and addresses of objects."""
    for cause in (getattr(error, "reason", None), error):
        if isinstance(cause, urllib3.exceptions.NameResolutionError):
            return "unknown host"
        if isinstance(cause, urllib3.exceptions.NewConnectionError):
            return str(cause.__cause__ or "cannot connect")
        if isinstance(cause, urllib3.exceptions.TimeoutError) or _ran_out(cause):
            return "no answer in time"
        if isinstance(cause, urllib3.exceptions.SSLError):
            return f"TLS: {' '.join(str(cause).split())[:_MOST_TOLD]}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_MOST_TOLD]


def _ran_out(error: object) -> bool:
    """Whether the time was up before all was sent."""
    if not isinstance(error, urllib3.exceptions.ProtocolError):
        return False
    return any(isinstance(cause, TimeoutError) for cause in error.args)


def _pool(endpoint: Endpoint) -> urllib3.PoolManager:
    """With the proxy that the environment names for this host, and the certificates that are named."""
    manager = _manager(endpoint)
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return manager


def _manager(endpoint: Endpoint) -> urllib3.PoolManager:
    parts = urlsplit(endpoint.url)
    proxies = getproxies_environment()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if tokens.is_loopback(parts.hostname or "") or proxy_bypass_environment(parts.netloc.rpartition("@")[2]):
        proxy = None
    files = {
        "ca_certs": endpoint.certificate,
        "cert_file": endpoint.client_certificate,
        "key_file": endpoint.client_key,
    }
    tls: dict[str, Any] = {name: file for name, file in files.items() if file}
    if proxy:
        credentials = urlsplit(proxy)
        headers = None
        if credentials.username:
            user = f"{unquote(credentials.username)}:{unquote(credentials.password or '')}"
            headers = urllib3.make_headers(proxy_basic_auth=user)
        return urllib3.ProxyManager(proxy, proxy_headers=headers, maxsize=1, **tls)
    return urllib3.PoolManager(maxsize=1, **tls)


class GrpcTransport:
    """OTLP/gRPC, by the extra `[grpc]`: bodies go as they are."""

    def __init__(self, endpoint: Endpoint) -> None:
        try:
            import grpc
        except ImportError:
            raise AutotrackError("gRPC is not installed: pip install 'autotrack[grpc]'") from None
        self._grpc = grpc
        self._metadata = [*endpoint.headers.items()]
        self._channel = self._opened(endpoint)
        gzipped = grpc.Compression.Gzip if endpoint.compression == "gzip" else grpc.Compression.NoCompression
        self._compression = gzipped
        self._export = self._channel.unary_unary(_METHOD)

    def _opened(self, endpoint: Endpoint) -> grpc.Channel:
        address = urlsplit(endpoint.url).netloc.rpartition("@")[2]
        options = [("grpc.primary_user_agent", AGENT)]
        if endpoint.url.startswith("http://"):
            return self._grpc.insecure_channel(address, options)
        files = (endpoint.certificate, endpoint.client_key, endpoint.client_certificate)
        try:
            credentials = self._grpc.ssl_channel_credentials(*map(_content, files))
        except OSError as error:
            raise AutotrackError(f"{error.filename}: {error.strerror}") from error
        return self._grpc.secure_channel(address, credentials, options)

    def send(self, body: bytes, timeout: float) -> Answer:
        try:
            with uninstrumented():
                said = self._export(
                    body, timeout=timeout, metadata=self._metadata, compression=self._compression
                )
        except self._grpc.RpcError as error:
            return self._answer(error)
        try:
            return _accepted(said)
        except DecodeError:
            return Answer(Kind.REFUSED, "no receiver of OTLP answers there")

    def _answer(self, error: Any) -> Answer:
        code, status = error.code(), self._grpc.StatusCode
        details = " ".join((error.details() or "").split())
        message = f"{code.name}: {details}"[:_MOST_TOLD]
        if code == status.RESOURCE_EXHAUSTED and ("larger than max" in details or "too large" in details):
            return Answer(Kind.TOO_LARGE, message)
        if code == status.INVALID_ARGUMENT:
            return Answer(Kind.BAD, message)
        wrong = (status.UNAUTHENTICATED, status.PERMISSION_DENIED, status.UNIMPLEMENTED, status.NOT_FOUND)
        return Answer(Kind.REFUSED if code in wrong else Kind.RETRY, message)

    def close(self) -> None:
        self._channel.close()


def _content(file: str) -> bytes | None:
    if not file:
        return None
    with open(file, "rb") as opened:
        return opened.read()
