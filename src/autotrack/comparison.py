"""What runs have in common and where they differ, as values; `cli/compare_page.py` draws them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from .display import text
from .display.telling import SYSTEM, Direction, direction
from .semconv import PROCESS_PID, Scalar
from .store import Run

_ALWAYS_OTHER = frozenset((PROCESS_PID,))
"""Facts in which any two runs differ, and which tell nothing."""


@dataclass(frozen=True)
class Row:
    """The values of one name, run by run, None where a run has none; `best` holds places of the best."""

    name: str
    values: tuple[Scalar | None, ...]
    direction: Direction | None = None

    @property
    def differs(self) -> bool:
        """Whether two runs have different values; NaN is equal to NaN."""
        first, *others = map(repr, self.values)
        return any(other != first for other in others)

    @property
    def missing(self) -> int:
        """How many runs have no value."""
        return self.values.count(None)

    @property
    def usual(self) -> Scalar | None:
        """The value that more than half of the runs have, if there is one."""
        value, count = Counter(self.values).most_common(1)[0]
        return value if 2 * count > len(self.values) else None

    @property
    def best(self) -> list[int]:
        """The runs with the best value, if the name tells which is better and they are not all the same."""
        finite = {i: v for i, v in enumerate(self.values) if isinstance(v, float) and isfinite(v)}
        if self.direction is None or len(set(finite.values())) < 2:
            return []
        choose: Callable[..., float] = max if self.direction is Direction.UP else min
        best = choose(finite.values())
        return [i for i, value in finite.items() if value == best]


@dataclass(frozen=True)
class Comparison:
    """Every row there is, in sections by their titles; what differs comes first in each."""

    runs: Sequence[Run]
    sections: Mapping[str, Sequence[Row]]

    def preceded(self, title: str, facts: Sequence[Mapping[str, Scalar]]) -> Comparison:
        """With a section before the others, of facts for each run."""
        return replace(self, sections={title: _rows(facts), **self.sections})

    def as_dict(self) -> dict[str, Any]:
        """For JSON: values in the order of `runs`, `best` as ids."""
        return {
            "runs": [run.as_dict() for run in self.runs],
            **{title: [self._row(row) for row in rows] for title, rows in self.sections.items()},
        }

    def _row(self, row: Row) -> dict[str, Any]:
        told = {"name": row.name, "values": row.values, "equal": not row.differs}
        if row.direction is None:
            return told
        best = [self.runs[i].id for i in row.best]
        return told | {"direction": row.direction.name.lower(), "best": best}


def compared(runs: Sequence[Run]) -> Comparison:
    """Everything that runs have names for."""
    metrics = _rows([run.metrics for run in runs], direction)
    sections = {
        "metrics": [row for row in metrics if not row.name.startswith(SYSTEM)],
        "params": _rows([run.params for run in runs]),
        "datasets": _rows([_datasets(run) for run in runs]),
        "tags": _rows([run.tags for run in runs]),
        "attributes": _rows([_attributes(run) for run in runs]),
        "system": _rows([_highest(run) for run in runs]),
    }
    return Comparison(runs, sections)


def _rows(
    values: Sequence[Mapping[str, Scalar]], direction: Callable[[str], Direction | None] = lambda name: None
) -> list[Row]:
    """A row for each name: first what differs, of that first what most runs have."""
    names = dict.fromkeys(name for mapping in values for name in mapping)
    rows = [Row(name, tuple(mapping.get(name) for mapping in values), direction(name)) for name in names]
    return sorted(rows, key=lambda row: (not row.differs, row.missing, row.direction is None))


def _attributes(run: Run) -> dict[str, Scalar]:
    return {name: value for name, value in run.attributes.items() if name not in _ALWAYS_OTHER}


def _datasets(run: Run) -> dict[str, Scalar]:
    """What tells data apart: its digest, and its shape for people."""
    facts: dict[str, Scalar] = {}
    for dataset in run.datasets:
        facts[dataset.name] = dataset.digest
        facts[f"{dataset.name} shape"] = text.shape(dataset.shape)
    return facts


def _highest(run: Run) -> dict[str, Scalar]:
    """Of the machine's samples the peak: the last one is a moment like any other."""
    return {name: summary.max for name, summary in run.summaries.items() if name.startswith(SYSTEM)}
