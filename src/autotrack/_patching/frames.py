"""The calls that are going on in this context: what a call inside another one belongs to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..integration import Call
    from ..recording.run import ActiveRun
    from ..recording.segments import Fit


class Frame:
    """One training call. `is_sealed`: what goes on inside it is not recorded."""

    __slots__ = ("call", "fit", "is_sealed", "run")

    def __init__(self, call: Call, run: ActiveRun, fit: Fit | None, is_sealed: bool) -> None:
        self.call = call
        self.run = run
        self.fit = fit
        self.is_sealed = is_sealed


frames: ContextVar[tuple[Frame, ...]] = ContextVar("autotrack_calls", default=())

silent: ContextVar[bool] = ContextVar("autotrack_silent", default=False)
"""Whether calls are not the user's here: they are ours, or part of one that is observed."""


class silence:
    """No hook runs within: for calls of the library that are not the user's own."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = silent.set(True)

    def __exit__(self, *_: object) -> None:
        silent.reset(self._token)


def is_instance_in(instance: Any, calls: tuple[Frame, ...]) -> bool:
    """Whether a call on this very object is going on."""
    return instance is not None and any(frame.call.instance is instance for frame in calls)
