"""A worker: a process that has the model loaded, and takes requests from the socket that it was born with.

It talks to its parent over a second socket, a line of JSON each: it is told what to serve, says
``{"ready": VERSION}`` or ``{"failed": WHY}``, then ``{"moved": VERSION}`` of each that it moves to, and
``{"blocked": VERSION}`` of one whose code cannot stand beside that of the version it serves. When that socket
ends, the parent has gone or asks it to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from ..errors import AutotrackError
from ..server.access import Access, Guard
from ..server.listening import EVERYWHERE, PatientProtocol, allow_many_connections, names
from .following import Following
from .loading import StoreAddresses
from .options import Options
from .service import OPEN_PATHS, ROUTES, Limits, Service
from .telemetry import observed

LINGER = 1.0
"""Seconds that an open connection has for one more request when the worker ends."""
BACKLOG = 2048
"""Connections that may wait."""


def main() -> None:
    """`python -m autotrack.serving.worker LISTENER CONTROL`: the numbers of the two sockets."""
    listener, control = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    lines = control.makefile("rb")
    options = Options.from_json(lines.readline())
    fallback = json.loads(lines.readline())

    def tell(**what: str) -> None:
        with contextlib.suppress(OSError):  # the parent has gone, or asks this process to end
            control.sendall(json.dumps(what).encode() + b"\n")

    try:
        model = Following(options.uri, StoreAddresses(options), fallback)
    except AutotrackError as error:
        tell(failed=str(error))
        return

    def started() -> None:
        tell(ready=model.current.identity)
        if options.follow_every > 0:
            model.follow(
                options.follow_every,
                moved=lambda identity: tell(moved=identity),
                blocked=lambda identity: tell(blocked=identity),
            )

    allow_many_connections()
    service = service_of(options, model)
    worker = _Worker(_config(options, application(service)), control, service, started)
    try:
        worker.run([listener])
    finally:
        model.end()


def service_of(options: Options, model: Following) -> Service:
    """What answers for the model."""
    access = Access(
        options.token,
        names(options.host, options.allowed_hosts),
        options.host in EVERYWHERE,
        open_paths=OPEN_PATHS,
        told_by="send",
    )
    return Service(model, access, Limits(options.most_bytes, options.patience))


def application(service: Service) -> ASGIApp:
    """The service behind the one check, and observed."""
    return observed(Guard(service, service.access), ROUTES)


def _config(options: Options, app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=1,
        timeout_graceful_shutdown=int(options.grace),
    )


class _Protocol(PatientProtocol):
    """Sends an answer's head and body by one call of the system, which is a good part of what it costs."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport: Any = _Joining(transport, self.loop)


class _Joining:
    """A transport that writes at the end of the event loop's turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()


class _Worker(uvicorn.Server):
    """Ends as its parent does, or when that closes the socket between them."""

    def __init__(
        self,
        config: uvicorn.Config,
        control: socket.socket,
        service: Service,
        started: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._control = control
        self._service = service
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            # asyncio takes as many connections at once as may wait: with one each, the workers share them.
            listener.listen(BACKLOG)
        asyncio.get_running_loop().add_reader(self._control, self._end)
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """New connections are others'; whoever keeps one open is told with his next answer that it ends.

        uvicorn closes what is idle at once, though a request may be on its way.
        """
        for server in self.servers:
            server.close()
        self._service.ends = True
        ends = time.monotonic() + min(LINGER, self.config.timeout_graceful_shutdown or 0)
        while self.server_state.connections and time.monotonic() < ends:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._control)
        self.should_exit = True


if __name__ == "__main__":
    logging.captureWarnings(True)
    main()
