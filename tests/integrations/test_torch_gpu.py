"""Training on a GPU: nothing waits for it, and nothing disturbs what is captured."""

from __future__ import annotations

import json
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

import autotrack
from autotrack.recording import pinned
from autotrack.recording.devices import OnDevice
from autotrack.states import State

from ..scripts import Place, values
from ..tracking import Tracking

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode"),
    pytest.mark.filterwarnings("ignore:The AccumulateGrad node"),  # of captures after steps outside
]


class Training:
    """A model, an optimizer, and data that stay on the GPU."""

    def __init__(self, **options: Any) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(32, 64), nn.Dropout(0.1), nn.ReLU(), nn.Linear(64, 1)).cuda()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01, **options)
        self.x = torch.randn(16, 32, device="cuda")
        self.y = self.x.sum(1, keepdim=True)

    def loss(self) -> torch.Tensor:
        return nn.functional.mse_loss(self.model(self.x), self.y)

    def step(self) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()

    def steps(self, count: int) -> list[torch.Tensor]:
        return [self.step() for _ in range(count)]


@contextmanager
def no_synchronisation() -> Iterator[None]:
    """Torch raises where it would wait for the device, whichever thread it is in."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_each_step_is_recorded_and_none_waits(tracking: Tracking) -> None:
    training = Training()
    training.steps(3)
    training.model[0].reset_parameters()
    tracking.enable(torch={"statistics_every": 5})
    training.steps(2)  # the run begins: the machine is looked at
    with no_synchronisation():
        losses = training.steps(20)
        assert autotrack.flush()
    run = tracking.run()
    assert values(run, "loss")[2:] == torch.stack(losses).tolist()
    assert len(values(run, "grad_norm")) == 22
    assert values(run, "gradient/0.weight/non_finite") == [0] * 5
    table = json.loads(run.artifact("statistics/00000010.json").read_text())
    assert len(table["data"]) == 8
    assert len(values(run, "gpu_memory_allocated_bytes")) == 5
    assert run.params["device"] == "cuda:0"


def calls_in(steps: int, training: Training) -> Counter[str]:
    """What is asked of the driver, by name, as torch's profiler sees it."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.profiler.profile(activities=activities) as profiler:
            training.steps(steps)
            autotrack.flush()
        return Counter(event.name for event in profiler.events() if event.name.startswith("cuda"))


def test_the_driver_is_asked_for_two_copies_a_step_and_nothing_that_waits(tracking: Tracking) -> None:
    training = Training()
    training.steps(10)
    off = calls_in(50, training)
    tracking.enable()
    training.steps(10)
    added = calls_in(50, training)
    added.subtract(off)
    assert added.pop("cudaMemcpyAsync") == 100
    assert {name for name, count in added.items() if count} <= {"cudaStreamIsCapturing"}


def test_nothing_changes(tracking: Tracking) -> None:
    def trained() -> tuple[list[float], list[torch.Tensor], torch.Tensor]:
        training = Training()
        losses = torch.stack(training.steps(30)).tolist()
        return losses, list(training.model.parameters()), torch.cuda.get_rng_state()

    off = trained()
    tracking.enable(torch={"statistics_every": 3})
    on = trained()
    assert off[0] == on[0]
    assert all(map(torch.equal, off[1], on[1]))
    assert torch.equal(off[2], on[2])


@pytest.mark.parametrize(
    "kind", ["float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool"]
)
def test_values_of_each_kind_as_they_were(tracking: Tracking, kind: str) -> None:
    tracking.enable()
    given = torch.tensor([0, 1, 2, 3, 100, 127], device="cuda").to(getattr(torch, kind))
    with autotrack.run("kinds") as run:
        for step, value in enumerate(given):
            kept = value.clone().reshape(1, 1)
            run.log({"value": kept}, step)
            kept.zero_()
    assert values(tracking.run(), "value") == given.tolist()


def test_nan_and_infinity(tracking: Tracking) -> None:
    tracking.enable()
    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    with autotrack.run("odd"):
        for kind in kinds:
            for value in (float("nan"), float("inf"), -float("inf"), -0.0):
                autotrack.log({"value": torch.tensor(value, device="cuda", dtype=kind)})
    assert list(map(repr, values(tracking.run(), "value"))) == ["nan", "inf", "-inf", "-0.0"] * len(kinds)


