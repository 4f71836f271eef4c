"""The one writer: requests wait here, many are committed together, and each is answered after that.

All writes of a server go through one thread, so the database has one writer. What came while it was
committing is its next group: the more there is to do, the larger the groups. Between groups it drains the
spools of trainings on this machine and brings points into their final form.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence, Set
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ..backend import Liveness
from ..errors import StoreError
from ..records import SpanRecord
from ..store import Store
from .answers import Refused
from .news import RegistryNews

log = logging.getLogger("autotrack")

T = TypeVar("T")

GROUP_BYTES = 32 << 20
"""Bodies that are committed together."""
WAITING_BYTES = 128 << 20
"""Bodies that wait; more are refused with 429."""
LINGER = 0.01
"""Seconds for which a group waits to be as large as the smaller of the last two, which have been answered."""
PATIENCE = 5.0
"""Seconds after which who was refused may try again; so long it is a problem, unless something is written."""
DRAIN_INTERVAL = 0.4
"""Seconds between two looks into the spools of this machine."""
COMPACT_INTERVAL = 10.0
"""Seconds between two compactions."""
COMPACT_SLICE = 0.05
"""Seconds of one after which who waits has a turn."""

Decode = Callable[[], Sequence[SpanRecord]]
"""Makes spans of a body; raises ValueError if it holds none."""


@dataclass(eq=False, slots=True)
class _Waiting:
    decode: Decode
    size: int
    loop: asyncio.AbstractEventLoop
    answered: asyncio.Future[None]
    spans: Sequence[SpanRecord] = ()
    problem: Exception | None = None

    def read(self) -> None:
        try:
            self.spans = self.decode()
        except Exception as error:  # noqa: BLE001  it came from outside
            self.problem = error


@dataclass(eq=False, slots=True)
class _Verb:
    """A transaction of its own, such as those of the registry."""

    work: Callable[[], Any]
    done: Future[Any]

    def do(self) -> None:
        if self.done.set_running_or_notify_cancel():
            try:
                self.done.set_result(self.work())
            except Exception as error:  # noqa: BLE001  whoever asked for it is told
                self.done.set_exception(error)


class Intake:
    """Takes spans in; `changed` is called in its thread with the runs, and the models, that changed."""

    def __init__(self, store: Store, changed: Callable[[Set[str], Set[str]], None]) -> None:
        self._store = store
        self._news = RegistryNews(store.backend.registry)
        self._changed = changed
        self._queue: queue.SimpleQueue[_Waiting | _Verb | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._live: frozenset[str] = frozenset()
        self._living: set[str] = set()
        """What a drain that goes on has found of them."""
        self._thread = threading.Thread(target=self._loop, name="autotrack-writer", daemon=True)
        self._compact_at = time.monotonic() + COMPACT_INTERVAL
        self._dirty = False
        self._last_sizes = deque((0, 0), maxlen=2)
        """Requests of the last two groups."""
        self._is_over = False
        self._drained = threading.Event()
        self.problem = ""  # why nothing can be taken in at the moment
        self._problem_at = 0.0  # when it was seen last

    def start(self) -> None:
        """Start the thread; it drains first, and where that is soon done the first answer tells of it."""
        self._thread.start()
        self._drained.wait(DRAIN_INTERVAL)

    def stop(self, within: float | None = None) -> bool:
        """Commit what waits, then end; whether it has ended in so many seconds.

        A thread that has not waits for a lock of another process, or has much to merge: that ends with the
        process, and is done again by the next.
        """
        self._queue.put(None)
        self._thread.join(within)
        return not self._thread.is_alive()

    def liveness(self) -> Liveness:
        """Who lives, as of the last look."""
        return Liveness(now=time.time_ns(), host=socket.gethostname(), writers=self._live.union(self._living))

    async def take(self, decode: Decode, size: int) -> None:
        """Returns when the spans of a body of `size` bytes are on disk.

        Raises ValueError if they are none, `Refused` if there is no room (429) or no store (503).
        """
        with self._lock:
            if self._waiting_bytes and self._waiting_bytes + size > WAITING_BYTES:
                raise Refused(
                    429, "more is waiting than can be kept: try again", headers={"Retry-After": "1"}
                )
            self._waiting_bytes += size
        loop = asyncio.get_running_loop()
        waiting = _Waiting(decode, size, loop, loop.create_future())
        self._queue.put(waiting)
        await waiting.answered

    async def do(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises: a transaction in the thread that writes, between two groups."""
        done: Future[T] = Future()
        self._queue.put(_Verb(work, done))
        return await asyncio.wrap_future(done)

    # --- the thread -----------------------------------------------------------------------------

    def _loop(self) -> None:
        next_drain = time.monotonic()
        while not self._is_over:
            patience = max(min(next_drain, self._compact_at) - time.monotonic(), 0)
            self._guarded(partial(self._serve_one_group, patience))
            if time.monotonic() >= next_drain:
                self._guarded(self._drain)
                self._drained.set()
                next_drain = time.monotonic() + DRAIN_INTERVAL
            if self._is_over or time.monotonic() >= self._compact_at:
                self._guarded(self._compact)

    def _serve_one_group(self, patience: float) -> None:
        """Whatever happens, whoever waits is answered."""
        group, verb = self._next_group(patience)
        try:
            if group:
                self._commit(group)
        finally:
            _answer(group)
            with self._lock:
                self._waiting_bytes -= sum(waiting.size for waiting in group)
            if verb is not None:
                verb.do()
                self._tell_of_models()

    def _guarded(self, work: Callable[[], object]) -> None:
        """What fails is said once, and tried again; the thread must live on."""
        try:
            work()
        except Exception as error:  # noqa: BLE001
            told = isinstance(error, StoreError)
            self._trouble(str(error) if told else f"{type(error).__name__}: {error}")

    def _trouble(self, problem: str) -> None:
        """Nothing can be taken in: `/ready` says so, and the log, once."""
        self._problem_at = time.monotonic()
        if problem != self.problem:
            self.problem = problem
            log.warning("autotrack: %s", problem)

    def _next_group(self, patience: float) -> tuple[list[_Waiting], _Verb | None]:
        """What waits, at most `GROUP_BYTES`, and what comes in a moment, until it is as much as lately.

        A verb ends it, and comes after what came before it.
        """
        group: list[_Waiting] = []
        size, end = 0, time.monotonic() + patience
        verb = None
        with contextlib.suppress(queue.Empty):
            while size < GROUP_BYTES:
                came = self._queue.get(timeout=max(end - time.monotonic(), 0))
                if not isinstance(came, _Waiting):
                    self._is_over = self._is_over or came is None
                    verb = came
                    break
                came.read()  # while others of its group are still coming
                group.append(came)
                size += came.size
                if len(group) == 1:
                    end = time.monotonic() + LINGER
                if len(group) >= min(self._last_sizes):
                    end = 0.0
        if group:
            self._last_sizes.append(len(group))
        return group, verb

    def _commit(self, group: Sequence[_Waiting]) -> None:
        """Write the group in one transaction; where that fails for what is in it, one by one."""
        good = [waiting for waiting in group if waiting.problem is None]
        spans = [span for waiting in good for span in waiting.spans]
        try:
            runs = self._store.backend.write(spans, time.time_ns()) if spans else set()
        except (StoreError, MemoryError) as error:  # not the fault of what was sent: it is sent again
            problem = str(error) or "the server is short of memory"
            self._trouble(problem)
            for waiting in good:
                waiting.problem = Refused(503, problem, headers={"Retry-After": f"{PATIENCE:.0f}"})
        except Exception as error:  # noqa: BLE001  of what was in it
            for waiting in good:
                if len(good) == 1:
                    waiting.problem = ValueError(f"what these spans say cannot be kept: {error!r}")
                else:
                    self._commit([waiting])
        else:
            self._wrote(runs)

    def _wrote(self, runs: set[str]) -> None:
        if runs:
            self.problem, self._dirty = "", True
            self._changed(runs, frozenset())

    def _tell_of_models(self) -> None:
        if models := self._news.take():
            self._changed(frozenset(), models)

    def _drain(self) -> None:
        """Between two batches of a long backlog, those who wait are served."""
        self._living = set()
        try:
            for _ in self._store.draining(self._living):
                self._serve_one_group(patience=0)
                if self._is_over:
                    return
            self._live = frozenset(self._living)
        finally:
            if changed := self._store.take_changed():
                self._dirty = True
                self._changed(changed, frozenset())
        self._tell_of_models()
        if self.problem and time.monotonic() > self._problem_at + PATIENCE:  # nobody may come: is it over?
            self._store.backend.write([])
            self.problem = ""

    def _compact(self) -> None:
        """A slice of it, or at the end the rest. What waits has as much time before the next slice."""
        began = time.monotonic()
        self._compact_at = began + COMPACT_INTERVAL
        if self._dirty:
            self._dirty = not self._store.backend.compact(None if self._is_over else COMPACT_SLICE)
            if self._dirty:
                now = time.monotonic()
                self._compact_at = now + (now - began)


def _answer(group: Sequence[_Waiting]) -> None:
    """Wake those who wait: once for each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for waiting in group:
        loops.setdefault(waiting.loop, []).append(waiting)
    for loop, some in loops.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, some)


def _settle(group: Sequence[_Waiting]) -> None:
    for waiting in group:
        if waiting.answered.done():  # whoever waited has gone
            continue
        if waiting.problem is None:
            waiting.answered.set_result(None)
        else:
            waiting.answered.set_exception(waiting.problem)
