"""What plain PyTorch loops are also made of: settings in odd places, files, writers, hooks."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

import autotrack

from ..scripts import values
from ..tracking import Tracking
from .test_torch import steps
from .torch_loops import Net, data, fit, train

schedulers = torch.optim.lr_scheduler


def sgd(model: nn.Module, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), **{"lr": 0.1, **options})


# --- schedulers that are made of others ---------------------------------------------------------------


def test_schedulers_one_after_the_other(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = sgd(model)
    warmup = schedulers.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    decay = schedulers.ExponentialLR(optimizer, gamma=0.9)
    schedulers.SequentialLR(optimizer, [warmup, decay], milestones=[2])
    fit(model, optimizer, 1)
    params = tracking.run().params
    assert params["scheduler"] == "SequentialLR"
    assert params["scheduler.milestones"] == "[2]"
    assert (params["scheduler.0"], params["scheduler.1"]) == ("LinearLR", "ExponentialLR")
    assert params["scheduler.0.start_factor"] == 0.5
    assert params["scheduler.1.gamma"] == 0.9
    assert "scheduler.gamma" not in params


def test_schedulers_at_once(tracking: Tracking) -> None:
    """Built after the first step."""
    tracking.enable()
    model = Net()
    optimizer = sgd(model)
    fit(model, optimizer, 1)
    both = [schedulers.ConstantLR(optimizer, factor=0.5), schedulers.ExponentialLR(optimizer, gamma=0.9)]
    schedulers.ChainedScheduler(both)
    params = tracking.run().params
    assert params["scheduler"] == "ChainedScheduler"
    assert (params["scheduler.0"], params["scheduler.0.factor"]) == ("ConstantLR", 0.5)
    assert (params["scheduler.1"], params["scheduler.1.gamma"]) == ("ExponentialLR", 0.9)


# --- settings -----------------------------------------------------------------------------------------


def test_the_batch_size_of_a_sampler_of_batches(tracking: Tracking) -> None:
    tracking.enable()
    rows = TensorDataset(*data(12))
    sampler = BatchSampler(RandomSampler(rows), batch_size=3, drop_last=False)
    model = Net()
    optimizer = sgd(model)
    for x, y in DataLoader(rows, batch_sampler=sampler):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
    assert tracking.run().params["batch_size"] == 3


def test_a_model_that_is_compiled_in_place(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    model.compile(backend="eager")
    fit(model, sgd(model), 1)
    assert tracking.run().params["compiled"] is True


def test_a_group_that_is_added_amid_a_run(tracking: Tracking) -> None:
    """Layers that are thawed."""
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.second.parameters(), lr=0.1, momentum=0.5)
    fit(model, optimizer, 1)
    optimizer.add_param_group({"params": model.first.parameters(), "lr": 0.01, "weight_decay": 0.3})
    fit(model, optimizer, 1)
    run = tracking.run()
    assert (run.params["group1.lr"], run.params["group1.weight_decay"]) == (0.01, 0.3)
    assert "group1.momentum" not in run.params
    assert run.params["lr"] == 0.1
    assert steps(run, "lr/group1") == [1]
    assert len([run]) == len(tracking.runs())


def test_the_norm_by_the_path_of_its_module(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = sgd(model)
    for _ in range(2):
        model(data()[0]).mean().backward()
        torch.nn.utils.clip_grad.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert steps(tracking.run(), "grad_norm") == [0, 1]


# --- files and writers --------------------------------------------------------------------------------


def test_a_checkpoint_in_an_open_file(tracking: Tracking, tmp_path: Path) -> None:
    import io

    tracking.enable()
    train(1)
    with (tmp_path / "open.pt").open("wb") as file:
        torch.save({"step": 1}, file)
    torch.save({"step": 2}, io.BytesIO())
    run = tracking.run()
    kept = [a.path for a in run.artifacts if a.path.startswith("checkpoints/")]
    assert kept == ["checkpoints/open.pt"]
    assert torch.load(run.artifact("checkpoints/open.pt")) == {"step": 1}


def test_what_a_writer_is_told_before_the_first_step(tracking: Tracking, tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    tracking.enable()
    writer = SummaryWriter(tmp_path / "tb")
    writer.add_hparams({"depth": 2}, {"start": 0.25})
    untrained = torch.tensor(0.5)
    writer.add_scalar("val/acc", untrained, 0)
    untrained.fill_(99.0)
    assert tracking.runs() == []
    train(2)
    writer.add_scalar("val/acc", 0.75, 1)
    train(1)
    writer.close()
    first = tracking.runs()[-1]
    assert values(first, "val/acc") == [0.5, 0.75]
    assert (first.params["depth"], values(first, "start")) == (2, [0.25])
    assert "depth" not in tracking.runs()[0].params


def test_what_is_no_number_waits_for_no_run(tracking: Tracking) -> None:
    """Nor does it keep from its run what is told later."""
    from autotrack.patches.torch.tensorboard import Told

    odd = {"text": "a", "none": None, "both": torch.ones(2), "one": 1}
    assert Told(odd, 0, {}).final().metrics == {"one": 1.0}


def test_scalars_that_a_writer_is_told_together(tracking: Tracking, tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    tracking.enable()
    train(1)
    writer = SummaryWriter(tmp_path / "tb")
    for step in range(2):
        writer.add_scalars("loss", {"train": 1.0 + step, "val": 2.0 + step}, step)
    writer.close()
    run = tracking.run()
    assert values(run, "loss/train") == [1, 2]
    assert values(run, "loss/val") == [2, 3]
    assert steps(run, "loss/val") == [0, 1]


def test_a_tensor_that_is_changed_after_it_was_logged(tracking: Tracking) -> None:
    """As a running total is."""
    tracking.enable()
    total, loss = torch.zeros(()), torch.tensor(1.5)
    with autotrack.run("mine"):
        for _ in range(3):
            autotrack.log({"total": total, "plain": 1.0})
            total += loss
    assert values(tracking.run(), "total") == [0.0, 1.5, 3.0]


# --- optimizers that step in the backward pass --------------------------------------------------------


def in_backward(model: nn.Module, **options: Any) -> None:
    """As torch's tutorial has it: an optimizer of its own for each parameter."""
    optimizers = {p: torch.optim.Adam([p], **{"lr": 0.01, **options}) for p in model.parameters()}

    def step(parameter: Any) -> None:
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step)


