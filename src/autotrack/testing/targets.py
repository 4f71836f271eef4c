"""Where an integration's patches stand, and what users pass to the functions there."""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

from .._patching.patcher import Patcher
from .._patching.targets import patch_target
from .._patching.wrappers import Patch, PlainWrapper, Wrapper, patch_of
from ..integration import Call, Hook, Integration, Kind
from .fingerprint import fingerprint

Place = tuple[Any, str]
"""A module or class, and the attribute of it that is patched."""


def targets(integration: type[Integration]) -> list[tuple[Hook, str]]:
    """Each target that is patched, with its hook."""
    hooks = [hook for hook in integration.hooks() if hook.kind not in (Kind.PLUG, Kind.IMPORTED)]
    return [(hook, target) for hook in hooks for target in hook.targets]


def places_of(target: str, hook: Hook) -> list[Place]:
    """Where a target leads; autotrack is off.

    Raises ImportError, AttributeError, TypeError if it leads nowhere or to no function.
    """
    patcher = Patcher()
    try:
        patch_target(patcher, _module(target), target, hook, _go_on)
        return [(patch.owner, patch.attribute) for patch in patcher.patches() if _is_functions(patch)]
    finally:
        patcher.unpatch()


def places(integration: type[Integration]) -> list[Place]:
    """Where all targets lead; autotrack is off."""
    return [place for hook, target in targets(integration) for place in places_of(target, hook)]


def times_patched(owner: Any, attribute: str) -> int:
    """How many patches are on there, one over the other."""
    times = 0
    value = vars(owner).get(attribute)
    while value is not None:
        patch = patch_of(value)
        if patch is not None and patch.on and (patch.owner, patch.attribute) == (owner, attribute):
            times += 1
        value = getattr(value, "__wrapped__", None)
    return times


def _module(target: str) -> ModuleType:
    return importlib.import_module(target.partition(":")[0])


def _is_functions(patch: Patch) -> bool:
    """Not one that only watches for new subclasses."""
    return patch.attribute != "__init_subclass__"


def _go_on(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    return wrapped(*args, **kwargs)


@dataclass(frozen=True)
class Seen:
    """One call of the user's own, and what it was given; read it when the call is over."""

    function: Callable[..., Any]
    instance: Any
    arguments: dict[str, Any]

    def fingerprints(self) -> dict[str, Any]:
        """Of what it was given, by name, and of the attributes of the object that it is a method of."""
        attributes = getattr(self.instance, "__dict__", {})
        everything = {**self.arguments, **{f"self.{name}": value for name, value in attributes.items()}}
        return {name: fingerprint(value) for name, value in everything.items()}


class Spy:
    """Notes the calls of an integration's targets that the test's thread makes, not those inside them.

    meet: how many calls, each in a thread of its own, wait for each other before they go on.
    """

    def __init__(self, meet: int = 1) -> None:
        self.seen: list[Seen] = []
        self._thread = threading.get_ident()
        self._inside = threading.local()
        self._barrier = threading.Barrier(meet)
        self._still_to_meet = iter(range(meet if meet > 1 else 0))

    @contextlib.contextmanager
    def over_autotrack(self) -> Iterator[None]:
        """Around what autotrack does, where it is enabled inside this context."""
        put_on = Patcher._put_on

        def put_on_spied(patcher: Patcher, owner: Any, attribute: str, wrapper: Wrapper) -> Any:
            is_target = attribute != "__init_subclass__"
            return put_on(patcher, owner, attribute, self._around(wrapper) if is_target else wrapper)

        Patcher._put_on = put_on_spied  # type: ignore[assignment,method-assign]
        try:
            yield
        finally:
            Patcher._put_on = put_on  # type: ignore[method-assign]

    @contextlib.contextmanager
    def in_place_of_autotrack(self, integration: type[Integration]) -> Iterator[None]:
        """Where it would be, while it is off."""
        patcher, spied = Patcher(), self._around(_go_on)
        for hook, target in targets(integration):
            patch_target(patcher, _module(target), target, hook, spied)
        try:
            yield
        finally:
            patcher.unpatch()

    def _around(self, wrapper: Wrapper) -> Wrapper:
        if isinstance(wrapper, PlainWrapper):
            return _SpiedPlain(self, wrapper)

        def spied(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
            with self.noting(wrapped, instance, args, kwargs):
                return wrapper(self.meeting(wrapped), instance, args, kwargs)

        return spied

    @contextlib.contextmanager
    def noting(self, wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Iterator[None]:
        """Around one call, as wrapt tells of it."""
        depth = getattr(self._inside, "depth", 0)
        if not depth and threading.get_ident() == self._thread:
            self.seen.append(Seen(wrapped, instance, Call(wrapped, instance, args, kwargs).arguments))
        self._inside.depth = depth + 1
        try:
            yield
        finally:
            self._inside.depth = depth

    def meeting(self, wrapped: Callable[..., Any]) -> Callable[..., Any]:
        """It, waiting for the other threads' calls as long as some are still to come."""
        if self._inside.depth > 1 or next(self._still_to_meet, None) is None:
            return wrapped

        @functools.wraps(wrapped)
        def meeting(*args: Any, **kwargs: Any) -> Any:
            with contextlib.suppress(threading.BrokenBarrierError):  # the library lets in one at a time
                self._barrier.wait(timeout=5)
            return wrapped(*args, **kwargs)

        return meeting


class _SpiedPlain:
    """A wrapper that makes plain functions, with the spy around each: what users run is what is tested."""

    def __init__(self, spy: Spy, wrapper: PlainWrapper) -> None:
        self._spy = spy
        self._wrapper = wrapper

    def plain(self, patch: Patch, wrapped: Callable[..., Any]) -> FunctionType:
        @functools.wraps(wrapped)
        def meeting(*args: Any, **kwargs: Any) -> Any:
            return self._spy.meeting(wrapped)(*args, **kwargs)

        function = self._wrapper.plain(patch, meeting)
        is_method = isinstance(patch.owner, type)

        @functools.wraps(function)
        def spied(*args: Any, **kwargs: Any) -> Any:
            instance, given = (args[0], args[1:]) if is_method else (None, args)
            bound = wrapped.__get__(instance) if is_method else wrapped
            with self._spy.noting(bound, instance, given, kwargs):
                return function(*args, **kwargs)

        spied.__wrapped__ = wrapped  # where a patch is taken off of a module this is put back
        return spied  # type: ignore[return-value]
