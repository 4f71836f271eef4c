"""Runs around functions: `@autotrack.run("train")`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def decorated(function: FunctionT, new_run: Callable[[], AbstractContextManager[Any]]) -> FunctionT:
    """`function`, each call of which is a run: of a coroutine or a generator, from its start to its end."""
    if inspect.iscoroutinefunction(function):

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with new_run():
                return await function(*args, **kwargs)

    elif inspect.isgeneratorfunction(function):

        def wrapper(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
            with new_run():
                return (yield from function(*args, **kwargs))

    elif inspect.isasyncgenfunction(function):

        async def wrapper(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
            with new_run():
                async for item in function(*args, **kwargs):
                    yield item

    else:

        def wrapper(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
            with new_run():
                return function(*args, **kwargs)

    return functools.wraps(function)(wrapper)  # type: ignore[return-value]
