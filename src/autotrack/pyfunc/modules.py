"""Modules of the user's own: which they are, what they import, and their source under another package.

Nothing is imported to find that out.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, resolve_name
from pathlib import Path

from ..flavor import NotKept
from ..interrupts import pass_on
from ..syntax import parse
from .changed import check_module

_INSTALLED = {"site-packages", "dist-packages"}


class Modules:
    """Those that a model's code needs, with all of the user's own that they import.

    first: folders where modules are looked for before anywhere else.
    sources: their text, by dotted names; None is a folder without an `__init__.py`.
    packages: the top-level modules that they import of others.
    """

    def __init__(self, first: Sequence[Path] = ()) -> None:
        self._first = [str(folder) for folder in first]
        self.sources: dict[str, str | None] = {}
        self._is_package: dict[str, bool] = {}
        self._specs: dict[str, ModuleSpec | None] = {}
        self.packages: set[str] = set()

    def is_own(self, module: str) -> bool:
        """Whether its source has to come with the model: nobody else can install it."""
        root = module.partition(".")[0]
        if root in sys.stdlib_module_names or root in ("autotrack", "__main__"):
            return False
        spec = self._spec(root)
        places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
        paths = [Path(place) for place in places if place and Path(place).is_absolute()]
        return bool(paths) and not any(_INSTALLED.intersection(path.parts) for path in paths)

    def add(self, module: str) -> bool:
        """With the packages around it, and all that they import; False where there is no source of it."""
        parent = module.rpartition(".")[0]
        if parent and not self.add(parent):
            return False
        if module in self.sources:
            return True
        spec = self._spec(module)
        if spec is None:
            return False
        self._is_package[module] = spec.submodule_search_locations is not None
        if not spec.has_location:
            self.sources[module] = None
            return True
        if not (spec.origin or "").endswith(".py"):
            return False
        self.sources[module] = source = _read(str(spec.origin))
        self.scan(source, self.package_of(module))
        return True

    def check_unchanged(self, main: str) -> None:
        """Raise `NotKept` if a constant that is used was changed since its module was imported.

        main: source that comes along besides.
        """
        trees = {name: parse(source) for name, source in self.sources.items() if source is not None}
        used = {name for tree in [*trees.values(), parse(main)] for name in _read_names(tree)}
        for name, tree in trees.items():
            module, spec = sys.modules.get(name), self._spec(name)
            if module and spec and getattr(module, "__file__", None) == spec.origin:
                check_module(tree, module, used)

    def scan(self, source: str, package: str) -> None:
        """Add what a source imports that stands in a package."""
        for name, members in _imports(source, package):
            if not self.is_own(name):
                self.require(name)
            elif self.add(name):
                for member in members:
                    if self._is_package[name] and self._spec(f"{name}.{member}"):
                        self.add(f"{name}.{member}")

    def require(self, module: str) -> None:
        """Note that a module of others is needed."""
        root = module.partition(".")[0]
        if root not in sys.stdlib_module_names and root != "__main__":
            self.packages.add(root)

    def package_of(self, module: str) -> str:
        """What its relative imports start from."""
        return module if self._is_package[module] else module.rpartition(".")[0]

    def files(self, below: str) -> Mapping[str, str]:
        """Sources by file names, each brought under the package `below`."""
        found = {}
        for module, source in self.sources.items():
            if source is not None:
                path = module.replace(".", "/") + ("/__init__" if self._is_package[module] else "")
                found[f"{path}.py"] = self.moved(source, below)
        return found

    def moved(self, source: str, below: str) -> str:
        """A source whose imports of these modules find them in the package `below`."""
        own = {module.partition(".")[0] for module in self.sources}
        lines = source.encode().splitlines(keepends=True)
        nodes = sorted(_import_nodes(parse(source)), key=lambda node: (node.lineno, node.col_offset))
        for node in reversed(nodes):
            if replaced := _moved_import(node, own, below):
                first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
                head = lines[first][: node.col_offset]
                tail = lines[last][node.end_col_offset :]
                lines[first : last + 1] = [head + replaced.encode() + tail]
        return b"".join(lines).decode()

    def _spec(self, module: str) -> ModuleSpec | None:
        if module not in self._specs:
            self._specs[module] = self._found(module)
        return self._specs[module]

    def _found(self, module: str) -> ModuleSpec | None:
        if parent := module.rpartition(".")[0]:
            above = self._spec(parent)
            where = above.submodule_search_locations if above else None
            return None if where is None else PathFinder.find_spec(module, list(where))
        if self._first and (found := PathFinder.find_spec(module, self._first)) and found.has_location:
            return found
        try:
            return find_spec(module)
        except (ImportError, ValueError):  # it has none, as __main__
            return None


def _read(path: str) -> str:
    import tokenize

    try:
        with tokenize.open(path) as file:
            source = file.read()
        parse(source)
    except (OSError, SyntaxError, ValueError) as error:
        pass_on(error)
        raise NotKept(f"the source of {path} cannot be read: {error}") from error
    return source


def _read_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def _imports(source: str, package: str) -> Iterator[tuple[str, list[str]]]:
    """Each module that is imported, and what from it."""
    for node in _import_nodes(parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        else:
            name = f"{'.' * node.level}{node.module or ''}"
            yield (
                resolve_name(name, package) if node.level else name,
                [alias.name for alias in node.names],
            )


def _import_nodes(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """All but those that only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and ast.unparse(child.test).rpartition(".")[2] == "TYPE_CHECKING":
            for other in child.orelse:
                yield from _import_nodes(ast.Module([other], []))
        else:
            yield from _import_nodes(child)


def _moved_import(node: ast.Import | ast.ImportFrom, own: set[str], below: str) -> str | None:
    def is_own(module: str | None) -> bool:
        return (module or "").partition(".")[0] in own

    if isinstance(node, ast.ImportFrom):
        if node.level or not is_own(node.module):
            return None
        return ast.unparse(ast.ImportFrom(f"{below}.{node.module}", node.names, 0))
    if not any(is_own(alias.name) for alias in node.names):
        return None
    parts = []
    for alias in node.names:
        root = alias.name.partition(".")[0]
        if not is_own(alias.name):
            parts.append(ast.unparse(ast.Import([alias])))
        elif alias.asname:
            parts.append(f"import {below}.{alias.name} as {alias.asname}")
        else:
            parts += [f"import {below}.{alias.name}"] if "." in alias.name else []
            parts.append(f"from {below} import {root}")
    return "; ".join(parts)