def test_as_many_as_anybody_logs_before_they_are_read() -> None:
    numbers = torch.arange(3 * pinned.SLOTS, device="cuda", dtype=torch.float32)
    held = [OnDevice(number) for number in numbers]
    assert list(map(float, held)) == numbers.tolist()


def test_what_nobody_reads_leaves_its_place_to_others() -> None:
    value = torch.ones((), device="cuda")
    for _ in range(2 * pinned.SLOTS):
        OnDevice(value)
    torch.cuda.synchronize()
    before = len(pinned._free) + len(pinned._left)
    for _ in range(10 * pinned.SLOTS):
        OnDevice(value)
    torch.cuda.synchronize()
    for _ in range(2 * pinned.SLOTS):
        OnDevice(value)
    assert len(pinned._free) + len(pinned._left) <= before + 10 * pinned.SLOTS
    assert float(OnDevice(value)) == 1.0


def test_values_of_a_stream_of_the_users_own(tracking: Tracking) -> None:
    tracking.enable()
    stream = torch.cuda.Stream()
    with autotrack.run("stream"), torch.cuda.stream(stream):
        for step in range(20):
            big = torch.full((2000, 2000), 1.0 + step, device="cuda")
            autotrack.log({"value": (big @ big).mean() / 2000}, step)
    assert values(tracking.run(), "value") == pytest.approx(
        [(1.0 + step) ** 2 for step in range(20)], rel=1e-3
    )


# --- CUDA graphs --------------------------------------------------------------------------------------


def test_a_capture_beside_values_that_are_on_their_way(tracking: Tracking) -> None:
    """A question to the driver, from any thread, would make it fail."""
    tracking.enable(torch={"statistics_every": 2})
    training = Training()
    for _ in range(10):
        training.steps(20)
        graph = torch.cuda.CUDAGraph()
        numbers = torch.zeros(1000, device="cuda")
        with torch.cuda.graph(graph):
            for _ in range(100):
                numbers += 1
            time.sleep(0.05)  # the flusher looks at what there is
        graph.replay()
        assert numbers.sum().item() == 100_000
    assert len(values(tracking.run(), "loss")) == 200


def captured_training() -> list[float]:
    """The whole step is captured once, after some outside, and replayed."""
    training = Training(capturable=True)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        training.steps(3)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    training.optimizer.zero_grad()
    with torch.cuda.graph(graph):
        loss = training.step()
    losses = []
    for _ in range(5):
        graph.replay()
        losses.append(loss.item())
    return losses


def test_a_step_that_is_captured_is_none(tracking: Tracking, caplog: pytest.LogCaptureFixture) -> None:
    off = captured_training()
    tracking.enable(torch={"statistics_every": 1})
    assert captured_training() == off
    assert len(values(tracking.run(), "loss")) == 3
    assert not caplog.records


def test_what_is_logged_in_a_capture_is_refused(tracking: Tracking, caplog: pytest.LogCaptureFixture) -> None:
    tracking.enable()
    numbers = torch.zeros((), device="cuda")
    with autotrack.run("captured"):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            numbers += 1
            autotrack.log({"value": numbers})
        graph.replay()
        autotrack.log({"value": numbers})
    assert values(tracking.run(), "value") == [1.0]
    assert "while a graph is captured" in caplog.text


def test_forward_and_backward_are_captured_and_the_optimizer_steps_outside(tracking: Tracking) -> None:
    tracking.enable(torch={"statistics_every": 1})
    training = Training(capturable=True)
    training.steps(3)
    graph = torch.cuda.CUDAGraph()
    training.optimizer.zero_grad()
    with torch.cuda.graph(graph):
        loss = training.loss()
        loss.backward()
    for _ in range(4):
        graph.replay()
        training.optimizer.step()
    run = tracking.run()
    assert run.points("lr").step.tolist() == list(range(7))
    assert run.points("loss").step.tolist() == [0, 1, 2]


