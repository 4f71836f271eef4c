"""The runs that a search finds, in its order: how to get at the first of them without looking at all.

- Where one of the conditions leaves few runs, those are taken and sorted.
- Else, where a metric decides the order, its index is followed from the best value on, as far as a
  window: where many runs match, the first are soon found.
- Else all runs are looked at that the narrowest condition leaves; by start, in the order of its index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    and_,
    case,
    false,
    func,
    literal,
    not_,
    select,
    true,
)

from ..backend import Liveness
from ..query import And, Compare, Condition, Entity, Expression, InState, Key, OneOf, Order, Present, Search
from ..query import conditions as all_conditions
from .conditions import Conditions, Given, index_of, run

FEW = 5_000
"""Runs that are sorted in a few milliseconds."""
WINDOW = 100
"""Values of a metric that are looked at for each run that is wanted."""

Terms = Sequence[ColumnElement[Any]]


def find(db: Connection, search: Search, liveness: Liveness, limit: int | None) -> list[int]:
    """The keys of the first runs, in order."""
    return _Finder(db, search, liveness).find(limit)


def count(db: Connection, search: Search, liveness: Liveness) -> int:
    """How many runs there are."""
    return _Finder(db, search, liveness).count()


@dataclass(frozen=True)
class _Source:
    """Where candidates come from: rows of a table, each of another run, whose key is in `of`.

    known: what conditions come to there. exact: they are those that equal something.
    """

    table: FromClause
    of: ColumnElement[int]
    where: ColumnElement[bool]
    known: Given = field(default_factory=dict)
    exact: bool = False


_ALL = _Source(run, run.c.pk, true())


class _Finder:
    def __init__(self, db: Connection, search: Search, liveness: Liveness) -> None:
        self._db = db
        self._where = search.where
        self._order = list(search.order)
        self._conditions = Conditions(db, liveness)

    def count(self) -> int:
        source, _ = self._narrowest()
        table = _with_run(source) if _asks_for_fields(self._where) else source.table
        return self._db.scalar(select(func.count()).select_from(table).where(*self._fits(source))) or 0

    def find(self, limit: int | None) -> list[int]:
        narrowest, few = self._narrowest()
        if few:
            return self._sorted(narrowest, self._order, limit)
        leading = self._order[0].key if self._order else _STARTED
        if leading == _STARTED:
            return self._sorted(_ALL, self._order, limit)
        if leading.entity is Entity.METRIC and limit is not None:
            best = self._best(limit)
            if best is not None:
                return best
        return self._sorted(narrowest, self._order, limit)

    def _narrowest(self) -> tuple[_Source, bool]:
        """The source with the fewest candidates, and whether they are few."""
        sized = [(self._size(source), not source.exact, source) for source in self._sources()]
        size, _, source = min(sized, key=lambda one: one[:2], default=(FEW + 1, True, _ALL))
        return source, size <= FEW

    def _size(self, source: _Source) -> int:
        """How many candidates it has; those beyond `FEW` are not counted."""
        some = select(literal(1)).select_from(source.table).where(source.where).limit(FEW + 1)
        return self._db.scalar(select(func.count()).select_from(some.subquery())) or 0

    def _sources(self) -> Iterator[_Source]:
        """One for each condition that every run must meet and that has an index."""
        musts = _musts(self._where)
        fields = [must for must in musts if _is_indexed_field(must)]
        if fields:
            holds = and_(*(self._conditions.of_field(must) for must in fields))
            yield _Source(run, run.c.pk, holds, dict.fromkeys(fields, true()), exact=True)
        for must in musts:
            if _narrows(must):
                rows = self._conditions.rows(must.key)
                holds = and_(rows.of_key, rows.value.satisfies(must))
                exact = index_of(must) is not None
                yield _Source(rows.table, rows.table.c.run, holds, {must: true()}, exact)

    def _best(self, limit: int) -> list[int] | None:
        """The first runs by a metric, along its index; None where its window does not hold all of them."""
        order, *others = self._order
        rows = self._conditions.rows(order.key)
        last, of = rows.table.c.last, rows.table.c.run
        asked = _asked_of(order.key, self._where)
        known = {condition: rows.value.satisfies(condition) for condition in asked}
        musts = [known[must] for must in _musts(self._where) if must in known]
        values = and_(rows.of_key, last.is_not(None), *musts)
        direction = last.desc() if order.descending else last
        edge = select(last).where(values).order_by(direction).offset(WINDOW * limit).limit(1)
        worst = self._db.scalar(edge)
        if worst is not None:
            values = and_(values, last >= worst if order.descending else last <= worst)
            found = self._sorted(_Source(rows.table, of, values, known), others, limit, [direction])
            return found if len(found) == limit else None
        has_none = not_(select(literal(1)).where(of == run.c.pk, rows.of_key).correlate(run).exists())
        parts = [
            (_Source(rows.table, of, values, known), [direction]),
            (_Source(rows.table, of, and_(rows.of_key, last.is_(None))), []),
            (_Source(run, run.c.pk, has_none, dict.fromkeys(asked, false())), []),
        ]
        found = []
        for source, terms in parts:
            found += self._sorted(source, others, limit - len(found), terms)
        return found

    def _sorted(
        self, source: _Source, order: Sequence[Order], limit: int | None, first: Terms = ()
    ) -> list[int]:
        """The first runs of a source that fit, by the terms `first`, by `order`, by start and by id."""
        tables: FromClause = _with_run(source)
        known = dict(source.known)
        terms: list[ColumnElement[Any]] = list(first)
        for one in order:
            if one.key.entity is Entity.RUN:
                there, value = self._conditions.field(one.key.name)
            else:
                rows = self._conditions.rows(one.key)
                tables = tables.outerjoin(rows.table, and_(rows.table.c.run == source.of, rows.of_key))
                there, value = rows.table.c.run.is_not(None), rows.value
                for asked in _asked_of(one.key, self._where):
                    known.setdefault(asked, func.coalesce(and_(there, value.satisfies(asked)), false()))
            rank, values = value.order()
            if one.key != _STARTED:  # every run has one, and its index is to be used
                terms.append(case((there, rank), else_=_MISSING))
            terms += [term.desc() if one.descending else term for term in values]
        query = select(source.of).select_from(tables).where(*self._fits(replace(source, known=known)))
        return list(self._db.scalars(query.order_by(*terms, *_LATEST_FIRST).limit(limit)))

    def _fits(self, source: _Source) -> list[ColumnElement[bool]]:
        rest = [self._conditions.clause(self._where, source.of, source.known)] if self._where else []
        return [source.where, *rest]


_MISSING = 3
"""The rank of runs without a value, after those of `Value.order`."""
_LATEST_FIRST = (run.c.started.desc(), run.c.id.desc())
_STARTED = Key(Entity.RUN, "started")


def _with_run(source: _Source) -> FromClause:
    """With the row of `run`; `+ 0`, so that the database begins with the source: it was chosen for that."""
    return run if source.table is run else source.table.join(run, run.c.pk == source.of + 0)


def _musts(where: Expression | None) -> list[Condition]:
    """The conditions that every run must meet."""
    operands = where.operands if isinstance(where, And) else (where,)
    return [one for one in operands if isinstance(one, Present | Compare | OneOf)]


def _asked_of(key: Key, where: Expression | None) -> list[Condition]:
    """All conditions on a key, wherever they stand."""
    asked = all_conditions(where) if where else ()
    return [c for c in asked if not isinstance(c, InState) and c.key == key]


def _asks_for_fields(where: Expression | None) -> bool:
    asked = all_conditions(where) if where else ()
    return any(isinstance(c, InState) or c.key.entity is Entity.RUN for c in asked)


def _is_indexed_field(must: Condition) -> bool:
    match must:
        case Compare(Key(Entity.RUN, "started"), comparator):
            return comparator != "!="
        case Compare(Key(Entity.RUN, "id" | "parent" | "experiment"), "="):
            return True
        case OneOf(Key(Entity.RUN, "id" | "parent"), _, False):
            return True
    return False


def _narrows(must: Condition) -> bool:
    """Whether an index leads to the rows of another table that meet it."""
    match must:
        case Compare(_, "!=") | OneOf(_, _, True):
            return False
        case Compare(Key(Entity.METRIC)) | OneOf(Key(Entity.METRIC)) | Present(Key(Entity.METRIC)):
            return True
        case Compare(Key(Entity.PARAM), _, float(value)):
            return value == value
    return index_of(must) is not None
