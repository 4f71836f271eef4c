"""Points in time as a person writes them in a filter: each is a span of time, as long as it is exact."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

_FIRST, _LAST = -(2**63), 2**63 - 1
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"-(\d{1,9})\s*([smhdw])")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MINUTE = re.compile(r"[T ]\d\d:\d\d(?![:\d])")
_SECOND = re.compile(r"[T ]\d\d:\d\d:\d\d(?![.\d])")

FORMS = "'2026-11-01', '2026-11-01 14:30', '-7d' or milliseconds since 1970"


class Span(NamedTuple):
    """From `low` up to, not including, `high`; unix ns."""

    low: int
    high: int


def of_milliseconds(number: str) -> Span:
    """The millisecond, as MLflow has times. Raises ValueError where it is no number of them."""
    value = Decimal(number)
    if not value.is_finite():
        raise ValueError(number)
    low = int(value * 1_000_000)
    return _within(low, low + 1_000_000)


def of_text(text: str, now: int) -> Span:
    """A day, minute, second or part of one as ISO 8601 has it, in local time unless it says otherwise;
    or what "-7d" is at `now` (unix ns), in s, m, h, d or w. Raises ValueError."""
    text = text.strip()
    if ago := _AGO.fullmatch(text):
        low = now - int(ago[1]) * _SECONDS[ago[2]] * 1_000_000_000
        return _within(low, low + 1)
    if not _DATE.match(text):
        raise ValueError(text)
    start = datetime.fromisoformat(text)
    try:
        return _within(_ns(start), _ns(start + _length(text)))
    except OverflowError:
        raise ValueError(text) from None


def _length(text: str) -> timedelta:
    if _DATE.fullmatch(text):
        return timedelta(days=1)
    if _MINUTE.search(text):
        return timedelta(minutes=1)
    return timedelta(seconds=1) if _SECOND.search(text) else timedelta(microseconds=1)


def _ns(moment: datetime) -> int:
    """A datetime without a time zone is local, so a day that the clocks change has 23 or 25 hours."""
    seconds = moment.replace(microsecond=0).timestamp()
    return int(seconds) * 1_000_000_000 + moment.microsecond * 1000


def _within(low: int, high: int) -> Span:
    """Clipped to what a store can hold."""
    return Span(*(min(max(bound, _FIRST), _LAST) for bound in (low, high)))
