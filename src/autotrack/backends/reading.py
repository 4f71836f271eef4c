"""Reads out: rows of runs, their params and metrics, curves, files, data and models."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, Select, Table, func, or_, select

from .. import semconv as sc
from ..backend import RunRow
from ..records import (
    Artifact,
    Dataset,
    Experiment,
    MetricSummary,
    Model,
    Points,
)
from ..semconv import Scalar
from ..states import RunError, State
from . import codec, registry_reading, schema
from .compaction import row_seqs
from .incoming import from_json
from .sql import in_parts

_NAN = float("nan")
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_PART_OF_RUN_ID = re.compile(r"[0-9a-f]{1,32}")
_MAYBE_DIGEST = re.compile(r"(?=([0-9a-f]{64}))")


def run_rows(db: Connection, keys: Iterable[int]) -> list[RunRow]:
    """The runs with these keys, in this order, with params, tags, metrics and children."""
    keys = list(keys)
    rows = _runs(db, keys)
    params = _params(db, keys)
    tags = _tags(db, keys)
    metrics = _metrics(db, keys)
    children = _children(db, [row.id for row in rows])
    edits = _edits(db, keys)
    return [
        RunRow(
            id=row.id,
            name=row.name,
            experiment=row.experiment or "",
            parent=row.parent,
            started=row.started,
            ended=row.ended,
            state=_state(row),
            last_seen=row.last_seen,
            received=row.received,
            beat_interval=row.beat_interval,
            host=row.host,
            writer=row.writer,
            error=_error(row),
            params=params[row.pk],
            tags=tags[row.pk],
            metrics=metrics[row.pk],
            children=children[row.id],
            note=edits[row.pk].get("note", ""),
            archived=edits[row.pk].get("archived") == "true",
        )
        for row in rows
    ]


def experiments(db: Connection) -> list[Experiment]:
    """Those that have runs."""
    run, latest = schema.run, func.max(schema.run.c.started)
    query = (
        select(schema.experiment.c.name, func.count(), latest)
        .join(run, run.c.experiment_id == schema.experiment.c.id)
        .group_by(schema.experiment.c.id)
        .order_by(latest.desc(), schema.experiment.c.name)
    )
    return [Experiment(*row) for row in db.execute(query)]


def run_ids(db: Connection, text: str, most: int = 10) -> list[str]:
    """Ids that begin or end with `text`."""
    column = schema.run.c.id
    if not _PART_OF_RUN_ID.fullmatch(text):
        return []
    if _RUN_ID.fullmatch(text) and (known := db.scalar(select(column).where(column == text))):
        return [known]
    fits = or_(column.startswith(text, autoescape=True), column.endswith(text, autoescape=True))
    return list(db.scalars(select(column).where(fits).limit(most)))


def points(db: Connection, run_id: str, name: str) -> Points:
    """A curve, in order."""
    key = db.scalar(select(schema.run.c.pk).where(schema.run.c.id == run_id))
    name_id = db.scalar(select(schema.name.c.id).where(schema.name.c.name == name))
    if key is None or name_id is None:
        parts = []
    else:
        parts = sorted([*_chunks(db, key, name_id), *_of_small_tables(db, key, name_id)], key=_order)
    if not parts:
        return Points(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))
    step = np.concatenate([codec.decode_ints(part.steps) for part in parts])
    time = np.concatenate([codec.decode_ints(part.times) for part in parts])
    value = np.concatenate([part.values for part in parts])
    if parts[0].segment == parts[-1].segment and (step[1:] > step[:-1]).all():
        return Points(step, time, value)  # as nearly every curve comes
    order = np.lexsort((*_tie_breakers(parts), time, step, _repeated([p.segment for p in parts], parts)))
    return Points(step[order], time[order], value[order])


class _Part(NamedTuple):
    """Some of a curve's points; the rest as in an axis."""

    segment: int
    writer: str
    first_seq: int
    seqs: bytes
    steps: bytes
    times: bytes
    values: NDArray[np.float64]


_AXIS = [schema.axis.c[name] for name in _Part._fields[:-1]]


