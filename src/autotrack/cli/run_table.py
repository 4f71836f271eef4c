"""The table of runs: as many columns as the terminal has room for, the most telling first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Literal

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from ..display import text
from ..display.telling import NOT_SET, ranked
from ..display.tree import branches
from ..semconv import Scalar
from ..store import Run
from .terminal import GAP, state_text

FOLDED = "▸"
"""Before the number of children that are not shown."""
NAME_WIDTH = 16
"""Of the name while other columns compete; what nobody else needs it gets as well."""
VALUE_WIDTH = 16
MOST_VALUES = 20
"""Metrics, and params, that are considered for a column."""


@dataclass(frozen=True, eq=False)
class Column:
    """A column's title and its cells from top to bottom."""

    title: str
    cells: Sequence[Text]
    most: int = VALUE_WIDTH
    right: bool = False
    style: str = ""

    @property
    def width(self) -> int:
        """Cells that it asks for: all it needs, up to `most`."""
        return min(self.most, max(cell_len(self.title), *(cell.cell_len for cell in self.cells)))


def table(runs: Sequence[Run], width: int, *, as_tree: bool = True) -> Table:
    """The runs in `width` cells, each on one line, children beneath their parents."""
    tree = branches(runs) if as_tree else [("", run) for run in runs]
    ordered = [run for _, run in tree]
    ids = id_column(ordered)
    unfolded = {run.parent for run in runs}
    names = [_name(lines, run, 0 if run.id in unfolded else len(run.children)) for lines, run in tree]
    name = Column("name", names, NAME_WIDTH)
    facts, experiment = _facts(ordered), _experiment(ordered)
    metrics, params = metrics_of(ordered), params_of(ordered)
    chosen, left = fitting(
        [*facts, *experiment, *by_turns(metrics, params)], width - taken([ids, name]) + GAP
    )
    wider = replace(name, most=NAME_WIDTH + left)
    order = [*experiment, *facts, *params, *metrics]
    return drawn([ids, wider, *(column for column in order if column in chosen)])


def nothing(url: str, experiment: str | None, filter: str = "") -> Text:
    """What stands there while there are no runs."""
    if filter:
        return Text(f"No runs match {text.plain(filter)} in {text.plain(url)}\nSee all: autotrack runs")
    if experiment is not None:
        return Text(
            f"No runs of experiment {text.plain(experiment)!r} in {text.plain(url)}\nSee all: autotrack runs"
        )
    return Text.assemble(
        f"No runs yet in {text.plain(url)}\nThese two lines in a training script record every one:\n\n",
        ("    import autotrack\n    autotrack.enable()", "bold"),
    )


def footer(runs: Sequence[Run], total: int, url: str, width: int) -> Text:
    """The line below the table."""
    unfolded = {run.parent for run in runs}
    folds = any(run.children and run.id not in unfolded for run in runs)
    before = f"{len(runs):,} of {text.count(total, 'run')} in "
    after = f"{f' · {FOLDED}children: --children' if folds else ''} · autotrack show ID"
    return Text(before + text.shortened(text.plain(url), max(width - len(before + after), 16)) + after, "dim")


def taken(columns: Iterable[Column]) -> int:
    """Cells that the columns use up."""
    return sum(column.width + GAP for column in columns)


def fitting(columns: Iterable[Column], room: int) -> tuple[list[Column], int]:
    """Those that fit, in the order given, and the room that is left."""
    chosen = []
    for column in columns:
        if taken([column]) <= room:
            chosen.append(column)
            room -= taken([column])
    return chosen, max(room, 0)


def by_turns(*columns: Sequence[Column]) -> list[Column]:
    """One of each after the other: the first of all come before the second of any."""
    return [column for column in chain.from_iterable(zip_longest(*columns)) if column]


def drawn(columns: Sequence[Column]) -> Table:
    """The columns side by side."""
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        title = Text(text.shortened(column.title, column.width), column.style)
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(title, width=column.width, justify=justify, no_wrap=True)
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return table


# --- columns --------------------------------------------------------------------------------------


def _name(lines: str, run: Run, folded: int) -> Text:
    """Its place in the tree, how many children are not shown, and its name."""
    children = f"{FOLDED}{folded:,} " if folded else ""
    return Text.assemble((lines, "dim"), (children, "yellow"), text.plain(run.name) or "-")


def _facts(runs: Sequence[Run]) -> list[Column]:
    """What every run has."""
    return [
        Column("state", [state_text(run.state) for run in runs]),
        Column("started", [Text(text.ago(run.started)) for run in runs]),
        duration_column(runs),
    ]


def duration_column(runs: Sequence[Run]) -> Column:
    """How long each took."""
    return Column("duration", [Text(text.duration(run.duration)) for run in runs], right=True)


def id_column(runs: Sequence[Run]) -> Column:
    """What `autotrack show` takes."""
    return Column("id", [Text(text.short_id(run.id), "dim") for run in runs])


def _experiment(runs: Sequence[Run]) -> list[Column]:
    """A column where there is more than one."""
    names = [text.plain(run.experiment) for run in runs]
    return [Column("experiment", list(map(Text, names)))] if len(set(names)) > 1 else []


def params_of(runs: Sequence[Run]) -> list[Column]:
    """A column for each param worth one, the most telling first."""
    values = [run.params for run in runs]
    return [_column(name, values, "cyan") for name in ranked(values)[:MOST_VALUES]]


def metrics_of(runs: Sequence[Run]) -> list[Column]:
    """The same of metrics."""
    values = [run.metrics for run in runs]
    return [_column(name, values, "magenta") for name in ranked(values, metrics=True)[:MOST_VALUES]]


def _column(name: str, values: Sequence[Mapping[str, Scalar]], style: str) -> Column:
    given = [None if (value := mapping.get(name)) == NOT_SET else value for mapping in values]
    cells = [Text("" if v is None else text.shortened(text.scalar(v), VALUE_WIDTH)) for v in given]
    return Column(text.plain(name), cells, right=not any(isinstance(v, str) for v in given), style=style)
