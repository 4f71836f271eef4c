"""The socket that a server listens at: its names, and a connection that says nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import Collection, Iterator

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..errors import OptionError
from ..tokens import is_loopback

HEAD_TIMEOUT = 20.0
"""Seconds within which a request must have told its head."""
EVERYWHERE = ("0.0.0.0", "::")


def check_open(host: str, allowed_hosts: Collection[str]) -> None:
    """Raises `OptionError` where a server without a token would answer others than this machine's users."""
    if not is_loopback(host):
        raise OptionError(f"--no-token is for this machine alone, not for {host}: leave it out")
    if "*" in allowed_hosts:
        raise OptionError("--no-token and --allow-host '*' together let every web page in: leave one out")


class PatientProtocol(HttpToolsProtocol):
    """Closes a connection whose request's head does not come: who opens many would keep all others out.

    One timer goes on as long as the connection: one for each request would be made and cancelled each time.
    """

    _waits_since: float | None
    """The loop's time from which on a head is waited for."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waits_since = self.loop.time()
        self._look_again(HEAD_TIMEOUT)

    def data_received(self, data: bytes) -> None:
        if self._waits_since is None and (self.cycle is None or self.cycle.response_complete):
            self._waits_since = self.loop.time()  # empty lines before a head are no beginning of it
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._waits_since = self.loop.time()

    def on_headers_complete(self) -> None:
        self._waits_since = None
        super().on_headers_complete()

    def connection_lost(self, error: Exception | None) -> None:
        self._patience.cancel()
        super().connection_lost(error)

    def _look_again(self, seconds: float) -> None:
        self._patience = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        left = HEAD_TIMEOUT
        if self._waits_since is not None:
            left += self._waits_since - self.loop.time()
        if left > 0:
            self._look_again(left)
        else:
            self.transport.close()


def allow_many_connections() -> None:
    """As many as the system lets this process have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def listening(host: str, port: int, option: str = "--port") -> Iterator[socket.socket]:
    """A socket that takes connections. Raises `OptionError`, which names the option."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # asyncio would set it only for sockets that name their protocol; without it an answer waits 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OptionError(f"port {port} of {host} is taken: choose another by {option}") from None
        raise OptionError(f"cannot listen at {host}:{port}: {error.strerror or error}") from None
    with listener:
        yield listener


def names(host: str, allowed: Collection[str]) -> list[str]:
    """What the server is called by those who reach it: where it listens everywhere, by this host's names."""
    here = [socket.gethostname(), socket.getfqdn()] if host in EVERYWHERE else []
    return [*allowed, host, *here]


def url_of(host: str, port: int) -> str:
    """Where this machine reaches the server."""
    shown = reachable(host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def reachable(host: str) -> str:
    """A name by which this machine reaches a server that listens everywhere."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
