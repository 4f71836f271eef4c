"""Statistics of each layer's gradients and weights, for who asks for them: they take time in the step.

All of it is computed where the tensors are, and read in the flusher: no device is waited for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .devices import ManyOnDevice

if TYPE_CHECKING:
    from .run import ActiveRun

BINS = 30
"""Of a histogram, all equally wide, between the smallest and the largest value."""
FOLDER = "statistics"
"""Where the histograms of each step are, `statistics/00000100.json` for instance."""
FIRST_NON_FINITE = "first_non_finite"
"""The param that says what was the first to have NaN or infinity in it, and at which step."""

MOST_LOOKS = 5
"""For the first of them, at losses that are not finite."""
NON_FINITE = "/non_finite"
"""Ends the name of how many of a tensor's values are not finite."""
FLOATS = ("mean", "std", "low", "high")
"""Of each tensor; the last two are the ends of its histogram."""
COUNTS = 1 + BINS
"""How many of its values are not finite, then how many lie in each bin."""


class Found(NamedTuple):
    """What is told of a tensor. kind: "gradient" or "weight"."""

    layer: str
    kind: str
    floats: list[float]
    counts: list[float]


class OfDevice(NamedTuple):
    """What is told of all tensors of a device, on its way from there: `FLOATS` and `COUNTS` of each."""

    tensors: list[tuple[str, str]]
    floats: ManyOnDevice
    counts: ManyOnDevice

    def points(self) -> Iterator[tuple[str, float]]:
        """By name; floats to whoever asks them."""
        for number, (layer, kind) in enumerate(self.tensors):
            name = f"{kind}/{layer}"
            for what in ("mean", "std"):
                yield f"{name}/{what}", self.floats[number * len(FLOATS) + FLOATS.index(what)]
            yield f"{name}{NON_FINITE}", self.counts[number * COUNTS]

    def found(self) -> Iterator[Found]:
        """Waits for it."""
        floats, counts = self.floats.values(), self.counts.values()
        for number, (layer, kind) in enumerate(self.tensors):
            first, last = number * len(FLOATS), number * COUNTS
            yield Found(layer, kind, floats[first : first + len(FLOATS)], counts[last : last + COUNTS])


class Statistics:
    """Of the parameters that a torch model is trained by, which are called as the model calls them."""

    def __init__(self, model: Any) -> None:
        named = model.named_parameters() if model is not None else ()
        self._names = {id(parameter): name for name, parameter in named}
        self._is_finite = True
        self._looks = 0

    def record(self, run: ActiveRun, trained: Sequence[Any], prefix: str, step: int, now: int) -> None:
        """A step of these parameters is over; its gradients are still there. now: perf_counter_ns."""
        sent = self._sent(trained)
        row = {f"{prefix}{name}": value for each in sent for name, value in each.points()}
        run.log_row(row | _memory(trained), step, now)
        if not sent:
            return
        run.later(lambda _: run.log_table(_table(sent), f"{FOLDER}/{prefix}{step:08}.json"))
        if self._is_finite:  # the weights are those after the step: bad gradients have spoilt them
            run.later(lambda _: self._tell_first(run, sent, prefix, step, ("gradient", "weight")))

    def look(self, run: ActiveRun, trained: Sequence[Any], prefix: str, step: int) -> None:
        """The loss is not finite: here is what it was made of, before the step spoils the rest.

        All that may be finite yet, where the loss has overflown: so a few times.
        """
        if self._is_finite and self._looks < MOST_LOOKS:
            self._looks += 1
            sent = self._sent(trained)
            run.later(lambda _: self._tell_first(run, sent, prefix, step, ("weight", "gradient")))

    def _sent(self, trained: Sequence[Any]) -> list[OfDevice]:
        by_device: dict[Any, list[tuple[tuple[str, str], Any, Any]]] = {}
        for layer, kind, tensor in self._tensors(trained):
            by_device.setdefault(tensor.device, []).append(((layer, kind), *_numbers(tensor)))
        cat = sys.modules["torch"].cat
        return [
            OfDevice(list(tensors), ManyOnDevice(cat(floats)), ManyOnDevice(cat(counts)))
            for tensors, floats, counts in (zip(*some, strict=True) for some in by_device.values())
        ]

    def _tensors(self, trained: Sequence[Any]) -> Iterator[tuple[str, str, Any]]:
        for number, parameter in enumerate(trained):
            layer = self._names.get(id(parameter), f"parameter{number}")
            for kind, tensor in (("gradient", parameter.grad), ("weight", parameter)):
                if tensor is not None and _is_usable(tensor):
                    yield layer, kind, tensor.detach().float()

    def _tell_first(
        self, run: ActiveRun, sent: list[OfDevice], prefix: str, step: int, kinds: tuple[str, ...]
    ) -> None:
        """In the flusher. Of a kind it is the last: what is not finite spoils the gradients of all before."""
        if not self._is_finite:
            return
        points = [point for each in sent for point in each.points()]
        bad = [name for name, value in points if name.endswith(NON_FINITE) and float(value) > 0]
        ordered = [name for kind in kinds for name in reversed(bad) if name.startswith(f"{kind}/")]
        if ordered:
            self._is_finite = False
            what = ordered[0].removesuffix(NON_FINITE)
            run.log_params({FIRST_NON_FINITE: f"{prefix}{what} at step {step}"})


def _is_usable(tensor: Any) -> bool:
    """What is sharded over ranks has no statistics without them."""
    is_whole = not tensor.is_sparse and not hasattr(tensor, "placements")
    return bool(is_whole and tensor.numel() and tensor.is_floating_point())


def _numbers(tensor: Any) -> tuple[Any, Any]:
    """`FLOATS` and `COUNTS`."""
    usable = tensor.nan_to_num(0.0, 0.0, 0.0)
    low, high = usable.amin(), usable.amax()
    width = (high - low).clamp(min=1e-38)
    bins = ((usable - low) / width * BINS).long().clamp(0, BINS - 1).flatten()
    in_bins = bins.new_zeros(BINS).scatter_add_(0, bins, bins.new_ones(()).expand_as(bins))
    non_finite = tensor.numel() - tensor.isfinite().sum()
    torch = sys.modules["torch"]
    floats = torch.stack((tensor.mean(), tensor.std(correction=0), low, high))
    return floats, torch.cat((non_finite[None], in_bins))


def _table(sent: list[OfDevice]) -> dict[str, list[Any]]:
    """In the flusher."""
    found = [each for of_device in sent for each in of_device.found()]
    return {
        "layer": [each.layer for each in found],
        "of": [each.kind for each in found],
        "low": [each.floats[FLOATS.index("low")] for each in found],
        "high": [each.floats[FLOATS.index("high")] for each in found],
        **{f"bin{number}": [each.counts[1 + number] for each in found] for number in range(BINS)},
    }


def _memory(trained: Sequence[Any]) -> dict[str, float]:
    """What torch has allocated on the GPU; the counter is the host's."""
    if not trained or (device := trained[0].device).type != "cuda":
        return {}
    cuda = sys.modules["torch"].cuda
    return {
        "gpu_memory_allocated_bytes": float(cuda.memory_allocated(device)),
        "gpu_memory_peak_bytes": float(cuda.max_memory_allocated(device)),
    }