def _order(part: _Part) -> tuple[int, str, int]:
    return part.segment, part.writer, part.first_seq


def _chunks(db: Connection, run: int, name: int) -> Iterator[_Part]:
    chunk = schema.chunk
    query = select(*_AXIS, chunk.c.points).join(schema.axis, schema.axis.c.id == chunk.c.axis)
    for *facts, data in db.execute(query.where(chunk.c.run == run, chunk.c.name == name)):
        yield _Part._make((*facts, codec.decode_floats(data)))


def _of_small_tables(db: Connection, run: int, name: int) -> Iterator[_Part]:
    """The column of that name, of those that have it."""
    axis = schema.axis
    has_it = func.instr(axis.c.columns, codec.name_in_columns(name)) > 0  # nearly so
    query = select(*_AXIS, axis.c.rows, axis.c.columns)
    for *facts, rows, data in db.execute(query.where(axis.c.run == run, axis.c.columns.is_not(None), has_it)):
        values = codec.decode_columns(data, rows).get(name)
        if values is not None:
            yield _Part._make((*facts, values))


def _tie_breakers(parts: Sequence[_Part]) -> tuple[Any, Any]:
    """Of each row: its number, and its writer's rank."""
    ranks = {writer: rank for rank, writer in enumerate(sorted({part.writer for part in parts}))}
    seqs = np.concatenate([row_seqs(part.seqs) for part in parts])
    return seqs, _repeated([ranks[part.writer] for part in parts], parts)


def _repeated(values: Sequence[int], parts: Sequence[_Part]) -> Any:
    return np.repeat(np.array(values, np.int64), [len(row_seqs(part.seqs)) for part in parts])


def artifacts(db: Connection, run_id: str) -> list[Artifact]:
    """The run's files."""
    rows = _of_run(db, schema.artifact, run_id)
    return [Artifact(row.name, row.sha256, row.size, row.media_type) for row in rows]


def attributes(db: Connection, run_id: str) -> dict[str, Scalar]:
    """The run's facts."""
    return {row.name: json.loads(row.value) for row in _of_run(db, schema.attribute, run_id)}


def datasets(db: Connection, run_ids: Sequence[str]) -> dict[str, list[Dataset]]:
    """The data of some runs."""
    found: dict[str, list[Dataset]] = {run_id: [] for run_id in run_ids}
    for run_id, row in _of_runs(db, schema.dataset, run_ids):
        told = Dataset(
            name=row.name,
            role=row.role,
            digest=row.digest,
            kind=row.kind,
            shape=tuple(json.loads(row.shape)),
            size=row.size,
            schema=_known(row.schema, object, None),
        )
        found[run_id].append(told)
    return found


def models(db: Connection, run_ids: Sequence[str]) -> dict[str, list[Model]]:
    """The models of some runs."""
    found: dict[str, list[Model]] = {run_id: [] for run_id in run_ids}
    for run_id, row in _of_runs(db, schema.model, run_ids):
        facts = facts_of(row.facts)
        found[run_id].append(Model(row.name, row.flavor, row._mapping["class"], facts))
    return found


def facts_of(told: str) -> dict[str, Any]:
    """The facts of a model."""
    found: dict[str, Any] = _known(told, dict, {})
    return found


def _known(told: str, kind: type[Any], default: Any) -> Any:
    """What a store has as JSON; older ones took what no reader can make anything of."""
    try:
        return from_json(told, kind)
    except ValueError:
        return default


def blobs(db: Connection) -> set[str]:
    """Digests of the files that runs and registered versions refer to, and what could be one in a span
    that is only kept.

    That one may be of a newer release, or foreign; training calls and printed lines name no files.
    """
    found = set(db.scalars(select(schema.artifact.c.sha256).distinct()))
    found |= registry_reading.files(db)
    kind = schema.span.c.type
    query = select(schema.span.c.attributes).where(
        kind.is_(None) | kind.not_in((sc.SpanType.FIT, sc.SpanType.LOG))
    )
    for attributes in db.scalars(query):
        found.update(_MAYBE_DIGEST.findall(attributes))
    return found


