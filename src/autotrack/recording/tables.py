"""Logged rows become tables: one step and one time column, shared by the names logged together."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from math import ceil
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from .values import INT64_MAX, INT64_MIN, text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .run import ActiveRun
    from .segments import Segment

# numpy is imported inside the functions: they run in the flusher, and enable() stays light.

Row = tuple["Segment", dict[Any, float], int | None, int]
"""What one `log` call says: segment, values, step, perf_counter_ns."""

_Key = tuple["Segment", tuple[Any, ...]]
"""What the rows of a table have in common: segment and names."""

ROW = 4
"""Rows wait end to end in one list: as tuples of their own they would keep the garbage collector busy."""
PIECE = 1000 * ROW
"""Items that are read at a time: what they consist of stays in the processor's cache until it is let go."""
MAX_TABLE_BYTES = 3 << 20
_VALUE_BYTES = 11  # a double in an OTLP array
_INDEX_BYTES = 22  # step and time of a row
_COLUMN_BYTES = 48  # attribute key and lengths, beside the name


@dataclass(frozen=True)
class Table:
    """Points of one segment whose names were logged together: `values` has a row per call."""

    segment: Segment
    names: tuple[str, ...]
    step: NDArray[np.int64]
    time: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.step)


@dataclass(slots=True)
class _Columns:
    """Rows of one segment and the same names: native int64 and doubles, in pieces."""

    step: list[bytes] = field(default_factory=list)
    time: list[bytes] = field(default_factory=list)
    values: list[list[bytes]] = field(default_factory=list)
    """Of each piece a column for each name."""

    def add(
        self,
        names: tuple[Any, ...],
        rows: Sequence[dict[Any, float]],
        steps: Sequence[Any],
        times: Sequence[int],
    ) -> None:
        """Raises KeyError for a row without one of the names, `struct.error` for a step that is no int64."""
        columns = [_packed("d", map(itemgetter(name), rows), len(rows)) for name in names]
        step, time = _packed("q", steps, len(rows)), _packed("q", times, len(rows))
        self.values.append(columns)
        self.step.append(step)
        self.time.append(time)

    def table(self, segment: Segment, names: tuple[Any, ...]) -> Table:
        """All rows so far."""
        import numpy as np

        step = np.frombuffer(b"".join(self.step), np.int64)
        columns = b"".join(chain.from_iterable(zip(*self.values, strict=True)))
        return Table(
            segment=segment,
            names=tuple(map(text, names)),
            step=step,
            time=np.frombuffer(b"".join(self.time), np.int64) + segment.clock_offset,
            values=np.frombuffer(columns).reshape(len(names), len(step)).T,
        )


class Gathered:
    """Rows, by segment and names, that become tables."""

    def __init__(self) -> None:
        self._groups: defaultdict[_Key, _Columns] = defaultdict(_Columns)

    def add(self, rows: Sequence[Any]) -> None:
        """Rows, end to end.

        Nearly always all are alike, and have steps: then each column is read without a look at each row.
        """
        segments, values, steps, times = (rows[place::ROW] for place in range(ROW))
        if self._add_if_alike(segments, values, steps, times):
            return
        groups: dict[_Key, tuple[list[dict[Any, float]], list[int], list[int]]] = {}
        for segment, row, step, time in zip(segments, values, steps, times, strict=True):
            for part, number in _numbered(segment.run, row, step):
                group = groups.setdefault((segment, tuple(part)), ([], [], []))
                group[0].append(part)
                group[1].append(number)
                group[2].append(time)
        for (segment, names), group in groups.items():
            self._groups[segment, names].add(names, *group)

    def _add_if_alike(
        self,
        segments: Sequence[Segment],
        rows: Sequence[dict[Any, float]],
        steps: Sequence[Any],
        times: Sequence[int],
    ) -> bool:
        """Whether all rows have the same segment and names, and an int64 for a step."""
        names = tuple(rows[0])
        if segments.count(segments[0]) < len(segments) or {*map(len, rows)} != {len(names)}:
            return False
        try:
            self._groups[segments[0], names].add(names, rows, steps, times)
        except (KeyError, struct.error):  # another name, or no such step
            return False
        return True

    def groups(self) -> Iterator[Callable[[], Iterator[Table]]]:
        """What makes the tables of each segment and names, in the order in which these were first seen."""
        for (segment, names), columns in self._groups.items():
            if columns.step:
                yield partial(_tables, segment, names, columns)


def _tables(segment: Segment, names: tuple[Any, ...], columns: _Columns) -> Iterator[Table]:
    return _split(columns.table(segment, names))


def _is_step(step: int | None) -> bool:
    return step is not None and INT64_MIN <= step <= INT64_MAX


def _numbered(run: ActiveRun, row: dict[Any, float], step: int | None) -> list[tuple[dict[Any, float], int]]:
    """The row with its step; without one, names get their counts, and part ways where these differ."""
    if _is_step(step):
        return [(row, cast(int, step))]
    if step is not None:
        run.refuse_step(f"step {step} is outside int64")
    counts = run.counts
    parts: dict[int, dict[Any, float]] = {}
    for name, value in row.items():
        number = counts.get(name, 0)
        counts[name] = number + 1
        parts.setdefault(number, {})[name] = value
    return [(part, number) for number, part in parts.items()]


def _packed(form: str, values: Iterable[Any], count: int) -> bytes:
    """Native doubles ("d") or int64 ("q"): twice as fast as numpy makes an array of Python's numbers."""
    return struct.pack(f"{count}{form}", *values)


def _split(table: Table) -> Iterator[Table]:
    """By rows, then by columns, so that no span grows beyond what collectors take."""
    most = max(1, MAX_TABLE_BYTES // (_INDEX_BYTES + _VALUE_BYTES * len(table.names)))
    rows = ceil(len(table) / ceil(len(table) / most))  # alike: a small rest would be merged with other rests
    for top in range(0, len(table), rows):
        part = slice(top, top + rows)
        for left, right in _column_ranges(table.names, min(rows, len(table) - top)):
            yield Table(
                table.segment,
                table.names[left:right],
                table.step[part],
                table.time[part],
                table.values[part, left:right],
            )


def _column_ranges(names: tuple[str, ...], rows: int) -> Iterator[tuple[int, int]]:
    left, size = 0, 0
    for i, name in enumerate(names):
        width = len(name) * 2 + _COLUMN_BYTES + rows * _VALUE_BYTES
        if size + width > MAX_TABLE_BYTES and i > left:
            yield left, i
            left, size = i, 0
        size += width
    yield left, len(names)
