"""The page of `autotrack doctor`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ..display import text
from ..options import Setting
from .diagnosis import Diagnosis
from .terminal import grid, heading, titled


def parts(found: Diagnosis, width: int) -> Iterator[RenderableType]:
    """The page from top to bottom; what needs attention comes last, where the eye is."""
    yield _facts({"autotrack": found.version, "python": found.python, "platform": found.platform})
    yield heading("Store")
    yield _facts(_store(found.store))
    yield heading("Spools")
    yield _spools(found.spools)
    if found.targets:
        yield heading("Network")
        yield _targets(found.targets)
    yield heading("Integrations")
    yield _integrations(found.integrations)
    yield heading("Options")
    yield _options(found.options, width)
    yield Text()
    yield from _verdict(found.problems)


def _store(store: Mapping[str, Any]) -> dict[str, str]:
    shown = {"url": store["url"], "set by": store["origin"]}
    if "error" in store:
        return shown | {"error": store["error"]}
    if not store["exists"]:
        return shown | {"contents": "not there yet; it is made when the first runs are read"}
    facts = {name: fact for name, fact in store.items() if name not in ("url", "origin", "exists", "bytes")}
    numbers = {name: f"{fact:,}" if isinstance(fact, int) else fact for name, fact in facts.items()}
    return shown | numbers | {"size": text.size(store["bytes"])}


def _spools(spools: list[dict[str, Any]]) -> RenderableType:
    if not spools:
        return Text("none: nothing waits to be moved into this store", "dim")
    table = titled("pending>", "rejected>", "folder")
    for spool in spools:
        rejected = Text(f"{spool['rejected_files']:,}", "red" if spool["rejected_files"] else "")
        table.add_row(text.size(spool["pending_bytes"]), rejected, text.plain(spool["folder"]))
    return table


def _targets(targets: list[dict[str, Any]]) -> RenderableType:
    table = titled("waiting>", "rejected>", "for")
    for target in targets:
        rejected = Text(f"{target['rejected_files']:,}", "red" if target["rejected_files"] else "")
        table.add_row(text.size(target["pending_bytes"]), rejected, text.plain(target["target"]))
    if any(target["pending_bytes"] for target in targets):
        table.caption = Text("send what waits: autotrack sync", "dim")
        table.caption_justify = "left"
    return table


def _integrations(integrations: list[dict[str, Any]]) -> Table:
    symbols = {True: Text("✓", "green"), False: Text("✗", "red"), None: Text("-", "dim")}
    table = titled("", "name", "installed", "requires")
    for found in integrations:
        cells = found["name"], found["installed"] or "no", found["requires"]
        table.add_row(symbols[found["supported"]], *map(text.plain, cells))
    return table


def _options(options: Mapping[str, Setting], width: int) -> Table:
    table = titled("name", "value", "set by")
    table.columns[0].no_wrap = max(map(len, options)) <= width / 2
    for name, setting in options.items():
        value = "-" if setting.value is None else text.scalar(setting.value)
        table.add_row(Text(text.plain(name), "cyan"), value, text.plain(setting.origin))
    return table


def _verdict(problems: list[str]) -> Iterator[RenderableType]:
    if not problems:
        yield Text("✓ All is well.", "green")
        return
    yield Text(f"✗ {text.count(len(problems), 'problem')}:", "bold red")
    table = grid("<<")
    for problem in problems:
        table.add_row("-", text.plain(problem))
    yield table


def _facts(facts: Mapping[str, str]) -> Table:
    table = grid("<<")
    for name, value in facts.items():
        table.add_row(Text(name, "dim"), Text(text.plain(value), "red" if name == "error" else ""))
    return table
