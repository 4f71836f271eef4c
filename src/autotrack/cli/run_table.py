"""The table of runs: as many columns as the terminal has room for, the most telling first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Literal

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from ..records import Scalar
from ..store import Run
from . import text
from .drawing import branches
from .terminal import GAP, state_text

NAME_WIDTH = 16
"""Of the name while other columns compete; what nobody else needs it gets as well."""
VALUE_WIDTH = 16
MOST_VALUES = 20
"""Metrics, and params, that are considered for a column."""


@dataclass(frozen=True)
class Column:
    """A column's title and its cells from top to bottom."""

    title: str
    cells: Sequence[Text]
    most: int = VALUE_WIDTH
    right: bool = False
    style: str = ""

    @property
    def natural(self) -> int:
        """Cells it would take to show everything."""
        return max(cell_len(self.title), *(cell.cell_len for cell in self.cells))

    @property
    def width(self) -> int:
        """Cells that it asks for."""
        return min(self.natural, self.most)


def table(runs: Sequence[Run], width: int) -> Table:
    """The runs in `width` cells, each on one line, children beneath their parents."""
    drawn = branches(runs)
    ordered = [run for _, run in drawn]
    name = Column("name", [_name(lines, run) for lines, run in drawn], NAME_WIDTH)
    always = [_column("id", ordered, lambda run: Text(text.short_id(run.id), "dim")), name]
    facts, values = _facts(ordered), _values(ordered)
    room = width - sum(column.width + GAP for column in always) + GAP
    chosen = _fitting([*facts, *values], room)
    room -= sum(column.width + GAP for column in chosen)
    params_then_metrics = sorted(chosen, key=lambda column: column.style == "magenta")
    wider = replace(name, most=name.width + max(room, 0))
    return _drawn([always[0], wider, *params_then_metrics])


def nothing(url: str, experiment: str | None) -> Text:
    """What stands there while there are no runs."""
    if experiment is not None:
        return Text(
            f"No runs of experiment {text.plain(experiment)!r} in {text.plain(url)}\nSee all: autotrack runs"
        )
    return Text.assemble(
        f"No runs yet in {text.plain(url)}\nThese two lines in a training script record every one:\n\n",
        ("    import autotrack\n    autotrack.enable()", "bold"),
    )


def footer(shown: int, total: int, url: str, width: int) -> Text:
    """The line below the table."""
    before = f"{shown:,} of {text.count(total, 'run')} in "
    after = " · autotrack show ID"
    return Text(before + text.shortened(text.plain(url), max(width - len(before + after), 16)) + after, "dim")


def _drawn(columns: Sequence[Column]) -> Table:
    drawn = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        title = Text(text.shortened(column.title, column.width), column.style)
        justify: Literal["left", "right"] = "right" if column.right else "left"
        drawn.add_column(title, width=column.width, justify=justify, no_wrap=True)
    for cells in zip(*(column.cells for column in columns), strict=True):
        drawn.add_row(*cells)
    return drawn


def _column(title: str, runs: Iterable[Run], cell: Callable[[Run], Text], right: bool = False) -> Column:
    return Column(title, [cell(run) for run in runs], right=right)


def _name(lines: str, run: Run) -> Text:
    return Text.assemble((lines, "dim"), text.plain(run.name) or "—")


def _facts(runs: Sequence[Run]) -> list[Column]:
    """What every run has."""
    columns = [
        _column("state", runs, lambda run: state_text(run.state)),
        _column("started", runs, lambda run: Text(text.ago(run.started))),
        _column("duration", runs, lambda run: Text(text.duration(run.duration)), right=True),
    ]
    if len({run.experiment for run in runs}) > 1:
        columns.insert(0, _column("experiment", runs, lambda run: Text(text.plain(run.experiment))))
    return columns


def _values(runs: Sequence[Run]) -> list[Column]:
    """Metrics and params by turns, each from the most telling to the least."""
    metrics = _ranked([run.metrics for run in runs], "magenta")
    params = _ranked([run.params for run in runs], "cyan")
    return [column for column in chain.from_iterable(zip_longest(metrics, params)) if column]


def _ranked(values: Sequence[Mapping[str, Scalar]], style: str) -> list[Column]:
    """A column for each name: what differs between the runs, then what at least half of them share."""
    given: defaultdict[str, list[Scalar]] = defaultdict(list)
    for mapping in values:
        for name, value in mapping.items():
            if value != "None":
                given[name].append(value)

    def rank(name: str) -> tuple[bool, int]:
        return name not in differ, -len(given[name])

    differ = {name for name, found in given.items() if len(set(found)) > 1}
    names = [name for name in given if name in differ or 2 * len(given[name]) >= len(values)]
    return [
        Column(text.plain(name), [Text(_shown(mapping, name)) for mapping in values], right=True, style=style)
        for name in sorted(names, key=rank)[:MOST_VALUES]
    ]


def _shown(values: Mapping[str, Scalar], name: str) -> str:
    """The value; nothing for one that is not set."""
    value = values.get(name, "None")
    return "" if value == "None" else text.scalar(value)


def _fitting(columns: Iterable[Column], room: int) -> list[Column]:
    """Those that fit, in the order given."""
    chosen = []
    for column in columns:
        if column.width + GAP <= room:
            chosen.append(column)
            room -= column.width + GAP
    return chosen
