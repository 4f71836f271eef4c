"""Points in: tables of them become axes and chunks, and summaries of each metric."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, case, func, insert, select, tuple_
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.dialects.sqlite import insert as upsert_insert

from . import codec, schema
from .incoming import Identity, PointTable
from .sql import insert_many, intern


class CurvePlace(NamedTuple):
    """Where a point stands along its curve."""

    segment: int
    step: int
    time: int
    writer: str
    seq: int


@dataclass
class Summary:
    """What is known of a metric of a run; `min` and `max` are None while no value is finite."""

    count: int
    non_finite: int
    min: float | None
    max: float | None
    last: float
    place: CurvePlace

    def merge(self, other: Summary) -> None:
        self.count += other.count
        self.non_finite += other.non_finite
        self.min = min((v for v in (self.min, other.min) if v is not None), default=None)
        self.max = max((v for v in (self.max, other.max) if v is not None), default=None)
        if other.place > self.place:
            self.last, self.place = other.last, other.place


def merge_points(
    db: Connection,
    tables: Sequence[tuple[Identity, PointTable[str]]],
    runs: dict[str, int],
    names: dict[str, int],
) -> None:
    """Store tables of points, and what they change in the summaries.

    runs: their keys. names: the ids that are known by now; the others come to be.
    """
    intern(db, schema.name, dict.fromkeys(n for _, table in tables for n in table.columns), names)
    summaries: dict[tuple[int, int], Summary] = {}
    pieces = []
    for identity, table in tables:
        run = runs[identity.run]
        by_id = table.renamed(names)
        pieces.append(Piece(run, identity.segment, identity.writer, _digest(table.columns), by_id))
        for name, summary in _summaries(table, identity).items():
            if (known := summaries.get((run, names[name]))) is None:
                summaries[run, names[name]] = summary
            else:
                known.merge(summary)
    insert_points(db, pieces)
    _merge_summaries(db, summaries)


def _merge_summaries(db: Connection, summaries: dict[tuple[int, int], Summary]) -> None:
    rows = [
        {
            "run": run,
            "name": name,
            "points": s.count,
            "non_finite": s.non_finite,
            "min": s.min,
            "max": s.max,
            "last": s.last,  # NaN becomes NULL
            **s.place._asdict(),
        }
        for (run, name), s in summaries.items()
    ]
    insert_many(db, _merging(), rows)


@cache
def _merging() -> Insert:
    """`Summary.merge`, in the database: what is not there need not be read."""
    table = schema.metric
    new = upsert_insert(table)
    is_later = tuple_(*(new.excluded[field] for field in CurvePlace._fields)) > tuple_(
        *(table.c[field] for field in CurvePlace._fields)
    )
    of_later = {
        name: case((is_later, new.excluded[name]), else_=table.c[name])
        for name in ("last", *CurvePlace._fields)
    }
    least, most = (
        func.coalesce(pick(table.c[name], new.excluded[name]), table.c[name], new.excluded[name])
        for name, pick in (("min", func.min), ("max", func.max))
    )
    sums = {name: table.c[name] + new.excluded[name] for name in ("points", "non_finite")}
    return new.on_conflict_do_update(
        index_elements=["run", "name"], set_={**sums, "min": least, "max": most, **of_later}
    )


class Piece(NamedTuple):
    """A table of points and whose it is; `names` is the digest of its names, which are ids in the table."""

    run: int
    segment: int
    writer: str
    names: bytes
    table: PointTable[int]


SMALL = 1 << 14
"""Values of a table that is one row, until it is merged with others."""
_LAST_AXIS = select(func.max(schema.axis.c.id))
_NEW_AXIS, _NEW_CHUNK = insert(schema.axis), insert(schema.chunk)


def insert_points(db: Connection, pieces: Iterable[Piece]) -> None:
    """Pieces as they come: small ones as a row each, which takes a third of the time of their chunks.

    Compaction puts them together.
    """
    small: list[Piece] = []
    large: list[Piece] = []
    for piece in pieces:
        values = len(piece.table.step) * len(piece.table.columns)
        (small if values <= SMALL else large).append(piece)
    insert_many(db, _NEW_AXIS, [_small_row(number, piece) for number, piece in _numbered(db, small)])
    insert_chunks(db, large)


def insert_chunks(db: Connection, pieces: Iterable[Piece]) -> None:
    """Each piece as an axis, and a chunk for each name."""
    numbered = _numbered(db, pieces)
    insert_many(db, _NEW_AXIS, [_axis_row(number, piece, codec.encode) for number, piece in numbered])
    chunks = [
        {"run": piece.run, "name": name, "axis": number, "points": codec.encode(values)}
        for number, piece in numbered
        for name, values in piece.table.columns.items()
    ]
    insert_many(db, _NEW_CHUNK, chunks)


def _numbered(db: Connection, pieces: Iterable[Piece]) -> list[tuple[int, Piece]]:
    """With the keys of their axes."""
    if not (some := list(pieces)):
        return []
    first = (db.scalar(_LAST_AXIS) or 0) + 1  # ours alone: one process writes
    return list(enumerate(some, first))


def _small_row(number: int, piece: Piece) -> dict[str, Any]:
    row = _axis_row(number, piece, codec.encode_raw)
    return row | {"columns": codec.encode_columns(piece.table.columns)}


def _axis_row(number: int, piece: Piece, encode: Callable[[NDArray[np.int64]], bytes]) -> dict[str, Any]:
    table = piece.table
    return {
        "id": number,
        "run": piece.run,
        "segment": piece.segment,
        "writer": piece.writer,
        "first_seq": int(table.seqs.min()),
        "rows": len(table.step),
        "names": piece.names,
        "seqs": encode(_seq_runs(table.seqs)),
        "steps": encode(table.step),
        "times": encode(table.time),
    }


def _digest(names: Iterable[str]) -> bytes:
    """NUL parts the names: one inside a name is a byte there that no text has."""
    joined = b"\0".join(
        [name.encode("utf-8", "surrogatepass").replace(b"\0", b"\xff") for name in sorted(names)]
    )
    return hashlib.sha256(joined).digest()[:8]


def _seq_runs(seqs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of the rows as flat pairs (number, how many rows in a row)."""
    if len(seqs) == 1 or (seqs == seqs[0]).all():  # as they come; only merged ones have several
        return np.array([seqs[0], len(seqs)])
    starts = np.flatnonzero(np.diff(seqs, prepend=seqs[0] - 1))
    return np.stack([seqs[starts], np.diff(starts, append=len(seqs))], axis=1).ravel()


