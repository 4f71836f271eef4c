"""What `autotrack doctor` finds. It only looks: nothing is drained, upgraded or repaired."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import Requirement

from .. import __version__, options, plugins
from ..errors import AutotrackError
from ..exporters.waiting import CONSUMER, waiting_bytes
from ..integration import Integration
from ..locations import default_store, is_server, named_homes
from ..spool import SpoolReader
from ..store import Store, open_store


@dataclass
class Diagnosis:
    """What `--json` prints; each of `problems` is a line that says what is wrong and what to do."""

    version: str = __version__
    python: str = field(default_factory=platform.python_version)
    platform: str = field(default_factory=platform.platform)
    store: dict[str, Any] = field(default_factory=dict)
    spools: list[dict[str, Any]] = field(default_factory=list)
    targets: list[dict[str, Any]] = field(default_factory=list)
    integrations: list[dict[str, Any]] = field(default_factory=list)
    options: dict[str, options.Setting] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def diagnosed(store: str | None) -> Diagnosis:
    """Look at everything; `store` as the command line gave it."""
    found = Diagnosis()
    with _log_lines(found.problems):  # how a wrong environment variable or pyproject key is told
        arguments = {} if store is None else {"store": store}
        _, found.options = options.resolve(
            options.Options, arguments, neighbours=plugins.names(plugins.INTEGRATIONS)
        )
        _examine_store(found)
        _examine_targets(found)
        for name in plugins.names(plugins.INTEGRATIONS):
            _examine_integration(found, name)
    return found


def _examine_store(found: Diagnosis) -> None:
    setting = found.options["store"]
    found.store = {"url": setting.value or default_store(), "origin": setting.origin, "exists": False}
    try:
        store = open_store(found.store["url"])
        found.store["url"] = store.url
        _examine_spools(found, store)
        found.store["exists"] = store.backend.exists()
        if found.store["exists"]:
            found.store |= store.backend.facts()
    except (AutotrackError, OSError) as error:
        found.store["error"] = str(error)
        found.problems.append(str(error))


def _examine_spools(found: Diagnosis, store: Store) -> None:
    for folder, backlog in store.backlogs().items() if not is_server(store.url) else ():
        if folder.is_dir():
            pending = {"pending_bytes": backlog.bytes, "pending_files": backlog.segments}
            found.spools.append({"folder": str(folder), **pending, "rejected_files": backlog.rejected})
        if backlog.rejected:
            found.problems.append(
                f"{folder / 'rejected'} holds what could not be read ({backlog.rejected:,} files): "
                "send it with a bug report, then delete it"
            )


def _examine_targets(found: Diagnosis) -> None:
    """What waits for servers and OTLP endpoints, whichever store is asked about."""
    for target, places in sorted(named_homes().items()):
        shown = target.removeprefix("otlp:").removeprefix("otlp+grpc:")
        rejected = 0
        for home in places:
            count = SpoolReader(home.spool, CONSUMER).backlog().rejected
            rejected += count
            if count:
                found.problems.append(
                    f"{home.spool / 'rejected'} holds what {shown} did not take ({count:,} files): "
                    "see what it says against it, then delete them"
                )
        waiting = waiting_bytes(places, files=is_server(target))
        found.targets.append({"target": shown, "pending_bytes": waiting, "rejected_files": rejected})


def _examine_integration(found: Diagnosis, name: str) -> None:
    try:
        kind: type[Integration] = plugins.load(plugins.INTEGRATIONS, name)
    except AutotrackError as error:
        found.problems.append(f"{error}; upgrade or uninstall the package that brings it")
        return
    _, settings = options.resolve(kind.Options, section=name)
    found.options |= {f"{name}.{option}": setting for option, setting in settings.items()}
    installed = plugins.installed_version(kind)
    supported = None
    if installed is not None:
        supported = Requirement(kind.requires).specifier.contains(installed, prereleases=True)
    if supported is False:
        found.problems.append(f"{name} {installed} is not supported: pip install -U '{kind.requires}'")
    found.integrations.append(
        {"name": name, "requires": kind.requires, "installed": installed, "supported": supported}
    )


@contextmanager
def _log_lines(lines: list[str]) -> Iterator[None]:
    """Add what autotrack logs to `lines` instead of showing it."""

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage().removeprefix("autotrack: "))

    collector, log = Collector(), logging.getLogger("autotrack")
    log.addHandler(collector)
    try:
        yield
    finally:
        log.removeHandler(collector)
