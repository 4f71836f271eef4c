"""Where spans are sent over the network, and how: OpenTelemetry's variables, or a store's server."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit, urlunsplit

from ..errors import OptionError

log = logging.getLogger("autotrack")

HTTP, GRPC = "http/protobuf", "grpc"
DEFAULT_TIMEOUT = 10.0
SHORTEST_TIMEOUT = 1.0
"""Seconds. OTLP's variables are in milliseconds, as OpenTelemetry's specification has them. Its exporters
for Python long read them as seconds, and "10" is still found in environments: as milliseconds it would cut
off every request. Nobody waits for ours, so what is below a second is taken as one."""
TRACES_PATH = "/v1/traces"


@dataclass(frozen=True)
class Endpoint:
    """The receiver of the traces signal.

    url: of the signal for HTTP, so with its path; of the host for gRPC.
    headers: sent with every request. timeout: seconds for one request.
    compression: "", "gzip" or "zstd". certificate: file of the authorities to trust in place of the
    system's; client_key, client_certificate: files of our own. protocol: `HTTP` or `GRPC`.
    store: the URL of a store whose server this is: it gets files too and is shown a token; "" for others.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = DEFAULT_TIMEOUT
    compression: Literal["", "gzip", "zstd"] = ""
    certificate: str = ""
    client_key: str = ""
    client_certificate: str = ""
    protocol: str = HTTP
    store: str = ""

    @classmethod
    def of_store(cls, url: str) -> Endpoint:
        """The server of a store, by the store's normalized URL."""
        return cls(url=url + TRACES_PATH, compression="zstd", store=url)

    @classmethod
    def from_environment(cls, url: str | None = None) -> Endpoint:
        """What OTEL_EXPORTER_OTLP_TRACES_* say, else OTEL_EXPORTER_OTLP_*, else the specification.

        url: in place of OTEL_EXPORTER_OTLP_ENDPOINT. Raises `OptionError` for an endpoint that is none;
        any other wrong value is one line in the log, and its default stands.
        """
        protocol = _protocol()
        return cls(
            url=_grpc_url(url) if protocol == GRPC else _http_url(url),
            headers=_headers(),
            timeout=_timeout(),
            compression=_compression(),
            certificate=_setting("CERTIFICATE")[1],
            client_key=_setting("CLIENT_KEY")[1],
            client_certificate=_setting("CLIENT_CERTIFICATE")[1],
            protocol=protocol,
        )

    @property
    def target(self) -> str:
        """What its spool's folder is found by; it holds no password."""
        return self.store or f"{'otlp+grpc' if self.protocol == GRPC else 'otlp'}:{self.shown}"

    @property
    def shown(self) -> str:
        """The address as people are told it: of a store its URL, of others without password and query."""
        parts = urlsplit(self.store or self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _setting(name: str) -> tuple[str, str]:
    """The variable that decides, and what it says; an empty one says nothing."""
    for prefix in ("OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"):
        if value := os.environ.get(prefix + name, "").strip():
            return prefix + name, value
    return "", ""


def _protocol() -> str:
    variable, value = _setting("PROTOCOL")
    if value not in ("", HTTP, GRPC):
        log.warning("autotrack: %s=%r is not supported; %s is used", variable, value, HTTP)
        return HTTP
    return value or HTTP


def _http_url(url: str | None) -> str:
    """A generic endpoint gets the signal's path, the signal's own stays as it is."""
    variable, value = ("endpoint", url) if url else _setting("ENDPOINT")
    value = _checked(value or "http://localhost:4318", variable)
    if variable == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":
        return value
    parts = urlsplit(value)
    path = parts.path.rstrip("/")
    if not (url and path.endswith(TRACES_PATH)):  # a person may name either
        path += TRACES_PATH
    return urlunsplit(parts._replace(path=path))


def _grpc_url(url: str | None) -> str:
    variable, value = ("endpoint", url) if url else _setting("ENDPOINT")
    value = value or "http://localhost:4317"
    if "://" not in value:
        insecure = _setting("INSECURE")[1].lower() == "true"
        value = f"{'http' if insecure else 'https'}://{value}"
    parts = urlsplit(_checked(value, variable))
    return f"{parts.scheme}://{parts.netloc}"


def _checked(url: str, variable: str) -> str:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits:  # the value is not shown: it may hold a password
        raise OptionError(f"{variable} is not an address; write http://host:4318")
    return url


def _headers() -> dict[str, str]:
    """`name=value,name=value`, percent-encoded; the signal's own win over the general ones."""
    headers: dict[str, str] = {}
    for variable in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"):
        for item in filter(None, map(str.strip, os.environ.get(variable, "").split(","))):
            name, equals, value = (unquote(part).strip() for part in item.partition("="))
            if not equals or not name or not (name + value).isprintable():
                log.warning("autotrack: %s has a header that is not name=value; it is left out", variable)
            else:
                headers[name.lower()] = value
    return headers


def _timeout() -> float:
    variable, value = _setting("TIMEOUT")
    try:
        seconds = int(value) / 1000 if value else DEFAULT_TIMEOUT
    except ValueError:
        seconds = -1
    if seconds < 0:
        log.warning("autotrack: %s is not a number of milliseconds; ignored", variable)
        return DEFAULT_TIMEOUT
    return max(seconds, SHORTEST_TIMEOUT)


def _compression() -> Literal["", "gzip"]:
    variable, value = _setting("COMPRESSION")
    if value not in ("", "none", "gzip"):
        log.warning("autotrack: %s=%r is not supported; nothing is compressed", variable, value)
    return "gzip" if value == "gzip" else ""
