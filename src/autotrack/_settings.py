"""autotrack's own options as they hold here: paths absolute, exporters known, a store to record to."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import exporting, plugins
from . import options as opts
from .errors import OptionError
from .locations import default_store, normalized

log = logging.getLogger("autotrack")


def general_options(arguments: Mapping[str, Any], strict: bool = False) -> opts.Options:
    """autotrack's own options, with absolute paths: in a file relative to that file.

    Raises `OptionError` for a wrong argument. Another wrong store is an error to a reader (`strict`);
    a training gets one line and the default store.
    """
    known = plugins.names(plugins.INTEGRATIONS)
    options, settings = opts.resolve(opts.Options, arguments, neighbours=known)
    options = _with_known_exporters(options, settings["exporters"].origin)
    options = replace(options, file_path=_absolute(options.file_path, settings["file_path"].origin))
    origin = settings["store"].origin
    if options.store == opts.NONE or (origin == "argument" and options.store is None and options.exporters):
        return replace(options, store=None)
    try:
        store = normalized(options.store, _base(origin)) if options.store else default_store()
    except OptionError as error:
        if strict or origin == "argument":
            raise
        log.warning("autotrack: %s: %s; ignored", origin, error)
        store = default_store()
    return replace(options, store=store)


def told_store() -> str:
    """The store that environment and pyproject tell of, or the default one. Raises `OptionError`."""
    return general_options({}, strict=True).store or default_store()


def _base(origin: str) -> Path | None:
    """What a path is relative to: the folder of the file that says it, or the working directory (None)."""
    return Path(origin).parent if os.path.isabs(origin) else None


def _absolute(path: str, origin: str) -> str:
    try:
        return os.path.abspath((_base(origin) or Path()) / path)
    except FileNotFoundError:  # the working directory is gone
        return path


def _with_known_exporters(options: opts.Options, origin: str) -> opts.Options:
    """Raises `OptionError` for an argument that names none; elsewhere that is one line, and left out."""
    known = []
    for name in options.exporters:
        try:
            exporting.check_names([name])
        except OptionError as error:
            if origin == "argument":
                raise
            log.warning("autotrack: %s: %s; ignored", origin, error)
        else:
            known.append(name)
    return replace(options, exporters=tuple(known))


def targets(options: opts.Options) -> tuple[object, ...]:
    """The options that say where everything goes: to change them takes another recorder."""
    return (
        *(options.store, options.exporters, options.file_path),
        *(options.otlp_points, options.spool_max_bytes),
    )


def records_as_told(options: opts.Options) -> bool:
    """Whether no argument of `enable` led away from the store and exporters of the environment."""
    told = general_options({})
    named = [name for name in ("store", "exporters") if os.environ.get(opts.env_name(name))]
    return all(getattr(told, name) == getattr(options, name) for name in named)
