"""Statistics of each layer's gradients and weights, for who asks for them: they take time in the step.

All of it is computed where the tensors are, and read in the flusher: no device is waited for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...recording.devices import ManyOnDevice
from .optimizers import parameters

if TYPE_CHECKING:
    from ...recording.run import ActiveRun

BINS = 30
"""Of a histogram, all equally wide, between the smallest and the largest value."""
FOLDER = "statistics"
"""Where the histograms of each step are, `statistics/00000100.json` for instance."""
FIRST_NON_FINITE = "first_non_finite"
"""The param that says what was the first to have NaN or infinity in it, and at which step."""

Layer = tuple[str, str]
"""Its name, and "gradient" or "weight"."""
POINTS = {"mean": 0, "std": 1, "non_finite": 4}
"""Each layer's points, by their place among its numbers."""
LOW, HIGH, COUNTS = 2, 3, 5
"""The places of its histogram, whose counts are the last."""
WIDTH = COUNTS + BINS


class Statistics:
    """Of one optimizer; its parameters are called as the model calls them."""

    def __init__(self, model: Any) -> None:
        named = model.named_parameters() if model is not None else ()
        self._names = {id(parameter): name for name, parameter in named}
        self._is_finite = True

    def record(self, run: ActiveRun, optimizer: Any, prefix: str, step: int, now: int) -> None:
        """A step is over; its gradients are still there. now: perf_counter_ns."""
        found = self._computed(optimizer)
        row = {
            f"{prefix}{kind}/{layer}/{what}": many[start + place]
            for (layer, kind), many, start in found
            for what, place in POINTS.items()
        }
        run.log_row(row | _memory(optimizer), step, now)
        if not found:
            return
        run.later(lambda _: run.log_table(_table(found), f"{FOLDER}/{prefix}{step:08}.json"))
        if self._is_finite:
            run.later(lambda _: self._look_for_non_finite(run, row, step))

    def _computed(self, optimizer: Any) -> list[tuple[Layer, ManyOnDevice, int]]:
        """Each tensor's numbers: where they are sent together, and the first one's place there."""
        by_device: dict[Any, tuple[list[Layer], list[Any]]] = {}
        for layer, tensor in self._tensors(optimizer):
            layers, numbers = by_device.setdefault(tensor.device, ([], []))
            layers.append(layer)
            numbers.append(_numbers(tensor))
        found = []
        for layers, numbers in by_device.values():
            many = ManyOnDevice(sys.modules["torch"].cat(numbers))
            found += [(layer, many, number * WIDTH) for number, layer in enumerate(layers)]
        return found

    def _tensors(self, optimizer: Any) -> Iterator[tuple[Layer, Any]]:
        for number, parameter in enumerate(parameters(optimizer)):
            layer = self._names.get(id(parameter), f"parameter{number}")
            for kind, tensor in (("gradient", parameter.grad), ("weight", parameter)):
                if tensor is not None and _is_usable(tensor):
                    yield (layer, kind), tensor.detach().float()

    def _look_for_non_finite(self, run: ActiveRun, row: dict[str, float], step: int) -> None:
        for name, value in row.items():
            what, _, statistic = name.rpartition("/")
            if statistic == "non_finite" and float(value) and self._is_finite:
                self._is_finite = False
                run.log_params({FIRST_NON_FINITE: f"{what} at step {step}"})


def _is_usable(tensor: Any) -> bool:
    """What is sharded over ranks has no statistics without them."""
    is_whole = not tensor.is_sparse and not hasattr(tensor, "placements")
    return bool(is_whole and tensor.numel() and tensor.is_floating_point())


def _numbers(tensor: Any) -> Any:
    """All that is told of it, `WIDTH` long; float64 where there is one, for counts beyond float32."""
    usable = tensor.nan_to_num(0.0, 0.0, 0.0)
    low, high = usable.amin(), usable.amax()
    width = (high - low).clamp(min=1e-38)
    bins = ((usable - low) / width * BINS).long().clamp(0, BINS - 1).flatten()
    counts = bins.new_zeros(BINS).scatter_add_(0, bins, bins.new_ones(()).expand_as(bins))
    non_finite = tensor.numel() - tensor.isfinite().sum()
    torch = sys.modules["torch"]
    wide = torch.float32 if tensor.device.type == "mps" else torch.float64
    numbers = torch.stack((tensor.mean(), tensor.std(correction=0), low, high))
    return torch.cat((numbers.to(wide), non_finite[None].to(wide), counts.to(wide)))


def _table(found: list[tuple[Layer, ManyOnDevice, int]]) -> dict[str, list[Any]]:
    """In the flusher."""
    rows = [many.values()[start : start + WIDTH] for _, many, start in found]
    return {
        "layer": [layer for (layer, _), _, _ in found],
        "of": [kind for (_, kind), _, _ in found],
        "low": [row[LOW] for row in rows],
        "high": [row[HIGH] for row in rows],
        **{f"bin{number}": [row[COUNTS + number] for row in rows] for number in range(BINS)},
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
