"""Loops: which optimizers belong together, and to which run.

Optimizers that were built before a run's first step belong to it, as a GAN's two do; so do those that
share parameters with it. A later one over other parameters is another training: it ends the run before
it. Nothing is set on the user's objects; all tables here hold them weakly.
"""

from __future__ import annotations

from itertools import count
from math import isfinite
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

from ...recording.devices import is_capturing
from ...recording.naming import name_of
from ...recording.weak import Table
from . import modules
from .callers import users_frame
from .loop import Loop
from .optimizers import Stepper, parameters, scheduler_settings, settings
from .statistics import Statistics

if TYPE_CHECKING:
    from ...integration import Seen, TrainingRuns
    from . import TorchOptions
    from .gathering import Gathering
    from .loaders import Pass


class Built(NamedTuple):
    """When an optimizer was built, in the order of all events, and its model, weakly."""

    order: int
    model: Any


class Loops:
    """All loops of the process; the one that a thread is in stands in its `Gathering`."""

    def __init__(self) -> None:
        self._events = count()
        self._built: Table[Built] = Table()
        self._schedulers: Table[dict[str, Any]] = Table()
        self._steppers: Table[Stepper] = Table(gone=lambda stepper: stepper.loop.lost_an_optimizer())

    # --- told by the hooks -----------------------------------------------------------------------

    def built(self, optimizer: Any, gathering: Gathering) -> None:
        """An optimizer was built, or copied; one that is given back its state is known already."""
        if self._built.get(optimizer) is not None or self._steppers.get(optimizer) is not None:
            return
        gathering.losses.clear()  # of no step's: gradients were asked for
        ids = {id(parameter) for parameter in parameters(optimizer)}
        model = modules.model_of(ids, users_frame())
        known = ref(model) if model is not None else None  # it may be false
        self._built.set(optimizer, Built(next(self._events), known))

    def scheduled(self, scheduler: Any) -> None:
        """A scheduler was built."""
        optimizer = scheduler.optimizer
        found = scheduler_settings(scheduler)
        self._schedulers.set(optimizer, found)
        stepper = self._steppers.get(optimizer)
        if stepper is not None:
            stepper.loop.run.log_params(_prefixed(found, stepper.prefix))

    def lost(self, gathering: Gathering) -> None:
        """`backward()` was called, the step is not made: if the loss is not finite, the cause is looked for.

        Of a loss on an accelerator the last value that has come is known: it is about an earlier step.
        """
        loop = gathering.loop
        if loop is None or not gathering.losses:
            return
        name, value = gathering.losses[-1]
        if type(value) is not float:
            value = loop.run.last_values.get(name, 0.0)
        if isfinite(value):
            return
        for optimizer, stepper in self._steppers.items():
            parameter = next(parameters(optimizer), None)
            if stepper.loop is loop and parameter is not None and not is_capturing(parameter):
                stepper.statistics.look(loop.run, optimizer, stepper.prefix, stepper.steps)

    def step(self, optimizer: Any, gathering: Gathering, runs: TrainingRuns, options: TorchOptions) -> None:
        """An optimizer has made a step; none if a CUDA graph is captured, which only notes it."""
        parameter = next(parameters(optimizer), None)
        if parameter is not None and is_capturing(parameter):
            gathering.clear()
            return
        now = perf_counter_ns()
        stepper = None
        try:
            stepper = self._stepper(optimizer, gathering, runs)
            if stepper is None:
                return
            loop = stepper.loop
            if stepper.steps % options.every == 0:
                loop.record(stepper, optimizer, gathering, now)
            if options.statistics_every and stepper.steps % options.statistics_every == 0:
                stepper.statistics.record(loop.run, optimizer, stepper.prefix, stepper.steps, now)
            if stepper is loop.first:
                gathering.since = now
            if loop.is_ours:
                loop.run.activity.until = now
        finally:
            if stepper is not None:
                stepper.steps += 1
            gathering.steps += 1
            gathering.clear()

    def step_unseen(self, gathering: Gathering, runs: TrainingRuns, options: TorchOptions) -> None:
        """Some optimizer has made a step in compiled code: the one that was built last, as far as we know."""
        built = {known.order: optimizer for optimizer, known in self._built.items()}
        if built and gathering.losses:
            self.step(built[max(built)], gathering, runs, options)

    def skipped(self, seen: Seen, gathering: Gathering, runs: TrainingRuns) -> None:
        """A GradScaler was asked for a step; if what was gathered for it is still there, it made none."""
        optimizer = seen.args[1] if len(seen.args) > 1 else seen.kwargs["optimizer"]
        stepper = self._stepper(optimizer, gathering, runs) if gathering.losses else None
        if stepper is not None:
            now = perf_counter_ns()
            row = stepper.loop.losses(stepper, gathering, now)
            row[f"{stepper.prefix}skipped_step"] = 1.0
            stepper.loop.log(row, stepper.steps, now)
            gathering.clear()

    def passed(self, passage: Pass, gathering: Gathering) -> None:
        """A pass over the data is over: an epoch, or an evaluation."""
        is_evaluation = gathering.passed(passage)
        loop = gathering.loop
        if loop is None or loop.first is None or loop.run.ended:
            return
        seconds = passage.seconds()
        row = {}
        if is_evaluation:
            row["eval_seconds"] = seconds
        elif passage.epoch is not None:
            row["epoch_seconds"] = seconds
            if passage.samples:
                row["samples_per_second"] = passage.samples / max(seconds, 1e-9)
        loop.log(row, max(loop.first.steps - 1, 0), perf_counter_ns())

    # --- which loop ------------------------------------------------------------------------------

    def _stepper(self, optimizer: Any, gathering: Gathering, runs: TrainingRuns) -> Stepper | None:
        """The optimizer in the loop that it makes its step in; None where that is not recorded."""
        stepper = self._steppers.get(optimizer)
        if stepper is None or stepper.loop.home is not runs.home() or not stepper.loop.is_open(runs):
            stepper = self._begin(optimizer, gathering, runs)
        if stepper is not None and gathering.loop is not stepper.loop:
            gathering.loop = stepper.loop
            runs.go_on(stepper.loop.run)
        return stepper

    def _begin(self, optimizer: Any, gathering: Gathering, runs: TrainingRuns) -> Stepper | None:
        """The first step of an optimizer: it joins a loop, or begins one."""
        frame = users_frame()
        known = self._built.get(optimizer)
        model = known.model() if known is not None and known.model is not None else None
        if model is None:
            model = modules.model_of({id(p) for p in parameters(optimizer)}, frame)
        loop = self._loop_of(optimizer, known, gathering, runs)
        if loop is None:
            if gathering.loop is not None:
                gathering.loop.end()
            found = runs.run_of_loop(modules.name_of_its_own(model))
            if found is None:
                return None
            loop = Loop(*found, next(self._events), runs.home())
            stepper = loop.add(optimizer, "")
        elif known is not None and known.order > loop.began:
            stepper = loop.succeed(optimizer)
        else:
            stepper = loop.add(optimizer, loop.new_prefix(name_of(optimizer, frame) or "optimizer"))
        stepper.statistics = Statistics(model)
        self._steppers.set(optimizer, stepper)
        self._describe(stepper, optimizer, model, gathering)
        return stepper

    def _loop_of(
        self, optimizer: Any, built: Built | None, gathering: Gathering, runs: TrainingRuns
    ) -> Loop | None:
        """The loop that an optimizer joins at its first step."""
        here = gathering.loop
        of_all = (stepper.loop for stepper in self._steppers.values())
        for loop in {*filter(None, (here,)), *of_all}:
            if loop.goes_on(runs) and loop.shares_parameters(optimizer):
                return loop
        if here is None or not here.goes_on(runs):
            return None
        return here if built is None or built.order < here.began else None

    def _describe(self, stepper: Stepper, optimizer: Any, model: Any, gathering: Gathering) -> None:
        run, prefix = stepper.loop.run, stepper.prefix
        found = settings(optimizer)
        found |= self._schedulers.get(optimizer) or {}
        if model is not None:
            found |= modules.facts(model)
            run.log_text(modules.tree(model), f"{prefix}{modules.SUMMARY}")
        if gathering.passage is not None and not prefix:
            found |= gathering.passage.settings
        run.log_params(_prefixed(found, prefix))


def _prefixed(found: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in found.items()}
