"""One training that goes on without a call around it, and what each of its steps adds to its run."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Any
from weakref import ref

from ...states import State
from .modules import unwrapped
from .optimizers import SKIPPED, Stepper, parameters

if TYPE_CHECKING:
    from ...integration import TrainingRuns
    from ...recording.run import ActiveRun
    from .gathering import Gathering
    from .loaders import Pass


class Loop:
    """One training that goes on: `run` is where it is recorded, `is_ours` whether it may end that.

    began: its first step, in the order of all events. home: the user's run that was current then.
    users_names: what the user's code is seen to log, though it has not yet.
    """

    def __init__(
        self, run: ActiveRun, is_ours: bool, began: int, home: ActiveRun | None, users_names: Set[str]
    ) -> None:
        self.run = run
        self.is_ours = is_ours
        self.began = began
        self.home = home
        self.gathering: Gathering | None = None  # of the thread that made its last step
        self.data: ref[Any] | None = None  # the dataset that it trains on
        self.settings: dict[str, Any] = {}  # of its first optimizer
        self._models: list[ref[Any]] = []  # of its optimizers, without what is wrapped around them
        self.users_names = run.told_by_loop()
        self.users_names |= users_names
        self._epochs = 0  # passes it was trained on
        self.resumed_at = 0  # the step
        self.first: Stepper | None = None
        self.steppers = 0  # optimizers that live
        self._goes_on_beside = False  # another began meanwhile, and it went on
        self._prefixes: set[str] = set()
        self._parameters: dict[int, ref[Any]] = {}
        self._losses: dict[str, Stepper] = {}

    def add(self, optimizer: Any, prefix: str) -> Stepper:
        """An optimizer is part of it from now on."""
        if self.is_ours:
            self.run.wake()  # all before it may be gone
        stepper = Stepper(self, prefix)
        self.first = self.first or stepper
        self.steppers += 1
        self.add_parameters(optimizer)
        return stepper

    def add_parameters(self, optimizer: Any) -> None:
        """It trains what the optimizer has now."""
        self._parameters |= {id(p): ref(p) for p in parameters(optimizer)}

    def go_on(self, before: Loop | None, steps: int, epochs: int) -> None:
        """Its run is resumed, so many steps and epochs after its beginning, or where the loop before was."""
        if before is not None and before.first is not None and before.run.id == self.run.id:
            steps, epochs = steps or before.first.steps, before._epochs
        self.resumed_at, self._epochs = steps, epochs
        if self.first is not None:
            self.first.steps = steps

    def succeed(self, optimizer: Any) -> Stepper:
        """A later optimizer over the same parameters goes on where the first was, as in fine-tuning."""
        before = self.first
        stepper = self.add(optimizer, "")
        if before is not None:
            self.first, stepper.steps = stepper, before.steps
            self._losses |= {name: stepper for name, owner in self._losses.items() if owner is before}
        return stepper

    def shares_parameters(self, optimizer: Any) -> bool:
        """Whether the optimizer works on what this loop trains."""
        known = self._parameters
        return any((r := known.get(id(p))) is not None and r() is p for p in parameters(optimizer))

    def trains(self, model: Any) -> bool:
        """Whether it is one of its models, or what torch has wrapped around one."""
        bare = unwrapped(model)[0]
        return bare is not None and any(known() is bare for known in self._models)

    def knows(self, model: Any) -> None:
        """It is told of."""
        if not self.trains(model):
            self._models.append(ref(unwrapped(model)[0]))

    def record(self, stepper: Stepper, optimizer: Any, gathering: Gathering, now: int) -> None:
        """What was gathered for a step, as one row of the run; `now` is perf_counter_ns.

        optimizer: None for one that is gone, whose learning rates nobody knows.
        """
        row = self.losses(stepper, gathering, now)
        if optimizer is not None:
            stepper.add_rates(row, optimizer)
        found_inf = getattr(optimizer, "found_inf", None)  # a fused one's, which skips on its device
        if found_inf is not None and (skipped := gathering.value(found_inf)) is not None:
            row[f"{stepper.prefix}{SKIPPED}"] = skipped
        if stepper is self.first:
            began = gathering.since
            if gathering.passage is not None or gathering.other is not None:
                passage = gathering.training_pass()
                began = gathering.step_began(passage)
                if passage is not None:
                    self._tell_of(passage, row, gathering)
            if began is not None:
                row["step_seconds"] = (now - began) / 1e9
        self.log(row, stepper.steps, now)

    def name_of(self, name: str) -> str:
        """Names that the user logs to this run are his: ours are told from them."""
        return f"step/{name}" if name in self.users_names else name

    def log(self, row: dict[str, float], step: int, now: int) -> None:
        """Under names that are its own."""
        if self.users_names and not self.users_names.isdisjoint(row):
            row = {self.name_of(name): value for name, value in row.items()}
        self.run.log_row(row, step, now)

    def losses(self, stepper: Stepper, gathering: Gathering, now: int) -> dict[str, float]:
        """What was noted, and the last value of each loss; earlier ones, of micro-batches, are rows before.

        A name belongs to the optimizer that had it first; another's is told from it by its prefix.
        """
        row = gathering.noted.copy()
        if stepper.prefix:
            row = {f"{stepper.prefix}{name}": value for name, value in row.items()}
        for name, value in gathering.losses:
            if self._losses.setdefault(name, stepper) is not stepper:
                name = f"{stepper.prefix}{name}"
            if name in row:
                self.log({name: row[name]}, stepper.steps, now)
            row[name] = value
        return row

    def is_loss_of(self, name: str, stepper: Stepper) -> bool:
        """Whether a loss of the name has been the optimizer's before."""
        return self._losses.get(name) is stepper

    def _tell_of(self, passage: Pass, row: dict[str, float], gathering: Gathering) -> None:
        """Of the step's data: its epoch, and how long was waited for it."""
        epoch = self._epoch_of(passage)
        if epoch is not None:
            row["epoch"] = float(epoch)
        row["data_seconds"] = passage.waited / 1e9 if passage.gave(gathering.steps) else 0.0

    def _epoch_of(self, passage: Pass) -> int | None:
        """The number of a pass that it is trained on; of `next(iter(loader))`, which is none, None."""
        if passage.epoch is None:
            self.data = passage.data
            if not passage.is_over:
                passage.epoch, passage.loop = self._epochs, self
                self._epochs += 1
        return passage.epoch

    def end(self) -> None:
        """Another one has begun."""
        if self.is_ours and not self._goes_on_beside:
            self.run.finish(State.FINISHED)

    def goes_on(self, runs: TrainingRuns) -> bool:
        """Whether an optimizer that makes its first step here may join it."""
        return self.home is runs.home() and not self.run.ended and not self.run.inherited

    def is_open(self, runs: TrainingRuns) -> bool:
        """Whether its run can be told of a step, which wakes it if another loop's beginning has ended it.

        It is then a new segment, and from now on goes on beside the other.
        """
        run = self.run
        if not run.ended and not run.inherited:
            return True
        if not (self.is_ours and runs.is_recorded(run)):
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
            self.run.activity.rest()
