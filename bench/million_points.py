"""A million points (10 names of 100,000 steps): until spooled, until stored, on disk, read again."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from _common import child, report, temporary_home

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROCESSES = 5
NAMES, STEPS = 10, 100_000
SPIKES, NANS, INFINITIES = 20, 10, 2
TARGET = {"spool_s": 1.0, "store_s": 2.0, "disk_mb": 5.0, "read_ms": 10.0, "reduced_ms": 10.0}


def main() -> None:
    rounds = []
    for _ in range(PROCESSES):
        with temporary_home() as (folder, env):
            script = os.path.abspath(__file__)
            spooled = child(script, "log", folder=folder, env=env)
            rounds.append(spooled | child(script, "read", folder=folder, env=env))
    ours = {key: median(r[key] for r in rounds) for key in rounds[0] if key != "kept"}
    kept = all(r["kept"] for r in rounds)
    report(
        "million_points",
        "s, MB, ms",
        ours,
        TARGET,
        points=NAMES * STEPS,
        spikes_nan_inf_kept=kept,
        n=PROCESSES,
        ok=kept and all(ours[key] <= most for key, most in TARGET.items()),
    )


def curves() -> NDArray[np.float64]:
    """Losses as a network in float32 gives them; the first has spikes, NaN and infinities."""
    import numpy as np

    rng = np.random.default_rng(0)
    steps = np.arange(STEPS)[:, None]
    decay = np.exp(-steps / np.linspace(5e3, 5e4, NAMES)) + 0.1
    values = (decay * (1 + 0.05 * rng.standard_normal(decay.shape))).astype(np.float32).astype(np.float64)
    where = odd_ones()
    values[where[:SPIKES], 0] = 50.0
    values[where[SPIKES : SPIKES + NANS], 0] = np.nan
    values[where[SPIKES + NANS :], 0] = [np.inf, -np.inf]
    return values


def odd_ones() -> NDArray[np.int64]:
    """The steps of the spikes, then of the NaN, then of the infinities."""
    import numpy as np

    rng = np.random.default_rng(1)
    return rng.choice(np.arange(10, STEPS - 10), SPIKES + NANS + INFINITIES, replace=False)


def log() -> None:
    """In a process of its own: seconds from the first `log` to the end of `flush`."""
    import autotrack

    names = [f"loss{i}" for i in range(NAMES)]
    rows = curves().tolist()
    with autotrack.run("bench"):
        autotrack.flush()
        start = time.perf_counter()
        for step, row in enumerate(rows):
            autotrack.log(dict(zip(names, row, strict=True)), step)
        called = time.perf_counter()
        autotrack.flush()
        end = time.perf_counter()
    print(json.dumps({"calls_s": called - start, "spool_s": end - start}))


def read() -> None:
    """In a process of its own: fill the store from the spool, then read from it."""
    import numpy as np

    import autotrack

    start = time.perf_counter()
    run = autotrack.runs()[0]
    stored = time.perf_counter()
    folder = Path.cwd()
    disk = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    first = _milliseconds(lambda: run.points("loss0"))
    reads = [_milliseconds(lambda: run.points("loss0")) for _ in range(15)]
    reductions = [_milliseconds(lambda: run.points("loss0", max_points=1000)) for _ in range(15)]
    points, fewer = run.points("loss0"), run.points("loss0", max_points=1000)
    same = np.array_equal(points.value, curves()[:, 0], equal_nan=True) and len(points) == STEPS
    found: dict[str, Any] = {
        "store_s": stored - start,
        "disk_mb": disk / 1e6,
        "read_first_ms": first,
        "read_ms": median(reads),
        "reduced_ms": median(reductions),
        "reduced_to": len(fewer),
        "kept": bool(same and np.isin(odd_ones(), fewer.step).all()),
    }
    print(json.dumps(found))


def _milliseconds(call: Any) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    {"log": log, "read": read}[sys.argv[1]]() if len(sys.argv) > 1 else main()
