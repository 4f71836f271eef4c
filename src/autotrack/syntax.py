"""The user's source as a tree: in any thread, and without a word of what Python has told him about it."""

from __future__ import annotations

import ast
import re
import warnings

_NAME = "<autotrack reads>"
_UNHEARD = ("ignore", None, Warning, re.compile(re.escape(_NAME)), 0)
"""As `warnings.filters` holds what `filterwarnings` puts there."""
_ATTEMPTS = 20


def parse(source: str) -> ast.Module:
    """The tree of a module's source.

    Raises SyntaxError and ValueError as `ast.parse` does, and RecursionError or MemoryError for what is
    nested too deep.
    """
    # Python warns of an escape like "\d" at each parse. `catch_warnings` would hide it at the price of the
    # filters of other threads: it gives back what it found, which may be theirs of a moment ago.
    if _UNHEARD not in warnings.filters[:1]:
        warnings.filterwarnings("ignore", module=_UNHEARD[3].pattern)
    for _ in range(_ATTEMPTS):
        try:
            tree = compile(source, _NAME, "exec", ast.PyCF_ONLY_AST)
        except SystemError:  # before CPython 3.11.8 all threads count the depth of their trees together
            continue
        assert isinstance(tree, ast.Module)
        return tree
    raise SyntaxError("other threads kept this source from being read")
