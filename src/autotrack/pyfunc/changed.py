"""What has another value by now than its source gives it: a copy of the source would compute something else.

Nothing is evaluated: what an expression gives is known of literals, of names and of what modules hold.
"""

from __future__ import annotations

import ast
import copy
import inspect
import math
import types
from abc import ABCMeta
from collections import ChainMap
from collections.abc import Iterator, Mapping
from typing import Any

from ..flavor import NotKept

_UNKNOWN = object()
_CHANGING = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "remove", "clear"}


def is_literal(value: Any) -> bool:
    """Whether its `repr` is source that gives it again. Raises `RecursionError` for what holds itself."""
    kind = type(value)
    if kind is float:
        return math.isfinite(value)  # not NaN or infinite, which have no literal
    if kind in (list, tuple, set, frozenset):
        return bool(value or kind in (list, tuple)) and all(map(is_literal, value))
    if kind is dict:
        return all(is_literal(key) and is_literal(item) for key, item in value.items())
    return kind in (type(None), type(...), bool, int, complex, str, bytes)


def is_same(one: Any, other: Any) -> bool:
    """Whether both are one thing, or literals that say the same."""
    try:
        return one is other or (is_literal(one) and is_literal(other) and repr(one) == repr(other))
    except RecursionError:
        return False


# --- defaults of arguments --------------------------------------------------------------------------


def with_defaults(node: Any, function: types.FunctionType, known: Mapping[str, Any], told: str) -> Any:
    """The definition of a function with the defaults that it has, where its source may give others.

    Raises `NotKept` for one that is no literal.
    """
    made = copy.deepcopy(node)
    places: list[tuple[Any, int, Any]] = []
    positional = function.__defaults__ or ()
    named = function.__kwdefaults__ or {}
    expected = [arg.arg for arg, one in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if one]
    if len(positional) != len(node.args.defaults) or {*expected} != {*named}:
        raise NotKept(f"the arguments of {told!r} have other defaults than its source says; define it so")
    places += [(made.args.defaults, i, value) for i, value in enumerate(positional)]
    names = [arg.arg for arg in node.args.kwonlyargs]
    places += [(made.args.kw_defaults, names.index(name), value) for name, value in named.items()]
    is_other = False
    for where, i, value in places:
        if not _gives(where[i], value, known):
            where[i] = _literal(value, f"the default {ast.unparse(where[i])!r} of an argument of {told!r}")
            is_other = True
    return made if is_other else node


def _literal(value: Any, told: str) -> ast.expr:
    try:
        if is_literal(value):
            return ast.parse(repr(value), mode="eval").body
    except RecursionError:
        pass
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise NotKept(f"{told} is a {kind}, of which its source may give another; make it within the function")


def _gives(node: ast.expr, value: Any, known: Mapping[str, Any]) -> bool:
    if isinstance(node, ast.Lambda):
        return isinstance(value, types.FunctionType) and value.__code__.co_firstlineno == node.lineno
    return is_same(_static(node, known), value)


