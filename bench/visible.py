"""How soon the server tells of a run that has begun: over HTTP, and from a spool of its own machine."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from statistics import median

from _common import child, quantile, report, server, temporary_home

RUNS = 20


def main() -> None:
    script = os.path.abspath(__file__)
    for way in ("http", "spool"):
        with temporary_home() as (folder, env), server(env) as url:
            own = env | ({"AUTOTRACK_STORE": url} if way == "http" else {})
            took = child(script, "begin", url, folder=folder, env=own)
        ours = {"p50": median(took), "max": max(took), "p90": quantile(took, 0.9)}
        report(f"start_visible_{way}", "s", ours, 1.0, n=len(took), ok=max(took) <= 1.0)


def begin(url: str) -> None:
    """Seconds from the beginning of each run until the server knows it; the first is not counted."""
    import autotrack

    autotrack.enable()
    took = []
    for number in range(RUNS + 1):
        time.sleep(0.137 * (number % 7))  # at any moment of the intervals
        began = time.perf_counter()
        with autotrack.run(f"run {number}") as run:
            while not _is_known(f"{url}/api/v1/runs/{run.id}"):
                time.sleep(0.01)
            took.append(time.perf_counter() - began)
    print(json.dumps(took[1:]))


def _is_known(url: str) -> bool:
    try:
        with urllib.request.urlopen(url) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


if __name__ == "__main__":
    begin(sys.argv[2]) if sys.argv[1:2] == ["begin"] else main()
