"""How the server answers: JSON, and one form for everything that is wrong; OTLP has another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from ..otlp.encode import encode_status

PROTOBUF, JSON = "application/x-protobuf", "application/json"
OTLP_PATHS = frozenset({"/v1/traces", "/v1/logs", "/v1/metrics"})


class Refused(Exception):
    """A request that cannot be met: the answer's status, and one line that says why and what to do."""

    def __init__(
        self, status: int, message: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
        self.more = more

    def answer(self) -> Response:
        """As it is sent."""
        return failure(self.status, self.message, headers=self.headers, **self.more)


def as_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value of JSON's types; NaN and infinities have become text before."""
    body = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(body.encode("utf-8", "replace"), status, headers, JSON)


def failure(status: int, message: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """``{"error": {"message": …}}``, whoever asked."""
    return as_json({"error": {"message": message, **more}}, status, headers)


def media_type(scope: Scope) -> str:
    """What a request says that its body is."""
    return Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()


def failure_for(
    scope: Scope, status: int, message: str, *, headers: Mapping[str, str] | None = None
) -> Response:
    """The same; on OTLP's paths a `google.rpc.Status`, as JSON to who sends that."""
    if scope["path"] not in OTLP_PATHS:
        return failure(status, message, headers=headers)
    if media_type(scope) == JSON:
        return as_json({"message": message}, status, headers)
    return Response(encode_status(message), status, headers, PROTOBUF)
