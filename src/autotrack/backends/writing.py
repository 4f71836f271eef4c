"""Spans in: what a batch of spans says is gathered first, then merged with what the store has.

Every merge is commutative and every span counts once (the ledger), so order and batches do not
matter: params, tags and artifacts are won by the latest (time, writer, seq); counts add up; a
metric's last value is won by the latest (segment, step, time, writer, seq).
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, bindparam, case, delete, insert, select, tuple_, update
from sqlalchemy.dialects.sqlite import insert as upsert_insert

from .. import semconv as sc
from ..records import Scalar, SpanRecord, State
from . import codec, schema
from .incoming import (
    Identity,
    Malformed,
    PointTable,
    identity_of,
    point_table,
    prefixed,
    required_text,
    text,
    to_json,
)
from .ledger import Ranges
from .parts import in_parts


class Stamp(NamedTuple):
    """Decides who wrote last."""

    time: int
    writer: str
    seq: int


class CurvePlace(NamedTuple):
    """Where a point stands along its curve."""

    segment: int
    step: int
    time: int
    writer: str
    seq: int


@dataclass
class Summary:
    """What is known of a metric of a run; `min` and `max` are None while no value is finite."""

    count: int
    non_finite: int
    min: float | None
    max: float | None
    last: float
    place: CurvePlace

    def merge(self, other: Summary) -> None:
        self.count += other.count
        self.non_finite += other.non_finite
        self.min = min((v for v in (self.min, other.min) if v is not None), default=None)
        self.max = max((v for v in (self.max, other.max) if v is not None), default=None)
        if other.place > self.place:
            self.last, self.place = other.last, other.place


@dataclass
class Gathered:
    """What a batch of spans says, by run id."""

    started: dict[str, int] = field(default_factory=dict)
    last_seen: dict[str, int] = field(default_factory=dict)
    segments: dict[tuple[str, int, str], dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    stamped: dict[Table, dict[tuple[str, str], list[tuple[Stamp, dict[str, Any]]]]] = field(
        default_factory=lambda: {t: defaultdict(list) for t in (schema.param, schema.tag, schema.artifact)}
    )
    tables: list[tuple[Identity, PointTable[str]]] = field(default_factory=list)
    spans: list[tuple[SpanRecord, Identity | None]] = field(default_factory=list)


class Writer:
    """Writes one batch of spans in the transaction of `connection`."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection
        self._ledger: dict[str, Ranges] = {}
        self._gathered = Gathered()

    def write(self, spans: Iterable[SpanRecord]) -> None:
        """Gather, then merge."""
        records = [(span, identity_of(span)) for span in spans]
        self._load_ledger({identity.writer for _, identity in records if identity})
        for span, identity in records:
            if identity is None:
                self._gathered.spans.append((span, None))
            else:
                self._gather(span, identity)
        self._merge()

    # --- gather -----------------------------------------------------------------------------------

    def _gather(self, span: SpanRecord, identity: Identity) -> None:
        ranges = self._ledger[identity.writer]
        new = [number for number in dict.fromkeys(identity.seqs) if ranges.add(number)]
        if not new:
            return
        seen, started = self._gathered.last_seen, self._gathered.started
        seen[identity.writer] = max(span.end, seen.get(identity.writer, 0))
        started[identity.run] = min(span.start, started.get(identity.run, span.start))
        try:
            self._gather_facts(span, identity, new)
        except Malformed:
            self._gathered.spans.append((span, identity))

    def _gather_facts(self, span: SpanRecord, identity: Identity, new: Sequence[int]) -> None:
        match identity.type:
            case sc.SpanType.METRICS:
                table = point_table(span, identity.seqs)
                if len(new) < len(identity.seqs):
                    table = table.rows(np.isin(table.seqs, new))
                if len(table.step):
                    self._gathered.tables.append((identity, table))
            case sc.SpanType.RUN_START:
                self._segment(identity, {"start_seq": new[0], **_start_facts(span)})
                self._gather_settings(span, identity)
            case sc.SpanType.RUN:
                self._segment(identity, {"end_seq": new[0], **_end_facts(span)})
            case sc.SpanType.UPDATE:
                self._gather_settings(span, identity)
            case sc.SpanType.ARTIFACT:
                name, facts = _artifact_facts(span)
                self._stamp(schema.artifact, span, identity, name, facts)
            case sc.SpanType.BEAT:
                if span.attributes.get(sc.RUN_STATE) == State.IDLE:
                    self._segment(identity, {"idle": span.end})
            case _:
                self._gathered.spans.append((span, identity))

    def _gather_settings(self, span: SpanRecord, identity: Identity) -> None:
        for name, value in prefixed(span.attributes, sc.PARAM_PREFIX).items():
            facts = {"value": json.dumps(value, ensure_ascii=False), "number": _number(value)}
            self._stamp(schema.param, span, identity, name, facts)
        for name, value in prefixed(span.attributes, sc.TAG_PREFIX).items():
            self._stamp(schema.tag, span, identity, name, {"value": str(value)})

    def _segment(self, identity: Identity, facts: dict[str, Any]) -> None:
        known = self._gathered.segments[identity.run, identity.segment, identity.writer]
        _update_segment(known, facts)

    def _stamp(
        self, table: Table, span: SpanRecord, identity: Identity, name: str, facts: dict[str, Any]
    ) -> None:
        stamp = Stamp(span.start, identity.writer, identity.seqs[0])
        self._gathered.stamped[table][identity.run, name].append((stamp, facts))

    # --- merge ------------------------------------------------------------------------------------

    def _merge(self) -> None:
        gathered = self._gathered
        runs = self._run_keys(gathered.started)
        self._merge_segments(runs)
        for table, facts in gathered.stamped.items():
            self._merge_stamped(table, {(runs[run], name): rows for (run, name), rows in facts.items()})
        self._merge_points(runs)
        self._merge_spans(runs)
        self._merge_last_seen()
        self._save_ledger()

    def _run_keys(self, started: dict[str, int]) -> dict[str, int]:
        """The key of each run, which is made if need be; its start moves back to the earliest span."""
        if started:
            new = upsert_insert(schema.run)
            earliest = {"started": _least(schema.run.c.started, new.excluded.started)}
            self._db.execute(
                new.on_conflict_do_update(index_elements=["id"], set_=earliest),
                [{"id": run, "started": time} for run, time in started.items()],
            )
        return dict(self._lookup(schema.run.c.id, schema.run.c.pk, started))

    def _lookup(self, by: Any, column: Any, keys: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        for some in in_parts(keys):
            yield from self._db.execute(select(by, column).where(by.in_(some)))

    def _merge_segments(self, runs: dict[str, int]) -> None:
        table = schema.segment
        touched = {runs[run] for run, _, _ in self._gathered.segments}
        rows = {
            (row["run"], row["segment"], row["writer"]): dict(row)
            for some in in_parts(touched)
            for row in self._db.execute(select(table).where(table.c.run.in_(some))).mappings()
        }
        for (run, segment, writer), facts in self._gathered.segments.items():
            key = (runs[run], segment, writer)
            row = rows.setdefault(
                key, dict.fromkeys(table.c.keys()) | dict(zip(_SEGMENT_KEY, key, strict=True))
            )
            _update_segment(row, facts)
        self._upsert(table, rows.values())
        self._derive_runs(rows)

    def _derive_runs(self, segments: dict[tuple[int, int, str], dict[str, Any]]) -> None:
        """A run is what its latest segment says."""
        latest = {run: segments[run, segment, writer] for run, segment, writer in sorted(segments)}
        experiments = self._experiment_ids({row["experiment"] for row in latest.values()} - {None})
        if not latest:
            return
        columns = ("ended", "state", "segment", "writer", "parent", "idle", *_ERROR_COLUMNS)
        self._db.execute(
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

    def _experiment_ids(self, names: set[str]) -> dict[str, int]:
        return self._intern(schema.experiment, names)

    def _intern(self, table: Table, names: Iterable[str]) -> dict[str, int]:
        """The ids of names, which are made if need be."""
        known = dict(self._lookup(table.c.name, table.c.id, names))
        missing = [name for name in names if name not in known]
        if missing:
            self._db.execute(insert(table), [{"name": name} for name in missing])
            known |= dict(self._lookup(table.c.name, table.c.id, missing))
        return known

    def _merge_stamped(
        self, table: Table, facts: dict[tuple[int, str], list[tuple[Stamp, dict[str, Any]]]]
    ) -> None:
        """Latest stamp wins; the others are kept as superseded."""
        for (run, name), row in self._existing(table, facts).items():
            stamp = Stamp(row.pop("time"), row.pop("writer"), row.pop("seq"))
            facts[run, name].append((stamp, {k: v for k, v in row.items() if k not in ("run", "name")}))
        winners, losers = [], []
        for (run, name), rows in facts.items():
            *earlier, (stamp, value) = sorted(rows, key=lambda row: row[0])
            winners.append({"run": run, "name": name, **value, **stamp._asdict()})
            for old_stamp, old in earlier:
                old_value = old.get("value") or to_json(old)
                losers.append(
                    {"run": run, "kind": table.name, "name": name, "value": old_value, **old_stamp._asdict()}
                )
        self._upsert(table, winners)
        self._upsert(schema.superseded, losers)

    def _existing(
        self, table: Table, keys: Iterable[tuple[int, Any]]
    ) -> dict[tuple[int, Any], dict[str, Any]]:
        """Rows of a table keyed by (run, name)."""
        key = tuple_(table.c.run, table.c.name)
        return {
            (row["run"], row["name"]): dict(row)
            for some in in_parts(keys)
            for row in self._db.execute(select(table).where(key.in_(some))).mappings()
        }

    def _merge_points(self, runs: dict[str, int]) -> None:
        tables = self._gathered.tables
        names = self._intern(schema.name, dict.fromkeys(n for _, table in tables for n in table.columns))
        summaries: dict[tuple[int, int], Summary] = {}
        for identity, table in tables:
            run = runs[identity.run]
            by_id = table.renamed(names)
            insert_points(self._db, run, identity.segment, identity.writer, _digest(table.columns), by_id)
            last = _last_row(table)
            place = CurvePlace(identity.segment, *_place_of(table, last, identity.writer))
            for name, values in table.columns.items():
                summary = _summary(values, last, place)
                if (known := summaries.get((run, names[name]))) is None:
                    summaries[run, names[name]] = summary
                else:
                    known.merge(summary)
        self._merge_summaries(summaries)

    def _merge_summaries(self, summaries: dict[tuple[int, int], Summary]) -> None:
        for key, row in self._existing(schema.metric, summaries).items():
            summaries[key].merge(_summary_of_row(row))
        self._upsert(
            schema.metric,
            [
                {
                    "run": run,
                    "name": name,
                    "points": s.count,
                    "non_finite": s.non_finite,
                    "min": s.min,
                    "max": s.max,
                    "last": s.last,  # NaN becomes NULL
                    **s.place._asdict(),
                }
                for (run, name), s in summaries.items()
            ],
        )

    def _merge_spans(self, runs: dict[str, int]) -> None:
        rows = [_span_row(span, identity, runs) for span, identity in self._gathered.spans]
        if rows:
            self._db.execute(upsert_insert(schema.span).on_conflict_do_nothing(), rows)

    def _merge_last_seen(self) -> None:
        rows = [{"writer": w, "last_seen": time} for w, time in self._gathered.last_seen.items()]
        if rows:
            new = upsert_insert(schema.writer)
            latest = {"last_seen": _greatest(schema.writer.c.last_seen, new.excluded.last_seen)}
            self._db.execute(new.on_conflict_do_update(index_elements=["writer"], set_=latest), rows)

    # --- helpers ----------------------------------------------------------------------------------

    def _load_ledger(self, writers: set[str]) -> None:
        table = schema.ledger
        ranges: dict[str, list[tuple[int, int]]] = {writer: [] for writer in writers}
        for some in in_parts(writers):
            for row in self._db.execute(select(table).where(table.c.writer.in_(some))):
                ranges[row.writer].append((row.low, row.high))
        self._ledger = {writer: Ranges(known) for writer, known in ranges.items()}

    def _save_ledger(self) -> None:
        table = schema.ledger
        for some in in_parts(self._ledger):
            self._db.execute(delete(table).where(table.c.writer.in_(some)))
        rows = [{"writer": w, "low": low, "high": high} for w, r in self._ledger.items() for low, high in r]
        if rows:
            self._db.execute(insert(table), rows)

    def _upsert(self, table: Table, rows: Iterable[dict[str, Any]]) -> None:
        rows = list(rows)
        if rows:
            new = upsert_insert(table)
            key = [column.name for column in table.primary_key]
            others = {c.name: new.excluded[c.name] for c in table.c if c.name not in key}
            self._db.execute(new.on_conflict_do_update(index_elements=key, set_=others), rows)


_SEGMENT_KEY = ("run", "segment", "writer")
_ERROR_COLUMNS = ("error_type", "error_message", "error_traceback")


def insert_points(
    db: Connection, run: int, segment: int, writer: str, names: bytes, table: PointTable[int]
) -> None:
    """A table of points as an axis and a chunk for each name (an id); `names` is their digest."""
    axis = {
        "run": run,
        "segment": segment,
        "writer": writer,
        "first_seq": int(table.seqs.min()),
        "rows": len(table.step),
        "names": names,
        "seqs": codec.encode(_seq_runs(table.seqs)),
        "steps": codec.encode(table.step),
        "times": codec.encode(table.time),
    }
    key = db.execute(insert(schema.axis), axis).inserted_primary_key
    assert key is not None
    db.execute(
        insert(schema.chunk),
        [
            {"run": run, "name": name, "axis": key[0], "points": codec.encode(values)}
            for name, values in table.columns.items()
        ],
    )


def _digest(names: Iterable[str]) -> bytes:
    joined = "\0".join(sorted(names)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).digest()[:8]


def _seq_runs(seqs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of the rows as flat pairs (number, how many rows in a row)."""
    starts = np.flatnonzero(np.diff(seqs, prepend=seqs[0] - 1))
    return np.stack([seqs[starts], np.diff(starts, append=len(seqs))], axis=1).ravel()


def _last_row(table: PointTable[str]) -> int:
    """The row that is last along the curve; of equal ones the later row."""
    return int(np.lexsort((table.seqs, table.time, table.step))[-1])


def _place_of(table: PointTable[str], row: int, writer: str) -> tuple[int, int, str, int]:
    return int(table.step[row]), int(table.time[row]), writer, int(table.seqs[row])


def _summary(values: NDArray[np.float64], last: int, place: CurvePlace) -> Summary:
    finite = values[np.isfinite(values)]
    return Summary(
        count=len(values),
        non_finite=len(values) - len(finite),
        min=float(finite.min()) if len(finite) else None,
        max=float(finite.max()) if len(finite) else None,
        last=float(values[last]),
        place=place,
    )


def _summary_of_row(row: dict[str, Any]) -> Summary:
    place = CurvePlace(*(row[column] for column in CurvePlace._fields))
    last = float("nan") if row["last"] is None else row["last"]
    return Summary(row["points"], row["non_finite"], row["min"], row["max"], last, place)


def _start_facts(span: SpanRecord) -> dict[str, Any]:
    attributes = span.attributes
    interval = attributes.get(sc.RUN_BEAT_INTERVAL)
    host = span.resource.get(sc.HOST_NAME)
    return {
        "name": required_text(attributes, sc.RUN_NAME),
        "experiment": required_text(attributes, sc.EXPERIMENT_NAME),
        "parent": text(attributes, sc.RUN_PARENT),
        "host": host if isinstance(host, str) else None,
        "beat_interval": float(interval) if isinstance(interval, (int, float)) else None,
    }


_SEGMENT_FACTS = {
    "start_seq": ("name", "experiment", "parent", "host", "beat_interval"),
    "end_seq": ("ended", "state", *_ERROR_COLUMNS),
    "idle": (),
}
"""What each kind of span tells of a segment, under the column in which the highest value wins."""


def _update_segment(known: dict[str, Any], facts: dict[str, Any]) -> None:
    for stamp, columns in _SEGMENT_FACTS.items():
        if stamp in facts and facts[stamp] is not None and facts[stamp] >= (known.get(stamp) or 0):
            known.update({column: facts[column] for column in (stamp, *columns)})


def _end_facts(span: SpanRecord) -> dict[str, Any]:
    attributes = span.attributes
    state = attributes.get(sc.RUN_STATE)
    if state not in (State.FINISHED, State.FAILED, State.KILLED):
        raise Malformed(f"{state!r} is no final state")
    return {
        "ended": span.end,
        "state": str(state),
        "error_type": text(attributes, sc.ERROR_TYPE),
        "error_message": text(attributes, sc.ERROR_MESSAGE),
        "error_traceback": text(attributes, sc.ERROR_STACKTRACE),
    }


def _artifact_facts(span: SpanRecord) -> tuple[str, dict[str, Any]]:
    attributes = span.attributes
    size = attributes.get(sc.ARTIFACT_SIZE)
    if type(size) is not int:
        raise Malformed("an artifact without a size")
    return required_text(attributes, sc.ARTIFACT_PATH), {
        "sha256": required_text(attributes, sc.ARTIFACT_SHA256),
        "size": size,
        "media_type": text(attributes, sc.ARTIFACT_MEDIA_TYPE) or "application/octet-stream",
        "uri": text(attributes, sc.ARTIFACT_URI) or "",
    }


def _span_row(span: SpanRecord, identity: Identity | None, runs: dict[str, int]) -> dict[str, Any]:
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "run": runs[identity.run] if identity else None,
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


def _number(value: Scalar) -> float | None:
    """A param's number, for searches."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _least(a: Any, b: Any) -> Any:
    return case((a < b, a), else_=b)


def _greatest(a: Any, b: Any) -> Any:
    return case((a > b, a), else_=b)
