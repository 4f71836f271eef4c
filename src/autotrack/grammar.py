"""Filters and orders, from text to the tree of `query.py`; what is wrong with one, and where.

The grammar takes every filter that MLflow takes, in its words too, and OR, NOT, parentheses and
numbers for params besides.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from . import instants
from .errors import QueryError
from .query import (
    MOST_DEPTH,
    MOST_KEYS,
    MOST_PATTERN,
    Comparator,
    Compare,
    Entity,
    Expression,
    InState,
    Key,
    Like,
    OneOf,
    Order,
    Present,
    all_of,
    any_of,
    complement,
    depth,
    excess,
)
from .states import State
from .vocabulary import Kind, key_of, kind_of, states_named

if TYPE_CHECKING:
    from lark import Lark, Token, UnexpectedInput


def parse_filter(text: str) -> Expression | None:
    """The tree of a filter; None for an empty one, which every run passes. Raises `QueryError`."""
    found: Expression | None = _parsed(text, "filter") if text.strip() else None
    return found


def parse_order(order_by: str | Iterable[str]) -> tuple[Order, ...]:
    """The keys to sort by: "metrics.acc desc, started", or a text for each. Raises `QueryError`."""
    texts = [order_by] if isinstance(order_by, str) else list(order_by)
    found = tuple(order for text in texts if text.strip() for order in _parsed(text, "order"))
    if len(found) > MOST_KEYS:
        raise QueryError(f"more than {MOST_KEYS} keys", ", ".join(texts), 1, "order")
    return found


_GRAMMAR = r"""
filter: expression
?expression: conjunction
           | conjunction (OR conjunction)+                     -> any_of
?conjunction: negation
            | negation (AND negation)+                         -> all_of
?negation: condition
         | NOT negation                                        -> complement
?condition: "(" expression ")"
          | KEY COMPARATOR _value                              -> compare
          | KEY [NOT] IN "(" _value ("," _value)* ","? ")"     -> one_of
          | KEY [NOT] LIKE _value                              -> like
          | KEY IS [NOT] NULL                                  -> presence
_value: NUMBER | TEXT | TRUTH

order: sorting ("," sorting)*
sorting: KEY [DIRECTION]

