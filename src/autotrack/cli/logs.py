"""What a run printed and logged."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ..display import text
from ..records import LogLine
from ..store import Run
from .terminal import grid, heading

LAST = 12
"""Lines on a run's page."""
LONGEST = 1 << 20
"""Characters of a line where all are shown."""
_STYLES = {"stderr": "yellow", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}


def last(run: Run) -> Iterator[RenderableType]:
    """The last lines, as a section of its page."""
    lines = run.logs
    if lines:
        yield heading("Log", f"{len(lines):,}")
        if len(lines) > LAST:
            yield Text(f"… {len(lines) - LAST:,} earlier lines; all: --logs", "dim")
        yield _table(lines[-LAST:])


def whole(run: Run) -> Iterator[str]:
    """Every line, with its time, for other programs to read too."""
    for line in run.logs:
        yield f"{_clock(line)}  {text.plain(text.said(line), LONGEST)}"


def _table(lines: list[LogLine]) -> Table:
    table = grid("<<")
    for line in lines:
        style = _STYLES.get(line.level or line.stream, "")
        table.add_row(Text(_clock(line), "dim"), Text(text.plain(text.said(line)), style))
    return table


def _clock(line: LogLine) -> str:
    return f"{line.time.astimezone():%H:%M:%S}"
