"""Which names of its module a piece of source uses."""

from __future__ import annotations

import ast
import symtable
from dataclasses import dataclass
from typing import Any

from ..syntax import parse


@dataclass(frozen=True, slots=True)
class Used:
    """`at_once`: when it is run, not only when a function of it is called. `hints`: in type hints alone."""

    all: frozenset[str]
    at_once: frozenset[str]
    hints: frozenset[str]


def names_used(source: str) -> Used:
    """The global names in a piece of source, those of `builtins` among them.

    The hints of functions are left out: nobody evaluates them. Those of a class's variables may be read,
    by whoever makes its `__init__` of them.
    """
    tree = _WithoutHints().visit(parse(source))
    everything, _ = _globals(ast.unparse(tree))
    needed, at_once = _globals(ast.unparse(_WithoutVariables().visit(tree)))
    return Used(everything, at_once, everything - needed)


def _globals(source: str) -> tuple[frozenset[str], frozenset[str]]:
    found: set[str] = set()
    at_once: set[str] = set()
    tables = [(symtable.symtable(source, "<captured>", "exec"), True)]
    while tables:
        table, is_at_once = tables.pop()
        is_module = table.get_type() == "module"
        for symbol in table.get_symbols():
            is_global = symbol.is_global() or (is_module and not symbol.is_assigned())
            if is_global and (symbol.is_referenced() or symbol.is_declared_global()):
                found.add(symbol.get_name())
                at_once |= {symbol.get_name()} if is_at_once else set()
        tables += [(child, is_at_once and child.get_type() != "function") for child in table.get_children()]
    return frozenset(found), frozenset(at_once)


class _WithoutHints(ast.NodeTransformer):
    """Of functions: their arguments, their results and the variables in them."""

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        return self._function(node)

    def _function(self, node: Any) -> Any:
        node.returns = None
        self.generic_visit(node)
        return _WithoutVariables().visit(node)


class _WithoutVariables(ast.NodeTransformer):
    """The hints of variables become None."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        self.generic_visit(node)
        node.annotation = ast.Constant(None)
        return node
