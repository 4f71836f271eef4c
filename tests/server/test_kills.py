"""SIGKILL of a training and of its server at random moments: what was acknowledged is kept, exactly once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from typing import Any

import pytest

from autotrack.states import State
from autotrack.store import Run

from ..scripts import TIMEOUT, Place, free_port, shared_numbers, wait_until
from ..test_shipping import kept, spooled, sync
from .live import Process

KILLS = 50
LONGEST_LIFE = 2.0
"""Seconds between two kills, at most; to start takes a good half second, so some die before they work."""
STARTS = 3
"""Or as long as this many starts take, on a machine where they take longer."""
FILE_BYTES = 300_000

TRAIN = f"""
    import os, sys, time
    import numpy as np
    import autotrack
    logging, flushed, filed = (np.memmap(path, "int64", "r+") for path in sys.argv[2:])
    life = int(sys.argv[1])
    autotrack.enable()
    with autotrack.run(str(life)) as run:
        for step in range(10**9):
            logging[life] = step + 1
            autotrack.log({{"loss": float(step), "acc": -float(step)}}, step)
            if step % 20 == 19:
                if step == 99:
                    run.log_text(str(life) + " " * {FILE_BYTES}, "life.txt")
                assert autotrack.flush()
                flushed[life] = step + 1
                filed[life] = step >= 99
            time.sleep(0.001)
"""


class Trainings:
    """One script after another: how far each life of it came is in memory that outlives it.

    logging: calls of `log()` that were begun. flushed: those before the last `flush()` that returned True.
    filed: whether a file was logged before that.
    """

    def __init__(self, place: Place, url: str) -> None:
        self._place = place
        intervals = {"AUTOTRACK_FLUSH_INTERVAL": "0.1", "AUTOTRACK_BEAT_INTERVAL": "1"}
        self._env = {"AUTOTRACK_STORE": url, "AUTOTRACK_ENVIRONMENT": "0", **intervals}
        self._paths = [place.folder / name for name in ("logging", "flushed", "filed")]
        self.logging, self.flushed, self.filed = (shared_numbers(path, KILLS + 1) for path in self._paths)
        self.lives = 0
        self.start()

    def start(self) -> None:
        self._process = self._place.start(TRAIN, self.lives, *self._paths, env=self._env)
        self.lives += 1

    def kill(self) -> None:
        """It must be alive, else it failed before."""
        self._process.kill()
        _, err = self._process.communicate(timeout=TIMEOUT)
        assert self._process.returncode == -9, err


class Servers:
    """One server after another at one port; nobody waits until it listens."""

    def __init__(self, place: Place, port: int) -> None:
        self._place = place
        self._command = [sys.executable, "-m", "autotrack", "server", "--port", str(port)]
        self._said = place.folder / "server.log"
        self.lives = 0
        self.start()

    def start(self) -> None:
        with self._said.open("a") as said:
            self._process = subprocess.Popen(self._command, env=self._place.env, stdout=said, stderr=said)
        self.lives += 1

    def kill(self) -> None:
        self._process.kill()
        assert self._process.wait(TIMEOUT) == -9, self._said.read_text()


@pytest.mark.slow
def test_what_was_acknowledged_is_in_the_store_once(store: Place) -> None:
    seed = int(os.environ.get("KILLS_SEED", time.time_ns() % 2**32))
    print(f"KILLS_SEED={seed}")  # shown on failure; the moments are the same, what they strike is not
    chance = random.Random(seed)
    port = free_port()
    servers = Servers(store, port)
    trainings = Trainings(store, f"http://127.0.0.1:{port}")
    began = time.monotonic()
    try:
        wait_until(lambda: bool(trainings.flushed[0]))
        longest_life = max(LONGEST_LIFE, STARTS * (time.monotonic() - began))
        for _ in range(KILLS):
            time.sleep(chance.uniform(0, longest_life))
            victim = chance.choice([servers, trainings])
            victim.kill()
            victim.start()
        trainings.kill()
    finally:
        servers.kill()

    last = Process(store.url, store.env, port=port)
    synced = sync(store)
    last.end()
    assert synced.returncode == 0, synced.out + synced.err
    assert trainings.lives + servers.lives == KILLS + 2
    assert int(trainings.flushed.sum()) > 20 * KILLS  # else it proves nothing
    runs = store.runs()
    for life in range(trainings.lives):
        assert_kept(runs.get(str(life)), trainings, life)
    assert (spooled(store), kept(store)) == ([], [])
    wait_until(lambda: {run.state for run in store.runs().values()} == {State.LOST})
    assert {run.state for run in store.runs().values()} == {State.LOST}


def assert_kept(run: Run | None, trainings: Trainings, life: int) -> None:
    flushed, logging = int(trainings.flushed[life]), int(trainings.logging[life])
    if run is None or not run.metrics:
        assert not flushed, f"what life {life} logged is lost"
        return
    for name, sign in ("loss", 1), ("acc", -1):
        points = run.points(name)
        assert flushed <= len(points) <= logging
        assert points.step.tolist() == list(range(len(points)))  # none twice, none between is missing
        assert points.value.tolist() == [float(sign * step) for step in range(len(points))]
    if trainings.filed[life]:
        text: Any = run.artifact("life.txt").read_bytes().decode()
        assert (text.strip(), len(text)) == (str(life), len(str(life)) + FILE_BYTES)