def test_two_optimizers_and_no_loss_in_a_capture(
    tracking: Tracking, caplog: pytest.LogCaptureFixture
) -> None:
    tracking.enable(torch={"statistics_every": 1})
    training = Training(capturable=True)
    second = torch.optim.SGD(training.model.parameters(), lr=0.1)
    training.steps(2)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        training.optimizer.step()
        second.step()
    for _ in range(3):
        graph.replay()
    autotrack.flush()
    assert len(values(tracking.run(), "loss")) == 2
    assert not caplog.records


def test_values_of_inference_and_of_training(tracking: Tracking) -> None:
    tracking.enable()
    training = Training()
    for _ in range(3):
        training.steps(10)
        with torch.inference_mode():
            for _ in range(30):
                autotrack.log({"evaluation": training.loss()})
    run = tracking.run()
    assert len(values(run, "loss")) == 30
    assert len(values(run, "evaluation")) == 90


@pytest.mark.parametrize("queued", [1, 200])
def test_a_child_that_is_forked_ends_as_it_would(store: Place, queued: int) -> None:
    ended = store.run(
        """
        import os, sys, torch, autotrack
        autotrack.enable()
        with autotrack.run("forks"):
            value = torch.ones((), device="cuda")
            for _ in range(int(sys.argv[1])):
                autotrack.log({"value": value})
            if (child := os.fork()) == 0:
                sys.exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
        queued,
    )
    assert ended.out == "7\n", ended.err
    assert len(values(store.only_run(), "value")) == queued


def test_graphed_callables_are_trained_step_by_step(tracking: Tracking) -> None:
    def trained() -> list[float]:
        training = Training(capturable=True)
        training.model = torch.cuda.make_graphed_callables(training.model, (training.x.clone(),))
        return torch.stack(training.steps(5)).tolist()

    tracking.enable()
    assert trained() == values(tracking.run(), "loss")


# --- what goes wrong ----------------------------------------------------------------------------------


def test_a_device_that_dies(store: Place) -> None:
    """The training fails of its own error, and everything before is there."""
    ended = store.run(
        """
        import torch, autotrack
        autotrack.enable()
        model = torch.nn.Linear(4, 4).cuda()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(10):
            optimizer.zero_grad()
            loss = model(torch.ones(2, 4, device="cuda")).square().mean()
            loss.backward()
            optimizer.step()
        torch.cuda.synchronize()
        autotrack.flush()
        target = torch.tensor([99], device="cuda")
        loss = torch.nn.functional.cross_entropy(model(torch.ones(1, 4, device="cuda")), target)
        autotrack.log({"bad": loss})
        for _ in range(300):  # all are on their way, and none comes
            autotrack.log({"bad": loss})
        loss.backward()
        optimizer.step()
        torch.cuda.synchronize()
        """
    )
    assert ended.returncode != 0
    assert "Assertion" in ended.err
    run = store.only_run()
    assert run.state is State.FAILED
    assert len(values(run, "loss")) >= 10


def test_the_card_is_told_of(store: Place) -> None:
    name = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()[0]
    ended = store.run(
        """
        import time, autotrack
        autotrack.enable(system_metrics=True, system_metrics_interval=0.5)
        with autotrack.run("card"):
            time.sleep(4)
        """
    )
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert run.attributes["ml.gpu.model"] == name
    assert run.attributes["ml.gpu.count"] >= 1
    assert all(value > 0 for value in values(run, "system/gpu_0_memory_bytes"))
    assert len(values(run, "system/gpu_0_power_watts")) >= 2


def test_lightning_waits_as_often_as_without(tracking: Tracking) -> None:
    lightning = pytest.importorskip("lightning.pytorch")

    class Line(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(4, 1)

        def training_step(self, batch: Any, number: int) -> Any:
            loss = self.line(batch[0]).square().mean()
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 1e-3)

    def waits(steps: int) -> int:
        data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(steps, 4)))
        trainer = lightning.Trainer(
            max_epochs=1, accelerator="gpu", devices=1, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            trainer.fit(Line(), data)
        torch.cuda.set_sync_debug_mode("default")
        return sum("synchronizing" in str(warning.message) for warning in seen)

    off = waits(200) - waits(100)
    tracking.enable()
    assert waits(200) - waits(100) == off
