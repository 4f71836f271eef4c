"""When something goes on in a run that no call encloses: it ends with the last of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import ActiveRun


class Activity:
    """One run's. `until` is perf_counter_ns of the last step of a training, None where none is told of."""

    def __init__(self, run: ActiveRun) -> None:
        self.until: int | None = None
        self._run = run
        self._rests_since: int | None = None

    def rest(self) -> None:
        """Nothing goes on until `wake`: if that never comes, the run ended well, now or at its last step."""
        segment = self._run.segment
        if segment:
            self._rests_since = segment.now() if self.until is None else self.last_step()

    def wake(self) -> None:
        """Something goes on."""
        self._rests_since = None

    @property
    def rests_since(self) -> int | None:
        """Unix ns; None while something goes on."""
        return self._rests_since

    @property
    def rests(self) -> bool:
        """Whether nothing goes on."""
        return self._rests_since is not None

    @property
    def rests_for(self) -> float:
        """Seconds; 0 while something goes on."""
        segment = self._run.segment
        if self._rests_since is None or segment is None:
            return 0.0
        return (segment.now() - self._rests_since) / 1e9

    def last_step(self) -> int | None:
        """Unix ns; None where no steps are told of."""
        segment = self._run.segment
        return None if self.until is None or segment is None else self.until + segment.clock_offset
