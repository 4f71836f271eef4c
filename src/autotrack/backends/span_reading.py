"""Reads spans out: training calls, lines, ranks, and all that hangs below a run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Row, func, select

from .. import semconv as sc
from ..records import Fit, LogLine, Rank, SpanEvent, SpanRecord
from ..states import State
from . import schema
from .incoming import prefixed
from .sql import in_parts


def logs(db: Connection, run_id: str) -> list[LogLine]:
    """What was printed and logged, and the records of OpenTelemetry's loggers inside the run's spans."""
    rows = [*_spans(db, run_id, sc.SpanType.LOG), *_foreign_logs(db, run_id)]
    found = [line for row in rows for line in _log_lines(row)]
    return sorted(found, key=lambda line: (line.time, line.stream, line.number))


def fits(db: Connection, run_id: str) -> list[Fit]:
    """The training calls inside the run."""
    return [_fit(row) for row in _spans(db, run_id, sc.SpanType.FIT)]


def ranks(db: Connection, run_id: str) -> list[Rank]:
    """The processes of the latest segment; of what each says the latest counts."""
    run, writer = schema.run, schema.writer
    latest = db.scalar(select(run.c.segment).where(run.c.id == run_id))
    said: dict[int, tuple[Row[Any], dict[str, Any]]] = {}
    for row in sorted(_spans(db, run_id, sc.SpanType.RANK), key=lambda row: (row.start, row.span_id)):
        attributes = json.loads(row.attributes)
        rank = attributes.get(sc.RANK)
        if type(rank) is int and attributes.get(sc.SEGMENT) == latest:
            said[rank] = row, attributes
    writers = {attributes[sc.WRITER] for _, attributes in said.values()}
    seen = {
        row.writer: row
        for some in in_parts(writers)
        for row in db.execute(select(writer).where(writer.c.writer.in_(some)))
    }
    return [
        _rank(rank, row, attributes, seen[attributes[sc.WRITER]])
        for rank, (row, attributes) in sorted(said.items())
    ]


def spans(db: Connection, run_id: str) -> list[SpanRecord]:
    """The spans inside the run: its own, those that name it, and the foreign ones below either."""
    return [_span_record(row) for row in _inside(db, run_id)]


def _foreign_logs(db: Connection, run_id: str) -> list[Row[Any]]:
    """Log records that name the run, or tell a span inside it, as `translate` makes them.

    Whether its traces have any is soon seen; where each hangs takes a walk through all of the run's spans.
    """
    span, run, segment = schema.span, schema.run, schema.segment
    # Nearly so, by its text: there may be NaN in it, which is no JSON to SQLite.
    says_so = func.instr(span.c.attributes, f'"{sc.SPAN_TYPE}": "{sc.SpanType.LOG}"') > 0
    is_one = (span.c.name == sc.SpanType.LOG) & says_so
    naming = [*db.execute(select(span).where(span.c.run_id == run_id, is_one))]
    traces = select(segment.c.trace_id).join(run).where(run.c.id == run_id)
    is_below = _is_unclaimed(span) & is_one
    if db.scalar(select(1).where(span.c.trace_id.in_(traces), is_below).limit(1)) is None:
        return naming
    return [*naming, *_inside(db, run_id, is_below)]


def _is_unclaimed(span: FromClause) -> ColumnElement[bool]:
    return span.c.run.is_(None) & span.c.run_id.is_(None)


def _inside(db: Connection, run_id: str, *wanted: ColumnElement[bool]) -> Iterable[Row[Any]]:
    span, run, segment = schema.span, schema.run, schema.segment
    key = select(run.c.pk).where(run.c.id == run_id).scalar_subquery()
    roots = (
        select(segment.c.trace_id, segment.c.span_id)
        .where(segment.c.run == key, segment.c.span_id.is_not(None))
        .union(
            select(span.c.trace_id, span.c.span_id).where(span.c.run == key),
            select(span.c.trace_id, span.c.span_id).where(span.c.run_id == run_id),
        )
        .subquery()
    )
    inside = select(roots.c.trace_id, roots.c.span_id).cte("inside", recursive=True)
    below = (inside.c.trace_id == span.c.trace_id) & (inside.c.span_id == span.c.parent_id)
    inside = inside.union(
        select(span.c.trace_id, span.c.span_id).join(inside, below).where(_is_unclaimed(span))
    )
    query = (
        select(span)
        .join(inside, (inside.c.trace_id == span.c.trace_id) & (inside.c.span_id == span.c.span_id))
        .where(*wanted)
        .order_by(span.c.start, span.c.end.desc(), span.c.trace_id, span.c.span_id)
    )
    return db.execute(query)


def _spans(db: Connection, run_id: str, span_type: str) -> list[Row[Any]]:
    span = schema.span
    query = (
        select(span)
        .join(schema.run)
        .where(schema.run.c.id == run_id, span.c.type == span_type)
        .order_by(span.c.start, span.c.end.desc(), span.c.span_id)
    )
    return list(db.execute(query))


def _log_lines(row: Row[Any]) -> list[LogLine]:
    """The lines of a `log` span; what it should say of each and does not, is made up for."""
    attributes = json.loads(row.attributes)
    if attributes.get(sc.SPAN_TYPE) != sc.SpanType.LOG:
        return []
    first = attributes.get(sc.LOG_LINE)
    lines = str(attributes.get(sc.LOG_TEXT, "")).split("\n")
    times, levels, loggers = (
        _column(attributes.get(name), len(lines)) for name in (sc.LOG_TIMES, sc.LOG_LEVELS, sc.LOG_LOGGERS)
    )
    return [
        LogLine(
            time=_moment(time if type(time) is int else row.start),
            stream=str(attributes.get(sc.LOG_STREAM, "")),
            number=number,
            text=line,
            level=level,
            logger=logger,
        )
        for number, (line, time, level, logger) in enumerate(
            zip(lines, times, levels, loggers, strict=True), first if type(first) is int else 1
        )
    ]


def _column(values: Any, length: int) -> list[Any]:
    """A value for each line, None where there is none."""
    known = values[:length] if isinstance(values, list) else []
    return known + [None] * (length - len(known))


def _fit(row: Row[Any]) -> Fit:
    attributes = json.loads(row.attributes)
    return Fit(
        id=row.span_id,
        parent=row.parent_id,
        name=row.name,
        started=_moment(row.start),
        duration=(row.end - row.start) / 1e9,
        params=prefixed(attributes, sc.PARAM_PREFIX),
        error=attributes.get(sc.ERROR_TYPE),
    )


def _rank(rank: int, row: Row[Any], attributes: dict[str, Any], seen: Row[Any]) -> Rank:
    count, state = attributes.get(sc.WORLD_SIZE), attributes.get(sc.RUN_STATE)
    told = [attributes.get(name) for name in (sc.ERROR_TYPE, sc.ERROR_MESSAGE)]
    return Rank(
        rank=rank,
        count=count if type(count) is int else 0,
        host=str(json.loads(row.resource).get(sc.HOST_NAME, "")),
        writer=seen.writer,
        state=State(state) if state in list(State) else None,
        last_seen=_moment(seen.last_seen),
        received=None if seen.received is None else _moment(seen.received),
        error=": ".join(str(part) for part in told if part) or None,
    )


def _moment(ns: int) -> datetime:
    return datetime.fromtimestamp(ns / 1e9, UTC)


def _span_record(row: Row[Any]) -> SpanRecord:
    return SpanRecord(
        trace_id=row.trace_id,
        span_id=row.span_id,
        parent_id=row.parent_id,
        name=row.name,
        start=row.start,
        end=row.end,
        attributes=_frozen(json.loads(row.attributes)),
        status=row.status,
        resource=_frozen(json.loads(row.resource)),
        scope=row.scope,
        events=tuple(SpanEvent(name, at, _frozen(facts)) for name, at, facts in json.loads(row.events)),
    )


def _frozen(value: Any) -> Any:
    """JSON's arrays as tuples, as `SpanRecord` has them."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return {key: _frozen(item) for key, item in value.items()} if isinstance(value, dict) else value
