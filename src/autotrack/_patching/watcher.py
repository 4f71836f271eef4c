"""The wrapper of a method that is told of every call of a function, by whoever it is made.

They come by at every step of a training, and find a cold cache: each function of Python's that is called here
takes a microsecond. So it is spelt out whether what goes on is told by a training call around it, which is
sealed, or is our own doing, which is silent; and `GuardedHook.tell` as well. A compiler that traces must come
upon the question first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from time import perf_counter_ns
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ..integration import Hook, Integration, Seen
from .frames import frames, silent
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
        if not hook.spread:
            self._hook.method = _as_seen(self._hook.method)
        self._make = _watched_before if hook.before else _watched

    def plain(self, patch: Patch, wrapped: Callable[..., Any]) -> FunctionType:
        """A function of Python's own kind in the place of another.

        torch.compile traces through it as through the library's, which it cannot with wrapt's.
        """
        return self._make(wrapped, self._hook, _question(self._unless), patch)


def plugged(integration: Integration, hook: GuardedHook, unless: str | None) -> Callable[..., None]:
    """What is given to a library as a hook of its own kind."""
    return _plugged(integration, hook, _question(unless))


def our_codes() -> list[CodeType]:
    """Of the functions that stand between a library and its user, for compilers that are to skip them."""
    made_in = (_as_seen, _watched, _watched_before, _plugged)
    return [code for f in made_in for code in f.__code__.co_consts if isinstance(code, CodeType)]


def _as_seen(method: Callable[[Seen], object]) -> Callable[..., object]:
    """The method gets the parts of a call as one."""

    def told(*parts: Any) -> None:
        method(Seen(*parts))

    return told


def _watched(
    wrapped: Callable[..., Any], hook: GuardedHook, passes: Callable[[], bool], patch: Patch
) -> FunctionType:
    method = hook.method

    @functools.wraps(wrapped)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if passes() or not patch.on or (outer[-1].is_sealed if (outer := frames.get()) else silent.get()):
            return wrapped(*args, **kwargs)
        started = perf_counter_ns()
        try:
            value = wrapped(*args, **kwargs)
        except BaseException as error:
            hook.tell(args, kwargs, None, error, started)
            raise
        if not hook.is_off:
            try:
                method(args, kwargs, value, None, started)
                hook.failures = 0
            except Exception as error:  # noqa: BLE001
                hook.failed(error)
        return value

    return _found_in(patch.owner, watched)


def _watched_before(
    wrapped: Callable[..., Any], hook: GuardedHook, passes: Callable[[], bool], patch: Patch
) -> FunctionType:
    @functools.wraps(wrapped)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if passes() or not patch.on or (outer[-1].is_sealed if (outer := frames.get()) else silent.get()):
            return wrapped(*args, **kwargs)
        hook.tell(args, kwargs, None, None, perf_counter_ns())
        return wrapped(*args, **kwargs)

    return _found_in(patch.owner, watched)


def _found_in(owner: Any, function: Any) -> FunctionType:
    if isinstance(owner, ModuleType):  # a pickle looks for it here: where it is defined the original is
        function.__module__ = owner.__name__
    return function  # type: ignore[no-any-return]


def _plugged(integration: Integration, hook: GuardedHook, passes: Callable[[], bool]) -> Callable[..., None]:
    method = hook.method

    def told(*args: Any) -> None:
        if passes():
            # A compiler has its code do this, and makes that anew whenever what it reads has changed.
            setattr(integration.passed_over, f"_{id(args[0])}", True)
        elif not (hook.is_off or (outer[-1].is_sealed if (outer := frames.get()) else silent.get())):
            try:
                method(*args)
                hook.failures = 0
            except Exception as error:  # noqa: BLE001
                hook.failed(error)

    return told


def _question(unless: str | None) -> Callable[[], bool]:
    return found(unless) if unless else _never


def _never() -> bool:
    return False
