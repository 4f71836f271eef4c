"""The page of `autotrack compare`: a column for each run, in the same place in every section."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ..comparison import Comparison, Row
from ..display import text
from ..display.telling import NOT_SET, Direction
from ..records import Points
from ..semconv import Scalar
from ..store import Run
from .drawing import sparklines
from .terminal import GAP, heading, state_text, titled

TITLES = {
    "model": ("Model", "fact"),
    "metrics": ("Metrics", "metric"),
    "params": ("Params", "param"),
    "datasets": ("Datasets", "fact"),
    "tags": ("Tags", "tag"),
    "attributes": ("Facts", "fact"),
    "system": ("System, peaks", "measure"),
}
"""Of each section: its heading, and what one row of it is."""
BEST = "★"
_ARROWS = {Direction.UP: " ↑", Direction.DOWN: " ↓", None: ""}
MOST_ROWS = 40
MOST_ALONE = 8
"""Names that one run alone has, and that are shown nevertheless."""
MOST_CURVES = 12
LONGEST_CURVE = 1_000_000
NARROWEST = 9
"""Cells of a run's column; where not all runs get as many they stand below each other, in groups."""
WIDEST_VALUE = 24
WIDEST_CURVE = 28


@dataclass(frozen=True)
class Layout:
    """Cells of the names, and of each run's column; runs in one group stand side by side."""

    names: int
    columns: Sequence[int]
    groups: Sequence[range]


def parts(
    found: Comparison, width: int, *, everything: bool, legend: RenderableType | None = None
) -> Iterator[RenderableType]:
    """The page from top to bottom, in `width` cells; `everything`: what is equal, too.

    legend: what the columns are, where they are something else than runs.
    """
    yield legend or _legend(found.runs, width)
    yield from _errors(found.runs)
    shown = {
        title: list(rows) if everything else _telling(rows, len(found.runs))
        for title, rows in found.sections.items()
    }
    layout = _layout([row for rows in shown.values() for row in rows], len(found.runs), width)
    for title, rows in found.sections.items():
        if shown[title]:
            yield _heading(title, rows)
            yield from _section(found.runs, shown[title], layout, curves=title == "metrics")
            yield from _folded(_hidden(title, rows, shown[title], len(found.runs)))
    yield Text()
    yield from _folded(
        told
        for title, rows in found.sections.items()
        if not shown[title]
        for told in _hidden(title, rows, [], len(found.runs))
    )


def letter(place: int) -> str:
    """What a run is called on the page: A, B, … Z, AA, AB, …"""
    rest, last = divmod(place, 26)
    return (letter(rest - 1) if rest else "") + chr(ord("A") + last)


# --- the runs -------------------------------------------------------------------------------------


