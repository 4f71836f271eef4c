"""The user's own OpenTelemetry spans that are opened inside a run: the store gets them too.

Whatever provider they come from, and whenever it was made: a tracer's provider gets a SpanProcessor of
ours, the first time that one of its spans begins while a run is open. Nothing else is changed in it; its
sampler decides which spans there are, and its exporters get them as ever.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, Tracer

from ..interrupts import pass_on
from .companion import Companion

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from .recorder import Recorder
    from .segments import Segment

log = logging.getLogger("autotrack")

_Key = tuple[int, int]


class UserSpans(Companion, SpanProcessor):
    """Hands `recorder` each ended span whose parent was open, and inside a run, when it began.

    Where the process switched autotrack off, or is a fork, spans that were open go their own way.
    """

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self._inside: set[_Key] = set()  # the spans of open runs, and those below that are open
        self._joined: WeakSet[Any] = WeakSet()  # processors of providers, each with ours in it
        self._start_spans: tuple[Any, Any] = (None, None)  # ours, and the one before

    # --- on and off ------------------------------------------------------------------------------

    def on(self) -> None:
        """Look at the spans that begin from now on."""
        self.off()
        before = Tracer.start_span

        @functools.wraps(before)
        def start_span(tracer: Tracer, *args: Any, **kwargs: Any) -> trace.Span:
            if self._inside and self._start_spans[0] is start_span:
                self._join(tracer)
            return before(tracer, *args, **kwargs)

        Tracer.start_span = start_span  # type: ignore[assignment, method-assign]
        self._start_spans = (start_span, before)

    def off(self) -> None:
        """Give `Tracer` its own back, unless somebody wrapped it in the meantime."""
        ours, before = self._start_spans
        if ours is not None and vars(Tracer)["start_span"] is ours:
            Tracer.start_span = before  # type: ignore[method-assign]
        self._start_spans = (None, None)

    def _join(self, tracer: Tracer) -> None:
        try:
            processors = tracer.span_processor
            if processors in self._joined or (self.recorder and self.recorder.spans.is_own(tracer)):
                return
            processors.add_span_processor(self)
            self._joined.add(processors)
        except Exception as error:  # noqa: BLE001  the user's span must not fail of it
            pass_on(error)
            if self.recorder:
                self.recorder.report.warn(f"spans of a tracer are not recorded: {error!r}")

    # --- of the runs -----------------------------------------------------------------------------

    def began(self, segment: Segment) -> None:
        if not segment.run.is_muted:
            self._inside.add(_key(segment.span.get_span_context()))

    def ended(self, segment: Segment) -> None:
        self._inside.discard(_key(segment.span.get_span_context()))

    joined, left = began, ended  # the span that tasks of another process, or this process, are below

    # --- of the user's spans ---------------------------------------------------------------------

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.parent is not None and _key(span.parent) in self._inside and self._start_spans[0]:
            self._inside.add(_key(span.context))

    def on_end(self, span: ReadableSpan) -> None:
        key = _key(span.context)
        if key in self._inside and self.recorder is not None:
            self._inside.discard(key)
            self.recorder.keep(span)

    def forked(self) -> None:
        """Those open here are the parent's to end, but the run that this child inherits goes on."""
        assert self.recorder is not None
        self._inside = {_key(segment.span.get_span_context()) for segment in self.recorder.open_segments()}


def _key(context: trace.SpanContext) -> _Key:
    return context.trace_id, context.span_id
