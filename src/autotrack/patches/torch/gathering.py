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
    over data that the last batch came from. waited: ns in which data was waited for. since:
    perf_counter_ns from which on time is the step's, None where that is unknown.
    """

    __slots__ = ("loop", "losses", "noted", "passage", "scaled", "since", "waited")

    def __init__(self) -> None:
        self.loop: Loop | None = None
        self.passage: Pass | None = None
        self.since: int | None = None
        self.losses: list[tuple[str, float]] = []
        self.noted: dict[str, float] = {}
        self.scaled: list[tuple[ref[Any], ref[Any], float]] = []
        self.waited = 0

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
        self.noted[name] = values.number(name, value)

    def fetched(self, passage: Pass, seen: Seen) -> None:
        """A batch has come; the first one of another pass begins the step's time."""
        now = passage.took(seen.value)
        if passage is not self.passage:
            self.passage, self.since, self.waited = passage, seen.started, 0
        self.waited += now - seen.started

    def evaluates(self) -> None:
        """What comes now is no training; where it ends is only known if a loader tells."""
        self.since = None


class Threads(threading.local):
    """Each thread's `gathering`."""

    def __init__(self) -> None:
        self.gathering = Gathering()
