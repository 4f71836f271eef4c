"""autotrack in a test's process: switched on for its length, and gone when it is over."""

from __future__ import annotations

import threading
from pathlib import Path

import autotrack
from autotrack.testing import Tracking

from ..scripts import wait_until


def flushers() -> list[threading.Thread]:
    """The threads that write what is recorded."""
    return [thread for thread in threading.enumerate() if thread.name == "autotrack-flusher"]


def test_it_leaves_no_thread_behind(tmp_path: Path) -> None:
    """A suite has thousands of tests, and each thread would wake four times a second."""
    before = flushers()
    for number in range(3):
        with Tracking(f"sqlite:///{tmp_path}/{number}.db") as tracking:
            tracking.enable()
            with autotrack.run("r"):
                autotrack.log({"a": 1.0})
            assert len(tracking.runs()) == 1
    wait_until(lambda: not {*flushers()} - {*before})
    assert not {*flushers()} - {*before}
