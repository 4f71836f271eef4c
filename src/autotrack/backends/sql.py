"""What SQL needs again and again: long lists in parts, upserts, names to ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, insert, select, tuple_
from sqlalchemy.dialects.sqlite import insert as upsert_insert

T = TypeVar("T")

IN_LIST = 500
"""Values in one IN list: well below every database's limit on bound parameters."""


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


def intern(db: Connection, table: Table, names: Iterable[str]) -> dict[str, int]:
    """The ids of `names` in a table of names, which are made if need be."""
    names = list(names)
    known = lookup(db, table.c.name, table.c.id, names)
    missing = [name for name in names if name not in known]
    if missing:
        db.execute(insert(table), [{"name": name} for name in missing])
        known |= lookup(db, table.c.name, table.c.id, missing)
    return known


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
    rows = list(rows)
    if rows:
        new = upsert_insert(table)
        key = [column.name for column in table.primary_key]
        others = {c.name: new.excluded[c.name] for c in table.c if c.name not in key}
        db.execute(new.on_conflict_do_update(index_elements=key, set_=others), rows)
