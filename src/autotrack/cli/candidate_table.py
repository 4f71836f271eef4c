"""The candidates of a search: the best first, with what they differ in."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from rich.table import Table
from rich.text import Text

from ..display import text
from ..display.telling import place
from ..states import State
from ..store import Run
from . import run_table
from .run_table import Column
from .terminal import GAP, state_text

BEST = "bold green"


def by_rank(runs: Sequence[Run], ranking: str) -> list[Run]:
    """The best first, those without a rank last."""
    return sorted(runs, key=lambda run: place(run.metrics, ranking))


def table(runs: Sequence[Run], ranking: str, width: int) -> Table:
    """Runs in the order given: rank, params, the score that ranks them, and what else there is room for."""
    ranks = Column("rank", [_place(run, ranking) for run in runs], right=True)
    ids = run_table.id_column(runs)
    states = [Column("state", [state_text(run.state) for run in runs])] if _troubled(runs) else []
    params = run_table.params_of(runs)
    metrics = [column for column in run_table.metrics_of(runs) if column.title != text.plain(ranking)]
    score = text.plain(ranking.replace("rank", "mean", 1))
    metrics.sort(key=lambda column: column.title != score)
    duration = run_table.duration_column(runs)

    wanted = [*metrics[:1], *states, *run_table.by_turns(params, metrics[1:]), duration]
    chosen, _ = run_table.fitting(wanted, width - run_table.taken([ranks, ids]) + GAP)
    order = [*states, *params, *metrics, duration]
    return run_table.drawn([ranks, ids, *(column for column in order if column in chosen)])


def _troubled(runs: Sequence[Run]) -> bool:
    return any(run.state is not State.FINISHED for run in runs)


def _place(run: Run, ranking: str) -> Text:
    rank = place(run.metrics, ranking)
    return Text("-" if rank == inf else text.number(rank), BEST if rank == 1 else "")
