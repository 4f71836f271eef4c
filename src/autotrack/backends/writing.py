"""Spans in: what a batch of spans says is gathered first, then merged with what the store has.

Every merge is commutative and every span counts once (the ledger), so order and batches do not
matter: params, tags and artifacts are won by the latest (time, writer, seq), tags by a person's edit
before all others; counts add up; a metric's last value is won by the latest (segment, step, time,
writer, seq).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, bindparam, case, delete, func, select, tuple_, update
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.dialects.sqlite import insert as upsert_insert

from ..records import SpanRecord
from . import schema
from .gathering import ERROR_COLUMNS, Gathering, SegmentKey, Stamp, StampedRows, update_segment
from .incoming import Identity, identity_of, named_run, to_json
from .known import Known, KnownRun
from .ledger import Ranges
from .points import merge_points
from .sql import in_parts, insert_many, intern, lookup, rows_by_name, upsert


def write(db: Connection, known: Known, spans: Iterable[SpanRecord], received: int | None) -> set[str]:
    """Take spans in, in the transaction of `db`; returns the ids of the runs they told of.

    received: unix ns at which they came over the network, if they did.
    """
    records = [(span, identity_of(span)) for span in spans]
    writers = {identity.writer for _, identity in records if identity}
    gathered = Gathering(_load_ledger(db, writers, known.ledger))
    for span, identity in records:
        gathered.add(span, identity)
    runs = _run_keys(db, gathered.started, known)
    _merge_segments(db, gathered.segments, runs, known)
    for table, facts in gathered.stamped.items():
        if facts:
            _merge_stamped(db, table, facts, runs)
    _rename(db, gathered, runs)
    merge_points(db, gathered.tables, runs, known.names)
    _insert_spans(db, gathered.spans, runs)
    _merge_last_seen(db, gathered.last_seen, received)
    _save_ledger(db, gathered.ledger)
    return set(runs)


def _run_keys(db: Connection, started: dict[str, int], known: Known) -> dict[str, int]:
    """The key of each run, which is made if need be; its start moves back to the earliest span."""
    earlier = {
        run: time for run, time in started.items() if run not in known.runs or time < known.runs[run].started
    }
    if earlier:
        insert_many(db, _beginning(), [{"id": run, "started": time} for run, time in earlier.items()])
        keys = lookup(db, schema.run.c.id, schema.run.c.pk, earlier)
        known.runs.update((run, KnownRun(keys[run], time)) for run, time in earlier.items())
    return {run: known.runs[run].key for run in started}


@cache
def _beginning() -> Insert:
    new = upsert_insert(schema.run)
    earliest = {"started": _least(schema.run.c.started, new.excluded.started)}
    return new.on_conflict_do_update(index_elements=["id"], set_=earliest)


def _merge_segments(
    db: Connection, segments: dict[SegmentKey, dict[str, Any]], runs: dict[str, int], known: Known
) -> None:
    table = schema.segment
    touched = {runs[run] for run, _, _ in segments}
    rows = {
        (row["run"], row["segment"], row["writer"]): dict(row)
        for some in in_parts(touched)
        for row in db.execute(select(table).where(table.c.run.in_(some))).mappings()
    }
    for (run, segment, writer), facts in segments.items():
        key = (runs[run], segment, writer)
        row = rows.setdefault(key, dict.fromkeys(table.c.keys()) | dict(zip(_SEGMENT_KEY, key, strict=True)))
        update_segment(row, facts)
    upsert(db, table, rows.values())
    _derive_runs(db, rows, known.experiments)


def _derive_runs(
    db: Connection, segments: dict[tuple[int, int, str], dict[str, Any]], experiments: dict[str, int]
) -> None:
    """A run is what its latest segment says, and what that keeps of those before."""
    latest: dict[int, dict[str, Any]] = {}
    begun: dict[int, dict[str, Any]] = {}
    for run, segment, writer in sorted(segments):
        row = segments[run, segment, writer]
        latest[run] = row | _kept(row, begun.get(run, {}))
        if row["start_seq"] is not None:
            begun[run] = latest[run]
    if not latest:
        return
    intern(db, schema.experiment, {row["experiment"] for row in latest.values()} - {None}, experiments)
    columns = ("ended", "state", "segment", "writer", "parent", "idle", *ERROR_COLUMNS)
    db.execute(
        update(schema.run).where(schema.run.c.pk == bindparam("key")),
        [
            {
                "key": run,
                "name": row["name"] or "",
                "experiment_id": experiments.get(row["experiment"]),
                "host": row["host"] or "",
                "beat_interval": row["beat_interval"] or 10.0,
                **{column: row[column] for column in columns},
            }
            for run, row in latest.items()
        ],
    )


def _kept(row: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """What a segment that goes on with a run leaves as the one before it said."""
    return {name: before[name] for name in (row["keeps"] or "").split() if name in before}


def _rename(db: Connection, gathered: Gathering, runs: dict[str, int]) -> None:
    """The name that a person gave holds, whatever the run says of itself, before or after."""
    told = {runs[run] for run, _, _ in gathered.segments}
    edited = {runs[run] for run, field in gathered.stamped[schema.edit] if field == "name"}
    if not (concerned := told | edited):
        return  # what says a point does not pay for the query
    given = select(schema.edit.c.value).where(
        schema.edit.c.run == schema.run.c.pk, schema.edit.c.name == "name"
    )
    for some in in_parts(concerned):
        query = update(schema.run).where(schema.run.c.pk.in_(some), given.exists())
        db.execute(query.values(name=given.scalar_subquery()))


def _merge_stamped(db: Connection, table: Table, facts: StampedRows, runs: dict[str, int]) -> None:
    """Latest stamp wins, of a tag a person's; the others are kept as superseded."""
    by_key = {(runs[run], name): rows for (run, name), rows in facts.items()}
    for key, row in rows_by_name(db, table, by_key).items():
        stamp = Stamp(*(row.pop(field) for field in Stamp._fields))
        by_key[key].append((stamp, {k: v for k, v in row.items() if k not in ("run", "name")}))
    held = _edits_of_tags(db, by_key) if table is schema.tag else {}
    winners, losers = [], []
    for key, rows in by_key.items():
        run, name = key
        given = held.get(key)
        *earlier, (stamp, facts_now) = sorted(rows, key=lambda row: (row[0] == given, row[0]))
        winners.append({"run": run, "name": name, **facts_now, **stamp._asdict()})
        for stamp_then, then in earlier:
            value = then["value"] if "value" in then else to_json(then)
            losers.append(
                {"run": run, "kind": table.name, "name": name, "value": value, **stamp_then._asdict()}
            )
    upsert(db, table, winners)
    upsert(db, schema.superseded, losers)


