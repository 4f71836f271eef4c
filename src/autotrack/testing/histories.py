"""Spans of made-up histories, the ways in which they may arrive, and everything a store says of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from .. import semconv as sc
from ..backend import Backend, RunRow
from ..records import Fit, Rank, SpanRecord
from ..states import State

RUNS = ("0" * 31 + "1", "0" * 31 + "2")
TRACE = "1" * 32
RUN_SPANS = {run: f"{number:016x}" for number, run in enumerate(RUNS, 0xAA)}
"""The id of each run's own span."""
WRITERS = ("a" * 16, "b" * 16)
NAMES = ("loss", "acc", 'q"uote/🙂\n')

small = st.integers(0, 5)
values = st.one_of(st.sampled_from([0.0, 1.5, -2.0, math.nan, math.inf, -math.inf]), st.floats(width=32))


@st.composite
def histories(draw: st.DrawFn) -> list[SpanRecord]:
    """Spans of two writers, each with its own numbers; runs, segments, times and steps collide on purpose."""
    spans = []
    for writer in WRITERS:
        for seq in range(1, draw(st.integers(1, 9)) + 1):
            kind = draw(st.sampled_from([*_FACTS, "metrics", "metrics", "metrics"]))
            run, segment, time = draw(st.sampled_from(RUNS)), draw(st.integers(1, 2)), draw(small)
            facts = draw(tables()) if kind == "metrics" else draw(_FACTS[kind])
            spans.append(ours(kind, run, segment, writer, (seq,), facts, time))
    parents = [None, RUN_SPANS[RUNS[0]], RUN_SPANS[RUNS[1]], *(f"{number:016x}" for number in range(3))]
    for number in range(draw(st.integers(0, 3))):
        named = draw(st.sampled_from([None, *RUNS]))
        spans.append(foreign(number, draw(st.sampled_from(parents)), named))
    return spans


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    rows = draw(st.integers(1, 4))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    column = st.lists(values, min_size=rows, max_size=rows)
    numbers = st.lists(st.integers(-3, 3), min_size=rows, max_size=rows)
    return {
        sc.METRICS_STEP: tuple(draw(numbers)),
        sc.METRICS_TIME: tuple(sorted(draw(numbers))),
        sc.METRICS_ROWS: (rows,),
        **{sc.METRICS_VALUE_PREFIX + name: tuple(draw(column)) for name in names},
    }


def _settings(prefix: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from([prefix + "a", prefix + "b"]), value, max_size=2)


_params = _settings(
    sc.PARAM_PREFIX, st.one_of(st.integers(-3, 3), st.text(max_size=3), values, st.booleans())
)
_tags = _settings(sc.TAG_PREFIX, st.text(max_size=3))
_attributes = _settings("vcs.", st.one_of(st.text(max_size=3), st.integers(-3, 3)))
_FACTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "run.start": st.builds(
        lambda name, experiment, keeps, params, tags: {
            sc.RUN_NAME: name,
            sc.EXPERIMENT_NAME: experiment,
            sc.RUN_KEEPS: keeps,
            sc.RUN_BEAT_INTERVAL: 10.0,
            **params,
            **tags,
        },
        st.sampled_from(["x", "y"]),
        st.sampled_from(["e", "f"]),
        st.sampled_from([(), ("name",), ("name", "experiment", "parent"), ("state", 1), "no names"]),
        _params,
        _tags,
    ),
    "update": st.builds(lambda *facts: facts[0] | facts[1] | facts[2], _params, _tags, _attributes),
    "run": st.builds(
        lambda state: {sc.RUN_STATE: state, sc.ERROR_TYPE: "E"},
        st.sampled_from(["finished", "failed", "killed", "gone astray"]),
    ),
    "beat": st.builds(lambda state: {sc.RUN_STATE: state} if state else {}, st.sampled_from(["", "idle"])),
    "artifact": st.builds(
        lambda path, digest: {
            sc.ARTIFACT_PATH: path,
            sc.ARTIFACT_SHA256: digest * 64,
            sc.ARTIFACT_SIZE: 3,
            sc.ARTIFACT_URI: "file:///x",
        },
        st.sampled_from(["p", "q"]),
        st.sampled_from("12"),
    ),
    "dataset": st.builds(
        lambda name, digest, shape: {
            sc.DATASET_NAME: name,
            sc.DATASET_ROLE: "train",
            sc.DATASET_DIGEST: digest,
            sc.DATASET_SHAPE: shape,
            sc.DATASET_SCHEMA: "[1]",
        },
        st.sampled_from(["train", "test"]),
        st.sampled_from("12"),
        st.sampled_from([(1, 2), (), "no shape"]),
    ),
    "model": st.builds(
        lambda path, flavor, facts: {
            sc.MODEL_PATH: path,
            sc.MODEL_FLAVOR: flavor,
            sc.MODEL_CLASS: "m.C",
            sc.MODEL_FACTS: facts,
        },
        st.sampled_from(["model", "other"]),
        st.sampled_from("ab"),
        st.sampled_from(["{}", '{"a": 1}', "no JSON"]),
    ),
    "edit": st.builds(
        lambda field, value: {sc.EDIT_FIELD: field, sc.EDIT_VALUE: value},
        st.sampled_from(["name", "note", "archived", "tags.a"]),
        st.sampled_from(["", "true", "x"]),
    ),
    "log": st.just({sc.LOG_STREAM: "stdout", sc.LOG_LINE: 1, sc.LOG_TIMES: (1, 2), sc.LOG_TEXT: "a\nb"}),
    "fit": st.builds(lambda params: {sc.FIT_CLASS: "m.C", **params}, _params),
    "rank": st.builds(
        lambda rank, count, state: {
            sc.RANK: rank,
            sc.WORLD_SIZE: count,
            **({sc.RUN_STATE: state, sc.ERROR_TYPE: "E", sc.ERROR_MESSAGE: "m"} if state else {}),
        },
        st.sampled_from([0, 1, "none"]),
        st.sampled_from([0, 2]),
        st.sampled_from(["", "finished", "failed", "gone astray"]),
    ),
    "from the future": st.just({"ml.unheard.of": (1, 2)}),
}


