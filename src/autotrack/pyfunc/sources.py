"""Where the source of functions and classes stands: in files, and in the cells of a notebook."""

from __future__ import annotations

import ast
import inspect
import linecache
import re
import textwrap
import types
from collections.abc import Iterator, Mapping
from typing import Any

from ..syntax import parse

_CELLS = re.compile(r"<ipython-input-|<python-input-|<stdin>|ipykernel_\d")


class Sources:
    """Texts of files and cells and their trees, each read once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, ast.Module]] = {}

    def text(self, file: str) -> str:
        """What the file says; nothing where there is none."""
        return self._read(file)[0]

    def tree(self, file: str) -> ast.Module:
        """Its syntax; nothing where it is no Python, as a cell with commands of the notebook's own."""
        return self._read(file)[1]

    def _read(self, file: str) -> tuple[str, ast.Module]:
        if file not in self._known:
            text = "".join(linecache.getlines(file))
            try:
                tree = parse(text)
            except (SyntaxError, ValueError):
                tree = ast.Module([], [])
            self._known[file] = text, tree
        return self._known[file]


def code_of(item: Any) -> types.CodeType | None:
    """Of a function below its wrappers, or of a class's first method; None for anything else."""
    if issubclass(type(item), type):
        return next((function.__code__ for function in methods_of(item)), None)
    if type(item) is types.FunctionType or type(item).__name__ == "_lru_cache_wrapper":
        item = inspect.unwrap(item)
    return item.__code__ if type(item) is types.FunctionType else None


def is_of(item: Any, known: Mapping[str, Any]) -> bool:
    """Whether a function or class was made by the code that has these names."""
    return code_of(item) is not None and item.__module__ == known.get("__name__")


def methods_of(kind: type) -> Iterator[types.FunctionType]:
    """The functions that were written in the class."""
    for value in [*vars(kind).values()]:
        function = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        if isinstance(function, types.FunctionType):
            function = inspect.unwrap(function)  # a decorator's stands elsewhere
        if (
            isinstance(function, types.FunctionType)
            and function.__module__ == kind.__module__  # an enum's class has methods of `enum` in it
            and function.__qualname__.startswith(f"{kind.__qualname__}.")
            and function.__code__.co_filename != "<string>"  # what dataclasses write
        ):
            yield function


def closed_over(item: Any) -> dict[str, Any]:
    """The variables of the functions around, which the item's own functions use."""
    functions = [*methods_of(item)] if isinstance(item, type) else [inspect.unwrap(item)]
    found = {base.__name__: base for base in item.__bases__} if isinstance(item, type) else {}
    for function in functions:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if name != "__class__" and cell.cell_contents is not item:
                found[name] = cell.cell_contents
    return found


def files_of(value: Any, known: Mapping[str, Any]) -> list[str]:
    """Where the names of a namespace are defined; a notebook's cells from the newest on."""
    code = code_of(value) if is_of(value, known) else None
    first = [code.co_filename] if code else []
    own = [known["__file__"]] if isinstance(known.get("__file__"), str) else []
    cells = [file for file in reversed([*linecache.cache]) if _CELLS.search(file)]
    return [*dict.fromkeys([*first, *own, *(cells if known.get("__name__") == "__main__" else [])])]


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Those of a module itself, also in its `if`, `try` and `with`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            yield from statements(child)


def is_at(node: ast.AST, item: Any, code: types.CodeType) -> bool:
    if isinstance(item, type):
        return (
            isinstance(node, ast.ClassDef)
            and node.name == item.__name__
            and node.lineno <= code.co_firstlineno <= (node.end_lineno or 0)
        )
    if isinstance(node, ast.Lambda):
        return node.lineno == code.co_firstlineno and code.co_name == "<lambda>" and _is_compiled(node, code)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        return node.name == code.co_name and first == code.co_firstlineno
    return False


def _is_compiled(node: ast.Lambda, code: types.CodeType) -> bool:
    """Whether a lambda is this code: several may stand in one line."""
    body = node.body
    return any(
        (line, column, end) == (body.lineno, body.col_offset, body.end_col_offset)
        for line, _, column, end in code.co_positions()
    )


def source_of(node: ast.AST, source: str) -> str:
    """As it was written, where it stays the same when it is brought to the margin."""
    if isinstance(node, ast.Lambda):
        return ast.unparse(node)
    assert isinstance(node, ast.stmt)
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
    text = textwrap.dedent("".join(source.splitlines(keepends=True)[first - 1 : node.end_lineno])).rstrip()
    try:
        is_same = ast.dump(parse(text)) == ast.dump(ast.Module([node], []))
    except SyntaxError:
        is_same = False
    return text if is_same else ast.unparse(node)
