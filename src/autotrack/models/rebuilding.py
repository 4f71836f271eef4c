"""A torch module made again from what `structure.py` told of it.

Nothing is called that the description names: no `__init__`, no function. It names torch's own layers; any
other class or function it may name as far as the caller permits it. What is not as torch has it is refused.
"""

from __future__ import annotations

import enum
import json
from collections import Counter, OrderedDict
from collections.abc import Mapping
from functools import partial
from types import MethodType
from typing import Any

from ..errors import ModelError
from ..flavor import Permissions
from ..forms.loader import imported
from ..forms.modules import ModuleReader
from . import sizes
from .layers import hides, is_torchs, known, method
from .structure import HOOKS, INTERNALS

MOST_BYTES = 64 << 20
"""Of a description: each of its values takes a hundred times its bytes."""
MOST_MODULES = 1 << 20
"""Layers, counted wherever they are used: a few that hold each other twice can stand for any number."""
MOST_ALIKE = 1000
"""Keys that have one hash with others: each is compared with all of them."""
LONGEST_NAME = 200
"""Of a logger: `logging` keeps something for each dot in it, by all that stands before, and for ever."""
MOST_LOGGERS = 100
_SET_BY_TORCH = {*INTERNALS, *HOOKS}
_OF_ITEMS = ("tuple", "set", "frozenset", "complex", "slice")
"""Forms of a list. Of other things there may be any number of items: of a tensor without numbers 2**40."""
_CONSTANTS = ("dtype", "memory_format", "layout")
_FORMS = {
    *("sharing", "same", "float", "complex", "bytes", "tuple", "set", "frozenset", "dict", "mapping"),
    *("slice", "pattern", "logger", "path", "partial", "name", "enum", "namedtuple", "object"),
    *("module", "parameter", "tensor", "array", "scalar", "shape", "constant", "device", "weakref", "method"),
}
"""What a description may tell values as: the plain ones, and those that torch has."""
_MAPPINGS = {("collections", "OrderedDict"): OrderedDict, ("collections", "Counter"): Counter}


class NotPermitted(ModelError):
    """A description names what is not torch's, and the caller has not allowed that."""


class Damaged(ModelError):
    """A description is no JSON: what else stands in the model is not to be relied on either."""


def rebuilt(
    description: bytes, tensors: Mapping[str, Any], source: bytes | None, permissions: Permissions
) -> Any:
    """The module, in eval mode. Raises `NotPermitted`, `Damaged`, and `ModelError` for what is refused.

    tensors: by the names that the description has for them. source: where the user's classes are found in
    what comes with the model, as JSON.
    """
    if len(description) > MOST_BYTES:
        raise ModelError(f"the module's description has more than {MOST_BYTES:,} bytes")
    try:
        names = _Names({} if source is None else json.loads(source), permissions)
        made = _CheckedReader(tensors, names).made(json.loads(description))
    except ModelError:
        raise
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"the module's description is no JSON ({error}); fetch the model again") from error
    except Exception as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ModelError(
            f"the module cannot be made again from its description ({type(error).__name__}: {reason})"
        ) from error
    import torch

    if not isinstance(made, torch.nn.Module):
        raise ModelError("the module's description is of something else")
    return made


class _Names:
    """Finds what a description names, as far as that is permitted."""

    def __init__(self, source: Mapping[str, Any], permissions: Permissions) -> None:
        kept = source if permissions.code else {}  # else it could turn a trusted name into any other
        self._package = str(kept.get("package", ""))
        self._kept: Mapping[str, Any] = kept.get("names", {})
        self._permissions = permissions

    def permit(self, name: str) -> bool:
        return self._permissions.code or name in self._permissions.trusted

    def found(self, module: str, path: str) -> Any:
        if found := _MAPPINGS.get((module, path)) or known().get((module, path)):
            return found
        name = f"{module}.{path}"
        if not self.permit(name):
            raise NotPermitted(name)
        module, path = self._kept.get(name, (module, path))
        try:
            return imported(module, path, self._package)
        except (ImportError, AttributeError):
            raise ModelError(
                f"it is made of {name}, which is not to be found here; log_model where it is known keeps its "
                "source too"
            ) from None


