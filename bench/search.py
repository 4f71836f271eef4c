"""Search: `metrics.acc > x and params.lr = y`, ordered by a metric, in stores of 100,000 and 1,000,000 runs.

One run is recorded and drained as ever; the store's rows of it are then multiplied, with values of
their own. Its curves and its machine's facts, which no such search reads, are left out.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from contextlib import closing
from statistics import median
from typing import Any

from _common import child, report, temporary_home

SIZES = {"100k": 100_000, "1M": 1_000_000}
TARGET_MS = {"100k": 50.0, "1M": 200.0}
REPEATS = 15
LIMIT = 100
FILTERS = {
    "half of the runs match": "metrics.acc > 0.0005 and params.lr = 0.1",
    "one in twenty": "metrics.acc > 0.5 and params.lr = 0.01",
    "one in ten thousand": "metrics.acc > 0.9 and params.seed = 77",
    "none": "metrics.acc > 0.5 and params.lr = 3",
}
WORST = {"half match, none of the best": "metrics.acc > 0.0005 and params.model = 'poor'"}
"""Measured to be known: the metric's index is of no use where its best values belong to other runs."""
ORDER = "metrics.acc desc"

_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
_ACC = "((i * 2654435761) % 1000003) / 1000003.0"
_VALUES = {
    "lr": "CASE WHEN i % 10 < 5 THEN 0.1 WHEN i % 10 < 6 THEN 0.01 ELSE 0.001 END",
    "seed": "(i / 7) % 1000",
    "model": f"CASE WHEN {_ACC} < 0.5 THEN 'poor' ELSE 'good' END",
}


def main() -> None:
    for size, runs in SIZES.items():
        with temporary_home() as (folder, env):
            child(__file__, "record", folder=folder, env=env)
            multiply(str(folder / "runs.db"), runs)
            found = child(__file__, "search", folder=folder, env=env)
            size_mb = (folder / "runs.db").stat().st_size / 1e6
        report(
            f"search_{size}",
            f"ms: the first {LIMIT} runs by a metric, and their exact number",
            {name: times["search"] for name, times in found.items()},
            TARGET_MS[size],
            total={name: times["total"] for name, times in found.items()},
            matches={name: times["matches"] for name, times in found.items()},
            store_mb=size_mb,
            n=REPEATS,
            ok=all(found[name]["search"] <= TARGET_MS[size] for name in FILTERS),
        )


def record() -> None:
    """One run, in the store."""
    import autotrack

    params = {"lr": 0.1, "seed": 0, "model": "good"}
    with autotrack.run("baseline", params=params, tags={"team": "vision"}):
        autotrack.log({"acc": 0.5, "loss": 0.7})
    print(len(autotrack.runs()))


def search() -> None:
    """Median times in milliseconds of whole calls of `autotrack.runs`, in one process."""
    import autotrack

    found: dict[str, Any] = {}
    for name, text in {**FILTERS, **WORST}.items():
        times, totals = [], []
        for _ in range(REPEATS):
            start = time.perf_counter()
            runs = autotrack.runs(text, order_by=ORDER, limit=LIMIT)
            searched = time.perf_counter()
            matches = runs.total
            times.append((searched - start) * 1e3)
            totals.append((time.perf_counter() - searched) * 1e3)
        found[name] = {"search": median(times), "total": median(totals), "matches": matches}
    print(json.dumps(found))


def multiply(path: str, runs: int) -> None:
    """Rows like those of the one run, as many times."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous=OFF")
        first = dict(
            zip(("pk", "started"), db.execute("SELECT pk, started FROM run").fetchone(), strict=True)
        )
        given = {"pk": f"{first['pk']} + i", "id": "printf('%032x', i)"}
        given |= {time: f"{time} + i * 1000000000" for time in ("started", "ended")}
        _copy(db, "run", runs, given)
        for name, value in _VALUES.items():
            number = "NULL" if name == "model" else value
            _copy(
                db, "param", runs,
                {"run": f"{first['pk']} + i", "value": f"json_quote({value})", "number": number},
                f"name = '{name}'",
            )  # fmt: skip
        _copy(db, "tag", runs, {"run": f"{first['pk']} + i"})
        _copy(db, "metric", runs, {"run": f"{first['pk']} + i", "last": _ACC, "min": _ACC, "max": _ACC})
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _copy(db: sqlite3.Connection, table: str, runs: int, given: dict[str, str], where: str = "1") -> None:
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(given.get(column, f'"{column}"') for column in columns)
    db.execute(
        f"INSERT INTO {table} {_NUMBERS} SELECT {values} FROM (SELECT * FROM {table} WHERE {where}), n",
        (runs,),
    )


if __name__ == "__main__":
    {"record": record, "search": search}.get(sys.argv[-1], main)()
