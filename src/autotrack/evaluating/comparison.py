"""How sure it is that one model is better than another on the same rows.

By a paired bootstrap: the rows are drawn again with replacement, for both models the same ones, and the
difference of each metric looked at (B. Efron, R. Tibshirani: An Introduction to the Bootstrap, 1993).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..measuring.metrics import metrics
from ..measuring.predictions import Predictions

if TYPE_CHECKING:
    from collections.abc import Mapping

DRAWS = 1000
"""Of the rows; fewer where there are many."""
FEWEST_DRAWS = 200
MOST_DRAWN = 20_000_000
"""Rows in all draws together, about: more take minutes."""
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """Of a metric: challenger less champion, and the interval that holds it with `CONFIDENCE`."""

    challenger: float
    champion: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """Challenger less champion."""
        return self.challenger - self.champion

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out 0: one of both is better."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.value:+.4g} [{self.low:+.4g}, {self.high:+.4g}]"


def differences(challenger: Predictions, champion: Predictions) -> Mapping[str, Difference]:
    """Of each metric that both have. The draws are the same every time, and not the process's generator's."""
    ours, theirs = metrics(challenger), metrics(champion)
    both = [name for name in ours if name in theirs]
    if not both:
        return {}
    drawn = np.array([[one[name] for name in both] for one in _drawn(challenger, champion, both)])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail], axis=0)
    return {
        name: Difference(ours[name], theirs[name], float(low[i]), float(high[i]))
        for i, name in enumerate(both)
    }


def _drawn(challenger: Predictions, champion: Predictions, names: list[str]) -> list[dict[str, float]]:
    """The metrics' differences in each draw: how often a row is drawn is its weight."""
    generator = np.random.default_rng(0)
    rows = challenger.rows
    draws = max(FEWEST_DRAWS, min(DRAWS, MOST_DRAWN // max(rows, 1)))
    found = []
    for _ in range(draws):
        weight = np.bincount(generator.integers(0, rows, rows), minlength=rows).astype(np.float64)
        ours, theirs = (metrics(replace(one, weight=weight)) for one in (challenger, champion))
        found.append({name: ours.get(name, np.nan) - theirs.get(name, np.nan) for name in names})
    return found
