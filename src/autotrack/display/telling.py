"""Which of a run's many values tell something, and which way a metric is better."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import Enum
from math import inf, isnan

from ..records import MetricSummary
from ..semconv import Scalar

Metric = tuple[str, MetricSummary]
"""A name, and what is known of its curve."""
NOT_SET = "None"
"""The text of a param that was left at None: as good as absent."""
SYSTEM = "system/"
"""What the names of samples of the machine begin with: they tell little of a model."""
_OF_MACHINE = re.compile(rf"(rank_\d+/.*|{SYSTEM}.*)", re.DOTALL)
"""So do the times of one of many ranks."""
_SPEED = ("_seconds", "_per_second")
"""How the names of measures of speed end: nor do they tell much."""

_UP = frozenset(("acc", "accuracy", "auc", "aucpr", "f1", "map", "ndcg", "precision", "r2", "recall"))
_DOWN = frozenset(
    ("loss", "logloss", "mlogloss", "err", "error", "merror", "mae", "mape", "mphe", "mse", "rmse", "rmsle")
)
_NO_SCORE = frozenset(("std", "rank", "time"))
"""With one of these words in it a name means something about a score, and no score."""
_BARE_SCORE = frozenset(
    ("score", "best", "mean", "cv", "test", "train", "training", "val", "valid", "validation")
)
"""What scikit-learn calls what its scorers return, "the higher the better", and no other score.

Of some scores the lower ones are better: Davies and Bouldin's.
"""


class Direction(Enum):
    """Which values of a metric are the better ones."""

    UP = "higher is better"
    DOWN = "lower is better"


def direction(name: str) -> Direction | None:
    """What a metric's name says by one of its words; None where it says nothing, or two things.

    scikit-learn negates losses so that higher is better, and calls them ``neg_…``.
    """
    words = set(re.findall(r"[a-z][a-z0-9]*", name.lower()))
    up = not words.isdisjoint(_UP) or ("score" in words and words <= _BARE_SCORE)
    down = not words.isdisjoint(_DOWN)
    if words & _NO_SCORE or up == down:
        return None
    return Direction.UP if up or "neg" in words else Direction.DOWN


def ranked(values: Sequence[Mapping[str, Scalar]], *, metrics: bool = False) -> list[str]:
    """Names by how much they tell runs apart: what differs, then what at least half of them share.

    What all leave out, and what few have with one value, is left out. Of metrics, those whose name says
    which way is better count double: the others are learning rates, counters and times.
    """
    given: defaultdict[str, list[Scalar]] = defaultdict(list)
    for mapping in values:
        for name, value in mapping.items():
            if value != NOT_SET and not (_OF_MACHINE.fullmatch(name) or (metrics and name.endswith(_SPEED))):
                given[name].append(value)
    differ = {name for name, found in given.items() if len(set(found)) > 1}
    shared = {name for name, found in given.items() if 2 * len(found) >= len(values)}
    telling = [name for name in given if name in differ or name in shared]

    def order(name: str) -> tuple[bool, int, int]:
        weight = 2 if metrics and direction(name) else 1
        return name not in differ, -weight * len(given[name]), name.count("__")

    return sorted(telling, key=order)


def measured(summaries: Mapping[str, MetricSummary]) -> tuple[list[Metric], list[Metric]]:
    """What was measured of the model, scores and losses first, speeds last; of the machine and its ranks."""
    found = sorted(summaries.items(), key=lambda m: (m[0].endswith(_SPEED), direction(m[0]) is None))
    model = [metric for metric in found if not _OF_MACHINE.fullmatch(metric[0])]
    return model, [metric for metric in found if _OF_MACHINE.fullmatch(metric[0])]


def families(params: Mapping[str, Scalar]) -> dict[str, dict[str, Scalar]]:
    """Params by what they are settings of, as in ``pca__whiten``; those of the run itself under "".

    The owner (``pca``) is a param too: its own value stands first among its settings, under "".
    """
    found: dict[str, dict[str, Scalar]] = {"": {}}
    for name, value in params.items():
        owner, _, own = name.rpartition("__")
        found.setdefault(owner, {})[own] = value
    for owner in [owner for owner, members in found.items() if owner and len(members) == 1]:
        found[""] |= {f"{owner}__{own}": value for own, value in found.pop(owner).items()}
    for owner, members in found.items():
        if owner and owner in found[""]:
            found[owner] = {"": found[""].pop(owner)} | members
    return {owner: members for owner, members in found.items() if members}


def ranking(metrics: Sequence[Mapping[str, Scalar]]) -> str | None:
    """The metric by which a search ranks its candidates, 1 the best; None where it is no search's."""
    names = sorted(name for mapping in metrics for name in mapping if re.match(r"rank(_|$)", name))
    found = next(iter(names), None)
    return found if found is not None and 2 * names.count(found) >= len(metrics) else None


def place(metrics: Mapping[str, float], ranking: str) -> float:
    """A candidate's rank; those without one come last."""
    rank = metrics.get(ranking, inf)
    return inf if isnan(rank) else rank
