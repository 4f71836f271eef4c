"""What autologging adds to a Lightning step, and to a fit of 1,000 steps that log each, beside MLflow."""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

from _common import in_fresh_home, interval, report, switch_of

BLOCK = 500  # steps, with a median for those with autotrack and one for those without
BLOCKS = 48  # 12,000 steps each way, about
TARGET_STEP = 20.0  # µs of CPU time
RUN_STEPS = 1000
RUNS = 8  # pairs of fits
TARGET_RUN = 0.05  # of MLflow's
DEFAULTS = "defaults"  # of the trackers; else nothing but the steps is kept, each of them


def main() -> None:
    _report_steps()
    _report_runs("lightning_run", "without its model")
    _report_runs("lightning_run_defaults", "by the trackers' defaults, with its model", DEFAULTS)


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
        n=BLOCK * BLOCKS,
        ok=total <= TARGET_STEP,
    )


def _report_runs(figure: str, how: str, *settings: str) -> None:
    peer_python = os.environ.get("BENCH_PEERS")
    ours = _extra(in_fresh_home(__file__, "runs", "autotrack", *settings))
    peers = (
        {"mlflow": _extra(in_fresh_home(__file__, "runs", "mlflow", *settings, python=peer_python))}
        if peer_python
        else {}
    )
    ratios = {name: ours[name] / peers["mlflow"][name] for name in ("wall", "cpu") if peers}
    report(
        figure,
        f"s added to a fit of {RUN_STEPS} steps, each logged, {how}",
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
    """One fit, in which each step is made with what autotrack has patched, or without: by lot.

    So both meet the same machine. In each block of steps the median counts, in its thread's CPU time; what
    other threads did meanwhile is shared out among the steps that were recorded.
    """
    import lightning.pytorch as pl

    import autotrack

    autotrack.enable()

    class Lots(pl.Callback):
        """Times each step but the first, from its batch to the next one's."""

        def __init__(self) -> None:
            self.took: list[tuple[list[float], list[float]]] = []
            self.rng = random.Random(0)
            self.is_on = False
            self.started = 0.0

        def on_train_start(self, *_: Any) -> None:
            self.put = _switch()

        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, number: int) -> None:
            now = time.thread_time()
            if number:
                self.took[-1][self.is_on].append((now - self.started) * 1e6)
            if number % BLOCK == 0:
                self.took.append(([], []))
            self.is_on = self.rng.random() < 0.5
            self.put(self.is_on)
            self.started = time.thread_time()

        def on_train_end(self, *_: Any) -> None:
            self.put(True)

    lots = Lots()
    _fit(BLOCK)  # to warm up
    autotrack.flush()
    others = time.process_time() - time.thread_time()
    _fit(BLOCK * BLOCKS, callbacks=[lots])
    autotrack.flush()
    others = time.process_time() - time.thread_time() - others
    pairs = [[median(off), median(on)] for off, on in lots.took]
    recorded = sum(len(on) for _, on in lots.took)
    print(json.dumps({"pairs": pairs, "others": others / recorded * 1e6}))


def _switch() -> Callable[[bool], None]:
    """Of all that a step comes by."""
    import torch
    from lightning.pytorch.loops.optimization.automatic import _AutomaticOptimization
    from lightning.pytorch.trainer.connectors.logger_connector.logger_connector import _LoggerConnector
    from torch.utils.data.dataloader import _BaseDataLoaderIter

    return switch_of(
        (_AutomaticOptimization, "run"),
        (_LoggerConnector, "update_train_step_metrics"),
        (_BaseDataLoaderIter, "__next__"),
        (torch.autograd, "backward"),
    )


def runs(tracker: str, *settings: str) -> None:
    """Fits without and with a tracker, in turns, the first pair only to warm up; wall and CPU seconds."""
    switch = {"autotrack": _autotrack, "mlflow": _mlflow}[tracker](DEFAULTS in settings)
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


def _autotrack(is_default: bool) -> Callable[[bool], None]:
    import autotrack

    options = {} if is_default else {"log_model": False}

    def switch(is_on: bool) -> None:
        autotrack.flush()
        autotrack.enable(lightning=options) if is_on else autotrack.disable()

    return switch


def _mlflow(is_default: bool) -> Callable[[bool], None]:
    import mlflow

    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    options = {} if is_default else {"log_models": False, "checkpoint": False, "log_every_n_step": 1}

    def switch(is_on: bool) -> None:
        mlflow.pytorch.autolog(disable=not is_on, **options)

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
