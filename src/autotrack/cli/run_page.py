"""The page of one run, in sections that a glance can take in; `--json` has all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any

from rich.cells import cell_len
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..errors import AutotrackError
from ..records import Artifact, Fit, RunError, Scalar
from ..store import Run, Store
from . import run_table, text
from .drawing import bar, branches, sparkline
from .terminal import GAP, grid, heading, state_text

MOST_TRACEBACK_LINES = 30
MOST_CHILDREN = 10
MOST_PARAMS = 60
MOST_METRICS = 30
MOST_FITS = 30
MOST_ARTIFACTS = 30
FULL_CURVE = 200_000
"""Points of a curve that is drawn; a longer one takes too long to read for a glance."""
ALIKE = 3
"""So many calls of one class in a row are drawn one by one; more are one line."""


def as_dict(run: Run) -> dict[str, Any]:
    """The run with everything the page is made from."""
    return run.as_dict() | {
        "error": asdict(run.error) if run.error else None,
        "summaries": {name: asdict(summary) for name, summary in run.summaries.items()},
        "fits": [asdict(fit) for fit in run.fits],
        "artifacts": [asdict(artifact) for artifact in run.artifacts],
    }


def parts(store: Store, run: Run, width: int) -> Iterator[RenderableType]:
    """The page from top to bottom, in `width` cells."""
    yield Text.assemble((text.plain(run.name) or "—", "bold"), "  ", state_text(run.state))
    yield _facts(store, run)
    if run.error:
        yield heading("Error")
        yield from _error(run.error)
    if run.children:
        yield heading("Children", f"{len(run.children):,}")
        yield from _children(store, run, width)
    for title, values in (("Params", run.params), ("Tags", run.tags)):
        if values:
            yield heading(title, f"{len(values):,}")
            yield from _values(values, width)
    if run.summaries:
        yield heading("Metrics", f"{len(run.summaries):,}")
        yield from _metrics(run, width)
    if fits := run.fits:
        yield heading("Training calls", f"{len(fits):,}")
        yield from _fits(run, fits, width)
    if artifacts := run.artifacts:
        yield heading("Artifacts", f"{len(artifacts):,}")
        yield from _artifacts(artifacts)


def _facts(store: Store, run: Run) -> Table:
    facts = {
        "id": run.id,
        "experiment": run.experiment,
        "started": f"{run.started.astimezone():%Y-%m-%d %H:%M:%S}, {text.ago(run.started)}",
        "duration": text.duration(run.duration),
    }
    if run.parent:
        facts["parent"] = _relative(store, run.parent)
    table = grid("left", "left")
    for name, value in facts.items():
        table.add_row(Text(name, "dim"), Text(text.plain(value)))
    return table


def _relative(store: Store, run_id: str) -> str:
    try:
        return f"{text.short_id(run_id)}  {store.run(run_id).name}"
    except AutotrackError:
        return run_id  # its spans are not here (yet)


def _error(error: RunError) -> Iterator[RenderableType]:
    """The end of the traceback, where the reason stands."""
    lines = error.traceback.rstrip().splitlines() or [f"{error.type}: {error.message}"]
    shown = [text.plain(line) for line in lines[-MOST_TRACEBACK_LINES:]]
    if more := len(lines) - len(shown):
        yield _more(more, "earlier line")
    yield Padding(Text("\n".join(shown[:-1]), overflow="fold"), (0, 0, 0, 2)) if shown[1:] else Text(end="")
    yield Padding(Text(shown[-1], "red", overflow="fold"), (0, 0, 0, 2))
    

def _children(store: Store, run: Run, width: int) -> Iterator[RenderableType]:
    shown = run.children[-MOST_CHILDREN:]
    yield run_table.table([store.run(child) for child in reversed(shown)], width)
    if more := len(run.children) - len(shown):
        yield _more(more, "earlier child run")


def _values(values: Mapping[str, Scalar], width: int) -> Iterator[RenderableType]:
    """Names and values side by side in as many columns as fit; what is long has lines of its own."""
    pairs = [(text.plain(name), text.scalar(value, 12)) for name, value in list(values.items())[:MOST_PARAMS]]
    half = (width - GAP) // 2
    short = [pair for pair in pairs if sum(map(cell_len, pair)) + GAP <= half]
    if short:
        yield _in_columns(short, width)
    table = grid("left", "left")
    for name, value in pairs:
        if (name, value) not in short:
            table.add_row(Text(text.shortened(name, half), "cyan"), Text(_clipped(value)))
    if table.row_count:
        yield table
    if more := len(values) - len(pairs):
        yield _more(more, "more")


def _in_columns(pairs: Sequence[tuple[str, str]], width: int) -> Table:
    names = max(cell_len(name) for name, _ in pairs)
    values = max(cell_len(value) for _, value in pairs)
    n = max(1, min((width + GAP) // (names + values + 3 * GAP), len(pairs)))
    rows = -(-len(pairs) // n)
    table = grid(*["left"] * (2 * n))
    for row in range(rows):
        cells = pairs[row::rows]
        table.add_row(*(Text(part, style) for pair in cells for part, style in zip(pair, ("cyan", ""), strict=True)))
    return table


def _metrics(run: Run, width: int) -> Iterator[RenderableType]:
    shown = list(run.summaries.items())[:MOST_METRICS]
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("name", no_wrap=True)
    for title in ("last", "min", "max", "points"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("curve", no_wrap=True)
    curve = width // 4
    for name, summary in shown:
        table.add_row(
            Text(text.shortened(text.plain(name), width // 4), "magenta"),
            *(text.number(value) for value in (summary.last, summary.min, summary.max)),
            f"{summary.count:,}",
            sparkline(run.points(name, max_points=4 * curve), curve) if 1 < summary.count < FULL_CURVE else "",
        )
    yield table
    if more := len(run.summaries) - len(shown):
        yield _more(more, "more")


@dataclass(frozen=True)
class Row:
    """A line of the waterfall: one training call, or several alike."""

    name: str
    start: float
    end: float
    calls: int
    error: str | None


def _fits(run: Run, fits: Sequence[Fit], width: int) -> Iterator[RenderableType]:
    rows = list(_rows(run, fits))
    whole = max(run.duration, *(row.end for row in rows)) or 1.0
    table = grid("left", "right", "left")
    for row in rows[:MOST_FITS]:
        name = Text.assemble(row.name, (f"  ✗ {text.plain(row.error)}" if row.error else "", "red"))
        picture = Text(bar(row.start / whole, row.end / whole, width // 3), "red" if row.error else "green")
        table.add_row(name, text.duration(row.end - row.start), picture)
    yield table
    if more := sum(row.calls for row in rows[MOST_FITS:]):
        yield _more(more, "more")


def _rows(run: Run, fits: Sequence[Fit]) -> Iterator[Row]:
    """The tree of calls from top to bottom, calls that are alike and follow each other as one."""
    drawn = branches(fits)
    for _, group in groupby(drawn, lambda pair: (len(pair[0]), pair[1].parent, pair[1].name, pair[1].error)):
        ...


def _artifacts(artifacts: Sequence[Artifact]) -> Iterator[RenderableType]:
    table = grid("left", "right", "left")
    for artifact in artifacts[:MOST_ARTIFACTS]:
        table.add_row(text.plain(artifact.path), text.size(artifact.size), Text(text.plain(artifact.media_type), "dim"))
    yield table
    if more := len(artifacts) - MOST_ARTIFACTS:
        if more > 0:
            yield _more(more, "more")


def _more(n: int, what: str) -> Text:
    return Text(f"… and {n:,} {what}; all with --json", "dim")
