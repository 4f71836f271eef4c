"""A busy pure-Python loop that logs 100,000 points a second, against the same loop without logging."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from _common import in_fresh_home, interval, report

CALLS_PER_SECOND = 25_000  # of 4 metrics
CALLS = 25_000  # a second's worth in each loop
PAIRS = 30
TARGET = 1.05


class Spent(NamedTuple):
    wall: float
    cpu: float


def main() -> None:
    pairs: list[list[list[float]]] = in_fresh_home(__file__, "measure")
    walls = [logging[0] / plain[0] for plain, logging in pairs]
    cpus = [logging[1] / plain[1] for plain, logging in pairs]
    report(
        "busy_loop",
        "ratio to the same loop without logging",
        {"wall": median(walls), "cpu": median(cpus)},
        TARGET,
        interval={"wall": interval(walls), "cpu": interval(cpus)},
        cpu_us_per_call=median((logging[1] - plain[1]) / CALLS * 1e6 for plain, logging in pairs),
        calls_per_second=median(CALLS / plain[0] for plain, _ in pairs),
        n=PAIRS,
        ok=median(walls) <= TARGET and median(cpus) <= TARGET,
    )


def measure() -> None:
    """In a process of its own."""
    import autotrack

    autotrack.run("bench").__enter__()
    print(json.dumps(alternated()))


def alternated() -> list[tuple[Spent, Spent]]:
    """What the two loops took, in turns, each first every other time: (plain, logging); logged in the run.

    The machine's speed changes meanwhile: each pair is set to the rate anew, by the pair before it.
    """
    import autotrack

    work = _calibrated()

    def plain() -> None:
        for i in range(CALLS):
            metrics = {"loss": i * 0.1, "accuracy": 0.5, "lr": 1e-3, "norm": i * 0.2}
            _work(work, metrics)

    def logging() -> None:
        log = autotrack.log
        for i in range(CALLS):
            metrics = {"loss": i * 0.1, "accuracy": 0.5, "lr": 1e-3, "norm": i * 0.2}
            _work(work, metrics)
            log(metrics, i)
        autotrack.flush()  # its cost belongs to this loop, not to the next

    _spent(logging), _spent(plain)
    pairs: list[tuple[Spent, Spent]] = []
    for number in range(PAIRS):
        first, second = (plain, logging) if number % 2 else (logging, plain)
        spent = {first: _spent(first), second: _spent(second)}
        pairs.append((spent[plain], spent[logging]))
        work = int(work * CALLS / CALLS_PER_SECOND / spent[plain].wall)
    return pairs


def _spent(loop: Callable[[], None]) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    loop()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def _work(amount: int, metrics: dict[str, float]) -> float:
    """What stands for training: the more, the longer."""
    total = metrics["loss"]
    for i in range(amount):
        total += i * 0.5
    return total


def _calibrated() -> int:
    """The amount of work that makes one iteration last 1 / CALLS_PER_SECOND (the best of some tries)."""
    amount, tries = 1000, 500
    times = []
    for _ in range(40):
        start = time.perf_counter()
        for _ in range(tries):
            _work(amount, {"loss": 0.1})
        times.append((time.perf_counter() - start) / tries)
    return int(amount / CALLS_PER_SECOND / min(times))


if __name__ == "__main__":
    measure() if len(sys.argv) > 1 else main()
