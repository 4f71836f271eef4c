"""How the values of a key are stored, and so compared in SQL.

Each clause selects rows that have a value; of those that it does not select it may be NULL.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, func, literal, or_, true

from ..query import Compare, Condition, Like, OneOf, Present
from . import schema

Clause = ColumnElement[bool]
Wanted = float | str

_OPERATORS: dict[str, Callable[..., Any]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


class Value(ABC):
    """A stored value."""

    def satisfies(self, condition: Condition) -> Clause:
        """What a condition asks of it."""
        match condition:
            case Compare(_, "=", wanted):
                return self.is_one_of([wanted])
            case Compare(_, "!=", unwanted):
                return self.is_none_of([unwanted])
            case Compare(_, comparator, bound):
                clause: Clause = _OPERATORS[comparator](self.comparable_with(bound), bound)
                return clause
            case OneOf(_, values, negated):
                return self.is_none_of(values) if negated else self.is_one_of(values)
            case Like(_, pattern, ignore_case, negated):
                text = self.comparable_with(pattern)
                matches = text.ilike(pattern) if ignore_case else text.bool_op("GLOB")(_glob(pattern))
                return ~matches if negated else matches
            case Present():
                return true()
        raise TypeError(condition)

    @abstractmethod
    def is_one_of(self, values: Sequence[Wanted]) -> Clause:
        """It equals one of these."""

    @abstractmethod
    def is_none_of(self, values: Sequence[Wanted]) -> Clause:
        """It equals none of these."""

    @abstractmethod
    def comparable_with(self, value: Wanted) -> ColumnElement[Any]:
        """What is less or greater than a number, or than a text."""

    @abstractmethod
    def order(self) -> tuple[ColumnElement[int], list[ColumnElement[Any]]]:
        """Its rank (numbers 0, texts 1, NaN 2), and what it is sorted by within that."""


@dataclass(frozen=True)
class Number(Value):
    """A number; NULL is NaN."""

    column: ColumnElement[Any]

    def is_one_of(self, values: Sequence[Wanted]) -> Clause:
        numbers = _without_nan(values)
        found = _in(self.column, numbers)
        return found if len(numbers) == len(values) else or_(found, self.column.is_(None))

    def is_none_of(self, values: Sequence[Wanted]) -> Clause:
        numbers = _without_nan(values)
        if len(numbers) < len(values):
            return and_(self.column.is_not(None), _not_in(self.column, numbers))
        return or_(self.column.is_(None), _not_in(self.column, numbers))

    def comparable_with(self, value: Wanted) -> ColumnElement[Any]:
        return self.column

    def order(self) -> tuple[ColumnElement[int], list[ColumnElement[Any]]]:
        return case((self.column.is_(None), 2), else_=0), [self.column]


@dataclass(frozen=True)
class Text(Value):
    """A text."""

    column: ColumnElement[Any]

    def is_one_of(self, values: Sequence[Wanted]) -> Clause:
        return _in(self.column, values)

    def is_none_of(self, values: Sequence[Wanted]) -> Clause:
        return _not_in(self.column, values)

    def comparable_with(self, value: Wanted) -> ColumnElement[Any]:
        return self.column

    def order(self) -> tuple[ColumnElement[int], list[ColumnElement[Any]]]:
        return literal(1), [self.column]


@dataclass(frozen=True)
class Scalar(Value):
    """JSON of a text, bool or number, and the number by itself; it has a text too, as Python's `str`."""

    json: ColumnElement[str]
    number: ColumnElement[Any]

    def is_one_of(self, values: Sequence[Wanted]) -> Clause:
        numbers, texts = _split(values)
        clauses = [_in(self.number, numbers)] if numbers else []
        if texts:
            short = [schema.is_short(self.json)] if are_short(values) else []
            clauses.append(and_(_in(self.json, texts), *short))
        return or_(*clauses)

    def is_none_of(self, values: Sequence[Wanted]) -> Clause:
        numbers, texts = _split(values)
        clauses = [or_(self.number.is_(None), _not_in(self.number, numbers))] if numbers else []
        return and_(*clauses, *([_not_in(self.json, texts)] if texts else []))

    def comparable_with(self, value: Wanted) -> ColumnElement[Any]:
        return _text_of(self.json) if isinstance(value, str) else self.number

    def order(self) -> tuple[ColumnElement[int], list[ColumnElement[Any]]]:
        is_text = self.number.is_(None)
        rank = case((self.json == "NaN", 2), (is_text, 1), else_=0)
        return rank, [self.number, case((is_text, _text_of(self.json)))]


def _in(column: ColumnElement[Any], values: Sequence[Any]) -> Clause:
    if len(values) == 1:
        equal: Clause = column == values[0]
        return equal
    return column.in_(values) if values else false()


def _not_in(column: ColumnElement[Any], values: Sequence[Any]) -> Clause:
    if len(values) == 1:
        unequal: Clause = column != values[0]
        return unequal
    return column.not_in(values) if values else true()


def are_short(values: Sequence[Wanted]) -> bool:
    """Whether a `Scalar` that equals one of these is in the index of short ones."""
    return all(len(form) <= schema.SHORT for form in _split(values)[1])


def _without_nan(values: Sequence[Any]) -> list[Any]:
    return [value for value in values if value == value]


def _split(values: Sequence[Wanted]) -> tuple[list[float], list[str]]:
    """The numbers, and the JSON of everything that equals one of the texts."""
    numbers = [v for v in _without_nan(values) if not isinstance(v, str)]
    texts = [form for v in values if isinstance(v, str) for form in json_of(v)]
    return numbers, [*texts, *("NaN" for v in values if v != v)]


# --- JSON and its text ----------------------------------------------------------------------------

_WORDS = {json.dumps(value): str(value) for value in (True, False, float("nan"), float("inf"), -float("inf"))}


def json_of(text: str) -> Iterator[str]:
    """The JSON of the values whose text this is: "1" is the text of "1" and of 1."""
    yield json.dumps(text, ensure_ascii=False)
    yield from (form for form, said in _WORDS.items() if said == text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(value, int | float) and text not in _WORDS and str(value) == text:
        yield text


def _text_of(value: ColumnElement[str]) -> ColumnElement[str]:
    """Python's `str` of what JSON says."""
    texts = (value.like('"%'), func.json_extract(value, "$"))
    return case(texts, *((value == form, said) for form, said in _WORDS.items()), else_=value)


def _glob(pattern: str) -> str:
    """A LIKE pattern as GLOB has it, which minds case: `*` is any text, `?` any character."""
    return "".join({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}.get(c, c) for c in pattern)
