"""Opens a store, fills it from its spools, and reads it."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from . import artifacts as blobs
from . import plugins
from .backend import Backend, Liveness, RunRow, state_of
from .errors import RunNotFound, StoreError
from .grammar import parse_filter, parse_order
from .interrupts import pass_on
from .locations import Home, homes, is_server, normalized
from .otlp.decode import decode_resource_spans
from .otlp.endpoint import Endpoint
from .query import Compare, Entity, Key, Not, OneOf, Order, Present, Search, all_of
from .recording.report import Report
from .records import Artifact, Dataset, Fit, LogLine, MetricSummary, Model, Points, Rank
from .reduction import reduced
from .semconv import Scalar
from .spool import Backlog, Batch, SpoolReader
from .states import RunError, State

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("autotrack")

_CONSUMER = "store"


class Run:
    """A recorded run, as it was when it was read.

    Attributes: `id`, `name`, `experiment`, `state`, `started` and `ended` (aware datetimes, `ended`
    None while it runs), `parent` (an id or None), `children` (ids, by start), `params` and `tags`
    (dicts), `metrics` (name → last value), `error` (a `RunError` or None); `note` and `archived` are
    what a person said of it.
    """

    def __init__(self, store: Store, row: RunRow, state: State) -> None:
        self._store = store
        self.id: str = row.id
        self.name: str = row.name
        self.experiment: str = row.experiment
        self.state: State = state
        self.started: datetime = _datetime(row.started)
        self.ended: datetime | None = _datetime(row.ended) if row.ended else None
        self.parent: str | None = row.parent
        self.children: tuple[str, ...] = tuple(row.children)
        self.params: dict[str, Scalar] = dict(row.params)
        self.tags: dict[str, str] = dict(row.tags)
        self.summaries: dict[str, MetricSummary] = dict(row.metrics)
        self.metrics: dict[str, float] = {name: summary.last for name, summary in row.metrics.items()}
        self.error: RunError | None = row.error
        self.note: str = row.note
        self.archived: bool = row.archived
        self._last_seen = row.last_seen

    @property
    def duration(self) -> float:
        """Seconds from start to end; to the last sign of life where there is no end."""
        end = self.ended or _datetime(max(self._last_seen, int(self.started.timestamp() * 1e9)))
        return (end - self.started).total_seconds()

    @property
    def artifacts(self) -> list[Artifact]:
        """The files of the run, by path."""
        return self._store.backend.artifacts(self.id)

    @property
    def attributes(self) -> dict[str, Scalar]:
        """Facts of the run under OpenTelemetry's names: `vcs.ref.head.revision`, `process.command_line`, …"""
        return self._store.backend.attributes(self.id)

    @property
    def datasets(self) -> list[Dataset]:
        """The data the run used, by name."""
        return self._store.backend.datasets(self.id)

    @property
    def models(self) -> list[Model]:
        """The models of the run, by path."""
        return self._store.backend.models(self.id)

    @property
    def logs(self) -> list[LogLine]:
        """What was printed and logged during the run, by time."""
        return self._store.backend.logs(self.id)

    @property
    def fits(self) -> list[Fit]:
        """The training calls inside the run, by start."""
        return self._store.backend.fits(self.id)

    @property
    def ranks(self) -> list[Rank]:
        """The processes that train it together, by rank, each in its state; none where there is one."""
        return self._store.ranks(self.id)

    def points(self, name: str, max_points: int | None = None) -> Points:
        """A metric's curve: every point that was logged.

        max_points: reduce the curve to about that many; extremes, spikes, NaN and infinities stay.
        Raises KeyError for a metric that the run has not.
        """
        if name not in self.summaries:
            raise KeyError(f"run {self.id} has no metric {name!r}; it has {sorted(self.summaries)[:20]}")
        curve = self._store.backend.points(self.id, name)
        return curve if max_points is None else reduced(curve, max_points)

    def artifact(self, path: str) -> Path:
        """The file kept as `path`, to read. Raises KeyError if there is none."""
        for found in self.artifacts:
            if found.path == path:
                file = self._store.blob(found.sha256)
                if file is None:
                    raise KeyError(f"the bytes of {path!r} are not on this machine")
                return file
        raise KeyError(f"run {self.id} has no artifact {path!r}")

    def as_dict(self) -> dict[str, Any]:
        """The run as plain values, for JSON; times as ISO 8601."""
        return {
            "id": self.id,
            "name": self.name,
            "experiment": self.experiment,
            "state": str(self.state),
            "started": self.started.isoformat(),
            "ended": self.ended.isoformat() if self.ended else None,
            "duration": self.duration,
            "parent": self.parent,
            "children": list(self.children),
            "params": self.params,
            "tags": self.tags,
            "metrics": self.metrics,
            "error": {"type": self.error.type, "message": self.error.message} if self.error else None,
        }

    def __repr__(self) -> str:
        return f"<Run {self.name!r} {self.id} {self.state}>"

    def _repr_html_(self) -> str:
        """Its page in a notebook."""
        from .display.run_html import run_html  # what only a notebook needs

        return run_html(self, self._store.children(self.id) if self.children else ())


