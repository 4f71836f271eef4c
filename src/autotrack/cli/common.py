"""What the commands share: their options, and the store that they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..store import Store

store_option = click.option(
    "--store",
    metavar="URL",
    help="sqlite:///path or http://host:port of the store; default: where scripts record to from here.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Everything there is, as JSON.")


def opened(url: str | None) -> Store:
    """The store at `url`, or this folder's and environment's. Raises `AutotrackError`."""
    from .._enable import store_url
    from ..store import open_store

    return open_store(store_url() if url is None else url)
