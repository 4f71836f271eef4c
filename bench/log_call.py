"""One `autotrack.log()` call of four metrics: median and p99, between computations, after sleep, and tight.

A processor that has slept is slower for a while, whatever it does: told apart, as a training does not sleep.
"""

from __future__ import annotations

import json
import os
import sys
import time
from array import array
from collections.abc import Callable
from statistics import median
from typing import Any

from _common import in_fresh_home, quantile, report

PROCESSES = 5
CALLS = 200_000
PEER_CALLS = {"mlflow": 300, "trackio": 5_000}
BURST, PAUSE = 50, 0.002  # about 25,000 calls, 100,000 points, a second
PACES = ("computing", "sleeping", "tight")
JUDGED = ("computing", "tight")
TARGET = {"p50": 1.0, "p99": 20.0}

Log = Callable[[dict[str, float], int], None]
Times = dict[str, float]


def main() -> None:
    peer_python = os.environ.get("BENCH_PEERS")
    peers: dict[str, list[Times]] = {name: [] for name in PEER_CALLS} if peer_python else {}
    rounds: list[dict[str, Times]] = []
    for _ in range(PROCESSES):
        rounds.append(in_fresh_home(__file__, "autotrack", CALLS))
        for name, found in peers.items():
            measured = in_fresh_home(__file__, name, PEER_CALLS[name], python=peer_python or "")
            found += [measured["computing"]] if measured else []
    ours = {pace: _medians([r[pace] for r in rounds]) for pace in PACES}
    report(
        "log_call",
        "µs per call of 4 metrics",
        ours,
        TARGET,
        peers={name: _medians(found) for name, found in peers.items() if found},
        processes=PROCESSES,
        n=CALLS,
        ok=all(ours[pace][q] <= TARGET[q] for pace in JUDGED for q in TARGET),
    )


def _medians(rounds: list[Times]) -> Times:
    return {q: median(r[q] for r in rounds) for q in rounds[0]}


def measure(library: str, calls: int) -> None:
    """In a process of its own: the times of `calls` calls; null if the library is not installed."""
    try:
        log: Log = {"autotrack": _autotrack, "mlflow": _mlflow, "trackio": _trackio}[library]()
    except ImportError:
        print("null")
        return
    paces = PACES if library == "autotrack" else PACES[:1]
    print(json.dumps({pace: _timed(log, calls, pace) for pace in paces}))
    sys.stdout.flush()
    if library != "autotrack":
        os._exit(0)  # a peer's exit may wait for its server


def _timed(log: Log, calls: int, pace: str) -> Times:
    """Each call alone, less the clock's own cost as the same loop sees it; µs."""
    clock, clocks, spent = time.perf_counter_ns, array("q", bytes(8 * calls)), array("q", bytes(8 * calls))
    for i in range(calls):
        metrics = {"loss": i * 0.1, "accuracy": 0.5, "lr": 1e-3, "norm": i * 0.2}
        before = clock()
        start = clock()
        log(metrics, i)
        end = clock()
        clocks[i], spent[i] = start - before, end - start
        if i % BURST == BURST - 1 and pace != "tight":
            _pause(pace)
    cost = median(clocks)
    return {
        "p50": (median(spent) - cost) / 1e3,
        "p99": (quantile(spent, 0.99) - cost) / 1e3,
        "p99.99": (quantile(spent, 0.9999) - cost) / 1e3,
        "mean": (sum(spent) / calls - cost) / 1e3,
    }


def _pause(pace: str) -> None:
    if pace == "sleeping":
        time.sleep(PAUSE)
        return
    until, total = time.perf_counter() + PAUSE, 0.0
    while time.perf_counter() < until:
        for number in range(100):
            total += number * 0.5


def _autotrack() -> Log:
    import autotrack

    autotrack.run("bench").__enter__()
    return autotrack.log


def _mlflow() -> Log:
    import mlflow

    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.start_run()
    return mlflow.log_metrics  # type: ignore[no-any-return]


def _trackio() -> Log:
    import trackio

    run: Any = trackio.init(project="bench")
    return run.log  # type: ignore[no-any-return]


if __name__ == "__main__":
    measure(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 1 else main()
