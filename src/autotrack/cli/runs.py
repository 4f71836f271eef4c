"""`autotrack runs`: the table of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .common import json_option, opened, store_option

if TYPE_CHECKING:
    from ..store import RunList, Store


@click.command()
@store_option
@click.option("--experiment", metavar="NAME", help="Only runs of this experiment.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="At most this many runs.",
)
@json_option
def runs(store: str | None, experiment: str | None, limit: int, as_json: bool) -> None:
    """The table of runs, the latest first.

    Example: autotrack runs --experiment churn --limit 50
    """
    from ..display import text
    from . import run_table
    from .terminal import console

    kept = opened(store)
    found = kept.runs(experiment=experiment, limit=limit)
    if as_json:
        click.echo(text.as_json([run.as_dict() for run in found]))
        return
    out = console()
    if not found:
        out.print(run_table.nothing(kept.url, experiment))
        return
    out.print(run_table.table(found, out.width))
    out.print(run_table.footer(len(found), _total(kept, found, experiment, limit), kept.url, out.width))


def _total(store: Store, found: RunList, experiment: str | None, limit: int) -> int:
    """How many runs there are beyond the limit."""
    if len(found) < limit:
        return len(found)
    if experiment is None:
        return int(store.backend.facts()["runs"])
    return len(store.runs(experiment=experiment))
