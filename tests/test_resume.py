"""A run that goes on: in a new segment, wherever and however often it is resumed."""

from __future__ import annotations

import json
import signal

import pytest

import autotrack
from autotrack.backends.sqlite import SqliteBackend
from autotrack.errors import OptionError
from autotrack.states import State

from .scripts import Place, curve, end_of, values, wait_for
from .test_workers import spans_of
from .tracking import Tracking, tracking

__all__ = ["tracking"]

QUICK = {"AUTOTRACK_FLUSH_INTERVAL": "0.1", "AUTOTRACK_ENVIRONMENT": "0", "AUTOTRACK_QUIET": "1"}
NEW = "0198c8f0a3b17c54b1f0d2b07e6c1a9d"

KILLED = """
    import os, signal, sys
    import autotrack
    autotrack.enable()
    with autotrack.run("first", experiment="one", params={"lr": 0.1, "seed": 1}) as run:
        for step in range(3):
            autotrack.log({"loss": float(step)}, step=step)
        autotrack.log({"counted": 1.0})
        autotrack.flush()
        print(run.id, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""

RESUMED = """
    import sys
    import autotrack
    autotrack.enable()
    with autotrack.run(resume=sys.argv[1], params={"lr": 0.2}, tags={"again": "yes"}) as run:
        assert run.id == sys.argv[1]
        for step in range(2, 5):
            autotrack.log({"loss": 10.0 * step}, step=step)
        autotrack.log({"counted": 2.0})
"""

SCHEDULED = """
    import autotrack
    autotrack.enable()
    autotrack.log({"loss": 2.0}, step=1)
    with autotrack.run("own"):
        autotrack.log({"loss": 3.0})
