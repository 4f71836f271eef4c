"""What a SummaryWriter is told is told to the run as well."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ...recording import values

if TYPE_CHECKING:
    from ...integration import Seen
    from ...recording.run import ActiveRun

MOST_WAITING = 10_000
"""Calls before there is a run that are remembered; the later ones."""


class Told(NamedTuple):
    """By one call: metrics at a step, or params."""

    metrics: dict[str, Any]
    step: Any
    params: dict[str, Any]

    def final(self) -> Told:
        """The same where nothing changes any more: a tensor may, before there is a run."""
        metrics = {}
        for name, value in self.metrics.items():
            with suppress(values.Refused):
                metrics[name] = values.number(name, value)
        return Told(metrics, self.step, values.scalars(self.params))

    def tell(self, run: ActiveRun) -> None:
        """To its run."""
        if self.metrics:
            run.log(self.metrics, self.step)
        run.log_params(self.params)


class Writers:
    """What they are told before a training's first step waits for its run."""

    def __init__(self) -> None:
        self.waiting: deque[Told] = deque(maxlen=MOST_WAITING)

    def tell(self, run: ActiveRun | None, told: Told) -> None:
        """run: the one that `autotrack.log` would log to, if there is one."""
        if run is None:
            self.waiting.append(told.final())
        else:
            self.tell_waiting(run)
            told.tell(run)

    def tell_waiting(self, run: ActiveRun | None) -> None:
        """A run has begun, unless the step that was made is not recorded."""
        while run is not None and self.waiting:
            self.waiting.popleft().tell(run)


def told_scalar(seen: Seen) -> Told:
    """`add_scalar(tag, value, step)`."""
    given = _arguments(seen, "tag", "scalar_value", "global_step")
    return Told({given["tag"]: given["scalar_value"]}, given.get("global_step"), {})


def told_scalars(seen: Seen) -> Told:
    """`add_scalars(tag, {name: value}, step)`."""
    given = _arguments(seen, "main_tag", "tag_scalar_dict", "global_step")
    metrics = {f"{given['main_tag']}/{name}": value for name, value in given["tag_scalar_dict"].items()}
    return Told(metrics, given.get("global_step"), {})


def told_hparams(seen: Seen) -> Told:
    """`add_hparams(settings, results)`, which adds the results as scalars itself."""
    return Told({}, None, dict(_arguments(seen, "hparam_dict")["hparam_dict"]))


def _arguments(seen: Seen, *names: str) -> dict[str, Any]:
    return {**dict(zip(names, seen.args[1:], strict=False)), **seen.kwargs}
