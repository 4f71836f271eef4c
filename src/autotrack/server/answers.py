"""How the server answers: JSON, and one form for everything that is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response


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
    return Response(body.encode("utf-8", "replace"), status, headers, "application/json")


def failure(status: int, message: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """``{"error": {"message": …}}``, whoever asked."""
    return as_json({"error": {"message": message, **more}}, status, headers)
