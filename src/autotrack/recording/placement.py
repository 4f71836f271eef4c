"""Where a run is current: in Python's context, and in OpenTelemetry's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry import trace

from .current import begun_run, current

if TYPE_CHECKING:
    from .run import ActiveRun


class Placement:
    """One run's. `outer` is the run of the context that it began in, or its parent.

    parent: stands for what is current when it begins. ambient: whether it becomes current itself.
    """

    def __init__(self, run: ActiveRun, parent: ActiveRun | None, ambient: bool) -> None:
        self.outer: ActiveRun | None = None
        self._run = run
        self._parent = parent
        self._ambient = ambient
        self._before: otel_context.Context | None = None

    def offer(self) -> None:
        """Make the run current before it begins, so that a bare `autotrack.log` finds it."""
        self.outer = begun_run()
        current.set(self._run)

    def discard(self) -> None:
        """Take back an offer."""
        if current.get() is self._run and self._run.segment is None:
            current.set(self.outer)

    def find_outer(self) -> None:
        """The run begins."""
        if self._parent is not None:
            self.outer = self._parent
        elif current.get() is not self._run:
            self.outer = begun_run() or self.outer

    def context(self) -> otel_context.Context:
        """In which its span is opened."""
        above = self._parent.segment if self._parent is not None else None
        self._before = trace.set_span_in_context(above.span) if above else otel_context.get_current()
        return self._before

    def enter(self, span: trace.Span) -> None:
        """It has begun."""
        if self._ambient:
            self.enter_for_good(span)

    def enter_for_good(self, span: trace.Span) -> None:
        """Be current in this context from now on."""
        otel_context.attach(trace.set_span_in_context(span))
        current.set(self._run)

    def leave(self, span: trace.Span) -> None:
        """Make what was current before current again, unless something else is by now."""
        if not self._ambient:
            return
        if current.get() is self._run:
            current.set(self.outer)
        if trace.get_current_span() is span:
            outer_span = trace.get_current_span(self._before)
            otel_context.attach(trace.set_span_in_context(outer_span))
