"""The thread that sends what waits for an endpoint, beside a training that never waits for it."""

from __future__ import annotations

import contextlib
import functools
import random
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from ..errors import AutotrackError
from ..otlp.answer import BUSY, MORE, Answer, Kind
from .importing import importing

if TYPE_CHECKING:
    from ..recording.report import Report
    from .carrying import Carrier

FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 30.0
"""Seconds until the next try after the first failure, and after many."""
REFUSED_BACKOFF = 30.0
"""Seconds until the next try where a person has to change something first."""


class Shipper:
    """Carries every `interval` seconds; starts with the first call of `start`.

    make: the carrier; it is called in the thread, since it imports what it needs. May raise.
    shown: the endpoint's address, for people.
    """

    def __init__(self, make: Callable[[], Carrier], shown: str, interval: float, report: Report) -> None:
        self._make = make
        self._shown = shown
        self._interval = interval
        self._report = report
        self._carrier: Carrier | None = None
        self._thread: threading.Thread | None = None
        # A signal handler may close while what it interrupted was closing: as in the flusher, requests
        # go through a SimpleQueue and wait on a bare lock.
        self._requests: SimpleQueue[_Request] = SimpleQueue()
        self._last: _Request | None = None
        self._failures = 0
        self._chance = random.Random()  # the user's own is left alone

    def start(self) -> None:
        """Let the thread run, if it does not yet."""
        if self._thread is None:
            thread = threading.Thread(target=self._loop, name="autotrack-shipper", daemon=True)
            with contextlib.suppress(RuntimeError):  # the interpreter is going down: it stays on disk
                thread.start()
                self._thread = thread

    def end(self, ends: float) -> None:
        """Have what is left sent until `ends`, monotonic seconds, and then the thread ended."""
        thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive():
            self._last = _Request(ends)
            if (carrier := self._carrier) is not None:
                carrier.ends = ends
            self._requests.put(self._last)

    def wait(self) -> None:
        """Until that is done, or the time is up."""
        request, self._last = self._last, None
        if request is not None:
            request.done.acquire(timeout=max(0.0, request.ends - time.monotonic()))

    def _loop(self) -> None:
        delay = self._interval
        while True:
            try:
                request = self._requests.get(timeout=delay)
            except Empty:
                delay = self._guarded(self._carried)
            else:
                self._guarded(functools.partial(self._carried_to_the_end, request.ends))
                if self._carrier is not None:
                    self._carrier.close()
                    self._carrier = None  # what comes later, from an exit handler, gets another
                return request.done.release()

    def _guarded(self, carry: Callable[[], float]) -> float:
        """Seconds until the next time."""
        try:
            return carry()
        except Exception as error:  # noqa: BLE001  the thread must live on
            self._report.warn(f"sending to {self._shown} failed: {_told(error)}", f"sending {self._shown}")
            return self._backoff()

    def _carried(self) -> float:
        problem = self._its_carrier().carry()
        if problem is None or problem is BUSY:
            self._failures = 0
            return self._interval
        if problem is MORE:
            return 0.0
        return self._waiting_for(problem)

    def _carried_to_the_end(self, ends: float) -> float:
        carrier = self._its_carrier()
        carrier.ends = ends
        while (problem := carrier.carry()) in (BUSY, MORE) and time.monotonic() < ends:
            if problem is BUSY:
                time.sleep(0.02)
        if problem is not None:
            self._waiting_for(problem)
        return 0.0

    def _its_carrier(self) -> Carrier:
        if self._carrier is None:
            with importing():
                self._carrier = self._make()
        return self._carrier

    def _waiting_for(self, problem: Answer) -> float:
        """Say what is wrong, once for each kind, and how long to wait."""
        self._report.warn(
            f"{self._shown}: {problem.message}; what is recorded waits on this disk",
            f"{self._shown} {problem.kind}",
        )
        if problem.kind is Kind.REFUSED:
            return REFUSED_BACKOFF
        return max(self._backoff(), problem.after or 0.0)

    def _backoff(self) -> float:
        """Twice as long each time, and for each process a bit different."""
        self._failures += 1
        longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures - 1, 10))
        return longest * self._chance.uniform(0.5, 1.0)


class _Request:
    """Asks the thread to come to an end; `done` is released when it has."""

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.done = threading.Lock()
        self.done.acquire()


def _told(error: Exception) -> str:
    """An unexpected error's text may hold anything, a token too."""
    return str(error) if isinstance(error, AutotrackError) else type(error).__name__
