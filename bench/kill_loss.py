"""SIGKILL while logging 1,000 calls a second: how many points that `log` returned from are lost."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

from _common import child, report, temporary_home

RUNS = 5
PER_SECOND = 1000


def main() -> None:
    found = [_killed_after(2.0 + 0.37 * number) for number in range(RUNS)]
    lost = [f["returned"] - f["stored"] for f in found]
    report(
        "kill_loss",
        "calls that returned and are lost",
        {"median": median(lost), "most": max(lost)},
        None,
        lost=lost,
        returned=[f["returned"] for f in found],
        without_holes=all(f["without_holes"] for f in found),
        states=sorted({f["state"] for f in found}),
        n=RUNS,
    )


def _killed_after(seconds: float) -> dict[str, Any]:
    with temporary_home() as (folder, env):
        counter = folder / "returned"
        counter.write_bytes(bytes(8))
        script = os.path.abspath(__file__)
        process = subprocess.Popen([sys.executable, script, "log", str(counter)], cwd=folder, env=env)
        while not int.from_bytes(counter.read_bytes(), "little"):
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()
        process.wait()
        returned = int.from_bytes(counter.read_bytes(), "little")
        return {"returned": returned, **child(script, "read", folder=folder, env=env)}


def log(counter: str) -> None:
    """Until it is killed: log, then count the call where the parent sees it."""
    import autotrack

    with open(counter, "r+b") as file:
        shared = mmap.mmap(file.fileno(), 8)
    autotrack.run("bench").__enter__()
    start = time.perf_counter()
    for step in range(1_000_000):
        autotrack.log({"loss": step * 0.5}, step)
        shared[:8] = (step + 1).to_bytes(8, "little")
        time.sleep(max(0.0, start + (step + 1) / PER_SECOND - time.perf_counter()))


def read() -> None:
    """What the store holds of the run."""
    import autotrack

    (run,) = autotrack.runs()
    steps = run.points("loss").step.tolist()
    holes = steps != list(range(len(steps)))
    print(json.dumps({"stored": len(steps), "without_holes": not holes, "state": run.state}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["log", file]:
            log(file)
        case ["read"]:
            read()
        case _:
            main()
