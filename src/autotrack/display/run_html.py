"""A run as a notebook shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..records import Artifact, Dataset, LogLine, MetricSummary, Model, Rank
from ..semconv import Scalar
from ..states import RunError, State
from . import text
from .headline import headline
from .html import Html, Title, code, dim, element, joined, page, pairs, section, state_mark, table
from .runs_html import children_html
from .svg import sparkline
from .telling import NOT_SET, SYSTEM, Metric, families, measured, ranking
from .tree import Calls, calls

if TYPE_CHECKING:
    from ..store import Run

T = TypeVar("T")

MOST = 200
"""Rows of a section; the run's attributes have all of them."""
MOST_CURVES = 30
LONGEST_CURVE = 1_000_000
LAST_LINES = 100
LONGEST_TRACEBACK = 100


def run_html(run: Run, children: Sequence[Run]) -> str:
    """The run's page: what came out, what went in, how it went, where."""
    facts, environment = headline(run.attributes)
    metrics, system = measured(run.summaries)
    fits = run.fits
    return page(
        element("div", run.name or "-", state_mark(run.state), class_="title"),
        _facts(run, facts),
        *_error(run.error),
        *_section("Metrics", metrics, lambda some: _metrics(run, some)),
        *_children(children),
        *_section("Params", list(run.params.items()), lambda some: _params(dict(some))),
        *_section("Datasets", run.datasets, _datasets),
        *_section("Models", run.models, _models),
        *_section("Training calls", calls(run.started, fits), lambda some: _calls(some, run.duration), True),
        *_section("Ranks", run.ranks, _ranks, True),
        *_section("Artifacts", text.own_files(run.artifacts, run.models), _artifacts, True),
        *_section("Tags", list(run.tags.items()), _values, True),
        *_section("System", system, lambda some: _metrics(run, some), True),
        *_section("Environment", list(environment.items()), _values, True),
        *_section("Log", run.logs[-LAST_LINES:], _log, True),
    )


def _section(
    title: str, items: Sequence[T], draw: Callable[[Sequence[T]], Html], folded: bool = False
) -> Iterator[Html]:
    """A heading and the first items; nothing where there are none."""
    if items:
        more = [dim(f"… and {len(items) - MOST:,} more")] if len(items) > MOST else []
        yield section(title, len(items), draw(items[:MOST]), *more, folded=folded)


def _facts(run: Run, provenance: Mapping[str, str]) -> Html:
    facts: dict[str, str] = {
        "id": code(run.id),
        "experiment": run.experiment,
        "started": f"{run.started.astimezone():%Y-%m-%d %H:%M:%S}",
        "duration": text.duration(run.duration),
        **provenance,
        **({"parent": code(run.parent)} if run.parent else {}),
    }
    return pairs(facts.items(), "facts")


def _error(error: RunError | None) -> Iterator[Html]:
    if error is not None:
        head = element("summary", element("span", f"{error.type}: {error.message}", class_="error"))
        lines = error.traceback.rstrip().splitlines()[-LONGEST_TRACEBACK:]
        yield element("details", head, element("pre", joined(lines, "\n")))


def _children(children: Sequence[Run]) -> Iterator[Html]:
    if children:
        ranks = ranking([child.metrics for child in children])
        yield section("Candidates" if ranks else "Children", len(children), children_html(children, ranks))


# --- sections -------------------------------------------------------------------------------------


def _metrics(run: Run, metrics: Sequence[Metric]) -> Html:
    """A row for each with its curve; side by side where there are no curves."""
    if all(summary.count == 1 for _, summary in metrics):
        return pairs((_short(name), text.number(summary.last)) for name, summary in metrics)
    rows = (
        (
            element("span", _short(name), class_="metric"),
            element("b", text.number(summary.last)),
            *_range(summary),
            f"{summary.count:,}",
            _curve(run, name, summary) if place < MOST_CURVES else "",
        )
        for place, (name, summary) in enumerate(metrics)
    )
    return table(_titles("metric", "last>", "min>", "max>", "points>", "curve"), rows)


