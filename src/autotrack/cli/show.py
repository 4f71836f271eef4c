"""`autotrack show`: everything about one run."""

from __future__ import annotations

import click

from .common import json_option, opened, store_option


@click.command()
@click.argument("run")
@click.option("--logs", "only_logs", is_flag=True, help="Only what it printed and logged, every line.")
@store_option
@json_option
def show(run: str, only_logs: bool, store: str | None, as_json: bool) -> None:
    """One run: metrics, candidates, params, data, models, training calls, files, and where it ran.

    RUN is how its id begins or ends.

    Example: autotrack show 5d1c01f8
    """
    from ..display import text
    from . import logs, run_page
    from .terminal import console

    kept = opened(store)
    found = kept.run(run)
    if as_json:
        click.echo(text.as_json(run_page.as_dict(found)))
        return
    out = console()
    if only_logs:
        for line in logs.whole(found):
            click.echo(line)
        return
    for part in run_page.parts(kept, found, out.width):
        out.print(part)
