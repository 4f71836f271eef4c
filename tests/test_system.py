"""The machine's load is sampled for runs that last, and for no others."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import NoReturn

import pytest

from autotrack.recording import system

from .scripts import Place

SAMPLED = {"AUTOTRACK_SYSTEM_METRICS": "1"}

MACHINE = {
    "system/cpu_percent",
    "system/memory_bytes",
    "system/memory_percent",
    "system/disk_percent",
    "system/network_received_bytes_per_second",
    "system/network_sent_bytes_per_second",
    "system/process_cpu_percent",
    "system/process_memory_bytes",
}
"""What every machine tells; containers may lack counters of disks."""

LASTING = """
    import time
    import autotrack
    autotrack.enable(flush_interval=0.05, system_metrics_interval=0.5)
    with autotrack.run("long"):
        with autotrack.run("short"):
            autotrack.log({"x": 1.0})
        end = time.monotonic() + 3
        while time.monotonic() < end:  # busy, so that there is a load
            with open("file", "ab") as file:
                file.write(bytes(1 << 16))
    with autotrack.run("late"):
        autotrack.log({"x": 1.0})
"""


def test_runs_that_last_are_sampled(store: Place) -> None:
    ended = store.run(LASTING, env=SAMPLED)
    assert ended.returncode == 0, ended.err
    runs = store.runs()
    assert runs["short"].metrics == runs["late"].metrics == {"x": 1.0}
    long = runs["long"]
    assert long.metrics.keys() >= MACHINE
    assert all(name.startswith("system/") for name in long.metrics)
    steps = {tuple(long.points(name).step.tolist()) for name in MACHINE}
    assert len(steps) == 1, "samples are whole"
    assert len(next(iter(steps))) >= 2
    assert next(iter(steps)) == tuple(range(len(next(iter(steps)))))
    for name, summary in long.summaries.items():
        assert summary.min >= 0
        assert not name.endswith("percent") or "process" in name or summary.max <= 100
    assert 0 < long.summaries["system/process_cpu_percent"].max < 150
    assert 1e7 < long.summaries["system/process_memory_bytes"].min < 1e9
    assert long.summaries["system/memory_bytes"].min > long.summaries["system/process_memory_bytes"].min


@pytest.mark.parametrize("option", ["system_metrics=False", "system_metrics_interval=60"])
def test_none_where_they_are_off_or_the_run_is_short(store: Place, option: str) -> None:
    ended = store.run(
        f"""
        import time
        import autotrack
        autotrack.enable(flush_interval=0.05, {option})
        with autotrack.run("r"):
            time.sleep(1.5)
    """,
        env=SAMPLED,
    )
    assert ended.returncode == 0, ended.err
    assert store.only_run().metrics == {}


def test_a_forked_child_samples_its_own_runs_only(store: Place) -> None:
    ended = store.run(
        """
        import os, time
        import autotrack
        autotrack.enable(flush_interval=0.05, system_metrics_interval=0.2)
        with autotrack.run("parent"):
            time.sleep(0.7)
            pid = os.fork()
            if pid == 0:
                autotrack.log({"child": 1.0})
                time.sleep(0.7)
                with autotrack.run("child"):
                    time.sleep(0.9)
                autotrack.flush()
                os._exit(0)
            os.waitpid(pid, 0)
    """,
        env=SAMPLED,
    )
    assert ended.returncode == 0, ended.err
    runs = store.runs()
    assert runs["child"].metrics.keys() >= MACHINE
    points = runs["parent"].points("system/memory_percent")
    assert points.step.tolist() == list(range(len(points))), "counted by one process alone"


def test_sampling_is_no_sign_of_activity(store: Place) -> None:
    """A notebook that rests is idle, however busy the machine is."""
    ended = store.run(
        """
        import sys, time, types
        sys.modules["ipykernel"] = types.ModuleType("ipykernel")
        import autotrack
        from autotrack.recording import recorder
        recorder.IDLE_AFTER = 1.0
        autotrack.enable(flush_interval=0.05, system_metrics_interval=0.1, beat_interval=0.2)
        run = autotrack.run("r")
        run.begin()
        end = time.monotonic() + 60
        while autotrack.runs()[0].state != "idle" and time.monotonic() < end:
            time.sleep(0.1)
        autotrack.flush()
        (found,) = autotrack.runs()
        before = len(found.points("system/cpu_percent"))
        time.sleep(0.5)
        autotrack.flush()
        (found,) = autotrack.runs()
        print(found.state, len(found.points("system/cpu_percent")) == before)
    """,
        env=SAMPLED,
    )
    assert ended.out == "idle True\n", ended.err


class Machine:
    """A recorder of one run that lasts, as a source of samples sees it."""

    def __init__(self) -> None:
        self.options = SimpleNamespace(system_metrics=True, system_metrics_interval=0.0)
        self.samples: list[dict[str, float]] = []

    def sampled(self, segments: Sequence[object], sample: dict[str, float]) -> None:
        self.samples.append(sample)


@pytest.mark.parametrize("broken", ["_machine", "_gpus"])
def test_a_library_that_is_broken_costs_its_own_metrics_only(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    asked = []

    def fail() -> NoReturn:
        asked.append(broken)
        raise AttributeError("module 'psutil' has no attribute 'Process'")

    for group in ("_machine", "_gpus"):
        monkeypatch.setattr(system, group, lambda: [lambda: {"load": 1.0}])
    monkeypatch.setattr(system, broken, fail)
    machine = Machine()
    metrics = system.SystemMetrics(machine)  # type: ignore[arg-type]
    segment = SimpleNamespace(now=lambda: 10**9, number=0)
    for _ in range(3):
        metrics.tick([segment])  # type: ignore[list-item]
    assert machine.samples == [{"load": 1.0}] * 2
    assert asked == [broken]
