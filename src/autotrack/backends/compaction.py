"""Small tables of points become large ones: the same rows, fewer and smaller pieces."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, Row, delete, select

from . import codec, schema
from .incoming import PointTable
from .points import Piece, insert_chunks
from .sql import in_parts

FULL = 4096
"""Rows of a table that is left alone; smaller ones are merged up to about this size."""
WORTH_IT = 32
"""Small tables of one kind that a run may have before they are merged while it is running."""

MANY = 1000
"""Tables that are a row each which a run may have: a curve is looked for in all of them."""

Key = tuple[int, int, str, bytes]
"""run, segment, writer and set of names: only tables that agree in these are merged."""


class Small(NamedTuple):
    """An axis that is not full. has_columns: its values are with it, not in chunks."""

    id: int
    rows: int
    has_columns: bool
    run_ended: bool


RUNS_AT_ONCE = 50
"""Whose small tables are looked for together."""


def compact(db: Connection, runs: Iterable[str], end: float) -> set[str]:
    """Merge what is worth merging in these runs until `end`, monotonic seconds; those that are done.

    Each call gets somewhere: at least one table is made, or some of the runs are done.
    """
    worked, done = False, set[str]()
    for some in in_parts(runs, RUNS_AT_ONCE):
        for tables in _worth_merging(db, some):
            if worked and time.monotonic() > end:
                return done
            _merge(db, tables)
            worked = True
        done.update(some)
        if time.monotonic() > end:
            break
    return done


def _worth_merging(db: Connection, runs: list[str]) -> Iterator[list[int]]:
    """Ids of tables that become one, in the order of their numbers."""
    groups = _small_tables(db, runs)
    crowds = Counter(run for (run, *_), group in groups.items() for table in group if table.has_columns)
    for key, group in groups.items():
        if _is_worth_it(group, crowds[key[0]]):
            for part in _up_to_full(group):
                if len(part) > 1 or part[0].has_columns:
                    yield [table.id for table in part]


def _small_tables(db: Connection, runs: list[str]) -> dict[Key, list[Small]]:
    """The small tables, by their numbers; what is in them may be more than memory."""
    axis = schema.axis
    has_columns = axis.c.columns.is_not(None)
    query = (
        select(axis.c.run, axis.c.segment, axis.c.writer, axis.c.names)
        .add_columns(axis.c.id, axis.c.rows, has_columns, schema.run.c.ended.is_not(None))
        .join(schema.run, schema.run.c.pk == axis.c.run)
        .where(schema.run.c.id.in_(runs), (axis.c.rows < FULL) | has_columns)
        .order_by(axis.c.first_seq)
    )
    groups: dict[Key, list[Small]] = defaultdict(list)
    for run, segment, writer, names, *facts in db.execute(query):
        groups[run, segment, writer, names].append(Small(*facts))
    return groups


def _is_worth_it(group: list[Small], crowd: int) -> bool:
    """crowd: how many tables of its run have columns."""
    if len(group) >= WORTH_IT or sum(table.rows for table in group) >= FULL:
        return True
    if not group[0].run_ended and crowd <= MANY:
        return False
    is_alone_worth_it = group[0].has_columns and (group[0].rows >= codec.FEW or crowd > MANY)
    return len(group) > 1 or is_alone_worth_it


def _up_to_full(group: list[Small]) -> list[list[Small]]:
    parts: list[list[Small]] = [[]]
    rows = 0
    for table in group:
        if rows >= FULL:
            parts.append([])
            rows = 0
        parts[-1].append(table)
        rows += table.rows
    return parts


def _merge(db: Connection, ids: list[int]) -> None:
    """One table in place of several, which `ids` names in the order of their numbers.

    More than one where their names differ: older stores took some that hold NUL for the same.
    """
    found = {
        row.id: row
        for some in in_parts(ids)
        for row in db.execute(select(schema.axis).where(schema.axis.c.id.in_(some)))
    }
    columns = _columns(db, list(found.values()))
    alike: dict[tuple[int, ...], list[Row[Any]]] = defaultdict(list)
    for number in ids:
        alike[tuple(sorted(columns[number]))].append(found[number])
    for axes in alike.values():
        _replace(db, axes, columns)


def _replace(db: Connection, axes: list[Row[Any]], columns: dict[int, dict[int, Any]]) -> None:
    table = PointTable(
        step=np.concatenate([codec.decode_ints(axis.steps) for axis in axes]),
        time=np.concatenate([codec.decode_ints(axis.times) for axis in axes]),
        seqs=np.concatenate([row_seqs(axis.seqs) for axis in axes]),
        columns={
            name: np.concatenate([columns[axis.id][name] for axis in axes]) for name in columns[axes[0].id]
        },
    )
    for some in in_parts(axis.id for axis in axes):
        db.execute(delete(schema.chunk).where(schema.chunk.c.axis.in_(some)))
        db.execute(delete(schema.axis).where(schema.axis.c.id.in_(some)))
    first = axes[0]
    insert_chunks(db, [Piece(first.run, first.segment, first.writer, first.names, table)])


def _columns(db: Connection, axes: list[Row[Any]]) -> dict[int, dict[int, Any]]:
    """Values by axis and name's id."""
    columns: dict[int, dict[int, Any]] = defaultdict(dict)
    for axis in axes:
        if axis.columns is not None:
            columns[axis.id] = codec.decode_columns(axis.columns, axis.rows)
    for some in in_parts(axis.id for axis in axes if axis.columns is None):
        for row in db.execute(select(schema.chunk).where(schema.chunk.c.axis.in_(some))):
            columns[row.axis][row.name] = codec.decode_floats(row.points)
    return columns


def row_seqs(data: bytes) -> Any:
    """The number of each row, from an axis's pairs."""
    pairs = codec.decode_ints(data).reshape(-1, 2)
    return np.repeat(pairs[:, 0], pairs[:, 1])
