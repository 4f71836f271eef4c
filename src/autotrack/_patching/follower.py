"""The wrapper of a method that is told of calls inside a training, before each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ..integration import Hook, Integration
from .frames import frames
from .guarding import GuardedHook
from .wrappers import Patch

if TYPE_CHECKING:
    from ..recording.recorder import Recorder


class Follower:
    """Tells the method where the innermost training call has a follower."""

    def __init__(self, integration: Integration, hook: Hook, recorder: Callable[[], Recorder]) -> None:
        self._hook = GuardedHook(integration, hook, recorder)

    def plain(self, patch: Patch, wrapped: Callable[..., Any]) -> FunctionType:
        """A function of Python's own kind: it stands where every step comes by, and is twice as fast."""
        tell = self._hook.tell

        @functools.wraps(wrapped)
        def followed(*args: Any, **kwargs: Any) -> Any:
            outer = frames.get()
            if outer and patch.on and (follower := outer[-1].call.follower) is not None:
                tell(follower, *args)
            return wrapped(*args, **kwargs)

        return followed  # type: ignore[return-value]
