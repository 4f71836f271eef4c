"""The terminal: its width, its colours, and tables without a frame."""

from __future__ import annotations

import io
import shutil
import sys
from typing import Literal

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from ..display.text import SYMBOLS
from ..states import State

GAP = 2
"""Cells between two columns."""

_STYLES = {
    State.FINISHED: "green",
    State.FAILED: "bold red",
    State.KILLED: "yellow",
    State.LOST: "magenta",
    State.RUNNING: "cyan",
    State.IDLE: "cyan",
}


def console() -> Console:
    """Standard output. Where that is no terminal: no colours, and 80 columns or what COLUMNS says."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an ASCII-only terminal shows "?" for a symbol
    width = shutil.get_terminal_size().columns
    return Console(width=width, highlight=False, markup=False, emoji=False)


def state_text(state: State) -> Text:
    """The state with its symbol, in its colour."""
    return Text(f"{SYMBOLS[state]} {state}", _STYLES[state])


def heading(title: str, note: str = "") -> Padding:
    """The line above a section."""
    words = Text.assemble((title, "bold"), (f" {note}" if note else "", "dim"))
    return Padding(Rule(words, align="left", style="dim"), (1, 0, 0, 0))


def grid(columns: str) -> Table:
    """A table without titles; `columns` has "<" for each column of text and ">" for one of numbers."""
    table = Table.grid(padding=(0, GAP, 0, 0))
    for column in columns:
        table.add_column(justify="right" if column == ">" else "left", overflow="fold")
    return table


def titled(*titles: str) -> Table:
    """A table with a dim row of titles and no lines; "title>" stands above numbers."""
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for title in titles:
        justify: Literal["left", "right"] = "right" if title.endswith(">") else "left"
        table.add_column(title.rstrip(">"), justify=justify, overflow="fold")
    return table