class RunList(Sequence[Run]):
    """Runs, in the order that was asked for; the latest start first, if none was."""

    def __init__(self, runs: Sequence[Run], count: Callable[[], int] | None = None) -> None:
        self._runs = list(runs)
        self._count = count

    def __len__(self) -> int:
        return len(self._runs)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> RunList: ...
    def __getitem__(self, index: int | slice) -> Run | RunList:
        return RunList(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    @property
    def total(self) -> int:
        """How many there are beyond the limit, exactly; counted anew each time."""
        return self._count() if self._count else len(self)

    def __repr__(self) -> str:
        return f"<RunList of {len(self)}>"

    def _repr_html_(self) -> str:
        """A table of the first ones, in a notebook."""
        from .display.runs_html import runs_html

        return runs_html(self)

    def to_pandas(self) -> pd.DataFrame:
        """A row for each run; params, tags and metrics as columns `params.x`, `tags.x`, `metrics.x`.

        Raises ImportError if pandas is not installed.
        """
        import pandas as pd

        return pd.DataFrame([_flat(run) for run in self._runs])


class Store:
    """One store: its backend, and the spools from which it is filled before each read."""

    def __init__(self, url: str, liveness: Callable[[], Liveness] | None = None) -> None:
        """liveness: who tells which writers live, and drains; default: each reader drains first."""
        self.url = normalized(url)
        self.liveness: Callable[[], Liveness] = liveness or self._drained
        self._changed: set[str] = set()
        self.homes: list[Home] = homes(self.url)
        self.backend: Backend = plugins.load(plugins.BACKENDS, self.url.partition(":")[0])(self.url)
        self._spools = [SpoolReader(home.spool, _CONSUMER) for home in self.homes]

    def runs(
        self,
        filter: str = "",
        *,
        order_by: str | Iterable[str] = (),
        experiment: str | None = None,
        limit: int | None = None,
    ) -> RunList:
        """The runs that pass a filter, in order; see `autotrack.runs`. Raises `QueryError`, `StoreError`."""
        search = search_of(filter, order_by, experiment)
        liveness = self.liveness()
        if not self.backend.exists():
            return RunList([])
        found = self._found(search, liveness, limit)
        return RunList(found, lambda: self.backend.count(search, liveness))

    def run(self, run_id: str) -> Run:
        """The run whose id is, or begins or ends with, `run_id`. Raises `RunNotFound`, `StoreError`."""
        liveness = self.liveness()
        row = self.row(run_id)
        return Run(self, row, state_of(row, liveness))

    def row(self, run_id: str) -> RunRow:
        """The same as the backend has it, without draining."""
        ids = self.backend.run_ids(run_id) if run_id and self.backend.exists() else []
        if len(ids) != 1:
            problem = f"{len(ids)} runs have an id like" if ids else "no run has the id"
            raise RunNotFound(f"{problem} {run_id[:100]!r} in {self.url}; see: autotrack runs")
        row = self.backend.run(ids[0])
        assert row is not None
        return row

    def ranks(self, run_id: str) -> list[Rank]:
        """Those of a run; the state of rank 0 is the run's. Raises `StoreError`."""
        found, row = self.backend.ranks(run_id), self.backend.run(run_id)
        if not found or row is None:
            return []
        liveness = self.liveness()
        return [
            replace(rank, state=state_of(row if rank.rank == 0 else _as_run(row, rank), liveness))
            for rank in found
        ]

    def roots(self, *, experiment: str | None = None, limit: int | None = None) -> RunList:
        """The runs that are below no other, the latest start first. Raises `StoreError`."""
        search = search_of("", experiment=experiment, roots=True)
        return RunList(self._found(search, self.liveness(), limit))

    def children(self, *run_ids: str) -> RunList:
        """The runs whose parent is one of these, by start. Raises `StoreError`."""
        below = OneOf(Key(Entity.RUN, "parent"), run_ids)
        search = Search(below, (Order(Key(Entity.RUN, "started")),))
        return RunList(self._found(search, self.liveness()))

    def check(self) -> None:
        """Raises `StoreError` where there is something that no runs can be read from or written to."""
        if self.backend.exists():
            self.backend.run_ids("")

    def drain(self) -> set[str]:
        """Move what the spools hold into the backend. Raises `StoreError`; then the spools keep it.

        `take_changed` tells what that changed.

        Returns the writers of this host that live: of those that are gone, everything is in.
        A spool that cannot be locked (a read-only folder) is one line in the log.
        """
        if is_server(self.url):
            self._send()
            return set()
        live: set[str] = set()
        wrote = False
        for _ in self.draining(live):
            wrote = True
        if wrote:
            self.backend.compact()
        return live

    def draining(self, live: set[str]) -> Iterator[None]:
        """`drain`, batch by batch: whoever has other things to do does them in between.

        live: gets the writers that live, each before what it wrote can be read; what came is compacted by
        the caller.
        """
        for home, spool in zip(self.homes, self._spools, strict=True):
            try:
                if home.is_ours() and spool.segments():
                    with spool.lock():  # without it `spool.live` may be another thread's
                        yield from self._drain(spool, live)
            except OSError as error:
                pass_on(error)
                log.warning("autotrack: %s is not read: %s", spool.folder, error.strerror or error)
        self._bring_files_home()

    def take_changed(self) -> set[str]:
        """Ids of the runs that drains since the last call told of."""
        changed, self._changed = self._changed, set()
        return changed

    def blob(self, sha256: str) -> Path | None:
        """The file of a blob; None if it is not to be had."""
        folders = [home.artifacts for home in self.homes if home.is_ours()]
        return blobs.find(sha256, folders) or self.backend.blob(sha256)

    def secure(self, sha256s: Iterable[str]) -> None:
        """Have these files, if they are on this machine, in the store's own folder: others may be emptied.

        Raises `StoreError` if it takes none.
        """
        home = self.homes[0].artifacts
        for sha256 in () if is_server(self.url) else sha256s:
            self._take_home(sha256, home)

    def _take_home(self, sha256: str, home: Path) -> None:
        path = self.blob(sha256)
        if path is None or home in path.parents:
            return
        try:
            blobs.put(path, [home])
        except OSError as error:
            pass_on(error)
            if path.exists():
                why = f"{home} takes no files ({error.strerror}), the model's"
                raise StoreError(f"{why} lie in {path.parent.parent}; make room, and try again") from error
            self._take_home(sha256, home)  # whoever reads the store brought it home in this moment

    def _bring_files_home(self) -> None:
        """Those that another folder took, as the store's own was full."""
        home, *others = self.homes
        for other in others:
            if other.is_ours() and other.artifacts.is_dir():
                try:
                    blobs.bring(other.artifacts, home.artifacts)
                except OSError as error:
                    pass_on(error)
                    log.debug("autotrack: files stay in %s: %s", other.artifacts, error)

    def backlogs(self) -> dict[Path, Backlog]:
        """What waits in each spool folder."""
        return {spool.folder: spool.backlog() for spool in self._spools}

    def close(self) -> None:
        """Let go of the backend."""
        self.backend.close()

    def _send(self) -> None:
        """What this machine's trainings have for the server; where it cannot be reached, it waits."""
        from .exporters.carrying import PATIENCE, Carrier
        from .otlp.answer import MORE

        carrier = Carrier(Endpoint.of_store(self.url), self.homes, Report())
        while (problem := carrier.carry(PATIENCE)) is MORE:
            pass
        carrier.close()
        if problem is not None:
            log.warning("autotrack: %s: %s; what is recorded here waits", self.url, problem.message)

    def _drain(self, spool: SpoolReader, live: set[str]) -> Iterator[None]:
        try:
            for batch in spool.batches():
                live |= spool.live
                self._take_in(spool, batch)
                spool.done(batch)
                yield
        finally:
            live |= spool.live

    def _take_in(self, spool: SpoolReader, batch: Batch) -> None:
        """Write a batch; where a frame of it is not to be had, all the others."""
        try:
            self._changed |= self.backend.write(
                [span for payload in batch.payloads for span in decode_resource_spans(payload)]
            )
        except (StoreError, MemoryError):
            raise  # not the batch's fault: it waits
        except Exception as error:  # noqa: BLE001  what came from outside may fail in any way
            pass_on(error)
            for payload in batch.payloads:
                self._take_in_frame(spool, batch.segment, payload)

    def _take_in_frame(self, spool: SpoolReader, segment: Path, payload: bytes) -> None:
        try:
            self._changed |= self.backend.write(decode_resource_spans(payload))
        except (StoreError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001
            pass_on(error)
            log.warning("autotrack: a frame of %s is put aside: %r", segment.name, error)
            spool.reject(segment, payload)

    def _found(self, search: Search, liveness: Liveness, limit: int | None = None) -> list[Run]:
        rows = self.backend.runs(search, liveness, limit) if self.backend.exists() else []
        return [Run(self, row, state_of(row, liveness)) for row in rows]

    def _drained(self) -> Liveness:
        """Drain the spools; what is known then of who lives."""
        writers = frozenset(self.drain())
        host = "" if is_server(self.url) else socket.gethostname()
        return Liveness(writers=writers, host=host, now=time.time_ns())


@cache
def open_store(url: str) -> Store:
    """The process's `Store` for a URL."""
    return Store(url)


def search_of(
    text: str, order_by: str | Iterable[str] = (), experiment: str | None = None, roots: bool = False
) -> Search:
    """What is asked for in words; `roots` are runs below no other. Raises `QueryError`."""
    conditions = [
        parse_filter(text),
        None if experiment is None else Compare(Key(Entity.RUN, "experiment"), "=", experiment),
        Not(Present(Key(Entity.RUN, "parent"))) if roots else None,
    ]
    wanted = [condition for condition in conditions if condition]
    return Search(all_of(wanted) if wanted else None, parse_order(order_by))


def _as_run(row: RunRow, rank: Rank) -> RunRow:
    """What tells whether the rank lives, where a run has it."""
    return replace(
        row,
        state=rank.state,
        writer=rank.writer,
        host=rank.host,
        last_seen=_ns(rank.last_seen),
        received=None if rank.received is None else _ns(rank.received),
    )


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)


def _datetime(ns: int) -> datetime:
    return datetime.fromtimestamp(ns / 1e9, UTC)


def _flat(run: Run) -> dict[str, Any]:
    groups: dict[str, Mapping[str, Any]] = {"params": run.params, "tags": run.tags, "metrics": run.metrics}
    row = {k: v for k, v in run.as_dict().items() if k not in groups and k != "children"}
    return row | {
        f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()
    }
