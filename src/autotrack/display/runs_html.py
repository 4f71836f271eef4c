"""Runs as a notebook shows them: a table with what tells them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from ..semconv import Scalar
from . import text
from .html import Html, Title, code, dim, element, joined, page, state_mark, table
from .telling import NOT_SET, Direction, direction, place, ranked

if TYPE_CHECKING:
    from ..store import Run

FIRST = 30
"""Runs that are shown; the list has all of them."""
MOST_COLUMNS = 10
"""Of params, and of metrics."""
VALUE_WIDTH = 32

Column = tuple[Title, list[str]]
"""The cells below a title."""


def runs_html(runs: Sequence[Run]) -> str:
    """The first runs, in their order, and how many more there are."""
    if not runs:
        return page(dim("no runs"))
    return page(_first(runs))


def children_html(runs: Sequence[Run], ranking: str | None) -> Html:
    """Children of a run; where a search ranks them, the best first."""
    if ranking is None:
        return _first(runs)
    return _first(sorted(runs, key=lambda run: place(run.metrics, ranking)), ranking)


def _first(runs: Sequence[Run], ranking: str | None = None) -> Html:
    shown = runs[:FIRST]
    metrics, params = _metrics(shown), _params(shown)
    if ranking is None:
        columns = [*_names(shown), *_facts(shown), *metrics, *params]
    else:
        score = ranking.replace("rank", "mean", 1)
        telling = [column for column in metrics if column[0].text in (ranking, score)]
        others = [column for column in metrics if column not in telling]
        telling.sort(key=lambda column: column[0].text != ranking)
        columns = [*_names(shown), *telling, *params, *others, *_facts(shown)]
    drawn = table([title for title, _ in columns], list(zip(*(cells for _, cells in columns), strict=True)))
    rest = len(runs) - len(shown)
    return joined([drawn, dim(f"… and {rest:,} more of {len(runs):,}")]) if rest else drawn


def _names(runs: Sequence[Run]) -> list[Column]:
    return [
        (Title("name"), [element("b", run.name or "-") for run in runs]),
        (Title("id"), [dim(code(text.short_id(run.id))) for run in runs]),
    ]


def _facts(runs: Sequence[Run]) -> list[Column]:
    experiments = [run.experiment for run in runs]
    return [
        *([(Title("experiment"), experiments)] if len(set(experiments)) > 1 else []),
        (Title("state"), [state_mark(run.state) for run in runs]),
        (Title("started"), [f"{run.started.astimezone():%Y-%m-%d %H:%M}" for run in runs]),
        (Title("duration", numbers=True), [text.duration(run.duration) for run in runs]),
    ]


def _params(runs: Sequence[Run]) -> list[Column]:
    values = [run.params for run in runs]
    return [_column(name, values) for name in ranked(values)[:MOST_COLUMNS]]


def _metrics(runs: Sequence[Run]) -> list[Column]:
    values = [run.metrics for run in runs]
    return [_marked(name, values) for name in ranked(values, metrics=True)[:MOST_COLUMNS]]


def _column(name: str, values: Sequence[Mapping[str, Scalar]]) -> Column:
    given = [None if (value := mapping.get(name)) == NOT_SET else value for mapping in values]
    numbers = not any(isinstance(value, str) for value in given)
    cells = ["" if v is None else text.shortened(text.scalar(v), VALUE_WIDTH) for v in given]
    return Title(name, numbers, "param"), list(cells)


def _marked(name: str, values: Sequence[Mapping[str, float]]) -> Column:
    """A metric, its best values in bold where the name tells which they are."""
    way = direction(name)
    finite = {v for mapping in values if isfinite(v := mapping.get(name, float("nan")))}
    best: float | None = None
    if way is not None and len(finite) > 1:
        best = max(finite) if way is Direction.UP else min(finite)
    cells = [text.number(mapping[name]) if name in mapping else "" for mapping in values]
    marked = [
        element("span", cell, class_="best") if best is not None and mapping.get(name) == best else cell
        for cell, mapping in zip(cells, values, strict=True)
    ]
    return Title(name, True, "metric"), marked
