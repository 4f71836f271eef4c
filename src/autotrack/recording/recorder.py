"""The recorder: one per process; owns what waits, the flusher and the runs that are open."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .. import semconv as sc
from ..interrupts import pass_on
from ..semconv import Scalar
from ..states import RunError, State
from .companion import Companion
from .current import begun_run, open_run
from .exporter import EXIT_TIMEOUT, Exporter, close, refusal
from .flusher import Action, Flusher
from .joined import JoinedRuns
from .loop_runs import LoopRuns
from .origin import Origin, run_id_in
from .process import is_loader_worker
from .ranks import Peers, Ranks
from .report import Report
from .run import ActiveRun
from .segments import Fit, Segment
from .spans import SpanFactory
from .stored_files import StoredFiles, artifact_facts
from .values import text

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from ..options import Options
    from .model_details import ModelDetails
    from .tables import Row

T = TypeVar("T")

CLOSE_TIMEOUT = 30.0
"""Seconds without any progress after which the end of a process waits no longer: the disk is dead."""
PAUSE_TIMEOUT = 1.0
"""Seconds that a fork waits for the flusher."""
SETTLE_TIMEOUT = 1.0
"""Seconds that `flush()` waits for what its companions do in threads of their own."""
IDLE_AFTER = 600.0
"""Seconds without activity after which a notebook's runs are idle."""


