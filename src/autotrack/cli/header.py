"""The top of a run's page: what it is, where it came from, and why it ended if it did not end well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..display import text
from ..errors import RunNotFound
from ..states import RunError
from ..store import Run, Store
from .terminal import GAP, grid, heading, state_text

MOST_TRACEBACK_LINES = 30


def parts(store: Store, run: Run, provenance: Mapping[str, str]) -> Iterator[RenderableType]:
    """From top to bottom; `provenance` are the facts worth a line here."""
    yield Text.assemble((text.plain(run.name) or "-", "bold"), "  ", state_text(run.state))
    yield _facts(store, run, provenance)
    if run.error:
        yield heading("Error")
        yield from _error(run.error)


def _facts(store: Store, run: Run, provenance: Mapping[str, str]) -> Table:
    facts = {
        "id": run.id,
        "experiment": run.experiment,
        "started": f"{run.started.astimezone():%Y-%m-%d %H:%M:%S}, {text.ago(run.started)}",
        "duration": text.duration(run.duration),
        **provenance,
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
