"""A training whose clock is a day off: the server tells by its own who lives."""

from __future__ import annotations

import time

import pytest

from autotrack.states import State
from autotrack.store import Store

from ..scripts import Place, wait_for, wait_until
from .live import Process

DAY = 86_400 * 10**9
BEAT = 1.0
LOST_AFTER = 3 * BEAT
BUSY = 30.0
"""Seconds that a beat or its answer may be late on a machine that runs other tests too."""

BEATS = """
    import sys, time
    now = time.time_ns
    time.time_ns = lambda: now() + int(sys.argv[1])
    time.time = lambda: time.time_ns() / 1e9
    import autotrack
    autotrack.enable()
    with autotrack.run("beats"):
        autotrack.log({"loss": 1.0})
        autotrack.flush()
        print("logged", flush=True)
        time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("skew", [DAY, -DAY], ids=["fast", "slow"])
def test_state_of_a_run_whose_clock_is_a_day_off(store: Place, skew: int) -> None:
    server = Process(store.url, store.env)
    reader = Store(server.url)
    try:
        env = {"AUTOTRACK_STORE": server.url, "AUTOTRACK_ENVIRONMENT": "0"}
        training = store.start(BEATS, skew, env=env | {"AUTOTRACK_BEAT_INTERVAL": str(BEAT)})
        wait_for(training, "logged")
        wait_until(lambda: len(reader.runs()) == 1)
        [run] = reader.runs()
        assert abs(run.started.timestamp() - time.time() - skew / 1e9) < 60  # it does have another clock
        assert states(reader, 2 * LOST_AFTER) == {State.RUNNING}

        training.kill()
        died = time.monotonic()
        wait_until(lambda: states(reader) == {State.LOST}, LOST_AFTER + BUSY)
        assert states(reader) == {State.LOST}
        assert time.monotonic() - died > LOST_AFTER - 2 * BEAT  # the last beat may have come a while before
    finally:
        server.kill()
        reader.close()


def states(reader: Store, seconds: float = 0) -> set[State]:
    """Those of all runs, for as long; the server says who lives, it is the reader that knows nothing."""
    seen, end = set(), time.monotonic() + seconds
    while not seen or time.monotonic() < end:
        seen |= {run.state for run in reader.runs()}
        time.sleep(0.05)
    return seen
