"""From spool to store: an hour's small frames of one run, and the list of a thousand runs."""

from __future__ import annotations

import json
import os
import sys
import time
from statistics import median

from _common import child, report, temporary_home

PROCESSES = 3
FRAMES, ROWS, NAMES = 7_200, 5, 4  # two flushes a second for an hour
RUNS = 1_000


def main() -> None:
    script = os.path.abspath(__file__)
    rounds: list[dict[str, float]] = []
    for _ in range(PROCESSES):
        found: dict[str, float] = {}
        for write, read in (("log_hour", "read_hour"), ("log_runs", "read_runs")):
            with temporary_home() as (folder, env):
                child(script, write, folder=folder, env=env)
                found |= child(script, read, folder=folder, env=env)
        rounds.append(found)
    ours = {key: median(r[key] for r in rounds) for key in rounds[0]}
    ours["frames_per_s"] = FRAMES / ours["hour_s"]
    ours["points_per_s"] = FRAMES * ROWS * NAMES / ours["hour_s"]
    report("drain_rate", "s, ms, per s", ours, None, frames=FRAMES, runs=RUNS, n=PROCESSES)


def log_hour() -> None:
    """A run whose every flush has but a few rows."""
    import autotrack

    with autotrack.run("hour"):
        for frame in range(FRAMES):
            for row in range(ROWS):
                step = frame * ROWS + row
                autotrack.log({f"loss{i}": 1 / (step + i + 1) for i in range(NAMES)}, step)
            autotrack.flush()
    print("{}")


def read_hour() -> None:
    """Fill an existing store, then read while a run goes on: what a page that refreshes does."""
    import autotrack
    from autotrack.store import open_store

    store = open_store(os.environ["AUTOTRACK_STORE"])
    store.backend.write([])  # makes the database
    start = time.perf_counter()
    store.drain()
    drained = time.perf_counter() - start
    refreshes = []
    with autotrack.run("live"):
        for step in range(60):
            autotrack.log({f"loss{i}": 0.5 for i in range(NAMES)}, step)
            autotrack.flush()
            start = time.perf_counter()
            store.runs()
            refreshes.append(time.perf_counter() - start)
    print(json.dumps({"hour_s": drained, "refresh_ms": median(refreshes) * 1e3}))


def log_runs() -> None:
    """Many runs with a few params, metrics and points each."""
    import autotrack

    for number in range(RUNS):
        with autotrack.run(f"run {number}", params={f"p{i}": i for i in range(10)}, tags={"team": "a"}):
            for step in range(10):
                autotrack.log({f"m{i}": step + i / 7 for i in range(5)}, step)
    print("{}")


def read_runs() -> None:
    """The list in a fresh process: with the import and the drain, then again."""
    import autotrack

    times = []
    for _ in range(12):
        start = time.perf_counter()
        assert len(autotrack.runs()) == RUNS
        times.append((time.perf_counter() - start) * 1e3)
    start = time.perf_counter()
    autotrack.runs(limit=50)
    page = (time.perf_counter() - start) * 1e3
    found = {"runs_first_s": times[0] / 1e3, "runs_ms": median(times[1:]), "runs_limit_50_ms": page}
    print(json.dumps(found))


if __name__ == "__main__":
    commands = {f.__name__: f for f in (log_hour, read_hour, log_runs, read_runs)}
    commands[sys.argv[1]]() if len(sys.argv) > 1 else main()
