"""What one store knows of a run, and another lacks, as the spans that tell it.

Told twice it is the same. Whatever a run has one of (a param, a file, its end) is told where the other store
has none, or another one. Points and what is kept as spans carry numbers that depend on nothing but the run,
so that a store that has them drops them, even of two who copy at once.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import semconv as sc
from .backend import Backend, RunRow
from .errors import RunNotFound
from .records import Points, SpanRecord
from .states import State

ROWS = 16_384
"""Points in one span."""
SPANS = 64
"""Spans in one write."""


def copy_run(source: Backend, target: Backend, run_id: str) -> None:
    """Bring the target's run to what the source knows of it. Raises `StoreError`, `RunNotFound`."""
    row = source.run(run_id)
    if row is None:
        raise RunNotFound(f"no run has the id {run_id!r}, so it cannot be copied; see: autotrack runs")
    if not target.exists():
        target.write([])
    spans = _Copy(source, target, row).spans()
    while batch := list(itertools.islice(spans, SPANS)):
        target.write(batch)


class _Copy:
    """One run on its way; its facts are told by a writer of their own, new each time, as of now."""

    def __init__(self, source: Backend, target: Backend, row: RunRow) -> None:
        self._source = source
        self._target = target
        self._row = row
        self._there = target.run(row.id)
        self._now = time.time_ns()
        self._writer = os.urandom(8).hex()
        self._numbers = itertools.count(1)
        self._kept = source.spans(row.id)
        self._trace, self._root = _place(self._kept, row.id)

    def spans(self) -> Iterator[SpanRecord]:
        """All that the target lacks: first that there is such a run, last that it has ended."""
        yield from self._start()
        yield from self._settings()
        yield from self._edits()
        yield from self._things()
        yield from self._inside()
        for name in self._row.metrics:
            yield from self._points(name)
        yield from self._end()

    # --- the run itself -----------------------------------------------------------------------------

    def _start(self) -> Iterator[SpanRecord]:
        if self._there is not None:
            return
        row = self._row
        facts: dict[str, Any] = {sc.RUN_NAME: row.name, sc.EXPERIMENT_NAME: row.experiment}
        facts[sc.RUN_BEAT_INTERVAL] = row.beat_interval
        if row.parent is not None and self._target.run(row.parent) is not None:
            facts[sc.RUN_PARENT] = row.parent  # else it would hang below a run that nobody can see
        yield self._span(sc.SpanType.RUN_START, facts, row.started, _digest(row.id, "run"), 1)

    def _end(self) -> Iterator[SpanRecord]:
        """Numbered by when it was: of a run that went on after a first copy the later end counts."""
        row, there = self._row, self._there
        if row.state not in (State.FINISHED, State.FAILED, State.KILLED) or row.ended is None:
            return
        if there is not None and (there.state, there.ended) == (row.state, row.ended):
            return
        facts: dict[str, Any] = {sc.RUN_STATE: str(row.state)}
        if row.error is not None:
            facts[sc.ERROR_TYPE] = row.error.type
            facts[sc.ERROR_MESSAGE] = row.error.message
            facts[sc.ERROR_STACKTRACE] = row.error.traceback
        end = self._span(sc.SpanType.RUN, facts, row.started, _digest(row.id, "run"), max(row.ended, 2))
        yield replace(end, span_id=self._root, parent_id=None, end=row.ended)

    def _settings(self) -> Iterator[SpanRecord]:
        """Params, tags and facts of the environment."""
        row, there = self._row, self._there
        facts = _prefixed(sc.PARAM_PREFIX, _changed(row.params, there.params if there else {}))
        facts |= _prefixed(sc.TAG_PREFIX, _changed(row.tags, there.tags if there else {}))
        facts |= _changed(self._source.attributes(row.id), self._target.attributes(row.id) if there else {})
        if facts:
            yield self._told(sc.SpanType.UPDATE, facts)

    def _edits(self) -> Iterator[SpanRecord]:
        """What a person said of it."""
        row, there = self._row, self._there
        if row.note and row.note != (there.note if there else ""):
            yield self._told(sc.SpanType.EDIT, {sc.EDIT_FIELD: "note", sc.EDIT_VALUE: row.note})
        if row.archived and not (there and there.archived):
            yield self._told(sc.SpanType.EDIT, {sc.EDIT_FIELD: "archived", sc.EDIT_VALUE: "true"})

    # --- what it has --------------------------------------------------------------------------------

    def _things(self) -> Iterator[SpanRecord]:
        run = self._row.id
        for artifact in _new(self._source.artifacts(run), self._target.artifacts(run)):
            yield self._told(
                sc.SpanType.ARTIFACT,
                {
                    sc.ARTIFACT_PATH: artifact.path,
                    sc.ARTIFACT_SHA256: artifact.sha256,
                    sc.ARTIFACT_SIZE: artifact.size,
                    sc.ARTIFACT_MEDIA_TYPE: artifact.media_type,
                },
            )
        for dataset in _new(self._source.datasets(run), self._target.datasets(run)):
            size = {} if dataset.size is None else {sc.DATASET_SIZE: dataset.size}
            yield self._told(
                sc.SpanType.DATASET,
                {
                    sc.DATASET_NAME: dataset.name,
                    sc.DATASET_ROLE: dataset.role,
                    sc.DATASET_DIGEST: dataset.digest,
                    sc.DATASET_KIND: dataset.kind,
                    sc.DATASET_SHAPE: dataset.shape,
                    sc.DATASET_SCHEMA: json.dumps(dataset.schema, ensure_ascii=False),
                    **size,
                },
            )
        for model in _new(self._source.models(run), self._target.models(run)):
            yield self._told(
                sc.SpanType.MODEL,
                {
                    sc.MODEL_PATH: model.path,
                    sc.MODEL_FLAVOR: model.flavor,
                    sc.MODEL_CLASS: model.kind,
                    sc.MODEL_FACTS: json.dumps(dict(model.facts), ensure_ascii=False),
                },
            )

    def _inside(self) -> Iterator[SpanRecord]:
        """Training calls, printed lines and foreign spans: as they are, but each says whose it is."""
        there = {(span.trace_id, span.span_id) for span in self._target.spans(self._row.id)}
        for span in self._kept:
            if (span.trace_id, span.span_id) not in there:
                yield replace(span, attributes={**span.attributes, sc.RUN_ID: self._row.id})

    def _points(self, name: str) -> Iterator[SpanRecord]:
        """What follows the points that are there. A curve that differs from ours stays as it is."""
        known = self._there.metrics[name].count if self._there and name in self._there.metrics else 0
        if known >= self._row.metrics[name].count:
            return
        curve = self._source.points(self._row.id, name)
        if known and not _begins(curve, self._target.points(self._row.id, name)):
            return
        stretch = _stretches(curve)
        writer = _digest(self._row.id, "points", name)
        bounds = [*range(known, len(curve), ROWS), *np.flatnonzero(np.diff(stretch)) + 1, len(curve)]
        for first, end in itertools.pairwise(sorted({int(at) for at in bounds if at >= known})):
            columns = {
                sc.METRICS_STEP: curve.step[first:end],
                sc.METRICS_TIME: curve.time[first:end],
                f"{sc.METRICS_VALUE_PREFIX}{name}": curve.value[first:end],
                sc.METRICS_ROWS: (end - first,),
                sc.SEGMENT: self._row.started + int(stretch[first]),
            }
            yield self._span(sc.SpanType.METRICS, columns, self._row.started, writer, end)

    # --- spans --------------------------------------------------------------------------------------

    def _told(self, kind: str, facts: Mapping[str, Any]) -> SpanRecord:
        return self._span(kind, facts, self._now, self._writer, next(self._numbers))

    def _span(self, kind: str, facts: Mapping[str, Any], moment: int, writer: str, number: int) -> SpanRecord:
        own = {
            sc.SPAN_TYPE: kind,
            sc.SCHEMA: sc.SCHEMA_VERSION,
            sc.RUN_ID: self._row.id,
            sc.SEGMENT: self._row.started,
            sc.WRITER: writer,
            sc.SEQ: (number,),
        }
        return SpanRecord(
            trace_id=self._trace,
            span_id=_digest(writer, str(number)),
            parent_id=self._root,
            name=kind,
            start=moment,
            end=moment,
            attributes=own | dict(facts),
            resource={sc.HOST_NAME: self._row.host, sc.SERVICE_NAME: "autotrack"},
        )