def _edits_of_tags(db: Connection, tags: Iterable[tuple[int, str]]) -> dict[tuple[int, str], Stamp]:
    """The stamps of the latest, by run and tag: a training's clock may be ahead of the server's."""
    rows = rows_by_name(db, schema.edit, ((run, f"tags.{name}") for run, name in tags))
    return {
        (run, field.removeprefix("tags.")): Stamp(*(row[of] for of in Stamp._fields))
        for (run, field), row in rows.items()
    }


def _insert_spans(
    db: Connection, spans: Iterable[tuple[SpanRecord, Identity | None]], runs: dict[str, int]
) -> None:
    rows = [_span_row(span, identity, runs) for span, identity in spans]
    if rows:
        db.execute(upsert_insert(schema.span).on_conflict_do_nothing(), rows)


def _merge_last_seen(db: Connection, last_seen: dict[str, int], received: int | None) -> None:
    rows = [{"writer": w, "last_seen": time, "received": received} for w, time in last_seen.items()]
    insert_many(db, _seeing(), rows)


@cache
def _seeing() -> Insert:
    new = upsert_insert(schema.writer)
    latest = {
        "last_seen": _greatest(schema.writer.c.last_seen, new.excluded.last_seen),
        "received": func.coalesce(new.excluded.received, schema.writer.c.received),
    }
    return new.on_conflict_do_update(index_elements=["writer"], set_=latest)


def _load_ledger(db: Connection, writers: set[str], known: dict[str, Ranges]) -> dict[str, Ranges]:
    table = schema.ledger
    ranges: dict[str, list[tuple[int, int]]] = {writer: [] for writer in writers - known.keys()}
    for some in in_parts(ranges):
        for row in db.execute(select(table).where(table.c.writer.in_(some))):
            ranges[row.writer].append((row.low, row.high))
    known.update((writer, Ranges(those)) for writer, those in ranges.items())
    return {writer: known[writer] for writer in writers}


def _save_ledger(db: Connection, ledger: dict[str, Ranges]) -> None:
    """Only what has changed: as a rule one range has become longer."""
    table = schema.ledger
    gone = [(writer, low) for writer, ranges in ledger.items() for low in ranges.gone()]
    for some in in_parts(gone):
        db.execute(delete(table).where(tuple_(table.c.writer, table.c.low).in_(some)))
    upsert(
        db,
        table,
        [
            {"writer": writer, "low": low, "high": high}
            for writer, ranges in ledger.items()
            for low, high in ranges.changed()
        ],
    )
    for ranges in ledger.values():
        ranges.saved()


_SEGMENT_KEY = ("run", "segment", "writer")


def _span_row(span: SpanRecord, identity: Identity | None, runs: dict[str, int]) -> dict[str, Any]:
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "run": runs[identity.run] if identity else None,
        "run_id": None if identity else named_run(span),
        "type": identity.type if identity else None,
        "name": span.name,
        "start": span.start,
        "end": span.end,
        "status": span.status,
        "attributes": to_json(dict(span.attributes)),
        "resource": to_json(dict(span.resource)),
        "scope": span.scope,
        "events": to_json([(e.name, e.time, dict(e.attributes)) for e in span.events]),
    }


def _least(a: Any, b: Any) -> Any:
    return case((a < b, a), else_=b)


def _greatest(a: Any, b: Any) -> Any:
    return case((a > b, a), else_=b)
