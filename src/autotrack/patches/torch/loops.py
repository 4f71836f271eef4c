"""Loops: which optimizers belong together, and to which run.

Optimizers that were built before a run's first step belong to it, as a GAN's two do; so do those that
share parameters with it. A later one over other parameters is another training: it ends the run before
it. Nothing is set on the user's objects; all tables here hold them weakly.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from math import isfinite
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

from ...recording.devices import is_capturing
from ...recording.layers import Statistics
from ...recording.naming import name_of
from ...recording.spelled import names_logged
from ...recording.weak import Table
from . import modules
from .callers import users_frame
from .loop import Loop
from .optimizers import (
    SKIPPED,
    Stepper,
    differing,
    group_settings,
    parameters,
    scheduler_settings,
    settings,
)
from .resuming import epochs_before, steps_before
from .steady import Steady

if TYPE_CHECKING:
    from ...integration import PassedOver, Seen, TrainingRuns
    from . import TorchOptions
    from .gathering import Gathering
    from .loaders import Pass


class Built(NamedTuple):
    """When an optimizer was built, in the order of all events, its model, weakly, and in which thread."""

    order: int
    model: Any
    gathering: Gathering


class Scheduled(NamedTuple):
    """What a scheduler was made with, and itself, weakly."""

    settings: dict[str, Any]
    scheduler: ref[Any]


class Loops:
    """All loops of the process; the one that a thread is in stands in its `Gathering`."""

    def __init__(self, unseen: PassedOver) -> None:
        self._unseen = unseen  # optimizers whose steps no hook was told of
        self.without_loss: Stepper | None = None
        """What has made its last step without a loss: amid a `backward()`, perhaps."""
        self._events = count()
        self._built: Table[Built] = Table()
        self._schedulers: Table[Scheduled] = Table()
        self._steppers: Table[Stepper] = Table(gone=self._gone)

    # --- told by the hooks -----------------------------------------------------------------------

    def built(self, optimizer: Any, gathering: Gathering) -> None:
        """An optimizer was built, or copied; one that is given back its state is known already."""
        if self._built.get(optimizer) is not None or self._steppers.get(optimizer) is not None:
            return
        gathering.losses.clear()  # of no step's: gradients were asked for
        ids = {id(parameter) for parameter in parameters(optimizer)}
        model = modules.model_of(ids, users_frame())
        known = ref(model) if model is not None else None  # it may be false
        self._built.set(optimizer, Built(next(self._events), known, gathering))

    def scheduled(self, scheduler: Any) -> None:
        """A scheduler was built."""
        optimizer = scheduler.optimizer
        found = scheduler_settings(scheduler)
        self._schedulers.set(optimizer, Scheduled(found, ref(scheduler)))
        stepper = self._steppers.get(optimizer)
        if stepper is not None:
            stepper.loop.run.log_params(_prefixed(found, stepper.prefix))

    def grew(self, optimizer: Any) -> None:
        """A group of parameters was added to an optimizer; one that is being built is not known yet."""
        stepper = self._steppers.get(optimizer)
        if stepper is not None:
            stepper.loop.add_parameters(optimizer)
            added = group_settings(optimizer, len(optimizer.param_groups) - 1)
            stepper.loop.run.log_params(_prefixed(added, stepper.prefix))

    def lost(self, gathering: Gathering) -> None:
        """`backward()` was called, the step is not made: if the loss is not finite, the cause is looked for.

        Of a loss on an accelerator the last value that has come is known: it is about an earlier step.
        """
        loop = gathering.loop
        if loop is None or not gathering.losses:
            return
        name, value = gathering.losses[-1]
        if type(value) is not float:
            value = loop.run.last_values.get(loop.name_of(name), 0.0)
        if isfinite(value):
            return
        for optimizer, stepper in self._steppers.items():
            if stepper.loop is loop and not _is_captured(optimizer):
                trained = [*parameters(optimizer)]
                stepper.statistics.look(loop.run, trained, stepper.prefix, stepper.steps)

    def step(self, optimizer: Any, gathering: Gathering, runs: TrainingRuns, options: TorchOptions) -> None:
        """An optimizer has made a step; none if a CUDA graph is captured, which only notes it."""
        if _is_captured(optimizer):
            gathering.clear()
            return
        now = perf_counter_ns()
        stepper = None
        try:
            stepper = gathering.stepper
            if (
                stepper is None
                or stepper.loop is not gathering.loop
                or not stepper.goes_on(optimizer, runs.home())
            ):
                gathering.stepper = stepper = self._stepper(optimizer, gathering, runs)
            if stepper is None:
                return
            loop = stepper.loop
            gathering.steady = self._steady(stepper, optimizer, gathering, options)
            if stepper.steps % options.every == 0:
                loop.record(stepper, optimizer, gathering, now)
            if options.statistics_every and stepper.steps % options.statistics_every == 0:
                trained = [*parameters(optimizer)]
                stepper.statistics.record(loop.run, trained, stepper.prefix, stepper.steps, now)
            if stepper is loop.first:
                gathering.since = now
                if not gathering.losses:
                    self.without_loss = stepper
            if loop.is_ours:
                loop.run.activity.until = now
        finally:
            if stepper is not None:
                stepper.steps += 1
                stepper.at = now
            gathering.steps += 1
            gathering.stepped_at = now
            gathering.clear()

    def _steady(
        self, stepper: Stepper, optimizer: Any, gathering: Gathering, options: TorchOptions
    ) -> Steady | None:
        """What knows steps like this one, if it is a usual one, and no accelerator's."""
        if len(gathering.losses) != 1 or gathering.scaled or options.statistics_every:
            return None
        loss, value = gathering.losses[0]
        parameter = next(parameters(optimizer), None)
        is_usual = (
            stepper is stepper.loop.first
            and not stepper.prefix
            and type(value) is float
            and parameter is not None
            and parameter.is_cpu
            and stepper.loop.is_loss_of(loss, stepper)
        )
        return Steady(stepper, loss, options) if is_usual else None

    def step_unseen(self, gathering: Gathering, runs: TrainingRuns, options: TorchOptions) -> None:
        """Optimizers have each made a step in compiled code: this thread's are recorded, in their order."""
        known = [optimizer for table in (self._built, self._steppers) for optimizer, _ in table.items()]
        by_id = {id(optimizer): optimizer for optimizer in known}
        for key in self._unseen.ids():
            optimizer = by_id.get(key)
            if optimizer is None:  # another integration's, which sees its steps by itself
                self._unseen.take(key)
            elif self._is_stepped_in(gathering, optimizer) and self._unseen.take(key):
                self.step(optimizer, gathering, runs, options)

    def _is_stepped_in(self, gathering: Gathering, optimizer: Any) -> bool:
        """Whether it is this thread that steps an optimizer: the one that did, or built it and trains."""
        stepper, built = self._steppers.get(optimizer), self._built.get(optimizer)
        if stepper is not None:
            return stepper.loop.gathering is gathering
        if built is None or not gathering.is_trained_in:
            return False
        return built.gathering is gathering or not built.gathering.is_trained_in

    def _gone(self, stepper: Stepper) -> None:
        """An optimizer was collected; a last step that it made in compiled code is told now.

        Not where another thread's collector has found it: what the loop's gathers is that thread's.
        """
        loop, gathering = stepper.loop, stepper.loop.gathering
        is_untold = self._unseen.take(stepper.key)
        if is_untold and gathering is not None and gathering.loop is loop and gathering.is_here():
            with suppress(Exception):  # where this comes from, nobody would know what to do
                loop.record(stepper, None, gathering, perf_counter_ns())
            gathering.clear()
        loop.lost_an_optimizer()

    def attach(self, gathering: Gathering, since: int, every: int) -> None:
        """A `backward()` that began then is over: its loss is of the step that was made in it, if one was."""
        stepper, self.without_loss = self.without_loss, None
        if stepper is None or stepper.at < since or not gathering.losses:
            return
        made_in = stepper.loop.gathering
        if gathering.loop is not stepper.loop and not (made_in is not None and made_in.is_autograds):
            return  # another thread's
        loop, step = stepper.loop, stepper.steps - 1
        if step % every == 0:
            loop.log(loop.losses(stepper, gathering, stepper.at), step, stepper.at)
        gathering.clear()

    def skipped(self, seen: Seen, gathering: Gathering, runs: TrainingRuns) -> None:
        """A GradScaler was asked for a step; it made none if nothing has, as what the optimizer holds may."""
        if gathering.stepped_at >= seen.started:
            return
        optimizer = seen.args[1] if len(seen.args) > 1 else seen.kwargs["optimizer"]
        stepper = self._stepper(optimizer, gathering, runs)
        if stepper is None:
            return
        now = perf_counter_ns()
        row = stepper.loop.losses(stepper, gathering, now)
        row[f"{stepper.prefix}{SKIPPED}"] = 1.0
        stepper.loop.log(row, stepper.steps, now)
        if stepper is stepper.loop.first:
            gathering.since = now
        gathering.steps += 1
        gathering.clear()

    def passed(self, passage: Pass, gathering: Gathering, at: int | None = None) -> None:
        """A pass over the data is over: an epoch, or an evaluation. at: perf_counter_ns, default now."""
        is_evaluation = gathering.passed(passage)
        loop = passage.loop or gathering.loop
        if loop is None or loop.first is None or loop.run.ended:
            return
        seconds = ((perf_counter_ns() if at is None else at) - passage.began) / 1e9
        row = {}
        if is_evaluation:
            row["eval_seconds"] = seconds
        elif passage.epoch is not None:
            row["epoch_seconds"] = seconds
            if passage.samples:
                row["samples_per_second"] = passage.samples / max(seconds, 1e-9)
        loop.log(row, max(loop.first.steps - 1, 0), perf_counter_ns())

    def left(self, passage: Pass, gathering: Gathering, at: int | None = None) -> None:
        """Nobody can ask a pass for more batches; after a single one it was but a look at the data."""
        if not passage.is_over and (passage.epoch is not None or passage.batches > 1):
            self.passed(passage, gathering, at)
        passage.is_over = True

    def evaluates(self, model: Any, gathering: Gathering) -> None:
        """A module was set to evaluate: if it is the loop's, what goes on till the next step is none."""
        loop = gathering.loop
        if loop is not None and loop.trains(model):
            gathering.lose_time()

    # --- which loop ------------------------------------------------------------------------------

    def _stepper(self, optimizer: Any, gathering: Gathering, runs: TrainingRuns) -> Stepper | None:
        """The optimizer in the loop that it makes its step in; None where that is not recorded."""
        stepper = self._steppers.get(optimizer)
        if stepper is None or stepper.loop.home is not runs.home() or not stepper.loop.is_open(runs):
            return self._begin(optimizer, gathering, runs)
        if gathering.loop is not stepper.loop:
            self._enter(stepper.loop, gathering, runs)
        return stepper

    def _enter(self, loop: Loop, gathering: Gathering, runs: TrainingRuns) -> None:
        """The thread is in this loop from now on."""
        gathering.enter(loop)
        gathering.steady = None
        loop.gathering = gathering
        runs.go_on(loop.run)

    def _begin(self, optimizer: Any, gathering: Gathering, runs: TrainingRuns) -> Stepper | None:
        """The first step of an optimizer: it joins a loop, or begins one."""
        frame = users_frame()
        known = self._built.get(optimizer)
        model = known.model() if known is not None and known.model is not None else None
        if model is None:
            model = modules.model_of({id(p) for p in parameters(optimizer)}, frame)
        before = gathering.loop
        loop = self._loop_of(optimizer, known, gathering, runs)
        if loop is None:
            if before is not None:
                before.end()
            found = runs.run_of_loop(modules.name_of_its_own(model))
            if found is None:
                return None
            loop = Loop(*found, next(self._events), runs.home(), names_logged(frame))
            stepper = loop.add(optimizer, "")
        elif known is not None and known.order > loop.began:
            stepper = loop.succeed(optimizer)
        else:
            stepper = loop.add(optimizer, loop.new_prefix(name_of(optimizer, frame) or "optimizer"))
        stepper.optimizer, stepper.key = ref(optimizer), id(optimizer)
        stepper.statistics = Statistics(model)
        self._steppers.set(optimizer, stepper)
        self._enter(loop, gathering, runs)
        if loop.run.keeps and not stepper.steps:
            self._go_on(stepper, optimizer, before, gathering.training_pass())
        self._describe(stepper, optimizer, model, gathering)
        return stepper

    def _loop_of(
        self, optimizer: Any, built: Built | None, gathering: Gathering, runs: TrainingRuns
    ) -> Loop | None:
        """The loop that an optimizer joins at its first step."""
        here = gathering.loop
        of_all = (stepper.loop for stepper in self._steppers.values())
        for loop in dict.fromkeys((*filter(None, (here,)), *of_all)):
            if loop.goes_on(runs) and loop.shares_parameters(optimizer):
                return loop
        if here is None or not here.goes_on(runs):
            return None
        return here if built is None or built.order < here.began else None

    def _go_on(self, stepper: Stepper, optimizer: Any, before: Loop | None, passage: Pass | None) -> None:
        """An optimizer makes its first step in a run that is resumed: it goes on where it was."""
        scheduled = self._schedulers.get(optimizer)
        scheduler = scheduled.scheduler() if scheduled is not None else None
        steps = steps_before(optimizer, scheduler)
        loop = stepper.loop
        if stepper is loop.first:
            loop.go_on(before, steps, epochs_before(steps, scheduler, passage))
        else:
            stepper.steps = steps or loop.resumed_at

    def _describe(self, stepper: Stepper, optimizer: Any, model: Any, gathering: Gathering) -> None:
        """A further optimizer over a known model, as one for each parameter, tells only what differs."""
        loop, run, prefix = stepper.loop, stepper.loop.run, stepper.prefix
        found = settings(optimizer)
        is_known = loop.trains(model)
        if prefix and is_known:
            found = differing(found, loop.settings)
        elif not prefix:
            loop.settings = found.copy()
        scheduled = self._schedulers.get(optimizer)
        if scheduled is not None:
            found |= scheduled.settings
        if model is not None and not (prefix and is_known):
            loop.knows(model)
            found |= modules.facts(model)
            run.log_text(modules.tree(model), f"{prefix}{modules.SUMMARY}")
        passage = gathering.training_pass() if not prefix else None
        if passage is not None:
            found |= passage.settings
        run.log_params(_prefixed(found, prefix))


def _is_captured(optimizer: Any) -> bool:
    """Whether what is done with its parameters now is only noted for a CUDA graph."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            return parameter.is_cuda and is_capturing(parameter)
    return False


def _prefixed(found: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in found.items()}
