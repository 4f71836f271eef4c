"""What autotrack adds to each step of a plain PyTorch loop: CPU time of all threads, flusher included."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from statistics import median

from _common import in_fresh_home, interval, report, switch_of

STEPS = 12_000
BLOCKS = 24  # of steps, each with a median for those with autotrack and one for those without
TARGET = 10.0
LOOPS = {"torch_loop": False, "torch_loop_clipped": True}
"""Whether the norm of the gradients is clipped, which is one more call to be told of."""

Steps = Callable[[int], None]


def main() -> None:
    for loop in LOOPS:
        _report(loop)


def _report(loop: str) -> None:
    found = in_fresh_home(__file__, loop)
    added = [on - off for off, on in found["pairs"]]
    total = median(added) + found["others"]
    report(
        loop,
        "us of CPU time added to a step",
        total,
        TARGET,
        interval=[bound + found["others"] for bound in interval(added)],
        flusher_us=found["others"],
        step_us=median(off for off, _ in found["pairs"]),
        n=STEPS,
        ok=total <= TARGET,
    )


def measure(is_clipped: bool) -> None:
    """In a process of its own: µs of CPU time of each block's median step, without and with autotrack.

    By lot each step is made with what autotrack has put in torch's place, or with torch's own: so both meet
    the same machine. What other threads did meanwhile is shared out among the steps that were recorded.
    """
    import torch

    import autotrack

    torch.set_num_threads(1)
    steps = training("cpu", is_clipped)
    begin(steps, is_on=False)
    begin(steps, is_on=True)
    put = switch_of((torch.autograd, "backward"), (torch.nn.utils, "clip_grad_norm_"))
    rng = random.Random(0)
    pairs, recorded = [], 0
    others = time.process_time() - time.thread_time()
    for _ in range(BLOCKS):
        took: tuple[list[int], list[int]] = [], []
        for _ in range(STEPS // BLOCKS):
            put(is_on := rng.random() < 0.5)
            began = time.thread_time_ns()
            steps(1)
            took[is_on].append(time.thread_time_ns() - began)
        recorded += len(took[True])
        pairs.append([median(found) / 1e3 for found in took])
    autotrack.flush()
    others = time.process_time() - time.thread_time() - others
    print(json.dumps({"pairs": pairs, "others": others / recorded * 1e6}))


def training(device: str, is_clipped: bool = True) -> Steps:
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
            if is_clipped:
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


if __name__ == "__main__":
    measure(LOOPS[sys.argv[1]]) if len(sys.argv) > 1 else main()