class _CheckedReader(ModuleReader):
    """Makes only what torch has, or the caller permits, and as torch has it; see `ModuleReader`."""

    def __init__(self, tensors: Mapping[str, Any], names: _Names) -> None:
        super().__init__(tensors, {})
        self._names = names
        self._begun: set[int] = set()
        self._whole: dict[int, Any] = {}
        """The modules that all is set of, by their ids, which are no others' as long as they are here."""
        self._reached = 0
        """Modules that a `forward` may come to, each as often as it may."""
        self._loggers: set[str] = set()
        self._within: dict[int, int] = {}
        """So many of them in each value that others refer to."""

    def made(self, told: Any) -> Any:
        if isinstance(told, dict):
            if len(told) != 1 or not told.keys() <= _FORMS:
                raise ModelError(f"the module's description has an unknown form: {', '.join(told)[:80]}")
            [(name, content)] = told.items()
            if name in _OF_ITEMS and type(content) is not list:
                raise ModelError(f"the module's description has a {name} of no list")
        return super().made(told)

    def _same(self, number: int) -> Any:
        if number in self._shared:
            self._reach(self._within.get(number, 0))
            return self._shared[number]
        if type(number) is not int or not 0 <= number < len(self._contents) or number in self._begun:
            raise ModelError("a value in the module's description is missing, or holds itself")
        self._begun.add(number)
        before = self._reached
        made = _not_nested(super()._same(number))
        self._within[number] = self._reached - before
        return made

    def _reach(self, modules: int) -> None:
        self._reached += modules
        if self._reached > MOST_MODULES:
            raise ModelError(f"the module has more than {MOST_MODULES:,} layers")

    # --- what is looked up by its hash ---------------------------------------------------------------

    def _set(self, items: list[Any]) -> Any:
        return set(_apart(self.made(items)))

    def _frozenset(self, items: list[Any]) -> Any:
        return frozenset(_apart(self.made(items)))

    def _dict(self, pairs: list[Any]) -> Any:
        made = [(self.made(key), self.made(value)) for key, value in pairs]
        _apart([key for key, _ in made])
        return dict(made)

    def _logger(self, name: str) -> Any:
        self._loggers.add(name)
        if len(name) > LONGEST_NAME or len(self._loggers) > MOST_LOGGERS:
            raise ModelError("the module's description has a logger with a long name, or too many")
        return super()._logger(name)

    # --- what is named -------------------------------------------------------------------------------

    def _name(self, told: list[str]) -> Any:
        """Of torch's own only functions: a class would be called, with whatever stands beside it."""
        found = self._names.found(*told)
        if isinstance(found, type) and not self._names.permit(name := ".".join(told)):
            raise NotPermitted(name)
        return found

    def _kind(self, told: Any, base: type) -> Any:
        kind = self._names.found(*told["name"])
        if not isinstance(kind, type) or not issubclass(kind, base):
            raise ModelError(f"the module's description takes {kind!r:.80} for a {base.__name__}")
        return kind

    def _mapping(self, told: list[Any]) -> Any:
        made = self._kind(told[0], dict)()
        made.update(_of(dict, self.made(told[1])))
        return made

    def _partial(self, told: list[Any]) -> Any:
        function, arguments, named = self.made(told)
        return partial(function, *_of(list, arguments), **_of(dict, named))

    def _enum(self, told: list[Any]) -> Any:
        return self._kind(told[0], enum.Enum)(self.made(told[1]))

    def _namedtuple(self, told: list[Any]) -> Any:
        return tuple.__new__(self._kind(told[0], tuple), _of(list, self.made(told[1])))

    def _object(self, told: list[Any]) -> Any:
        if is_torchs(self._kind(told[0], object)):
            raise ModelError("the module's description takes a layer of torch's for a plain object")
        return super()._object(told)

    def _method(self, told: list[Any]) -> Any:
        module, name = self.made(told[0]), told[1]
        if (found := method(type(module), name)) is None:
            raise ModelError(
                f"the module's description has a method that a {type(module).__qualname__} may not give: "
                f"{str(name)[:80]}"
            )
        return MethodType(found, module)

    # --- what torch has ------------------------------------------------------------------------------

    def _module(self, told: Mapping[str, Any], number: int | None = None) -> Any:
        made = super()._module(told, number)
        if is_torchs(type(made)):
            sizes.check(made)
        children = vars(made)["_modules"].values()
        if any(child is not None and id(child) not in self._whole for child in children):
            raise ModelError("a module in the description is in itself")
        self._whole[id(made)] = made
        self._reach(1)
        return made

    def _class(self, told: Any) -> Any:
        import torch

        return self._kind(told, torch.nn.Module)

    def _members(self, pairs: Any, kind: type) -> dict[str, Any]:
        made = super()._members(pairs, kind)
        for name, value in made.items():
            if value is not None and not isinstance(value, kind):
                raise ModelError(f"{name[:80]!r} in the module's description is no {kind.__name__}")
        return made

    def _attributes(self, kind: type, pairs: Any) -> dict[str, Any]:
        """No layer of torch's is given another method, and none of anybody's what torch itself sets."""
        before = self._reached
        made = super()._attributes(kind, pairs)
        if not is_torchs(kind):  # the user's own code, which may have its layers in lists many times
            self._reached = before
        for name in made:
            if name in _SET_BY_TORCH or hides(kind, name):
                raise ModelError(f"the module's description sets {name[:80]!r} of a {kind.__qualname__}")
        return made

    def _tensor(self, told: list[Any]) -> Any:
        name, _, order, *_ = told
        found = self._tensors.get(name)
        if found is None:
            raise ModelError(f"the model's weights lack {str(name)[:80]!r}, which its description names")
        if order is not None and sorted(order) != [*range(found.dim())]:
            raise ModelError(f"the weights of {str(name)[:80]!r} are not as the description has them")
        return super()._tensor(told)

    def _tagged(self, tensor: Any, tags: Any = ()) -> Any:
        for name, value in tags:
            is_plain = not isinstance(value, (list, dict)) or [*value] == ["float"]
            if type(name) is not str or not is_plain or hasattr(type(tensor), name):
                raise ModelError(f"the module's description sets {str(name)[:80]!r} of a tensor")
        return super()._tagged(tensor, tags)

    def _constant(self, name: str) -> Any:
        import torch

        found = vars(torch).get(name)
        if type(found).__name__ not in _CONSTANTS:
            raise ModelError(f"torch.{name[:80]} is no type of numbers")
        return found


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ModelError(
            f"the module's description takes {type(value).__qualname__} for a {kind.__qualname__}"
        )
    return value


def _apart(keys: list[Any]) -> list[Any]:
    """Raises `ModelError` where many of them have one hash: it can be reckoned which numbers do."""
    if len(keys) - len({hash(key) for key in keys}) > MOST_ALIKE:
        raise ModelError("the module's description has too many keys that are alike")
    return keys


def _not_nested(value: Any) -> Any:
    """Refuses to be shared what cannot be changed: no description needs that.

    Its hash is reckoned anew for each place where it stands, and a few that hold each other twice have any
    number of places.
    """
    import torch

    if isinstance(value, (tuple, frozenset, slice)) and not isinstance(value, torch.Size):
        raise ModelError(f"the module's description shares a {type(value).__qualname__}")
    return value
