"""The source of functions and classes that stand in no importable module, put together in one of its own.

A script, a notebook and the inside of a function are such places. What is captured brings all that it
refers to along, found by name where it was defined: imports, functions, classes, plain constants.
"""

from __future__ import annotations

import ast
import builtins
import copy
import inspect
import logging
import re
import sys
import types
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..flavor import NotKept
from .changed import check_class, is_literal, is_same, with_defaults
from .imports import imported
from .names import names_used
from .sources import Sources, closed_over, code_of, files_of, is_at, is_of, methods_of, source_of, statements

MOST_TEXT = 64 << 10
"""Characters that a constant may have: larger ones are data."""
_HARMLESS = (re.Pattern, logging.Logger, partial, types.GenericAlias, types.UnionType)
"""What is made again by the expression that made it: nothing outside is read for it."""
_MODULES_OWN = ("__name__", "__file__", "__doc__", "__package__", "__spec__")
_ADVICE = "make it an attribute of a class with `predict`, or define it in a module that is imported"


@dataclass(frozen=True, slots=True)
class _Found:
    """A statement that defines a name, and where: its order among all."""

    name: str
    value: Any
    text: str
    place: tuple[int, int]
    needs: frozenset[str] = frozenset()


class _Twice(NotKept):
    def __init__(self, name: str) -> None:
        super().__init__(f"two different things are called {name!r}; give one of them another name")


class Captured:
    """Source that grows as things are added."""

    def __init__(self) -> None:
        self._found: dict[str, _Found] = {}
        self._files: list[str] = []
        self._sources = Sources()

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, item: Any) -> str:
        """A function or class, with all that it refers to; its name there. Raises `NotKept`."""
        known = _namespace_of(item)
        name = next((name for name, value in [*known.items()] if value is item), item.__name__)
        name = f"function_{len(self._found)}" if name == "<lambda>" else name
        self._add(name, item, {**known, name: item}, name)
        return name

    def source(self) -> str:
        """Of the module, in an order in which it can be run."""
        done: dict[str, None] = {}
        for name in sorted(self._found, key=lambda name: self._found[name].place):
            self._visit(name, done)
        texts = dict.fromkeys(self._found[name].text for name in done)
        return "\n\n".join(["from __future__ import annotations", *texts]) + "\n"

    def _visit(self, name: str, done: dict[str, None], inside: frozenset[str] = frozenset()) -> None:
        if name in done or name in inside:
            return
        for needed in sorted(self._found[name].needs & self._found.keys()):
            self._visit(needed, done, inside | {name})
        done[name] = None

    # --- what a name stands for ---------------------------------------------------------------------

    def _add(
        self, name: str, value: Any, known: Mapping[str, Any], user: str, is_needed: bool = True
    ) -> None:
        """A name as some code uses it. Where it is not needed, as in a type hint, it may stay away."""
        if name in self._found:
            if not is_same(self._found[name].value, value):
                raise _Twice(name)
            return
        if text := _constant(name, value):
            self._found[name] = _Found(name, value, text, (-1, 0))
        elif text := imported(self._sources, name, value, known):
            self._found[name] = _Found(name, value, text, (-2, 0))
        elif not (self._add_defined(name, value, known) or self._add_local(name, value, known)) and is_needed:
            raise _refusal(name, value, user)

    def _add_defined(self, name: str, value: Any, known: Mapping[str, Any]) -> bool:
        """By the statement that defines it in the script or notebook; False where none will do."""
        for file in files_of(value, known):
            for node in reversed([*statements(self._sources.tree(file))]):
                if _defines(node, name, value, file):
                    self._keep(name, value, node, file, known)
                    return True
        return False

    def _add_local(self, name: str, item: Any, known: Mapping[str, Any]) -> bool:
        """What was defined inside a function, or has no name at all: by its line."""
        code = code_of(item)
        if code is None or not is_of(item, known):
            return False
        file = code.co_filename
        for node in ast.walk(self._sources.tree(file)):
            if is_at(node, item, code):
                own = getattr(node, "name", name)
                around = ChainMap(closed_over(item), {own: item}, {**known})
                if own != name:
                    self._add(own, item, around, name)
                    self._found[name] = _Found(name, item, f"{name} = {own}", (-1, 0), frozenset({own}))
                else:
                    self._keep(name, item, node, file, around)
                return True
        return False

    def _keep(self, name: str, value: Any, node: ast.AST, file: str, known: Mapping[str, Any]) -> None:
        text = source_of(_as_it_is(node, value, known), self._sources.text(file))
        if isinstance(node, ast.Lambda):
            text = f"{name} = {text}"
        if file not in self._files:
            self._files.append(file)
        try:
            used = names_used(text)
        except SyntaxError as error:  # as `nonlocal` is
            raise NotKept(f"the source of {name!r} cannot stand alone ({error.msg}); {_ADVICE}") from None
        place = (self._files.index(file), node.lineno)  # type: ignore[attr-defined]
        self._found[name] = _Found(name, value, text, place, used.at_once)
        for other in sorted(used.all - {name}):
            if other in known:
                self._add(other, known[other], known, name, is_needed=other not in used.hints)
            elif other in used.at_once and not hasattr(builtins, other) and other not in _MODULES_OWN:
                raise NotKept(f"{name!r} uses {other!r}, which is not to be found any more; {_ADVICE}")


