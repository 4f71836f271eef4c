"""What `log_model` of a trained model takes: the first of a process, the same bytes again, and other bytes.

The call alone is measured: a training waits for nothing else. For the same bytes it should take no time, but
has to make them to see that they are the same: `bytes made` is that part, what goes beyond it has a bound.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from statistics import median
from typing import Any

from _common import in_fresh_home, report

TARGET_S = {"first": 0.15, "other bytes": 0.15, "same bytes beyond made": 0.005}
WORKLOADS = ("logistic_regression", "random_forest", "xgboost")
ROUNDS = 3
MODELS = 20
PAUSE = 0.1
LONGEST = 120.0
MOST_BYTES = 1 << 30


def main() -> None:
    for workload in WORKLOADS:
        rounds = [in_fresh_home(__file__, workload) for _ in range(ROUNDS)]
        found = {what: median(r[what] for r in rounds) for what in rounds[0]}
        report(
            f"log_model_{workload}",
            "s",
            found,
            TARGET_S,
            n=ROUNDS,
            ok=all(found[what] <= bound for what, bound in TARGET_S.items()),
        )


def measure(workload: str) -> None:
    """In a process of its own."""
    import autologging
    import autotrack

    warnings.simplefilter("ignore")
    training = autologging.WORKLOADS[workload]()
    models = [training() for _ in range(3)]  # the library is warm
    with autotrack.run("bench") as run:
        run.log({"begun": 1.0})
        time.sleep(10 * PAUSE)  # its surroundings are told by then
        told = {"first": _logged(run, models[-1])}
        turns = [(_logged(run, models[-1]), _made(models[-1])) for _ in range(MODELS)]
        told["same bytes"] = median(logged for logged, _ in turns)
        told["bytes made"] = median(made for _, made in turns)
        told["same bytes beyond made"] = median(logged - made for logged, made in turns)
        told["other bytes"] = median(_logged(run, _other(training(), number)) for number in range(MODELS))
    end = time.monotonic() + LONGEST
    while any(model.facts["state"] == "pending" for model in autotrack.get_run(run.id).models):
        assert time.monotonic() < end, "the helper, which writes to the home that is deleted, does not end"
        time.sleep(PAUSE)
    print(json.dumps(told))


def _logged(run: Any, model: Any) -> float:
    time.sleep(PAUSE)
    start = time.perf_counter()
    run.log_model(model, f"model-{time.perf_counter_ns()}")
    return time.perf_counter() - start


def _made(model: Any) -> float:
    """As `log_model` makes them, to be hashed."""
    from autotrack.flavors import flavor_of, freeze

    time.sleep(PAUSE)
    start = time.perf_counter()
    freeze(flavor_of(type(model)), model, MOST_BYTES, example=None, own_code=True)
    return time.perf_counter() - start


def _other(model: Any, number: int) -> Any:
    """As what was trained on other data would be."""
    if hasattr(model, "set_attr"):
        model.set_attr(number=str(number))
    else:
        model.classes_ = model.classes_ + float(number + 1) / 2
    return model


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
