"""Server-sent events: which runs and registered models changed, with a cursor to go on from."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Set
from typing import NamedTuple

HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, so that nothing between takes the stream for dead."""
REMEMBERED = 1_000
"""Commits that a reader who was away can still be told of."""
MOST_IDS = 1_000
"""Runs, and models, that one event names; of more it says that all may have changed."""


class _Commit(NamedTuple):
    cursor: int
    runs: Set[str]
    models: Set[str]


class Events:
    """Commits, as they come. `publish` may be called from any thread."""

    def __init__(self) -> None:
        self._cursor = time.time_ns() // 1000  # higher than any that an earlier server has told
        self._is_closed = False
        self._commits: deque[_Commit] = deque(maxlen=REMEMBERED)
        self._lock = threading.Lock()
        self._readers: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def publish(self, runs: Set[str], models: Set[str] = frozenset()) -> None:
        """These runs have changed, and the registered models of these names."""
        with self._lock:
            self._cursor += 1
            self._commits.append(_Commit(self._cursor, frozenset(runs), frozenset(models)))
            readers = list(self._readers.items())
        for event, loop in readers:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """End every stream."""
        with self._lock:
            self._is_closed = True
            readers = list(self._readers.items())
        for event, loop in readers:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    async def stream(self, since: int | None) -> AsyncIterator[bytes]:
        """From now on, or from the cursor that was told last; what came together is one event."""
        news = asyncio.Event()
        with self._lock:
            self._readers[news] = asyncio.get_running_loop()
            told = self._cursor if since is None else since
        try:
            yield _event("hello", told, {"cursor": told})
            while True:
                cursor, runs, models = self._since(told)
                if self._is_closed:
                    return
                if cursor != told:
                    told = cursor
                    names = {"runs": _named(runs), "models": _named(models)}
                    yield _event("commit", cursor, {"cursor": cursor, **names})
                try:
                    await asyncio.wait_for(news.wait(), HEARTBEAT)
                except TimeoutError:
                    yield b": still here\n\n"
                news.clear()
        finally:
            with self._lock:
                self._readers.pop(news, None)

    def _since(self, told: int) -> tuple[int, set[str] | None, set[str] | None]:
        """The cursor, and the runs and models that changed since `told`; None: nobody remembers which."""
        with self._lock:
            oldest = self._commits[0].cursor if self._commits else self._cursor + 1
            if not oldest - 1 <= told <= self._cursor:
                return self._cursor, None, None  # too long away, or told by an earlier server
            news = [commit for commit in self._commits if commit.cursor > told]
        return (
            news[-1].cursor if news else told,
            {run for commit in news for run in commit.runs},
            {model for commit in news for model in commit.models},
        )


def _named(changed: set[str] | None) -> list[str] | None:
    return sorted(changed) if changed is not None and len(changed) <= MOST_IDS else None


def _event(kind: str, cursor: int, data: object) -> bytes:
    return f"event: {kind}\nid: {cursor}\ndata: {json.dumps(data)}\n\n".encode()
