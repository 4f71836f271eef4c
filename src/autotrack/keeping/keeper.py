"""The training process's side of keeping models: freeze in the call, hand over in the flusher."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import semconv as sc
from ..recording.companion import Companion
from ..recording.spans import new_writer
from .load import LONGEST_WAIT, Load

if TYPE_CHECKING:
    from ..flavor import Flavor, Frozen
    from ..recording.model_details import ModelDetails
    from ..recording.recorder import Recorder
    from ..recording.segments import Segment
    from .converter import Converter
    from .freezing import FrozenModel
    from .jobs import Context, Entry, Job

MOST_WAITING = 2 << 30
"""Bytes of models that may wait to be converted."""
MOST_HELD = 256 << 20
"""Bytes of models that a training which leaves no core may have waiting."""
IDLE_AFTER = 60.0
"""Seconds without a model after which the helper may go."""
PATIENCE = 30.0
"""Seconds that a process waits for its helper where both end together."""


class Keeper(Companion):
    """Keeps the models of a recorder's runs; `context` gives the helper's surroundings."""

    def __init__(self, recorder: Recorder, context: Callable[[], Context]) -> None:
        self._recorder = recorder
        self._context = context
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._converter_name = new_writer()  # in a child another
        self._waiting: list[Job] = []
        self._bytes = 0  # of what waits or is being converted
        self._converter: Converter | None = None
        self._load = Load()
        self._lock = threading.RLock()
        self._last_job = 0.0
        self._is_closing = False

    # --- in the caller ---------------------------------------------------------------------------

    def keep(self, segment: Segment, model: Any, path: str, details: ModelDetails) -> None:
        """Freeze the model, which may change from now on; the rest comes later."""
        from .freezing import Refused, freeze  # for who trains what is kept

        is_full = self._bytes > MOST_WAITING
        problem = f"more than {MOST_WAITING >> 30} GiB of models wait to be converted" if is_full else None
        report, limit = self._recorder.report, self._recorder.options.model_max_bytes
        try:
            frozen = freeze(model, path, details, limit, problem, report.skip)
        except Refused as refusal:
            return self._refuse(segment, refusal.entry, refusal.reason)
        is_safe = frozen.state.file is not None
        if not is_safe:
            pending = frozen.entry.facts("pending", converter=self._converter_name)
            self._recorder.told(segment, sc.SpanType.MODEL, pending)
        job = _job(segment, frozen)
        if not is_safe:
            return self._recorder.push(functools.partial(self._queue, job))
        return self._recorder.push(functools.partial(self._store, job, frozen.flavor, frozen.state))

    def _refuse(self, segment: Segment, entry: Entry, reason: str) -> None:
        self._recorder.report.skip(f"model {entry.path!r}: {reason}")
        self._recorder.told(segment, sc.SpanType.MODEL, entry.facts("refused", reason=reason))

    # --- in the flusher --------------------------------------------------------------------------

    def _store(self, job: Job, flavor: Flavor, state: Frozen) -> None:
        """What is in the safe form already needs no helper."""
        from ..mlmodel.composing import whole

        own = flavor.files(state)
        sections = flavor.describe(own, job.entry.kind)
        files = whole(own, sections, job.identity, job.described, job.packages)
        for name, data in files.items():
            if problem := self._recorder.store_artifact(job.origin, data, f"{job.entry.path}/{name}"):
                return self._refuse(job.origin, job.entry, problem)
        facts = job.kept(files, sum(map(len, files.values())))
        return self._recorder.told(job.origin, sc.SpanType.MODEL, facts)

    def _queue(self, job: Job) -> None:
        if not self._waiting:
            self._recorder.push(self._hand_over)  # all that this flush has frozen, together
        self._waiting.append(job)
        self._last_job = time.monotonic()

    def _hand_over(self) -> None:
        from .converter import Converter  # subprocess and socket, for who trains what needs them

        with self._lock:
            converter = self._converter = self._converter or Converter(
                self._context(), self._converter_name, self._came_to_nothing
            )
            if self._waiting and (converter.has_room or self._is_closing):
                jobs, self._waiting = self._waiting, []
                try:
                    converter.convert(jobs)
                except BlockingIOError:
                    self._waiting = jobs
                except Exception as error:  # noqa: BLE001  starting a process fails in many ways
                    for job in jobs:
                        self._came_to_nothing(job, f"it cannot be converted ({error})", False)
            waiting = sum(memoryview(job.data).nbytes for job in self._waiting)
            self._bytes = waiting + converter.bytes_at_work

    def _may_work(self, converter: Converter) -> bool:
        """Conversions take a core for a while, which a training would rather keep."""
        is_late = converter.waits_for > LONGEST_WAIT
        is_full = not converter.has_room or self._bytes > MOST_HELD
        return is_late or is_full or self._load.leaves_a_core()

    def _came_to_nothing(self, job: Job, reason: str, is_told: bool) -> None:
        if is_told:
            self._recorder.report.skip(f"model {job.entry.path!r}: {reason}")
        else:
            self._refuse(job.origin, job.entry, reason)

    def tick(self, segments: Sequence[Segment]) -> None:
        with self._lock:
            if self._converter is None:
                return
            self._converter.listen()
            self._hand_over()
            if self._converter.waits_for and self._may_work(self._converter):
                self._converter.permit()
            if not self._converter.is_at_work and time.monotonic() - self._last_job > IDLE_AFTER:
                self._converter.forget()

    # --- the process's life ----------------------------------------------------------------------

    def closing(self) -> None:
        self._is_closing = True

    def settle(self, timeout: float) -> bool:
        """Whoever flushes wants the models soon.

        A helper outlives its process, unless that is a container's: its end would be the helper's.
        """
        with self._lock:
            if self._converter is not None:
                self._converter.permit()
        if self._is_closing and os.getppid() <= 1:
            end = time.monotonic() + PATIENCE
            while self._is_at_work() and time.monotonic() < end:
                time.sleep(0.02)
        with self._lock:
            if self._is_closing and self._converter is not None:
                self._converter.forget()
        return False

    def _is_at_work(self) -> bool:
        with self._lock:
            if self._converter is None:
                return False
            self._converter.listen()
            return self._converter.is_at_work

    def forked(self) -> None:
        if self._converter is not None:
            self._converter.forget()  # the parent's
        self._start_afresh()


def _job(segment: Segment, frozen: FrozenModel) -> Job:
    from .jobs import Job  # for who trains what is kept, as all that it imports

    span = segment.span.get_span_context()
    return Job(
        entry=frozen.entry,
        run=segment.run.id,
        segment=segment.number,
        trace_id=span.trace_id,
        span_id=span.span_id,
        time=segment.now() + 1,  # later than what says that it is pending
        data=frozen.state.data,
        packages=sorted(frozen.packages),
        described=frozen.described,
        origin=segment,
    )
