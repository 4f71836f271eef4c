"""A run that is copied is the run, whatever it has, and copying it again changes nothing."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from autotrack import semconv as sc
from autotrack.backend import Backend
from autotrack.backends.sqlite import SqliteBackend
from autotrack.conventions import problems
from autotrack.copying import ROWS, copy_run
from autotrack.errors import RunNotFound
from autotrack.records import SpanRecord
from autotrack.states import State
from autotrack.testing import histories
from autotrack.testing.histories import RUN_SPANS, RUNS, WRITERS, foreign, ours, said, table

New = Callable[[], SqliteBackend]
START = {sc.RUN_NAME: "x", sc.EXPERIMENT_NAME: "e", sc.RUN_BEAT_INTERVAL: 10.0}


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> New:
    """Makes stores with nothing in them."""
    folder = tmp_path_factory.mktemp("stores")
    template = folder / "template.db"
    backend = SqliteBackend(f"sqlite:///{template}")
    backend.write([])
    backend.close()
    count = iter(range(10**6))

    def make() -> SqliteBackend:
        return SqliteBackend(f"sqlite:///{shutil.copy(template, folder / f'{next(count)}.db')}")

    return make


def told(backend: Backend, run: str) -> dict[str, Any]:
    """What can be read of a run, but for what only its own writer's signs of life tell."""
    row = backend.run(run)
    assert row is not None
    final = row.state in (State.FINISHED, State.FAILED, State.KILLED)
    alive = {"state": row.state, "ended": row.ended, "error": row.error} if final else {}
    metrics = {name: repr(replace(s, last=0.0)) for name, s in row.metrics.items()}
    everything = said(backend)[run]
    spans = [replace(span, attributes={**span.attributes, sc.RUN_ID: run}) for span in backend.spans(run)]
    return {
        "row": (row.name, row.experiment, row.note, row.archived, row.started, row.beat_interval, row.host),
        "params": repr(sorted(row.params.items())),
        "tags": dict(row.tags),
        "metrics": metrics,
        "curves and things": everything[:-2],
        "spans": repr(spans),
        **alive,
    }


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(spans=histories.histories())
def test_a_copied_run_is_what_it_was(spans: list[SpanRecord], new: New) -> None:
    source, target = new(), new()
    source.write(spans)
    for row in source.runs():
        copy_run(source, target, row.id)
        once = said(target)
        copy_run(source, target, row.id)
        assert said(target) == once, "copied twice it is the same"
    for row in source.runs():
        assert told(target, row.id) == told(source, row.id)
    source.close()
    target.close()


def test_what_was_copied_follows_the_conventions(new: New) -> None:
    source, target = new(), new()
    source.write(_a_run())
    write = target.write
    found: list[str] = []

    def check_and_write(spans: Any, received: int | None = None) -> set[str]:
        some = list(spans)
        found.extend(problem for span in some if sc.WRITER in span.attributes for problem in problems(span))
        return write(some, received)

    target.write = check_and_write  # type: ignore[method-assign]
    copy_run(source, target, RUNS[0])
    of_the_process = {problem for problem in found if problem.startswith("resource: ")}  # which is long gone
    assert set(found) == of_the_process
    assert target.run(RUNS[0]) is not None


def test_a_long_curve_with_resumes_arrives_in_its_order(new: New) -> None:
    source, target = new(), new()
    rng = np.random.default_rng(0)
    size = 2 * ROWS + 7
    values = rng.normal(size=size)
    values[5], values[ROWS] = math.nan, math.inf
    first = table(1, list(range(size)), loss=values.tolist())
    again = {
        sc.METRICS_STEP: (3, 4, 4),
        sc.METRICS_TIME: (9, 9, 9),
        f"{sc.METRICS_VALUE_PREFIX}loss": (1.0, 2.0, 3.0),
    }
    source.write([first, ours("metrics", RUNS[0], 2, WRITERS[1], (1,), again, 9)])
    copy_run(source, target, RUNS[0])
    ours_, theirs = (backend.points(RUNS[0], "loss") for backend in (source, target))
    assert theirs.step.tolist() == ours_.step.tolist()
    assert theirs.time.tolist() == ours_.time.tolist()
    assert repr(theirs.value.tolist()) == repr(ours_.value.tolist())


