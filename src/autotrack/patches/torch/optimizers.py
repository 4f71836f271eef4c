"""An optimizer in its loop: how many steps it has made, and what it is set to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import ref

from ...recording import values

if TYPE_CHECKING:
    from ...recording.layers import Statistics
    from .loop import Loop

NOT_SETTINGS = {
    *("params", "param_names", "initial_lr"),
    *("capturable", "differentiable", "foreach", "fused"),
}
"""Entries of a parameter group that are no hyper-parameters: a scheduler's, and how the same is computed."""
NOT_SCHEDULED = {"optimizer", "last_epoch", "base_lrs", "verbose", "best", "num_bad_epochs"}
"""Attributes of a scheduler that say how far it is; all others that are plain are its settings."""

SKIPPED = "skipped_step"
"""The metric that is 1 where a GradScaler had a step left out, as gradients were not finite."""


class Stepper:
    """One optimizer of a loop.

    prefix: stands before its names, "" for the loop's first. steps: those it has made. at: perf_counter_ns
    of the last one. optimizer: itself, weakly; key: its id.
    """

    __slots__ = ("at", "key", "loop", "optimizer", "prefix", "rates", "statistics", "steps")

    key: int
    optimizer: ref[Any]
    statistics: Statistics

    def __init__(self, loop: Loop, prefix: str) -> None:
        self.loop = loop
        self.prefix = prefix
        self.steps = self.at = 0
        self.rates: list[str] = []

    def goes_on(self, optimizer: Any, home: Any) -> bool:
        """Whether a step of the optimizer is one of this, where `home` is the run that is current."""
        loop = self.loop
        is_here = self.optimizer() is optimizer and loop.home is home
        return is_here and not loop.run.ended and not loop.run.inherited

    def add_rates(self, row: dict[str, float], optimizer: Any) -> None:
        """The learning rate of each group, as the step had it."""
        groups = optimizer.param_groups
        if len(self.rates) < len(groups):
            self.rates = [
                f"{self.prefix}lr" + f"/group{number}" * (number > 0) for number in range(len(groups))
            ]
        for name, group in zip(self.rates, groups, strict=False):
            rate = group.get("lr")
            if type(rate) is float:
                row[name] = rate
            elif isinstance(rate, (int, float)) or hasattr(rate, "item"):
                row[name] = values.number(name, rate)


def settings(optimizer: Any) -> dict[str, Any]:
    """Its class and the hyper-parameters of each group; those of later groups where they differ."""
    groups = optimizer.param_groups
    first = dict(_hyper_parameters(groups[0])) if groups else {}
    found: dict[str, Any] = {"optimizer": type(optimizer).__name__, **first}
    for number in range(1, len(groups)):
        found |= group_settings(optimizer, number)
    return found


def group_settings(optimizer: Any, number: int) -> dict[str, Any]:
    """The hyper-parameters of a group where they differ from the first's."""
    own = differing(dict(_hyper_parameters(optimizer.param_groups[number])), optimizer.param_groups[0])
    return {f"group{number}.{name}": value for name, value in own.items()}


def differing(found: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """The settings that are not the same in others, by their text: a tensor is equal to nothing."""
    return {k: v for k, v in found.items() if k not in known or str(known[k]) != str(v)}


def scheduler_settings(scheduler: Any, name: str = "scheduler") -> dict[str, Any]:
    """Its class and what it was made with, as far as its plain attributes tell; the same of its parts."""
    found: dict[str, Any] = {name: type(scheduler).__name__}
    for attribute, value in vars(scheduler).items():
        if attribute == "_milestones":
            found[f"{name}.milestones"] = value
        elif attribute == "_schedulers":
            for number, part in enumerate(value):
                found |= scheduler_settings(part, f"{name}.{number}")
        elif not attribute.startswith("_") and attribute not in NOT_SCHEDULED and _is_plain(value):
            found[f"{name}.{attribute}"] = value
    return found


def parameters(optimizer: Any) -> Iterator[Any]:
    """The tensors that it optimizes."""
    for group in optimizer.param_groups:
        yield from group["params"]


def _hyper_parameters(group: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """None means the optimizer's own choice, and a tensor's value is on its device."""
    for name, value in group.items():
        if name not in NOT_SETTINGS and value is not None and getattr(value, "is_cpu", True):
            yield name, value


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) <= 100 and all(map(_is_plain, value))
    return isinstance(value, (bool, int, float, str))
