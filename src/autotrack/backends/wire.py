"""What a server tells its clients, and what a search asks of it, as JSON: both directions, exact.

Times are unix ns. A metric's number that is not finite is "NaN", "Infinity" or "-Infinity"; among params
and attributes, which may be texts, it is ``{"float": "NaN"}``. A reader who wants a run's state needs no
clock: `silence` says how long ago the server heard of it, in seconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from ..backend import RunRow
from ..query import (
    DATASET_FIELDS,
    MOST_KEYS,
    RUN_FIELDS,
    And,
    Compare,
    Entity,
    Expression,
    InState,
    Key,
    Like,
    Not,
    OneOf,
    Or,
    Order,
    Present,
    Search,
    excess,
)
from ..records import (
    Artifact,
    AuditEntry,
    Dataset,
    Experiment,
    Fit,
    LogLine,
    MetricSummary,
    Model,
    ModelVersion,
    Rank,
    RegisteredModel,
    SpanEvent,
    SpanRecord,
)
from ..semconv import Scalar
from ..states import RunError, Stage, State
from ..vocabulary import Kind, kind_of

T = TypeVar(
    "T",
    Artifact,
    AuditEntry,
    Dataset,
    Experiment,
    Fit,
    LogLine,
    Model,
    ModelVersion,
    Rank,
    RegisteredModel,
    SpanRecord,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOST_LEVELS = 50


# --- runs -----------------------------------------------------------------------------------------


def run_to_json(row: RunRow, state: State, now: int) -> dict[str, Any]:
    """A run as of `now` (unix ns), in the `state` that the server shows."""
    last = max(row.last_seen, row.started)
    return {
        **{name: getattr(row, name) for name in _PLAIN},
        "state": state,
        "told": row.state,
        "duration": ((row.ended or last) - row.started) / 1e9,
        "silence": None if row.received is None else max(now - row.received, 0) / 1e9,
        "error": row.error._asdict() if row.error else None,
        "params": scalars_to_json(row.params),
        "tags": dict(row.tags),
        "metrics": {name: _summary_to_json(summary) for name, summary in row.metrics.items()},
        "children": list(row.children),
    }


def run_from_json(told: Mapping[str, Any], now: int) -> RunRow:
    """The run as its backend knew it, times of receipt by the clock that says `now`.

    What the server heard from a spool of its own counts as heard now while it shows it alive: it knows.
    """
    silence = told["silence"]
    is_lost = told["state"] == State.LOST
    if silence is None:
        silence = math.inf if is_lost else 0.0
    return RunRow(
        **{name: told[name] for name in _PLAIN},
        state=State(told["told"]) if told["told"] and not is_lost else None,
        received=max(now - int(silence * 1e9), 1) if math.isfinite(silence) else 1,
        error=RunError(**told["error"]) if told["error"] else None,
        params=scalars_from_json(told["params"]),
        tags=told["tags"],
        metrics={name: _summary_from_json(summary) for name, summary in told["metrics"].items()},
        children=told["children"],
    )


_PLAIN = (
    *("id", "name", "experiment", "parent", "started", "ended"),
    *("last_seen", "beat_interval", "host", "writer", "note", "archived"),
)


def _summary_to_json(summary: MetricSummary) -> dict[str, Any]:
    return {name: number_to_json(value) for name, value in asdict(summary).items()}


def _summary_from_json(told: Mapping[str, Any]) -> MetricSummary:
    floats = {name: float(told[name]) for name in ("last", "min", "max")}
    return MetricSummary(**floats, count=told["count"], non_finite=told["non_finite"])


# --- values ---------------------------------------------------------------------------------------


def number_to_json(value: float) -> float | str:
    """A metric's number."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def scalars_to_json(values: Mapping[str, Scalar]) -> dict[str, Any]:
    """Params or attributes."""
    return {name: _scalar_to_json(value) for name, value in values.items()}


