"""Runs and their contexts, in one process."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from sklearn.base import BaseEstimator
from sklearn.linear_model import Ridge

import autotrack
from autotrack.locations import homes
from autotrack.states import State
from autotrack.store import Store

from .scripts import Place
from .tracking import Tracking, tracking

__all__ = ["tracking"]

X, y = [[1.0], [2.0], [3.0]], [1.0, 2.0, 3.0]


def test_handles_made_ahead_stay_apart(tracking: Tracking) -> None:
    tracking.enable()
    handles = [autotrack.run(f"fold {n}") for n in range(3)]
    for n, handle in enumerate(handles):
        with handle:
            autotrack.log({"n": float(n)})
    runs = {run.name: run for run in tracking.runs()}
    assert {name: (run.parent, run.metrics["n"]) for name, run in runs.items()} == {
        "fold 0": (None, 0.0),
        "fold 1": (None, 1.0),
        "fold 2": (None, 2.0),
    }


def test_a_run_inside_another_belongs_to_its_experiment(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("outer", experiment="mine"):
        with autotrack.run("inner"):
            autotrack.log({"a": 1.0})
        with autotrack.run("elsewhere", experiment="other"):
            autotrack.log({"a": 1.0})
    found = {run.name: run.experiment for run in tracking.runs()}
    assert found == {"outer": "mine", "inner": "mine", "elsewhere": "other"}


def test_a_handle_used_in_another_thread_keeps_its_parent(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("outer") as outer:
        inner = autotrack.run("inner")
        thread = threading.Thread(target=lambda: inner.log({"a": 1.0}))
        thread.start()
        thread.join()
        inner.end()
    assert {run.name: run.parent for run in tracking.runs()} == {"outer": None, "inner": outer.id}


def test_what_is_logged_outside_any_run_captures_nothing(tracking: Tracking) -> None:
    tracking.enable()
    before = trace.get_current_span()
    autotrack.log({"a": 1.0})
    assert trace.get_current_span() is before
    with autotrack.run("explicit"):
        pass
    Ridge().fit(X, y)
    assert {run.parent for run in tracking.runs()} == {None}


def test_the_users_span_stays_current_when_a_run_ends_inside_it(tracking: Tracking) -> None:
    tracking.enable()
    tracer = TracerProvider().get_tracer("user")
    run = autotrack.run("run")
    run.log({"a": 1.0})
    ours = trace.get_current_span()
    with tracer.start_as_current_span("eval") as mine:
        assert mine.parent.span_id == ours.get_span_context().span_id  # type: ignore[attr-defined]
        run.end()
        assert trace.get_current_span() is mine


def test_ctrl_c_in_a_hook_leaves_the_session_whole(tracking: Tracking) -> None:
    class Interrupted(BaseEstimator):
        def get_params(self, deep: bool = True) -> Any:
            raise KeyboardInterrupt

        def fit(self, X: Any, y: Any) -> Any:
            return self

    tracking.enable()
    with pytest.raises(KeyboardInterrupt):
        Interrupted().fit(X, y)
    Ridge().fit(X, y)
    ridge, interrupted = tracking.runs()
    assert (interrupted.name, interrupted.state) == ("Interrupted", State.KILLED)
    assert (ridge.name, ridge.state, ridge.parent) == ("Ridge", State.FINISHED, None)


def test_the_temporary_folder_of_somebody_else_is_not_used(store: Place) -> None:
    home = homes(store.url)[-1]
    root = home.spool.parent.parent
    home.spool.mkdir(parents=True)
    victim = store.folder / "victim"
    victim.write_text("precious")
    (home.spool / "0123456789abcdef-000000.otlp").write_bytes(b"planted")
    (home.spool / ".0123456789abcdef-000000.otlp.store").symlink_to(victim)
    os.chown(root, 12345, 12345)
    assert list(Store(store.url).runs()) == []
    assert victim.read_text() == "precious"
    os.chown(root, os.getuid(), os.getgid())
    os.chmod(root, 0o777)
    assert list(Store(store.url).runs()) == []
    assert victim.read_text() == "precious"


def test_the_database_is_its_owners_alone(tracking: Tracking, store: Place) -> None:
    tracking.enable()
    with autotrack.run():
        pass
    tracking.runs()
    assert Path(store.url.removeprefix("sqlite:///")).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"AUTOTRACK_STORE": "runs.db"}, "did you mean 'sqlite:///runs.db'?; ignored"),
        ({"AUTOTRACK_FLUSH_INTERVAL": "never"}, "is not a number; ignored"),
    ],
)
def test_a_wrong_environment_never_stops_a_script(store: Place, setting: dict[str, str], line: str) -> None:
    ended = store.run(
        """
        import autotrack
        autotrack.enable()
        autotrack.log({"a": 1.0})
        print("trained")
        """,
        env=setting,
    )
    assert (ended.returncode, ended.out) == (0, "trained\n")
    assert line in ended.said[0]
    assert "recorded 1 run" in ended.said[-1]


def test_a_working_directory_that_is_gone(store: Place) -> None:
    ended = store.run("""
        import os, tempfile
        os.chdir(tempfile.mkdtemp())
        os.rmdir(os.getcwd())
        import autotrack
        autotrack.enable()
        with autotrack.run("homeless"):
            autotrack.log({"a": 1.0})
        print("trained")
    """)
    assert (ended.returncode, ended.out) == (0, "trained\n"), ended.err
    assert store.only_run().metrics == {"a": 1.0}


def test_a_second_enable_keeps_the_options_it_does_not_name(tracking: Tracking) -> None:
    from autotrack import _enable

    tracking.enable(xgboost={"every": 10})
    tracking.enable()
    assert _enable._enabled["xgboost"].options.every == 10
    tracking.enable(xgboost={"every": 5})
    assert _enable._enabled["xgboost"].options.every == 5


def test_two_threads_that_fork_leave_the_flusher_working(store: Place) -> None:
    ended = store.run("""
        import os, threading
        import autotrack
        autotrack.enable()
        def fork():
            for _ in range(20):
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                os.waitpid(pid, 0)
        with autotrack.run("forks") as run:
            threads = [threading.Thread(target=fork) for _ in range(2)]
            for thread in threads:
                thread.start()
            for i in range(5000):
                run.log({"i": float(i)})
            for thread in threads:
                thread.join()
            print(autotrack.flush(5))
    """)
    assert (ended.returncode, ended.out) == (0, "True\n"), ended.err
    assert store.only_run().summaries["i"].count == 5000


def test_an_overlong_param_keeps_its_beginning_size_and_digest(
    tracking: Tracking, caplog: pytest.LogCaptureFixture
) -> None:
    tracking.enable()
    with autotrack.run(params={"long": "x" * 65_537, "whole": "y" * 65_536}):
        pass
    run = tracking.run()
    assert run.params["whole"] == "y" * 65_536
    assert str(run.params["long"]).startswith("x" * 1000 + "… (65,537 characters, sha256 ")
    assert "the end of 'long', longer than 65,536 characters: not recorded" in caplog.text
