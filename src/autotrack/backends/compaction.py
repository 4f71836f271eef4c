"""Small tables of points become large ones: the same rows, fewer and smaller pieces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, delete, select

from . import codec, schema
from .incoming import PointTable
from .points import Piece, insert_points
from .sql import in_parts

FULL = 4096
"""Rows of a table that is left alone; smaller ones are merged up to about this size."""
WORTH_IT = 32
"""Small tables of one kind that a run may have before they are merged while it is running."""

Key = tuple[int, int, str, bytes]
"""run, segment, writer and set of names: only tables that agree in these are merged."""


def compact(db: Connection, runs: Iterable[str]) -> bool:
    """Merge what is worth merging in these runs; True if anything was."""
    groups = [group for some in in_parts(runs) for group in _small_tables(db, some) if _is_worth_it(group)]
    for group in groups:
        for part in _up_to_full(group):
            if len(part) > 1:
                _merge(db, part)
    return bool(groups)


def _small_tables(db: Connection, runs: list[str]) -> list[list[Row[Any]]]:
    """The small tables that agree in `Key`, by their numbers."""
    axis = schema.axis
    ended = schema.run.c.ended.is_not(None).label("run_ended")
    query = (
        select(axis, ended)
        .join(schema.run, schema.run.c.pk == axis.c.run)
        .where(schema.run.c.id.in_(runs), axis.c.rows < FULL)
        .order_by(axis.c.first_seq)
    )
    groups: dict[Key, list[Row[Any]]] = defaultdict(list)
    for row in db.execute(query):
        groups[row.run, row.segment, row.writer, row.names].append(row)
    return list(groups.values())


def _is_worth_it(group: list[Row[Any]]) -> bool:
    return len(group) >= WORTH_IT or (len(group) > 1 and group[0].run_ended)


def _up_to_full(group: list[Row[Any]]) -> list[list[Row[Any]]]:
    parts: list[list[Row[Any]]] = [[]]
    rows = 0
    for row in group:
        if rows >= FULL:
            parts.append([])
            rows = 0
        parts[-1].append(row)
        rows += row.rows
    return parts


def _merge(db: Connection, axes: list[Row[Any]]) -> None:
    """One table in place of several."""
    ids = [axis.id for axis in axes]
    columns = _columns(db, ids)
    table = PointTable(
        step=np.concatenate([codec.decode_ints(axis.steps) for axis in axes]),
        time=np.concatenate([codec.decode_ints(axis.times) for axis in axes]),
        seqs=np.concatenate([row_seqs(axis.seqs) for axis in axes]),
        columns={name: np.concatenate([parts[i] for i in ids]) for name, parts in columns.items()},
    )
    for some in in_parts(ids):
        db.execute(delete(schema.chunk).where(schema.chunk.c.axis.in_(some)))
        db.execute(delete(schema.axis).where(schema.axis.c.id.in_(some)))
    first = axes[0]
    insert_points(db, [Piece(first.run, first.segment, first.writer, first.names, table)])


def _columns(db: Connection, axes: list[int]) -> dict[int, dict[int, Any]]:
    """Values by name's id and axis."""
    columns: dict[int, dict[int, Any]] = defaultdict(dict)
    for some in in_parts(axes):
        for row in db.execute(select(schema.chunk).where(schema.chunk.c.axis.in_(some))):
            columns[row.name][row.axis] = codec.decode_floats(row.points)
    return columns


def row_seqs(data: bytes) -> Any:
    """The number of each row, from an axis's pairs."""
    pairs = codec.decode_ints(data).reshape(-1, 2)
    return np.repeat(pairs[:, 0], pairs[:, 1])
