"""Carrying what belongs to a call into the threads that a library starts for it.

Not the whole context: that would bring the user's other context variables there, and change what they do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..recording.run import current
from .frames import frames, silence, silent


def carrying(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """The wrapper of a function that has its arguments called in other threads.

    All that can be called: a callback may be what starts the next of them.
    """
    if frames.get() or silent.get():
        args = tuple(map(_carried, args))
        kwargs = {name: _carried(value) for name, value in kwargs.items()}
    return wrapped(*args, **kwargs)


def _carried(function: Any) -> Any:
    """`function`, inside the calls that are going on here."""
    if not callable(function):
        return function
    calls, run, is_silent = frames.get(), current.get(), silent.get()

    def call(*args: Any, **kwargs: Any) -> Any:
        tokens = frames.set(calls), current.set(run)
        try:
            if is_silent:
                with silence():
                    return function(*args, **kwargs)
            return function(*args, **kwargs)
        finally:
            frames.reset(tokens[0])
            current.reset(tokens[1])

    return call
