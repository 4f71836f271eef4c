"""What a thread has seen since its last optimizer step."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import ref

from ...recording import values

if TYPE_CHECKING:
    from ...integration import Seen
    from .loaders import Pass
    from .loop import Loop

MOST_LOSSES = 10_000
"""Losses without a step that are remembered: `backward()` is also called for gradients alone."""


class Gathering:
    """One thread's: its losses, values noted by the way, and where its time went.

    loop: the one that it made its last step in. losses: name and value of each `backward()`. noted:
    values by name. scaled: what a GradScaler made, of what, and the value that had. passage: the pass
    over data that the last batch came from; other: the one over data that is not trained on. waited: ns
    in which data was waited for. since: perf_counter_ns from which on time is the step's, None where that
    is unknown. steps: all that the thread has made.
    """

    __slots__ = (
        *("loop", "losses", "noted", "other", "passage"),
        *("scaled", "since", "steps", "waited"),
    )

    def __init__(self) -> None:
        self.loop: Loop | None = None
        self.passage: Pass | None = None
        self.other: Pass | None = None
        self.since: int | None = None
        self.losses: list[tuple[str, float]] = []
        self.noted: dict[str, float] = {}
        self.scaled: list[tuple[ref[Any], ref[Any], float]] = []
        self.waited = self.steps = 0

    def clear(self) -> None:
        """Begin anew: the step is over, or was not to be recorded."""
        self.losses.clear()
        self.noted.clear()
        self.waited = 0

    def lost(self, name: str, value: float) -> None:
        """`backward()` was called on this loss."""
        if len(self.losses) < MOST_LOSSES:
            self.losses.append((name, value))

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
        except Exception:  # noqa: BLE001  kinds of tensors are many
            return None

    def fetched(self, passage: Pass, seen: Seen) -> None:
        """A batch has come; the first one of another pass over what is trained on begins the step's time."""
        now = passage.took(seen.value, self.steps)
        if self._is_other(passage):
            self.other = passage
        elif passage is not self.passage or self.since is None:
            self.passage, self.since, self.waited = passage, seen.started, 0
        self.waited += now - seen.started

    def _is_other(self, passage: Pass) -> bool:
        """Whether its data is not trained on; before the first step, whether another began before it."""
        if self.loop is not None and self.loop.data is not None:
            return passage.data != self.loop.data
        return self.passage is not None and passage is not self.passage and self.passage.lives

    def training_pass(self) -> Pass | None:
        """The pass that a step belongs to: over other data than before, if those are over."""
        is_over = self.passage is None or not self.passage.lives
        if is_over and self.other is not None and self.other.lives:
            self.passage, self.other = self.other, None
        return self.passage

    def passed(self, passage: Pass) -> bool:
        """A pass is over. Whether it was an evaluation: no step was made in it."""
        if passage is self.other:
            self.other = None
        else:
            self.passage = None
        is_evaluation = passage.epoch is None and passage.steps_before == self.steps
        if is_evaluation or self.passage is None:
            self.since, self.waited = None, 0
        return is_evaluation


class Threads(threading.local):
    """Each thread's `gathering`."""

    def __init__(self) -> None:
        self.gathering = Gathering()
