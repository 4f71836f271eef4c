"""Loops: which optimizers belong together, and to which run.

Optimizers that were built before a run's first step belong to it, as a GAN's two do; so do those that
share parameters with it. A later one over other parameters is another training: it ends the run before
it. Nothing is set on the user's objects; all tables here hold them weakly.
"""

from __future__ import annotations

from itertools import count
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary, ref

from ...recording.naming import name_of
from ...states import State
from . import modules
from .callers import users_frame
from .optimizers import Stepper, parameters, scheduler_settings, settings

if TYPE_CHECKING:
    from ...integration import Seen, TrainingRuns
    from ...recording.run import ActiveRun
    from .gathering import Gathering
    from .loaders import Pass


class Built(NamedTuple):
    """When an optimizer was built, in the order of all events, and its model, weakly."""

    order: int
    model: Any


class Loop:
    """One training that goes on: `run` is where it is recorded, `is_ours` whether it may end that.

    began: its first step, in the order of all events. epochs: passes it was trained on.
    """

    def __init__(self, run: ActiveRun, is_ours: bool, began: int) -> None:
        self.run = run
        self.is_ours = is_ours
        self.began = began
        self.epochs = 0
        self.first: Stepper | None = None
        self.steppers = 0  # optimizers that live
        self._goes_on_beside = False  # another began meanwhile, and it went on
        self._prefixes: set[str] = set()
        self._parameters: dict[int, ref[Any]] = {}
        self._losses: dict[str, Stepper] = {}

    def add(self, optimizer: Any, prefix: str) -> Stepper:
        """An optimizer is part of it from now on."""
        stepper = Stepper(self, prefix)
        self.first = self.first or stepper
        self.steppers += 1
        self._parameters |= {id(p): ref(p) for p in parameters(optimizer)}
        return stepper

    def shares_parameters(self, optimizer: Any) -> bool:
        """Whether the optimizer works on what this loop trains."""
        known = self._parameters
        return any((r := known.get(id(p))) is not None and r() is p for p in parameters(optimizer))

    def loss_name(self, name: str, stepper: Stepper) -> str:
        """A name belongs to the optimizer that had it first; another's is told from it by its prefix."""
        if self._losses.setdefault(name, stepper) is stepper:
            return name
        return f"{stepper.prefix}{name}"

    def epoch_of(self, passage: Pass) -> int:
        """The number of a pass that it is trained on."""
        if passage.epoch is None:
            passage.epoch = self.epochs
            self.epochs += 1
        return passage.epoch

    def end(self) -> None:
        """Another one has begun."""
        if self.is_ours and not self._goes_on_beside:
            self.run.finish(State.FINISHED)

    def is_open(self, runs: TrainingRuns, wakes: bool = True) -> bool:
        """Whether its run can be told of a step, which wakes it if another loop's beginning has ended it.

        It is then a new segment, and from now on goes on beside the other.
        """
        run = self.run
        if not run.ended and not run.inherited:
            return True
        if not (wakes and self.is_ours and runs.is_recorded(run)):
            return False
        self._goes_on_beside = True
        run.wake()
        return True

    def new_prefix(self, name: str) -> str:
        """What stands before the names of a further optimizer."""
        prefix, number = f"{name}/", 1
        while prefix in self._prefixes:
            number += 1
            prefix = f"{name}{number}/"
        self._prefixes.add(prefix)
        return prefix

    def lost_an_optimizer(self) -> None:
        """One was collected; after the last nothing goes on here any more."""
        self.steppers -= 1
        if self.is_ours and not self.steppers and not self.run.ended:
            self.run.rest()


