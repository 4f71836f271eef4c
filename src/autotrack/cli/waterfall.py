"""The training calls of a run over its time: a tree with a bar for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.table import Table
from rich.text import Text

from ..display import text
from ..records import Fit
from ..store import Run
from .drawing import bar, branches
from .terminal import GAP, grid

DURATION_WIDTH = 12
WIDEST_BAR = 60
ALIKE = 3
"""Calls alike in a row that are drawn one by one; more of them are one line."""


@dataclass(frozen=True)
class Calls:
    """A line of the waterfall: one training call, or several alike; times in seconds of the run."""

    name: Text
    start: float
    end: float
    busy: float
    failed: bool


def calls(run: Run, fits: Sequence[Fit]) -> list[Calls]:
    """The tree of calls from top to bottom."""
    alike = groupby(branches(fits), lambda drawn: (drawn[1].parent, drawn[1].name, drawn[1].error))
    lines: list[Calls] = []
    for _, group in alike:
        members = list(group)
        parts = [members] if len(members) > ALIKE else [[member] for member in members]
        lines += [_line(run, part) for part in parts]
    return lines


def _line(run: Run, drawn: Sequence[tuple[str, Fit]]) -> Calls:
    """Calls that are alike as one line."""
    (branch, last), fits = drawn[-1], [fit for _, fit in drawn]
    starts = [(fit.started - run.started).total_seconds() for fit in fits]
    return Calls(
        Text.assemble(
            (branch, "dim"),
            text.plain(last.name),
            (f"  {len(fits):,} calls" if len(fits) > 1 else "", "dim"),
            (f"  ✗ {text.plain(last.error)}" if last.error else "", "red"),
        ),
        starts[0],
        max(start + fit.duration for start, fit in zip(starts, fits, strict=True)),
        sum(fit.duration for fit in fits),
        last.error is not None,
    )


def waterfall(run: Run, lines: Sequence[Calls], width: int) -> Table:
    whole = max(run.duration, *(call.end for call in lines)) or 1.0
    names = min(max(call.name.cell_len for call in lines), width // 2)
    room = min(width - names - DURATION_WIDTH - 2 * GAP, WIDEST_BAR)
    table = grid("<><")
    for call in lines:
        call.name.truncate(names, overflow="ellipsis")
        picture = bar(call.start / whole, call.end / whole, room)
        table.add_row(call.name, text.duration(call.busy), Text(picture, "red" if call.failed else "green"))
    return table
