"""What an object consists of, as JSON: read from its attributes, with none of its code run.

`loader.py` reads the same again: what is written here under a name, a method of that name makes there.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import math
import re
import sys
import types
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ..flavor import NotKept

_NAMED = (types.FunctionType, types.BuiltinFunctionType, type)
_COMPILED = "cython_function_or_method"  # each Cython module has a class of its own so named
_NEVER_SHARED = (tuple, frozenset, slice, complex, bytes)
"""What nobody can change: a copy is as good."""
_MAPPINGS = {
    *("collections.OrderedDict", "collections.Counter", "sklearn.utils._bunch.Bunch"),
    *("lightning.fabric.utilities.data.AttributeDict", "lightning_fabric.utilities.data.AttributeDict"),
}
"""Kinds of dict that are nothing more than their items."""
_TEXT = 64
"""So much of a text, or of bytes, takes the time of a value."""
STARTED = ("__main__", "__mp_main__")
"""Modules that are another thing in every process."""


Form = Callable[[Any, type, str], Any]
"""What a value of this class is told as; None where the form is not for it. The text is what errors say."""


class References(Protocol):
    """How functions and classes are referred to."""

    def reference(self, item: Any) -> list[str]:
        """Module and qualified name of a function or class. Raises `NotKept`."""


class Forms:
    """Tells values; what several of them refer to is told once. Kinds of it tell more than plain values."""

    kept: str = "JSON values, functions, enums, dataclasses and objects of your own classes"
    """What has a form, as errors say it."""

    def __init__(self, references: References) -> None:
        self._code = references
        self.most: float = math.inf  # values; whoever tells in the time of a call sets a limit
        self._walked = 0
        self._inside: set[int] = set()
        self._met: dict[int, tuple[int, Any]] = {}  # the values as well: an id is of what lives
        self._contents: list[Any] = []
        self._uses: list[int] = []

    def forms(self) -> Collection[Form]:
        """All that there are, in the order in which they are tried."""
        return (self._plain, self._code_told, self._named)

    def told(self, value: Any, where: str) -> Any:
        """A value, or {"same": its place among the contents}; `where` is what errors call it.

        Raises `NotKept`.
        """
        kind = type(value)
        self._counted(value, kind, where)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if id(value) in self._met:
            number, _ = self._met[id(value)]
            self._uses[number] += 1
            return {"same": number}
        if id(value) in self._inside:
            raise NotKept(f"{where} holds itself, which has no form here; {self._advice}")
        self._inside.add(id(value))
        try:
            for form in self.forms():
                if (found := form(value, kind, where)) is not None:
                    is_alone = kind in _NEVER_SHARED or form in (self._code_told, self._named)
                    return found if is_alone else self._shareable(value, found)
        finally:
            self._inside.discard(id(value))
        raise NotKept(
            f"{where} is a {kind.__module__}.{kind.__qualname__}, which has no safe form; {self._advice}"
        )

    def _counted(self, value: Any, kind: type, where: str) -> None:
        self._walked += 1 + (len(value) // _TEXT if kind in (str, bytes) else 0)
        if self._walked > self.most:
            raise NotKept(
                f"it holds more than {self.most:,} values, {where} beyond them; tables are better kept in "
                "tensors, or in files beside it"
            )

    # --- what several refer to ------------------------------------------------------------------------

    def _shareable(self, value: Any, found: Any) -> Any:
        number = self._numbered(value)
        self._contents[number] = found
        return {"same": number}

    def _numbered(self, value: Any) -> int:
        """Its place among the contents; it may be referred to from now on."""
        number = len(self._contents)
        self._met[id(value)] = number, value
        self._contents.append(None)
        self._uses.append(1)
        return number

    def document(self, told: Any) -> Any:
        """With what is used once in its place, and what is used more often told once, beside it."""
        places: dict[int, int] = {}
        shared: dict[int, Any] = {}

        def placed(told: Any) -> Any:
            if isinstance(told, list):
                return [placed(one) for one in told]
            if not isinstance(told, dict):
                return told
            if "same" not in told:
                return {name: placed(content) for name, content in told.items()}
            number = told["same"]
            if self._uses[number] == 1:
                return placed(self._contents[number])
            if number not in places:
                places[number] = place = len(places)
                shared[place] = placed(self._contents[number])
            return {"same": places[number]}

        made = placed(told)
        return {"sharing": [[shared[place] for place in range(len(places))], made]} if places else made

    # --- forms; each gives None for what is not its own -----------------------------------------------

    def _plain(self, value: Any, kind: type, where: str) -> Any:
        if kind is list:
            return self._items(value, where)
        if kind in (tuple, set, frozenset):
            items = self._items(value, where)
            return {kind.__name__: items if kind is tuple else sorted(items, key=repr)}
        if kind is dict:
            return self._pairs(value, where)
        if f"{kind.__module__}.{kind.__qualname__}" in _MAPPINGS:
            return {"mapping": [self._kind(kind), self._pairs(value, where)]}
        if kind is slice:
            return {"slice": self._items((value.start, value.stop, value.step), where)}
        if kind is complex:
            return {"complex": [self.told(value.real, where), self.told(value.imag, where)]}
        return {"bytes": b64encode(value).decode()} if kind is bytes else None

    def _pairs(self, value: dict[Any, Any], where: str) -> Any:
        return {
            "dict": [
                [self.told(key, f"a key of {where}"), self.told(item, f"{where}[{_shown(key)}]")]
                for key, item in dict.items(value)
            ]
        }

    def _items(self, values: Any, where: str) -> list[Any]:
        return [self.told(item, f"{where}[{i}]") for i, item in enumerate(values)]

    def _code_told(self, value: Any, kind: type, where: str) -> Any:
        is_named = issubclass(kind, _NAMED) or kind.__name__ == "_lru_cache_wrapper"
        may_be_named = kind.__name__ == _COMPILED or kind.__module__ == "numpy"
        if is_named or (may_be_named and hasattr(value, "__qualname__") and is_importable(value)):
            return {"name": self._code.reference(value)}
        if kind is partial:
            self._refuse_more(value, kind, where)
            named = self.told(value.keywords, where)
            return {"partial": [self.told(value.func, where), self.told([*value.args], where), named]}
        return None

    def _named(self, value: Any, kind: type, where: str) -> Any:
        if issubclass(kind, enum.Enum):
            return {"enum": [self._kind(kind), self.told(object.__getattribute__(value, "_value_"), where)]}
        if issubclass(kind, Path):
            return {"path": str(value)}
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            self._refuse_more(value, kind, where)
            return {"namedtuple": [self._kind(kind), self._items(tuple.__iter__(value), where)]}
        if kind is re.Pattern:
            return {"pattern": [self.told(value.pattern, where), value.flags]}
        return {"logger": value.name} if kind is logging.Logger else None

    def _refuse_more(self, value: Any, kind: type, where: str) -> None:
        """Its form has no place for attributes that somebody has set."""
        with contextlib.suppress(AttributeError):  # it cannot have any
            for name in object.__getattribute__(value, "__dict__"):
                raise NotKept(f"{where} is a {kind.__qualname__} with an attribute {name}; {self._advice}")

    def _attributes(self, value: Any, kind: type, where: str) -> Any:
        try:
            object.__new__(kind)
        except TypeError:
            raise NotKept(
                f"{where or 'the model'} is a {kind.__module__}.{kind.__qualname__}, which holds more than "
                f"its attributes; {self._advice}"
            ) from None
        dot = f"{where}." if where else "attribute "
        state = [[name, self.told(item, f"{dot}{name}")] for name, item in attributes_of(value, kind)]
        return {"object": [self._kind(kind), {"dict": state}]}

    @property
    def _advice(self) -> str:
        return f"kept are {self.kept}"

    def _kind(self, kind: type) -> Any:
        return {"name": self._code.reference(kind)}


def attributes_of(value: Any, kind: type) -> Iterator[tuple[str, Any]]:
    """Of its `__dict__` and its slots, by what Python itself does, whatever the class has overridden."""
    with contextlib.suppress(AttributeError):  # it has none
        yield from [*object.__getattribute__(value, "__dict__").items()]
    yield from slots_of(value, kind)


def slots_of(value: Any, kind: type) -> Iterator[tuple[str, Any]]:
    """Of its slots those that are set."""
    slots = [
        (name, member)
        for base in kind.__mro__
        for name, member in vars(base).items()
        if isinstance(member, types.MemberDescriptorType)
    ]
    for name, member in slots:
        with contextlib.suppress(AttributeError):  # not set
            yield name, member.__get__(value)


def _shown(key: Any) -> str:
    return repr(key) if type(key) in (str, int, float, bool, type(None)) else f"a {type(key).__qualname__}"


def is_importable(item: Any) -> bool:
    """Whether it is what its module has under its name."""
    if item.__module__ is None or item.__module__ in STARTED:
        return False
    if getattr(sys.modules.get(item.__module__), "__spec__", None) is None:
        return False
    return _called_like(item) is item


def refuse_wrapped(item: Any) -> None:
    """Raises `NotKept` where under its name stands what a decorator made of it, of the same source."""
    if _is_wrapped(item):
        raise NotKept(
            f"{item.__module__}.{item.__qualname__} is by now a decorated function, and it holds that without"
        )


def _is_wrapped(item: Any) -> bool:
    found, seen = _called_like(item), set()
    while found is not item and hasattr(found, "__dict__") and id(found) not in seen:
        seen.add(id(found))
        found = vars(found).get("__wrapped__")
        if found is item:
            return True
    return False


def _called_like(item: Any) -> Any:
    found: Any = sys.modules.get(item.__module__)
    for part in item.__qualname__.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found
