"""The contract between the store and whatever keeps it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .query import Search
from .records import (
    Artifact,
    Dataset,
    Experiment,
    Fit,
    LogLine,
    MetricSummary,
    Model,
    Points,
    Rank,
    SpanRecord,
)
from .registry import Registry
from .semconv import Scalar
from .states import RunError, State

BEATS_MISSED = 3
"""A run without a sign of life for this many beat intervals is lost."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as a backend knows it; times are unix ns.

    `state` is final, idle or None: whether a run without a final state is alive is for the reader
    to say, from `last_seen` (its writer's latest span), `received` (when that came over the network, by
    the receiver's clock; None: it came from a spool of the receiver's host), `beat_interval` (seconds),
    `host` and `writer`. All of these are of the latest segment; `started` is of the first. `note` and
    `archived` are what a person said of it.
    """

    id: str
    name: str
    experiment: str
    parent: str | None
    started: int
    ended: int | None
    state: State | None
    last_seen: int
    received: int | None
    beat_interval: float
    host: str
    writer: str
    error: RunError | None
    params: Mapping[str, Scalar]
    tags: Mapping[str, str]
    metrics: Mapping[str, MetricSummary]
    children: Sequence[str]
    note: str = ""
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Liveness:
    """What a reader knows of who lives: `now` in unix ns, this `host`'s name, its `writers` that live.

    Who knows nothing believes each run that has not ended.
    """

    now: int = 0
    host: str = ""
    writers: frozenset[str] = frozenset()


def state_of(row: RunRow, liveness: Liveness) -> State:
    """What became of a run: its final state, or whether there is still a sign of life.

    A writer of this host that holds no spool segment is gone. Of another host's, and of what came over
    the network, only the beats tell, by the clock of whoever received them: the writer's may be days off.
    """
    if row.state not in (None, State.IDLE):
        return row.state
    if row.writer in liveness.writers:
        return row.state or State.RUNNING
    if row.host == liveness.host and row.received is None:
        return State.LOST
    if row.state is State.IDLE:
        return State.IDLE
    silence = (liveness.now - (row.received or row.last_seen)) / 1e9
    return State.LOST if silence > BEATS_MISSED * row.beat_interval else State.RUNNING


EVERYTHING = Search()
UNKNOWN = Liveness()


class Backend(ABC):
    """Keeps runs; made from a store's normalized URL.

    What a backend promises, and its tests hold it to:

    - The run data is a function of the set of spans that were written. Spans may come in any order,
      in any batches, merged or not, again and again: the store is the same, before and after
      `compact`.
    - When `write` returns, the spans are on disk; if it raises, none of them is.
    - A span that means nothing to it is kept, never refused.
    - One process writes at a time (the caller sees to that); any number read meanwhile.
    - The registry is no run data: its verbs are transactions of their own, from any process at any time.
    """

    @abstractmethod
    def __init__(self, url: str) -> None: ...

    @abstractmethod
    def exists(self) -> bool:
        """Whether there is anything to read; `write` makes the store where there is not."""

    @abstractmethod
    def write(self, spans: Iterable[SpanRecord], received: int | None = None) -> set[str]:
        """Take spans in, in one transaction; returns the ids of the runs they tell of. Raises `StoreError`.

        received: unix ns at which they came over the network; None: they come from this host's spool.
        """

    @abstractmethod
    def compact(self, within: float | None = None) -> bool:
        """Bring points into their final, small form. Changes nothing that can be read.

        within: seconds soon after which it stops, to go on when it is called again. True if all is done.
        """

    @abstractmethod
    def runs(
        self,
        search: Search = EVERYTHING,
        liveness: Liveness = UNKNOWN,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[RunRow]:
        """The first runs of a search after `offset` of them, in its order. Raises `StoreError`.

        liveness: who asks for runs in a state has to know it.
        """

    @abstractmethod
    def experiments(self) -> list[Experiment]:
        """All that have runs, the one with the latest start first."""

    @abstractmethod
    def count(self, search: Search = EVERYTHING, liveness: Liveness = UNKNOWN) -> int:
        """How many runs a search finds, exactly. Raises `StoreError`."""

    @abstractmethod
    def run_ids(self, text: str) -> list[str]:
        """Ids that begin or end with `text`, or are it; at most ten."""

    @abstractmethod
    def run(self, run_id: str) -> RunRow | None:
        """One run."""

    @abstractmethod
    def points(self, run_id: str, name: str) -> Points:
        """Every point of a metric in (segment, step, time, writer, seq) order; empty if there is none."""

    @abstractmethod
    def artifacts(self, run_id: str) -> list[Artifact]:
        """The run's files, by path."""

    @abstractmethod
    def attributes(self, run_id: str) -> dict[str, Scalar]:
        """The run's facts under OpenTelemetry's names, by name."""

    @abstractmethod
    def datasets(self, run_id: str) -> list[Dataset]:
        """The data the run used, by name."""

    def datasets_of(self, run_ids: Sequence[str]) -> dict[str, list[Dataset]]:
        """The data of some runs, by name, that of each run under its id."""
        return {run_id: self.datasets(run_id) for run_id in run_ids}

    @abstractmethod
    def models(self, run_id: str) -> list[Model]:
        """The run's models, by path."""

    def models_of(self, run_ids: Sequence[str]) -> dict[str, list[Model]]:
        """The models of some runs, by path, those of each run under its id."""
        return {run_id: self.models(run_id) for run_id in run_ids}

    @abstractmethod
    def logs(self, run_id: str) -> list[LogLine]:
        """What was printed and logged during the run, by time."""

    @property
    @abstractmethod
    def registry(self) -> Registry:
        """The names, versions and aliases of models that are kept here."""

    @abstractmethod
    def blobs(self) -> set[str]:
        """The sha256 of every file that is in use.

        That is, of what a run or a registered version refers to, or a span names which it only keeps.
        """

    def blob(self, sha256: str) -> Path | None:
        """The file of a blob that lies in none of this machine's folders; None if it is not to be had."""
        return None

    @abstractmethod
    def fits(self, run_id: str) -> list[Fit]:
        """The training calls inside the run, by start."""

    @abstractmethod
    def ranks(self, run_id: str) -> list[Rank]:
        """The processes that trained the latest segment together, by rank; none where there was one."""

    @abstractmethod
    def spans(self, run_id: str) -> list[SpanRecord]:
        """The spans inside the run that are kept as such, ours and foreign, by start.

        Ours are training calls, printed lines and what a newer release may add. A foreign span is of the
        run that its `ml.run.id` names; one that names none, of the run whose own span is its nearest
        ancestor. Arrays come as tuples, bytes as a mapping with their hex; status message and version
        of the scope are not kept.
        """

    @abstractmethod
    def facts(self) -> Mapping[str, int | str]:
        """What `doctor` shows: version of the schema, counts, bytes."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the store."""
