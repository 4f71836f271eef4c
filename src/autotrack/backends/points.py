"""Points in: tables of them become axes and chunks, and summaries of each metric."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, insert

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
    for identity, table in tables:
        run = runs[identity.run]
        by_id = table.renamed(names)
        insert_points(db, run, identity.segment, identity.writer, _digest(table.columns), by_id)
        last = _last_row(table)
        place = CurvePlace(identity.segment, *_place_of(table, last, identity.writer))
        for name, values in table.columns.items():
            summary = _summary(values, last, place)
            if (known := summaries.get((run, names[name]))) is None:
                summaries[run, names[name]] = summary
            else:
                known.merge(summary)
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


def insert_points(
    db: Connection, run: int, segment: int, writer: str, names: bytes, table: PointTable[int]
) -> None:
    """A table of points as an axis and a chunk for each name (an id); `names` is their digest."""
    axis = {
        "run": run,
        "segment": segment,
        "writer": writer,
        "first_seq": int(table.seqs.min()),
        "rows": len(table.step),
        "names": names,
        "seqs": codec.encode(_seq_runs(table.seqs)),
        "steps": codec.encode(table.step),
        "times": codec.encode(table.time),
    }
    key = db.execute(insert(schema.axis), axis).inserted_primary_key
    assert key is not None
    db.execute(
        insert(schema.chunk),
        [
            {"run": run, "name": name, "axis": key[0], "points": codec.encode(values)}
            for name, values in table.columns.items()
        ],
    )


def _digest(names: Iterable[str]) -> bytes:
    joined = "\0".join(sorted(names)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).digest()[:8]


def _seq_runs(seqs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of the rows as flat pairs (number, how many rows in a row)."""
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
