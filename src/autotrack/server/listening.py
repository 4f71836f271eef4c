"""The socket that a server listens at: its names, and a connection that says nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import sys
from collections.abc import Collection, Iterator

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ..errors import OptionError
from ..tokens import is_loopback
from .answers import failure

HEAD_TIMEOUT = 20.0
"""Seconds within which a request must have told its head."""
MOST_HEAD = 64 << 10
"""Bytes of a request's head, and of the trailers after its body."""
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
    A head that goes on and on is refused too, as are trailers, before they fill the memory. Nobody asked for
    trailers, so they are counted and dropped.
    """

    _waits_since: float | None
    """The loop's time from which on a head is waited for."""
    _is_in_head = False
    _head = 0
    """Bytes that were told of the head, and of the trailers."""
    _untold = 0
    """Bytes since the parser last told of something: it keeps a header until that is whole."""
    _data = b""
    """What the parser is given."""
    _goes_on = False
    """Whether the head that is told is ours, of a request whose own has been told."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waits_since = self.loop.time()
        self._look_again(HEAD_TIMEOUT)

    def data_received(self, data: bytes) -> None:
        if self._waits_since is None and (self.cycle is None or self.cycle.response_complete):
            self._waits_since = self.loop.time()  # empty lines before a head are no beginning of it
        self._untold += len(data)
        self._data = data
        while True:
            given = self._data
            super().data_received(given)
            if self._data is given:
                break
        self._data = b""
        if self._untold > MOST_HEAD and not self.transport.is_closing():
            self.send_400_response("")

    def on_message_begin(self) -> None:
        if self._goes_on:
            return
        super().on_message_begin()
        self._waits_since = self.loop.time()
        self._is_in_head, self._head, self._untold = True, 0, 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        if not self._goes_on:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._waits_since, self._untold = None, 0
        if self._goes_on:
            self._goes_on = False
            return
        super().on_headers_complete()  # may refuse what came
        self._is_in_head = False

    def on_body(self, body: bytes) -> None:
        self._untold = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._untold = 0
        if not self.parser.should_upgrade():  # else its body has not been looked for
            super().on_message_complete()

    def _count(self, size: int) -> None:
        """What is raised here is the parser's own error to who feeds it."""
        self._head += size
        self._untold = 0
        if self._head > MOST_HEAD:
            raise ValueError

    def send_400_response(self, msg: str) -> None:
        """In our form, and the end; it is no answer to a request before it, which is cut off."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if not is_answering or not (self.pipeline or self._is_in_head or self.cycle.response_started):
            self.transport.write(self._refusal())
        self.transport.close()

    def _refusal(self) -> bytes:
        if max(self._head, self._untold) > MOST_HEAD:
            answer = failure(431, f"the request's head is longer than {MOST_HEAD:,} bytes: send less")
        else:
            answer = failure(400, "this is no request of HTTP/1.1")
        headers = [*answer.raw_headers, (b"connection", b"close")]
        lines = [b"%b: %b\r\n" % header for header in headers]
        return b"".join((STATUS_LINE[answer.status_code], *lines, b"\r\n", answer.body))

    def _unsupported_upgrade_warning(self) -> None:
        """An Upgrade is left aside, as Java's client asks for one with each request; no line in the log.

        The parser takes what follows such a head for another protocol. It is the body: another parser reads
        that, which is told of its length alone.
        """
        upgrade = sys.exc_info()[1]
        assert upgrade is not None
        rest = self._data[upgrade.args[0] :]
        framing = (b"content-length", b"transfer-encoding")
        headers = [b"%b: %b\r\n" % header for header in self.headers if header[0] in framing]
        self.parser = httptools.HttpRequestParser(self)
        self._goes_on = True
        self._data = b"".join((b"POST / HTTP/1.1\r\n", *headers, b"\r\n", rest))  # is given next

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
