"""The application: routes, and the one check around all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from ..errors import OptionError, StoreError
from ..store import Store
from . import openapi, otlp, ui
from .access import Access, Guard
from .answers import as_json, failure, failure_for
from .api import BASE, Api
from .edits import Edits
from .events import Events
from .files import Files
from .grpc import GrpcDoor
from .intake import Intake
from .registry import Models

log = logging.getLogger("autotrack")

GRACE = 3
"""Seconds that open requests get when the server is asked to end, and then the writer."""


class Server:
    """Everything that serves one store; `app` is what an ASGI server runs."""

    def __init__(
        self,
        url: str,
        access: Access,
        grpc_at: tuple[str, int] | None = None,
        may_lack_grpc: bool = False,
    ) -> None:
        """grpc_at: host and port at which OTLP over gRPC is taken too.

        may_lack_grpc: where they are not to be had that is a line in the log, not the end of the server.
        """
        self.store = Store(url, liveness=lambda: self.intake.liveness())
        self.events = Events()
        self.intake = Intake(self.store, self.events.publish)
        self._grpc = GrpcDoor(self.intake, *grpc_at, access.token) if grpc_at else None
        self._may_lack_grpc = may_lack_grpc
        api = Api(self.store, self.events)
        self.operations = [
            *api.operations(),
            *Edits(self.store, self.intake, api.run).operations(BASE),
            *Files(self.store).operations(BASE),
            *Models(self.store, self.intake, api.runs_of).operations(BASE),
        ]
        self.app = Starlette(
            routes=self._routes(),
            middleware=[Middleware(Guard, access=access)],
            exception_handlers={HTTPException: _http_failure, Exception: _fault},
            lifespan=self._lifespan,
        )

    @property
    def grpc_port(self) -> int | None:
        """Where OTLP over gRPC is taken, once the server listens; None: it is not."""
        return self._grpc.port if self._grpc else None

    def _routes(self) -> list[BaseRoute]:
        document = openapi.description(self.operations)
        return [
            # First: they are looked through one by one, and most requests are these.
            *otlp.routes(self.intake),
            Route("/health", _health),
            Route("/ready", self._ready),
            Route(f"{BASE}/openapi.json", lambda request: as_json(document)),
            *(operation.route() for operation in self.operations),
            Route("/", _page),
            Mount("/static", _Static(directory=ui.FOLDER)),
        ]

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.intake.start()
        if self._grpc:
            await self._start_grpc(self._grpc)
        yield
        if self._grpc:
            await self._grpc.stop(GRACE)
        # In a thread: the answers that are given up meanwhile still go out.
        if await asyncio.to_thread(self.intake.stop, GRACE):
            self.store.close()

    async def _start_grpc(self, door: GrpcDoor) -> None:
        try:
            await door.start()
        except OptionError as error:
            if not self._may_lack_grpc:
                raise
            self._grpc = None
            log.warning("autotrack: no OTLP over gRPC: %s", error)

    async def _ready(self, request: Request) -> Response:
        """Whether spans can be taken in."""
        problem = self.intake.problem or await run_in_threadpool(self._problem_of_store)
        return (
            failure(503, problem, headers={"Retry-After": "5"}) if problem else as_json({"status": "ready"})
        )

    def _problem_of_store(self) -> str:
        """It may have been exchanged, or brought up to date by a newer release: the next write would tell."""
        try:
            self.store.check()
        except StoreError as error:
            return str(error)
        return ""


async def _health(request: Request) -> Response:
    return as_json({"status": "ok"})


async def _page(request: Request) -> Response:
    headers = {
        "Content-Security-Policy": ui.content_security_policy(),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return FileResponse(ui.FOLDER / "index.html", headers=headers)


class _Static(StaticFiles):
    """Asked for again each time, so that after an update no page is half old and half new."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


async def _http_failure(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = "there is nothing here" if error.status_code == 404 else error.detail
    return failure_for(request.scope, error.status_code, what, headers=error.headers)


async def _fault(request: Request, error: Exception) -> Response:
    return failure_for(
        request.scope, 500, f"a fault of the server: {type(error).__name__}; its log says more"
    )
