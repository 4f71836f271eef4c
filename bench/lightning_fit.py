"""What autologging adds to a Lightning step, and to a fit of 1,000 steps that log each, beside MLflow."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

from _common import in_fresh_home, interval, report

BLOCK = 250  # steps in a row with autotrack on, or off
PAIRS = 48  # of blocks: 12,000 steps each way
TARGET_STEP = 20.0  # µs of CPU time
RUN_STEPS = 1000
RUNS = 8  # pairs of fits
TARGET_RUN = 0.05  # of MLflow's


def main() -> None:
    _report_steps()
    _report_runs()


def _report_steps() -> None:
    found = in_fresh_home(__file__, "steps")
    added = [on - off for off, on in found["pairs"]]
    total = median(added) + found["others"]
    report(
        "lightning_step",
        "µs of CPU time added to a step that logs two metrics, the flusher's included",
        total,
        TARGET_STEP,
        interval=[bound + found["others"] for bound in interval(added)],
        flusher_us=found["others"],
        plain_us=median(off for off, _ in found["pairs"]),
        n=PAIRS,
        ok=total <= TARGET_STEP,
    )


def _report_runs() -> None:
    peer_python = os.environ.get("BENCH_PEERS")
    ours = _extra(in_fresh_home(__file__, "runs", "autotrack"))
    peers = (
        {"mlflow": _extra(in_fresh_home(__file__, "runs", "mlflow", python=peer_python))}
        if peer_python
        else {}
    )
    ratios = {name: ours[name] / peers["mlflow"][name] for name in ("wall", "cpu") if peers}
    report(
        "lightning_run",
        f"s added to a fit of {RUN_STEPS} steps, each logged",
        ours,
        TARGET_RUN,
        peers=peers,
        ratios=ratios,
        n=RUNS,
        ok=bool(ratios) and all(ratio <= TARGET_RUN for ratio in ratios.values()),
    )


def _extra(pairs: list[list[list[float]]]) -> dict[str, Any]:
    """What the fits took beyond the plain ones of their turns."""
    extra = {
        name: [on[place] - off[place] for off, on in pairs] for place, name in enumerate(("wall", "cpu"))
    }
    return {
        **{name: median(values) for name, values in extra.items()},
        "interval": {name: interval(values) for name, values in extra.items()},
    }


# --- in a process of its own ------------------------------------------------------------------------


def steps() -> None:
    """One fit in which autotrack goes on and off by turns of a few steps, so that both meet the same machine.

    Of a block the median step counts, in its thread's CPU time; what other threads did meanwhile is
    shared out among the steps that were recorded.
    """
    import lightning.pytorch as pl

    import autotrack

    autotrack.enable()

    class Turns(pl.Callback):
        """Times each step but a block's first, from its batch to the next one's."""

        def __init__(self) -> None:
            self.blocks: list[list[float]] = []
            self.started = 0.0

        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, number: int) -> None:
            now = time.thread_time()
            if number % BLOCK > 1:
                self.blocks[-1].append((now - self.started) * 1e6)
            if number % BLOCK == 0:
                autotrack.enable() if len(self.blocks) % 4 in (0, 3) else autotrack.disable()
                self.blocks.append([])
            self.started = time.thread_time()

    turns = Turns()
    _fit(2 * BLOCK)  # to warm up
    others = time.process_time() - time.thread_time()
    _fit(2 * BLOCK * PAIRS, callbacks=[turns])
    autotrack.flush()
    others = time.process_time() - time.thread_time() - others
    medians = [median(block) for block in turns.blocks]
    pairs = [
        (second, first) if number % 2 == 0 else (first, second)
        for number, (first, second) in enumerate(zip(medians[::2], medians[1::2], strict=True))
    ]
    print(json.dumps({"pairs": pairs, "others": others / (BLOCK * PAIRS) * 1e6}))


def runs(tracker: str) -> None:
    """Fits without and with a tracker, in turns, the first pair only to warm up; wall and CPU seconds."""
    switch = {"autotrack": _autotrack, "mlflow": _mlflow}[tracker]()
    pairs = []
    for number in range(RUNS + 1):
        order = (False, True) if number % 2 else (True, False)
        spent = {is_on: _spent(is_on, switch) for is_on in order}
        pairs.append([spent[False], spent[True]])
    print(json.dumps(pairs[1:]))


def _spent(is_on: bool, switch: Callable[[bool], None]) -> list[float]:
    switch(is_on)
    wall, cpu = time.perf_counter(), time.process_time()
    _fit(RUN_STEPS)
    return [time.perf_counter() - wall, time.process_time() - cpu]


def _autotrack() -> Callable[[bool], None]:
    import autotrack

    def switch(is_on: bool) -> None:
        autotrack.flush()
        autotrack.enable() if is_on else autotrack.disable()

    return switch


def _mlflow() -> Callable[[bool], None]:
    import mlflow

    mlflow.set_tracking_uri("sqlite:///mlflow.db")

    def switch(is_on: bool) -> None:
        mlflow.pytorch.autolog(disable=not is_on, log_models=False, checkpoint=False, log_every_n_step=1)

    return switch


def _fit(steps: int, **settings: Any) -> None:
    import lightning.pytorch as pl
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    class Line(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.line = torch.nn.Linear(4, 1)

        def training_step(self, batch: Any, number: int) -> Any:
            loss = self.line(batch[0]).square().mean()
            self.log_dict({"loss": loss, "twice": 2 * loss})
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 1e-3)

    data = DataLoader(TensorDataset(torch.ones(steps, 4)), batch_size=1)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    trainer.fit(Line(), data)


def measure(what: str, *arguments: str) -> None:
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    {"steps": steps, "runs": runs}[what](*arguments)


if __name__ == "__main__":
    measure(*sys.argv[1:]) if len(sys.argv) > 1 else main()
