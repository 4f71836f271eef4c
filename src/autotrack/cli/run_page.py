"""The page of one run, in sections that a glance can take in; `--json` has all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, zip_longest
from typing import Any, TypeVar

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..display import text
from ..display.telling import NOT_SET
from ..errors import RunNotFound
from ..records import Artifact, Fit, MetricSummary
from ..semconv import Scalar
from ..states import RunError
from ..store import Run, Store
from . import run_table
from .drawing import bar, branches, sparkline
from .terminal import GAP, grid, heading, state_text, titled

T = TypeVar("T")

MOST_TRACEBACK_LINES = 30
MOST_CHILDREN = 10
MOST_PARAMS = 60
MOST_ROWS = 30
"""Of metrics, training calls, tags and artifacts each."""
DURATION_WIDTH = 12
WIDEST_BAR = 60
LONGEST_CURVE = 1_000_000
"""Points of a curve that is drawn: 0.1 s of reading; a page has up to `MOST_ROWS` of them."""
MOST_COLUMNS = 4
ALIKE = 3
"""Calls alike in a row that are drawn one by one; more of them are one line."""


def as_dict(run: Run) -> dict[str, Any]:
    """The run with everything that the page is made from."""
    return run.as_dict() | {
        "error": run.error._asdict() if run.error else None,
        "summaries": {name: asdict(summary) for name, summary in run.summaries.items()},
        "fits": [asdict(fit) for fit in run.fits],
        "artifacts": [asdict(artifact) for artifact in run.artifacts],
    }


def parts(store: Store, run: Run, width: int) -> Iterator[RenderableType]:
    """The page from top to bottom, in `width` cells."""
    yield _title(run)
    yield _facts(store, run)
    if run.error:
        yield heading("Error")
        yield from _error(run.error)
    yield from _section(
        "Children", run.children[::-1], MOST_CHILDREN, lambda ids: _children(store, ids, width)
    )
    yield from _section("Params", _pairs(run.params), MOST_PARAMS, lambda pairs: _values(pairs, width))
    yield from _section("Tags", _pairs(run.tags), MOST_ROWS, lambda pairs: _values(pairs, width))
    yield from _section(
        "Metrics", list(run.summaries.items()), MOST_ROWS, lambda metrics: _metrics(run, metrics, width)
    )
    fits = run.fits
    yield from _section(
        "Training calls", _calls(run, fits), MOST_ROWS, lambda calls: _waterfall(run, calls, width), len(fits)
    )
    yield from _section("Artifacts", run.artifacts, MOST_ROWS, _artifacts)


def _section(
    title: str,
    items: Sequence[T],
    most: int,
    draw: Callable[[Sequence[T]], RenderableType],
    total: int | None = None,
) -> Iterator[RenderableType]:
    """A heading and the first items; nothing where there are none."""
    if not items:
        return
    yield heading(title, f"{total or len(items):,}")
    yield draw(items[:most])
    if len(items) > most:
        yield Text(f"… and {len(items) - most:,} more; everything: --json", "dim")


# --- header ---------------------------------------------------------------------------------------


def _title(run: Run) -> Text:
    return Text.assemble((text.plain(run.name) or "-", "bold"), "  ", state_text(run.state))


def _facts(store: Store, run: Run) -> Table:
    facts = {
        "id": run.id,
        "experiment": run.experiment,
        "started": f"{run.started.astimezone():%Y-%m-%d %H:%M:%S}, {text.ago(run.started)}",
        "duration": text.duration(run.duration),
    }
    if run.parent:
        facts["parent"] = f"{text.short_id(run.parent)}  {_name_of(store, run.parent)}"
    table = grid("<<")
    for name, value in facts.items():
        table.add_row(Text(name, "dim"), Text(text.plain(value)))
    return table


def _name_of(store: Store, run_id: str) -> str:
    try:
        return store.run(run_id).name
    except RunNotFound:
        return ""  # its spans are not here (yet)


def _error(error: RunError) -> Iterator[RenderableType]:
    """The end of the traceback, where the reason stands."""
    lines = error.traceback.rstrip().splitlines() or [f"{error.type}: {error.message}"]
    shown = [text.plain(line) for line in lines[-MOST_TRACEBACK_LINES:]]
    if len(lines) > len(shown):
        yield Text(f"… {len(lines) - len(shown):,} earlier lines; everything: --json", "dim")
    styled = [Text(line, "" if line.startswith(" ") else "red") for line in shown]
    yield Padding(Text("\n").join(styled), (0, 0, 0, GAP))


# --- sections -------------------------------------------------------------------------------------


def _children(store: Store, ids: Sequence[str], width: int) -> RenderableType:
    return run_table.table([store.run(run_id) for run_id in ids], width)


def _pairs(values: dict[str, Any]) -> list[tuple[str, Scalar]]:
    """Names and values; those that are not set come last."""
    return sorted(values.items(), key=lambda pair: pair[1] == NOT_SET)


def _values(pairs: Sequence[tuple[str, Scalar]], width: int) -> RenderableType:
    """Side by side in as many columns as fit; what is long comes last, folded."""
    half = (width - GAP) // 2
    shown = [(text.shortened(text.plain(name), half), text.scalar(value, 12)) for name, value in pairs]
    short = [pair for pair in shown if _pair_width(pair) <= half]
    long = [pair for pair in shown if _pair_width(pair) > half]
    return Group(*(_in_columns(some, width) for some in (short, long) if some))


def _pair_width(pair: tuple[str, str]) -> int:
    return cell_len(pair[0]) + GAP + cell_len(pair[1])


def _in_columns(pairs: Sequence[tuple[str, str]], width: int) -> Table:
    """Columns of pairs, to be read downwards."""
    columns = [list(pairs)]
    for n in range(min(MOST_COLUMNS, len(pairs)), 1, -1):
        rows = -(-len(pairs) // n)
        candidate = [list(pairs[start : start + rows]) for start in range(0, len(pairs), rows)]
        if sum(map(_column_width, candidate)) <= width:
            columns = candidate
            break
    table = grid("<<" * len(columns))
    for row in zip_longest(*columns, fillvalue=("", "")):
        table.add_row(*(cell for name, value in row for cell in (Text(name, "cyan"), _value(value))))
    return table


def _column_width(pairs: Sequence[tuple[str, str]]) -> int:
    names, values = (max(map(cell_len, column)) for column in zip(*pairs, strict=True))
    return names + GAP + values + 2 * GAP


def _value(value: str) -> Text:
    shown = Text(value, "dim" if value == NOT_SET else "")
    shown.pad_right(GAP)
    return shown


def _metrics(run: Run, metrics: Sequence[tuple[str, MetricSummary]], width: int) -> Table:
    table = titled("metric", "last>", "min>", "max>", "points>", "curve")
    for name, summary in metrics:
        table.add_row(
            Text(text.shortened(text.plain(name), width // 4), "magenta"),
            Text(text.number(summary.last), "bold"),
            *_range(summary),
            _count(summary),
            Text(_curve(run, name, summary, width // 4), "magenta"),
        )
    return table


def _range(summary: MetricSummary) -> tuple[str, str]:
    if summary.non_finite == summary.count:
        return "-", "-"
    return text.number(summary.min), text.number(summary.max)


def _count(summary: MetricSummary) -> Text:
    odd = f" ({summary.non_finite:,} NaN/inf)" if summary.non_finite and summary.count > 1 else ""
    return Text.assemble(f"{summary.count:,}", (odd, "yellow"))


def _curve(run: Run, name: str, summary: MetricSummary, width: int) -> str:
    if not 1 < summary.count <= LONGEST_CURVE:
        return ""
    return sparkline(run.points(name, max_points=8 * width), width)


@dataclass(frozen=True)
class Calls:
    """A line of the waterfall: one training call, or several alike; times in seconds of the run."""

    name: Text
    start: float
    end: float
    busy: float
    failed: bool


def _calls(run: Run, fits: Sequence[Fit]) -> list[Calls]:
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


def _waterfall(run: Run, calls: Sequence[Calls], width: int) -> Table:
    whole = max(run.duration, *(call.end for call in calls)) or 1.0
    names = min(max(call.name.cell_len for call in calls), width // 2)
    room = min(width - names - DURATION_WIDTH - 2 * GAP, WIDEST_BAR)
    table = grid("<><")
    for call in calls:
        call.name.truncate(names, overflow="ellipsis")
        picture = bar(call.start / whole, call.end / whole, room)
        table.add_row(call.name, text.duration(call.busy), Text(picture, "red" if call.failed else "green"))
    return table


def _artifacts(artifacts: Sequence[Artifact]) -> Table:
    table = grid("<><")
    for artifact in artifacts:
        kind = Text(text.plain(artifact.media_type), "dim")
        table.add_row(Text(text.plain(artifact.path)), text.size(artifact.size), kind)
    return table
