"""A step like the one before it, as nearly all are: it is recorded without the questions of a first one.

Between two steps of a training all that is ours leaves the processor's caches, so that each function which
is called here takes one or two microseconds. `Loops.step` asks its questions in about twenty. Where the
answers are the usual ones a `Steady` keeps them, and asks in one function whether they still hold.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...recording.run import ActiveRun
    from . import TorchOptions
    from .gathering import Gathering
    from .optimizers import Stepper


class Steady:
    """The first optimizer of a loop, each step of which has one loss, of one name, that is at hand."""

    __slots__ = ("loop", "loss", "optimizer", "options", "rates", "run", "stepper", "users_names")

    def __init__(self, stepper: Stepper, loss: str, options: TorchOptions) -> None:
        self.stepper = stepper
        self.optimizer = stepper.optimizer
        self.rates = stepper.rates
        self.loop = stepper.loop
        self.run = stepper.loop.run
        self.users_names = stepper.loop.users_names
        self.loss = loss
        self.options = options

    def step(
        self, optimizer: Any, gathering: Gathering, home: ActiveRun | None, options: TorchOptions
    ) -> bool:
        """Record a step that was just made, as `Loops.step` does. False, with nothing done, if it is unusual.

        optimizer: what made it. home: the user's run that is current. options: of now.
        """
        now = perf_counter_ns()
        loop, run, stepper = self.loop, self.run, self.stepper
        losses, groups, since = gathering.losses, optimizer.param_groups, gathering.since
        passage, other = gathering.passage, gathering.other
        epoch = passage.epoch if passage is not None else None
        if (
            self.optimizer() is not optimizer
            or self.options is not options
            or loop.home is not home
            or loop.first is not stepper
            or run.ended
            or run.inherited
            or since is None
            or len(losses) != 1
            or len(groups) != len(self.rates)
            or (passage is not None and epoch is None)
            or (other is not None and not other.is_over)
            or getattr(optimizer, "found_inf", None) is not None
        ):
            return False
        row = gathering.noted.copy()
        loss, value = losses[0]
        if loss != self.loss or loss in row or type(value) is not float:
            return False
        row[loss] = value
        for name, group in zip(self.rates, groups, strict=False):
            rate = group.get("lr")
            if type(rate) is not float:
                return False
            row[name] = rate
        if passage is not None and epoch is not None:
            row["epoch"] = float(epoch)
            row["data_seconds"] = passage.waited / 1e9 if passage.steps == gathering.steps else 0.0
        row["step_seconds"] = (now - since) / 1e9
        try:
            if stepper.steps % options.every == 0:
                if self.users_names and not self.users_names.isdisjoint(row):
                    loop.log(row, stepper.steps, now)
                else:  # what that comes to
                    run.log_row(row, stepper.steps, now)
            if loop.is_ours:
                run.activity.until = now
        finally:
            stepper.steps += 1
            gathering.steps += 1
            stepper.at = gathering.since = gathering.stepped_at = now
            losses.clear()
            gathering.noted.clear()
        return True
