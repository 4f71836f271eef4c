"""The training calls of a run over its time: a tree with a bar for each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ..display import text
from ..display.tree import Calls
from .drawing import bar
from .terminal import GAP, grid

DURATION_WIDTH = 12
WIDEST_BAR = 60


def waterfall(lines: Sequence[Calls], duration: float, width: int) -> Table:
    """The calls of a run of `duration` seconds."""
    whole = max(duration, *(call.end for call in lines)) or 1.0
    names = [_name(call) for call in lines]
    widest = min(max(name.cell_len for name in names), width // 2)
    room = min(width - widest - DURATION_WIDTH - 2 * GAP, WIDEST_BAR)
    table = grid("<><")
    for name, call in zip(names, lines, strict=True):
        name.truncate(widest, overflow="ellipsis")
        picture = bar(call.start / whole, call.end / whole, room)
        table.add_row(name, text.duration(call.busy), Text(picture, "red" if call.error else "green"))
    return table


def _name(call: Calls) -> Text:
    return Text.assemble(
        (call.lines, "dim"),
        text.plain(call.name),
        (f"  {call.count:,} calls" if call.count > 1 else "", "dim"),
        (f"  ✗ {text.plain(call.error)}" if call.error else "", "red"),
    )
