"""What a run consists of while it is recorded: its starts, and the training calls inside."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import trace

from ..semconv import Scalar

if TYPE_CHECKING:
    from .run import ActiveRun


@dataclass(frozen=True, eq=False)  # by identity: every row is hashed by it
class Segment:
    """One start of a run: what is queued refers to it, whatever becomes of the run meanwhile.

    `number` is its start in unix ns; `clock_offset` turns perf_counter_ns into unix ns.
    """

    run: ActiveRun
    number: int
    span: trace.Span
    clock_offset: int

    def now(self) -> int:
        """Unix ns: the wall clock at the start plus what the monotonic clock counted since."""
        return time.perf_counter_ns() + self.clock_offset


class Fit:
    """A training call inside a run; times are unix ns."""

    __slots__ = ("end", "error", "kind", "name", "params", "parent_span_id", "segment", "span_id", "start")

    def __init__(self, segment: Segment, name: str, kind: str, parent_span_id: int | None) -> None:
        self.segment = segment
        self.name = name
        self.kind = kind
        self.parent_span_id = parent_span_id
        self.span_id = int.from_bytes(os.urandom(8), "big") or 1
        self.start = segment.now()
        self.end = 0
        self.params: Mapping[str, Scalar] = {}
        self.error: str | None = None