AND.2: /(?i:and)/ _END
OR.2: /(?i:or)/ _END
NOT.2: /(?i:not)/ _END
IN.2: /(?i:in)/ _END
IS.2: /(?i:is)/ _END
NULL.2: /(?i:null)/ _END
LIKE.2: /(?i:i?like)/ _END
DIRECTION.2: /(?i:asc|desc)/ _END
TRUTH.2: /(?i:true|false)/ _END
NUMBER.2: /[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)/i _END
COMPARATOR: /(==|=|!=|<=|>=|<|>)(?![=<>!])/
TEXT: /'([^']|'')*'|"([^"]|"")*"/
KEY: /(?!(and|or|not|in|is|null|i?like)(?![\w$#@:\/.-]))/i (_NAME | _QUOTED) ("." (_WORD | _QUOTED))*
_NAME: /[^\W\d][\w$#@:\/-]*/
_WORD: /[\w$#@:\/-]+/
_QUOTED: /`([^`]|``)*`|"([^"]|"")*"/
_END: /(?![\w$#@:\/.-])/

%import common.WS
%ignore WS
"""
_PART = re.compile(r"`((?:[^`]|``)*)`|\"((?:[^\"]|\"\")*)\"|([^.]+)")


def _parsed(text: str, what: str) -> Any:
    from lark import UnexpectedInput

    try:
        text.encode()
        return _parser().parse(text, start=what)
    except UnicodeEncodeError as error:
        wrong = _Wrong("half a character that is no Unicode", error.start)
    except UnexpectedInput as error:
        wrong = _syntax(text, what, error)
    except _Wrong as error:
        wrong = error
    raise QueryError(_one_line(wrong.problem), text, wrong.position + 1, what)


@cache
def _parser() -> Lark:
    from lark import Lark  # 50 ms, and the parser's tables 100 more: paid by the first filter

    return Lark(_GRAMMAR, start=["filter", "order"], parser="lalr", transformer=_tree_builder())


class _Wrong(Exception):
    """What is wrong, at a position of the text."""

    def __init__(self, problem: str, where: Token | int = 0) -> None:
        self.problem = problem
        self.position = where if isinstance(where, int) else where.start_pos or 0


# --- from words to the tree -----------------------------------------------------------------------


class _Subject(NamedTuple):
    """A key as it is written, and what its values are."""

    token: Token
    key: Key
    kind: Kind

    def value(self, token: Token) -> float | str:
        """A value that is one of the key's kind."""
        value = _value(token)
        if self.kind is Kind.NUMBER and isinstance(value, str):
            raise _Wrong(f"{self.token} is a number: write one, without quotes", token)
        if self.kind is Kind.TEXT and token.type != "TEXT":
            raise _Wrong(f"{self.token} is text: write '{token}'", token)
        return value

    def text(self, token: Token) -> str:
        """A value in quotes."""
        if token.type != "TEXT":
            raise _Wrong(f"expected text in quotes: write '{token}'", token)
        return _unquoted(token)

    def time(self, token: Token) -> instants.Span:
        try:
            if token.type == "NUMBER":
                return instants.of_milliseconds(token)
            return instants.of_text(self.text(token), time.time_ns())
        except ValueError:
            raise _Wrong(f"{token} is no time: write {instants.FORMS}", token) from None


def _tree_builder() -> Any:
    """What the parser calls with the parts of each rule."""
    from lark import Transformer, v_args

    @v_args(inline=True)
    class Builder(Transformer[Any, Any]):
        def filter(self, expression: Expression) -> Expression:
            if problem := excess(expression):
                raise _Wrong(problem)
            return expression

        def any_of(self, *parts: Any) -> Expression:
            return _checked_depth(any_of(parts[::2]), parts[1])

        def all_of(self, *parts: Any) -> Expression:
            return _checked_depth(all_of(parts[::2]), parts[1])

        def complement(self, _: Token, expression: Expression) -> Expression:
            return complement(expression)

        def compare(self, key: Token, comparator: Token, value: Token) -> Expression:
            return _compared(_subject(key), comparator, value)

        def one_of(self, key: Token, negation: Token | None, _: Token, *values: Token) -> Expression:
            return _one_of(_subject(key), values, negation is not None)

        def like(self, key: Token, negation: Token | None, like: Token, value: Token) -> Expression:
            return _like(_subject(key), like, value, negation is not None)

        def presence(self, key: Token, _: Token, negation: Token | None, __: Token) -> Expression:
            subject = _subject(key)
            there = InState(frozenset(State)) if subject.kind is Kind.STATE else Present(subject.key)
            return there if negation else complement(there)

        def order(self, *keys: Order) -> list[Order]:
            return list(keys)

        def sorting(self, key: Token, direction: Token | None) -> Order:
            subject = _subject(key)
            if subject.key.entity is Entity.DATASET:
                raise _Wrong("a run may have several datasets: there is no order by one", key)
            return Order(subject.key, direction is not None and direction.lower() == "desc")

    return Builder()


def _subject(token: Token) -> _Subject:
    try:
        key = key_of([_unquoted(part[0]) for part in _PART.finditer(token)])
    except ValueError as error:
        raise _Wrong(str(error), token) from None
    return _Subject(token, key, kind_of(key))


def _compared(subject: _Subject, comparator: Token, token: Token) -> Expression:
    how = cast("Comparator", "=" if comparator == "==" else str(comparator))
    match subject.kind:
        case Kind.TIME:
            return _during(subject.key, how, subject.time(token))
        case Kind.STATE if how not in ("=", "!="):
            raise _Wrong(f"{subject.token} is a state: compare it by = or !=", comparator)
        case Kind.STATE:
            states = InState(_states(subject, token))
            return states if how == "=" else complement(states)
    value = subject.value(token)
    if value != value and how not in ("=", "!="):
        raise _Wrong("nothing is less or greater than NaN: compare it by = or !=", comparator)
    return Compare(subject.key, how, value)


def _during(key: Key, how: Comparator, span: instants.Span) -> Expression:
    """A time, compared with all of a span of time."""
    match how:
        case "=":
            return all_of([Compare(key, ">=", span.low), Compare(key, "<", span.high)])
        case "!=":
            return any_of([Compare(key, "<", span.low), Compare(key, ">=", span.high)])
        case "<" | ">=":
            return Compare(key, how, span.low)
        case "<=":
            return Compare(key, "<", span.high)
        case ">":
            return Compare(key, ">=", span.high)


def _one_of(subject: _Subject, tokens: Sequence[Token], negated: bool) -> Expression:
    match subject.kind:
        case Kind.TIME:
            how: Comparator = "!=" if negated else "="
            each = [_during(subject.key, how, subject.time(token)) for token in tokens]
            return all_of(each) if negated else any_of(each)
        case Kind.STATE:
            states = InState(frozenset[State]().union(*(_states(subject, token) for token in tokens)))
            return complement(states) if negated else states
        case _:
            return OneOf(subject.key, tuple(subject.value(token) for token in tokens), negated)


def _like(subject: _Subject, like: Token, token: Token, negated: bool) -> Expression:
    if subject.kind in (Kind.NUMBER, Kind.TIME):
        raise _Wrong(f"{subject.token} is {subject.kind.value}: {like.upper()} is for text", like)
    pattern = subject.text(token)
    if len(pattern) > MOST_PATTERN:
        raise _Wrong(f"a pattern of more than {MOST_PATTERN:,} characters", token)
    ignore_case = like.upper() == "ILIKE"
    if subject.kind is Kind.STATE:
        states = InState(_states_like(pattern, ignore_case))
        return complement(states) if negated else states
    return Like(subject.key, pattern, ignore_case, negated)


def _states(subject: _Subject, token: Token) -> frozenset[State]:
    try:
        return states_named(subject.text(token))
    except ValueError as error:
        raise _Wrong(str(error), token) from None


def _states_like(pattern: str, ignore_case: bool) -> frozenset[State]:
    """States whose name matches, as we write it or in capitals, as MLflow does."""
    regex = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern)
    matches = re.compile(regex, re.DOTALL | (re.IGNORECASE if ignore_case else 0)).fullmatch
    return frozenset(state for state in State if matches(state) or matches(state.upper()))


def _value(token: Token) -> float | str:
    """A number, text in quotes, or true or false, which params have as texts too."""
    match token.type:
        case "NUMBER":
            return float(token)
        case "TRUTH":
            return token.capitalize()
        case _:
            return _unquoted(token)


def _unquoted(text: str) -> str:
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote) if quote in _QUOTES else str(text)


def _checked_depth(expression: Expression, operator: Token) -> Expression:
    if depth(expression) > MOST_DEPTH:
        raise _Wrong(f"AND and OR inside each other more than {MOST_DEPTH} times", operator)
    return expression


# --- what is wrong --------------------------------------------------------------------------------

_QUOTES = "'\"`"
_FOUND = re.compile(
    r"'([^']|'')*'|\"([^\"]|\"\")*\"|`([^`]|``)*`|[\w$#@:/+-][\w$#@:/.+-]*|[=<>!~&|]+|.", re.DOTALL
)
_ELSEWHERE = {
    "<>": "!=",
    "=>": ">=",
    "=<": "<=",
    "!": "NOT",
    "&": "AND",
    "&&": "AND",
    "|": "OR",
    "||": "OR",
    "~": "LIKE",
}
"""What other languages write."""
_EXPECTED = {
    "KEY": "a condition such as metrics.acc > 0.9",
    "COMPARATOR": "= != < <= > >= IN LIKE ILIKE or IS",
    "NUMBER": "a number or text in quotes",
    "LPAR": "a list such as ('a', 'b')",
    "LIKE": "IN, LIKE or ILIKE",
    "NULL": "NULL or NOT NULL",
    "AND": "AND, OR or the end",
    "COMMA": "a comma or )",
    "RPAR": "AND, OR or )",
    "$END": "AND, OR or the end",
}
"""What is said for the kinds of tokens that could have stood there: the first that is among them."""
_EXPECTED_IN_ORDER = {"KEY": "a key such as metrics.acc", "$END": "ASC, DESC, a comma or the end"}
_LONGEST = 200


def _syntax(text: str, what: str, error: UnexpectedInput) -> _Wrong:
    """What the parser says, in words."""
    could: set[str] = getattr(error, "accepts", None) or getattr(error, "allowed", None) or set()
    said = _EXPECTED if what == "filter" else _EXPECTED_IN_ORDER
    expected = next((said[kind] for kind in said if kind in could), said["$END"])
    at_end = getattr(getattr(error, "token", None), "type", "") == "$END"
    position = len(text) if at_end else error.pos_in_stream or 0
    if not (match := _FOUND.match(text, position)):
        return _Wrong(f"expected {expected}, found the end", position)
    found = match[0]
    if found == "." and text[position + 1 : position + 2] in tuple(_QUOTES):
        found, position = text[position + 1], position + 1
    if found in _QUOTES:
        return _Wrong(f"the {found} here is never closed", position)
    if found == ".":
        return _Wrong("expected a name right after the dot", position)
    if found in _ELSEWHERE:
        return _Wrong(f"{found} is not known: write {_ELSEWHERE[found]}", position)
    if "NUMBER" in could and found[0].isalpha():
        return _Wrong(f"text stands in quotes: write '{found}'", position)
    if "COMPARATOR" in could and not text[position - 1].isspace():
        return _Wrong(
            f"expected {expected}, found {found}; a name with such characters stands in backticks", position
        )
    return _Wrong(f"expected {expected}, found {found}", position)


def _one_line(problem: str) -> str:
    """What users wrote may have any characters and any length."""
    plain = "".join(c if c.isprintable() else " " for c in problem)
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}…"
