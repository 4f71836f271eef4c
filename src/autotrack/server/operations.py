"""Operations of the API: a function's signature says what it takes, and OpenAPI's description of it.

A handler's keyword parameters are the query's; their types (`str`, `int`, `bool`, optional with None) and
`Annotated` bounds are what is checked and what is published. (FastAPI does this too; it costs 14 MB and
0.2 to 0.4 s at each start, of 90 MB and 1 s that a server may take here.)
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..errors import (
    AutotrackError,
    ModelNotFound,
    QueryError,
    RegistryConflict,
    RegistryValueError,
    RunNotFound,
)
from .answers import Refused, as_json

Handler = Callable[..., Any]


@dataclass(frozen=True)
class Between:
    """Bounds of a number, both included."""

    low: int
    high: int


@dataclass(frozen=True)
class Parameter:
    """What a query may say: `default` None is optional without one."""

    name: str
    default: Any
    kind: type
    bounds: Between | None

    def read(self, told: str) -> Any:
        """The value that a query's text means. Raises `Refused`."""
        if self.kind is bool:
            if told.lower() not in ("true", "false", "1", "0"):
                raise Refused(422, f"{self.name} is neither true nor false")
            return told.lower() in ("true", "1")
        if self.kind is int:
            number = whole_number(told)
            if number is None:
                raise Refused(422, f"{self.name} is no whole number")
            if self.bounds and not self.bounds.low <= number <= self.bounds.high:
                raise Refused(422, f"{self.name} is not between {self.bounds.low} and {self.bounds.high:,}")
            return number
        return told

    def schema(self) -> dict[str, Any]:
        """As OpenAPI says it."""
        found: dict[str, Any] = {"type": {str: "string", int: "integer", bool: "boolean"}[self.kind]}
        if self.bounds:
            found |= {"minimum": self.bounds.low, "maximum": self.bounds.high}
        if self.default not in (None, ""):
            found["default"] = self.default
        return {"name": self.name, "in": "query", "required": False, "schema": found}


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    handler: takes path parameters by position and the query's by keyword, in a worker thread; what it
    returns is sent as JSON, or as it is if it is a `Response`. An `async` one gets the `Request` first.
    answer: the schema of what is sent, or its media type.
    """

    method: str
    path: str
    handler: Handler
    answer: Mapping[str, Any] | str = field(default_factory=lambda: {"type": "object"})
    body: Mapping[str, Any] | str | None = None
    failures: tuple[int, ...] = ()
    successes: tuple[int, ...] = (200,)

    @cached_property
    def parameters(self) -> list[Parameter]:
        """What the query may say."""
        hints = get_type_hints(self.handler, include_extras=True)
        return [
            Parameter(p.name, p.default, *_kind_of(hints[p.name]))
            for p in inspect.signature(self.handler).parameters.values()
            if p.kind is inspect.Parameter.KEYWORD_ONLY
        ]

    def route(self) -> Route:
        """As Starlette has it."""
        route = Route(self.path, self._endpoint, methods=[self.method])
        route.methods = {self.method}  # Starlette would answer HEAD by GET's handler
        return route

    async def _endpoint(self, request: Request) -> Response:
        try:
            query = self._read(request)
            positional = tuple(request.path_params.values())
            if inspect.iscoroutinefunction(self.handler):
                found = await self.handler(request, *positional, **query)
            else:
                found = await run_in_threadpool(self.handler, *positional, **query)
        except Exception as error:  # noqa: BLE001
            return refusal(error).answer()
        return found if isinstance(found, Response) else as_json(found)

    def _read(self, request: Request) -> dict[str, Any]:
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in request.query_params:
            if name not in known:
                raise Refused(422, f"no parameter {name[:60]!r}; there is {', '.join(known) or 'none'}")
        return {name: known[name].read(told) for name, told in request.query_params.items()}


def whole_number(told: str) -> int | None:
    """A number of 64 bits, or None: digits alone, and not so many that reading them takes long."""
    if not re.fullmatch(r"-?[0-9]{1,19}", told):
        return None
    number = int(told)
    return number if -(2**63) <= number < 2**63 else None


def refusal(error: Exception) -> Refused:
    """What a handler's error is to whoever asked. Raises what is a fault of ours."""
    match error:
        case Refused():
            return error
        case QueryError():
            return Refused(400, str(error), column=error.column, what=error.what)
        case RunNotFound() | ModelNotFound():
            return Refused(404, str(error))
        case RegistryConflict():
            return Refused(409, str(error))
        case RegistryValueError():
            return Refused(422, str(error))
        case AutotrackError():
            return Refused(503, str(error), headers={"Retry-After": "5"})
    raise error


def _kind_of(hint: Any) -> tuple[type, Between | None]:
    """The type and the bounds of `int`, `int | None`, `Annotated[int, Between(…)]` and that or None."""
    if get_origin(hint) is not Annotated:
        hint = next(part for part in get_args(hint) or (hint,) if part is not NoneType)
    return get_args(hint)[:2] if get_origin(hint) is Annotated else (hint, None)
