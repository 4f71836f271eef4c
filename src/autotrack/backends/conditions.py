"""A search's tree in SQL: bound clauses over a run, each of them true or false, never NULL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Table,
    and_,
    case,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)

from ..backend import BEATS_MISSED, Liveness
from ..query import And, Compare, Condition, Entity, Expression, InState, Key, Not, OneOf, Or, Present
from ..states import State
from . import schema
from .values import Clause, Number, Scalar, Text, Value, are_short

Given = Mapping[Condition, Clause]
"""Conditions of which it is known in a query what they come to."""

run = schema.run
_TABLES: dict[Entity, Table] = {
    Entity.METRIC: schema.metric,
    Entity.PARAM: schema.param,
    Entity.TAG: schema.tag,
    Entity.ATTRIBUTE: schema.attribute,
    Entity.DATASET: schema.dataset,
}
MOST_PROBES = 20
"""Values of a list that are looked up one by one."""
_OPEN = frozenset({State.RUNNING, State.IDLE, State.LOST})
"""What a run can be that has no final state."""


@dataclass(frozen=True)
class Rows:
    """Where runs' values of a key stand: rows of a table that are `of_key`; their `run` says whose."""

    table: FromClause
    of_key: Clause
    value: Value


class Conditions:
    """Makes clauses for the store of `db`, as seen by a reader who knows `liveness`.

    In each method `of` is the column that has the run's key: the row of `run` itself need not be there
    unless the tree asks for its fields.
    """

    def __init__(self, db: Connection, liveness: Liveness) -> None:
        self._db = db
        self._liveness = liveness

    def clause(self, expression: Expression, of: ColumnElement[Any], given: Given) -> Clause:
        """Whether a run satisfies the expression."""
        match expression:
            case And(operands):
                return and_(*(self.clause(operand, of, given) for operand in operands))
            case Or(operands):
                return or_(*(self.clause(operand, of, given) for operand in operands))
            case Not(operand):
                return not_(self.clause(operand, of, given))
            case InState(states):
                return self._in_state(states)
            case condition if condition in given:
                return given[condition]
            case condition if condition.key.entity is Entity.RUN:
                return self.of_field(condition)
            case condition:
                rows = self.rows(condition.key)
                there = select(literal(1)).select_from(rows.table).where(rows.table.c.run == of, rows.of_key)
                if index := index_of(condition):
                    there = there.with_hint(rows.table, f"INDEXED BY {index}", "sqlite")
                return there.where(rows.value.satisfies(condition)).correlate(of.table).exists()

    def rows(self, key: Key) -> Rows:
        """Where the values of a key stand that is no field of `run`."""
        table = _TABLES[key.entity].alias()
        match key.entity:
            case Entity.METRIC:
                name = self._id(schema.name, key.name)
                return Rows(table, false() if name is None else table.c.name == name, Number(table.c.last))
            case Entity.PARAM | Entity.ATTRIBUTE:
                return Rows(table, table.c.name == key.name, Scalar(table.c.value, table.c.number))
            case Entity.TAG:
                return Rows(table, table.c.name == key.name, Text(table.c.value))
            case _:
                return Rows(table, true(), Text(table.c[key.name]))

    def of_field(self, condition: Condition) -> Clause:
        """A condition on a field of `run`."""
        there, value = self.field(condition.key.name)
        match condition:
            case Compare(Key(_, "experiment"), "=", str(name)):
                wanted = self._id(schema.experiment, name)
                return false() if wanted is None else and_(there, run.c.experiment_id == wanted)
            case Present():
                return there
            case _:
                return and_(there, value.satisfies(condition))

    def field(self, name: str) -> tuple[Clause, Value]:
        """Whether a run has this field, and its value."""
        match name:
            case "started":
                return true(), Number(run.c.started)
            case "ended":
                return run.c.ended.is_not(None), Number(run.c.ended)
            case "duration":
                last = case((_last_seen() > run.c.started, _last_seen()), else_=run.c.started)
                return true(), Number((func.coalesce(run.c.ended, last) - run.c.started) / 1e9)
            case "state":
                return true(), Text(self._state())
            case "experiment":
                named = select(schema.experiment.c.name).where(schema.experiment.c.id == run.c.experiment_id)
                return run.c.experiment_id.is_not(None), Text(named.correlate(run).scalar_subquery())
            case "id":
                return true(), Text(run.c.id)
            case _:
                column = run.c[name.replace(".", "_")]
                return and_(column.is_not(None), column != ""), Text(column)

    def _in_state(self, states: frozenset[State]) -> Clause:
        ended, still_open = run.c.state.in_(states - _OPEN), states & _OPEN
        here = true() if still_open == _OPEN else self._state().in_(still_open)
        return or_(and_(run.c.state.is_not(None), ended), and_(run.c.state.is_(None), here))

    def _state(self) -> ColumnElement[str]:
        """`state_of` in SQL."""
        knows = self._liveness
        rests = and_(run.c.idle.is_not(None), run.c.idle >= _last_seen())
        lives = run.c.writer.in_(knows.writers)
        received = _of_writer(schema.writer.c.received)
        silence = (knows.now - func.coalesce(received, _last_seen())) / 1e9
        return case(
            (run.c.state.is_not(None), run.c.state),
            (and_(lives, rests), State.IDLE),
            (lives, State.RUNNING),
            (and_(run.c.host == knows.host, received.is_(None)), State.LOST),
            (rests, State.IDLE),
            (silence > BEATS_MISSED * run.c.beat_interval, State.LOST),
            else_=State.RUNNING,
        )

    def _id(self, table: Table, name: str) -> int | None:
        return self._db.scalar(select(table.c.id).where(table.c.name == name))


def index_of(condition: Condition) -> str | None:
    """The index that alone tells whether a run's row is equal to what is asked for, if there is one."""
    match condition:
        case Compare(key, "=", value):
            values: Sequence[float | str] = (value,)
        case OneOf(key, values, False) if len(values) <= MOST_PROBES:
            pass
        case _:
            return None
    short = all(isinstance(value, str) for value in values) and are_short(values)
    match key.entity:
        case Entity.PARAM if all(isinstance(value, float) and value == value for value in values):
            return "param_by_number"
        case Entity.PARAM | Entity.ATTRIBUTE if short:
            return f"{key.entity}_by_value"
        case Entity.TAG:
            return "tag_by_value"
    return None


def _last_seen() -> ColumnElement[int]:
    """The latest span of the run's writer."""
    return func.coalesce(_of_writer(schema.writer.c.last_seen), 0)


def _of_writer(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """What is known of the run's writer."""
    known = select(column).where(schema.writer.c.writer == run.c.writer).correlate(run)
    return known.scalar_subquery()
