"""Statistics of each layer's gradients and weights, for who asks for them: they take time in the step.

All of it is computed where the tensors are, and read in the flusher: no device is waited for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...recording import values
from .optimizers import parameters

if TYPE_CHECKING:
    from ...recording.run import ActiveRun

BINS = 30
"""Of a histogram, all equally wide, between the smallest and the largest value."""
FOLDER = "statistics"
"""Where the histograms of each step are, `statistics/00000100.json` for instance."""
FIRST_NON_FINITE = "first_non_finite"
"""The param that says what was the first to have NaN or infinity in it, and at which step."""

Histogram = tuple[str, str, Any, Any, Any]
"""Layer, "gradient" or "weight", smallest and largest value, counts: tensors."""


class Statistics:
    """Of one optimizer; its parameters are called as the model calls them."""

    def __init__(self, model: Any) -> None:
        named = model.named_parameters() if model is not None else ()
        self._names = {id(parameter): name for name, parameter in named}
        self._is_finite = True

    def record(self, run: ActiveRun, optimizer: Any, prefix: str, step: int, now: int) -> None:
        """A step is over; its gradients are still there. now: perf_counter_ns."""
        row: dict[str, float] = {}
        histograms: list[Histogram] = []
        for layer, kind, tensor in self._tensors(optimizer):
            name = f"{prefix}{kind}/{layer}"
            usable = tensor.nan_to_num(0.0, 0.0, 0.0)
            found = {"mean": tensor.mean(), "std": tensor.std(correction=0)}
            found["non_finite"] = tensor.numel() - tensor.isfinite().sum()
            row |= {f"{name}/{what}": values.number(what, value) for what, value in found.items()}
            histograms.append((layer, kind, *_histogram(usable)))
        run.log_row(row | _memory(optimizer), step, now)
        run.later(lambda _: run.log_table(_table(histograms), f"{FOLDER}/{prefix}{step:08}.json"))
        if self._is_finite:
            run.later(lambda _: self._look_for_non_finite(run, row, step))

    def _tensors(self, optimizer: Any) -> Iterator[tuple[str, str, Any]]:
        for number, parameter in enumerate(parameters(optimizer)):
            layer = self._names.get(id(parameter), f"parameter{number}")
            for kind, tensor in (("gradient", parameter.grad), ("weight", parameter)):
                if tensor is not None and _is_usable(tensor):
                    yield layer, kind, tensor.detach().float()

    def _look_for_non_finite(self, run: ActiveRun, row: dict[str, float], step: int) -> None:
        for name, value in row.items():
            what, _, statistic = name.rpartition("/")
            if statistic == "non_finite" and float(value) and self._is_finite:
                self._is_finite = False
                run.log_params({FIRST_NON_FINITE: f"{what} at step {step}"})


def _is_usable(tensor: Any) -> bool:
    return bool(tensor.numel() and tensor.is_floating_point() and not tensor.is_sparse)


def _histogram(tensor: Any) -> tuple[Any, Any, Any]:
    low, high = tensor.amin(), tensor.amax()
    width = (high - low).clamp(min=1e-38)
    bins = ((tensor - low) / width * BINS).long().clamp(0, BINS - 1).flatten()
    counts = tensor.new_zeros(BINS).scatter_add_(0, bins, tensor.new_ones(bins.shape))
    return low, high, counts


def _table(histograms: list[Histogram]) -> dict[str, list[Any]]:
    """In the flusher."""
    layers, kinds, lows, highs, counts = zip(*histograms, strict=True)
    return {
        "layer": list(layers),
        "of": list(kinds),
        "low": [float(low) for low in lows],
        "high": [float(high) for high in highs],
        **{f"bin{number}": [float(each[number]) for each in counts] for number in range(BINS)},
    }


def _memory(optimizer: Any) -> dict[str, float]:
    """What torch has allocated on the GPU; the counter is the host's."""
    device = next(parameters(optimizer)).device
    if device.type != "cuda":
        return {}
    cuda = sys.modules["torch"].cuda
    return {
        "gpu_memory_allocated_bytes": float(cuda.memory_allocated(device)),
        "gpu_memory_peak_bytes": float(cuda.max_memory_allocated(device)),
    }
