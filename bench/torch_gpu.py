"""What autotrack adds to each step of a plain loop on a GPU: waits for the device, and CPU time.

The waits are what torch's profiler sees of the driver's calls that wait.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from statistics import median
from typing import Any

from _common import in_fresh_home, interval, report
from torch_loop import Steps, begin, training

STEPS = 500  # of a block
PAIRS = 16
WAITING = (
    "ynchronize",
    "cudaEventQuery",
    "cudaStreamQuery",
    "cudaStreamWaitEvent",
    "cudaFree",
    "cudaHostFree",
)


def main() -> None:
    import torch

    if not torch.cuda.is_available():
        print("torch_gpu: there is no GPU", file=sys.stderr)
        return
    found: dict[str, Any] = in_fresh_home(__file__, "measure")
    added = [(on - off) / STEPS * 1e6 for off, on in found["pairs"]]
    waits = found["on"]["waits"] - found["off"]["waits"]
    report(
        "torch_gpu",
        f"calls that wait for the device, added to {STEPS} steps",
        waits,
        0,
        copies=found["on"]["copies"] - found["off"]["copies"],
        cpu_us=median(added),
        interval=interval(added),
        step_us=median(off / STEPS * 1e6 for off, _ in found["pairs"]),
        gpu=torch.cuda.get_device_name(),
        n=PAIRS,
        ok=waits <= 0,
    )


def measure() -> None:
    """In a process of its own."""
    import torch

    import autotrack

    steps = training("cuda")

    def calls(is_on: bool) -> dict[str, int]:
        begin(steps, is_on)
        activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profiler:
            steps(STEPS)
            autotrack.flush()
        autotrack.disable()
        names = [event.name for event in profiler.events()]
        waits = sum(any(part in name for part in WAITING) for name in names)
        return {"waits": waits, "copies": names.count("cudaMemcpyAsync")}

    warnings.simplefilter("ignore")
    pairs = alternated(steps)
    print(json.dumps({"pairs": pairs, "off": calls(False), "on": calls(True)}))


def alternated(steps: Steps) -> list[tuple[float, float]]:
    """Seconds of CPU time of each pair of blocks, without and with autotrack."""
    import autotrack

    def spent(is_on: bool) -> float:
        begin(steps, is_on)
        begun = time.process_time()
        steps(STEPS)
        autotrack.flush()
        ended = time.process_time()
        autotrack.disable()
        return ended - begun

    steps(200)
    found = []
    for number in range(PAIRS):
        order = (False, True) if number % 2 else (True, False)
        both = {is_on: spent(is_on) for is_on in order}
        found.append((both[False], both[True]))
    return found


if __name__ == "__main__":
    measure() if len(sys.argv) > 1 else main()
