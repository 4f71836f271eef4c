"""`autotrack runs`: the table of runs."""

from __future__ import annotations

import click

from .common import json_option, opened, store_option


@click.command()
@click.argument("filter", default="")
@store_option
@click.option("--order-by", metavar="KEYS", default="", help='Such as "metrics.acc desc, params.depth".')
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
def runs(
    filter: str,
    store: str | None,
    order_by: str,
    experiment: str | None,
    limit: int,
    flat: bool,
    as_json: bool,
) -> None:
    """The table of runs that pass FILTER, or of all; the latest first.

    A run's children (candidates of a search, models trained inside a run) stand beneath it if they are
    three or fewer; else they are counted, as in "▸100 GridSearchCV": `autotrack show` has the best of
    them. --limit is of runs that are no children; with a filter, an order, --children or --json children
    count as well.

    Example: autotrack runs "metrics.acc > 0.9 and params.model = 'svc'" --order-by "metrics.acc desc"
    """
    from ..display import text
    from . import run_table
    from .folding import folded
    from .terminal import console

    kept = opened(store)
    everything = kept.runs(filter, order_by=order_by, experiment=experiment, limit=limit)
    if as_json:
        click.echo(text.as_json([run.as_dict() for run in everything]))
        return
    out = console()
    if not everything:
        out.print(run_table.nothing(kept.url, experiment, filter))
        return
    shown = everything if flat or filter or order_by else folded(kept, experiment, limit)
    out.print(run_table.table(shown, out.width, as_tree=not order_by))
    out.print(run_table.footer(shown, everything.total, kept.url, out.width))
