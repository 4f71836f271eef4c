"""What a batch of spans says, before it is merged with what the store has."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Table

from .. import semconv as sc
from ..records import SpanRecord
from ..semconv import Scalar
from ..states import State
from . import schema
from .incoming import (
    Identity,
    Malformed,
    PointTable,
    is_int,
    json_text,
    point_table,
    prefixed,
    required_text,
    run_facts,
    shape,
    text,
)
from .ledger import Ranges


class Stamp(NamedTuple):
    """Decides who wrote last."""

    time: int
    writer: str
    seq: int


SegmentKey = tuple[str, int, str]
"""Run id, segment and writer."""

StampedRows = dict[tuple[str, str], list[tuple[Stamp, dict[str, Any]]]]
"""By run id and name: what was said of it, and when."""


class Gathering:
    """The facts of a batch, by run id; each number of a writer counts once."""

    def __init__(self, ledger: dict[str, Ranges]) -> None:
        self.ledger = ledger
        self.started: dict[str, int] = {}
        self.last_seen: dict[str, int] = {}
        self.segments: dict[SegmentKey, dict[str, Any]] = defaultdict(dict)
        self.stamped: dict[Table, StampedRows] = {
            table: defaultdict(list)
            for table in (
                schema.edit,  # before the tags, which it holds
                schema.param,
                schema.tag,
                schema.attribute,
                schema.artifact,
                schema.dataset,
                schema.model,
            )
        }
        self.tables: list[tuple[Identity, PointTable[str]]] = []
        self.spans: list[tuple[SpanRecord, Identity | None]] = []

    def add(self, span: SpanRecord, identity: Identity | None) -> None:
        """Take in one span, unless the ledger has all its numbers."""
        if identity is None:
            self.spans.append((span, None))
            return
        new = self.ledger[identity.writer].add_all(identity.seqs)
        if not new:
            return
        seen, started = self.last_seen, self.started
        seen[identity.writer] = max(span.end, seen.get(identity.writer, 0))
        started[identity.run] = min(span.start, started.get(identity.run, span.start))
        try:
            self._gather_facts(span, identity, new)
        except Malformed:
            self.spans.append((span, identity))

    def _gather_facts(self, span: SpanRecord, identity: Identity, new: Sequence[int]) -> None:
        match identity.type:
            case sc.SpanType.METRICS:
                table = point_table(span, identity.seqs)
                if len(new) < len(identity.seqs):
                    table = table.rows(np.isin(table.seqs, new))
                if len(table.step):
                    self.tables.append((identity, table))
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
            case sc.SpanType.DATASET:
                name, facts = _dataset_facts(span)
                self._stamp(schema.dataset, span, identity, name, facts)
            case sc.SpanType.MODEL:
                name, facts = _model_facts(span)
                self._stamp(schema.model, span, identity, name, facts)
            case sc.SpanType.EDIT:
                self._gather_edit(span, identity)
            case sc.SpanType.BEAT:
                if text(span.attributes, sc.RUN_STATE) == State.IDLE:
                    self._segment(identity, {"idle": span.end})
            case _:
                self.spans.append((span, identity))

    def _gather_settings(self, span: SpanRecord, identity: Identity) -> None:
        for name, value in prefixed(span.attributes, sc.PARAM_PREFIX).items():
            facts = {"value": json.dumps(value, ensure_ascii=False), "number": _number(value)}
            self._stamp(schema.param, span, identity, name, facts)
        for name, value in prefixed(span.attributes, sc.TAG_PREFIX).items():
            self._stamp(schema.tag, span, identity, name, {"value": str(value)})
        for name, value in run_facts(span.attributes).items():
            facts = {"value": json.dumps(value, ensure_ascii=False), "number": _number(value)}
            self._stamp(schema.attribute, span, identity, name, facts)

    def _gather_edit(self, span: SpanRecord, identity: Identity) -> None:
        """What edits say stands apart, as it holds over what the run says of itself; a tag is a tag too."""
        field, value = (required_text(span.attributes, key) for key in (sc.EDIT_FIELD, sc.EDIT_VALUE))
        facts = {"value": value, "author": text(span.attributes, sc.EDIT_AUTHOR) or ""}
        kind, _, tag = field.partition(".")
        if kind == "tags" and tag:
            self._stamp(schema.tag, span, identity, tag, {"value": value})
        self._stamp(schema.edit, span, identity, field, facts)

    def _segment(self, identity: Identity, facts: dict[str, Any]) -> None:
        known = self.segments[identity.run, identity.segment, identity.writer]
        update_segment(known, facts)

    def _stamp(
        self, table: Table, span: SpanRecord, identity: Identity, name: str, facts: dict[str, Any]
    ) -> None:
        stamp = Stamp(span.start, identity.writer, identity.seqs[0])
        self.stamped[table][identity.run, name].append((stamp, facts))


ERROR_COLUMNS = ("error_type", "error_message", "error_traceback")
_SEGMENT_FACTS = {
    "start_seq": ("name", "experiment", "parent", "keeps", "host", "beat_interval", "trace_id", "span_id"),
    "end_seq": ("ended", "state", *ERROR_COLUMNS),
    "idle": (),
}
"""What each kind of span tells of a segment, under the column in which the highest value wins."""


def update_segment(known: dict[str, Any], facts: dict[str, Any]) -> None:
    """Merge what two spans, or a span and the store, say of a segment."""
    for stamp, columns in _SEGMENT_FACTS.items():
        if stamp in facts and facts[stamp] is not None and facts[stamp] >= (known.get(stamp) or 0):
            known.update({column: facts[column] for column in (stamp, *columns)})


def _start_facts(span: SpanRecord) -> dict[str, Any]:
    attributes = span.attributes
    interval = attributes.get(sc.RUN_BEAT_INTERVAL)
    host = span.resource.get(sc.HOST_NAME)
    return {
        "name": required_text(attributes, sc.RUN_NAME),
        "experiment": required_text(attributes, sc.EXPERIMENT_NAME),
        "parent": text(attributes, sc.RUN_PARENT),
        "keeps": _names_kept(attributes.get(sc.RUN_KEEPS)),
        "trace_id": span.trace_id,
        "span_id": span.parent_id,  # the start is told by a child of the run's own span
        "host": host if isinstance(host, str) else None,
        "beat_interval": float(interval)
        if isinstance(interval, (int, float)) and isfinite(interval)
        else None,
    }


def _names_kept(told: Any) -> str | None:
    """Those that a run has, with spaces between them."""
    names = {name for name in told if isinstance(name, str)} if isinstance(told, (tuple, list)) else set()
    return " ".join(name for name in sc.RUN_IDENTITY if name in names) or None


def _end_facts(span: SpanRecord) -> dict[str, Any]:
    attributes = span.attributes
    state = text(attributes, sc.RUN_STATE)
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
    if not is_int(size):
        raise Malformed("an artifact without a size")
    return required_text(attributes, sc.ARTIFACT_PATH), {
        "sha256": required_text(attributes, sc.ARTIFACT_SHA256),
        "size": size,
        "media_type": text(attributes, sc.ARTIFACT_MEDIA_TYPE) or "application/octet-stream",
        "uri": text(attributes, sc.ARTIFACT_URI) or "",
    }


def _dataset_facts(span: SpanRecord) -> tuple[str, dict[str, Any]]:
    attributes = span.attributes
    size = attributes.get(sc.DATASET_SIZE)
    return required_text(attributes, sc.DATASET_NAME), {
        "role": required_text(attributes, sc.DATASET_ROLE),
        "digest": required_text(attributes, sc.DATASET_DIGEST),
        "kind": text(attributes, sc.DATASET_KIND) or "",
        "shape": shape(attributes, sc.DATASET_SHAPE),
        "size": size if is_int(size) else None,
        "schema": json_text(attributes, sc.DATASET_SCHEMA, "null"),
    }


def _model_facts(span: SpanRecord) -> tuple[str, dict[str, Any]]:
    attributes = span.attributes
    return required_text(attributes, sc.MODEL_PATH), {
        "flavor": required_text(attributes, sc.MODEL_FLAVOR),
        "class": required_text(attributes, sc.MODEL_CLASS),
        "facts": json_text(attributes, sc.MODEL_FACTS, "{}", dict),
    }


def _number(value: Scalar) -> float | None:
    """A param's number, for searches."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
