"""Search in SQLite: what the filters find is what a small evaluator in Python finds, in the same order."""

from __future__ import annotations

import math
import operator
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from autotrack import semconv as sc
from autotrack.backend import Liveness, state_of
from autotrack.backends import searching
from autotrack.grammar import parse_filter, parse_order
from autotrack.query import MOST_CONDITIONS, MOST_DEPTH, MOST_KEYS, MOST_PATTERN, MOST_VALUES, Search
from autotrack.records import SpanRecord
from autotrack.states import State

from .history import ours
from .test_sqlite import Fresh, backend_at, empty_store, fresh

__all__ = ["empty_store", "fresh"]

Values = dict[str, Any]


@dataclass
class Made:
    """A run as it is written, for the evaluator to look at."""

    id: str
    name: str
    experiment: str
    started: int
    ended: int | None
    parent: str | None
    error: str | None
    params: Values
    tags: Values
    metrics: Values
    attributes: Values
    datasets: list[Values] = field(default_factory=list)

    def spans(self, number: int) -> list[SpanRecord]:
        """The run, written by a writer of its own."""
        writer, facts = f"{number:016x}", {sc.RUN_NAME: self.name, sc.EXPERIMENT_NAME: self.experiment}
        facts |= {sc.RUN_PARENT: self.parent} if self.parent else {}
        facts |= {sc.PARAM_PREFIX + k: v for k, v in self.params.items()}
        facts |= {sc.TAG_PREFIX + k: v for k, v in self.tags.items()} | self.attributes
        told: list[tuple[str, Values]] = [("run.start", facts)]
        told += [
            (
                "dataset",
                {sc.DATASET_NAME: d["name"], sc.DATASET_DIGEST: d["digest"], sc.DATASET_ROLE: d["role"]},
            )
            for d in self.datasets
        ]
        for name, value in self.metrics.items():
            point = {sc.METRICS_STEP: (1,), sc.METRICS_TIME: (1,), sc.METRICS_VALUE_PREFIX + name: (value,)}
            told.append(("metrics", point))
        spans = [
            ours(kind, self.id, 1, writer, (seq,), facts, self.started)
            for seq, (kind, facts) in enumerate(told, 1)
        ]
        if self.ended is not None:
            end = {sc.RUN_STATE: "failed" if self.error else "finished"}
            end |= {sc.ERROR_TYPE: self.error} if self.error else {}
            spans.append(ours("run", self.id, 1, writer, (len(spans) + 1,), end, self.ended - 1))
        return spans


NUMBERS = [0.0, 1, 1.5, -2.0, 1e300, math.inf, -math.inf, math.nan]
TEXTS = [
    "a",
    "A",
    "ab",
    "a%b",
    "1",
    "1.5",
    "True",
    "nan",
    "é",
    "É",
    "it's",
    'say "x"',
    "back\\nslash",
    "a\nb",
    "*?[z]",
]
MS = 1_000_000

maybe = lambda values: st.one_of(st.none(), st.sampled_from(values))  # noqa: E731


def _some(names: Sequence[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Values]:
    return st.dictionaries(st.sampled_from(names), values, max_size=len(names))


scalars = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(TEXTS), st.booleans())
datasets = st.lists(
    st.fixed_dictionaries({key: st.sampled_from(TEXTS) for key in ("name", "digest", "role")}),
    max_size=2,
    unique_by=lambda d: d["name"],
)


