"""What a run keeps off the caller's path: tables, texts, facts, and runs below it."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

import autotrack
from autotrack import _enable
from autotrack import semconv as sc
from autotrack.recording.companion import Companion
from autotrack.recording.segments import Segment
from autotrack.states import State

from .scripts import Place, end_line
from .tracking import Tracking, tracking

__all__ = ["tracking"]


def test_a_table_is_what_pandas_reads(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("r") as run:
        run.log_table({"fpr": np.array([0.0, 0.5]), "name": ["a", "b"], "n": (1, 2)}, "roc.json")
    [artifact] = tracking.run().artifacts
    assert (artifact.path, artifact.media_type) == ("roc.json", "application/json")
    read = pd.read_json(tracking.run().artifact("roc.json"), orient="split")
    assert read.to_dict("list") == {"fpr": [0.0, 0.5], "name": ["a", "b"], "n": [1, 2]}


def test_a_table_holds_what_json_has_not(tracking: Tracking) -> None:
    tracking.enable()
    odd = [math.nan, math.inf, -math.inf, None, 1 + 2j, "\ud800"]
    with autotrack.run("r") as run:
        run.log_table({"odd": odd}, "odd.json")
    table = json.loads(tracking.run().artifact("odd.json").read_text("utf-8"))
    assert table["data"] == [[None], ["Infinity"], ["-Infinity"], [None], ["(1+2j)"], ["\ud800"]]


def test_columns_of_different_lengths_are_one_line_and_no_more(
    tracking: Tracking, caplog: pytest.LogCaptureFixture
) -> None:
    tracking.enable()
    with autotrack.run("r") as run:
        run.log_table({"a": [1], "b": [1, 2]}, "t.json")
        run.log_text("kept", "notes/a.txt")
    assert [a.path for a in tracking.run().artifacts] == ["notes/a.txt"]
    assert tracking.run().artifact("notes/a.txt").read_text() == "kept"
    assert sum("shorter" in m or "longer" in m for m in caplog.messages) == 1, caplog.messages


def test_facts_are_neither_params_nor_tags(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("r") as run:
        run.set_attributes({"vcs.ref.head.name": "main", "process.pid": 7})
    found = tracking.run()
    assert found.attributes == {"vcs.ref.head.name": "main", "process.pid": 7}
    assert not found.params
    assert not found.tags


def test_a_child_has_the_times_it_is_given(tracking: Tracking) -> None:
    tracking.enable()
    start = 1_700_000_000_000_000_000
    with autotrack.run("parent") as parent:
        child = parent.new_child("child", params={"c": 1}, started=start)
        child.log({"score": 0.5}, 0)
        child.finish(State.FAILED, at=start + 2_000_000_000)
        assert autotrack.active_run() is parent
    runs = {run.name: run for run in tracking.runs()}
    assert runs["parent"].children == (runs["child"].id,)
    assert (runs["child"].state, runs["child"].duration) == (State.FAILED, 2.0)
    assert runs["child"].started.timestamp() * 1e9 == start
    assert runs["child"].metrics == {"score": 0.5}


def test_a_child_of_a_run_that_is_not_current(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("parent") as parent:
        pass
    with autotrack.run("another"):
        parent.new_child("child").end()
    runs = {run.name: run for run in tracking.runs()}
    assert runs["child"].parent == runs["parent"].id


def test_flush_waits_for_what_is_done_later(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("r") as run:
        run.log_text("x", "a.txt")
        autotrack.flush()
        assert [a.path for a in tracking.store.run(run.id).artifacts] == ["a.txt"]


def test_what_fails_later_is_one_line(tracking: Tracking, caplog: pytest.LogCaptureFixture) -> None:
    tracking.enable()
    with autotrack.run("r") as run:
        run.later(lambda segment: 1 / 0)
        run.log({"loss": 1.0})
    assert tracking.run().metrics == {"loss": 1.0}
    assert sum("ZeroDivisionError" in m for m in caplog.messages) == 1


def test_the_end_of_a_script_waits_for_it(store: Place) -> None:
    ended = store.run("""
        import autotrack
        run = autotrack.run("r")
        run.log_text("x", "a.txt")
        run.later(lambda segment: run.log({"late": 1.0}))
    """)
    assert ended.returncode == 0
    assert ended.said == [end_line("1 finished", 1)]
    found = store.only_run()
    assert "a.txt" in [a.path for a in found.artifacts]
    assert found.metrics == {"late": 1.0}


def test_datasets_models_and_lines_that_make_no_sense_are_kept_as_spans(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("r") as run:
        run.tell(sc.SpanType.DATASET, {sc.DATASET_NAME: "train", sc.DATASET_ROLE: "train"})  # no digest
        run.tell(sc.SpanType.MODEL, {sc.MODEL_PATH: "m", sc.MODEL_FLAVOR: "f", sc.MODEL_CLASS: 1})
    found = tracking.run()
    assert found.datasets == []
    assert found.models == []
    assert tracking.problems == [
        "dataset: ml.dataset.digest is missing",
        "model: ml.model.class is 1, not string",
    ]
    tracking.problems.clear()


def test_at_the_end_what_the_flusher_keeps_waits_for_no_companion(tracking: Tracking) -> None:
    """The companion may itself wait for the flusher: each would wait until its patience ends."""
    settled_in = []

    class Waiting(Companion):
        def settle(self, timeout: float) -> bool:
            settled_in.append(threading.current_thread())
            return False

    tracking.enable()
    recorder = _enable.recorder()
    recorder.companions = [*recorder.companions, Waiting()]
    run = autotrack.run("r")
    run.begin()
    run.later(lambda segment: run.log_table({"a": [1]}, "t.json"))
    recorder.close()
    assert settled_in
    assert {thread.name for thread in settled_in} == {threading.current_thread().name}
    assert tracking.store.runs()[0].artifact("t.json").is_file()


def test_a_companion_that_fails_costs_neither_the_others_nor_the_training(
    tracking: Tracking, caplog: pytest.LogCaptureFixture
) -> None:
    told = []

    class Failing(Companion):
        def _fail(self, *arguments: object) -> bool:
            raise ValueError(f"no {arguments}")

        began = ended = tick = settle = closing = forked = _fail  # type: ignore[assignment]

    class Next(Companion):
        def began(self, segment: Segment) -> None:
            told.append("began")

        def ended(self, segment: Segment) -> None:
            told.append("ended")

        def tick(self, segments: Sequence[Segment]) -> None:
            told.append("tick")

        def settle(self, timeout: float) -> bool:
            told.append("settle")
            return True

        def closing(self) -> None:
            told.append("closing")

        def forked(self) -> None:
            told.append("forked")

    tracking.enable()
    recorder = _enable.recorder()
    recorder.companions = [Failing(), Next()]
    for _ in range(2):
        with autotrack.run("r") as run:
            run.log({"loss": 1.0})
        recorder._tick(0.0)
        assert recorder.flush()
    recorder.retire()  # a forked child has not the thread either
    recorder.after_fork_in_child()
    assert set(told) == {"began", "ended", "tick", "settle", "closing", "forked"}
    assert [run.metrics for run in tracking.store.runs()] == [{"loss": 1.0}] * 2
    assert [message.partition(" (")[0] for message in caplog.messages] == [
        "autotrack: recording failed in Failing: ValueError: no"
    ]