def _place(kept: Iterable[SpanRecord], run_id: str) -> tuple[str, str]:
    """The trace and the id of the run's own span, below which those hang that are inside it."""
    ours = [span for span in kept if sc.WRITER in span.attributes]
    ids = {span.span_id for span in ours}
    for span in ours:
        if span.parent_id is not None and span.parent_id not in ids:
            return span.trace_id, span.parent_id
    return run_id, _digest(run_id, "span")


def _digest(*parts: str) -> str:
    """16 hex characters, the same wherever they are made."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in values.items()}


def _changed(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """What they have not, or not so; NaN is NaN."""
    return {
        name: value for name, value in ours.items() if name not in theirs or repr(theirs[name]) != repr(value)
    }


def _new(ours: Iterable[Any], theirs: Iterable[Any]) -> list[Any]:
    known = {repr(one) for one in theirs}
    return [one for one in ours if repr(one) not in known]


def _begins(curve: Points, start: Points) -> bool:
    """Whether a curve begins with these points."""
    size = len(start)
    return (
        np.array_equal(curve.step[:size], start.step)
        and np.array_equal(curve.time[:size], start.time)
        and np.array_equal(curve.value[:size], start.value, equal_nan=True)
    )


def _stretches(curve: Points) -> NDArray[np.int64]:
    """Of each point the number of the stretch it stands in: a new one begins where step or time goes back.

    Points are ordered by segment first, so each stretch is told as one of its own.
    """
    step, moment = np.diff(curve.step), np.diff(curve.time)
    goes_back = (step < 0) | ((step == 0) & (moment < 0))
    return np.concatenate([[0], np.cumsum(goes_back)]).astype(np.int64)
