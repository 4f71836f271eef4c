"""Plain PyTorch loops that go on with their run, from a checkpoint."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import autotrack

from ..scripts import Place, curve, values
from ..tracking import Tracking
from .test_torch import steps
from .torch_loops import Net, fit, loader

NEW = "0198c8f0a3b17c54b1f0d2b07e6c1a9d"
SCRIPT = """
    import os, signal, sys
    import autotrack
    autotrack.enable(flush_interval=0.1)
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    kind = sys.argv[1]
    torch.manual_seed(0)
    data = TensorDataset(torch.linspace(-1, 1, 48).reshape(12, 4), torch.ones(12, 1))
    loader = DataLoader(data, batch_size=4)
    model = nn.Linear(4, 1)
    if kind == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=100)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    first = 0
    if os.path.exists("checkpoint.pt"):
        saved = torch.load("checkpoint.pt")
        first = saved.pop("epoch") + 1
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    for epoch in range(first, 4):
        for x, y in loader:
            loss = nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if kind == "sgd":
                scheduler.step()
        if kind == "adam":
            scheduler.step()
        if first == 0 and epoch == 2:
            autotrack.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        saved = {name: part.state_dict() for name, part in parts.items()}
        torch.save({"epoch": epoch, **saved}, "checkpoint.pt")
"""


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_killed_and_started_again(store: Place, kind: str) -> None:
    """The checkpoint is of the second epoch's end; the third is made again."""
    env = {"AUTOTRACK_RUN_ID": NEW}
    killed = store.run(SCRIPT, kind, env=env)
    assert killed.returncode == -signal.SIGKILL, killed.err
    assert steps(store.only_run(), "loss") == list(range(9))
    ended = store.run(SCRIPT, kind, env=env)
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert run.id == NEW
    assert steps(run, "loss") == [*range(9), *range(6, 12)]
    assert curve(run, "epoch")[9:] == [(6, 2), (7, 2), (8, 2), (9, 3), (10, 3), (11, 3)]
    assert values(run, "loss")[6:9] == values(run, "loss")[9:12]
    assert steps(run, "epoch_seconds") == [2, 5, 8, 8, 11]


def test_a_run_that_goes_on_in_the_same_process(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()

    def epoch() -> None:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in loader(8):
            fit(model, optimizer, 1)

    with autotrack.run("mine") as mine:
        epoch()
    for _ in range(2):
        with autotrack.run(resume=mine.id):
            epoch()
    run = tracking.run()
    assert steps(run, "loss") == [0, 1, 2, 3, 4, 5]
    assert values(run, "epoch") == [0, 0, 1, 1, 2, 2]


def test_a_new_run_from_a_checkpoint_begins_anew(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()

    def trained(state: Any = None) -> Any:
        model = Net()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        if state is not None:
            optimizer.load_state_dict(state)
        fit(model, optimizer, 2)
        return optimizer.state_dict()

    trained(trained())
    assert [steps(run, "loss") for run in tracking.runs()] == [[0, 1], [0, 1]]


def test_two_optimizers_of_a_run_that_goes_on(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run(resume=NEW):
        models = [Net(), Net()]
        first, second = (torch.optim.Adam(model.parameters(), lr=0.1) for model in models)
        for optimizer in (first, second):
            state = optimizer.state_dict()
            size = len(state["param_groups"][0]["params"])
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            state["state"] = {
                number: {
                    "step": torch.tensor(7.0),
                    "exp_avg": torch.zeros_like(parameters[number]),
                    "exp_avg_sq": torch.zeros_like(parameters[number]),
                }
                for number in range(size)
            }
            optimizer.load_state_dict(state)
        for _ in range(2):
            for model, optimizer in zip(models, (first, second), strict=True):
                fit(model, optimizer, 1)
    run = tracking.run()
    assert steps(run, "lr") == steps(run, "second/lr") == [7, 8]
