"""From a command line to a server that answers: the socket, the token, the address that opens the page."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

import uvicorn

from ..errors import OptionError
from ..tokens import VARIABLE, checked, remove_token, write_token
from .access import Access
from .app import GRACE, Server
from .listening import (
    EVERYWHERE,
    PatientProtocol,
    allow_many_connections,
    check_open,
    listening,
    names,
    reachable,
    url_of,
)

log = logging.getLogger("autotrack")

PORT = 4318
"""OTLP's own over HTTP: what any OpenTelemetry SDK sends to unless told otherwise."""
GRPC_PORT = 4317
"""The same over gRPC."""


@dataclass(frozen=True)
class Serving:
    """What a server is started with. token: None needs none, "" makes a new one. grpc_port: None is off.

    usual_grpc: take OTLP over gRPC at its own port as well, if that and gRPC are to be had.
    """

    store: str
    host: str = "127.0.0.1"
    port: int = PORT
    token: str | None = ""
    allowed_hosts: Sequence[str] = ()
    grpc_port: int | None = None
    usual_grpc: bool = False


@dataclass(frozen=True)
class Started:
    """A server that listens: its `url`, the `page`'s address (which works once), and its `token`.

    grpc: where OTLP over gRPC is taken; None: it is not.
    """

    url: str
    page: str
    token: str | None
    grpc: str | None


def _usual_grpc_port(host: str, port: int) -> int | None:
    """OTLP's own port for gRPC, for a server that has its own for HTTP; None: it is not to be had.

    Where gRPC is not installed, or, which is told in the log, is broken or somebody has the port.
    """
    if port != PORT:
        return None
    try:
        import grpc  # noqa: F401

        with listening(host, GRPC_PORT, "--grpc-port"):
            return GRPC_PORT
    except ImportError:
        return None
    except OptionError as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001  gRPC's import fails in many ways
        problem = f"it cannot be imported: {type(error).__name__}: {' '.join(str(error).split())}"
    log.warning("autotrack: no OTLP over gRPC: %s", problem)
    return None


def serve(serving: Serving, started: Callable[[Started], None]) -> None:
    """Serve until a signal ends it; `started` is called once it listens.

    Raises `OptionError`, and `StoreError` where the store can be known to be none.
    """
    if serving.token is None:
        check_open(serving.host, serving.allowed_hosts)
    if serving.token:
        checked(serving.token, VARIABLE)
    if serving.grpc_port:
        with listening(serving.host, serving.grpc_port, "--grpc-port"):
            pass  # asked now, as nobody could be told later
    with listening(serving.host, serving.port) as listener:
        port = listener.getsockname()[1]
        token = secrets.token_urlsafe(24) if serving.token == "" else serving.token
        access = Access(
            token, names(serving.host, serving.allowed_hosts), serving.host in EVERYWHERE, f"autotrack-{port}"
        )
        grpc_port = _usual_grpc_port(serving.host, serving.port) if serving.usual_grpc else serving.grpc_port
        grpc_at = None if grpc_port is None else (serving.host, grpc_port)
        server = Server(serving.store, access, grpc_at, serving.usual_grpc)
        server.store.check()
        url = url_of(serving.host, port)
        page = f"{url}/" if token is None else f"{url}/?key={access.one_time_key()}"
        config = uvicorn.Config(
            server.app,
            http=PatientProtocol,
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
        name = reachable(serving.host)
        _leave_token(name, port, token)
        running = _Uvicorn(
            config,
            server,
            started=lambda: started(
                Started(
                    url, page, token, url_of(serving.host, server.grpc_port) if server.grpc_port else None
                )
            ),
            ended=lambda: remove_token(name, port, token or ""),
        )
        allow_many_connections()
        running.run([listener])


class _Uvicorn(uvicorn.Server):
    """Says when it listens and when it has ended, before it dies of the signal that ended it.

    It ends the streams of events before it waits for open requests.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server: Server,
        started: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._server = server
        self._started = started
        self._ended = ended

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().shutdown(sockets)
        finally:
            self._ended()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # A signal interrupts whoever holds the events' lock: so not here, but in the loop.
        self._loop.call_soon_threadsafe(self._server.events.close)
        super().handle_exit(signal.Signals(sig), frame)


def _leave_token(host: str, port: int, token: str | None) -> None:
    """While the server runs, this user's clients on this machine find the token."""
    if token is not None:
        try:
            write_token(host, port, token)
        except OSError as error:
            log.warning("autotrack: clients must be told the token: %s", error)
