"""Builds every span of ours, on a private OpenTelemetry TracerProvider.

Only the flusher calls it, but for `open_run`. The provider is ours alone: no sampling, no limits,
and ids from os.urandom, because the SDK's default generator moves the user's global `random`.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from .. import semconv as sc

if TYPE_CHECKING:
    from ..semconv import Scalar
    from ..states import RunError, State
    from .segments import Fit, Segment
    from .tables import Table

_UNLIMITED = SpanLimits(
    max_span_attributes=SpanLimits.UNSET,
    max_event_attributes=SpanLimits.UNSET,
    max_link_attributes=SpanLimits.UNSET,
    max_attributes=SpanLimits.UNSET,
    max_events=SpanLimits.UNSET,
    max_links=SpanLimits.UNSET,
    max_attribute_length=SpanLimits.UNSET,
    max_span_attribute_length=SpanLimits.UNSET,
)
COURTESY_METRICS = 1000
"""How many last values the `run` span repeats for trace stores; ours counts from the points."""


def new_writer() -> str:
    """The name of a writer that there has never been."""
    return os.urandom(8).hex()


class SpanFactory:
    """Spans of one writer; each gets the writer's next number. Of muted runs there are none."""

    def __init__(
        self,
        resource: Mapping[str, Any],
        version: str,
        ended: Callable[[ReadableSpan], None],
        writer: str | None = None,
    ) -> None:
        self.writer = writer or new_writer()
        self.rank: int | None = None
        self._numbers = itertools.count(1)
        self._ids = _UrandomIds()
        self._ended = ended
        self._resource = Resource(resource, sc.SCHEMA_URL)
        self._scope = InstrumentationScope("autotrack", version, sc.SCHEMA_URL)
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=self._resource,
            shutdown_on_exit=False,
            span_limits=_UNLIMITED,
            id_generator=self._ids,
        )
        provider.add_span_processor(_Ended(ended))
        self._tracer = provider.get_tracer("autotrack", version, schema_url=sc.SCHEMA_URL)

    def is_own(self, tracer: trace.Tracer) -> bool:
        """Whether a tracer makes our spans."""
        return tracer is self._tracer

    def open_run(self, name: str, start: int, parent: otel_context.Context) -> trace.Span:
        """The span that is the run, open until it ends; current for the user's own spans."""
        return self._tracer.start_span(name, context=parent, start_time=start)

    def run_start(self, segment: Segment, params: Mapping[str, Scalar], tags: Mapping[str, str]) -> None:
        """A run begins: said by a child of its own, because the run's span comes only at the end."""
        facts = {
            sc.RUN_NAME: segment.run.name,
            sc.EXPERIMENT_NAME: segment.run.experiment,
            sc.RUN_BEAT_INTERVAL: segment.run.beat_interval,
            **({sc.RUN_PARENT: segment.run.parent_id} if segment.run.parent_id else {}),
            **({sc.RUN_KEEPS: segment.run.keeps} if segment.run.keeps else {}),
            **_prefixed(sc.PARAM_PREFIX, params),
            **_prefixed(sc.TAG_PREFIX, tags),
        }
        self._emit(segment, sc.SpanType.RUN_START, facts, segment.number)

    def update(
        self,
        segment: Segment,
        params: Mapping[str, Scalar],
        tags: Mapping[str, str],
        attributes: Mapping[str, Scalar],
        time: int,
    ) -> None:
        """Params, tags or facts that came after the start."""
        facts = {**_prefixed(sc.PARAM_PREFIX, params), **_prefixed(sc.TAG_PREFIX, tags), **attributes}
        self._emit(segment, sc.SpanType.UPDATE, facts, time)

    def facts(self, segment: Segment, span_type: str, facts: Mapping[str, Any], time: int) -> None:
        """What one attribute each tells: an artifact (its bytes are on disk), a dataset, a model, lines."""
        self._emit(segment, span_type, facts, time)

    def lines(self, segment: Segment, facts: Mapping[str, Any], times: Sequence[int]) -> None:
        """Lines of text. Built directly, as `metrics` is."""
        if segment.run.is_muted:
            return
        numpy = sys.modules.get("numpy")  # encodes many numbers faster; not worth an import of ours
        attributes = {
            **self._common(segment, sc.SpanType.LOG, next(self._numbers)),
            **facts,
            sc.LOG_TIMES: numpy.array(times, "int64") if numpy else times,
        }
        self._ended(self._readable(segment, sc.SpanType.LOG, attributes, times[0], times[-1]))

    def beat(self, segment: Segment, time: int, state: State | None) -> None:
        """A sign of life; `state` idle says that the next one may be long in coming."""
        self._emit(segment, sc.SpanType.BEAT, {sc.RUN_STATE: str(state)} if state else {}, time)

    def metrics(self, table: Table) -> None:
        """One table of points. Built directly: the SDK would copy each array element by element."""
        segment = table.segment
        number = next(self._numbers)
        attributes = {
            **self._common(segment, sc.SpanType.METRICS, number),
            sc.METRICS_STEP: table.step,
            sc.METRICS_TIME: table.time,
            sc.METRICS_ROWS: (len(table),),
        }
        for column, name in enumerate(table.names):
            attributes[sc.METRICS_VALUE_PREFIX + name] = table.values[:, column]
        start, end = int(table.time[0]), int(table.time[-1])
        self._ended(self._readable(segment, sc.SpanType.METRICS, attributes, start, end))

    def fit(self, fit: Fit) -> None:
        """A training call inside a run."""
        if fit.segment.run.is_muted:
            return
        attributes = {
            **self._common(fit.segment, sc.SpanType.FIT, next(self._numbers)),
            sc.FIT_CLASS: fit.kind,
            **_prefixed(sc.PARAM_PREFIX, fit.params),
        }
        if fit.error:
            attributes[sc.ERROR_TYPE] = fit.error
        self._ended(
            self._readable(
                fit.segment,
                fit.name,
                attributes,
                fit.start,
                fit.end,
                fit.span_id,
                fit.parent_span_id,
                fit.error,
            )
        )

    def run_end(self, segment: Segment, state: State, error: RunError | None, time: int) -> None:
        """A run's segment is over: its span ends, once."""
        span = segment.span
        if segment.run.is_muted or not span.is_recording():
            return
        attributes = self._common(segment, sc.SpanType.RUN, next(self._numbers))
        attributes[sc.RUN_STATE] = str(state)
        last = itertools.islice(segment.run.last_values.items(), COURTESY_METRICS)
        attributes |= {sc.METRIC_PREFIX + name: value for name, value in last}
        if error:
            attributes[sc.ERROR_TYPE] = error.type
            attributes[sc.ERROR_MESSAGE] = error.message
            attributes[sc.ERROR_STACKTRACE] = error.traceback
            span.set_status(Status(StatusCode.ERROR, error.type))
        span.set_attributes(attributes)
        span.end(time)

    def _emit(self, segment: Segment, span_type: str, facts: Mapping[str, Any], time: int) -> None:
        if segment.run.is_muted:
            return
        attributes = {**self._common(segment, span_type, next(self._numbers)), **facts}
        parent = trace.set_span_in_context(segment.span, otel_context.Context())
        self._tracer.start_span(span_type, parent, attributes=attributes, start_time=time).end(time)

    def _common(self, segment: Segment, span_type: str, number: int) -> dict[str, Any]:
        return {
            sc.SPAN_TYPE: span_type,
            sc.SCHEMA: sc.SCHEMA_VERSION,
            sc.RUN_ID: segment.run.id,
            sc.SEGMENT: segment.number,
            sc.WRITER: self.writer,
            sc.SEQ: (number,),
            **({sc.RANK: self.rank} if self.rank is not None else {}),
        }

    def _readable(
        self,
        segment: Segment,
        name: str,
        attributes: Mapping[str, Any],
        start: int,
        end: int,
        span_id: int | None = None,
        parent_span_id: int | None = None,
        error: str | None = None,
    ) -> ReadableSpan:
        parent = segment.span.get_span_context()
        if parent_span_id:
            parent = _in_trace(parent, parent_span_id)
        return ReadableSpan(
            name=name,
            context=_in_trace(parent, span_id or self._ids.generate_span_id()),
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            status=Status(StatusCode.ERROR, error) if error else Status(StatusCode.UNSET),
            start_time=start,
            end_time=end,
            instrumentation_scope=self._scope,
        )


def _in_trace(context: SpanContext, span_id: int) -> SpanContext:
    return SpanContext(context.trace_id, span_id, False, TraceFlags(TraceFlags.SAMPLED))


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in values.items()}


class _UrandomIds(IdGenerator):
    def generate_span_id(self) -> int:
        return int.from_bytes(os.urandom(8), "big") or 1

    def generate_trace_id(self) -> int:
        return int.from_bytes(os.urandom(16), "big") or 1


class _Ended(SpanProcessor):
    """Passes on every span that ends."""

    def __init__(self, ended: Callable[[ReadableSpan], None]) -> None:
        self._ended = ended

    def on_end(self, span: ReadableSpan) -> None:
        self._ended(span)
