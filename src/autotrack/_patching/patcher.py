"""Putting patches on, and taking them off so that `vars()` of every owner is what it was."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from ..interrupts import pass_on
from .wrappers import ABSENT, Inherited, Patch, Wrapper, patch_of, put_in_place

log = logging.getLogger("autotrack")

_lock = threading.RLock()
"""One for all patchers, as two may patch the same function; reentrant, as classes may be made under it."""

if hasattr(os, "register_at_fork"):
    # A child forked while another thread holds the lock could never define a class again.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class Patcher:
    """Patches that are taken off together.

    It holds them weakly: a class that was patched is collected like any other.
    """

    def __init__(self) -> None:
        self._functions: dict[int, weakref.ref[Any]] = {}
        self._warned: set[str] = set()

    def patch(self, owner: type | ModuleType, attribute: str, wrapper: Wrapper) -> None:
        """Put `wrapper` around the function; if it is patched already, the first wrapper stays.

        For a module's function the user's modules that imported it earlier get the patched one too.
        Patch it where users take it from (`sklearn.metrics:accuracy_score`), not where it is defined:
        an original that somebody kept cannot be pickled while its own name leads to something else.

        Raises AttributeError if it is missing, TypeError if it is no function.
        """
        value = getattr(owner, attribute)  # before the lock: a lazy module imports here
        entry = _lookup(owner.__mro__, attribute) if isinstance(owner, type) else value
        if not _is_function(entry, value):
            raise TypeError(f"{owner.__name__}.{attribute} is no function that can be patched: {value!r}")
        with _lock:
            if _is_patched(owner, attribute):
                return
            function = self._put_on(owner, attribute, wrapper)
            if isinstance(owner, ModuleType):
                rebind([(function.__wrapped__, function)])

    def patch_public(self, module: ModuleType, wrapper: Wrapper) -> None:
        """The same for every function that the module lists in `__all__`."""
        with _lock:
            names = [name for name in module.__all__ if inspect.isfunction(getattr(module, name, None))]
            put_on = [self._put_on(module, n, wrapper) for n in names if not _is_patched(module, n)]
            rebind([(function.__wrapped__, function) for function in put_on])

    def patch_subclasses(self, base: type, attribute: str, wrapper: Wrapper, mixins: bool = True) -> None:
        """Patch `attribute` on `base` and on every subclass, existing or yet to come, that has its own.

        With `mixins` its own is also what a subclass gets from a class outside the family. Abstract
        methods, None and whatever is no function are left alone.
        """

        def init_subclass(
            wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
        ) -> Any:
            result = wrapped(*args, **kwargs)
            with _lock:
                if patch is not None and patch.on:  # another thread may just have taken it off
                    cls = getattr(wrapped, "__self__", None)
                    self._patch_member(cls, base, attribute, wrapper, mixins)
            return result

        with _lock:
            patch = patch_of(self._put_on(base, "__init_subclass__", init_subclass))
            for cls in family(base):
                self._patch_member(cls, base, attribute, wrapper, mixins)

    def patches(self) -> list[Patch]:
        """Those that it put on."""
        return [patch for _, patch in self._patched()]

    def unpatch(self) -> None:
        """Take everything off.

        What somebody else wrapped in the meantime stays under his wrapper, switched off.
        """
        with _lock:
            patched = self._patched()
            self._functions.clear()
            for _, patch in patched:
                self._take_off(patch)
            of_modules = [function for function, patch in patched if isinstance(patch.owner, ModuleType)]
            rebind([(function, function.__wrapped__) for function in of_modules])

    def _patched(self) -> list[tuple[Any, Patch]]:
        functions = [f for ref in list(self._functions.values()) if (f := ref()) is not None]
        return [(f, patch) for f in functions if (patch := patch_of(f)) is not None]

    def _patch_member(self, cls: Any, base: type, attribute: str, wrapper: Wrapper, mixins: bool) -> None:
        """Never raises: this runs inside the user's class statements."""
        try:
            definer = _definer(cls, attribute)
            if definer is None or (definer is not cls and (base in definer.__mro__ or not mixins)):
                return
            is_function = _is_function(vars(definer)[attribute], getattr(cls, attribute, None))
            if is_function and not _is_patched(cls, attribute):
                self._put_on(cls, attribute, wrapper)
        except Exception as error:  # noqa: BLE001  metaclasses and descriptors may raise anything
            pass_on(error)
            self._warn("is not tracked", cls, attribute, error)

    def _put_on(self, owner: Any, attribute: str, wrapper: Wrapper) -> Any:
        entry = _without_dead(owner, attribute, vars(owner).get(attribute, ABSENT))
        function = put_in_place(Patch(owner, attribute, entry), _wrapped(owner, attribute, entry), wrapper)
        setattr(owner, attribute, function)
        key, functions = id(function), self._functions
        functions[key] = weakref.ref(function, lambda _: functions.pop(key, None))
        return function

    def _take_off(self, patch: Patch) -> None:
        patch.on = False
        try:
            if patch_of(vars(patch.owner).get(patch.attribute)) is patch:
                _restore(patch)
        except Exception as error:  # noqa: BLE001  the others are still to be taken off
            pass_on(error)
            self._warn("stays wrapped, switched off", patch.owner, patch.attribute, error)

    def _warn(self, what: str, owner: Any, attribute: str, error: Exception) -> None:
        """One line per attribute: a thousand classes that fail the same way are one problem."""
        level = logging.DEBUG if attribute in self._warned else logging.WARNING
        self._warned.add(attribute)
        name = getattr(owner, "__qualname__", getattr(owner, "__name__", owner))
        log.log(level, "autotrack: %s.%s %s: %r", name, attribute, what, error)


