"""Which runs the table shows: a search with a hundred candidates is one line of it."""

from __future__ import annotations

from collections.abc import Iterable

from ..store import Run, Store

FEW = 3
"""Children that are shown beneath their parent; more are counted."""


def folded(store: Store, experiment: str | None, limit: int) -> list[Run]:
    """The latest runs that are below no other, and what is below them where it is little.

    Where an experiment has nothing but children, as their parents belong to another, those.
    """
    runs = list(store.roots(experiment=experiment, limit=limit))
    if not runs:
        return list(store.runs(experiment=experiment, limit=limit))
    parents = _with_few(runs)
    while parents:
        below = store.children(*parents)
        runs += below
        parents = _with_few(below)
    return sorted(runs, key=lambda run: (run.started, run.id), reverse=True)


def _with_few(runs: Iterable[Run]) -> list[str]:
    return [run.id for run in runs if 0 < len(run.children) <= FEW]