def _as_it_is(node: Any, item: Any, known: Mapping[str, Any]) -> Any:
    """A definition, with the defaults that its functions have by now. Raises `NotKept`."""
    if (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Lambda)
        and type(item) is types.FunctionType
    ):
        made = copy.copy(node)
        made.value = _as_it_is(node.value, item, known)
        return node if made.value is node.value else made
    if isinstance(node, ast.ClassDef) and isinstance(item, type):
        check_class(node, item, known)
        return _class_as_it_is(node, item, ChainMap({**vars(item)}, {**known}))
    code = code_of(item)
    if code is None or not is_at(node, inspect.unwrap(item), code):
        return node
    return with_defaults(node, inspect.unwrap(item), known, code.co_name)


def _class_as_it_is(node: ast.ClassDef, kind: type, known: Mapping[str, Any]) -> ast.ClassDef:
    made = copy.copy(node)
    functions = {function.__code__: function for function in methods_of(kind)}
    made.body = list(node.body)
    for i, part in enumerate(node.body):
        for code, function in functions.items():
            if is_at(part, function, code):
                made.body[i] = with_defaults(part, function, known, f"{kind.__name__}.{code.co_name}")
    is_kept = all(one is other for one, other in zip(made.body, node.body, strict=True))
    return node if is_kept else made


def _refusal(name: str, value: Any, user: str) -> NotKept:
    if issubclass(type(value), type | types.FunctionType):
        return NotKept(
            f"the source of {name!r} is not found where it was run from, a file or a cell; run it again"
        )
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    return NotKept(f"{user!r} uses {name!r}, a {kind}, whose source cannot be captured; {_ADVICE}")


def _namespace_of(item: Any) -> Mapping[str, Any]:
    """The names beside an item: where a decorator of another module made it, those of the script."""
    places = [vars(sys.modules[name]) for name in (item.__module__, "__main__") if name in sys.modules]
    return next((place for place in places if any(value is item for value in [*place.values()])), places[0])


def _constant(name: str, value: Any) -> str | None:
    try:
        if not is_literal(value):
            return None
    except RecursionError:  # it holds itself
        return None
    text = repr(value)
    if len(text) > MOST_TEXT:
        raise NotKept(f"the constant {name!r} has {len(text):,} characters, which are data; {_ADVICE}")
    return f"{name} = {text}"


def _defines(node: ast.stmt, name: str, value: Any, file: str) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        code = code_of(value)
        is_told = code is not None and code.co_filename == file and value.__name__ == name
        return node.name == name and (code is None or not is_told or is_at(node, value, code))
    target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
    is_named = isinstance(target, ast.Name) and target.id == name
    kind = type(value)
    is_lambda = kind is types.FunctionType and value.__name__ == "<lambda>"
    return is_named and (is_lambda or issubclass(kind, _HARMLESS) or kind.__module__ == "typing")
