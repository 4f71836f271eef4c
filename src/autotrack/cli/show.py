"""`autotrack show`: everything about one run."""

from __future__ import annotations

import click

from .common import json_option, opened, store_option


@click.command()
@click.argument("run")
@store_option
@json_option
def show(run: str, store: str | None, as_json: bool) -> None:
    """One run: params, metrics, training calls, files. RUN is how its id begins or ends.

    Example: autotrack show 5d1c01f8
    """
    from ..display import text
    from . import run_page
    from .terminal import console

    kept = opened(store)
    found = kept.run(run)
    if as_json:
        click.echo(text.as_json(run_page.as_dict(found)))
        return
    out = console()
    for part in run_page.parts(kept, found, out.width):
        out.print(part)
