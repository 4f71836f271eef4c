"""Logged rows become tables: one step and one time column, shared by the names logged together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
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

ROW = 4
"""Rows wait end to end in one list: as tuples of their own they would keep the garbage collector busy."""

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


def tables(rows: Sequence[Any]) -> Iterator[Table]:
    """Group rows (end to end) by segment and names, in their order, into tables of bounded size.

    Nearly always all rows are alike; finding that out in C takes a third of grouping them one by one.
    """
    segments, values, steps, times = (rows[field::ROW] for field in range(ROW))
    names = tuple(values[0])
    if len(set(segments)) == 1 and _all_have(names, values) and _are_steps(steps):
        yield from _split(_table(segments[0], names, values, steps, times))
        return
    groups: dict[tuple[Segment, tuple[Any, ...]], tuple[list[dict[Any, float]], list[int], list[int]]] = {}
    for segment, row, step, time in zip(segments, values, steps, times, strict=True):
        for part, number in _numbered(segment.run, row, step):
            group = groups.setdefault((segment, tuple(part)), ([], [], []))
            group[0].append(part)
            group[1].append(number)
            group[2].append(time)
    for (segment, group_names), group in groups.items():
        yield from _split(_table(segment, group_names, *group))


def _all_have(names: tuple[Any, ...], rows: Sequence[dict[Any, float]]) -> bool:
    """Whether the names of all rows, end to end, are these again and again; no row has one twice."""
    return [*chain.from_iterable(rows)] == [*names] * len(rows)


def _are_steps(steps: Sequence[int | None]) -> bool:
    return None not in steps and _is_step(min(steps)) and _is_step(max(steps))  # type: ignore[type-var]


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


def _table(
    segment: Segment,
    names: tuple[Any, ...],
    rows: Sequence[dict[Any, float]],
    steps: Sequence[int],
    times: Sequence[int],
) -> Table:
    import numpy as np

    width = len(names)
    flat = np.fromiter(chain.from_iterable(map(dict.values, rows)), np.float64, len(rows) * width)
    return Table(
        segment=segment,
        names=tuple(map(text, names)),
        step=np.array(steps, np.int64),
        time=np.array(times, np.int64) + segment.clock_offset,
        values=flat.reshape(len(rows), width),
    )


def _split(table: Table) -> Iterator[Table]:
    """By rows, then by columns, so that no span grows beyond what collectors take."""
    rows = max(1, MAX_TABLE_BYTES // (_INDEX_BYTES + _VALUE_BYTES * len(table.names)))
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
