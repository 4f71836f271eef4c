"""What `log_model` of a trained model takes: the first of a process, the same bytes again, other bytes; the
first and others also with `inputs`, of which the signature is made. In turns with MLflow's.

The call alone is measured: a training waits for nothing else. For the same bytes it should take no time, but
has to make them to see that they are the same: `bytes made` is that part, what goes beyond it has a bound.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

from _common import in_fresh_home, report

TARGET_S = {
    "first": 0.15,
    "other bytes": 0.15,
    "same bytes beyond made": 0.005,
    "first, inputs": 0.15,
    "other bytes, inputs": 0.15,
}
WORKLOADS = ("logistic_regression", "random_forest", "xgboost")
ROUNDS = 3
MODELS = 20
PAUSE = 0.1
LONGEST = 120.0
MOST_BYTES = 1 << 30


def main() -> None:
    peer_python = os.environ.get("BENCH_PEERS")
    for workload in WORKLOADS:
        rounds = [_round(workload, peer_python) for _ in range(ROUNDS)]
        found = {
            arm: {what: median(r[arm][what] for r in rounds) for what in rounds[0][arm]} for arm in rounds[0]
        }
        ours = found["alone"] | {f"{what}, inputs": seconds for what, seconds in found["inputs"].items()}
        report(
            f"log_model_{workload}",
            "s",
            ours,
            TARGET_S,
            peers={arm: found[arm] for arm in found if arm == "mlflow"},
            n=ROUNDS,
            ok=all(ours[what] <= bound for what, bound in TARGET_S.items()),
        )


def _round(workload: str, peer_python: str | None) -> dict[str, dict[str, float]]:
    """Every arm once, each in a process of its own."""
    pythons = {"alone": sys.executable, "inputs": sys.executable}
    if peer_python:
        pythons["mlflow"] = peer_python
    return {arm: in_fresh_home(__file__, arm, workload, python=python) for arm, python in pythons.items()}


# --- in the process ---------------------------------------------------------------------------------


def alone(workload: str) -> None:
    """The model and nothing else."""
    import autotrack

    training, models = _trained(workload)
    with autotrack.run("bench") as run:
        run.log({"begun": 1.0})
        time.sleep(10 * PAUSE)  # its surroundings are told by then
        told = {"first": _logged(run, models[-1])}
        turns = [(_logged(run, models[-1]), _made(models[-1])) for _ in range(MODELS)]
        told["same bytes"] = median(logged for logged, _ in turns)
        told["bytes made"] = median(made for _, made in turns)
        told["same bytes beyond made"] = median(logged - made for logged, made in turns)
        told["other bytes"] = median(_logged(run, _other(training(), number)) for number in range(MODELS))
    _await_models(run.id)
    print(json.dumps(told))


def inputs(workload: str) -> None:
    """With the data, whose columns have names."""
    import autotrack

    training, models = _trained(workload)
    data = _data(workload)
    with autotrack.run("bench") as run:
        run.log({"begun": 1.0})
        time.sleep(10 * PAUSE)
        told = {"first": _logged(run, models[-1], inputs=data)}
        others = [_other(training(), number) for number in range(MODELS)]
        told["other bytes"] = median(_logged(run, model, inputs=data) for model in others)
    _await_models(run.id)
    print(json.dumps(told))


def mlflow(workload: str) -> None:
    """Without the data, and with the format that it is fastest with."""
    import mlflow

    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    flavor, more = mlflow.sklearn, {"serialization_format": "cloudpickle"}
    if workload == "xgboost":
        flavor, more = mlflow.xgboost, {}
    training, models = _trained(workload)
    with mlflow.start_run():
        told = {
            what: _seconds(lambda model=model: flavor.log_model(model, name="model", **more))
            for what, model in (("first", models[-1]), ("other bytes", _other(training(), 0)))
        }
    print(json.dumps(told))


def _trained(workload: str) -> tuple[Callable[[], Any], list[Any]]:
    """How one is trained, and some that were: the library is warm."""
    import autologging

    warnings.simplefilter("ignore")
    training = autologging.WORKLOADS[workload]()
    return training, [training() for _ in range(3)]


def _data(workload: str) -> Any:
    """What it was trained on."""
    from sklearn import datasets

    loaders = {
        "logistic_regression": datasets.load_iris,
        "random_forest": datasets.load_digits,
        "xgboost": datasets.load_breast_cancer,
    }
    return loaders[workload](as_frame=True).data


def _await_models(run: str) -> None:
    """The helper writes to the home that is then deleted."""
    import autotrack

    end = time.monotonic() + LONGEST
    while any(model.facts["state"] == "pending" for model in autotrack.get_run(run).models):
        assert time.monotonic() < end, "the helper does not end"
        time.sleep(PAUSE)


def _logged(run: Any, model: Any, **details: Any) -> float:
    return _seconds(lambda: run.log_model(model, f"model-{time.perf_counter_ns()}", **details))


def _made(model: Any) -> float:
    """As `log_model` makes them, to be hashed."""
    from autotrack.flavors import flavor_of, freeze

    return _seconds(lambda: freeze(flavor_of(type(model)), model, MOST_BYTES, example=None, own_code=True))


def _seconds(call: Callable[[], object]) -> float:
    time.sleep(PAUSE)
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _other(model: Any, number: int) -> Any:
    """As what was trained on other data would be."""
    if hasattr(model, "set_attr"):
        model.set_attr(number=str(number))
    else:
        model.classes_ = model.classes_ + float(number + 1) / 2
    return model


if __name__ == "__main__":
    {"alone": alone, "inputs": inputs, "mlflow": mlflow}[sys.argv[1]](sys.argv[2]) if sys.argv[1:] else main()