def test_a_run_that_went_on_is_brought_up_to_date(new: New) -> None:
    source, target = new(), new()
    source.write(
        [ours("run.start", RUNS[0], 1, WRITERS[0], (1,), START, 1), table(2, [1, 2], loss=[1.0, 2.0])]
    )
    copy_run(source, target, RUNS[0])
    row = target.run(RUNS[0])
    assert row is not None
    assert (row.state, row.metrics["loss"].count) == (None, 2)
    more = {f"{sc.PARAM_PREFIX}lr": 0.1}
    source.write(
        [
            table(3, [3], loss=[3.0]),
            ours("update", RUNS[0], 1, WRITERS[0], (4,), more, 4),
            ours("run", RUNS[0], 1, WRITERS[0], (5,), {sc.RUN_STATE: "finished"}, 9),
        ]
    )
    copy_run(source, target, RUNS[0])
    assert told(target, RUNS[0]) == told(source, RUNS[0])


def test_a_copy_that_broke_off_goes_on(new: New) -> None:
    source, target = new(), new()
    source.write(_a_run())
    write, written = target.write, 0

    def breaks_off(spans: Any, received: int | None = None) -> set[str]:
        nonlocal written
        written += 1
        some = list(spans)
        if written == 1:
            write(some[:3], received)
            raise ConnectionError("the line went dead")
        return write(some, received)

    target.write = breaks_off  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        copy_run(source, target, RUNS[0])
    copy_run(source, target, RUNS[0])
    assert told(target, RUNS[0]) == told(source, RUNS[0])


def test_a_child_whose_parent_stays_behind_is_nobodys_child(new: New) -> None:
    source, target = new(), new()
    source.write(
        [
            ours("run.start", RUNS[0], 1, WRITERS[0], (1,), START, 1),
            ours("run.start", RUNS[1], 2, WRITERS[0], (2,), {**START, sc.RUN_PARENT: RUNS[0]}, 2),
        ]
    )
    copy_run(source, target, RUNS[1])
    row = target.run(RUNS[1])
    assert row is not None
    assert row.parent is None
    family = new()
    for run in RUNS:
        copy_run(source, family, run)
    child = family.run(RUNS[1])
    assert child is not None
    assert child.parent == RUNS[0]


def test_a_run_that_is_not_there(new: New) -> None:
    with pytest.raises(RunNotFound, match="cannot be copied"):
        copy_run(new(), new(), RUNS[0])


def test_a_store_that_is_not_there_is_made(new: New, tmp_path: Path) -> None:
    source, target = new(), SqliteBackend(f"sqlite:///{tmp_path}/new.db")
    source.write(_a_run())
    copy_run(source, target, RUNS[0])
    assert told(target, RUNS[0]) == told(source, RUNS[0])


def _a_run() -> list[SpanRecord]:
    """A bit of everything, below a span of its own."""
    facts: list[tuple[str, dict[str, Any]]] = [
        ("run.start", {**START, f"{sc.PARAM_PREFIX}lr": 0.1, f"{sc.TAG_PREFIX}team": "a"}),
        ("update", {"vcs.ref.head.revision": "abc"}),
        ("fit", {sc.FIT_CLASS: "m.C", f"{sc.PARAM_PREFIX}depth": 2}),
        ("log", {sc.LOG_STREAM: "stdout", sc.LOG_LINE: 1, sc.LOG_TIMES: (1, 2), sc.LOG_TEXT: "a\nb"}),
        (
            "dataset",
            {
                sc.DATASET_NAME: "train",
                sc.DATASET_ROLE: "train",
                sc.DATASET_DIGEST: "xxh3:1",
                sc.DATASET_SHAPE: (3, 4),
                sc.DATASET_SCHEMA: '{"a": "int64"}',
            },
        ),
        ("artifact", {sc.ARTIFACT_PATH: "p", sc.ARTIFACT_SHA256: "1" * 64, sc.ARTIFACT_SIZE: 3}),
        ("model", {sc.MODEL_PATH: "model", sc.MODEL_FLAVOR: "f", sc.MODEL_CLASS: "m.C"}),
        ("edit", {sc.EDIT_FIELD: "note", sc.EDIT_VALUE: "mine"}),
        ("edit", {sc.EDIT_FIELD: "archived", sc.EDIT_VALUE: "true"}),
        (
            "run",
            {sc.RUN_STATE: "failed", sc.ERROR_TYPE: "E", sc.ERROR_MESSAGE: "m", sc.ERROR_STACKTRACE: "t"},
        ),
    ]
    spans = [
        ours(kind, RUNS[0], 1, WRITERS[0], (seq,), told, seq) for seq, (kind, told) in enumerate(facts, 1)
    ]
    return [*spans, table(99, [1, 2, 3], 50, loss=[3.0, 2.0, 1.0]), foreign(1, RUN_SPANS[RUNS[0]])]
