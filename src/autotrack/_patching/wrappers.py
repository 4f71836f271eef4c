"""What stands in the place of a patched function and passes for it.

Pickles never mention autotrack: a worker that unpickles gets the library's own function, and need
not have autotrack at all.
"""

from __future__ import annotations

import copy
import functools
import inspect
import operator
import sys
from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import Any, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

import wrapt

WraptForm = Callable[[Callable[..., Any], Any, tuple[Any, ...], Mapping[str, Any]], Any]
"""A wrapper that wrapt calls: `wrapper(wrapped, instance, args, kwargs)`."""


@runtime_checkable
class PlainWrapper(Protocol):
    """A wrapper that makes a function of Python's own kind, and stands around no other than such."""

    def plain(self, patch: Patch, wrapped: Callable[..., Any]) -> FunctionType:
        """The function that stands in the place of `wrapped`, and passes for it by `__wrapped__`."""


Wrapper = WraptForm | PlainWrapper

ABSENT: Any = object()
"""The entry of an attribute that its owner did not have itself."""


class Patch:
    """Where a patched function stands, which entry of `vars(owner)` it replaced, and whether it is on.

    wrapt asks it before each call. A method bound before the patch went off asks the same object,
    so it goes off as well.
    """

    __slots__ = ("attribute", "entry", "on", "owner")

    def __init__(self, owner: Any, attribute: str, entry: Any) -> None:
        self.owner = owner
        self.attribute = attribute
        self.entry = entry
        self.on = True

    def __call__(self) -> bool:
        return self.on


class PatchedMethod(wrapt.BoundFunctionWrapper):  # type: ignore[type-arg]  # wrapt 1 has no [...]
    """A patched function as its class or an instance gives it; pickled, it is that attribute again."""

    def _self_holder(self) -> Any:
        """What the method is an attribute of: instance or class."""
        owner = self._self_parent._self_patch.owner
        if self._self_binding == "staticmethod":
            return owner
        holder = getattr(self.__wrapped__, "__self__", self._self_instance)
        return owner if holder is None else holder

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return getattr, (self._self_holder(), self._self_parent._self_patch.attribute)

    def __copy__(self) -> PatchedMethod:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return getattr(copy.deepcopy(self._self_holder(), memo), self._self_parent._self_patch.attribute)


class PatchedFunction(wrapt.FunctionWrapper):  # type: ignore[type-arg]
    """A library's function with a wrapper around it, as it stands in `vars(patch.owner)`."""

    __bound_function_wrapper__ = PatchedMethod

    def __init__(self, patch: Patch, wrapped: Any, wrapper: WraptForm) -> None:
        super().__init__(wrapped, wrapper, patch)
        self._self_patch = patch
        self._self_unbound = self._self_from_class()

    def _self_from_class(self) -> Any:
        """What access through a class gives, if that is the same whichever the class.

        A plain function gives itself, and libraries compare with `is` to see what a subclass
        overrides; cloudpickle does to see whether it can pickle by name.
        """
        if isinstance(self._self_patch.owner, ModuleType):
            return self
        return super().__get__(None, self._self_patch.owner) if self._self_binding == "function" else None

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None and self._self_unbound is not None:
            return self._self_unbound
        return super().__get__(instance, owner)

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        found = _found_by_name(self)
        if found is self:
            return str(self.__qualname__)
        if not (isinstance(found, PatchedFunction) and found.__wrapped__ is self.__wrapped__):
            found = self._self_original()
        return operator.getitem, ((found,), 0)

    def _self_original(self) -> Any:
        wrapped: Any = self.__wrapped__
        return wrapped.inherited if isinstance(wrapped, Inherited) else wrapped

    def __copy__(self) -> PatchedFunction:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> PatchedFunction:
        return self


class Inherited:
    """Stands for an attribute that `owner` inherits: access goes on along the MRO, as without us.

    The inherited function itself would be the wrong one in a subclass with another base that
    overrides it, or once the user replaces it.
    """

    def __init__(self, owner: type, attribute: str, inherited: Any) -> None:
        functools.update_wrapper(self, inherited)  # type: ignore[arg-type]  # it need not be callable
        self.inherited = inherited
        self._owner = owner
        self._attribute = attribute

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return getattr(super(self._owner, owner if instance is None else instance), self._attribute)


plain_patches: WeakKeyDictionary[Any, Patch] = WeakKeyDictionary()
"""Of the plain functions: beside them, as `functools.wraps` copies what stands on a function."""


def patch_of(value: Any) -> Patch | None:
    """The patch that `value` is the function or a method of."""
    if type(value) is FunctionType:
        return plain_patches.get(value)
    function = value._self_parent if isinstance(value, PatchedMethod) else value
    return function._self_patch if isinstance(function, PatchedFunction) else None


def put_in_place(patch: Patch, wrapped: Any, wrapper: Wrapper) -> Any:
    """What is to stand in the place of `wrapped`. Raises TypeError where it must be plain and cannot."""
    if not isinstance(wrapper, PlainWrapper):
        return PatchedFunction(patch, wrapped, wrapper)
    if not inspect.isfunction(wrapped):
        raise TypeError(f"{patch.attribute} is no plain function: {wrapped!r}")
    function = wrapper.plain(patch, wrapped)
    plain_patches[function] = patch
    return function


def _found_by_name(function: Any) -> Any:
    """What another process finds under the function's module and name; None if nothing."""
    try:
        return operator.attrgetter(function.__qualname__)(sys.modules[function.__module__])
    except (AttributeError, KeyError):
        return None
