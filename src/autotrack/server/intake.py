"""The one writer: requests wait here, many are committed together, and each is answered after that.

All writes of a server go through one thread, so the database has one writer. What came while it was
committing is its next group: the more there is to do, the larger the groups. Between groups it drains the
spools of trainings on this machine and brings points into their final form.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..backend import Liveness
from ..errors import StoreError
from ..records import SpanRecord
from ..store import Store
from .answers import Refused

log = logging.getLogger("autotrack")

GROUP_BYTES = 32 << 20
"""Bodies that are committed together."""
WAITING_BYTES = 128 << 20
"""Bodies that wait; more are refused with 429."""
DRAIN_INTERVAL = 0.5
"""Seconds between two looks into the spools of this machine."""
COMPACT_INTERVAL = 10.0
"""Seconds between two compactions."""

Decode = Callable[[], Sequence[SpanRecord]]
"""Makes spans of a body; raises ValueError if it holds none."""


@dataclass(eq=False, slots=True)
class _Waiting:
    decode: Decode
    size: int
    loop: asyncio.AbstractEventLoop
    answered: asyncio.Future[None]
    problem: Exception | None = None


class Intake:
    """Takes spans in; `changed` is called in its thread with the runs of each commit."""

    def __init__(self, store: Store, changed: Callable[[set[str]], None]) -> None:
        self._store = store
        self._changed = changed
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._live: frozenset[str] = frozenset()
        self._thread = threading.Thread(target=self._loop, name="autotrack-writer", daemon=True)
        self._compacted = time.monotonic()
        self._dirty = False
        self.problem = ""  # why nothing can be taken in at the moment

    def start(self) -> None:
        """Drain once, so that the first answer tells everything, then go on in a thread."""
        self._drain()
        self._thread.start()

    def stop(self) -> None:
        """Commit what waits, then end."""
        self._queue.put(None)
        self._thread.join()
        self._compact()

    def liveness(self) -> Liveness:
        """Who lives, as of the last look."""
        return Liveness(now=time.time_ns(), host=socket.gethostname(), writers=self._live)

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

    # --- the thread -----------------------------------------------------------------------------

    def _loop(self) -> None:
        next_drain = time.monotonic() + DRAIN_INTERVAL
        is_over = False
        while not is_over:
            group, is_over = self._next_group(max(next_drain - time.monotonic(), 0))
            if group:
                self._commit(group)
                _answer(group)
                with self._lock:
                    self._waiting_bytes -= sum(waiting.size for waiting in group)
            if time.monotonic() >= next_drain:
                self._drain()
                next_drain = time.monotonic() + DRAIN_INTERVAL
            if time.monotonic() >= self._compacted + COMPACT_INTERVAL:
                self._compact()

    def _next_group(self, patience: float) -> tuple[list[_Waiting], bool]:
        """What waits, at most `GROUP_BYTES`; and whether it is the last."""
        group: list[_Waiting] = []
        size = 0
        try:
            while size < GROUP_BYTES:
                waiting = self._queue.get(timeout=patience) if not group else self._queue.get_nowait()
                if waiting is None:
                    return group, True
                group.append(waiting)
                size += waiting.size
        except queue.Empty:
            pass
        return group, False

    def _commit(self, group: Sequence[_Waiting]) -> None:
        """Write the group in one transaction; where that fails for what is in it, one by one."""
        spans: list[SpanRecord] = []
        good = []
        for waiting in group:
            try:
                spans += waiting.decode()
                good.append(waiting)
            except Exception as error:  # noqa: BLE001  it came from outside
                waiting.problem = error
        try:
            self._write(spans)
        except StoreError as error:
            for waiting in good:
                waiting.problem = _unavailable(error)
        except Exception as error:  # noqa: BLE001  of what was in it
            for waiting in good:
                if len(good) == 1:
                    waiting.problem = ValueError(f"what these spans say cannot be kept: {error!r}")
                else:
                    self._commit([waiting])

    def _write(self, spans: Sequence[SpanRecord]) -> None:
        if not spans:
            return
        try:
            runs = self._store.backend.write(spans, time.time_ns())
        except StoreError as error:
            self.problem = str(error)
            raise
        self.problem, self._dirty = "", True
        self._tell(runs)

    def _drain(self) -> None:
        try:
            self._live = frozenset(self._store.drain())
        except StoreError as error:  # the spools keep it
            self._warn(error)
        self._tell(self._store.take_changed())

    def _compact(self) -> None:
        self._compacted = time.monotonic()
        if self._dirty:
            try:
                self._store.backend.compact()
                self._dirty = False
            except StoreError as error:
                self._warn(error)

    def _warn(self, error: StoreError) -> None:
        """Said once, until it is over or another."""
        if str(error) != self.problem:
            self.problem = str(error)
            log.warning("autotrack: %s", error)

    def _tell(self, runs: set[str]) -> None:
        if runs:
            self._changed(runs)


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


def _unavailable(error: StoreError) -> Refused:
    return Refused(503, str(error), headers={"Retry-After": "5"})