def test_steps_in_the_backward_pass(tracking: Tracking) -> None:
    tracking.enable()
    model, losses = Net(), []
    in_backward(model)
    for _ in range(3):
        loss = nn.functional.mse_loss(model(data()[0]), data()[1])
        loss.backward()
        losses.append(loss.item())
    run = tracking.run()
    assert values(run, "loss") == losses
    assert steps(run, "loss") == steps(run, "lr") == [0, 1, 2]
    assert [name for name in run.metrics if name.endswith("loss")] == ["loss"]
    assert [artifact.path for artifact in run.artifacts if artifact.path.endswith("model.txt")] == [
        "model.txt"
    ]
    assert run.params["optimizer"] == "Adam"
    assert [name for name in run.params if "/" in name] == []


def test_every_nth_step_in_the_backward_pass(tracking: Tracking) -> None:
    tracking.enable(torch={"every": 2})
    model, losses = Net(), []
    in_backward(model)
    for _ in range(5):
        loss = nn.functional.mse_loss(model(data()[0]), data()[1])
        loss.backward()
        losses.append(loss.item())
    run = tracking.run()
    assert steps(run, "loss") == [0, 2, 4]
    assert values(run, "loss") == losses[::2]


def test_a_further_optimizer_of_the_same_model_tells_what_is_its_own(tracking: Tracking) -> None:
    tracking.enable()
    model = Net()
    optimizer = torch.optim.SGD(model.first.parameters(), lr=0.1, momentum=0.5)
    slower = torch.optim.SGD(model.second.parameters(), lr=0.01, momentum=0.5)
    for _ in range(2):
        model(data()[0]).mean().backward()
        optimizer.step()
        slower.step()
    run = tracking.run()
    assert {name: value for name, value in run.params.items() if "/" in name} == {"slower/lr": 0.01}


def test_models_of_two_optimizers(tracking: Tracking) -> None:
    """Each is described."""
    tracking.enable()
    pairs = [(model, sgd(model)) for model in (Net(), Net())]
    for model, optimizer in pairs:
        fit(model, optimizer, 1)
    run = tracking.run()
    trees = sorted(a.path for a in run.artifacts if a.path.endswith("model.txt"))
    assert trees == ["model.txt", "optimizer/model.txt"]
    assert run.params["optimizer/parameters"] == 19


def test_a_loss_is_its_own_threads(tracking: Tracking) -> None:
    """Though another thread has just made a step without one."""
    tracking.enable()
    turns = threading.Barrier(2)

    def without_loss() -> None:
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with autotrack.run("without"):
            for _ in range(5):
                gradients = torch.autograd.grad(model(data()[0]).mean(), [*model.parameters()])
                for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                    parameter.grad = gradient
                turns.wait()
                optimizer.step()
                turns.wait()

    def let_the_other(_: Any) -> None:
        turns.wait()
        turns.wait()

    def with_loss() -> None:
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with autotrack.run("with"):
            for _ in range(5):
                loss = model(data()[0]).mean()
                loss.register_hook(let_the_other)  # amid its backward pass
                loss.backward()
                optimizer.step()

    threads = [threading.Thread(target=work) for work in (without_loss, with_loss)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = {run.name: run for run in tracking.runs()}
    assert "loss" not in runs["without"].metrics
    assert steps(runs["with"], "loss") == [0, 1, 2, 3, 4]


def test_the_first_non_finite_after_a_loss_that_overflows(tracking: Tracking) -> None:
    """At the first look all is finite yet."""
    tracking.enable(torch={"statistics_every": 1000})
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e30)
    for _ in range(6):
        loss = model(torch.ones(4, 1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert "at step" in tracking.run().params["first_non_finite"]
