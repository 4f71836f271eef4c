"""What is printed and logged while a run is open, kept as numbered lines.

The caller only appends to a queue; lines are made in the flusher, by `transcript`.
"""

from __future__ import annotations

import functools
from collections import deque
from itertools import groupby
from operator import itemgetter
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from .. import semconv as sc
from .companion import Companion
from .transcript import MAX_TEXT, Transcript

if TYPE_CHECKING:
    from .recorder import Recorder
    from .segments import Segment

SLICE = 10_000
"""Pieces of text that become lines together."""

STDOUT, STDERR, LOGGING = "stdout", "stderr", "logging"


class Console(Companion):
    """Takes what is printed and logged, and gives it to the run it belongs to."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pending: deque[tuple[Segment, str, Any, int, str | None, str | None]] = deque()
        self._is_scheduled = False
        self._transcripts: dict[int, Transcript] = {}  # the flusher's own; by id of the segment

    def place(self) -> Segment | None:
        """What is written here and now belongs to this; None where no run is open."""
        return self._recorder.segment_here()

    def take(self, stream: str, text: str, level: str | None = None, logger: str | None = None) -> None:
        """Called for every write in the user's program: little more than an append."""
        segment = self._recorder.segment_here()
        if segment is None or segment.run.is_muted:
            return
        self._pending.append((segment, stream, text, perf_counter_ns(), level, logger))
        if not self._is_scheduled:  # set before it is pushed, reset before it is read: none is left behind
            self._is_scheduled = True
            self._recorder.push(self._write)

    def failed(self, error: Exception) -> None:
        """Something that was written is lost."""
        self._recorder.report.warn(f"console: {type(error).__name__}: {error}", "console")

    def ended(self, segment: Segment) -> None:
        self._recorder.push(functools.partial(self._finish, segment))

    def closing(self) -> None:
        self._recorder.push(self._finish_all)

    def forked(self) -> None:
        self._start_afresh()

    # --- in the flusher -------------------------------------------------------------------------

    def _write(self) -> None:
        """Turn what waits into lines, and the complete ones into spans."""
        self._is_scheduled = False
        waiting = len(self._pending)
        while waiting > 0:
            self._write_some(min(SLICE, waiting))
            waiting -= SLICE

    def _write_some(self, count: int) -> None:
        take = self._pending.popleft
        pieces = [take() for _ in range(count)]
        touched: dict[int, Transcript] = {}
        for (segment, stream), group in groupby(pieces, itemgetter(0, 1)):
            transcript = self._transcripts.get(id(segment))
            if transcript is None:
                transcript = self._transcripts[id(segment)] = Transcript(segment)
            touched[id(segment)] = transcript
            if stream == LOGGING:
                for _, _, *record in group:
                    transcript.record(LOGGING, *record)
            else:  # a stream of the user's own may take anything
                written = [(text, time) for _, _, text, time, *_ in group if isinstance(text, str)]
                if written:
                    transcript.write(stream, *zip(*written, strict=True))
        for transcript in touched.values():
            self._emit(transcript)

    def _finish(self, segment: Segment) -> None:
        """The run is over: a line without an end is one too."""
        self._write()
        transcript = self._transcripts.pop(id(segment), None)
        if transcript is not None:
            transcript.finish(perf_counter_ns())
            self._emit(transcript)

    def _finish_all(self) -> None:
        """The process is over: for a forked child, whose runs are not its own to end."""
        self._write()
        for transcript in list(self._transcripts.values()):
            self._finish(transcript.segment)

    def _emit(self, transcript: Transcript) -> None:
        segment = transcript.segment
        for batch in transcript.batches():
            facts: dict[str, Any] = {
                sc.LOG_STREAM: batch.stream,
                sc.LOG_LINE: batch.first,
                sc.LOG_TEXT: "\n".join(batch.texts),
            }
            if batch.levels:
                facts |= {sc.LOG_LEVELS: tuple(batch.levels), sc.LOG_LOGGERS: tuple(batch.loggers)}
            times = [time + segment.clock_offset for time in batch.times]
            self._recorder.spans.lines(segment, facts, times)
        if transcript.cut:
            reason = f"console lines of a run beyond its first {MAX_TEXT // 1_000_000} MB"
            self._recorder.report.skip(reason, transcript.cut)
            transcript.cut = 0
