"""The load of the machine and of this process, sampled while runs are open."""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import semconv as sc
from .companion import Companion

if TYPE_CHECKING:
    from .recorder import Recorder
    from .segments import Segment

# psutil and pynvml are imported inside the functions: only for runs that last.

log = logging.getLogger("autotrack")

WARM_UP = 1.0
"""Seconds that a run must have lasted before anything is imported for it."""

Sample = dict[str, float]
Source = Callable[[], Sample]
"""Gives one part of a sample; rates are those since it was last asked."""


class SystemMetrics(Companion):
    """Adds a sample to each run that has been open for an interval: a short one gets no noise.

    It samples in the flusher, which takes less than a millisecond (`bench/system_sample.py`).
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._sources: list[Source] | None = None
        self._last = -float("inf")

    def tick(self, segments: Sequence[Segment]) -> None:
        options = self._recorder.options
        interval = options.system_metrics_interval
        now = time.monotonic()
        oldest = max(map(_age, segments), default=0.0)
        if not options.system_metrics or now - self._last < interval or oldest < min(WARM_UP, interval):
            return
        self._last = now
        if self._sources is None:
            self._sources = [*_made(_machine), *_made(_gpus)]
            self._sample(self._sources)  # rates count from here
            return
        sample = self._sample(self._sources)
        lasting = [segment for segment in segments if _age(segment) >= interval]
        if lasting and sample:
            self._recorder.sampled(lasting, sample)

    def forked(self) -> None:
        self._sources = None  # their handles are the parent's

    def _sample(self, sources: list[Source]) -> Sample:
        found: Sample = {}
        for source in tuple(sources):
            try:
                found |= source()
            except Exception as error:  # noqa: BLE001  a counter that containers lack, a card that fell off
                log.debug("autotrack: a system metric is no longer sampled: %r", error)
                sources.remove(source)
        return found


def _age(segment: Segment) -> float:
    return (segment.now() - segment.number) / 1e9


def _made(make: Callable[[], list[Source]]) -> list[Source]:
    """None if their library is missing, broken, or without a driver."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001  the others are sampled all the same
        log.debug("autotrack: some system metrics are not sampled: %r", error)
        return []


def _machine() -> list[Source]:
    import psutil

    process = psutil.Process()
    read_disk = functools.partial(psutil.disk_io_counters, nowrap=False)  # nowrap takes a lock
    read_network = functools.partial(psutil.net_io_counters, nowrap=False)

    def memory() -> Sample:
        found = psutil.virtual_memory()
        return {sc.SYSTEM_MEMORY: found.total - found.available, sc.SYSTEM_MEMORY_PERCENT: found.percent}

    return [
        lambda: {sc.SYSTEM_CPU_PERCENT: psutil.cpu_percent(None)},
        memory,
        lambda: {sc.SYSTEM_DISK_PERCENT: psutil.disk_usage(os.getcwd()).percent},
        _Rates(read_disk, {"read_bytes": sc.SYSTEM_DISK_READ, "write_bytes": sc.SYSTEM_DISK_WRITTEN}),
        _Rates(
            read_network, {"bytes_recv": sc.SYSTEM_NETWORK_RECEIVED, "bytes_sent": sc.SYSTEM_NETWORK_SENT}
        ),
        lambda: {sc.SYSTEM_PROCESS_CPU_PERCENT: process.cpu_percent(None)},
        lambda: {sc.SYSTEM_PROCESS_MEMORY: process.memory_info().rss},
    ]


class _Rates:
    """Counters of the machine as amounts a second, by the names they get; nothing the first time."""

    def __init__(self, read: Callable[[], Any], names: dict[str, str]) -> None:
        self._read = read
        self._names = names
        self._before: tuple[float, Any] | None = None

    def __call__(self) -> Sample:
        now, counters = time.monotonic(), self._read()
        before, self._before = self._before, (now, counters)
        if before is None:
            return {}
        then, earlier = before
        return {
            name: max(0, getattr(counters, field) - getattr(earlier, field)) / (now - then)
            for field, name in self._names.items()
        }


def _gpus() -> list[Source]:
    """A source for each value that each of NVIDIA's cards tells."""
    if sys.platform == "linux" and not any(map(os.path.exists, ("/dev/nvidiactl", "/dev/dxg"))):
        return []  # without importing anything
    import pynvml

    pynvml.nvmlInit()
    cards = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    return [source for index, card in enumerate(cards) for source in _card(f"{sc.SYSTEM_GPU}{index}_", card)]


def _card(prefix: str, card: Any) -> list[Source]:
    import pynvml

    def memory() -> Sample:
        found = pynvml.nvmlDeviceGetMemoryInfo(card)
        return {
            prefix + sc.GPU_MEMORY: found.used,
            prefix + sc.GPU_MEMORY_PERCENT: 100 * found.used / found.total,
        }

    def temperature() -> Sample:
        return {
            prefix + sc.GPU_TEMPERATURE: pynvml.nvmlDeviceGetTemperature(card, pynvml.NVML_TEMPERATURE_GPU)
        }

    return [
        lambda: {prefix + sc.GPU_PERCENT: pynvml.nvmlDeviceGetUtilizationRates(card).gpu},
        memory,
        temperature,
        lambda: {prefix + sc.GPU_POWER: pynvml.nvmlDeviceGetPowerUsage(card) / 1000},
    ]
