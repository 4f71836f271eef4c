"""A busy pure-Python loop that logs 100,000 points a second, against the same loop without logging."""

from __future__ import annotations

import json
import sys
import time
from statistics import median
from typing import NamedTuple

from _common import in_fresh_home, interval, report

CALLS_PER_SECOND = 25_000  # of 4 metrics
BLOCK = 250  # calls, a hundredth of a second
WARMUP = 200 * BLOCK  # calls that log before it is measured
TURNS = 6
ROUNDS = 5  # of a turn, and after each the work is set anew
ALONE = 500  # blocks of a turn, all of which log
TARGET = 1.05


class Spent(NamedTuple):
    """CPU µs a call."""

    longer: list[float]
    """What the loop's own thread took, where it logs in every other block."""
    others: float
    """What the other threads took, where it logs all the time: each time they wake up costs something."""
    calls: int
    """That logged."""
    per_second: float
    """Of the loop that does not log."""

    def slower(self) -> float:
        return self._ratio(median(self.longer))

    def interval(self) -> tuple[float, float]:
        low, high = interval(self.longer)
        return self._ratio(low), self._ratio(high)

    def _ratio(self, longer: float) -> float:
        return 1 + (longer + self.others) * CALLS_PER_SECOND / 1e6


def main() -> None:
    spent = Spent(*in_fresh_home(__file__, "measure"))
    report(
        "busy_loop",
        "ratio to the same loop without logging",
        spent.slower(),
        TARGET,
        interval=spent.interval(),
        us_per_call={"in the loop": median(spent.longer), "in other threads": spent.others},
        calls_per_second=spent.per_second,
        n=len(spent.longer),
        ok=spent.slower() <= TARGET,
    )


def measure() -> None:
    """In a process of its own."""
    import autotrack

    autotrack.run("bench").__enter__()
    print(json.dumps(alternated()))


def alternated() -> Spent:
    """What logging takes in a loop that logs in every other block, and then in every one, by turns.

    The machine's speed changes from second to second: blocks are short, and the loop's work is set anew.
    """
    import autotrack

    work = _calibrated()
    log = autotrack.log
    calls = 0

    def plain() -> float:
        start = time.thread_time()
        for i in range(calls, calls + BLOCK):
            metrics = {"loss": i * 0.1, "accuracy": 0.5, "lr": 1e-3, "norm": i * 0.2}
            _work(work, metrics)
        return time.thread_time() - start

    def logging() -> float:
        nonlocal calls
        start = time.thread_time()
        for i in range(calls, calls + BLOCK):
            metrics = {"loss": i * 0.1, "accuracy": 0.5, "lr": 1e-3, "norm": i * 0.2}
            _work(work, metrics)
            log(metrics, i)
        calls += BLOCK
        return time.thread_time() - start

    def round() -> float:
        """Both twice, seconds that the one which does not log took."""
        first = plain()
        spent = logging() + logging()
        last = plain()
        longer.append((spent - first - last) / 2 / BLOCK * 1e6)
        return first + last

    longer: list[float] = []
    while calls < WARMUP:
        round()
    autotrack.flush()
    longer.clear()
    before, own, others = calls, 0.0, 0.0
    for _ in range(TURNS):
        for _ in range(ROUNDS):
            took = sum(round() for _ in range(25))
            work = int(work * 50 * BLOCK / CALLS_PER_SECOND / took)
            own += took
        autotrack.flush()
        elsewhere = time.process_time() - time.thread_time()
        for _ in range(ALONE):
            logging()
        autotrack.flush()
        others += time.process_time() - time.thread_time() - elsewhere
    plain_calls = TURNS * ROUNDS * 50 * BLOCK
    alone_calls = TURNS * ALONE * BLOCK
    return Spent(longer, others / alone_calls * 1e6, calls - before, plain_calls / own)


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
