"""The one thread that turns what was queued into spans and hands them to the exporters."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from ..interrupts import pass_on
from .signals import leave_to_the_program
from .tables import PIECE, ROW, Gathered, Table

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from .ranks import Ranks
    from .report import Report
    from .spans import SpanFactory

SLICE = 25_000
"""Rows that become spans, and are exported, before others are taken."""

LONGEST_HOLD = 0.05
"""Seconds of actions, which may be anything, between two moments in which a fork may come in."""

ROUNDS = 3
"""An action may queue others (an artifact it wrote), and those a last time."""

Action = Callable[[], object]
"""Anything but a row: makes spans."""


class Flusher:
    """Takes `rows` and `actions` every `interval` seconds, on request, and at the end.

    They become spans, which gather in `ended` and are exported. `tick` is called every time,
    with the seconds since there were any. Requests go through a SimpleQueue and wait on a bare lock:
    both may be used from a signal handler that interrupted another request.
    """

    def __init__(
        self,
        rows: list[Any],
        actions: deque[Action],
        ended: deque[ReadableSpan],
        spans: SpanFactory,
        exporters: Sequence[SpanExporter],
        report: Report,
        interval: float,
        tick: Callable[[float], None],
        ranks: Ranks,
    ) -> None:
        self._rows = rows
        self._actions = actions
        self._ended = ended
        self._spans = spans
        self._exporters = exporters
        self._report = report
        self._interval = interval
        self._tick = tick
        self._ranks = ranks
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stops = False
        self._gate = threading.RLock()  # around the thread's last look at its requests
        self._last_activity = time.monotonic()
        self._at_work = threading.RLock()  # a signal handler may come back in
        self._pausing: list[int] = []  # threads that wait until they may pause it
        self._paused_by: list[int] = []  # a thread may pause within its pause, as one that forks does

    def start(self) -> None:
        """Start the thread. Where none can be started any more, requests are served by the caller."""
        self._thread = threading.Thread(target=self._loop, name="autotrack-flusher", daemon=True)
        try:
            self._thread.start()  # known before: it may begin, and a signal come as this waits for it
        except RuntimeError as error:  # the interpreter is going down
            self._thread = None
            pass_on(error)

    def flush(self, timeout: float | None = None) -> bool:
        """Export everything queued before this call. False if that took longer than `timeout` seconds."""
        if self._thread is threading.current_thread():
            return True  # an action's: the flush that runs it takes what it queued
        done = threading.Lock()
        done.acquire()
        if threading.get_ident() in self._paused_by or not self._ask(done):
            with self._at_work:
                self._flush()
            return True
        return done.acquire(timeout=-1 if timeout is None else timeout)

    def stop(self) -> None:
        """Let the thread end once it has served what was asked of it; later requests serve themselves."""
        self._stops = True

    def _ask(self, request: Any) -> bool:
        """Whether there is a thread to ask."""
        with self._gate:
            is_there = self._thread is not None and self._thread.is_alive()
            if is_there:
                self._requests.put(request)
        return is_there

    def _lets_go(self) -> bool:
        """Whether it has been stopped, and no more is asked of the thread."""
        if not self._stops or not self._gate.acquire(blocking=False):
            return False  # whoever asks may have been interrupted by a signal that waits for this thread
        try:
            is_over = self._requests.empty()
            if is_over:
                self._thread = None
            return is_over
        finally:
            self._gate.release()

    def pause(self, timeout: float) -> bool:
        """Let no work go on until this thread calls `resume`. False if the work did not come to rest."""
        self._pausing.append(threading.get_ident())
        self._paused_by.append(threading.get_ident())  # before: a handler may raise as the lock is had
        try:
            rests = self._at_work.acquire(timeout=timeout)
        finally:
            self._pausing.remove(threading.get_ident())
        if not rests:
            self._paused_by.remove(threading.get_ident())
        return rests

    def resume(self) -> None:
        """Go on, if this thread has paused it."""
        if threading.get_ident() in self._paused_by:
            self._paused_by.remove(threading.get_ident())
            with contextlib.suppress(RuntimeError):  # a handler raised before it had the lock
                self._at_work.release()

    def _loop(self) -> None:
        leave_to_the_program()
        while self._thread is threading.current_thread() and not self._lets_go():
            try:
                done = self._requests.get(timeout=self._interval)
            except Empty:
                done = None
            try:
                self._flush()
                with self._at_work:
                    self._tick(time.monotonic() - self._last_activity)
                    self._export()
            except Exception as error:  # noqa: BLE001  the thread must live on
                self._report.warn(f"recording failed: {type(error).__name__}: {error}")
            finally:
                if done is not None:
                    done.release()

    def _flush(self) -> None:
        for _ in range(ROUNDS):
            if not self._take_waiting():
                return

    def _take_waiting(self) -> bool:
        """True if there were actions: what those queued belongs to the same flush."""
        if self._ranks.is_holding:
            return False
        acting, waiting = len(self._actions), len(self._rows)  # what comes meanwhile is for the next time
        if acting or waiting:
            self._last_activity = time.monotonic()
        for start in range(0, waiting, SLICE * ROW):
            self._let_in()
            with self._at_work:
                self._take_rows(min(SLICE * ROW, waiting - start))
                if waiting - start > SLICE * ROW:
                    self._export()
        left = acting
        while left:
            self._let_in()
            with self._at_work:
                left = self._act(left)
                self._export()
        with self._at_work:
            self._export()
        return acting > 0

    def _let_in(self) -> None:
        """Wait for those who wait to pause the thread: it would have the lock again before they are awake."""
        while self._pausing and self._thread is threading.current_thread():
            time.sleep(0.001)

    def _act(self, most: int) -> int:
        """Do so many actions at most; how many of them are left."""
        end = time.monotonic() + LONGEST_HOLD
        while most and time.monotonic() < end:
            if not self._actions:  # one that flushes has taken those after it
                return 0
            self._guarded(self._actions.popleft())
            most -= 1
        return most

    def _take_rows(self, count: int) -> None:
        """Turn the first items into spans, which arrive in `ended`."""
        gathered, rows = Gathered(), self._rows
        if len(rows) > SLICE * ROW:  # else all that is behind would be moved for each piece
            rows = self._rows[:count]
            del self._rows[:count]
        for start in range(0, count, PIECE):
            piece = rows[: min(PIECE, count - start)]
            del rows[: len(piece)]
            if not piece:
                break  # another thread has taken them
            self._guarded(gathered.add, piece)
        self._take_all(gathered)

    def convert(self, rows: Sequence[Any]) -> None:
        """Turn rows, end to end, into spans; for the flusher's own thread."""
        gathered = Gathered()
        gathered.add(rows)
        self._take_all(gathered)

    def _take_all(self, gathered: Gathered) -> None:
        for tables in gathered.groups():
            self._guarded(self._take_tables, tables)

    def _take_tables(self, tables: Callable[[], Iterator[Table]]) -> None:
        for table in tables():
            self._guarded(self._take_table, table)

    def _take_table(self, logged: Table) -> None:
        for table in self._ranks.kept(logged):
            self._spans.metrics(table)
            self._report.points += table.values.size
            last = zip(table.names, table.values[-1].tolist(), strict=True)
            table.segment.run.last_values.update(last)

    def _guarded(self, action: Callable[..., object], *arguments: Any) -> None:
        try:
            action(*arguments)
        except Exception as error:  # noqa: BLE001  one bad record must not cost the others
            pass_on(error)
            self._report.skip(f"a record could not be converted ({type(error).__name__}: {error})")

    def _export(self) -> None:
        spans = [self._ended.popleft() for _ in range(len(self._ended))]
        if spans:
            for exporter in self._exporters:
                self._guarded(exporter.export, spans)