def _last_row(table: PointTable[str]) -> int:
    """The row that is last along the curve; of equal ones the later row."""
    return int(np.lexsort((table.seqs, table.time, table.step))[-1])


def _summaries(table: PointTable[str], identity: Identity) -> dict[str, Summary]:
    """Of all columns at once: numpy's calls take longer than what they do to a small table."""
    last = _last_row(table)
    at = int(table.step[last]), int(table.time[last]), identity.writer, int(table.seqs[last])
    place = CurvePlace(identity.segment, *at)
    values = np.array([*table.columns.values()])
    rows = values.shape[1]
    is_finite = np.isfinite(values)
    if is_finite.all():  # as a rule; `where` takes ten times as long
        finite, least, most = np.full(len(values), rows), values.min(axis=1), values.max(axis=1)
    else:
        finite = is_finite.sum(axis=1)
        least = np.min(values, axis=1, where=is_finite, initial=np.inf)
        most = np.max(values, axis=1, where=is_finite, initial=-np.inf)
    facts = zip(finite.tolist(), least.tolist(), most.tolist(), values[:, last].tolist(), strict=True)
    return {
        name: Summary(rows, rows - n, low if n else None, high if n else None, value, place)
        for name, (n, low, high, value) in zip(table.columns, facts, strict=True)
    }