class Loops:
    """All loops of the process; the one that a thread is in stands in its `Gathering`."""

    def __init__(self) -> None:
        self._events = count()
        self._built: WeakKeyDictionary[Any, Built] = WeakKeyDictionary()
        self._schedulers: WeakKeyDictionary[Any, ref[Any]] = WeakKeyDictionary()
        self._steppers: dict[int, tuple[ref[Any], Stepper]] = {}

    # --- told by the hooks -----------------------------------------------------------------------

    def built(self, optimizer: Any) -> None:
        """An optimizer was built."""
        ids = {id(parameter) for parameter in parameters(optimizer)}
        model = modules.model_of(ids, users_frame())
        self._built[optimizer] = Built(next(self._events), model and ref(model))

    def scheduled(self, scheduler: Any) -> None:
        """A scheduler was built."""
        optimizer = scheduler.optimizer
        self._schedulers[optimizer] = ref(scheduler)
        stepper = self._known(optimizer)
        if stepper is not None:
            stepper.loop.run.log_params(scheduler_settings(scheduler, stepper.prefix))

    def step(self, optimizer: Any, gathering: Gathering, runs: TrainingRuns, every: int) -> None:
        """An optimizer has made a step."""
        now = perf_counter_ns()
        stepper = self._known(optimizer)
        if stepper is None or not stepper.loop.is_open(runs):
            stepper = self._begin(optimizer, gathering, runs)
        if stepper is None:
            gathering.clear()
            return
        if stepper.steps % every == 0:
            _record(stepper, optimizer, gathering, now)
        stepper.steps += 1
        stepper.last = now
        loop = gathering.loop = stepper.loop
        if loop.is_ours:
            loop.run.active_until = now
        if stepper is loop.first:
            gathering.since = now
        gathering.clear()

    def skipped(self, seen: Seen, gathering: Gathering) -> None:
        """A GradScaler was asked for a step; if what was gathered for it is still there, it made none."""
        optimizer = seen.args[1] if len(seen.args) > 1 else seen.kwargs["optimizer"]
        stepper = self._known(optimizer)
        if stepper is not None and gathering.losses:
            row = _losses(stepper, gathering) | gathering.noted | {f"{stepper.prefix}skipped_step": 1.0}
            stepper.loop.run.log(row, stepper.steps)
            gathering.clear()

    def passed(self, passage: Pass, gathering: Gathering) -> None:
        """A pass over the data is over: an epoch, or an evaluation."""
        gathering.passage = gathering.since = None
        loop = gathering.loop
        if loop is None or loop.first is None or loop.run.ended:
            return
        seconds = passage.seconds()
        if passage.epoch is None:
            row = {"eval_seconds": seconds}
        else:
            row = {"epoch_seconds": seconds, "samples_per_second": passage.samples / max(seconds, 1e-9)}
        loop.run.log(row, max(loop.first.steps - 1, 0))

    # --- which loop ------------------------------------------------------------------------------

    def _known(self, optimizer: Any) -> Stepper | None:
        entry = self._steppers.get(id(optimizer))
        return entry[1] if entry is not None and entry[0]() is optimizer else None

    def _begin(self, optimizer: Any, gathering: Gathering, runs: TrainingRuns) -> Stepper | None:
        """The first step of an optimizer: it joins a loop, or begins one."""
        frame = users_frame()
        known = self._built.get(optimizer)
        model = known.model() if known is not None and known.model is not None else None
        if model is None:
            model = modules.model_of({id(p) for p in parameters(optimizer)}, frame)
        loop = self._loop_of(optimizer, known, gathering, runs)
        prefix = ""
        if loop is None:
            if gathering.loop is not None:
                gathering.loop.end()
            found = runs.run_of_loop(modules.name_of_its_own(model))
            if found is None:
                return None
            loop = Loop(*found, next(self._events))
        elif loop.first is not None:
            prefix = loop.new_prefix(name_of(optimizer, frame) or type(optimizer).__name__)
        stepper = loop.add(optimizer, prefix)
        key = id(optimizer)
        self._steppers[key] = ref(optimizer, lambda gone: self._forget(key, gone)), stepper
        self._describe(stepper, optimizer, model, gathering)
        return stepper

    def _loop_of(
        self, optimizer: Any, built: Built | None, gathering: Gathering, runs: TrainingRuns
    ) -> Loop | None:
        """The loop that an optimizer joins at its first step."""
        loops = {id(stepper.loop): stepper.loop for _, stepper in list(self._steppers.values())}
        for loop in loops.values():
            if loop.is_open(runs, wakes=False) and loop.shares_parameters(optimizer):
                return loop
        here = gathering.loop
        if here is None or not here.is_open(runs, wakes=False):
            return None
        return here if built is None or built.order < here.began else None

    def _describe(self, stepper: Stepper, optimizer: Any, model: Any, gathering: Gathering) -> None:
        run, prefix = stepper.loop.run, stepper.prefix
        found = settings(optimizer, prefix)
        scheduler = self._schedulers.get(optimizer)
        if scheduler is not None and (alive := scheduler()) is not None:
            found |= scheduler_settings(alive, prefix)
        if model is not None:
            found |= modules.facts(model, prefix)
            run.log_text(modules.tree(model), f"{prefix}{modules.SUMMARY}")
        if gathering.passage is not None and not prefix:
            found |= gathering.passage.settings()
        run.log_params(found)

    def _forget(self, key: int, gone: ref[Any]) -> None:
        entry = self._steppers.get(key)
        if entry is not None and entry[0] is gone:
            del self._steppers[key]
            entry[1].loop.lost_an_optimizer()


def _record(stepper: Stepper, optimizer: Any, gathering: Gathering, now: int) -> None:
    """What was gathered for a step, as one row of the run."""
    loop = stepper.loop
    row = _losses(stepper, gathering)
    row.update(gathering.noted)
    stepper.add_rates(row, optimizer)
    if stepper is loop.first:
        if gathering.passage is not None:
            row["epoch"] = float(loop.epoch_of(gathering.passage))
            row["data_seconds"] = gathering.waited / 1e9
        if gathering.since is not None:
            row["step_seconds"] = (now - gathering.since) / 1e9
    loop.run.log(row, stepper.steps)


def _losses(stepper: Stepper, gathering: Gathering) -> dict[str, float]:
    """The last value of each loss; earlier ones of the same step, as of micro-batches, are told already."""
    row: dict[str, float] = {}
    for name, value in gathering.losses:
        name = stepper.loop.loss_name(name, stepper)
        if name in row:
            stepper.loop.run.log({name: row[name]}, stepper.steps)
        row[name] = value
    return row
