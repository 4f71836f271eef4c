"""The wrapper of a method that is told of every call of a function, by whoever it is made."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ..integration import Hook, Integration, Seen
from .frames import is_off
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
        return _watched(wrapped, self._hook.tell, _question(self._unless), patch)

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


def plugged(integration: Integration, hook: GuardedHook, unless: str | None) -> Callable[..., None]:
    """What is given to a library as a hook of its own kind."""
    return _plugged(integration, hook.tell, _question(unless))


def our_codes() -> list[CodeType]:
    """Of the functions that stand between a library and its user, for compilers that are to skip them."""
    return [c for f in (_watched, _plugged) for c in f.__code__.co_consts if isinstance(c, CodeType)]


def _watched(
    wrapped: Callable[..., Any], tell: Callable[[Seen], None], passes: Callable[[], bool], patch: Patch
) -> FunctionType:
    @functools.wraps(wrapped)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if passes() or not patch.on or is_off():
            return wrapped(*args, **kwargs)
        started = perf_counter_ns()
        try:
            value = wrapped(*args, **kwargs)
        except BaseException as error:
            tell(Seen(args, kwargs, None, error, started))
            raise
        tell(Seen(args, kwargs, value, None, started))
        return value

    if isinstance(patch.owner, ModuleType):  # a pickle looks for it here: where it is defined the original is
        watched.__module__ = patch.owner.__name__
    return watched  # type: ignore[return-value]


def _plugged(
    integration: Integration, tell: Callable[..., None], passes: Callable[[], bool]
) -> Callable[..., None]:
    def hook(*args: Any) -> None:
        if passes():
            integration.passed_over = True
        elif not is_off():
            tell(*args)

    return hook


def _question(unless: str | None) -> Callable[[], bool]:
    return found(unless) if unless else _never


def _never() -> bool:
    return False
