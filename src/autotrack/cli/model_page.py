"""The pages of a registered model, and of one version; `--json` has all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..catalog import Registered, Version
from ..display import text
from ..display.telling import measured
from ..errors import ModelError, RunNotFound
from ..evaluating import tags
from ..records import Dataset
from ..states import State
from ..store import Run, Store
from . import model_tables
from .pairs import params, side_by_side
from .terminal import GAP, grid, heading, state_text

MOST_VERSIONS = 20
MOST_ENTRIES = 10
MOST_LINES = 20
"""Of a description."""
MOST_FILES = 30
MOST_EVALUATIONS = 5
MOST_MEASURES = 3
"""Of an evaluation."""
MOST_SIGNATURE = 300
"""Characters."""
_PASSED = {"true": Text("✓ passed", "green"), "false": Text("✗ fell short", "red")}


def model_as_dict(found: Registered) -> dict[str, Any]:
    """The model with its versions and what was done with it."""
    versions = [version.as_dict() for version in found.versions()]
    return found.as_dict() | {"all_versions": versions, "audit": [asdict(entry) for entry in found.audit()]}


def version_as_dict(found: Version) -> dict[str, Any]:
    """The version with its run and the data of that."""
    datasets = [asdict(dataset) for dataset in found.datasets]
    evaluations = [run.as_dict() for run in found.evaluations]
    return found.as_dict() | {"run": found.run.as_dict(), "datasets": datasets, "evaluations": evaluations}


def model(store: Store, found: Registered, width: int) -> Iterator[RenderableType]:
    """The page of a model: its versions, the latest first."""
    yield Text(text.plain(found.name), "bold")
    yield _facts(
        {
            "registered": f"{_when(found.created)}{_by(found.author)}",
            "changed": _when(found.updated),
            "tags": _tags(found.tags),
        }
    )
    yield from _description(found.description)
    versions = found.versions(MOST_VERSIONS)
    if versions:
        yield heading("Versions", f"{found.count:,}")
        yield model_tables.versions(versions, _runs(store, versions), width)
        yield from _more(found.count - len(versions))
    yield heading("Changes")
    yield model_tables.audit(found.audit(MOST_ENTRIES))
    if found.latest is not None:
        name = text.plain(found.name)
        yield Text(f"\nautotrack models show {name}/{found.latest} · autotrack models audit {name}", "dim")


def version(store: Store, found: Version, width: int) -> Iterator[RenderableType]:
    """The page of a version: what it is, where it comes from, how good it is."""
    aliases = "  ".join(f"@{text.plain(alias)}" for alias in found.aliases)
    stage = "" if found.stage == "None" else f"  {found.stage}"
    yield Text.assemble((text.plain(found.uri), "bold"), (f"  {aliases}" if aliases else "", "cyan"), stage)
    run = _runs(store, [found]).get(found.run_id)
    yield _facts(
        {
            "registered": f"{_when(found.created)}{_by(found.author)}",
            "model": _kind(found),
            "signature": _signature(found),
            "run": found.run_id if run is None else _shown_run(run),
            "path": found.path,
            "source": "" if found.source.startswith("runs:/") else found.source,
            "sha256": text.digest(found.digest),
            "tags": _tags(found.tags),
        }
    )
    yield from _description(found.description)
    yield from _evaluations(found.evaluations)
    if run is not None:
        yield from _of_run(run, found.datasets, width)
    yield heading("Files", f"{len(found.files):,}, {text.size(found.size)}")
    yield _files(found)


def _of_run(run: Run, datasets: Sequence[Dataset], width: int) -> Iterator[RenderableType]:
    metrics, _ = measured(run.summaries)
    if metrics:
        yield heading("Metrics", "of its run")
        last = [(name, text.number(summary.last)) for name, summary in metrics]
        yield side_by_side(last, width, "magenta")
    if run.params:
        yield heading("Params")
        yield params(run.params, width)
    if datasets:
        yield heading("Trained on")
        table = grid("<<><")
        for dataset in datasets:
            table.add_row(
                Text(text.plain(dataset.name), "cyan"),
                Text(dataset.role, "dim"),
                text.shape(dataset.shape),
                Text(text.plain(text.digest(dataset.digest)), "dim"),
            )
        yield table


def _evaluations(runs: Sequence[Run]) -> Iterator[RenderableType]:
    """Where it was held against the truth, the latest first, by what tells most."""
    if not runs:
        return
    yield heading("Evaluations", f"{len(runs):,}")
    table = grid("<<<<")
    for run in runs[:MOST_EVALUATIONS]:
        own = [(name, summary) for name, summary in measured(run.summaries)[0] if "/" not in name]
        told = "  ".join(f"{text.plain(name)} {text.number(one.last)}" for name, one in own[:MOST_MEASURES])
        table.add_row(Text(text.short_id(run.id), "dim"), Text(text.ago(run.started), "dim"), _end(run), told)
    yield table
    yield from _more(len(runs) - MOST_EVALUATIONS)


def _end(evaluation: Run) -> Text:
    """The verdict of one that came to its end, as its tag begins with "false"; of others the state."""
    if evaluation.state is not State.FINISHED:
        return state_text(evaluation.state)
    return _PASSED.get(evaluation.tags.get(tags.PASSED, ""), Text(""))


def _runs(store: Store, versions: Sequence[Version]) -> dict[str, Run]:
    """Those that are there."""
    found = {}
    for run_id in {version.run_id for version in versions}:
        try:
            found[run_id] = store.run(run_id)
        except RunNotFound:
            continue
    return found


def _facts(facts: Mapping[str, str | Text]) -> Table:
    table = grid("<<")
    for name, value in facts.items():
        if value:
            table.add_row(Text(name, "dim"), value if isinstance(value, Text) else Text(text.plain(value)))
    return table


def _description(description: str) -> Iterator[RenderableType]:
    """As it was written: Markdown is made to be read so."""
    if not description.strip():
        return
    lines = description.strip().splitlines()
    shown = "\n".join(text.plain(line) for line in lines[:MOST_LINES])
    yield Padding(Text(shown), (1, 0, 0, GAP))
    yield from _more(len(lines) - MOST_LINES)


def _kind(found: Version) -> str:
    try:
        model = found.model
    except ModelError:
        return ""
    return f"{model.kind.rpartition('.')[2]}, {model.flavor}, {text.size(found.size)}"


def _signature(found: Version) -> str:
    try:
        return str(found.model.facts.get("signature", ""))[:MOST_SIGNATURE]
    except ModelError:
        return ""


def _shown_run(run: Run) -> Text:
    return Text.assemble(
        text.plain(run.name) or "-", "  ", (text.short_id(run.id), "dim"), "  ", state_text(run.state)
    )


def _files(found: Version) -> Table:
    table = grid("<><")
    for file in found.files[:MOST_FILES]:
        table.add_row(
            Text(text.plain(file.path)), text.size(file.size), Text(text.digest(file.sha256), "dim")
        )
    return table


def _more(count: int) -> Iterator[RenderableType]:
    if count > 0:
        yield Text(f"… and {count:,} more; everything: --json", "dim")


def _when(moment: Any) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}, {text.ago(moment)}"


def _by(author: str) -> str:
    return f", by {author}" if author else ""


def _tags(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in tags.items())