def rebind(replacements: Sequence[tuple[Any, Any]]) -> None:
    """Put the second of each pair wherever a module of the user's has the first under a name.

    The user's are `__main__` and what lies outside site-packages and the standard library. A library's
    own modules are not, even if it is installed from a working copy. All pairs are of one library.
    """
    if not replacements:
        return
    library = str(getattr(replacements[0][0], "__module__", None)).partition(".")[0]
    by_id = {id(original): replacement for original, replacement in replacements}
    for namespace in _user_namespaces(library):
        for name, value in list(namespace.items()):
            if id(value) in by_id:
                namespace[name] = by_id[id(value)]


def _user_namespaces(library: str) -> Iterator[dict[str, Any]]:
    for name, module in sys.modules.copy().items():
        # Not isinstance, not getattr: both would load a lazy module.
        if issubclass(type(module), ModuleType):
            namespace = object.__getattribute__(module, "__dict__")
            is_users = name == "__main__" or _is_users_file(namespace.get("__file__"))
            if is_users and name.partition(".")[0] != library:
                yield namespace


_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep


def _is_users_file(path: Any) -> bool:
    return (
        isinstance(path, str)
        and not path.startswith(_STANDARD_LIBRARY)
        and "site-packages" not in path
        and "dist-packages" not in path
    )


def family(base: type) -> list[type]:
    """`base` and all its subclasses, parents before children."""
    found: dict[int, type] = {id(base): base}
    pending = [base]
    for cls in pending:
        subclasses: list[type] = type.__subclasses__(cls)
        new = {id(sub): sub for sub in subclasses if id(sub) not in found}
        found |= new
        pending += new.values()
    return sorted(found.values(), key=lambda cls: len(cls.__mro__))


def _definer(cls: type, attribute: str) -> type | None:
    """The class whose attribute `cls` has."""
    return next((c for c in cls.__mro__ if attribute in vars(c)), None)


def _lookup(classes: Sequence[type], attribute: str) -> Any:
    """The attribute as it stands in `vars()` of the first class that has it."""
    for cls in classes:
        if attribute in vars(cls):
            return vars(cls)[attribute]
    raise AttributeError(f"{classes[0].__name__} has no attribute {attribute!r}")


def _is_function(entry: Any, value: Any) -> bool:
    """Whether `entry` of `vars()`, which gives `value` on access, can be wrapped as a function."""
    return (
        callable(value)
        and not isinstance(entry, type)
        and not hasattr(type(entry), "__set__")  # a property of some kind
        and not getattr(entry, "__isabstractmethod__", False)
    )


def _is_patched(owner: Any, attribute: str) -> bool:
    """Whether a patch is on here, even under somebody else's wrapper."""

    def is_on(value: Any) -> bool:
        patch = _patch_at(owner, attribute, value)
        return patch is not None and patch.on

    return is_on(inspect.unwrap(vars(owner).get(attribute, ABSENT), stop=is_on))


def _without_dead(owner: Any, attribute: str, entry: Any) -> Any:
    """What is left of an entry once the patches on top of it that are off are gone."""
    while (patch := _patch_at(owner, attribute, entry)) is not None and not patch.on:
        entry = patch.entry
    return entry


def _patch_at(owner: Any, attribute: str, value: Any) -> Patch | None:
    """The patch that `value` is of, if it is one of this very place."""
    patch = patch_of(value)
    return patch if patch is not None and patch.owner is owner and patch.attribute == attribute else None


def _wrapped(owner: Any, attribute: str, entry: Any) -> Any:
    """What a patch wraps: the entry, so that static and class methods stay such."""
    if entry is not ABSENT:
        return entry
    if isinstance(owner, type):
        return Inherited(owner, attribute, _lookup(owner.__mro__[1:], attribute))
    return getattr(owner, attribute)


def _restore(patch: Patch) -> None:
    entry = _without_dead(patch.owner, patch.attribute, patch.entry)
    if entry is ABSENT:
        delattr(patch.owner, patch.attribute)
    else:
        setattr(patch.owner, patch.attribute, entry)