def _of_run(db: Connection, table: Table, run_id: str) -> list[Row[Any]]:
    """The run's rows of a table that has its names."""
    query = select(table).join(schema.run).where(schema.run.c.id == run_id).order_by(table.c.name)
    return list(db.execute(query))


def _of_runs(db: Connection, table: Table, run_ids: Sequence[str]) -> Iterator[tuple[str, Row[Any]]]:
    """The same of some runs, each row with the id of its run."""
    run = schema.run
    query = select(run.c.id.label("of_run"), table).join(run).order_by(table.c.name)
    for some in in_parts(run_ids):
        for row in db.execute(query.where(run.c.id.in_(some))):
            yield row.of_run, row


def _runs(db: Connection, keys: Sequence[int]) -> list[Row[Any]]:
    run, experiment, writer = schema.run, schema.experiment, schema.writer
    query = (
        select(
            run,
            experiment.c.name.label("experiment"),
            func.coalesce(writer.c.last_seen, 0).label("last_seen"),
            writer.c.received,
        )
        .outerjoin(experiment, experiment.c.id == run.c.experiment_id)
        .outerjoin(writer, writer.c.writer == run.c.writer)
    )
    found = {row.pk: row for some in in_parts(keys) for row in db.execute(query.where(run.c.pk.in_(some)))}
    return [found[key] for key in keys]


def _params(db: Connection, keys: Sequence[int]) -> dict[int, dict[str, Scalar]]:
    param = schema.param
    rows = _by_run(db, select(param.c.run, param.c.name, param.c.value), keys)
    values = json.loads(f"[{','.join(value for _, _, value in rows)}]")  # at once: many times faster
    found: dict[int, dict[str, Scalar]] = defaultdict(dict)
    for (run, name, _), value in zip(rows, values, strict=True):
        found[run][name] = value
    return found


def _tags(db: Connection, keys: Sequence[int]) -> dict[int, dict[str, str]]:
    tag = schema.tag
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for run, name, value in _by_run(db, select(tag.c.run, tag.c.name, tag.c.value), keys):
        found[run][name] = value
    return found


def _edits(db: Connection, keys: Sequence[int]) -> dict[int, dict[str, str]]:
    edit = schema.edit
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for run, name, value in _by_run(db, select(edit.c.run, edit.c.name, edit.c.value), keys):
        found[run][name] = value
    return found


def _metrics(db: Connection, keys: Sequence[int]) -> dict[int, dict[str, MetricSummary]]:
    metric, label = schema.metric, schema.name.c.name
    facts = (metric.c.last, metric.c.min, metric.c.max, metric.c.points, metric.c.non_finite)
    rows = _by_run(db, select(metric.c.run, label, *facts).join(schema.name), keys)
    found: dict[int, dict[str, MetricSummary]] = defaultdict(dict)
    for run, name, last, least, most, count, non_finite in rows:
        summary = MetricSummary(_or_nan(last), _or_nan(least), _or_nan(most), count, non_finite)
        found[run][name] = summary
    return found


def _by_run(db: Connection, query: Select[Any], keys: Sequence[int]) -> list[tuple[Any, ...]]:
    """Rows of a query whose first two columns are run and name, in their order."""
    run, name, *_ = query.selected_columns
    return [
        tuple(row)
        for some in in_parts(keys)
        for row in db.execute(query.where(run.in_(some)).order_by(run, name)).all()
    ]


def _children(db: Connection, ids: Sequence[str]) -> dict[str, list[str]]:
    run = schema.run
    found = defaultdict(list)
    for some in in_parts(ids):
        query = select(run.c.id, run.c.parent).where(run.c.parent.in_(some)).order_by(run.c.started, run.c.id)
        for row in db.execute(query):
            found[row.parent].append(row.id)
    return found


def _state(row: Row[Any]) -> State | None:
    if row.state:
        return State(row.state)
    return State.IDLE if row.idle is not None and row.idle >= row.last_seen else None


def _error(row: Row[Any]) -> RunError | None:
    if not row.error_type:
        return None
    return RunError(row.error_type, row.error_message or "", row.error_traceback or "")


def _or_nan(value: float | None) -> float:
    return _NAN if value is None else value
