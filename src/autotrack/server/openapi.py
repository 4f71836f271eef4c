"""The API's description in OpenAPI 3.1, made of its operations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .._version import __version__
from . import schemas
from .operations import Operation

_MEANINGS = {
    400: "what was asked for cannot be understood",
    401: "a token is needed",
    403: "another host, or a page of another site",
    404: "there is no such thing",
    409: "something has changed meanwhile, or stands in the way: look, and try again",
    413: "too large",
    415: "an unknown content type or encoding",
    416: "no such part of the file",
    422: "a value that does not fit",
    503: "the store cannot be used now; Retry-After says when to ask again",
}
_SUCCESSES = {200: "what was asked for", 204: "it is here", 206: "the part that was asked for"}
_ALWAYS = (401, 403, 422, 503)


def description(operations: Sequence[Operation]) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _described(operation, path)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "autotrack",
            "version": __version__,
            "description": "Runs, metrics and files of a store. Times are unix ns, durations seconds.",
        },
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
    }


def _described(operation: Operation, path: str) -> dict[str, Any]:
    text = inspect.getdoc(operation.handler) or ""
    summary, _, rest = text.partition("\n\n")
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    answers = {
        status: {
            "description": _SUCCESSES[status],
            **({} if status == 204 else {"content": _content(operation.answer)}),
        }
        for status in operation.successes
    }
    refusals = {
        status: {"description": _MEANINGS[status], "content": _content(schemas.ERROR)}
        for status in sorted({*operation.failures, *_ALWAYS})
    }
    found: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "summary": " ".join(summary.split()),
        **({"description": rest} if rest else {}),
        "parameters": [*in_path, *(parameter.schema() for parameter in operation.parameters)],
        "responses": {str(status): answer for status, answer in (answers | refusals).items()},
    }
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": _content(operation.body)}
    return found


def _content(what: Mapping[str, Any] | str) -> dict[str, Any]:
    if isinstance(what, str):
        return {what: {"schema": {"type": "string"}}}
    return {"application/json": {"schema": dict(what)}}
