"""`autotrack sync`: sends what waits on this disk for a server or an OTLP endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import json_option

if TYPE_CHECKING:
    from ..syncing import Synced


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", type=click.Path(path_type=Path))
@click.option("--store", metavar="URL", help="Send to the server of this store, http://host:port.")
@click.option("--endpoint", metavar="URL", help="Send to this OTLP endpoint, with the settings of OTEL_*.")
@json_option
def sync(folders: tuple[Path, ...], store: str | None, endpoint: str | None, as_json: bool) -> int:
    """Send what waits on this disk; exit status 1 if something is left.

    Without a URL, what waits for each server or endpoint goes there. FOLDER is a spool that was copied
    from another machine, or the folder in which it lies beside the files to upload; the store that is
    configured here gets it, if no URL is named. What has arrived is deleted.

    Example: autotrack sync ~/from-the-cluster/spool --store http://localhost:5000
    """
    from dataclasses import asdict

    from ..display import text
    from ..syncing import shipments

    found: list[Synced] = []
    for shipment in shipments(folders, store, endpoint):
        with _progress(shipment.target, shipment.bytes, quiet=as_json) as moved:
            found.append(shipment.send(moved))
    if as_json:
        click.echo(text.as_json({"targets": [asdict(synced) for synced in found]}))
    else:
        _tell(found)
    return 1 if any(synced.left_bytes or synced.problem for synced in found) else 0


def _tell(found: list[Synced]) -> None:
    from rich.text import Text

    from ..display import text
    from .terminal import console

    out = console()
    if not found:
        out.print(Text("✓ Nothing waits.", "green"))
    for synced in found:
        target = text.plain(synced.target)
        if synced.problem:
            left = text.size(synced.left_bytes)
            out.print(Text(f"✗ {left} still wait for {target}: {text.plain(synced.problem)}", "red"))
        elif not synced.sent_bytes:
            out.print(Text(f"✓ Nothing waits for {target}.", "green"))
        else:
            out.print(Text(f"✓ {text.size(synced.sent_bytes)} sent to {target}", "green"))
        for note in synced.notes:
            out.print(Text(f"  {text.plain(note)}", "yellow"))


class _progress:
    """A bar on a terminal: what was sent of `total` bytes, how fast, and how long it takes yet."""

    def __init__(self, target: str, total: int, quiet: bool) -> None:
        from rich import progress

        from .terminal import console

        out = console()
        columns: tuple[Any, ...] = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
        )
        shown = out.is_terminal and not quiet
        self._bar = progress.Progress(*columns, console=out, transient=True, disable=not shown)
        self._task = self._bar.add_task(target, total=total)

    def __enter__(self) -> Any:
        self._bar.start()
        return lambda size: self._bar.advance(self._task, size)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