"""


def killed(store: Place) -> str:
    """The id of a run that was killed."""
    ended = store.run(KILLED, env=QUICK, name="killed")
    assert ended.returncode == -signal.SIGKILL
    return ended.out.strip()


def test_killed_and_resumed(store: Place) -> None:
    run_id = killed(store)
    assert store.only_run().state is State.LOST
    ended = store.run(RESUMED, run_id, env=QUICK, name="resumed")
    assert (ended.returncode, ended.err) == (0, "")
    run = store.only_run()
    assert (run.id, run.state, run.name, run.experiment) == (run_id, State.FINISHED, "first", "one")
    assert (run.params, run.tags) == ({"lr": 0.2, "seed": 1}, {"again": "yes"})
    assert curve(run, "loss") == [(0, 0.0), (1, 1.0), (2, 2.0), (2, 20.0), (3, 30.0), (4, 40.0)]
    assert curve(run, "counted") == [(0, 1.0), (0, 2.0)], "the count begins anew"
    assert run.metrics["loss"] == 40.0
    assert run.parent is None


def test_the_same_in_any_order(store: Place) -> None:
    run_id = killed(store)
    assert store.run(RESUMED, run_id, env=QUICK, name="resumed").returncode == 0
    spans = spans_of(store)
    for n, order in enumerate((spans, spans[::-1], spans[len(spans) // 2 :] + spans)):
        backend = SqliteBackend(f"sqlite:///{store.folder}/{n}.db")
        for span in order:
            backend.write([span])
        [row] = backend.runs()
        assert (row.name, row.experiment, row.state) == ("first", "one", State.FINISHED)
        backend.close()


def test_told_anew(store: Place) -> None:
    run_id = killed(store)
    source = """
        import sys
        import autotrack
        autotrack.run("second", experiment="two", resume=sys.argv[1]).end()
    """
    assert store.run(source, run_id, env=QUICK).returncode == 0
    run = store.only_run()
    assert (run.name, run.experiment, run.state) == ("second", "two", State.FINISHED)


def test_a_child_stays_one(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("parent") as parent, autotrack.run("child") as child:
        autotrack.log({"a": 1.0})
    with autotrack.run("other"), autotrack.run(resume=child.id):
        autotrack.log({"a": 2.0})
    with autotrack.run(resume=parent.id):
        pass
    runs = {run.name: run for run in tracking.runs()}
    assert runs.keys() == {"parent", "child", "other"}
    assert (runs["child"].parent, runs["parent"].parent, runs["other"].children) == (parent.id, None, ())
    assert values(runs["child"], "a") == [1.0, 2.0]


def test_an_id_that_the_store_does_not_know(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("outer"), autotrack.run("new", resume=NEW.upper()):
        autotrack.log({"a": 1.0})
    new = {run.id: run for run in tracking.runs()}[NEW]
    assert (new.name, new.experiment, new.state, new.parent) == ("new", "tests", State.FINISHED, None)


@pytest.mark.parametrize("wrong", ["", NEW[-8:], "g" * 32, f"{NEW}0", 7, b"x" * 32])
def test_what_is_no_whole_id(tracking: Tracking, wrong: object) -> None:
    tracking.enable()
    with pytest.raises(OptionError, match="is no run's id"):
        autotrack.run(resume=wrong)  # type: ignore[arg-type]
    assert autotrack.active_run() is None


def test_twice_at_once_in_one_process(tracking: Tracking) -> None:
    tracking.enable()
    first, second = autotrack.run(resume=NEW), autotrack.run(resume=NEW)
    for n, run in enumerate((first, second)):
        run.log({"a": float(n)}, step=n)
    first.end()
    assert autotrack.active_run() is second
    assert tracking.run().state is State.RUNNING
    second.end(ValueError("bad"))
    run = tracking.run()
    assert (run.state, values(run, "a")) == (State.FAILED, [0.0, 1.0])


def test_twice_at_once_in_two_processes(store: Place) -> None:
    source = """
        import sys
        import autotrack
        autotrack.enable()
        with autotrack.run("both", resume=sys.argv[1]):
            autotrack.log({"a": float(sys.argv[2])}, step=int(sys.argv[2]))
            print("ready", flush=True)
            sys.stdin.readline()
            if sys.argv[2] == "2":
                raise ValueError
    """
    first = store.start(source, NEW, 1, env=QUICK)
    wait_for(first, "ready")
    second = store.start(source, NEW, 2, env=QUICK)
    wait_for(second, "ready")
    assert end_of(second, "go\n").returncode == 1
    assert store.only_run().state is State.FAILED
    assert end_of(first, "go\n").returncode == 0
    run = store.only_run()
    assert (run.state, values(run, "a")) == (State.FAILED, [1.0, 2.0]), "the later start tells the state"


def test_decorated(tracking: Tracking) -> None:
    tracking.enable()

    @autotrack.run("again", resume=NEW)
    def train(value: float) -> None:
        autotrack.log({"a": value})

    train(1.0)
    train(2.0)
    run = tracking.run()
    assert (run.id, run.name, curve(run, "a")) == (NEW, "again", [(0, 1.0), (0, 2.0)])


def test_in_a_coroutine(store: Place) -> None:
    ended = store.run(
        """
        import asyncio, sys
        import autotrack
        autotrack.enable()

        @autotrack.run(resume=sys.argv[1])
        async def train(value):
            await asyncio.sleep(0)
            autotrack.log({"a": value})

        async def main():
            async with asyncio.TaskGroup() as group:
                group.create_task(train(1.0))
                group.create_task(train(2.0))

        asyncio.run(main())
        """,
        NEW,
        env=QUICK,
    )
    assert (ended.returncode, ended.err) == (0, "")
    run = store.only_run()
    assert (run.id, run.state, values(run, "a")) == (NEW, State.FINISHED, [1.0, 2.0])


# --- by the environment -----------------------------------------------------------------------------------


def test_a_job_that_is_started_again(store: Place) -> None:
    """Without knowing it goes on with its run; its second run is one of its own."""
    run_id = killed(store)
    ended = store.run(SCHEDULED, env={**QUICK, "AUTOTRACK_RUN_ID": run_id}, name="scheduled")
    assert (ended.returncode, ended.err) == (0, "")
    runs = store.runs()
    assert runs.keys() == {"first", "own"}
    first = runs["first"]
    assert (first.id, first.experiment, first.state) == (run_id, "one", State.FINISHED)
    assert curve(first, "loss") == [(0, 0.0), (1, 1.0), (2, 2.0), (1, 2.0)]
    assert (runs["own"].id == run_id, runs["own"].parent) == (False, None)


def test_the_first_time_it_is_a_new_run(store: Place) -> None:
    source = """
        import autotrack
        @autotrack.run("train")
        def train():
            return autotrack.active_run().id
        print(train())
        print(train())
    """
    ended = store.run(source, env={**QUICK, "AUTOTRACK_RUN_ID": NEW})
    first, second = ended.out.split()
    assert (first, second == first) == (NEW, False)
    assert [(run.name, run.experiment) for run in store.open().runs()] == [("train", "tests")] * 2


def test_a_training_goes_on_with_it(store: Place) -> None:
    source = """
        import autotrack
        autotrack.enable()
        from sklearn.linear_model import Ridge
        Ridge().fit([[1.0], [2.0]], [1.0, 2.0])
        Ridge().fit([[1.0], [2.0]], [1.0, 2.0])
    """
    ended = store.run(source, env={**QUICK, "AUTOTRACK_RUN_ID": NEW})
    assert ended.returncode == 0, ended.err
    runs = list(store.open().runs())
    assert [run.id == NEW for run in runs] == [False, True]
    assert {run.name for run in runs} == {"Ridge"}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_multiprocessing_starts_does_not_take_it(store: Place, method: str) -> None:
    source = """
        import multiprocessing, sys
        import autotrack
        def work():
            with autotrack.run("child"):
                autotrack.log({"a": 1.0})
        if __name__ == "__main__":
            autotrack.enable()
            process = multiprocessing.get_context(sys.argv[1]).Process(target=work)
            process.start()
            process.join()
            with autotrack.run("main"):
                autotrack.log({"a": 2.0})
    """
    ended = store.run(source, method, env={**QUICK, "AUTOTRACK_RUN_ID": NEW})
    assert (ended.returncode, ended.err) == (0, "")
    runs = store.runs()
    assert runs.keys() == {"main", "child"}
    assert (runs["main"].id, runs["child"].id == NEW) == (NEW, False)


def test_a_process_inside_the_run_joins_its_segment(store: Place) -> None:
    source = """
        import subprocess, sys
        import autotrack
        autotrack.enable()
        with autotrack.run("main"):
            child = "import autotrack; autotrack.log({'a': 1.0})"
            subprocess.run([sys.executable, "-c", child], check=True)
    """
    ended = store.run(source, env={**QUICK, "AUTOTRACK_RUN_ID": NEW})
    assert (ended.returncode, ended.err) == (0, "")
    run = store.only_run()
    assert (run.id, run.state, values(run, "a")) == (NEW, State.FINISHED, [1.0])


# --- as it is shown ---------------------------------------------------------------------------------------


def test_shown(store: Place) -> None:
    run_id = killed(store)
    assert store.run(RESUMED, run_id, env=QUICK, name="resumed").returncode == 0

    [row] = json.loads(store.said("runs", "--json"))
    assert (row["id"], row["name"], row["state"]) == (run_id, "first", "finished")
    assert row["started"] < row["ended"]
    shown = json.loads(store.said("show", run_id, "--json"))
    assert shown["summaries"]["loss"]["count"] == 6
    assert "first" in store.said("show", run_id)
