"""What the commands share: their options, and the store that they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ..store import Store

Command = TypeVar("Command", bound=Callable[..., Any])
store_option = click.option(
    "--store",
    metavar="URL",
    help="sqlite:///path or http://host:port of the store; default: where scripts record to from here.",
)
_PERMISSIONS = (
    click.option("--trusted", metavar="TYPE", multiple=True, help="A type that the model may be made of."),
    click.option(
        "--allow-pickle", is_flag=True, help="Unpickle what is pickled, which runs what its author wrote."
    ),
    click.option("--allow-code", is_flag=True, help="Run the Python source that comes with the model."),
)
json_option = click.option("--json", "as_json", is_flag=True, help="Everything there is, as JSON.")


def model_options(command: Command) -> Command:
    """What may be done to load a model: arguments `trusted`, `allow_pickle`, `allow_code`."""
    for option in reversed(_PERMISSIONS):
        command = option(command)
    return command


def opened(url: str | None) -> Store:
    """The store at `url`, or this folder's and environment's. Raises `AutotrackError`."""
    from .._settings import told_store
    from ..store import open_store

    return open_store(told_store() if url is None else url)