@st.composite
def histories(draw: st.DrawFn) -> list[Made]:
    """Up to eight runs that have much in common."""
    ids = [f"{n:032x}" for n in range(1, draw(st.integers(2, 9)))]
    return [
        Made(
            id=run,
            name=draw(st.sampled_from(["", "a", "ab"])),
            experiment=draw(st.sampled_from(["e", "E"])),
            started=(started := draw(st.sampled_from([0, 1 * MS, 1 * MS + 7, 2 * MS]))),
            ended=(ended := draw(maybe([started + 1, started + 2_000 * MS]))),
            parent=draw(maybe(ids)),
            error=draw(maybe(["ValueError", "KeyError"])) if ended else None,
            params=draw(_some(["a", "b.c"], scalars)),
            tags=draw(_some(["a", "b c"], st.sampled_from(TEXTS))),
            metrics=draw(_some(["a", "b"], st.sampled_from(NUMBERS))),
            attributes=draw(_some(["vcs.a", "vcs.b"], scalars)),
            datasets=draw(datasets),
        )
        for run in ids
    ]


# --- the evaluator --------------------------------------------------------------------------------

Key = tuple[str, Callable[[Made], list[Any]]]
"""How a key is written, and the values that a run has of it."""


def _item(group: str, name: str) -> Callable[[Made], list[Any]]:
    return lambda run: [getattr(run, group)[name]] if name in getattr(run, group) else []


def _fact(name: str) -> Callable[[Made], list[Any]]:
    return lambda run: [value for value in [getattr(run, name)] if value not in (None, "")]


METRICS: list[Key] = [("metrics.a", _item("metrics", "a")), ("metric.`b`", _item("metrics", "b"))]
SCALARS: list[Key] = [
    ("params.a", _item("params", "a")),
    ('parameter."b.c"', _item("params", "b.c")),
    ("attr.vcs.a", _item("attributes", "vcs.a")),
    ("attributes.`vcs.b`", _item("attributes", "vcs.b")),
]
TEXT_KEYS: list[Key] = [
    ("tags.a", _item("tags", "a")),
    ("tag.`b c`", _item("tags", "b c")),
    ("datasets.name", lambda run: [d["name"] for d in run.datasets]),
    ("dataset.context", lambda run: [d["role"] for d in run.datasets]),
    ("name", _fact("name")),
    ("attributes.run_id", _fact("id")),
    ("run.experiment", _fact("experiment")),
    ("parent", _fact("parent")),
    ("error.type", _fact("error")),
]
OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
Node = tuple[Any, ...]


def holds(node: Node, run: Made) -> bool:
    """Whether a run passes."""
    match node:
        case ("and", parts):
            return all(holds(part, run) for part in parts)
        case ("or", parts):
            return any(holds(part, run) for part in parts)
        case ("not", part):
            return not holds(part, run)
        case ("null", (_, values), negated):
            return bool(values(run)) == negated
        case ("in", (_, values), wanted, negated):
            return any(any(_equal(v, w) for w in wanted) != negated for v in values(run))
        case ("like", (_, values), pattern, ignore_case, negated):
            return any(_like(str(v), pattern, ignore_case) != negated for v in values(run))
        case ("compare", (_, values), "=" | "==", wanted):
            return any(_equal(v, wanted) for v in values(run))
        case ("compare", (_, values), "!=", wanted):
            return any(not _equal(v, wanted) for v in values(run))
        case ("compare", (_, values), how, wanted):
            pairs = [_comparable(v, wanted) for v in values(run)]
            return any(OPERATORS[how](v, wanted) for v in pairs if v is not None)
    raise AssertionError(node)


