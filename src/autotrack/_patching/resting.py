"""Runs that stay open between the calls on one object: each `partial_fit` is a step of the same training.

They are found by the object, beside it: nothing is set on it, and a copy or a pickle of it is another
object. When it is gone its run ends, with the time of its last call.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..recording.run import ActiveRun
from ..states import RunError, State

if TYPE_CHECKING:
    from ..recording.recorder import Recorder

MAX_OPEN = 64
"""Runs that rest open; the one that rests longest ends then, and goes on as a new segment if called."""


class RestingRun:
    """The run of one object: `calls` counts those that came to it, `active` those going on now."""

    def __init__(self, run: ActiveRun, is_ours: bool) -> None:
        self.run = run
        self.is_ours = is_ours
        self.calls = 0
        self.active = 0

    def is_usable(self, recorder: Recorder) -> bool:
        """Not one of another store, of the process which forked this one, or a user's that has ended."""
        is_here = self.run.is_of(recorder) and not self.run.inherited
        return is_here and (self.is_ours or not self.run.ended)

    def end(self) -> None:
        """The object is gone, or is trained anew."""
        if self.is_ours:
            self.run.finish(State.FINISHED)


class RestingRuns:
    """Every object's run. The table is bounded by the objects that live."""

    def __init__(self) -> None:
        self._of: OrderedDict[int, tuple[weakref.ref[Any], RestingRun]] = OrderedDict()
        self._renew_lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()  # objects may be collected while this thread holds it

    def enter(
        self, instance: Any, recorder: Recorder, new_run: Callable[[], tuple[ActiveRun, bool]]
    ) -> tuple[RestingRun, int]:
        """A call on `instance` begins: its run, made if there is none, and the number of the call in it.

        Raises TypeError for an object that takes no weak reference.
        """
        with self._lock:
            known = self._of.get(id(instance))
            if known is not None and known[1].is_usable(recorder):
                resting = known[1]
                self._of.move_to_end(id(instance))
            else:
                key = id(instance)
                reference = weakref.ref(instance, lambda gone: self._forget(key, gone))
                resting = RestingRun(*new_run())
                self._of[key] = reference, resting
            if resting.is_ours:
                resting.run.wake()
            resting.active += 1
            resting.calls += 1
            return resting, resting.calls - 1

    def leave(self, resting: RestingRun, state: State, error: RunError | None) -> None:
        """The call is over, and ended so."""
        with self._lock:
            resting.active = max(0, resting.active - 1)  # again, if a signal came amid this
            if not resting.is_ours or resting.active:
                return
            if state is State.FINISHED:
                resting.run.activity.rest()
                self._bound()
            else:
                resting.run.finish(state, error)

    def end(self, instance: Any) -> None:
        """`instance` is trained anew."""
        if id(instance) in self._of:  # most objects have none: no lock for them
            with self._lock:
                _, resting = self._of.pop(id(instance), (None, None))
                if resting is not None:
                    resting.end()

    def _forget(self, key: int, gone: weakref.ref[Any]) -> None:
        with self._lock:
            reference, resting = self._of.get(key, (None, None))
            if reference is gone and resting is not None:
                del self._of[key]
                resting.end()

    def _bound(self) -> None:
        """Close what rests longest; whoever is in a call is left alone."""
        open_ones = [r for _, r in self._of.values() if r.is_ours and not r.active and not r.run.ended]
        for resting in open_ones[: max(0, len(open_ones) - MAX_OPEN)]:
            resting.run.finish(State.FINISHED)


resting_runs = RestingRuns()
