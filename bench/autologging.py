"""What autologging adds to a training call, the first and the later ones, without and with the model."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from _common import Environment, report, temporary_home

ROUNDS = 3
TARGET = 0.05  # of MLflow's
LATER = {"plain": 15, "autotrack": 15, "autotrack_model": 15, "mlflow": 4, "mlflow_model": 2}
"""Calls after the first, in each process of each arm."""
TURNS = {"autotrack": 10, "mlflow": 4}
"""Pairs of blocks, with and without, that tell what a later call takes longer where no model is kept: less
than processes differ from each other."""
BLOCK = 3
EXTRAS = ("first", "later")
WHOLE = ("wall", "cpu")

Arm = dict[str, float]
Training = Callable[[], object]


def main() -> None:
    """Processes of all arms in turns; each is compared with the plain one of its round and its Python."""
    _adopt_orphans()
    peer_python = os.environ.get("BENCH_PEERS")
    for workload in sys.argv[1:] or WORKLOADS:
        rounds = [_round(workload, peer_python) for _ in range(ROUNDS)]
        found = {arm: _medians([r[arm] for r in rounds]) for arm in rounds[0]}
        pythons = {"autotrack": sys.executable, "mlflow": peer_python}
        for tool in TURNS.keys() & found.keys():
            found[tool]["later"] = _by_turns(tool, workload, str(pythons[tool]))
        ours = {arm: times for arm, times in found.items() if "mlflow" not in arm}
        peers = {arm: times for arm, times in found.items() if "mlflow" in arm}
        ratios = {
            f"{extra}{model}": found[f"autotrack{model}"][extra] / found[f"mlflow{model}"][extra]
            for model in ("", "_model")
            for extra in EXTRAS
            if peers
        }
        report(
            f"autologging_{workload}",
            "s: extra of the first and of the median later call; whole process",
            ours,
            TARGET,
            peers=peers,
            ratios=ratios,
            n=ROUNDS,
            ok=bool(ratios) and all(ratio <= TARGET for ratio in ratios.values()),
        )


def _round(workload: str, peer_python: str | None) -> dict[str, Arm]:
    """Every arm once: seconds of the whole process, and what its calls took beyond the plain ones."""
    arms = {"plain": sys.executable, "autotrack": sys.executable, "autotrack_model": sys.executable}
    if peer_python:
        arms |= {"mlflow_plain": peer_python, "mlflow": peer_python, "mlflow_model": peer_python}
    times = {arm: _process(arm.replace("mlflow_plain", "plain"), workload, arms[arm]) for arm in arms}
    return {arm: _compared(times[arm], times[_plain(arm)]) for arm in arms}


def _plain(arm: str) -> str:
    return "mlflow_plain" if "mlflow" in arm else "plain"


def _compared(arm: Arm, plain: Arm) -> Arm:
    whole = {name: arm[name] for name in WHOLE}
    return whole if arm is plain else {extra: arm[extra] - plain[extra] for extra in EXTRAS} | whole


def _medians(rounds: list[Arm]) -> Arm:
    return {name: median(r[name] for r in rounds) for name in rounds[0]}


# --- one process --------------------------------------------------------------------------------


def _process(arm: str, workload: str, python: str) -> Arm:
    """Run one arm in a home of its own: its calls' times, its wall time, CPU seconds with its helpers'."""
    with temporary_home() as (folder, env):
        said = folder / "said.txt"
        start = time.perf_counter()
        with said.open("wb") as output:
            command = [python, os.path.abspath(__file__), "measure", arm, workload]
            process = subprocess.Popen(command, cwd=folder, env=env, stdout=output, stderr=output)
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        if process.returncode != 0:
            raise RuntimeError(f"{arm} {workload}:\n{said.read_text()}")
        cpu = used.ru_utime + used.ru_stime + _wait_for_orphans()
        times = json.loads((folder / "times.json").read_text())
        if arm.startswith("autotrack"):
            _check(folder, env, calls=1 + LATER[arm], with_model=arm.endswith("_model"))
    return {"first": times[0], "later": median(times[1:]), "wall": wall, "cpu": cpu}


def _by_turns(tool: str, workload: str, python: str) -> float:
    """Seconds that a later call takes longer, in one process in which the tool goes on and off."""
    with temporary_home() as (folder, env):
        command = [python, os.path.abspath(__file__), "turns", tool, workload]
        subprocess.run(command, cwd=folder, env=env, capture_output=True, check=True)
        _wait_for_orphans()
        return float((folder / "turns.txt").read_text())


def _adopt_orphans() -> None:
    """Helpers that outlive their process become this one's children, so that their CPU time is told."""
    set_child_subreaper = 36
    prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux only
    if prctl is not None:
        prctl(set_child_subreaper, 1, 0, 0, 0)