def _legend(runs: Sequence[Run], width: int) -> Table:
    several = len({run.experiment for run in runs}) > 1
    table = titled("", "run", "id", *(["experiment"] if several else []), "state", "started", "duration>")
    for place, run in enumerate(runs):
        table.add_row(
            Text(letter(place), "bold"),
            text.shortened(text.plain(run.name) or "-", max(width // 4, 8)),
            Text(text.short_id(run.id), "dim"),
            *([text.shortened(text.plain(run.experiment), max(width // 6, 6))] if several else []),
            state_text(run.state),
            text.ago(run.started),
            text.duration(run.duration),
        )
    return table


def _errors(runs: Sequence[Run]) -> Iterator[RenderableType]:
    failed = [(place, run.error) for place, run in enumerate(runs) if run.error]
    if failed:
        yield heading("Errors")
    for place, error in failed:
        yield Text.assemble(
            (letter(place), "bold"), " " * GAP, (text.plain(f"{error.type}: {error.message}"), "red")
        )


# --- a section ------------------------------------------------------------------------------------


def _heading(title: str, rows: Sequence[Row]) -> RenderableType:
    differ = sum(row.differs for row in rows)
    return heading(TITLES[title][0], f"{differ:,} of {len(rows):,} differ" if differ else "all equal")


def _telling(rows: Sequence[Row], runs: int) -> list[Row]:
    """What differs; what one run alone has, only where it is little: another model has other params."""
    differ = [row for row in rows if row.differs]
    shared = [row for row in differ if row.missing < runs - 1]
    return (differ if len(differ) - len(shared) <= MOST_ALONE else shared)[:MOST_ROWS]


def _hidden(title: str, rows: Sequence[Row], shown: Sequence[Row], runs: int) -> list[str]:
    """What is not shown of a section, counted."""
    hidden = [row for row in rows if row not in shown]
    equal = sum(not row.differs for row in hidden)
    alone = sum(row.differs and row.missing == runs - 1 for row in hidden)
    counts = {"equal": equal, "of one run alone": alone, "different as well": len(hidden) - equal - alone}
    return [
        f"{text.count(count, TITLES[title][1])} {'is' if count == 1 else 'are'} {what}"
        for what, count in counts.items()
        if count
    ]


def _folded(told: Iterable[str]) -> Iterator[Text]:
    if line := ", ".join(told):
        yield Text(f"= {line}; all: --all", "dim")


def _section(
    runs: Sequence[Run], rows: Sequence[Row], layout: Layout, *, curves: bool
) -> Iterator[RenderableType]:
    with_curve = [row for row in rows if curves and _has_curve(runs, row)][:MOST_CURVES]
    drawn = {row.name: _curves(runs, row, layout) for row in with_curve}
    for group in layout.groups:
        some = [row for row in rows if any(row.values[place] is not None for place in group)]
        if some:
            if group.start:
                yield Text()
            yield _group(some, drawn, layout, group)


def _group(
    rows: Sequence[Row], curves: dict[str, list[str]], layout: Layout, group: Sequence[int]
) -> RenderableType:
    """The columns of some runs."""
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("", width=layout.names, no_wrap=True)
    for place in group:
        table.add_column(letter(place), width=layout.columns[place], no_wrap=True)
    for row in rows:
        table.add_row(_name(row, layout.names), *(_cell(row, place, layout) for place in group))
        if row.name in curves:
            table.add_row("", *(Text(curves[row.name][place], "magenta") for place in group))
    return table


def _name(row: Row, width: int) -> Text:
    arrow = _ARROWS[row.direction]
    shown = text.shortened(text.plain(row.name), width - cell_len(arrow))
    return Text.assemble((shown, "cyan"), (arrow, "dim"))


def _cell(row: Row, place: int, layout: Layout) -> Text:
    best = place in row.best
    mark = f" {BEST}" if best else ""
    shown = _shown(row, place, layout.columns[place] - cell_len(mark))
    usual = row.direction is None and row.values[place] in (row.usual, None, NOT_SET)
    return Text(shown + mark, "bold green" if best else "dim" if usual else "")


def _shown(row: Row, place: int, width: int) -> str:
    """A value, shortened: where others would look the same then, from where they differ."""
    told = _value(row.values[place])
    shown = text.shortened(told, width)
    alike = {other for other in map(_value, row.values) if text.shortened(other, width) == shown}
    if len(alike) == 1:
        return shown
    shared = takewhile(lambda some: len({*some}) == 1, zip(*alike, strict=False))
    return text.shortened(f"…{told[len([*shared]) :]}", width)


def _value(value: Scalar | None) -> str:
    if value is None:
        return "-"
    return text.digest(text.scalar(value))


# --- curves ---------------------------------------------------------------------------------------


def _has_curve(runs: Sequence[Run], row: Row) -> bool:
    counts = [run.summaries[row.name].count for run in runs if row.name in run.summaries]
    return max(counts) > 1 and sum(counts) <= LONGEST_CURVE


def _curves(runs: Sequence[Run], row: Row, layout: Layout) -> list[str]:
    """Of each run one, all on the same axes."""
    width = min(*layout.columns, WIDEST_CURVE)
    curves: dict[int, Points] = {
        place: run.points(row.name, max_points=8 * width)
        for place, run in enumerate(runs)
        if row.name in run.summaries
    }
    drawn = dict(zip(curves, sparklines(list(curves.values()), width), strict=True))
    return [drawn.get(place, "") for place in range(len(runs))]


# --- columns --------------------------------------------------------------------------------------


def _layout(rows: Sequence[Row], runs: int, width: int) -> Layout:
    """As many runs side by side as there is room for; columns alike where the room allows it."""
    names = max((cell_len(text.plain(row.name)) + 2 for row in rows), default=0)
    names = min(names, max(width // 4, 12))
    room = width - names - GAP
    together = min(max(room // (NARROWEST + GAP), 1), runs)
    groups = -(-runs // together)
    size = -(-runs // groups)
    each = max(room // size - GAP, 3)
    needs = [min(_need(rows, place), WIDEST_VALUE) for place in range(runs)]
    fits = all(sum(needs[i : i + size]) + size * GAP <= room for i in range(0, runs, size))
    columns = needs if fits and max(needs) > each else [min(each, WIDEST_CURVE)] * runs
    return Layout(names, columns, [range(i, min(i + size, runs)) for i in range(0, runs, size)])


def _need(rows: Sequence[Row], place: int) -> int:
    marks = (cell_len(_value(row.values[place])) + (2 if place in row.best else 0) for row in rows)
    return max(3, *marks, 0)
