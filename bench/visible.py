"""How soon the server tells of a run that has begun, of a point, and that a killed process is lost.

Over HTTP, and from a spool of its own machine.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from _common import Environment, child, quantile, report, server, temporary_home

RUNS = POINTS = 20
KILLED = 8
BEAT = 2.0
BEATS = 3
SCRIPT = os.path.abspath(__file__)


def main() -> None:
    for way in ("http", "spool"):
        with temporary_home() as (folder, env), server(env) as url:
            own = env | ({"AUTOTRACK_STORE": url} if way == "http" else {})
            tell(f"start_visible_{way}", child(SCRIPT, "begin", url, folder=folder, env=own))
            for told in ("asked", "event"):
                took = child(SCRIPT, "log", url, told, folder=folder, env=own)
                tell(f"point_visible_{way}_{told}", took)
            beats = [seconds / BEAT for seconds in killed(url, folder, own)]
        ours = {"p50": median(beats), "max": max(beats)}
        report(f"lost_shown_{way}", "beats", ours, BEATS, n=len(beats), beat_s=BEAT, ok=max(beats) <= BEATS)


def tell(figure: str, took: list[float]) -> None:
    """All of them within a second."""
    ours = {"p50": median(took), "max": max(took), "p90": quantile(took, 0.9)}
    report(figure, "s", ours, 1.0, n=len(took), ok=max(took) <= 1.0)


def begin(url: str) -> None:
    """Seconds from the beginning of each run until the server knows it; the first is not counted."""
    import autotrack

    autotrack.enable()
    took = []
    for number in _at_any_moment(RUNS + 1):
        began = time.perf_counter()
        with autotrack.run(f"run {number}") as run:
            _wait(lambda: _run(url, run.id) is not None)
            took.append(time.perf_counter() - began)
    print(json.dumps(took[1:]))


def log(url: str, told: str) -> None:
    """Seconds from each `log()` until the server has its point for who asks, or tells of it by an event."""
    import autotrack

    autotrack.enable()
    took = []
    with autotrack.run("points") as run, urllib.request.urlopen(f"{url}/api/v1/events") as stream:

        def has(count: int) -> bool:
            found = _run(url, run.id)
            return found is not None and found["metrics"].get("x", {}).get("count") == count

        for number in _at_any_moment(POINTS + 1):
            began = time.perf_counter()
            autotrack.log({"x": float(number)})
            if told == "asked":
                _wait(lambda: has(number + 1))  # noqa: B023
            else:
                while not (run.id.encode() in stream.readline() and has(number + 1)):
                    pass
            took.append(time.perf_counter() - began)
    print(json.dumps(took[1:]))


def killed(url: str, folder: Path, env: Environment) -> list[float]:
    """Seconds from each SIGKILL, at any moment of the process's beat, until the server calls its run lost."""
    own = env | {"AUTOTRACK_BEAT_INTERVAL": str(BEAT)}
    took = []
    for _ in range(KILLED):
        process = subprocess.Popen(
            [sys.executable, SCRIPT, "live"], cwd=folder, env=own, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        _wait(lambda: (_run(url, run_id) or {}).get("state") == "running")  # noqa: B023
        time.sleep(BEAT * (1 + random.random()))
        process.kill()
        began = time.perf_counter()
        _wait(lambda: _run(url, run_id)["state"] == "lost")  # noqa: B023
        took.append(time.perf_counter() - began)
        process.communicate()
    return took


def live() -> None:
    """A run that says nothing but that it lives."""
    import autotrack

    autotrack.enable()
    with autotrack.run("live") as run:
        print(run.id, flush=True)
        time.sleep(3600)


def _at_any_moment(times: int) -> Iterator[int]:
    for number in range(times):
        time.sleep(0.137 * (number % 7))
        yield number


def _wait(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.01)


def _run(url: str, run_id: str) -> Any:
    """What the server says of a run; None: it does not know it."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/runs/{run_id}") as answer:
            return json.load(answer)
    except urllib.error.HTTPError:
        return None


if __name__ == "__main__":
    modes: dict[str, Callable[..., None]] = {"begin": begin, "log": log, "live": live}
    modes[sys.argv[1]](*sys.argv[2:]) if sys.argv[1:] else main()
