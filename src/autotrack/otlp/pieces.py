"""How many pieces a request has, told before it is decoded: a kilobyte unpacks into millions of empty spans.

Only the levels down to spans, log records and points are looked at, and of large requests the fields in
them too. What is no request is left to who decodes it, and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

MOST_PIECES = 100_000
"""Of a request; a collector's batch has 8,192 spans, as a rule."""
MOST_FIELDS = 500_000
"""That are passed on the way to them."""
MOST_PARTS = 2 << 20
"""Attributes, events and other fields of what the pieces, and who sent them, say. As none is shorter than two
bytes, requests of up to 4 MiB, the usual ones, need not be looked through for them."""
MOST_BRACKETS = 4_000_000
"""Of a request in JSON, each of whose numbers is an object."""

Levels = Sequence[Mapping[int, str]]
"""From the request down: the fields that lead on, and the names that JSON has for them."""
TRACES: Levels = ({1: "resourceSpans"}, {2: "scopeSpans"}, {2: "spans"})
LOGS: Levels = ({1: "resourceLogs"}, {2: "scopeLogs"}, {2: "logRecords"})
METRICS: Levels = (
    {1: "resourceMetrics"},
    {2: "scopeMetrics"},
    {2: "metrics"},
    {5: "gauge", 7: "sum", 9: "histogram", 10: "exponentialHistogram", 11: "summary"},
    {1: "dataPoints"},
)
_SENDER = 1
"""The field of a group that has its resource or scope, which have attributes too."""
_PARTED = frozenset({5, 8, 11, 13})
"""Those of a piece that may hold many fields themselves: events, links and exemplars."""


class TooMany(ValueError):
    """The request has to be sent in parts."""

    def __init__(self, what: str = f"{MOST_PIECES:,} spans, log records or points") -> None:
        super().__init__(f"the request is too large: more than {what}; divide it")


def check(data: bytes, levels: Levels) -> None:
    """Raises `TooMany`."""
    if len(data) <= 2 * MOST_PIECES:  # none is shorter than two bytes
        return
    messages, pieces, fields = [(0, len(data))], 0, 0
    senders: list[tuple[int, int]] = []
    for level, wanted in enumerate(levels):
        inner = []
        for at, end in messages:
            for number, start, stop in _fields(data, at, end):
                fields += 1
                pieces += number in wanted
                if pieces > MOST_PIECES or fields > MOST_FIELDS:
                    raise TooMany
                if number in wanted and start < stop:
                    inner.append((start, min(stop, end)))
                elif number == _SENDER and level in (1, 2):
                    senders.append((start, min(stop, end)))
        messages = inner
    if len(data) > 2 * MOST_PARTS:
        _check_parts(data, messages, senders)


def _check_parts(data: bytes, pieces: Sequence[tuple[int, int]], senders: Sequence[tuple[int, int]]) -> None:
    """Raises `TooMany`: an empty event takes a hundred times as much as was sent for it."""
    inner, parts = [*senders], 0
    for messages in (pieces, inner):
        for at, end in messages:
            for number, start, stop in _fields(data, at, end):
                parts += 1
                if parts > MOST_PARTS:
                    raise TooMany(f"{MOST_PARTS:,} attributes, events and other fields")
                if messages is pieces and number in _PARTED and start < stop:
                    inner.append((start, min(stop, end)))


def check_brackets(data: bytes) -> None:
    """Raises `TooMany` where JSON would become too many objects and lists."""
    if data.count(b"{") + data.count(b"[") > MOST_BRACKETS:
        raise TooMany


def check_json(message: Mapping[str, Any], levels: Levels) -> None:
    """Raises `TooMany`."""
    messages, count = [message], 0
    for names in levels:
        messages = [inner for outer in messages for name in names.values() for inner in _inner(outer, name)]
        count += len(messages)
        if count > MOST_PIECES:
            raise TooMany


def _inner(message: Any, name: str) -> Sequence[Any]:
    found = message.get(name) if isinstance(message, dict) else None
    if isinstance(found, list):
        return found
    return () if found is None else (found,)


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The number of each field, and where its bytes begin and end; none after one that is malformed."""
    while at < end:
        tag, at = _varint(data, at)
        kind, start = tag & 7, at
        if kind == 0:
            at = _varint(data, at)[1]
            start = at
        elif kind == 2:
            size, start = _varint(data, at)
            at = start + size
        elif kind in _FIXED:
            start = at = at + _FIXED[kind]
        elif kind not in _GROUPS:  # a group's fields are counted as if it were none
            return
        yield tag >> 3, start, at


_FIXED = {1: 8, 5: 4}
_GROUPS: Container[int] = (3, 4)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Its value, and where the next byte is; beyond the end where it does not end."""
    value = shift = 0
    for byte in data[at : at + 10]:
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    return 0, len(data)
