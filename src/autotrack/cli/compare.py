"""`autotrack compare`: runs side by side."""

from __future__ import annotations

import click

from .common import json_option, opened, store_option


@click.command()
@click.argument("runs", metavar="RUN RUN [RUN...]", nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="What is equal, too.")
@store_option
@json_option
def compare(runs: tuple[str, ...], everything: bool, store: str | None, as_json: bool) -> None:
    """Runs side by side: what differs between them, and their curves on the same axes.

    RUN is how its id begins or ends. ★ marks the best last value of a metric whose name says which
    way is better: lower for loss, error, mse and the like, higher for accuracy, auc, f1, r2 and the like.

    Example: autotrack compare 5d1c01f8 33ac0b21
    """
    from ..comparison import compared
    from ..display import text
    from . import compare_page
    from .terminal import console

    if len(runs) < 2:
        raise click.UsageError("Comparing takes at least two runs.", click.get_current_context())
    kept = opened(store)
    found = [kept.run(run) for run in runs]
    if len({run.id for run in found}) < len(found):
        raise click.UsageError("One run is named twice.", click.get_current_context())
    comparison = compared(found)
    if as_json:
        click.echo(text.as_json(comparison.as_dict()))
        return
    out = console()
    for part in compare_page.parts(comparison, out.width, everything=everything):
        out.print(part)
