"""Each request as a span, and metrics of them, by OpenTelemetry's API: where the process has a provider.

Who runs `opentelemetry-instrument autotrack serve …` has one. Names are those of OpenTelemetry's
conventions for HTTP servers; `ml.serving.…` is what they have no name for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry import metrics, propagate, trace
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .._version import __version__

ASKED = "autotrack.asked"
"""Where the service leaves in a request's scope which version was asked, about how many rows, together with
how many requests."""
_SCOPE = "autotrack.serving"
_UNKNOWN = "_OTHER"
"""The route of what is no route, so that nobody makes names for spans and series."""
_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]


def observed(app: ASGIApp, routes: frozenset[str]) -> ASGIApp:
    """The application with spans and metrics; itself, where nobody would get them."""
    is_traced = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    is_measured = not type(metrics.get_meter_provider()).__module__.startswith("opentelemetry.metrics.")
    return _Observed(app, routes) if is_traced or is_measured else app


class _Observed:
    def __init__(self, app: ASGIApp, routes: frozenset[str]) -> None:
        self._app = app
        self._routes = routes
        self._tracer = trace.get_tracer(_SCOPE, __version__)
        meter = metrics.get_meter(_SCOPE, __version__)
        self._duration = meter.create_histogram(
            "http.server.request.duration",
            "s",
            "Duration of requests",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._rows = meter.create_counter("ml.serving.rows", "{row}", "Rows that were predicted")
        self._together = meter.create_histogram(
            "ml.serving.batch.size",
            "{request}",
            "Requests in the joint prediction",
            explicit_bucket_boundaries_advisory=[1, 2, 4, 8, 16, 32, 64, 128, 256],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began = time.perf_counter()
        route = scope["path"] if scope["path"] in self._routes else _UNKNOWN
        told: dict[str, Any] = {"http.request.method": _method(scope), "http.route": route}
        context = propagate.extract(dict(Headers(scope=scope).items()))
        name = f"{told['http.request.method']} {route}"

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                told["http.response.status_code"] = message["status"]
            await send(message)

        with self._tracer.start_as_current_span(name, context, trace.SpanKind.SERVER) as span:
            await self._app(scope, receive, sent)
            status = told.get("http.response.status_code", 500)
            if status >= 500:
                told["error.type"] = str(status)
                span.set_status(trace.StatusCode.ERROR)
            span.set_attributes(told)
            if ASKED in scope:
                self._asked(span, *scope[ASKED])
        self._duration.record(time.perf_counter() - began, told)
        return None

    def _asked(self, span: trace.Span, version: str, rows: int, together: int) -> None:
        of = {"ml.serving.version": version}
        span.set_attributes({**of, "ml.serving.rows": rows, "ml.serving.batch.size": together})
        self._rows.add(rows, of)
        self._together.record(together, of)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"})


def _method(scope: Mapping[str, Any]) -> str:
    return scope["method"] if scope["method"] in _METHODS else _UNKNOWN
