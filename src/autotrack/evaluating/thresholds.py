"""What metrics have to reach."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import OptionError
from ..options import did_you_mean

_COMPARES = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
_WRITTEN = re.compile(r"\s*(>=|>|<=|<)\s*([-+.\deE]+)\s*")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A metric's bound; `compare` is one of ``>= > <= <``."""

    metric: str
    compare: str
    bound: float

    def __str__(self) -> str:
        return f"{self.metric} {self.compare} {self.bound:g}"

    def failure(self, metrics: Mapping[str, float]) -> str | None:
        """What is wrong, or None. A metric that is NaN passes no bound."""
        if self.metric not in metrics:
            return f"{self.metric} is not known{did_you_mean(self.metric, metrics)}, wanted {self}"
        value = metrics[self.metric]
        return (
            None
            if _COMPARES[self.compare](value, self.bound)
            else f"{self.metric} is {value:.6g}, wanted {self}"
        )


def read(given: Mapping[str, float | str]) -> list[Threshold]:
    """A bound is a text as in ``">= 0.9"``, or a number, which has to be reached. Raises `OptionError`."""
    if not isinstance(given, Mapping):
        raise OptionError(f"thresholds: give bounds by the metrics' names, no {type(given).__name__}")
    return [_read(str(metric), bound) for metric, bound in given.items()]


def _read(metric: str, bound: float | str) -> Threshold:
    try:
        if not isinstance(bound, str):
            return Threshold(metric, ">=", float(bound))
        if found := _WRITTEN.fullmatch(bound):
            return Threshold(metric, found[1], float(found[2]))
    except (TypeError, ValueError):
        pass
    raise OptionError(f"the threshold of {metric!r} is {bound!r}; write it as in '>= 0.9' or '< 10'")
