"""What a thread has seen since its last optimizer step."""

from __future__ import annotations

import threading
from threading import get_ident
from typing import TYPE_CHECKING, Any
from weakref import ref

from ...interrupts import pass_on
from ...recording import values

if TYPE_CHECKING:
    from .loaders import Pass
    from .loop import Loop
    from .optimizers import Stepper
    from .steady import Steady


class Gathering:
    """One thread's: its losses, values noted by the way, and where its time went.

    loop: the one that it made its last step in; stepper: what made that. losses: name and value of each
    `backward()`. noted: values by name. scaled: what a GradScaler made, of what, and the value that had.
    passage: the pass over data that is trained on, as far as is known before a step; other: one that is
    not. since: perf_counter_ns from which on time is the step's, None where that is unknown. steps: all
    that the thread has made; stepped_at: perf_counter_ns of the last. thread: its number, None once it has
    ended. is_autograds: the thread is none of Python's.
    """

    __slots__ = (
        *("loop", "losses", "noted", "other", "passage"),
        *("scaled", "since", "steady", "stepped_at", "stepper", "steps", "thread", "is_autograds"),
    )

    def __init__(self) -> None:
        self.loop: Loop | None = None
        self.stepper: Stepper | None = None
        self.steady: Steady | None = None
        self.passage: Pass | None = None
        self.other: Pass | None = None
        self.since: int | None = None
        self.losses: list[tuple[str, float]] = []
        self.noted: dict[str, float] = {}
        self.scaled: list[tuple[ref[Any], ref[Any], float]] = []
        self.steps = self.stepped_at = 0
        self.thread: int | None = get_ident()
        self.is_autograds = all(thread.ident != self.thread for thread in threading.enumerate())

    def is_here(self) -> bool:
        """Whether it is the thread's that asks."""
        return self.thread == get_ident()

    def clear(self) -> None:
        """Begin anew: the step is over, or was not to be recorded."""
        self.losses.clear()
        self.noted.clear()

    @property
    def is_trained_in(self) -> bool:
        """Whether it is of a thread that makes steps, or has a loss to make one for."""
        return self.loop is not None or bool(self.losses)

    def note(self, name: str, value: Any) -> None:
        """A value of the step that goes on; the last one counts."""
        number = self.value(value)
        if number is not None:
            self.noted[name] = number

    def value(self, tensor: Any) -> float | None:
        """None for what is no number: a complex one, or a tensor that has only a shape, or only a part."""
        try:
            if tensor.is_cpu and type(tensor).__name__ == "Tensor":  # of no other kind, and without detours
                number = tensor.item()
                return None if isinstance(number, complex) else number
            return values.number("", tensor)
        except values.NotCopied:
            raise
        except Exception as error:  # noqa: BLE001  kinds of tensors are many
            pass_on(error)
            return None

    def enter(self, loop: Loop) -> None:
        """A step is made in another loop than the last one: its pass is one that has given it data."""
        self.loop = loop
        if self.other is not None and self.other.gave(self.steps) and not self._has_data():
            self.passage, self.other = self.other, None

    def _has_data(self) -> bool:
        return self.passage is not None and self.passage.gave(self.steps)

    def fetched(self, passage: Pass, batch: Any, asked: int) -> None:
        """A batch has come, which was asked for at perf_counter_ns."""
        passage.took(batch, asked, self.steps)
        if passage is self.passage:
            return
        if self._is_trained_on(passage):
            if self.passage is not None and self.passage.lives:
                self.other = self.passage
            self.passage = passage
        elif self.other is None or passage.follows(self.other):
            self.other = passage

    def _is_trained_on(self, passage: Pass) -> bool:
        """Whether its data is the loop's; before the first step, whether it begins where the last one rests.

        An iterator that has shown a batch is followed by the loop's; one that is asked beside it is not.
        """
        data = self.loop.data() if self.loop is not None and self.loop.data is not None else None
        if data is not None:
            return passage.data() is data
        return self.passage is None or passage.follows(self.passage)

    def training_pass(self) -> Pass | None:
        """The pass that a step belongs to: over other data than before, if those are over."""
        other = self.other
        if other is None or (self.passage is not None and self.passage.lives):
            return self.passage
        if other.lives and other.gave(self.steps):
            self.passage, self.other = other, None
        return self.passage

    def step_began(self, passage: Pass | None) -> int | None:
        """When the step began that is over now, perf_counter_ns: a pass's first begins with its batch."""
        if passage is not None and (self.since is None or passage.epoch is None):
            if passage.gave(self.steps):
                return passage.asked
            return self.since if passage.is_over else None  # a batch of it is trained on again and again
        return self.since

    def lose_time(self) -> None:
        """What has gone on was no part of the step."""
        self.since = None
        if self.passage is not None:
            self.passage.asked = None

    def passed(self, passage: Pass) -> bool:
        """A pass is over. Whether it was an evaluation: no gradient was asked for in it, and no step made."""
        passage.is_over = True
        is_evaluation = passage.epoch is None and passage.steps_before == self.steps and not self.losses
        if passage is self.other:
            self.other = None
        elif passage is self.passage:
            self.passage = None
        if is_evaluation or self.passage is None:
            self.lose_time()
        return is_evaluation


class Threads:
    """Each thread's `Gathering`.

    latest: the one that was asked for last. A step asks thrice, and would take 3 µs each time to find it by
    its thread.
    """

    def __init__(self) -> None:
        self._own = _Own()
        self.latest = self._own.gathering

    def here(self) -> Gathering:
        """This thread's."""
        gathering = self._own.gathering
        self.latest = gathering  # another thread's from one moment to the next
        return gathering


class _Own(threading.local):
    """A thread's own; the number of one that has ended may be another's."""

    def __init__(self) -> None:
        self.gathering = Gathering()
        self._thread = _Lifetime(self.gathering)


class _Lifetime:
    """Ends with the thread."""

    def __init__(self, gathering: Gathering) -> None:
        self._gathering = gathering

    def __del__(self) -> None:
        self._gathering.thread = None