def _comparable(value: Any, wanted: Any) -> Any:
    """The value as a text for texts; for numbers the number, or None."""
    if isinstance(wanted, str):
        return str(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _equal(value: Any, wanted: Any) -> bool:
    value = _comparable(value, wanted)
    return value == wanted or (value is not None and value != value and wanted != wanted)


def _like(text: str, pattern: str, ignore_case: bool) -> bool:
    if ignore_case:
        text, pattern = text.lower(), pattern.lower()
    regex = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(regex, text, re.DOTALL) is not None


# --- filters as text ------------------------------------------------------------------------------


def written(node: Node) -> str:
    """The filter's text."""
    match node:
        case ("and" | "or" as word, parts):
            return "(" + f" {word} ".join(map(written, parts)) + ")"
        case ("not", part):
            return f"NOT ({written(part)})"
        case ("null", (key, _), negated):
            return f"{key} IS {'NOT ' if negated else ''}NULL"
        case ("in", (key, _), wanted, negated):
            return f"{key} {'not ' if negated else ''}in ({', '.join(map(_literal, wanted))})"
        case ("like", (key, _), pattern, ignore_case, negated):
            word = "ILIKE" if ignore_case else "LIKE"
            return f"{key} {'NOT ' if negated else ''}{word} {_literal(pattern)}"
        case (_, (key, _), how, wanted):
            return f"{key}{how}{_literal(wanted)}"
    raise AssertionError(node)


def _literal(value: Any) -> str:
    if not isinstance(value, str):
        return repr(value)
    return "'" + value.replace("'", "''") + "'" if '"' in value else f'"{value}"'


numbers, texts = st.sampled_from(NUMBERS), st.sampled_from([*TEXTS, f"{1:032x}", "e", "ValueError"])
patterns = st.lists(
    st.sampled_from(["%", "_", "a", "A", "b", "é", "1", "\n", "*", "[", "\\"]), max_size=4
).map("".join)
of_key = {id(METRICS): numbers, id(SCALARS): numbers | texts, id(TEXT_KEYS): texts}


@st.composite
def conditions(draw: st.DrawFn) -> Node:
    keys = draw(st.sampled_from([METRICS, SCALARS, TEXT_KEYS]))
    key, values = draw(st.sampled_from(keys)), of_key[id(keys)]
    kinds = ["null", "in", "compare", "compare", "compare"] + ["like"] * (keys is not METRICS)
    match draw(st.sampled_from(kinds)):
        case "null":
            return ("null", key, draw(st.booleans()))
        case "in":
            return ("in", key, draw(st.lists(values, min_size=1, max_size=3)), draw(st.booleans()))
        case "like":
            return ("like", key, draw(patterns), draw(st.booleans()), draw(st.booleans()))
        case _:
            wanted = draw(values)
            equality = ["=", "==", "!="]
            return (
                "compare",
                key,
                draw(st.sampled_from(equality + list(OPERATORS) * (wanted == wanted))),
                wanted,
            )


filters = st.recursive(
    conditions(),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
        st.tuples(st.just("not"), inner),
    ),
    max_leaves=6,
)
ORDERED = [*METRICS, *SCALARS, *TEXT_KEYS[:2], *TEXT_KEYS[4:]]
orders = st.lists(st.tuples(st.sampled_from(ORDERED), st.booleans()), max_size=2, unique_by=lambda o: o[0][0])


def in_order(runs: Sequence[Made], order: Sequence[tuple[Key, bool]]) -> list[Made]:
    """Values, then NaN, then missing; equal ones by start, the latest first, then by id."""
    found = sorted(runs, key=lambda run: (run.started, run.id), reverse=True)
    for (_, values), descending in reversed(order):
        having = [run for run in found if values(run)]
        ranks: list[list[Made]] = [[], [], []]
        for run in having:
            ranks[_rank(values(run)[0])].append(run)
        for rank, members in enumerate(ranks):
            if rank < 2:
                members.sort(
                    key=lambda run: _comparable(values(run)[0], "" if rank else 0), reverse=descending
                )
        found = [*ranks[0], *ranks[1], *ranks[2], *(run for run in found if not values(run))]
    return found


