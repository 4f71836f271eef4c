"""What people change of runs: each change is a span of the server's own, committed as any other."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from .. import semconv as sc
from ..records import SpanRecord
from ..store import Store
from . import schemas
from .answers import Refused
from .bodies import read_json
from .intake import Intake
from .operations import Operation

_FIELD = re.compile(r"name|note|archived|tags\..{1,245}", re.DOTALL)
_MOST_TEXT = 65_536
_MOST_BYTES = 1 << 20


class Edits:
    """The server is a writer too, new at each start."""

    def __init__(self, store: Store, intake: Intake, told: Callable[[str], dict[str, Any]]) -> None:
        """told: how the API tells of a run."""
        self._store = store
        self._told = told
        self._intake = intake
        self._writer = os.urandom(8).hex()
        self._numbers = itertools.count(1)

    def operations(self, base: str) -> list[Operation]:
        """All of them."""
        path = f"{base}/runs/{{run_id}}/edits"
        return [Operation("POST", path, self.edit, schemas.RUN, schemas.EDIT, (400, 404, 413))]

    async def edit(self, request: Request, run_id: str) -> dict[str, Any]:
        """Change `name`, `note`, `archived` or `tags.NAME` of a run; the run as it is then is the answer."""
        told = await read_json(request, _MOST_BYTES)
        field, value, author = _checked(told)
        run = (await run_in_threadpool(self._store.row, run_id)).id
        span = self._span(run, {sc.EDIT_FIELD: field, sc.EDIT_VALUE: value, sc.EDIT_AUTHOR: author})
        await self._intake.take(lambda: [span], len(value))
        return await run_in_threadpool(self._told, run)

    def _span(self, run: str, facts: dict[str, str]) -> SpanRecord:
        now, number = time.time_ns(), next(self._numbers)
        return SpanRecord(
            trace_id=os.urandom(16).hex(),
            span_id=os.urandom(8).hex(),
            parent_id=None,
            name=sc.SpanType.EDIT,
            start=now,
            end=now,
            attributes={
                sc.SPAN_TYPE: sc.SpanType.EDIT,
                sc.SCHEMA: sc.SCHEMA_VERSION,
                sc.RUN_ID: run,
                sc.SEGMENT: 0,
                sc.WRITER: self._writer,
                sc.SEQ: (number,),
                **facts,
            },
        )


def _checked(told: dict[str, Any]) -> tuple[str, str, str]:
    """Field, value and author. Raises `Refused`."""
    field, value, author = told.get("field"), told.get("value"), told.get("author", "")
    if unknown := sorted(told.keys() - {"field", "value", "author"}):
        raise Refused(422, f"no {unknown[0][:60]!r} in an edit; there is field, value and author")
    if not isinstance(field, str) or not _FIELD.fullmatch(field):
        raise Refused(422, "field is one of name, note, archived and tags.NAME")
    if field == "archived":
        if not isinstance(value, bool):
            raise Refused(422, "archived is true or false")
        value = "true" if value else ""
    if not isinstance(value, str) or len(value) > _MOST_TEXT or not isinstance(author, str):
        raise Refused(422, f"value and author are text, of at most {_MOST_TEXT:,} characters")
    try:
        f"{field}{value}{author}".encode()
    except UnicodeEncodeError:
        raise Refused(422, "field, value or author has half a character that is no Unicode") from None
    return field, value, author[:250]
