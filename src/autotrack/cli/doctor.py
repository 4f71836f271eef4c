"""`autotrack doctor`: what is where, what is set by whom, and what needs attention."""

from __future__ import annotations

import click

from .common import json_option, store_option


@click.command()
@store_option
@json_option
def doctor(store: str | None, as_json: bool) -> int:
    """Store, options, integrations, and what to do about them; exit status 1 if there is something.

    Example: autotrack doctor --store sqlite:///runs.db
    """
    from dataclasses import asdict

    from ..display import text
    from . import diagnosis_page
    from .diagnosis import diagnosed
    from .terminal import console

    found = diagnosed(store)
    if as_json:
        click.echo(text.as_json(asdict(found)))
    else:
        out = console()
        for part in diagnosis_page.parts(found, out.width):
            out.print(part)
    return 1 if found.problems else 0