def _wait_for_orphans() -> float:
    cpu = 0.0
    while True:
        try:
            used = os.wait4(-1, 0)[2]
        except ChildProcessError:
            return cpu
        cpu += used.ru_utime + used.ru_stime


def _check(folder: Path, env: Environment, calls: int, with_model: bool) -> None:
    """A call that was not recorded costs nothing: raise unless all are there."""
    code = (
        "import autotrack, json; print(json.dumps([len(r.models) for r in autotrack.runs() if not r.parent]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, stdout=subprocess.PIPE, text=True, check=True
    )
    models = json.loads(done.stdout)
    if len(models) != calls or (with_model and 0 in models) or (not with_model and any(models)):
        raise RuntimeError(f"{calls} calls recorded as {len(models)} runs with {models} models")


# --- inside the process -------------------------------------------------------------------------


def measure(arm: str, workload: str) -> None:
    """In a process of its own: the first call and the later ones, each alone."""
    warnings.simplefilter("ignore")
    training = WORKLOADS[workload]()
    ENABLE[arm]()
    times = [_seconds(training) for _ in range(1 + LATER[arm])]
    Path("times.json").write_text(json.dumps(times))


def turns(tool: str, workload: str) -> None:
    """In a process of its own: blocks of calls with the tool and without, each first every other time."""
    warnings.simplefilter("ignore")
    training = WORKLOADS[workload]()
    differences = []
    for turn in range(TURNS[tool]):
        spent = {}
        for is_on in (True, False) if turn % 2 else (False, True):
            (ENABLE if is_on else DISABLE)[tool]()
            training()  # the first after a switch
            spent[is_on] = median(_seconds(training) for _ in range(BLOCK))
        differences.append(spent[True] - spent[False])
    Path("turns.txt").write_text(str(median(differences)))


def _seconds(training: Training) -> float:
    start = time.perf_counter()
    training()
    return time.perf_counter() - start


def _logistic_regression() -> Training:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    X, y = load_iris(return_X_y=True)
    return lambda: LogisticRegression(max_iter=200).fit(X, y)


def _random_forest() -> Training:
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier

    X, y = load_digits(return_X_y=True)
    return lambda: RandomForestClassifier(100, random_state=0).fit(X, y)


def _grid_search() -> Training:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    X, y = load_iris(return_X_y=True)
    return lambda: GridSearchCV(LogisticRegression(max_iter=200), {"C": [0.1, 1.0, 10.0]}, cv=5).fit(X, y)


def _xgboost() -> Training:
    import xgboost
    from sklearn.datasets import load_breast_cancer

    data = xgboost.DMatrix(*load_breast_cancer(return_X_y=True))
    params = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1}
    return lambda: xgboost.train(params, data, 200, evals=[(data, "train")], verbose_eval=False)


WORKLOADS: Mapping[str, Callable[[], Training]] = {
    "logistic_regression": _logistic_regression,
    "random_forest": _random_forest,
    "grid_search": _grid_search,
    "xgboost": _xgboost,
}


def _autotrack(log_model: bool) -> None:
    import autotrack

    autotrack.enable(sklearn={"log_model": log_model}, xgboost={"log_model": log_model})


def _mlflow(log_model: bool) -> None:
    import mlflow

    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.autolog(log_models=log_model, silent=True)


ENABLE: Mapping[str, Callable[[], Any]] = {
    "plain": lambda: None,
    "autotrack": lambda: _autotrack(log_model=False),
    "autotrack_model": lambda: _autotrack(log_model=True),
    "mlflow": lambda: _mlflow(log_model=False),
    "mlflow_model": lambda: _mlflow(log_model=True),
}


def _no_autotrack() -> None:
    import autotrack

    autotrack.flush()
    autotrack.disable()


def _no_mlflow() -> None:
    import mlflow

    mlflow.autolog(disable=True, silent=True)


DISABLE: Mapping[str, Callable[[], Any]] = {"autotrack": _no_autotrack, "mlflow": _no_mlflow}


if __name__ == "__main__":
    inside = {"measure": measure, "turns": turns}.get("".join(sys.argv[1:2]))
    inside(*sys.argv[2:]) if inside else main()