def scalars_from_json(told: Mapping[str, Any]) -> dict[str, Scalar]:
    """And back."""
    return {name: _scalar_from_json(value) for name, value in told.items()}


def _scalar_to_json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": number_to_json(value)}
    return value


def _scalar_from_json(told: Any) -> Any:
    if isinstance(told, dict):
        return float(told["float"])
    return told


# --- records --------------------------------------------------------------------------------------


def record_to_json(record: Any) -> dict[str, Any]:
    """A record: an experiment, one of a run's, or one of the registry's."""
    return {field.name: _plain(getattr(record, field.name)) for field in fields(record)}


def record_from_json(kind: type[T], told: Mapping[str, Any]) -> T:
    """And back."""
    return kind(**{name: _REVIVED.get(name, _same)(value) for name, value in told.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value - _EPOCH) // _MICROSECOND * 1000
    if isinstance(value, (SpanEvent, Artifact)):
        return record_to_json(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return _scalar_to_json(value)


def _from_plain(told: Any) -> Any:
    """A mapping that really is ``{"float": "NaN"}`` becomes a number: nobody has one."""
    if isinstance(told, dict):
        if told.keys() == {"float"}:
            return float(told["float"])
        return {name: _from_plain(item) for name, item in told.items()}
    return list(map(_from_plain, told)) if isinstance(told, list) else told


def _same(value: Any) -> Any:
    return value


def _frozen(told: Any) -> Any:
    """A span's attributes, or one of them, with tuples for arrays."""
    if isinstance(told, list):
        return tuple(map(_frozen, told))
    if not isinstance(told, dict):
        return told
    is_number = told.keys() == {"float"} and told["float"] in ("NaN", "Infinity", "-Infinity")
    return float(told["float"]) if is_number else {name: _frozen(item) for name, item in told.items()}


def _event(told: Mapping[str, Any]) -> SpanEvent:
    return SpanEvent(told["name"], told["time"], _frozen(told["attributes"]))


def _listed(told: Any) -> Any:
    """A version has a list of aliases, a model has a mapping of them."""
    return tuple(told) if isinstance(told, list) else told


def _files(told: Sequence[Mapping[str, Any]]) -> tuple[Artifact, ...]:
    return tuple(record_from_json(Artifact, one) for one in told)


def _moment(ns: int) -> datetime:
    return _EPOCH + ns // 1000 * _MICROSECOND


_REVIVED: dict[str, Callable[[Any], Any]] = {
    "time": _moment,
    "started": _moment,
    "last_seen": _moment,
    "created": _moment,
    "updated": _moment,
    "received": lambda ns: None if ns is None else _moment(ns),
    "state": State,
    "stage": Stage,
    "aliases": _listed,
    "files": _files,
    "shape": tuple,
    "params": scalars_from_json,
    "facts": _from_plain,
    "schema": _from_plain,
    "attributes": _frozen,
    "resource": _frozen,
    "events": lambda events: tuple(map(_event, events)),
}


def message_from_json(body: bytes) -> str:
    """What a server of ours says is wrong; "" where it says nothing."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, TypeError, KeyError):
        return ""


# --- searches -------------------------------------------------------------------------------------


def search_to_json(search: Search) -> dict[str, Any]:
    """A search as it is, where its text is not known any more."""
    return {
        "where": _expression_to_json(search.where) if search.where else None,
        "order": [[*_key(order.key), order.descending] for order in search.order],
    }


def search_from_json(told: Any) -> Search:
    """And back; it may come from anybody. Raises ValueError if it is none."""
    try:
        where = _expression(told["where"], _MOST_LEVELS) if told.get("where") is not None else None
        order = tuple(_order(key, down) for *key, down in told.get("order", ()))
        if problem := f"more than {MOST_KEYS} keys" if len(order) > MOST_KEYS else where and excess(where):
            raise ValueError(problem)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        told_so = str(error) if isinstance(error, ValueError) else "not of the form that clients send"
        raise ValueError(f"no search: {told_so}") from None
    return Search(where, order)


def _order(key: Any, down: Any) -> Order:
    if (found := _key_from(key)).entity is Entity.DATASET:
        raise ValueError("a run may have several datasets: there is no order by one")
    return Order(found, _is(bool, down))


def _expression_to_json(expression: Expression) -> list[Any]:
    match expression:
        case And(operands) | Or(operands):
            return [type(expression).__name__, *map(_expression_to_json, operands)]
        case Not(operand):
            return ["Not", _expression_to_json(operand)]
        case InState(states):
            return ["InState", *sorted(states)]
        case Present(key):
            return ["Present", _key(key)]
        case Compare(key, comparator, value):
            return ["Compare", _key(key), comparator, _scalar_to_json(value)]
        case OneOf(key, values, negated):
            return ["OneOf", _key(key), list(map(_scalar_to_json, values)), negated]
        case Like(key, pattern, ignore_case, negated):
            return ["Like", _key(key), pattern, ignore_case, negated]


def _expression(told: Sequence[Any], room: int) -> Expression:
    if not room:
        raise ValueError("nested too deeply")
    kind, *rest = told
    match kind, *rest:
        case "And", _, *_:
            return And(tuple(_expression(one, room - 1) for one in rest))
        case "Or", _, *_:
            return Or(tuple(_expression(one, room - 1) for one in rest))
        case "Not", operand:
            return Not(_condition(_expression(operand, 1)))
        case "InState", *states:
            return InState(frozenset(map(State, states)))
        case "Present", key:
            return Present(_key_from(key))
        case "Compare", key, ("=" | "!=" | "<" | "<=" | ">" | ">=") as comparator, value:
            return Compare(found := _key_from(key), comparator, _operand(found, value))
        case "OneOf", key, list(values), bool(negated):
            found = _key_from(key)
            return OneOf(found, tuple(_operand(found, value) for value in values), negated)
        case "Like", key, str(pattern), bool(ignore_case), bool(negated):
            _operand(found := _key_from(key), pattern)
            return Like(found, pattern, ignore_case, negated)
    raise ValueError(f"{str(kind)[:40]!r} is no condition, or not so")


def _condition(expression: Expression) -> Any:
    if isinstance(expression, InState | Not | And | Or):
        raise ValueError("Not stands before conditions only")
    return expression


def _key(key: Key) -> list[str]:
    return [str(key.entity), key.name]


def _key_from(told: Any) -> Key:
    entity, name = told
    key = Key(Entity(entity), _text(name))
    if key.name not in _FIELDS.get(key.entity, (key.name,)):
        raise ValueError(f"a {entity} has no field {name[:40]!r}")
    return key


_FIELDS = {Entity.RUN: RUN_FIELDS, Entity.DATASET: DATASET_FIELDS}
_OPERANDS: dict[Kind, tuple[type, ...]] = {
    Kind.NUMBER: (float,),
    Kind.TIME: (int, float),
    Kind.TEXT: (str,),
    Kind.SCALAR: (float, str),
    Kind.STATE: (),  # asked for by `InState`
}


def _operand(key: Key, told: Any) -> float | str:
    """What values of a key can be compared with."""
    value = _scalar_from_json(told)
    if isinstance(value, str):
        _text(value)
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} is beyond 64 bits")
    if type(value) is int and kind_of(key) is not Kind.TIME:
        value = float(value)
    if type(value) not in _OPERANDS[kind_of(key)]:
        raise ValueError(f"{key.name[:40]!r} is {kind_of(key).value}, not {str(told)[:40]!r}")
    operand: float | str = value
    return operand


def _text(value: Any) -> str:
    """Raises ValueError, as for half a surrogate pair."""
    found: str = _is(str, value)
    try:
        found.encode()
    except UnicodeEncodeError:
        raise ValueError("half a character that is no Unicode") from None
    return found


def _is(kind: type[Any], value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return value
