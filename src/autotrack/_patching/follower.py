"""The wrapper of a hook that is told of calls inside a training, before each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..integration import Hook, Integration
from .frames import frames
from .guarding import GuardedHook

if TYPE_CHECKING:
    from ..recording.recorder import Recorder


class Follower:
    """Tells the hook where the innermost training call has a follower."""

    def __init__(self, integration: Integration, hook: Hook, recorder: Callable[[], Recorder]) -> None:
        self._tell = GuardedHook(integration, hook, recorder).tell

    def __call__(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """The wrapper, in wrapt's form."""
        outer = frames.get()
        if outer and (follower := outer[-1].call.follower) is not None:
            self._tell(follower, instance, args)
        return wrapped(*args, **kwargs)
