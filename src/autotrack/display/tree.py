"""Trees drawn with lines, and the training calls of a run as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Protocol, TypeVar

from ..records import Fit

ALIKE = 3
"""Calls alike in a row that are drawn one by one; more of them are one line."""


class Node(Protocol):
    """What has a place in a tree."""

    @property
    def id(self) -> str: ...
    @property
    def parent(self) -> str | None: ...


NodeT = TypeVar("NodeT", bound=Node)


def branches(nodes: Sequence[NodeT]) -> list[tuple[str, NodeT]]:
    """The nodes, children beneath their parents, each with the lines to draw before it.

    Siblings stay in the given order. Whatever the parents say (they may come from outside), every
    node is there once.
    """
    known = {node.id for node in nodes}
    below: defaultdict[str | None, list[NodeT]] = defaultdict(list)
    for node in nodes:
        below[node.parent if node.parent in known else None].append(node)
    drawn: list[tuple[str, NodeT]] = []
    open_ends = [("", "", node) for node in reversed(below.pop(None, []))]
    while open_ends:
        lines, indent, node = open_ends.pop()
        drawn.append((lines, node))
        ends = [("├─ ", "│  ", child) for child in below.pop(node.id, [])]
        ends[-1:] = [("└─ ", "   ", child) for _, _, child in ends[-1:]]
        open_ends += [(indent + line, indent + more, child) for line, more, child in reversed(ends)]
    return drawn + [("", node) for circle in below.values() for node in circle]


@dataclass(frozen=True)
class Calls:
    """A line of the tree: one training call, or `count` alike; times in seconds of the run.

    `lines` are to be drawn before the name, `error` is an exception's class or None.
    """

    lines: str
    name: str
    count: int
    start: float
    end: float
    busy: float
    error: str | None


def calls(started: datetime, fits: Sequence[Fit]) -> list[Calls]:
    """The tree of a run's calls from top to bottom."""
    alike = groupby(branches(fits), lambda drawn: (drawn[1].parent, drawn[1].name, drawn[1].error))
    found: list[Calls] = []
    for _, group in alike:
        members = list(group)
        parts = [members] if len(members) > ALIKE else [[member] for member in members]
        found += [_line(started, part) for part in parts]
    return found


def _line(started: datetime, drawn: Sequence[tuple[str, Fit]]) -> Calls:
    """Calls that are alike as one line."""
    (lines, last), fits = drawn[-1], [fit for _, fit in drawn]
    starts = [(fit.started - started).total_seconds() for fit in fits]
    return Calls(
        lines,
        last.name,
        len(fits),
        starts[0],
        max(start + fit.duration for start, fit in zip(starts, fits, strict=True)),
        sum(fit.duration for fit in fits),
        last.error,
    )