class Recorder:
    """Takes what runs log, keeps it in order, and has it exported.

    `exporters` gives the exporters of a process: it is called again in a forked child. `peers` tells whether
    the process is one of several that train together.
    `artifact_folders` are tried in turn for files; where there are none, none is kept.
    """

    def __init__(
        self,
        options: Options,
        exporters: Callable[[str, Report], Sequence[Exporter]],
        artifact_folders: Sequence[Path],
        resource: Mapping[str, Any],
        version: str,
        report: Report,
        peers: Callable[[], Peers | None] = lambda: None,
    ) -> None:
        self.options = options
        self.report = report
        self.pid = os.getpid()
        self.joined = JoinedRuns(self._join, self._leave)
        self.loops = LoopRuns()
        self.on_first_record: Callable[[], None] = lambda: None
        self.settle: Callable[[], None] = lambda: None
        """Has integrations record what has gone on untold: before a run ends, and before it is read."""
        self.forked: Callable[[], None] = lambda: None
        """Has integrations forget that, in a forked child."""
        self.ranks = Ranks(self, peers)
        self.companions: Sequence[Companion] = (self.ranks,)
        self.resumed_id: str | None = None
        """Of the run that the environment says the first one of this process goes on with."""
        self.keep_model: Callable[[Segment, Any, str, ModelDetails], None] = lambda *_: None
        self._make_exporters = exporters
        self._files = StoredFiles(artifact_folders, report)
        self._resource = resource
        self._version = version
        self._open: dict[ActiveRun, Segment] = {}  # two may go on with the same run
        self._implicit: ActiveRun | None = None
        self._closed = False
        self._start_afresh()
        self._process = os.getpid()  # all that is here is this process's

    def _start_afresh(self) -> None:
        """A writer of its own for this process, with nothing waiting and no thread yet."""
        self.rows: list[Any] = []
        self.actions: deque[Action] = deque()
        self.push: Callable[[Action], None] = self._push_first
        self.push_row: Callable[[Row], None] = self._push_first_row
        self._ended: deque[ReadableSpan] = deque()
        self.spans = SpanFactory(
            {**self._resource, sc.PROCESS_PID: os.getpid()}, self._version, self._ended.append
        )
        self.exporters = [*self._make_exporters(self.spans.writer, self.report)]
        self._flusher = Flusher(
            self.rows,
            self.actions,
            self._ended,
            self.spans,
            self.exporters,
            self.report,
            self.options.flush_interval,
            self._tick,
            self.ranks,
        )
        self._lock = threading.RLock()  # a signal handler may come back in
        self._beats, self._is_idle = 0, False

    def _push_first(self, action: Action) -> None:
        self._begin_recording()
        self.actions.append(action)

    def _push_first_row(self, row: Row) -> None:
        self._begin_recording()
        self.rows.extend(row)

    def _begin_recording(self) -> None:
        """The first record of a process starts its flusher; from then on pushing is one step in C."""
        with self._lock:
            if self.push != self._push_first:
                return
            self._flusher.start()
            self.on_first_record()
            self.push, self.push_row = self.actions.append, self.rows.extend
        self.ranks.look()

    def start(self) -> None:
        """Start the flusher, though nothing is recorded yet."""
        self._begin_recording()

    def _push_late(self, action: Action) -> None:
        """After `close`, from an exit handler that runs later: written at once.

        Or from the flusher, which takes it next, and from a companion's thread: neither may wait for
        companions.
        """
        self.actions.append(action)
        self._flusher.flush(CLOSE_TIMEOUT)

    def _push_late_row(self, row: Row) -> None:
        self.rows.extend(row)
        self._flusher.flush(CLOSE_TIMEOUT)

    # --- runs -----------------------------------------------------------------------------------

    def new_run(
        self,
        name: str,
        experiment: str,
        *,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        explicit: bool = True,
        ambient: bool = True,
        parent: ActiveRun | None = None,
        resume: str | None = None,
        told: Collection[str] = (),
    ) -> ActiveRun:
        """A run that has not begun; `explicit` ones are found by threads without a context.

        ambient: it becomes the context's current run. parent: default is the run that is current then.
        resume: the id of the run that it goes on with, whose name and experiment stay what they were
        unless they are `told`.
        """
        return ActiveRun(
            self,
            text(name),
            text(experiment),
            params=params,
            tags=tags,
            explicit=explicit,
            ambient=ambient,
            parent=parent,
            resume=resume,
            told=told,
        )

    def take_resumed_id(self) -> str | None:
        """`resumed_id`, for the first run that asks."""
        with self._lock:
            if self.ranks.rank > 0:
                return None
            found, self.resumed_id = self.resumed_id, None
        return found

    def to_resume(self, mark: Callable[[], str | None]) -> str | None:
        """The id of the run that a training goes on with here; None for a new one, or what is told elsewhere.

        mark: asked only where it counts: not where the environment names the run, nor where rank 0 does. A
        run of another store is none, nor is one that is being recorded by this process already.
        """
        if self.resumed_id is not None or self.ranks.rank > 0:
            return None
        told = mark()
        found = None if told is None else run_id_in(told, self.options)
        return None if any(run.id == found for run in tuple(self._open)) else found

    def active_run(self) -> ActiveRun | None:
        """The context's run; where there is none, the process's explicit run if exactly one is open."""
        run = open_run()
        if run is None:
            explicit = self._explicit_segments()
            run = explicit[0].run if len(explicit) == 1 else None
        return run

    def _explicit_segments(self) -> list[Segment]:
        """Of the explicit runs that are open its own; where there are none, another process's."""
        explicit = [segment for segment in tuple(self._open.values()) if segment.run.explicit]
        return [segment for segment in explicit if not segment.run.inherited] or explicit

    def segment_here(self) -> Segment | None:
        """What a line printed here belongs to: the run that `log` takes, or the only one that is open."""
        if not self._open:
            return None
        run = begun_run()
        if run is not None:
            return run.segment
        segments = tuple(self._open.values())
        explicit = self._explicit_segments()
        implicit = [segment for segment in segments if segment.run is self._implicit]
        return next((some[0] for some in (explicit, implicit, segments) if len(some) == 1), None)

    def has_open_runs(self) -> bool:
        """Whether something goes on here: a run that only rests is none, nor is another process's."""
        return not all(s.run.activity.rests or s.run.inherited for s in tuple(self._open.values()))

    def _join(self, origin: Origin) -> ActiveRun:
        run = ActiveRun.joined(self, origin)
        self._tell_joined(run)
        return run

    def _leave(self, run: ActiveRun) -> None:
        segment = run.segment
        if segment is not None and all(run.id != other.id for other in self._open):
            self._tell(lambda companion: companion.left(segment))

    def _tell_joined(self, run: ActiveRun) -> None:
        segment = run.segment
        if segment is not None:
            self._tell(lambda companion: companion.joined(segment))

    def join_for_good(self, origin: Origin) -> None:
        """This process belongs to another's run: what is in no run of its own is that one's."""
        run = self.joined.of(origin)
        if run.segment is not None:
            self._open[run] = run.segment
            self.ranks.belong(run.segment)
            run.placement.enter_for_good(run.segment.span)

    def open_segments(self) -> Sequence[Segment]:
        """The starts of the runs that are open."""
        return tuple(self._open.values())

    def implicit_run(self, name: Callable[[], str], experiment: Callable[[], str]) -> ActiveRun:
        """The process's run for what is logged outside any run, its last one for an exit handler.

        In a worker of a DataLoader it never begins: there may be many, in each epoch anew.
        """
        with self._lock:
            if self._implicit is None or (self._implicit.ended and not self._closed):
                self._implicit = ActiveRun(self, name(), experiment(), explicit=False, ambient=False)
                self._implicit.is_unheard = is_loader_worker()
            return self._implicit

    def begun_implicit_run(self) -> ActiveRun | None:
        """The process's run for what is logged outside any, if something was and it is open."""
        run = self._implicit
        return run if run is not None and run.segment is not None and not run.ended else None

    def run_began(self, segment: Segment, params: Mapping[str, Scalar], tags: Mapping[str, str]) -> None:
        self._open[segment.run] = segment
        self.push(functools.partial(self.spans.run_start, segment, params, tags))
        self._tell(lambda companion: companion.began(segment))
        if self._closed and not segment.run.is_reported:  # an exit handler's: nobody will end it
            segment.run.finish(State.FINISHED)

    def run_updated(
        self,
        segment: Segment,
        params: Mapping[str, Scalar],
        tags: Mapping[str, str],
        attributes: Mapping[str, Scalar],
        time: int,
    ) -> None:
        self.push(functools.partial(self.spans.update, segment, params, tags, attributes, time))

    def run_ended(self, segment: Segment, state: State, error: RunError | None, time: int) -> None:
        self.ranks.look()  # a short training's group may not have been seen yet
        self._open.pop(segment.run, None)
        self.loops.end_below(segment.run)
        self._tell(lambda companion: companion.ended(segment))
        self.push(functools.partial(self.spans.run_end, segment, state, error, time))
        if segment.run.is_muted:
            self.ranks.ends(state, error)
        else:  # last, and so once
            self.report.runs[state] += 1

    def fit_ended(self, fit: Fit) -> None:
        self.push(functools.partial(self.spans.fit, fit))

    def told(self, segment: Segment, span_type: str, facts: Mapping[str, Any]) -> None:
        """A span of its own says these facts of the run."""
        self.push(functools.partial(self.spans.facts, segment, span_type, facts, segment.now()))

    def store_artifact(
        self, segment: Segment, source: Path | bytes, name: str, media_type: str = ""
    ) -> str | None:
        """Store a file or bytes, then say so; the reason why not, if it could not be.

        media_type: default is what the names tell.
        """
        if not self._files or segment.run.is_muted:
            return None
        try:
            size = len(source) if isinstance(source, bytes) else source.stat().st_size
            if reason := refusal(self.exporters, size):
                return reason
            blob = self._files.put(source)
        except OSError as error:
            pass_on(error)
            what = name if isinstance(source, bytes) else str(source)
            self.report.skip(f"artifact {what!r}: {error.strerror or error}")
            return error.strerror or str(error)
        named = source.name if isinstance(source, Path) else name
        self.told(segment, sc.SpanType.ARTIFACT, artifact_facts(blob, name, media_type, named))
        return None

    def keep(self, span: ReadableSpan) -> None:
        """Export a span of the user's. It tells nothing of this writer, so it is no sign of its life."""
        self._begin_recording()  # in another's run it may be the first
        self._ended.append(span)
        if self._closed:
            self._flusher.flush(CLOSE_TIMEOUT)

    def sampled(self, segments: Sequence[Segment], sample: dict[Any, float]) -> None:
        """In the flusher: a row for each of these, which is no activity of the program's."""
        now = time.perf_counter_ns()
        named = self.ranks.named(sample)
        rows: Iterable[Row] = [(segment, named, None, now) for segment in segments]
        self._flusher.convert([*chain.from_iterable(rows)])

    def _tell(self, tell: Callable[[Companion], T]) -> list[T]:
        """What the companions answer: one that fails costs neither the others nor the training."""
        answers = []
        for companion in self.companions:
            try:
                answers.append(tell(companion))
            except Exception as error:  # noqa: BLE001  it may fail again, every flush interval
                pass_on(error)
                name, problem = type(companion).__name__, type(error).__name__
                self.report.warn(f"recording failed in {name}: {problem}: {error}", f"{name} {problem}")
        return answers

    # --- the process's life ---------------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> bool:
        """Everything logged before this call is exported when it returns True."""
        self.settle()
        self.ranks.decide()
        if not self._flusher.flush(timeout):
            return False
        patience = SETTLE_TIMEOUT if timeout is None else min(timeout, SETTLE_TIMEOUT)
        if any(self._tell(lambda companion: companion.settle(patience))):
            return self._flusher.flush(timeout)
        return True

    def close(self, state: State = State.FINISHED, error: RunError | None = None) -> None:
        """End what is open in this state and let go of the spool."""
        if self._process != os.getpid():
            return  # a signal came amid a fork: some of what is here is the parent's still
        self._closed = True
        self.ranks.ends(state, error)
        for segment in reversed(tuple(self._open.values())):
            segment.run.finish(state, error)
        self._tell(lambda companion: companion.closing())
        self.push, self.push_row = self._push_late, self._push_late_row
        waiting = self._waiting() + 1
        while not self.flush(CLOSE_TIMEOUT):
            if self._waiting() >= waiting:
                self.report.warn(f"the last points could not be written within {CLOSE_TIMEOUT:.0f} s")
                return
            waiting = self._waiting()
        if self._flusher.pause(CLOSE_TIMEOUT):
            try:
                self._shut_down(self.exporters)
            finally:
                self._flusher.resume()

    def retire(self) -> None:
        """`close`, where the process goes on with another recorder."""
        self.close()
        self._flusher.stop()

    def _shut_down(self, exporters: Sequence[Exporter]) -> None:
        close(exporters, time.monotonic() + EXIT_TIMEOUT, self.report)

    def drop(self, exporters: Sequence[Exporter]) -> None:
        """Export what was logged before this call, and then no more, by some of `exporters`."""
        if not exporters:
            return
        self.flush(CLOSE_TIMEOUT)
        if self._flusher.pause(CLOSE_TIMEOUT):
            try:
                self.exporters[:] = [known for known in self.exporters if known not in exporters]
                self._shut_down(exporters)
            finally:
                self._flusher.resume()

    def _waiting(self) -> int:
        return len(self.rows) + len(self.actions)

    def pause(self) -> None:
        """Let the flusher come to rest: a child forked amid an import of its could never import again."""
        self._flusher.pause(PAUSE_TIMEOUT)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._flusher.resume()

    def after_fork_in_child(self) -> None:
        """Drop what the parent will write; keep its runs usable, under a writer of this process."""
        self._start_afresh()
        self.resumed_id = None  # the run is the parent's to go on with
        self.report.renew_lock()
        joined = self.joined.renewed()
        for run in (*(segment.run for segment in self._open.values()), *joined):
            run.inherit()
        self._tell(lambda companion: companion.forked())
        self.forked()
        for run in joined:
            self._tell_joined(run)
        self._process = os.getpid()  # only now: see `close`

    def _tick(self, silence: float) -> None:
        """What the flusher does each time beside taking what waits."""
        if self.ranks.is_holding:
            self.ranks.tick(())
            return
        self.loops.end_rested()
        runs = tuple(self._open.values())
        own = [segment for segment in runs if not (segment.run.inherited or segment.run.is_muted)]
        self._beat(silence, own)
        if not self._is_idle:
            sampled = [*own, *self.ranks.followed()]
            self._tell(lambda companion: companion.tick(sampled))

    def _beat(self, silence: float, own: Sequence[Segment]) -> None:
        """After each interval without activity, one sign of life for each open run."""
        if silence < self.options.beat_interval:
            self._beats, self._is_idle = 0, False
        elif not self._is_idle and silence >= self.options.beat_interval * (self._beats + 1):
            self._beats += 1
            self._is_idle = silence >= IDLE_AFTER and "ipykernel" in sys.modules
            now = max((segment.now() for segment in own), default=0)  # one for all: idle is the latest word
            for segment in own:
                self.spans.beat(segment, now, State.IDLE if self._is_idle else None)
