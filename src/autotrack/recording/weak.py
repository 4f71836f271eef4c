"""A table of what belongs to objects of the user's, which holds them weakly and asks them nothing."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Generic, TypeVar
from weakref import ref

Value = TypeVar("Value")


class _Keyed(ref[Any]):
    __slots__ = ("key",)
    key: int


class Table(Generic[Value]):
    """By identity: objects may be equal to others, or have no hash. `gone` is told what an object had.

    Every step on it is one operation of a dict: no lock is needed.
    """

    def __init__(self, gone: Callable[[Value], None] | None = None) -> None:
        self._entries: dict[int, tuple[_Keyed, Value]] = {}
        self._gone = gone
        self._dead: deque[_Keyed] = deque()
        # In a callback CPython swallows what a signal's handler raises; in a function in C none runs.
        self._told = self._dead.append if gone is None else self._forget

    def get(self, thing: Any) -> Value | None:
        """What it has; None if nothing."""
        entry = self._entries.get(id(thing))
        return entry[1] if entry is not None and entry[0]() is thing else None

    def set(self, thing: Any, value: Value) -> None:
        """Raises TypeError for what takes no weak reference."""
        if self._dead:
            self._forget_dead()
        reference = _Keyed(thing, self._told)
        reference.key = id(thing)  # where `gone` is told, no other object can have it before that returns
        self._entries[reference.key] = reference, value

    def values(self) -> list[Value]:
        """Of all that live."""
        return [value for _, value in list(self._entries.values())]

    def items(self) -> list[tuple[Any, Value]]:
        """All that live, with theirs."""
        found = [(reference(), value) for reference, value in list(self._entries.values())]
        return [(thing, value) for thing, value in found if thing is not None]

    def forget_older_half(self) -> None:
        """Where it has become too large."""
        for key in list(islice(self._entries.copy(), len(self) // 2)):  # others may be adding
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()

    def __len__(self) -> int:
        if self._dead:
            self._forget_dead()
        return len(self._entries)

    def _forget_dead(self) -> None:
        with contextlib.suppress(IndexError):  # another thread does the same
            while self._dead:
                self._forget(self._dead.pop())

    def _forget(self, reference: _Keyed) -> None:
        entry = self._entries.pop(reference.key, None)
        if entry is None:
            return
        if entry[0] is not reference:  # another object has the id by now
            self._entries.setdefault(reference.key, entry)
        elif self._gone is not None:
            self._gone(entry[1])
