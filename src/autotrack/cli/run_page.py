"""The page of one run, in sections that a glance can take in; `--json` has all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..display import text
from ..display.headline import headline
from ..display.telling import NOT_SET, SYSTEM, Metric, measured, ranking
from ..display.tree import calls
from ..records import Artifact, Dataset, MetricSummary, Model, Rank
from ..semconv import Scalar
from ..states import State
from ..store import Run, Store
from . import candidate_table, header, logs, run_table
from .drawing import sparkline
from .pairs import params, side_by_side
from .terminal import grid, heading, state_text, titled
from .waterfall import waterfall

T = TypeVar("T")

MOST_CHILDREN = 10
MOST_PARAMS = 60
MOST_ROWS = 30
"""Of each other section."""
MOST_SAMPLES = 12
LONGEST_CURVE = 1_000_000
"""Points of a curve that is drawn: 0.1 s of reading; a page has up to `MOST_ROWS` of them."""


def as_dict(run: Run) -> dict[str, Any]:
    """The run with everything that the page is made from."""
    return run.as_dict() | {
        "error": run.error._asdict() if run.error else None,
        "summaries": {name: asdict(summary) for name, summary in run.summaries.items()},
        "attributes": run.attributes,
        "datasets": [asdict(dataset) for dataset in run.datasets],
        "models": [asdict(model) for model in run.models],
        "fits": [asdict(fit) for fit in run.fits],
        "ranks": [asdict(rank) for rank in run.ranks],
        "artifacts": [asdict(artifact) for artifact in run.artifacts],
        "logs": [asdict(line) for line in run.logs],
    }


def parts(store: Store, run: Run, width: int) -> Iterator[RenderableType]:
    """The page from top to bottom, in `width` cells: what came out, what went in, how it went, where."""
    facts, environment = headline(run.attributes)

    def values(some: Sequence[tuple[str, Scalar]]) -> RenderableType:
        return side_by_side(some, width)

    yield from header.parts(store, run, facts)
    metrics, system = measured(run.summaries)
    yield from _section("Metrics", metrics, MOST_ROWS, lambda some: _metrics(run, some, width))
    yield from _children(store, run, width)
    yield from _section("Params", _pairs(run.params), MOST_PARAMS, lambda some: params(dict(some), width))
    yield from _section("Datasets", run.datasets, MOST_ROWS, _datasets)
    yield from _section("Models", run.models, MOST_ROWS, _models)
    fits = run.fits
    yield from _section(
        "Training calls",
        calls(run.started, fits),
        MOST_ROWS,
        lambda lines: waterfall(lines, run.duration, width),
        len(fits),
    )
    yield from _section("Ranks", run.ranks, MOST_ROWS, _ranks)
    yield from _section("Artifacts", text.own_files(run.artifacts, run.models), MOST_ROWS, _artifacts)
    yield from _section("Tags", _pairs(run.tags), MOST_ROWS, values)
    yield from _section("System", system, MOST_SAMPLES, lambda some: _metrics(run, some, width))
    yield from _section("Environment", _pairs(environment), MOST_ROWS, values)
    yield from logs.last(run)


def _section(
    title: str,
    items: Sequence[T],
    most: int,
    draw: Callable[[Sequence[T]], RenderableType],
    total: int | None = None,
) -> Iterator[RenderableType]:
    """A heading and the first items; nothing where there are none."""
    if not items:
        return
    yield heading(title, f"{total or len(items):,}")
    yield draw(items[:most])
    if len(items) > most:
        yield Text(f"… and {len(items) - most:,} more; everything: --json", "dim")


# --- sections -------------------------------------------------------------------------------------


def _children(store: Store, run: Run, width: int) -> Iterator[RenderableType]:
    """The best candidates of a search; of other children the latest."""
    if not run.children:
        return
    children = store.children(run.id)
    ranks = ranking([child.metrics for child in children])
    if ranks is None:
        yield from _section(
            "Children", children[::-1], MOST_CHILDREN, lambda some: run_table.table(some, width)
        )
    else:
        ordered = candidate_table.by_rank(children, ranks)
        yield from _section(
            "Candidates", ordered, MOST_CHILDREN, lambda some: candidate_table.table(some, ranks, width)
        )


def _pairs(values: dict[str, Any]) -> list[tuple[str, Scalar]]:
    """Names and values; those that are not set come last."""
    return sorted(values.items(), key=lambda pair: pair[1] == NOT_SET)


def _metrics(run: Run, metrics: Sequence[Metric], width: int) -> RenderableType:
    """A line for each with its curve; side by side where there are no curves."""
    if all(summary.count == 1 for _, summary in metrics):
        last = [(name.removeprefix(SYSTEM), text.number(summary.last)) for name, summary in metrics]
        return side_by_side(last, width, "magenta")
    table = titled("metric", "last>", "min>", "max>", "points>", "curve")
    for name, summary in metrics:
        table.add_row(
            Text(text.shortened(text.plain(name.removeprefix(SYSTEM)), width // 4), "magenta"),
            Text(text.number(summary.last), "bold"),
            *_range(summary),
            _count(summary),
            Text(_curve(run, name, summary, width // 4), "magenta"),
        )
    return table


def _range(summary: MetricSummary) -> tuple[str, str]:
    if summary.non_finite == summary.count:
        return "-", "-"
    return text.number(summary.min), text.number(summary.max)


def _count(summary: MetricSummary) -> Text:
    odd = f" ({summary.non_finite:,} NaN/inf)" if summary.non_finite and summary.count > 1 else ""
    return Text.assemble(f"{summary.count:,}", (odd, "yellow"))


def _curve(run: Run, name: str, summary: MetricSummary, width: int) -> str:
    if not 1 < summary.count <= LONGEST_CURVE:
        return ""
    return sparkline(run.points(name, max_points=8 * width), width)


def _datasets(datasets: Sequence[Dataset]) -> Table:
    table = grid("<<><<")
    for dataset in datasets:
        table.add_row(
            Text(text.plain(dataset.name), "cyan"),
            Text(dataset.role, "dim"),
            text.shape(dataset.shape),
            text.plain(dataset.kind.rpartition(".")[2]),
            Text(text.plain(text.digest(dataset.digest)), "dim"),
        )
    return table


def _models(models: Sequence[Model]) -> Table:
    table = grid("<<<<")
    for model in models:
        kind = text.plain(model.kind.rpartition(".")[2])
        flavor = Text(text.plain(model.flavor), "dim")
        table.add_row(Text(text.plain(model.path), "cyan"), kind, flavor, text.kept(model))
        if signature := model.facts.get("signature"):
            table.add_row("", Text(text.plain(signature), "dim", overflow="ellipsis"))
    return table


def _ranks(ranks: Sequence[Rank]) -> RenderableType:
    table = grid("><<<<")
    for rank in ranks:
        table.add_row(
            Text(str(rank.rank), "cyan"),
            state_text(rank.state or State.RUNNING),
            Text(text.plain(rank.host), "dim"),
            Text(f"last heard of {text.ago(rank.received or rank.last_seen)}", "dim"),
            Text(text.plain(rank.error or ""), "red"),
        )
    count = max(rank.count for rank in ranks)
    if count > len(ranks):
        return Group(table, Text(f"{count - len(ranks):,} of {count:,} were not heard of", "yellow"))
    return table


def _artifacts(artifacts: Sequence[Artifact]) -> Table:
    table = grid("<><")
    for artifact in artifacts:
        kind = Text(text.plain(artifact.media_type), "dim")
        table.add_row(Text(text.plain(artifact.path)), text.size(artifact.size), kind)
    return table