def _titles(*titles: str) -> list[Title]:
    """Those that end with ">" stand above numbers."""
    return [Title(title.rstrip(">"), title.endswith(">")) for title in titles]


def _short(name: str) -> str:
    return name.removeprefix(SYSTEM)


def _range(summary: MetricSummary) -> tuple[str, str]:
    if summary.non_finite == summary.count:
        return "-", "-"
    return text.number(summary.min), text.number(summary.max)


def _curve(run: Run, name: str, summary: MetricSummary) -> str:
    if not 1 < summary.count <= LONGEST_CURVE:
        return ""
    return sparkline(run.points(name, max_points=300))


def _params(params: Mapping[str, Scalar]) -> Html:
    """Those of each part of a model below its name; the names of those not set on a line."""
    parts: list[Html] = []
    for owner, members in families(params).items():
        if owner:
            kind = text.scalar(members.pop("", ""))
            parts.append(element("div", element("span", owner, class_="param"), f" {kind}", class_="owner"))
        unset = ", ".join(name for name, value in members.items() if value == NOT_SET)
        given = [pair for pair in members.items() if pair[1] != NOT_SET]
        below = [_values(given)] if given else []
        below += [element("div", f"{NOT_SET}: {unset}", class_="dim")] if unset else []
        parts.append(element("div", *below, class_="under" if owner else ""))
    return joined(parts)


def _values(values: Sequence[tuple[str, Scalar]]) -> Html:
    return pairs((name, text.scalar(value, 12)) for name, value in values)


def _datasets(datasets: Sequence[Dataset]) -> Html:
    rows = (
        (d.name, dim(d.role), text.shape(d.shape), d.kind.rpartition(".")[2], code(text.digest(d.digest)))
        for d in datasets
    )
    return table(_titles("name", "role", "shape>", "kind", "digest"), rows)


def _models(models: Sequence[Model]) -> Html:
    rows = (
        (m.path, m.kind.rpartition(".")[2], dim(m.flavor), text.kept(m), dim(m.facts.get("signature", "")))
        for m in models
    )
    return table(_titles("path", "class", "flavor", "kept", "signature"), rows)


def _artifacts(artifacts: Sequence[Artifact]) -> Html:
    rows = ((artifact.path, text.size(artifact.size), dim(artifact.media_type)) for artifact in artifacts)
    return table(_titles("path", "size>", "kind"), rows)


def _ranks(ranks: Sequence[Rank]) -> Html:
    rows = (
        (
            str(rank.rank),
            state_mark(rank.state or State.RUNNING),
            rank.host,
            text.ago(rank.received or rank.last_seen),
            rank.error or "",
        )
        for rank in ranks
    )
    return table(_titles("rank>", "state", "host", "last heard of", "error"), rows)


def _calls(lines: Sequence[Calls], duration: float) -> Html:
    whole = max(duration, *(call.end for call in lines)) or 1.0
    rows = ((_call(call), text.duration(call.busy), _bar(call, whole)) for call in lines)
    return table(_titles("call", "time>", ""), rows)


def _call(call: Calls) -> Html:
    count = [dim(f" {call.count:,} calls")] if call.count > 1 else []
    error = [element("span", f" {call.error}", class_="error")] if call.error else []
    return element("span", code(call.lines), call.name, *count, *error)


def _bar(call: Calls, whole: float) -> Html:
    left, right = (100 * min(max(at / whole, 0.0), 1.0) for at in (call.start, call.end))
    place = f"left:{left:.1f}%;width:{max(right - left, 0.0):.1f}%"
    return element("span", element("span", style=place, class_="failed" if call.error else ""), class_="bar")


def _log(lines: Sequence[LogLine]) -> Html:
    return element("pre", joined([text.said(line) for line in lines], "\n"))
