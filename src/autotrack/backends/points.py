"""Points in: tables of them become axes and chunks, and summaries of each metric."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, insert, select

from . import codec, schema
from .incoming import Identity, PointTable
from .sql import intern, rows_by_name, upsert


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
    db: Connection, tables: Sequence[tuple[Identity, PointTable[str]]], runs: dict[str, int]
) -> None:
    """Store tables of points, and what they change in the summaries; `runs` are the runs' keys."""
    names = intern(db, schema.name, dict.fromkeys(n for _, table in tables for n in table.columns))
    summaries: dict[tuple[int, int], Summary] = {}
    pieces = []
    for identity, table in tables:
        run = runs[identity.run]
        by_id = table.renamed(names)
        pieces.append(Piece(run, identity.segment, identity.writer, _digest(table.columns), by_id))
        last = _last_row(table)
        place = CurvePlace(identity.segment, *_place_of(table, last, identity.writer))
        for name, values in table.columns.items():
            summary = _summary(values, last, place)
            if (known := summaries.get((run, names[name]))) is None:
                summaries[run, names[name]] = summary
            else:
                known.merge(summary)
    insert_points(db, pieces)
    _merge_summaries(db, summaries)


def _merge_summaries(db: Connection, summaries: dict[tuple[int, int], Summary]) -> None:
    for key, row in rows_by_name(db, schema.metric, summaries).items():
        summaries[key].merge(_summary_of_row(row))
    upsert(
        db,
        schema.metric,
        [
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
        ],
    )


class Piece(NamedTuple):
    """A table of points and whose it is; `names` is the digest of its names, which are ids in the table."""

    run: int
    segment: int
    writer: str
    names: bytes
    table: PointTable[int]


def insert_points(db: Connection, pieces: Sequence[Piece]) -> None:
    """Each piece as an axis, and a chunk for each name."""
    if not pieces:
        return
    first = (db.scalar(select(func.max(schema.axis.c.id))) or 0) + 1  # ours alone: one process writes
    numbered = list(enumerate(pieces, first))
    db.execute(insert(schema.axis), [_axis_row(number, piece) for number, piece in numbered])
    chunks = [
        {"run": piece.run, "name": name, "axis": number, "points": codec.encode(values)}
        for number, piece in numbered
        for name, values in piece.table.columns.items()
    ]
    db.execute(insert(schema.chunk), chunks)


def _axis_row(number: int, piece: Piece) -> dict[str, Any]:
    table = piece.table
    return {
        "id": number,
        "run": piece.run,
        "segment": piece.segment,
        "writer": piece.writer,
        "first_seq": int(table.seqs.min()),
        "rows": len(table.step),
        "names": piece.names,
        "seqs": codec.encode(_seq_runs(table.seqs)),
        "steps": codec.encode(table.step),
        "times": codec.encode(table.time),
    }


def _digest(names: Iterable[str]) -> bytes:
    joined = "\0".join(sorted(names)).encode("utf-8", "surrogatepass")
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


def _place_of(table: PointTable[str], row: int, writer: str) -> tuple[int, int, str, int]:
    return int(table.step[row]), int(table.time[row]), writer, int(table.seqs[row])


def _summary(values: NDArray[np.float64], last: int, place: CurvePlace) -> Summary:
    finite = values[np.isfinite(values)]
    return Summary(
        count=len(values),
        non_finite=len(values) - len(finite),
        min=float(finite.min()) if len(finite) else None,
        max=float(finite.max()) if len(finite) else None,
        last=float(values[last]),
        place=place,
    )


def _summary_of_row(row: dict[str, Any]) -> Summary:
    place = CurvePlace(*(row[column] for column in CurvePlace._fields))
    last = float("nan") if row["last"] is None else row["last"]
    return Summary(row["points"], row["non_finite"], row["min"], row["max"], last, place)
