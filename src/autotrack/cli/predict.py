"""`autotrack predict`: a model asked about the rows of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .common import model_options, opened, store_option


@click.command()
@click.option("--model", metavar="MODEL", required=True, help="Its address, as for `autotrack serve`.")
@click.option(
    "--input",
    "given",
    metavar="FILE",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A .csv, .jsonl, .parquet or .npy file.",
)
@click.option(
    "--output",
    metavar="FILE",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A .csv, .jsonl or .parquet file; it is there once all is written.",
)
@click.option(
    "--batch-size",
    metavar="ROWS",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Asked about at once, and in memory.",
)
@click.option("--params", metavar="JSON", default="{}", help="Parameters of the prediction, as an object.")
@store_option
@model_options
def predict(
    model: str,
    given: Path,
    output: Path,
    batch_size: int,
    params: str,
    store: str | None,
    trusted: tuple[str, ...],
    allow_pickle: bool,
    allow_code: bool,
) -> None:
    """Write a prediction for each row of a file, in their order.

    Example: autotrack predict --model models:/churn@champion --input customers.parquet --output scores.csv
    """
    from rich.text import Text

    from ..display import text
    from ..flavor import Permissions
    from ..loading import load, model_folder
    from ..scoring.asking import score
    from .terminal import console

    parsed = _parsed(params)
    folder = model_folder(lambda: opened(store), model)
    predictor = load(folder, Permissions(trusted, pickle=allow_pickle, code=allow_code))
    with _progress(given.name) as advanced:
        rows = score(predictor, given, output, batch=batch_size, params=parsed, advanced=advanced)
    console().print(Text(f"✓ {text.count(rows, 'prediction')} in {output}", "green"))


def _parsed(params: str) -> dict[str, Any] | None:
    try:
        found = json.loads(params)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"no JSON: {error}", param_hint="--params") from None
    if not isinstance(found, dict):
        raise click.BadParameter("no JSON object", param_hint="--params")
    return found or None


class _progress:
    """A bar on a terminal: how much of the file is done, and how long it takes yet."""

    def __init__(self, name: str) -> None:
        from rich import progress

        from .terminal import console

        columns: tuple[Any, ...] = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TimeRemainingColumn(),
        )
        out = console()
        self._bar = progress.Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
        self._task = self._bar.add_task(name, total=None)

    def __enter__(self) -> Any:
        self._bar.start()
        return lambda read, total: self._bar.update(self._task, completed=read, total=total)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
