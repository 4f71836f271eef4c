"""Tells on standard error what happens: a line when a run begins, goes on and ends."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from .. import semconv as sc
from ..display import text
from ..interrupts import pass_on
from ..recording.tap import own_write
from ..states import State

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

MOST_PAIRS = 8
"""Params or metrics in one line."""
MOST_TOLD = 200
"""Characters of an error in one line."""
PATIENCE = 1.0
"""Seconds to wait for whoever reads standard error."""
_BEGAN = "▶"
_WENT_ON = "·"
_SYSTEM = "system/"


class ConsoleExporter(SpanExporter):
    """Writes a line for each run that began or ended, and one at most for what a batch adds to it."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}  # of the runs that are open

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the lines of a batch. Raises what the stream raises."""
        for line in self._lines([span.attributes or {} for span in spans], spans):
            if sys.stderr is None or not _has_room(sys.stderr):
                break
            encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
            own_write(sys.stderr)(f"autotrack: {line}\n".encode(encoding, "replace").decode(encoding))
            sys.stderr.flush()
        return SpanExportResult.SUCCESS

    def _lines(self, facts: Sequence[Mapping[str, Any]], spans: Sequence[ReadableSpan]) -> Iterable[str]:
        news: dict[str, _News] = {}
        for attributes, span in zip(facts, spans, strict=True):
            run = attributes.get(sc.RUN_ID, "")
            match attributes.get(sc.SPAN_TYPE):
                case sc.SpanType.RUN_START:
                    self._names[run] = str(attributes.get(sc.RUN_NAME, ""))
                    yield self._line(
                        _BEGAN, run, f"in {attributes.get(sc.EXPERIMENT_NAME)}", _params(attributes)
                    )
                case sc.SpanType.UPDATE:
                    news.setdefault(run, _News()).pairs |= _params(attributes)
                case sc.SpanType.METRICS:
                    news.setdefault(run, _News()).take_table(attributes)
                case sc.SpanType.RUN:
                    if run in news:
                        yield from self._went_on(run, news.pop(run))
                    yield self._ended(run, attributes, span)
        for run, new in news.items():
            yield from self._went_on(run, new)

    def _went_on(self, run: str, news: _News) -> Iterable[str]:
        if news.pairs:
            yield self._line(_WENT_ON, run, "" if news.step is None else f"step {news.step}", news.pairs)

    def _ended(self, run: str, attributes: Mapping[str, Any], span: ReadableSpan) -> str:
        state = State(attributes[sc.RUN_STATE])
        took = text.duration(((span.end_time or 0) - (span.start_time or 0)) / 1e9)
        error = attributes.get(sc.ERROR_TYPE)
        told = text.plain(f"{error}: {attributes.get(sc.ERROR_MESSAGE, '')}")
        why = f": {text.shortened(told, MOST_TOLD)}" if error else ""
        line = self._line(
            text.SYMBOLS[state], run, f"{state} after {took}{why}", _prefixed(attributes, sc.METRIC_PREFIX)
        )
        self._names.pop(run, None)
        return line

    def _line(self, symbol: str, run: str, what: str, pairs: Mapping[str, Any]) -> str:
        name = text.shortened(text.plain(self._names.get(run, "")), 40)
        shown = [
            f"{text.shortened(text.plain(key), 40)}={text.shortened(text.scalar(value), 40)}"
            for key, value in pairs.items()
        ]
        if len(shown) > MOST_PAIRS:
            shown[MOST_PAIRS:] = [f"and {len(shown) - MOST_PAIRS} more"]
        parts = (symbol, f"{name} {text.short_id(run)}", text.plain(what), "  ".join(shown))
        return "  ".join(filter(None, parts))


class _News:
    """What a batch adds to a run: params, and the last value of each metric."""

    def __init__(self) -> None:
        self.step: int | None = None
        self.pairs: dict[str, Any] = {}

    def take_table(self, attributes: Mapping[str, Any]) -> None:
        values = _prefixed(attributes, sc.METRICS_VALUE_PREFIX)
        if values:
            self.step = int(attributes[sc.METRICS_STEP][-1])
            self.pairs |= {name: float(column[-1]) for name, column in values.items()}


def _has_room(stream: TextIO) -> bool:
    """Whether a line fits into the pipe that the stream may be.

    A write that waits for a reader holds the stream's lock: the program's own next one would wait too.
    """
    try:
        return bool(select.select([], [stream.fileno()], [], PATIENCE)[1])
    except (AttributeError, OSError, ValueError) as error:  # in memory, as a notebook's, or anybody's object
        pass_on(error)
        return not getattr(stream, "closed", False)


def _params(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return _prefixed(attributes, sc.PARAM_PREFIX)


def _prefixed(attributes: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What stands under a prefix; the machine's load is not what people look for here."""
    return {
        name: value
        for key, value in attributes.items()
        if key.startswith(prefix) and not (name := key.removeprefix(prefix)).startswith(_SYSTEM)
    }