def ours(
    kind: str, run: str, segment: int, writer: str, seqs: tuple[int, ...], facts: dict[str, Any], time: int
) -> SpanRecord:
    return SpanRecord(
        trace_id=TRACE,
        span_id=f"{writer[:8]}{seqs[0]:08x}",
        parent_id=RUN_SPANS.get(run),
        name=kind,
        start=time,
        end=time + 1,
        attributes={
            sc.SPAN_TYPE: kind,
            sc.SCHEMA: 1,
            sc.RUN_ID: run,
            sc.SEGMENT: segment,
            sc.WRITER: writer,
            sc.SEQ: seqs,
            **facts,
        },
        resource={sc.HOST_NAME: "h"},
    )


def foreign(number: int, parent: str | None = None, run: str | None = None) -> SpanRecord:
    """A span of somebody else's in the runs' trace; `run` is the one that it names."""
    facts = {"http.route": "/"} | ({sc.RUN_ID: run} if run else {})
    return SpanRecord(TRACE, f"{number:016x}", parent, "GET /", 1, 2, facts)


@st.composite
def deliveries(draw: st.DrawFn, spans: list[SpanRecord]) -> list[list[SpanRecord] | None]:
    """The same spans as they might arrive: merged, doubled, shuffled, in batches; None is a compaction."""
    merged = list(_merged(spans)) if draw(st.booleans()) else []
    arriving = [*spans, *merged, *draw(st.lists(st.sampled_from(spans), max_size=5))]
    arriving = draw(st.permutations(arriving))
    steps: list[list[SpanRecord] | None] = []
    while arriving:
        size = draw(st.integers(1, len(arriving)))
        steps.append(arriving[:size])
        arriving = arriving[size:]
        if draw(st.booleans()):
            steps.append(None)
    return steps


def _merged(spans: list[SpanRecord]) -> Iterator[SpanRecord]:
    """Consecutive tables of one writer, run, segment and set of names as one span with several numbers."""
    groups: dict[Any, list[SpanRecord]] = {}
    for span in spans:
        if span.attributes.get(sc.SPAN_TYPE) == "metrics":
            key = (
                tuple(span.attributes[k] for k in (sc.RUN_ID, sc.SEGMENT, sc.WRITER)),
                frozenset(k for k in span.attributes if k.startswith(sc.METRICS_VALUE_PREFIX)),
            )
            groups.setdefault(key, []).append(span)
    for group in groups.values():
        first = group[0].attributes
        arrays = [k for k, v in first.items() if k.startswith("ml.metrics.") or k == sc.SEQ]
        facts = {k: sum((tuple(s.attributes[k]) for s in group), ()) for k in arrays}
        seqs = facts.pop(sc.SEQ)
        time = min(s.start for s in group)
        span = ours("metrics", first[sc.RUN_ID], first[sc.SEGMENT], first[sc.WRITER], seqs, facts, time)
        yield replace(span, end=max(s.end for s in group))


def table(seq: int, steps: list[int], time: int = 0, **columns: list[Any]) -> SpanRecord:
    """One `metrics` span of the first run and writer."""
    facts: dict[str, Any] = {
        sc.METRICS_STEP: tuple(steps),
        sc.METRICS_TIME: tuple(time + s for s in range(len(steps))),
    }
    facts |= {sc.METRICS_VALUE_PREFIX + name: tuple(values) for name, values in columns.items()}
    return ours("metrics", RUNS[0], 1, WRITERS[0], (seq,), facts, time)


def said(backend: Backend) -> dict[str, Any]:
    """What the readers return, as values that compare."""
    rows = backend.runs()
    told: dict[str, Any] = {"runs": [_comparable(row) for row in rows]}
    for row in rows:
        told[row.id] = (
            {name: _curve(backend, row.id, name) for name in row.metrics},
            backend.artifacts(row.id),
            [_fit(fit) for fit in backend.fits(row.id)],
            backend.attributes(row.id),
            backend.datasets(row.id),
            backend.models(row.id),
            backend.logs(row.id),
            list(map(_comparable_rank, backend.ranks(row.id))),
            repr(backend.spans(row.id)),
        )
    return told


def _comparable(row: RunRow) -> str:
    """All but when it came: that is not what the spans say."""
    return repr(replace(row, received=None)).replace("-nan", "nan")


def _fit(fit: Fit) -> str:
    """A param that is NaN equals itself only where it is the same object."""
    return repr(replace(fit, params=dict(sorted(fit.params.items()))))


def _comparable_rank(rank: Rank) -> Rank:
    """The same, and who lives is no more what they say."""
    ended = rank.state in (State.FINISHED, State.FAILED, State.KILLED)
    return replace(rank, received=None, state=rank.state if ended else None)


def _curve(backend: Backend, run: str, name: str) -> tuple[bytes, bytes, bytes]:
    points = backend.points(run, name)
    value = np.where(np.isnan(points.value), np.nan, points.value)  # one NaN is as good as another
    return points.step.tobytes(), points.time.tobytes(), value.tobytes()
