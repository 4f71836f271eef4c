"""Tables of the registry: models, versions, and what was done with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from ..catalog import Registered, Version
from ..display import text
from ..records import AuditEntry
from ..states import Stage
from ..store import Run
from . import run_table
from .compare_page import letter
from .run_table import Column
from .terminal import GAP, state_text, titled

NAME_WIDTH = 32
WIDE = 28
"""Cells of what may be long."""
_STAGES = {Stage.PRODUCTION: "bold green", Stage.STAGING: "yellow", Stage.ARCHIVED: "dim", Stage.NONE: ""}


def models(found: Sequence[Registered], width: int) -> Table:
    """A line for each, in `width` cells."""
    names = Column("model", [Text(text.plain(one.name), "bold") for one in found], NAME_WIDTH)
    latest = Column(
        "latest", [Text("-" if one.latest is None else str(one.latest)) for one in found], right=True
    )
    aliases = Column("aliases", [_aliases(one.aliases) for one in found], WIDE)
    updated = Column("updated", [Text(text.ago(one.updated)) for one in found])
    versions = Column("versions", [Text(f"{one.count:,}") for one in found], right=True)
    stages = Column("stages", [_stages(one.stages) for one in found], WIDE)
    authors = Column("author", [Text(text.plain(one.author)) for one in found])
    tags = Column("tags", [_tags(one.tags) for one in found], WIDE)
    wanted = [latest, aliases, updated, *_said(stages), versions, *_said(tags), *_said(authors)]
    chosen, _ = run_table.fitting(wanted, width - run_table.taken([names]) + GAP)
    order = [latest, versions, aliases, stages, tags, authors, updated]
    return run_table.drawn([names, *(column for column in order if column in chosen)])


def nothing(url: str, name: str, tags: Sequence[str]) -> Text:
    """What stands there where there are none."""
    if name or tags:
        wanted = " ".join(filter(None, (name, *tags)))
        return Text(
            f"No models match {text.plain(wanted)} in {text.plain(url)}\nSee all: autotrack models list"
        )
    return Text.assemble(
        f"No registered models yet in {text.plain(url)}\n",
        "This makes the model of a run the first version of one:\n\n",
        ("    autotrack models register runs:/RUN_ID/model NAME", "bold"),
    )


def footer(found: Sequence[Registered], limit: int, url: str, width: int) -> Text:
    """The line below the table."""
    more = " or more" if len(found) == limit else ""
    before, after = f"{text.count(len(found), 'model')}{more} in ", " · autotrack models show NAME"
    return Text(before + text.shortened(text.plain(url), max(width - len(before + after), 16)) + after, "dim")


def versions(found: Sequence[Version], runs: Mapping[str, Run], width: int) -> Table:
    """A line for each; of their runs the metrics that tell most."""
    numbers = Column("version", [Text(str(one.version), "bold") for one in found], right=True)
    aliases = Column("aliases", [_alias_names(one) for one in found], WIDE)
    stages = Column("stage", [_stage(one.stage) for one in found])
    created = Column("registered", [Text(text.ago(one.created)) for one in found])
    authors = Column("by", [Text(text.plain(one.author)) for one in found])
    ids = Column("run", [Text(text.short_id(one.run_id), "dim") for one in found])
    sizes = Column("size", [Text(text.size(one.size)) for one in found], right=True)
    metrics = run_table.metrics_of([runs[one.run_id] for one in found]) if _all_known(found, runs) else []
    facts = [*_said(aliases), *_said(stages), created, *metrics[:2], ids, *_said(authors), sizes]
    chosen, _ = run_table.fitting([*facts, *metrics[2:]], width - run_table.taken([numbers]) + GAP)
    order = [*_said(aliases), *_said(stages), *metrics, created, authors, ids, sizes]
    return run_table.drawn([numbers, *(column for column in order if column in chosen)])


def legend(found: Sequence[Version], runs: Sequence[Run], width: int) -> Table:
    """What the letters of a comparison stand for."""
    table = titled("", "version", "aliases", "stage", "run", "state", "registered")
    for place, (one, run) in enumerate(zip(found, runs, strict=True)):
        table.add_row(
            Text(letter(place), "bold"),
            text.shortened(text.plain(f"{one.name}/{one.version}"), max(width // 4, 12)),
            _alias_names(one),
            _stage(one.stage),
            Text(text.short_id(run.id), "dim"),
            state_text(run.state),
            text.ago(one.created),
        )
    return table


def audit(entries: Sequence[AuditEntry]) -> Table:
    """A line for each change."""
    table = titled("when", "who", "model", "what")
    for entry in entries:
        of = entry.model if entry.version is None else f"{entry.model}/{entry.version}"
        table.add_row(
            Text(f"{entry.time.astimezone():%Y-%m-%d %H:%M:%S}", "dim"),
            text.plain(entry.author) or "-",
            Text(text.plain(of), "bold"),
            Text(text.plain(change(entry))),
        )
    return table


def change(entry: AuditEntry) -> str:
    """What was done, in words."""
    detail: Any = entry.detail
    match entry.verb:
        case "set_alias" | "delete_alias":
            return f"@{_moved(detail.get('alias', {}))}"
        case "register":
            alias = f", @{_moved(detail['alias'])}" if "alias" in detail else ""
            return f"registered from {_source(str(detail.get('source')))}{alias}"
        case "set_stage":
            archived = detail.get("archived")
            others = f"; archived {', '.join(map(str, archived))}" if archived else ""
            return f"stage {_from_to(detail.get('stage', {}))}{others}"
        case "rename":
            return f"renamed to {detail.get('name', {}).get('to')}"
        case "update" | "update_version":
            tags = [f"tag {name} {_from_to(moved)}" for name, moved in detail.get("tags", {}).items()]
            return ", ".join([*(["description"] if "description" in detail else []), *tags]) or "nothing"
        case "create":
            return "created"
        case "delete" | "delete_version":
            return "deleted"
    return entry.verb


def _source(source: str) -> str:
    """An address; of a run's id what `autotrack show` takes."""
    return re.sub(r"^runs:/[0-9a-f]{24}([0-9a-f]{8})/", r"runs:/\1/", source)