def _static(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """What an expression gives, if that can be told without running it."""
    if isinstance(node, ast.Name):
        builtin = getattr(__import__("builtins"), node.id, _UNKNOWN)
        return known.get(node.id, builtin)
    if isinstance(node, ast.Attribute):
        holder = _static(node.value, known)
        if isinstance(holder, types.ModuleType | type):
            members = vars(holder).get("_member_map_", {})  # an enum's
            return members.get(node.attr, vars(holder).get(node.attr, _UNKNOWN))
        return _UNKNOWN
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _UNKNOWN


# --- classes and modules ----------------------------------------------------------------------------


def check_class(node: ast.ClassDef, kind: type, known: Mapping[str, Any]) -> None:
    """Raise `NotKept` where an attribute of a class was set after the class was made."""
    has = vars(kind)
    written = _bindings(node.body)
    for name, given in written.items():
        if name in has and _differs(given, has[name], ChainMap({**has}, {**known})):
            raise _other(f"{kind.__name__}.{name}", f"class {kind.__name__}")
    if node.decorator_list or type(kind) not in (type, ABCMeta) or _is_made_by_others(kind):
        return  # others may have set something
    for name in has.keys() - written.keys():
        if not (name.startswith("__") and name.endswith("__")) and not _is_pythons_own(has[name], name):
            raise _other(f"{kind.__name__}.{name}", f"class {kind.__name__}")


def check_module(tree: ast.Module, module: types.ModuleType, used: set[str]) -> None:
    """Raise `NotKept` where a plain constant of a module, or a class of it, was changed since its import.

    used: names that any of the code that comes along reads.
    """
    has = vars(module)
    changing = {*_changed_within(tree)}
    for name, given in _bindings(tree.body).items():
        value = has.get(name, _UNKNOWN)
        is_left = name in changing and isinstance(value, list | dict | set)
        if name in used and not is_left and value is not _UNKNOWN and _differs(given, value, {}):
            raise _other(f"{module.__name__}.{name}", f"module {module.__name__}")
    for node in tree.body:
        kind = has.get(node.name) if isinstance(node, ast.ClassDef) else None
        if isinstance(node, ast.ClassDef) and isinstance(kind, type) and kind.__module__ == module.__name__:
            check_class(node, kind, has)


def _other(name: str, place: str) -> NotKept:
    return NotKept(
        f"{name} has another value by now than the source of the {place} gives it; change it there, "
        "or make it an attribute of the object"
    )


def _differs(given: list[Any], value: Any, known: Mapping[str, Any]) -> bool:
    """Whether none of the statements that bind a name can have given it this value."""
    for node in given:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.decorator_list or _is_made_by(node, value):
                return False
        elif not isinstance(node, ast.expr):
            return False
        else:
            found = _static(node, known)
            if found is _UNKNOWN or not _is_plain(found) or not _is_plain(value) or is_same(found, value):
                return False
    return True


def _is_made_by(node: ast.FunctionDef | ast.AsyncFunctionDef, value: Any) -> bool:
    value = inspect.unwrap(getattr(value, "__func__", value))
    return not isinstance(value, types.FunctionType) or value.__code__.co_firstlineno == node.lineno


def _is_plain(value: Any) -> bool:
    try:
        return is_literal(value)
    except RecursionError:
        return False


def _bindings(body: list[ast.stmt]) -> dict[str, list[Any]]:
    """What is bound to each name: expressions, functions, and None for anything else."""
    found: dict[str, list[Any]] = {}
    for node in _statements(body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for one in ast.walk(target):
                    if isinstance(one, ast.Name):
                        found.setdefault(one.id, []).append(node.value if one is target else None)
        elif not isinstance(node, ast.AnnAssign):
            for name in _others(node):
                found.setdefault(name, []).append(None)
        for one in ast.walk(node) if isinstance(node, ast.Expr | ast.Assign) else ():
            if isinstance(one, ast.NamedExpr) and isinstance(one.target, ast.Name):
                found.setdefault(one.target.id, []).append(None)
    return found


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for field in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, field, []))
            for part in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]:
                yield from _statements(part.body)


def _others(node: ast.stmt) -> Iterator[str]:
    """Names that a statement binds in other ways than by `=`."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    for part in ast.iter_child_nodes(node):
        for one in ast.walk(part) if not isinstance(part, ast.stmt) else ():
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store | ast.Del):
                yield one.id


def _changed_within(tree: ast.Module) -> Iterator[str]:
    """Names of lists and the like that the module itself fills, as a registry is."""
    for node in ast.walk(tree):
        held = None
        if (isinstance(node, ast.Attribute) and node.attr in _CHANGING) or (
            isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load)
        ):
            held = node.value
        if isinstance(held, ast.Name):
            yield held.id


def _is_made_by_others(kind: type) -> bool:
    is_named_tuple = issubclass(kind, tuple)
    return is_named_tuple or any("__init_subclass__" in vars(base) for base in kind.__mro__[1:-1])


def _is_pythons_own(value: Any, name: str) -> bool:
    return isinstance(value, types.MemberDescriptorType) or name.startswith("_abc_")
