"""Metrics that the user's code logs, by its source: what a loop records by itself must not take their names.

Who logs an epoch's mean as `loss` does so after the epoch's steps, each of which had one too. Only what
stands in plain sight is found, in the functions that go on and those of their file that they name; a name
that comes as a surprise is told from ours from then on.
"""

from __future__ import annotations

import ast
import functools
import linecache
import sys
from collections.abc import Iterator
from types import FrameType

from ..syntax import parse
from .naming import MAX_FRAMES

PACKAGE = "autotrack"
LONGEST = 200_000
"""Characters of a file that is read; it takes some 30 µs a line."""
_MAKES_RUN = ("run", "active_run")
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def names_logged(frame: FrameType | None) -> set[str]:
    """The names in calls of our `log`, where `frame` is and in what called it; none without a source."""
    found: set[str] = set()
    for _ in range(MAX_FRAMES):
        if frame is None:
            break
        code = frame.f_code
        if _knows_us(frame):
            source = "".join(linecache.getlines(code.co_filename, frame.f_globals))
            if "log" in source and len(source) <= LONGEST:
                found |= _names_in(source, 0 if code.co_name == "<module>" else frame.f_lineno)
        frame = frame.f_back
    return found


def _knows_us(frame: FrameType) -> bool:
    """Whether it may log: most of what is on a stack does not, and is not worth to be read."""
    ours = sys.modules.get(PACKAGE)
    known = {id(value) for value in (ours, *(getattr(ours, name, None) for name in ("log", *_MAKES_RUN)))}
    values = dict(frame.f_globals).values()  # another thread may be making variables
    return PACKAGE in frame.f_code.co_names or any(
        id(value) in known for value in values if value is not None
    )


@functools.lru_cache(maxsize=16)
def _names_in(source: str, line: int) -> frozenset[str]:
    """Of the definition that holds the line, 0 for the module's own statements, and those that it names."""
    try:
        module = parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    definitions = {node.name: node for node in _definitions(module)}
    loose = [node for node in module.body if not isinstance(node, _DEFINITION)]
    holding = [node for node in definitions.values() if node.lineno <= line <= (node.end_lineno or 0)]
    waiting: list[ast.AST] = [*(holding if line else loose)]
    seen: list[ast.AST] = []
    while waiting:
        seen.append(waiting.pop())
        named = [node.id for node in ast.walk(seen[-1]) if isinstance(node, ast.Name)]
        waiting += [definitions.pop(name) for name in named if name in definitions]
    calls = _Calls(module)
    return frozenset(name for part in seen for name in calls.names(part))


def _definitions(part: ast.AST) -> Iterator[_Definition]:
    """Those of a module, also below an `if`; not those inside of others."""
    for node in ast.iter_child_nodes(part):
        if isinstance(node, _DEFINITION):
            yield node
        elif isinstance(node, ast.stmt):
            yield from _definitions(node)


class _Calls:
    """What our `log` is called in a module, and with what."""

    def __init__(self, module: ast.Module) -> None:
        self._packages: set[str] = set()
        self._functions: dict[str, str] = {}
        self._runs: set[str] = set()
        for node in ast.walk(module):
            if isinstance(node, ast.Import):
                self._packages |= {a.asname or PACKAGE for a in node.names if a.name == PACKAGE}
            elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
                self._functions |= {a.asname or a.name: a.name for a in node.names}
        for node in ast.walk(module):
            self._runs.update(self._made_runs(node))

    def names(self, part: ast.AST) -> Iterator[str]:
        """Keys of the dicts that are logged, written there or put together under a name."""
        built: dict[str, list[str]] = {}
        for node in ast.walk(part):
            for variable, keys in _put_together(node):
                built.setdefault(variable, []).extend(keys)
        for node in ast.walk(part):
            if isinstance(node, ast.Call) and self._called(node) == "log":
                for told in (*node.args[:1], *(k.value for k in node.keywords if k.arg == "metrics")):
                    yield from built.get(told.id, ()) if isinstance(told, ast.Name) else _keys(told)

    def _called(self, call: ast.Call) -> str | None:
        """Which of our functions, or of a run's methods."""
        match call.func:
            case ast.Name(id=name):
                return self._functions.get(name)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                return attribute if name in self._packages or name in self._runs else None
        return None

    def _made_runs(self, node: ast.AST) -> Iterator[str]:
        """Variables that get a run here."""
        pairs: list[tuple[ast.expr, ast.expr | None]] = []
        if isinstance(node, (ast.With, ast.AsyncWith)):
            pairs = [(item.context_expr, item.optional_vars) for item in node.items]
        elif isinstance(node, ast.Assign):
            pairs = [(node.value, target) for target in node.targets]
        for value, target in pairs:
            if (
                isinstance(value, ast.Call)
                and self._called(value) in _MAKES_RUN
                and isinstance(target, ast.Name)
            ):
                yield target.id


def _put_together(node: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Variables, and the keys that their dicts get here."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                match target:
                    case ast.Name(id=name):
                        yield name, _keys(value)
                    case ast.Subscript(value=ast.Name(id=name), slice=key):
                        yield name, _texts([key])
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, _keys(value)
        case ast.AugAssign(target=ast.Name(id=name), value=value):
            yield name, _keys(value)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="update"), args=[value]):
            yield name, _keys(value)


def _keys(value: ast.expr) -> list[str]:
    """Of a dict that is written out."""
    match value:
        case ast.Dict(keys=keys):
            return _texts([key for key in keys if key is not None])
        case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
            return [keyword.arg for keyword in keywords if keyword.arg is not None]
    return []


def _texts(values: list[ast.expr]) -> list[str]:
    return [v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)]
