"""What SQL needs again and again: long lists in parts, upserts, names to ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Table, insert, select, tuple_
from sqlalchemy import Insert as StandardInsert
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.dialects.sqlite import insert as upsert_insert

T = TypeVar("T")

_AT_ONCE = (64, 8, 1)
"""Rows of one INSERT: few numbers, as each is a statement that the driver keeps."""
PARAMETERS = 999
"""Of a statement: older versions of SQLite take no more."""
IN_LIST = 400
"""Values, or pairs of them, in one IN list."""


def in_parts(values: Iterable[T], size: int = IN_LIST) -> Iterator[list[T]]:
    """`values` in lists of at most `size`."""
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part


def lookup(db: Connection, by: Any, column: Any, keys: Iterable[Any]) -> dict[Any, Any]:
    """`column` of the rows whose `by` is one of `keys`."""
    found: dict[Any, Any] = {}
    for some in in_parts(keys):
        found.update((row[0], row[1]) for row in db.execute(select(by, column).where(by.in_(some))))
    return found


def intern(db: Connection, table: Table, names: Iterable[str], known: dict[str, int]) -> None:
    """Add to `known` the ids of `names` in a table of names, which are made if need be."""
    missing = [name for name in names if name not in known]
    known.update(lookup(db, table.c.name, table.c.id, missing))
    new = [name for name in missing if name not in known]
    if new:
        db.execute(insert(table), [{"name": name} for name in new])
        known.update(lookup(db, table.c.name, table.c.id, new))


def rows_by_name(
    db: Connection, table: Table, keys: Iterable[tuple[int, Any]]
) -> dict[tuple[int, Any], dict[str, Any]]:
    """Rows of a table keyed by (run, name)."""
    key = tuple_(table.c.run, table.c.name)
    return {
        (row["run"], row["name"]): dict(row)
        for some in in_parts(keys)
        for row in db.execute(select(table).where(key.in_(some))).mappings()
    }


def upsert(db: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows, or put them in the place of those with the same primary key."""
    insert_many(db, _replacing(table), rows)


def insert_many(db: Connection, statement: StandardInsert, rows: Iterable[dict[str, Any]]) -> None:
    """Run an INSERT for rows that have the same columns, whose values the driver takes as they are.

    What SQLAlchemy does for each row would take a third of a write. The statement is one that is kept. It
    takes many rows at once: the driver lets go of the interpreter for each one that it runs.
    """
    rows = list(rows)
    if not rows:
        return
    sql, names = _compiled(statement, tuple(rows[0]), db.dialect)
    values = [tuple(map(row.__getitem__, names)) for row in rows]
    done = 0
    for size in _AT_ONCE:
        if size * len(names) > PARAMETERS:
            continue
        until = len(values) - (len(values) - done) % size
        parts = [tuple(chain.from_iterable(values[at : at + size])) for at in range(done, until, size)]
        if parts:
            db.exec_driver_sql(_for_rows(sql, len(names), size), parts)
        done = until


@cache
def _compiled(
    statement: StandardInsert, columns: tuple[str, ...], dialect: Dialect
) -> tuple[str, Sequence[str]]:
    compiled = statement.compile(dialect=dialect, column_keys=list(columns))
    return compiled.string, compiled.positiontup or ()


@cache
def _for_rows(sql: str, columns: int, rows: int) -> str:
    """The INSERT of one row for so many."""
    one = f"({', '.join('?' * columns)})"
    assert sql.count(f" VALUES {one}") == 1, sql
    return sql.replace(f" VALUES {one}", f" VALUES {', '.join([one] * rows)}")


@cache
def _replacing(table: Table) -> Insert:
    """Made once: to put a statement together takes longer than to run it."""
    new = upsert_insert(table)
    key = [column.name for column in table.primary_key]
    others = {c.name: new.excluded[c.name] for c in table.c if c.name not in key}
    return new.on_conflict_do_update(index_elements=key, set_=others)
