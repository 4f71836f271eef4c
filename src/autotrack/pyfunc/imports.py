"""The imports by which a script or notebook knows what it has not defined itself."""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Mapping
from importlib.util import resolve_name
from typing import Any

from .sources import Sources, files_of, statements


def imported(sources: Sources, name: str, value: Any, known: Mapping[str, Any]) -> str | None:
    """The imports that give the value: as they were written, or else by what it says of itself."""
    written = [
        _import(node, alias, known)
        for file in files_of(value, known)
        for node in statements(sources.tree(file))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if _bound(alias) == name and _gives(node, alias, value, known)
    ]
    if written:  # several, where `import a.b` and `import a.c` both make `a` known
        return "\n".join(dict.fromkeys(written))
    if issubclass(type(value), types.ModuleType):
        parent, _, leaf = value.__name__.rpartition(".")
        return None if leaf == "__main__" else f"{f'from {parent} ' if parent else ''}import {leaf} as {name}"
    kinds = (type, types.FunctionType, types.BuiltinFunctionType)
    module = value.__module__ if issubclass(type(value), kinds) else None
    if not isinstance(module, str) or module in ("__main__", known.get("__name__")):
        return None
    own = value.__qualname__
    if getattr(sys.modules.get(module), own, None) is not value:
        return None
    return f"from {module} import {own} as {name}"


def _gives(node: ast.Import | ast.ImportFrom, alias: ast.alias, value: Any, known: Mapping[str, Any]) -> bool:
    if isinstance(node, ast.Import):
        module = alias.name if alias.asname else alias.name.partition(".")[0]
        return sys.modules.get(module) is value
    module = _module_of(node, known)
    found = vars(sys.modules[module]).get(alias.name) if module in sys.modules else None
    return found is value or sys.modules.get(f"{module}.{alias.name}") is value


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _import(node: ast.Import | ast.ImportFrom, alias: ast.alias, known: Mapping[str, Any]) -> str:
    if isinstance(node, ast.Import):
        return ast.unparse(ast.Import([alias]))
    return ast.unparse(ast.ImportFrom(_module_of(node, known), [alias], 0))


def _module_of(node: ast.ImportFrom, known: Mapping[str, Any]) -> str:
    name = node.module or ""
    return resolve_name("." * node.level + name, str(known.get("__package__") or "")) if node.level else name
