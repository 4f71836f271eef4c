"""Integrations and backends by their entry points; built-in ones come the same way."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from .errors import AutotrackError
from .options import did_you_mean

INTEGRATIONS = "autotrack.integrations"
BACKENDS = "autotrack.backends"


@cache
def names(group: str) -> dict[str, EntryPoint]:
    """What is registered in an entry-point group, by name."""
    return {point.name: point for point in entry_points(group=group)}


def load(group: str, name: str) -> Any:
    """The object behind an entry point. Raises `AutotrackError` if there is none or it fails to load."""
    known = names(group)
    if name not in known:
        raise AutotrackError(f"no {name!r} in {group}{did_you_mean(name, known)}")
    try:
        return known[name].load()
    except Exception as error:
        raise AutotrackError(f"{name!r} of {group} ({known[name].value}) does not load: {error!r}") from error
