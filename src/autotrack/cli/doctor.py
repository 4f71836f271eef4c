"""`autotrack doctor`: what is where, what is set by whom, and what needs attention."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import click

from .. import __version__, options, plugins
from ..errors import AutotrackError
from .common import json_option, store_option


@dataclass
class Diagnosis:
    """What `--json` prints; `problems` are lines that say what to do."""

    version: str = __version__
    python: str = field(default_factory=platform.python_version)
    platform: str = field(default_factory=platform.platform)
    store: dict[str, Any] = field(default_factory=dict)
    spools: list[dict[str, Any]] = field(default_factory=list)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    integrations: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@click.command()
@store_option
@json_option
def doctor(store: str | None, as_json: bool) -> int:
    """What is installed, set and stored, and what needs attention; exit status 1 if anything does.

    Example: autotrack doctor --store sqlite:///runs.db
    """
    ...