def _rank(value: Any) -> int:
    if isinstance(value, str | bool):
        return 1
    return 2 if value != value else 0


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.data(), runs=histories(), few=st.sampled_from([0, 1, 5000]), window=st.sampled_from([0, 1, 100])
)
def test_filters_find_what_an_evaluator_finds(
    data: st.DataObject, runs: list[Made], few: int, window: int, fresh: Fresh
) -> None:
    path = fresh()
    backend = backend_at(path)
    backend.write([span for number, run in enumerate(runs) for span in run.spans(number)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "FEW", few)
        patch.setattr(searching, "WINDOW", window)
        for _ in range(8):
            node, order = data.draw(st.none() | filters), data.draw(orders)
            limit = data.draw(st.none() | st.integers(1, 4))
            text = written(node) if node else ""
            order_by = [f"{key} {'DESC' if descending else 'asc'}" for (key, _), descending in order]
            search = Search(parse_filter(text), parse_order(order_by))
            wanted = in_order([run for run in runs if node is None or holds(node, run)], order)
            found = [row.id for row in backend.runs(search, limit=limit)]
            assert found == [run.id for run in wanted][:limit], (text, order_by)
            assert backend.count(search) == len(wanted), text
    path.unlink()


def test_a_state_is_found_as_it_is_shown(fresh: Fresh) -> None:
    backend, starts = backend_at(fresh()), {sc.RUN_NAME: "x", sc.EXPERIMENT_NAME: "e"}
    spans = []
    for number, (end, rests) in enumerate(product([None, "finished", "failed", "killed"], [False, True])):
        run, writer = f"{number:032x}", f"{number:016x}"
        spans.append(ours("run.start", run, 1, writer, (1,), starts, 1))
        if rests:
            spans.append(ours("beat", run, 1, writer, (2,), {sc.RUN_STATE: "idle"}, 2))
        if end:
            spans.append(ours("run", run, 1, writer, (3,), {sc.RUN_STATE: end}, 3))
    backend.write(spans)
    living = frozenset(f"{number:016x}" for number in range(0, 8, 2))
    seen = set()
    for writers, host, now in product(
        [frozenset(), living, frozenset({"0" * 15 + "1"})], ["h", "other"], [4, 10**12]
    ):
        liveness = Liveness(now, host, writers)
        shown = {row.id: state_of(row, liveness) for row in backend.runs()}
        seen |= set(shown.values())
        for some in [{state} for state in State] + [{State.RUNNING, State.FAILED}, {State.LOST, State.IDLE}]:
            names = ", ".join(f"'{state}'" for state in some)
            for text, wanted in (
                (f"state in ({names})", some),
                (f"NOT status IN ({names})", set(State) - some),
            ):
                search = Search(parse_filter(text))
                found = {row.id for row in backend.runs(search, liveness)}
                assert found == {run for run, state in shown.items() if state in wanted}, (text, liveness)
                assert backend.count(search, liveness) == len(found)
        in_order = [shown[row.id] for row in backend.runs(Search(order=parse_order("state")), liveness)]
        assert in_order == sorted(in_order)
    assert seen == set(State)


def test_the_largest_filters_are_taken(fresh: Fresh) -> None:
    backend = backend_at(fresh())
    run = Made("1" * 32, "a", "e", 1, None, None, None, {"a": 1}, {}, {"m": 1.0}, {})
    backend.write(run.spans(1))
    nested = "name = 'a'"
    for level in range(MOST_DEPTH):
        nested = f"{['params.a = 2 or', 'metrics.m = 1 and'][level % 2]} not (not ({nested}))"
    ids = ", ".join(f"'{number:032x}'" for number in range(MOST_VALUES - 1))
    pattern = "🙂" * (MOST_PATTERN - 1)
    for text, passes in (
        (" and ".join(["params.a = 1"] * MOST_CONDITIONS), True),
        (" or ".join(["params.a = 2"] * MOST_CONDITIONS), False),
        (nested, True),
        (f"run_id in ({ids}, '{run.id}')", True),
        (f"params.a in ({ids}, 1)", True),
        (f"tags.a like '{pattern}%' or params.a like '{pattern}['", False),
    ):
        assert len(backend.runs(Search(parse_filter(text)))) == passes, text[:80]


def test_the_longest_orders_are_taken(fresh: Fresh) -> None:
    backend = backend_at(fresh())
    run = Made("1" * 32, "a", "e", 1, None, None, None, {"a": 1}, {}, {"m": 1.0}, {})
    backend.write(run.spans(1))
    order = parse_order(["metrics.m", *(f"params.x.a{n}" for n in range(MOST_KEYS - 1))])
    where = parse_filter(" and ".join(f"params.x.a{n} IS NULL" for n in range(MOST_CONDITIONS)))
    for keys in (order, order[:0:-1] + order[:1]):
        assert len(backend.runs(Search(where, keys), limit=5)) == 1


@pytest.mark.parametrize("text", ["[" * 3000, '{"a":' * 3000, "9" * 5000])
def test_a_text_that_python_cannot_read_as_json_is_a_text(fresh: Fresh, text: str) -> None:
    backend = backend_at(fresh())
    backend.write(Made("1" * 32, "a", "e", 1, None, None, None, {"a": text}, {}, {}, {}).spans(1))
    for filter in (f"params.a = '{text}'", f"params.a in ('x', '{text}')"):
        assert [row.id for row in backend.runs(Search(parse_filter(filter)))] == ["1" * 32]


def test_long_values_are_found_too(fresh: Fresh) -> None:
    backend = backend_at(fresh())
    for number, length in enumerate((97, 98, 99, 100, 5000)):
        params, facts = {"p": "é" * length}, {"process.command_line": "x" * length}
        backend.write(
            Made(f"{number:032x}", "", "e", 0, None, None, None, params, {}, {}, facts).spans(number)
        )
        for text in (
            f"params.p = '{'é' * length}'",
            f"attributes.process.command_line in ('{'x' * length}', 'y')",
        ):
            assert [row.id for row in backend.runs(Search(parse_filter(text)))] == [f"{number:032x}"]


def test_numbers_beyond_what_a_database_holds(fresh: Fresh) -> None:
    backend = backend_at(fresh())
    run = Made(
        "1" * 32, "", "e", 1, None, None, None, {"seed": 10**30, "n": 2**53 + 1}, {}, {"m": math.inf}, {}
    )
    backend.write(run.spans(1))
    for text in (
        f"params.seed = {10**30} and params.seed = '{10**30}'",
        f"metrics.m > {'9' * 400} or metrics.m = 1e999",
        f"started > -{10**40} and started < {10**40}",
        f"params.n = '{2**53 + 1}'",
    ):
        assert len(backend.runs(Search(parse_filter(text)))) == 1, text


def test_an_index_leads_to_each_kind_of_condition(fresh: Fresh) -> None:
    """Whatever is common or rare: no search may read a whole table to find a few runs."""
    path = fresh()
    backend = backend_at(path)
    backend.write(
        Made("1" * 32, "a", "e", 1, None, None, None, {"a": 1}, {"a": "b"}, {"m": 1.0}, {}).spans(1)
    )
    statements: list[tuple[str, Any]] = []
    event.listen(backend._engine, "before_cursor_execute", lambda *args: statements.append(args[2:4]))
    for text in (
        "params.a = 1",
        "params.a = '1'",
        "params.a > 0.5",
        "tags.a = 'b'",
        "metrics.m > 0.5",
        "attributes.vcs.a = 'b'",
        "experiment = 'e'",
        "parent = 'x'",
        "started > 0",
        "run_id = 'x'",
    ):
        for order in ("", "metrics.m desc", "started"):
            backend.runs(Search(parse_filter(text), parse_order(order)), limit=5)
    with closing(sqlite3.connect(path)) as db:
        for statement, parameters in statements:
            if statement.startswith("SELECT") and "autotrack_version" not in statement:
                for *_, step in db.execute("EXPLAIN QUERY PLAN " + statement, parameters):
                    assert not re.fullmatch(r"SCAN (run|param|tag|metric|attribute)\S*", step), statement
