"""`autotrack runs`: the table of runs."""

from __future__ import annotations

import click

from .common import json_option, opened, store_option


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
@click.option("--children", "flat", is_flag=True, help="Children of runs, too, however many they are.")
@json_option
def runs(store: str | None, experiment: str | None, limit: int, flat: bool, as_json: bool) -> None:
    """The table of runs, the latest first.

    A run's children (candidates of a search, models trained inside a run) stand beneath it if they are
    three or fewer; else they are counted, as in "▸100 GridSearchCV": `autotrack show` has the best of
    them. --limit is of runs that are no children; with --children and --json children count as well.

    Example: autotrack runs --experiment churn --limit 50
    """
    from ..display import text
    from . import run_table
    from .folding import folded
    from .terminal import console

    kept = opened(store)
    everything = kept.runs(experiment=experiment, limit=limit)
    if as_json:
        click.echo(text.as_json([run.as_dict() for run in everything]))
        return
    out = console()
    if not everything:
        out.print(run_table.nothing(kept.url, experiment))
        return
    shown = everything if flat else folded(kept, experiment, limit)
    out.print(run_table.table(shown, out.width))
    out.print(run_table.footer(shown, everything.total, kept.url, out.width))
