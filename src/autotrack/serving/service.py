"""What a worker answers. One ASGI application without a router: a request costs as little as it can."""

from __future__ import annotations

import contextlib
import logging
import re
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .._version import __version__
from ..errors import SchemaError
from ..server.access import Access
from ..server.answers import Refused, as_json, failure
from ..server.bodies import read_body
from .batching import Batcher, Version
from .description import description
from .following import Following
from .inputs import Asked, half_in, parsed, with_larger, with_missing
from .predictions import rendered
from .telemetry import ASKED

log = logging.getLogger("autotrack")

OPEN_PATHS = frozenset({"/ping", "/health"})
"""What those ask without a token who watch over the process."""
ROUTES = frozenset({"/invocations", "/ping", "/health", "/version", "/openapi.json"})
LARGE = 64 << 10
"""Bytes of a body that is read elsewhere than in the event loop, which would stand still."""

LONGEST_LINE = 500
"""Characters of a model's own error that are told."""
MOST_KINDS = 1_000
"""Of failures, whose tracebacks are logged."""

_OF_INFINITE = re.compile(r"\b(inf|infinity|infinite|non-?finite|too large)\b", re.IGNORECASE)
_OF_MISSING = re.compile(r"\b(nans?|nas?|nat|nulls?|missing|non-?finite)\b", re.IGNORECASE)

_READING = ("GET", "HEAD")
"""The methods; what the latter gets loses its body on the way, in uvicorn."""

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Limits:
    """body: bytes, unpacked. patience: seconds in which all of a body must have come."""

    body: int = 64 << 20
    patience: float = 60.0


class Service:
    """The application of one model; `model` tells which version is asked now.

    ends: from when this is true, each answer says that its connection is closed after it.
    """

    def __init__(self, model: Following, access: Access, limits: Limits) -> None:
        self._model = model
        self.access = access
        self._limits = limits
        self._batcher = Batcher()
        self._logged: set[tuple[str, str, str, int]] = set()
        self.ends = False
        self._routes: Mapping[str, tuple[Sequence[str], Handler]] = {
            "/invocations": (("POST",), self._invocations),
            "/ping": (_READING, self._ping),
            "/health": (_READING, self._health),
            "/version": (_READING, self._version),
            "/openapi.json": (_READING, self._openapi),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it, for HTTP."""
        methods, handler = self._routes.get(scope["path"], ((scope["method"],), _nothing))
        try:
            if scope["method"] not in methods:
                raise Refused(405, f"send {methods[0]}", headers={"Allow": ", ".join(methods)})
            response = await handler(Request(scope, receive))
        except Refused as error:
            response = error.answer()
        if self.ends:
            response.headers["Connection"] = "close"
        await response(scope, receive, send)

    async def _invocations(self, request: Request) -> Response:
        body = await self._body(request)
        version: Version = self._model.current
        signature = version.predictor.signature
        content_type = request.headers.get("content-type", "")
        if len(body) < LARGE:
            asked = parsed(body, content_type, signature)
        else:
            asked = await run_in_threadpool(parsed, body, content_type, signature)
        if not len(asked.input):
            raise Refused(422, "there are no rows")
        try:
            result, together = await self._batcher.ask(version, asked)
        except Refused:
            raise
        except SchemaError as error:
            raise Refused(422, str(error)) from None
        except Exception as error:  # noqa: BLE001
            self._log(version, error)
            raise await run_in_threadpool(_refusal, version, asked, error) from None
        request.scope[ASKED] = (version.identity, len(asked.input), together)
        return await self._predictions(asked, result, len(body) >= LARGE)

    def _log(self, version: Version, error: Exception) -> None:
        """With its traceback once for each kind: who may ask shall not fill the log with rows that fail."""
        kind = version.identity, *_kind(error)
        if kind in self._logged or len(self._logged) >= MOST_KINDS:
            log.error("autotrack: %s failed: %s", version.identity, _line(error))
        else:
            self._logged.add(kind)
            log.error("autotrack: %s failed", version.identity, exc_info=error)

    async def _predictions(self, asked: Asked, result: Any, large: bool) -> Response:
        try:
            made = await run_in_threadpool(rendered, result) if large else rendered(result)
        except (TypeError, UnicodeEncodeError) as error:
            is_half = isinstance(error, UnicodeEncodeError)
            if is_half and (half := await run_in_threadpool(half_in, asked.input)):
                raise Refused(422, half) from None
            raise Refused(500, f"the model's answer cannot be told: {error}") from None
        return Response(made, media_type="application/json")

    async def _body(self, request: Request) -> bytes:
        try:
            return await read_body(request, self._limits.body, self._limits.patience)
        except Refused as error:
            error.headers["Connection"] = "close"  # what is left of the body is not waited for
            raise

    async def _ping(self, request: Request) -> Response:
        return Response()

    async def _health(self, request: Request) -> Response:
        """To whoever has no token only that it answers."""
        if not self.access.knows_token(request.headers):
            return as_json({"status": "ok"})
        problem = self._model.problem
        more = {"problem": problem} if problem else {}
        return as_json(
            {"status": "ok", "model": self._model.uri, "version": self._model.current.identity, **more}
        )

    async def _version(self, request: Request) -> Response:
        identity = self._model.current.identity
        return as_json({"model": self._model.uri, "version": identity, "autotrack": __version__})

    async def _openapi(self, request: Request) -> Response:
        return as_json(description(self._model.current.predictor, self._model.current.identity))


async def _nothing(request: Request) -> Response:
    return failure(404, "there is nothing here: ask /invocations")


def _refusal(version: Version, asked: Asked, error: Exception) -> Refused:
    """What is told of a model that failed.

    It is the data that is wrong where it has values of which a `ValueError` speaks: missing ones, such as
    are infinite or too large, half characters. Else it is the model.
    """
    told, text = _line(error), str(error)
    if not isinstance(error, ValueError):
        return Refused(500, f"the model failed: {told}")
    if isinstance(error, UnicodeEncodeError) and (half := half_in(asked.input)):
        return Refused(422, half)
    if _OF_MISSING.search(text) and (names := _named(with_missing, version, asked)):
        return Refused(422, f"the model failed, and values are missing in the columns {names}: {told}")
    largest = float(np.finfo(np.float64 if "float64" in text else np.float32).max)
    if _OF_INFINITE.search(text) and (names := _named(partial(with_larger, largest), version, asked)):
        what = "values are infinite or too large in the columns"
        return Refused(422, f"the model failed, and {what} {names}: {told}")
    return Refused(500, f"the model failed: {told}")


def _named(find: Callable[[Any], Iterable[str]], version: Version, asked: Asked) -> str:
    """The columns that are found, as far as they can be told: the model's error is told in any case."""
    with contextlib.suppress(Exception):
        return ", ".join(find(version.predictor.fitting(version.data([asked.input]))))
    return ""


def _kind(error: Exception) -> tuple[str, str, int]:
    """Its type, and the place where it was raised."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return type(error).__qualname__, frame.f_code.co_filename, line


def _line(error: Exception) -> str:
    """What it says, on one line."""
    text = " ".join(str(error).split())
    text = text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE - 1]}…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
