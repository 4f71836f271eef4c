"""What autotrack adds to each step of a plain PyTorch loop: CPU time of all threads, flusher included."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from statistics import median

from _common import in_fresh_home, interval, report

STEPS = 1000  # of a block; about a millisecond each
PAIRS = 24
TARGET = 10.0

Steps = Callable[[int], None]


def main() -> None:
    pairs: list[list[float]] = in_fresh_home(__file__, "measure")
    added = [(on - off) / STEPS * 1e6 for off, on in pairs]
    report(
        "torch_loop",
        "us of CPU time added to a step",
        median(added),
        TARGET,
        interval=interval(added),
        step_us=median(off / STEPS * 1e6 for off, _ in pairs),
        n=PAIRS,
        ok=median(added) <= TARGET,
    )


def measure() -> None:
    """In a process of its own: seconds of CPU time of each pair of blocks, without and with autotrack."""
    import torch

    torch.set_num_threads(1)
    print(json.dumps(alternated(training("cpu"), PAIRS, STEPS)))


def training(device: str) -> Steps:
    """Makes so many steps of a small network, on data that stays on the device."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 10)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, y = torch.randn(64, 128, device=device), torch.randint(0, 10, (64,), device=device)

    def steps(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return steps


def begin(steps: Steps, is_on: bool) -> None:
    """Switch autotrack on, or not; the run begins, once in thousands of steps."""
    import torch

    import autotrack

    if is_on:
        autotrack.enable("torch")
    steps(20)
    autotrack.flush()
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def alternated(steps: Steps, pairs: int, block: int) -> list[tuple[float, float]]:
    """Seconds of CPU time of each pair of blocks, without and with autotrack."""
    import autotrack

    def spent(is_on: bool) -> float:
        begin(steps, is_on)
        begun = time.process_time()
        steps(block)
        autotrack.flush()
        ended = time.process_time()
        autotrack.disable()
        return ended - begun

    steps(200)
    found = []
    for number in range(pairs):
        order = (False, True) if number % 2 else (True, False)
        both = {is_on: spent(is_on) for is_on in order}
        found.append((both[False], both[True]))
    return found


if __name__ == "__main__":
    measure() if len(sys.argv) > 1 else main()
