"""What goes along with the runs of a process: the console, the surroundings, the machine's load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .segments import Segment


class Companion:
    """Told by the recorder what happens to its runs, to add to them what nobody logs.

    `began` and `ended` are called in the user's thread: what takes time is pushed to the flusher.
    """

    def began(self, segment: Segment) -> None:
        """A run of this process has begun."""

    def ended(self, segment: Segment) -> None:
        """A run of this process is over; its end is about to be queued."""

    def joined(self, segment: Segment) -> None:
        """A run of another process, in which this one works from now on."""

    def left(self, segment: Segment) -> None:
        """The same is forgotten, for others that came later."""

    def tick(self, segments: Sequence[Segment]) -> None:
        """In the flusher, every flush interval: these are open. Not while a notebook rests."""

    def settle(self, timeout: float) -> bool:
        """Wait for what a thread of its own is at; True if there was such."""
        return False

    def closing(self) -> None:
        """The process ends: the last chance to queue something."""

    def forked(self) -> None:
        """This is a child now: what was queued is the parent's."""
