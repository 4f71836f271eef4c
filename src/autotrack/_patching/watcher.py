"""The wrapper of a method that is told of every call of a function, by whoever it is made."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ..integration import Hook, Integration, Seen
from .guarding import GuardedHook
from .targets import found
from .wrappers import Patch

if TYPE_CHECKING:
    from ..recording.recorder import Recorder


class Watcher:
    """Tells the method when a call is over; the call is made as it is."""

    def __init__(self, integration: Integration, hook: Hook, recorder: Callable[[], Recorder]) -> None:
        self._hook = GuardedHook(integration, hook, recorder)
        self._unless = hook.unless

    def plain(self, patch: Patch, wrapped: Callable[..., Any]) -> FunctionType:
        """A function of Python's own kind in the place of another.

        torch.compile traces through it as through the library's, which it cannot with wrapt's.
        """
        tell = self._hook.tell
        is_off = found(self._unless) if self._unless else never

        @functools.wraps(wrapped)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if is_off() or not patch.on:
                return wrapped(*args, **kwargs)
            started = perf_counter_ns()
            try:
                value = wrapped(*args, **kwargs)
            except BaseException as error:
                tell(Seen(args, kwargs, None, error, started))
                raise
            tell(Seen(args, kwargs, value, None, started))
            return value

        return watched  # type: ignore[return-value]

    def __call__(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """The same in wrapt's form."""
        given = args if instance is None else (instance, *args)
        started = perf_counter_ns()
        try:
            value = wrapped(*args, **kwargs)
        except BaseException as error:
            self._hook.tell(Seen(given, kwargs, None, error, started))
            raise
        self._hook.tell(Seen(given, kwargs, value, None, started))
        return value


def never() -> bool:
    """What is asked where a hook is always on."""
    return False