def _moved(alias: Mapping[str, Any]) -> str:
    return f"{alias.get('name')} {_from_to(alias)}"


def _from_to(moved: Mapping[str, Any]) -> str:
    before, after = ("-" if end is None else str(end) for end in (moved.get("from"), moved.get("to")))
    return f"{before} → {after}"


# --- cells ----------------------------------------------------------------------------------------


def _said(column: Column) -> list[Column]:
    """A column in which something stands."""
    return [column] if any(cell.plain for cell in column.cells) else []


def _all_known(found: Iterable[Version], runs: Mapping[str, Run]) -> bool:
    return all(one.run_id in runs for one in found)


def _aliases(aliases: Mapping[str, int]) -> Text:
    parts = [
        part
        for name, version in aliases.items()
        for part in ((f"@{text.plain(name)}", "cyan"), (f" {version}  ", ""))
    ]
    return _fitted(Text.assemble(*parts))


def _alias_names(version: Version) -> Text:
    return _fitted(Text(" ".join(f"@{text.plain(name)}" for name in version.aliases), "cyan"))


def _stages(stages: Mapping[str, int]) -> Text:
    shown = [(stage, stages[stage]) for stage in (Stage.PRODUCTION, Stage.STAGING) if stage in stages]
    return Text("  ").join(Text.assemble((str(stage), _STAGES[stage]), f" {at}") for stage, at in shown)


def _stage(stage: Stage) -> Text:
    return Text("" if stage is Stage.NONE else str(stage), _STAGES[stage])


def _tags(tags: Mapping[str, str]) -> Text:
    return _fitted(Text(text.plain(", ".join(f"{name}={value}" for name, value in tags.items()))))


def _fitted(cell: Text) -> Text:
    cell.rstrip()
    cell.truncate(WIDE, overflow="ellipsis")
    return cell
