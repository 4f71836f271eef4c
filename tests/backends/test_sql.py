"""Many rows of one INSERT do what each of them would do alone."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import create_engine, select

from autotrack.backends import points, schema, sql

METRIC = schema.metric


def rows(count: int) -> list[dict[str, Any]]:
    """Some are of the same metric, and some of them have no finite value."""
    chance = random.Random(count)
    return [
        {
            "run": chance.randrange(3),
            "name": chance.randrange(count),
            "points": 1,
            "non_finite": number % 2,
            "min": None if number % 2 else chance.random(),
            "max": None if number % 2 else chance.random(),
            "last": chance.choice([None, chance.random()]),
            "segment": 1,
            "step": chance.randrange(5),
            "time": number,
            "writer": "a" * 16,
            "seq": number,
        }
        for number in range(count)
    ]


def stored(parts: list[list[dict[str, Any]]]) -> list[Any]:
    engine = create_engine("sqlite://")
    METRIC.create(engine)
    with engine.begin() as db:
        for part in parts:
            sql.insert_many(db, points._merging(), part)
        return list(db.execute(select(METRIC).order_by(METRIC.c.run, METRIC.c.name)))


@pytest.mark.parametrize("count", [1, 7, 8, 9, 64, 65, 72, 200])
def test_rows_at_once_and_one_by_one(count: int) -> None:
    found = rows(count)
    assert stored([found]) == stored([[row] for row in found])


def test_a_statement_has_no_more_parameters_than_any_sqlite_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = sql._for_rows
    monkeypatch.setattr(
        sql,
        "_for_rows",
        lambda text, columns, many: asked.append(columns * many) or real(text, columns, many),
    )
    monkeypatch.setattr(sql, "PARAMETERS", 100)
    assert stored([rows(200)]) == stored([[row] for row in rows(200)])
    assert max(asked) == 96
