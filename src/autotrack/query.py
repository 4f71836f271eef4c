"""What is searched for, as a small tree that every backend compiles; `grammar.py` makes it of text.

A condition holds where *some* value that a run has under its key satisfies it; only a dataset's fields
have several. So every condition but the negation of `Present` needs the key to exist, `!=` and
`NOT IN` too, while `Not` is the logical complement over all runs:

    params.lr != 0.1          has an lr, and it is not 0.1
    NOT params.lr = 0.1       has no lr, or another one
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from .states import State

MOST_CONDITIONS = 500
MOST_VALUES = 10_000
MOST_DEPTH = 20
MOST_PATTERN = 10_000
MOST_KEYS = 20
"""What databases take: conditions, values in all of them, ORs in ANDs in ORs, characters of a pattern, keys
to sort by: a key may need three terms of ORDER BY, and with 65 of them SQLite 3.40 ends the process."""

Comparator = Literal["=", "!=", "<", "<=", ">", ">="]


class Entity(StrEnum):
    """What a key is a key of."""

    METRIC = "metric"  # the last value of that name
    PARAM = "param"
    TAG = "tag"
    ATTRIBUTE = "attribute"  # a fact under OpenTelemetry's name
    DATASET = "dataset"  # a field of DATASET_FIELDS, of any of the run's datasets
    RUN = "run"  # a field of RUN_FIELDS


RUN_FIELDS = (
    "id",
    "name",
    "experiment",
    "state",
    "started",  # unix ns, as `ended`
    "ended",
    "duration",  # seconds
    "parent",
    "host",
    "error.type",
)
DATASET_FIELDS = ("name", "digest", "role")


@dataclass(frozen=True, slots=True)
class Key:
    """Something that runs have a value of, or have not."""

    entity: Entity
    name: str


@dataclass(frozen=True, slots=True)
class Present:
    """The run has the key."""

    key: Key


@dataclass(frozen=True, slots=True)
class Compare:
    """A number is compared with numbers, text with texts; a param that is a number has a text too.

    NaN equals NaN and differs from the rest; it is neither less nor greater than anything.
    """

    key: Key
    comparator: Comparator
    value: float | str


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value is one of these, or `negated` none of them; each is compared as `Compare` does."""

    key: Key
    values: tuple[float | str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Like:
    """The text matches a pattern: `%` is any text, `_` any character, case counts unless it is ignored."""

    key: Key
    pattern: str
    ignore_case: bool = False
    negated: bool = False


@dataclass(frozen=True, slots=True)
class InState:
    """The run is in one of these states, as the reader sees it."""

    states: frozenset[State]


@dataclass(frozen=True, slots=True)
class Not:
    """Every run for which the condition does not hold."""

    operand: Condition


@dataclass(frozen=True, slots=True)
class And:
    """All of them hold; none of them is an `And`."""

    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of them holds; none of them is an `Or`."""

    operands: tuple[Expression, ...]


Condition = Present | Compare | OneOf | Like
Expression = Condition | InState | Not | And | Or


@dataclass(frozen=True, slots=True)
class Order:
    """Numbers, then texts, then NaN, then the runs without the key: in either direction."""

    key: Key
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """Which runs, in which order; ties, and where there is no order, by start, latest first, then by id."""

    where: Expression | None = None
    order: Sequence[Order] = field(default=())


def all_of(operands: Iterable[Expression]) -> Expression:
    """Their conjunction; at least one."""
    flat = [part for o in operands for part in (o.operands if isinstance(o, And) else (o,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def any_of(operands: Iterable[Expression]) -> Expression:
    """Their disjunction; at least one."""
    flat = [part for o in operands for part in (o.operands if isinstance(o, Or) else (o,))]
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def complement(expression: Expression) -> Expression:
    """Every other run; `Not` stands before conditions only, so that trees stay flat."""
    match expression:
        case Not(operand):
            return operand
        case And(operands):
            return any_of(map(complement, operands))
        case Or(operands):
            return all_of(map(complement, operands))
        case InState(states):
            return InState(frozenset(State) - states)
        case condition:
            return Not(condition)


def depth(expression: Expression) -> int:
    """How many `And` and `Or` stand inside each other."""
    if isinstance(expression, And | Or):
        return 1 + max(map(depth, expression.operands))
    return 0


def conditions(expression: Expression) -> Iterator[Condition | InState]:
    """All of them, negated or not."""
    match expression:
        case And(operands) | Or(operands):
            for operand in operands:
                yield from conditions(operand)
        case Not(operand):
            yield operand
        case condition:
            yield condition


def excess(expression: Expression) -> str:
    """What there is more of than databases take; "" if nothing."""
    all_conditions = list(conditions(expression))
    if len(all_conditions) > MOST_CONDITIONS:
        return f"more than {MOST_CONDITIONS} conditions"
    if sum(len(c.values) for c in all_conditions if isinstance(c, OneOf)) > MOST_VALUES:
        return f"more than {MOST_VALUES:,} values"
    if depth(expression) > MOST_DEPTH:
        return f"AND and OR inside each other more than {MOST_DEPTH} times"
    if any(len(c.pattern) > MOST_PATTERN for c in all_conditions if isinstance(c, Like)):
        return f"a pattern of more than {MOST_PATTERN:,} characters"
    return ""
