"""What the user's code calls an object: the name of the variable that holds it, found by identity."""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FrameType
from typing import Any

MAX_FRAMES = 8
"""Callers that are asked, from the innermost on."""


def name_of(thing: Any, frame: FrameType | None) -> str | None:
    """The name of `thing` where `frame` is, or further out where that only has it as a parameter.

    `evaluate(model, X_test, y_test)` knows X_test as X; whoever called it knows better.
    """
    name = None
    for _ in range(MAX_FRAMES):
        if frame is None:
            break
        found, is_parameter = name_here(thing, frame)
        name = found or name
        if found and not is_parameter:
            break
        frame = frame.f_back
    return name


def name_before(frame: FrameType, method: str) -> tuple[str, bool] | None:
    """As `name_here`, of what the code calls a method on: the variable or attribute that stands before it.

    None where it is something else, such as another call's value.
    """
    before: dis.Instruction | None = None
    found: dis.Instruction | None = None
    for step in dis.get_instructions(frame.f_code):
        if step.offset > frame.f_lasti:
            break
        if step.opname in ("LOAD_METHOD", "LOAD_ATTR") and step.argval == method:
            found = before
        before = step
    if found is None or "LOAD_" not in found.opname:
        return None
    # Python 3.13 has instructions that load, or store and load, two variables: the method is the last one's.
    name = found.argval[-1] if "FAST" in found.opname and isinstance(found.argval, tuple) else found.argval
    code = frame.f_code
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    is_variable = "FAST" in found.opname or "DEREF" in found.opname  # and no attribute
    return (name, is_variable and name in parameters) if isinstance(name, str) else None


def variables_near(frame: FrameType | None) -> Iterator[Mapping[str, Any]]:
    """The variables where `frame` is, and of those that called it, from the innermost on."""
    for _ in range(MAX_FRAMES):
        if frame is None:
            return
        yield _locals(frame)
        if frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # a module's are the same
            yield frame.f_globals
        frame = frame.f_back


def name_here(thing: Any, frame: FrameType) -> tuple[str | None, bool]:
    """The first name in the order of their making, and whether it is only a parameter's.

    Where there is none, that is None and False.
    """
    for name in _names(thing, frame.f_globals):
        return name, False
    code = frame.f_code
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    local = _names(thing, _locals(frame))
    for name in local:
        if name not in parameters:
            return name, False
    return (local[0], True) if local else (None, False)


def _names(thing: Any, namespace: Mapping[str, Any]) -> list[str]:
    """Its names; those with an underscore in front are a notebook's `_` and `_12`."""
    copy = dict(namespace)  # another thread may be making variables
    return [name for name, value in copy.items() if value is thing and not name.startswith("_")]


def _locals(frame: FrameType) -> Mapping[str, Any]:
    """The variables of a frame, read so that nobody can tell.

    Up to Python 3.12 a function's frame keeps the dict that it makes for us: the same that `locals()`
    gave it before, which would now change. So whoever asks for it is left alone, and from a dict that
    nobody else has, the variables are taken out again, as they would live on beyond their `del`.
    """
    code = frame.f_code
    if sys.version_info >= (3, 13) or not code.co_flags & inspect.CO_OPTIMIZED:
        return frame.f_locals
    if _asks_for_locals(code):
        return {}
    kept = frame.f_locals
    variables = dict(kept)
    if sys.getrefcount(kept) <= 3:  # the frame's, ours and the question's own
        for name in (*code.co_varnames, *code.co_cellvars, *code.co_freevars):
            kept.pop(name, None)
    return variables


def _asks_for_locals(code: CodeType) -> bool:
    """By name; pytest, which puts `….locals()` into every test, throws the dict away at once."""
    if "f_locals" in code.co_names:
        return True
    return not _ASKING.isdisjoint(code.co_names) and any(
        step.argval in _ASKING and step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
        for step in dis.get_instructions(code)
    )


_ASKING = frozenset({"locals", "vars", "eval", "exec"})
