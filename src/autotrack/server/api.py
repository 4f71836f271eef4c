"""``/api/v1``: what the page, the HTTP backend and other programs read."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ..backend import RunRow, state_of
from ..backends import wire
from ..query import And, Compare, Entity, Key, OneOf, Or, Search, all_of
from ..records import Points
from ..reduction import reduced
from ..semconv import Scalar
from ..store import Store, search_of
from . import schemas
from .answers import Refused, as_json
from .bodies import read_json
from .events import Events
from .operations import Between, Operation, whole_number

BASE = "/api/v1"
COLUMNS = "application/octet-stream"
"""Points as three little-endian columns, one after the other: int64 steps, int64 times, float64 values."""
_MOST_SEARCH_BYTES = 1 << 20
_MOST_OFFSET = 1 << 40


class Api:
    """Reads of a store."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._backend = store.backend
        self._events = events

    def operations(self) -> list[Operation]:
        """All of them."""
        lists = [
            self.attributes,
            self.datasets,
            self.models,
            self.logs,
            self.fits,
            self.ranks,
            self.spans,
            self.artifacts,
        ]
        return [
            _get("/experiments", self.experiments, schemas.EXPERIMENTS),
            _get("/runs", self.runs, schemas.RUNS, 400),
            _get("/runs/count", self.count, schemas.COUNT, 400),
            _post("/search", self.search, schemas.RUNS),
            _post("/search/count", self.search_count, schemas.COUNT),
            _get("/runs/ids", self.ids, schemas.IDS),
            _get("/runs/{run_id}", self.run, schemas.RUN, 404),
            _get("/runs/{run_id}/points", self.points, schemas.POINTS, 404),
            *(
                _get(f"/runs/{{run_id}}/{read.__name__}", read, schemas.listed(read.__name__), 404)
                for read in lists
            ),
            _get("/facts", self.facts),
            _get("/blobs", self.blobs, schemas.IDS),
            _get("/events", self.events, "text/event-stream"),
        ]

    # --- experiments and runs ---------------------------------------------------------------------

    def experiments(self) -> dict[str, Any]:
        """The experiments that have runs, the one with the latest start first."""
        found = self._backend.experiments() if self._backend.exists() else []
        return {"experiments": list(map(wire.record_to_json, found))}

    def runs(
        self,
        *,
        filter: str = "",
        order_by: str = "",
        experiment: str | None = None,
        roots: bool = False,
        limit: Annotated[int, Between(1, 10_000)] = 100,
        after: str = "",
    ) -> dict[str, Any]:
        """The runs that pass a filter, in order; `next` is what `after` takes to go on."""
        return self._found(search_of(filter, order_by, experiment, roots), limit, after)

    def count(
        self, *, filter: str = "", experiment: str | None = None, roots: bool = False
    ) -> dict[str, int]:
        """How many runs pass a filter, exactly."""
        return self._counted(search_of(filter, (), experiment, roots))

    async def search(
        self,
        request: Request,
        *,
        limit: Annotated[int, Between(0, 1_000_000)] = 1_000_000,
        offset: Annotated[int, Between(0, _MOST_OFFSET)] = 0,
    ) -> dict[str, Any]:
        """The runs of a search in the form that autotrack's own clients send."""
        search = await _asked(request)
        return await run_in_threadpool(lambda: {"runs": self._told(self._rows(search, limit, offset))})

    async def search_count(self, request: Request) -> dict[str, int]:
        """How many runs such a search finds, exactly."""
        return await run_in_threadpool(self._counted, await _asked(request))

    def _counted(self, search: Search) -> dict[str, int]:
        return {"count": self._backend.count(search, self._store.liveness()) if self._backend.exists() else 0}

    def ids(self, *, like: str = "") -> dict[str, Any]:
        """Ids that begin or end with a text; at most ten."""
        return {"ids": self._backend.run_ids(like) if like and self._backend.exists() else []}

    def run(self, run_id: str) -> dict[str, Any]:
        """One run, by its id or what it begins or ends with."""
        return self._told([self._store.row(run_id)])[0]

    def runs_of(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The runs of some whole ids, those that there are."""
        search = Search(OneOf(Key(Entity.RUN, "id"), tuple(ids)))
        return self._told(self._rows(search, len(ids), 0)) if ids else []

    def _found(self, search: Search, limit: int, after: str) -> dict[str, Any]:
        page = _Page.read(search, after)
        rows = self._rows(page.search, limit + 1, page.offset)
        return {
            "runs": self._told(rows[:limit]),
            "next": page.next(rows[:limit]) if len(rows) > limit else None,
        }

    def _rows(self, search: Search, limit: int, offset: int) -> Sequence[RunRow]:
        if not self._backend.exists():
            return []
        return self._backend.runs(search, self._store.liveness(), limit, offset)

    def _told(self, rows: Sequence[RunRow]) -> list[dict[str, Any]]:
        liveness, now = self._store.liveness(), time.time_ns()
        return [wire.run_to_json(row, state_of(row, liveness), now) for row in rows]

    # --- one run ------------------------------------------------------------------------------------

    async def points(
        self,
        request: Request,
        run_id: str,
        *,
        name: str = "",
        max_points: Annotated[int, Between(4, 1_000_000)] | None = None,
    ) -> Response:
        """A metric's curve, reduced to about `max_points` if asked: extremes, NaN and infinities stay.

        With `Accept: application/octet-stream`: int64 steps, int64 times (unix ns), float64 values, each
        column after the other, little endian.
        """
        curve, count = await run_in_threadpool(self._curve, run_id, name, max_points)
        if COLUMNS in request.headers.get("accept", ""):
            columns = (curve.step.astype("<i8"), curve.time.astype("<i8"), curve.value.astype("<f8"))
            body = b"".join(column.tobytes() for column in columns)
            return Response(body, media_type=COLUMNS, headers={"X-Count": str(count)})
        return as_json(
            {
                "name": name,
                "count": count,
                "step": curve.step.tolist(),
                "time": curve.time.tolist(),
                "value": list(map(wire.number_to_json, curve.value.tolist())),
            }
        )

    def _curve(self, run_id: str, name: str, max_points: int | None) -> tuple[Points, int]:
        row = self._store.row(run_id)
        curve = self._backend.points(row.id, name)
        count = len(curve)
        return (curve if max_points is None else reduced(curve, max_points)), count

    def attributes(self, run_id: str) -> dict[str, Any]:
        """Facts of the run under OpenTelemetry's names."""
        found: dict[str, Scalar] = self._backend.attributes(self._store.row(run_id).id)
        return {"attributes": wire.scalars_to_json(found)}

    def datasets(self, run_id: str) -> dict[str, Any]:
        """The data the run used."""
        return self._listed("datasets", run_id, self._backend.datasets)

    def models(self, run_id: str) -> dict[str, Any]:
        """The run's models."""
        return self._listed("models", run_id, self._backend.models)

    def logs(self, run_id: str) -> dict[str, Any]:
        """What was printed and logged, by time."""
        return self._listed("logs", run_id, self._backend.logs)

    def fits(self, run_id: str) -> dict[str, Any]:
        """The training calls inside the run, by start."""
        return self._listed("fits", run_id, self._backend.fits)

    def ranks(self, run_id: str) -> dict[str, Any]:
        """The processes that train it together, each in its state; none where there is one."""
        return self._listed("ranks", run_id, self._store.ranks)

    def spans(self, run_id: str) -> dict[str, Any]:
        """The spans inside the run, ours and foreign, by start."""
        return self._listed("spans", run_id, self._backend.spans)

    def artifacts(self, run_id: str) -> dict[str, Any]:
        """The run's files, by path."""
        return self._listed("artifacts", run_id, self._backend.artifacts)

    def _listed(self, name: str, run_id: str, read: Callable[[str], Sequence[Any]]) -> dict[str, Any]:
        return {name: list(map(wire.record_to_json, read(self._store.row(run_id).id)))}

    # --- the store ------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """Version of the schema, counts and bytes."""
        if not self._backend.exists():
            return {"exists": False}
        return {"exists": True, **self._backend.facts()}

    def blobs(self) -> dict[str, Any]:
        """The sha256 of every file that a run refers to."""
        return {"ids": sorted(self._backend.blobs()) if self._backend.exists() else []}

    async def events(self, request: Request, *, since: int | None = None) -> Response:
        """Server-sent events: `commit` with a cursor, the ids of runs and the names of models that changed.

        Each is null where any may have.
        """
        if since is None:
            since = whole_number(request.headers.get("last-event-id", ""))
        stream: AsyncIterator[bytes] = self._events.stream(since)
        return StreamingResponse(
            stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )


class _Page:
    """Where a list goes on: behind a run where runs come by start, else behind so many of them."""

    def __init__(self, search: Search, offset: int, by_start: bool) -> None:
        self.search = search
        self.offset = offset
        self._by_start = by_start

    @classmethod
    def read(cls, search: Search, after: str) -> _Page:
        """Raises `Refused`."""
        by_start = not search.order
        if not after:
            return cls(search, 0, by_start)
        first, _, run_id = after.partition("-")
        number = whole_number(first)
        most = 2**63 if by_start else _MOST_OFFSET
        if number is None or not 0 <= number < most or by_start != bool(run_id):
            raise Refused(422, "after is not what `next` said")
        if not by_start:
            return cls(search, number, by_start)
        started = Key(Entity.RUN, "started")
        behind = Or(
            (
                Compare(started, "<", number),
                And((Compare(started, "=", number), Compare(Key(Entity.RUN, "id"), "<", run_id))),
            )
        )
        where = all_of([search.where, behind]) if search.where else behind
        return cls(replace(search, where=where), 0, by_start)

    def next(self, rows: Sequence[RunRow]) -> str:
        """What `after` takes after these."""
        if self._by_start:
            return f"{rows[-1].started}-{rows[-1].id}"
        return str(self.offset + len(rows))


async def _asked(request: Request) -> Search:
    try:
        return wire.search_from_json(await read_json(request, _MOST_SEARCH_BYTES))
    except ValueError as error:
        raise Refused(400, str(error)) from None


def _post(path: str, handler: Any, answer: Any) -> Operation:
    return Operation("POST", BASE + path, handler, answer, schemas.SEARCH, (400, 413, 415))


def _get(path: str, handler: Any, answer: Any = None, *failures: int) -> Operation:
    return Operation("GET", BASE + path, handler, answer or {"type": "object"}, None, failures)
