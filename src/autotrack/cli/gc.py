"""`autotrack gc`: frees files that no run refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .common import json_option, opened, store_option

if TYPE_CHECKING:
    from rich.text import Text

    from ..garbage import Collected, Count

MOST_PROBLEMS = 10


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be freed.")
@click.option(
    "--grace",
    metavar="HOURS",
    type=click.FloatRange(0),
    default=24.0,
    show_default=True,
    help="Leave younger files alone: their run may not have told of them yet.",
)
@store_option
@json_option
def gc(dry_run: bool, grace: float, store: str | None, as_json: bool) -> int:
    """Free files of runs that no run refers to any more, and what was left half-written.

    A file goes when a later one took its name in every run that had it. What any run of the store
    refers to stays, and so does what a spool still speaks of.

    Example: autotrack gc --dry-run
    """
    from dataclasses import asdict

    from ..display import text
    from ..garbage import collect
    from .terminal import console

    kept = opened(store)
    found = collect(kept, grace=grace, dry_run=dry_run)
    if as_json:
        click.echo(text.as_json({"store": kept.url, "dry_run": dry_run, **asdict(found)}))
    else:
        out = console()
        for line in _lines(found, grace, dry_run):
            out.print(line)
    return 1 if found.problems else 0


def _lines(found: Collected, grace: float, dry_run: bool) -> list[Text]:
    from rich.text import Text

    from ..display import text

    size = text.size(found.freed.bytes + found.half_written.bytes)
    parts = [
        told
        for count, what in ((found.freed, "that no run refers to"), (found.half_written, "left half-written"))
        if (told := _told(count, what))
    ]
    verb = "Would free" if dry_run else "Freed"
    head = f"{verb} {size}: {', '.join(parts)}" if parts else "Nothing to free."
    kept = _told(found.kept, "in use", bytes_too=True) or "none in use"
    young = _told(found.young, f"younger than {text.number(grace)} h", bytes_too=True)
    lines = [Text(f"✓ {head}", "green"), Text(f"  Left: {kept}{f'; {young}' if young else ''}", "dim")]
    lines += [Text(f"✗ {text.plain(problem)}", "red") for problem in found.problems[:MOST_PROBLEMS]]
    if len(found.problems) > MOST_PROBLEMS:
        lines.append(Text(f"  … and {len(found.problems) - MOST_PROBLEMS:,} more; everything: --json", "dim"))
    return lines


def _told(count: Count, what: str, *, bytes_too: bool = False) -> str:
    from ..display import text

    if not count.files:
        return ""
    size = f" ({text.size(count.bytes)})" if bytes_too else ""
    return f"{text.count(count.files, 'file')}{size} {what}"
