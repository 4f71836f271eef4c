"""Filters and orders: what they mean, whose words they take, and what is said where one is wrong."""

from __future__ import annotations

import json
import pickle
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import autotrack
from autotrack.cli import commands
from autotrack.errors import AutotrackError, QueryError
from autotrack.grammar import parse_filter, parse_order
from autotrack.query import (
    MOST_CONDITIONS,
    MOST_DEPTH,
    MOST_KEYS,
    MOST_PATTERN,
    MOST_VALUES,
    And,
    Compare,
    Entity,
    InState,
    Key,
    Like,
    Not,
    OneOf,
    Or,
    Order,
    Present,
)
from autotrack.states import State

from .scripts import Place
from .tracking import Tracking, tracking

__all__ = ["tracking"]

ACC, LR = Key(Entity.METRIC, "acc"), Key(Entity.PARAM, "lr")
NAME, STARTED = Key(Entity.RUN, "name"), Key(Entity.RUN, "started")


# --- what they mean -------------------------------------------------------------------------------


def test_and_binds_before_or_and_not_before_both() -> None:
    a, b, c = (Compare(Key(Entity.TAG, name), "=", "x") for name in "abc")
    assert parse_filter("tags.a = 'x' or not tags.b = 'x' AND tags.c == \"x\"") == Or((a, And((Not(b), c))))
    assert parse_filter("(tags.a = 'x' or tags.b = 'x') and tags.c = 'x'") == And((Or((a, b)), c))
    assert parse_filter("not (tags.a = 'x' and not (tags.b = 'x' or tags.c = 'x'))") == Or((Not(a), b, c))


@pytest.mark.parametrize("empty", ["", "  ", "\n\t"])
def test_an_empty_filter_is_none(empty: str) -> None:
    assert parse_filter(empty) is None
    assert parse_order(empty) == parse_order([]) == parse_order([empty]) == ()


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("metrics.acc", Key(Entity.METRIC, "acc")),
        ("metric.val.acc", Key(Entity.METRIC, "val.acc")),
        ("metrics.system/cpu-0", Key(Entity.METRIC, "system/cpu-0")),
        ("metrics.`a b (c)`", Key(Entity.METRIC, "a b (c)")),
        ("metrics.`a``b`", Key(Entity.METRIC, "a`b")),
        ('`metrics`."a""b".c', Key(Entity.METRIC, 'a"b.c')),
        ("metrics.0", Key(Entity.METRIC, "0")),
        ("metrics.größe", Key(Entity.METRIC, "größe")),
        ("metrics.and", Key(Entity.METRIC, "and")),
        ("params.notes", Key(Entity.PARAM, "notes")),
        ("parameters.svc__C", Key(Entity.PARAM, "svc__C")),
        ("tag.mlflow.user", Key(Entity.TAG, "mlflow.user")),
        ("attributes.vcs.ref.head.revision", Key(Entity.ATTRIBUTE, "vcs.ref.head.revision")),
        ('run."process.command_line"', Key(Entity.ATTRIBUTE, "process.command_line")),
        ("attr.status", Key(Entity.RUN, "state")),
        ("error.type", Key(Entity.RUN, "error.type")),
        ("attributes.`Run name`", Key(Entity.RUN, "name")),
        ("user_id", Key(Entity.ATTRIBUTE, "process.owner")),
    ],
)
def test_keys(written: str, key: Key) -> None:
    assert parse_order(f"{written} DESC") == (Order(key, descending=True),)


def test_numbers_and_texts() -> None:
    numbers = "1, -2, +.5, 3., 1e-5, -1E+3, inf, -Infinity"
    found = parse_filter(f"params.lr in ({numbers})")
    assert found == OneOf(LR, (1.0, -2.0, 0.5, 3.0, 1e-5, -1000.0, float("inf"), -float("inf")))
    nan = parse_filter("metrics.acc = NaN")
    assert isinstance(nan, Compare)
    assert nan.value != nan.value
    texts = '''params.lr not in ('it''s', "say ""x""", 'a"b', "it's", "", true,)'''
    assert parse_filter(texts) == OneOf(LR, ("it's", 'say "x"', 'a"b', "it's", "", "True"), negated=True)
    assert parse_filter("params.lr not ilike 'a%'") == Like(LR, "a%", ignore_case=True, negated=True)
    both = And((Present(LR), Not(Present(ACC))))
    assert parse_filter("params.lr IS NOT NULL and metrics.acc is null") == both


def test_states_are_ours_or_mlflows() -> None:
    assert parse_filter("status = 'FINISHED'") == InState(frozenset({State.FINISHED}))
    assert parse_filter("state != 'lost'") == InState(frozenset(State) - {State.LOST})
    assert parse_filter("status in ('RUNNING', 'SCHEDULED')") == InState(frozenset({State.RUNNING}))
    assert parse_filter("status like 'F%' or state ilike 'IDL_'") == Or(
        (InState(frozenset({State.FINISHED, State.FAILED})), InState(frozenset({State.IDLE})))
    )
    assert parse_filter("state is null") == InState(frozenset())


def _span(text: str) -> tuple[int, int]:
    """The span of time that a text means."""
    found = parse_filter(f"started = {text}")
    assert isinstance(found, And)
    low, high = found.operands
    assert isinstance(low, Compare)
    assert isinstance(high, Compare)
    assert (low.comparator, high.comparator) == (">=", "<")
    return int(low.value), int(high.value)


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_a_time_is_as_long_as_it_is_exact() -> None:
    hour = 3600 * 10**9
    assert _span("'2026-11-01'") == (_ns(datetime(2026, 11, 1)), _ns(datetime(2026, 11, 2)))
    assert _span("'2026-10-25'")[1] - _span("'2026-10-25'")[0] == 25 * hour, "the clocks go back"
    half_past_two = datetime(2026, 11, 1, 14, 30)
    assert _span("'2026-11-01 14:30'") == (_ns(half_past_two), _ns(half_past_two + timedelta(minutes=1)))
    assert _span("'2026-11-01T14:30:05Z'") == (1793543405 * 10**9, 1793543406 * 10**9)
    assert _span("'2026-11-01T14:30:05.5+01:00'") == (1793539805500000000, 1793539805500001000)
    assert _span("1793543405123") == (1793543405123000000, 1793543405124000000)
    before = time.time_ns()
    week_ago = _span("'-7d'")[0] + 7 * 24 * hour
    assert before <= week_ago <= time.time_ns()


def test_times_compare_with_all_of_a_day() -> None:
    low, high = _span("'2026-11-01'")
    day = "'2026-11-01'"
    assert parse_filter(f"started > {day}") == Compare(STARTED, ">=", high)
    assert parse_filter(f"started >= {day}") == Compare(STARTED, ">=", low)
    assert parse_filter(f"started < {day}") == Compare(STARTED, "<", low)
    assert parse_filter(f"started <= {day}") == Compare(STARTED, "<", high)
    outside = Or((Compare(STARTED, "<", low), Compare(STARTED, ">=", high)))
    assert parse_filter(f"started != {day}") == outside == parse_filter(f"started not in ({day})")


MLFLOW = """
metrics.accuracy > 0.72
metrics."cross-entropy" <= -1e-3
metrics.`model accuracy` != 0 AND params.batch_size = "2"
params.model LIKE 'GPT%' and tags.`mlflow.parentRunId` ILIKE '%abc%'
tags."mlflow.source.type" = 'NOTEBOOK'
tag.environment IS NULL AND params.lr IS NOT NULL
attributes.status = 'FINISHED'
attributes.created > 1664067852747
attr.start_time >= 1664067852747 and end_time < 1664067852748
run.run_name = "a'b" and run_id IN ('a1', "b2")
attributes.run_id NOT IN ('a1',)
`attribute`.`Run name` LIKE '%x'
dataset.name = 'mnist' and datasets.digest IN ('s8ds', 'qs3x') and dataset.context != 'train'
user_id = 'me'
"""


@pytest.mark.parametrize("late", ["1e999990", "1e999999", "9" * 5000, "'9999-12-31'", "'2263-01-01T00:00Z'"])
def test_a_time_after_all_that_a_store_can_hold(late: str) -> None:
    """Whoever says "before the year 9999" is understood, and no number takes long."""
    assert parse_filter(f"started < {late}") == Compare(STARTED, "<", 2**63 - 1)


@pytest.mark.parametrize("early", ["-1e999990", "-1e999999", "'0001-01-01'", "'1676-12-31'"])
def test_a_time_before_all_that_a_store_can_hold(early: str) -> None:
    assert parse_filter(f"started > {early}") == Compare(STARTED, ">=", -(2**63))


def test_a_time_that_is_hardly_more_than_none() -> None:
    assert parse_filter("started >= 1e-999999") == Compare(STARTED, ">=", 0)


@pytest.mark.parametrize("text", MLFLOW.strip().splitlines())
def test_mlflows_filters_are_taken(text: str) -> None:
    assert parse_filter(text) is not None


# --- what is wrong --------------------------------------------------------------------------------

CONDITION = "a condition such as metrics.acc > 0.9"
COMPARISON = "= != < <= > >= IN LIKE ILIKE or IS"
VALUE = "a number or text in quotes"
KNOWN = "metrics.x, params.x, tags.x, attributes.x and datasets.x are known"
WRONG = [
    ("and", 1, f"expected {CONDITION}, found and"),
    ("metrics.acc > 1 and", 20, f"expected {CONDITION}, found the end"),
    ("metrics.acc > 1 or or name = 'x'", 20, f"expected {CONDITION}, found or"),
    ("not", 4, f"expected {CONDITION}, found the end"),
    ("()", 2, f"expected {CONDITION}, found )"),
    ("1 < metrics.acc", 1, f"expected {CONDITION}, found 1"),
    ("metrics.acc", 12, f"expected {COMPARISON}, found the end"),
    ("metrics.acc >", 14, f"expected {VALUE}, found the end"),
    ("metrics.acc > 1 metrics.f1 > 1", 17, "expected AND, OR or the end, found metrics.f1"),
    ("(metrics.acc > 1", 17, "expected AND, OR or ), found the end"),
    ("metrics.acc > 1)", 16, "expected AND, OR or the end, found )"),
    ("metrics.acc > 1;", 16, "expected AND, OR or the end, found ;"),
    ("metrics.acc > 1.2.3", 15, f"expected {VALUE}, found 1.2.3"),
    ("params.lr = adam", 13, "text stands in quotes: write 'adam'"),
    ("params.lr = 'adam", 13, "the ' here is never closed"),
    ("metrics.`acc > 1", 9, "the ` here is never closed"),
    ("metrics. acc > 1", 8, "expected a name right after the dot"),
    (
        "metrics.a(b) > 1",
        10,
        f"expected {COMPARISON}, found (; a name with such characters stands in backticks",
    ),
    ("name <> 'x'", 6, "<> is not known: write !="),
    ("name = 'x' && name = 'y'", 12, "&& is not known: write AND"),
    ("name in 'x'", 9, "expected a list such as ('a', 'b'), found 'x'"),
    ("name in ('x' 'y')", 14, "expected a comma or ), found 'y'"),
    ("name in ()", 10, f"expected {VALUE}, found )"),
    ("name not 'x'", 10, "expected IN, LIKE or ILIKE, found 'x'"),
    ("name is 'x'", 9, "expected NULL or NOT NULL, found 'x'"),
    ("metrcs.acc > 1", 1, "no entity 'metrcs': did you mean 'metrics'?"),
    ("zzz.acc > 1", 1, f"no entity 'zzz': {KNOWN}"),
    ("acc > 1", 1, f"no attribute 'acc': {KNOWN}"),
    ("attributes.strated > 1", 1, "no attribute 'strated': did you mean 'started'?"),
    ("datasets.digset = 'x'", 1, "no field of datasets 'digset': did you mean 'digest'?"),
    ('metrics."" > 1', 1, "a key of metrics without a name"),
    ("metrics.acc > '1'", 15, "metrics.acc is a number: write one, without quotes"),
    ("metrics.acc > nan", 13, "nothing is less or greater than NaN: compare it by = or !="),
    ("metrics.acc like '1'", 13, "metrics.acc is a number: LIKE is for text"),
    ("tags.fold = 3", 13, "tags.fold is text: write '3'"),
    ("params.lr like 3", 16, "expected text in quotes: write '3'"),
    ("started ilike '2026%'", 9, "started is a time: ILIKE is for text"),
    (
        "started > '2026-13-01'",
        11,
        "'2026-13-01' is no time: write '2026-11-01', '2026-11-01 14:30', '-7d' or milliseconds since 1970",
    ),
    ("state = 'finnished'", 9, "no state 'finnished': did you mean 'finished'?"),
    ("state > 'failed'", 7, "state is a state: compare it by = or !="),
    ("name = '\ud800'", 9, "half a character that is no Unicode"),
    (" or ".join(["name = 'x'"] * (MOST_CONDITIONS + 1)), 1, f"more than {MOST_CONDITIONS} conditions"),
    (f"name in ({', '.join([repr('x')] * (MOST_VALUES + 1))})", 1, f"more than {MOST_VALUES:,} values"),
    (f"name like '{'x' * (MOST_PATTERN + 1)}'", 11, f"a pattern of more than {MOST_PATTERN:,} characters"),
]


@pytest.mark.parametrize(("text", "column", "problem"), WRONG, ids=[text[:30] for text, _, _ in WRONG])
def test_a_wrong_filter_is_pointed_at(text: str, column: int, problem: str) -> None:
    with pytest.raises(QueryError) as raised:
        parse_filter(text)
    error = raised.value
    assert (error.problem, error.column, error.query) == (problem, column, text)
    assert str(error) == f"the filter's column {column}: {problem}"
    shown, caret = error.caret.split("\n")
    at = text[column - 1 : column]
    assert shown[len(caret) - 1 : len(caret)] == (at if at.isprintable() else " ")


def test_there_are_more_than_thirty_of_them() -> None:
    assert len({problem for _, _, problem in WRONG}) > 30


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("metrics.acc down", 13, "expected ASC, DESC, a comma or the end, found down"),
        ("metrics.acc desc,", 18, "expected a key such as metrics.acc, found the end"),
        ("metrics.acc > 1", 13, "expected ASC, DESC, a comma or the end, found >"),
        ("name, datasets.name", 7, "a run may have several datasets: there is no order by one"),
        ("metric", 1, f"no attribute 'metric': {KNOWN}"),
    ],
)
def test_a_wrong_order_is_pointed_at(text: str, column: int, problem: str) -> None:
    for order_by in (text, ["started", text]):
        with pytest.raises(QueryError) as raised:
            parse_order(order_by)
        assert str(raised.value) == f"the order's column {column}: {problem}"
        assert raised.value.query == text


def test_too_many_keys_to_sort_by() -> None:
    keys = ["metrics.a"] * (MOST_KEYS + 1)
    for order_by in (keys, ", ".join(keys), iter(keys)):
        with pytest.raises(QueryError, match=f"the order's column 1: more than {MOST_KEYS} keys"):
            parse_order(order_by)
    assert len(parse_order(keys[1:])) == MOST_KEYS


def test_too_deep_a_filter() -> None:
    text = "name = 'x'"
    for level in range(MOST_DEPTH + 1):
        text = f"name = 'y' {['or', 'and'][level % 2]} ({text})"
    with pytest.raises(QueryError, match=f"AND and OR inside each other more than {MOST_DEPTH} times"):
        parse_filter(text)
    assert parse_filter("(" * 5000 + "name = 'x'" + ")" * 5000) == parse_filter("not " * 5000 + "name = 'x'")


def test_an_error_is_one_line_of_plain_characters_and_survives_a_pickle() -> None:
    text = "name = 'x'\nand\x1b[2J metrcs.`a\n\x07b` > 1 and " + "x" * 500
    with pytest.raises(QueryError) as raised:
        parse_filter(text)
    error = pickle.loads(pickle.dumps(raised.value))
    assert isinstance(error, AutotrackError)
    assert isinstance(error, ValueError)
    assert str(error) == str(raised.value)
    assert error.caret == raised.value.caret
    assert str(error).isprintable()
    assert all(line.isprintable() for line in error.caret.split("\n"))
    with pytest.raises(QueryError) as raised:
        parse_filter(f"params.x = {'y' * 10_000}")
    assert len(str(raised.value)) < 300


fragments = st.sampled_from(
    [
        "metrics.a",
        "params.`b`",
        'tags."c"',
        "name",
        "started",
        "state",
        "and",
        "or",
        "not",
        "in",
        "is",
        "null",
        "like",
        "ilike",
        "=",
        "!=",
        ">",
        "(",
        ")",
        ",",
        "'x'",
        "1",
        "-1",
        "nan",
        "true",
        "'",
        '"',
        "`",
        ".",
        "\n",
        "x",
        "é",
        ";",
        "'-7d'",
    ]
)


@given(st.lists(fragments, max_size=12), st.sampled_from(["", " "]))
def test_any_text_is_a_filter_or_a_query_error(parts: list[str], between: str) -> None:
    text = between.join(parts)
    for parse in (parse_filter, parse_order):
        found = None
        try:
            parse(text)
        except QueryError as error:
            found = error
        assert found is None or (1 <= found.column <= len(text) + 1 and str(found).isprintable())


# --- as users ask ---------------------------------------------------------------------------------


def test_runs_are_searched_and_counted(tracking: Tracking) -> None:
    tracking.enable()
    for number in range(5):
        with autotrack.run(f"run {number}", params={"lr": number / 10, "kind": "net"}):
            autotrack.log({"acc": number / 5} if number else {"acc": float("nan")})
    with autotrack.run("other", params={"lr": 0.1}):
        pass
    found = autotrack.runs("params.lr <= 0.3 and params.kind = 'net'", order_by="metrics.acc desc", limit=2)
    assert [run.name for run in found] == ["run 3", "run 2"]
    assert (len(found), found.total) == (2, 4)
    names = [run.name for run in autotrack.runs(order_by=["metrics.acc"])]
    assert names == ["run 1", "run 2", "run 3", "run 4", "run 0", "other"]
    assert len(autotrack.runs("state = 'finished'", experiment="tests")) == 6
    assert autotrack.runs("state = 'finished'", experiment="nobody's").total == 0
    day = timedelta(days=1)
    assert len(autotrack.runs(f"started > '-1d' and started < '{datetime.now() + day:%Y-%m-%d}'")) == 6
    assert len(autotrack.runs("duration < 60 and duration >= 0")) == 6
    with pytest.raises(QueryError, match="did you mean 'metrics'"):
        autotrack.runs("metrcs.acc > 1")


def test_a_run_that_goes_on_is_running_to_a_filter_too(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("live"):
        autotrack.flush()
        assert [run.name for run in autotrack.runs("state = 'running'")] == ["live"]
        assert autotrack.runs("state = 'running'").total == 1
        assert list(autotrack.runs("state != 'running'")) == []
    assert list(autotrack.runs("state = 'running'")) == []


def test_a_wrong_filter_is_an_error_where_there_is_no_store_yet(tracking: Tracking) -> None:
    with pytest.raises(QueryError):
        tracking.store.runs("metrics.acc >")
    assert tracking.store.runs("metrics.acc > 1").total == 0


def test_the_command_filters_orders_and_points(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("outer"):
        for acc in (0.5, 0.9, 0.7):
            with autotrack.run(f"inner {acc}"):
                autotrack.log({"acc": acc})
    autotrack.flush()

    def call(*args: str) -> tuple[int, str, str]:
        command = ["runs", "--store", tracking.store.url, *args]
        result = CliRunner().invoke(commands, command, env={"COLUMNS": "100"})
        return result.exit_code, result.stdout, result.stderr

    status, out, _ = call("metrics.acc > 0.5", "--order-by", "metrics.acc desc", "--limit", "1", "--json")
    assert (status, [run["name"] for run in json.loads(out)]) == (0, ["inner 0.9"])
    status, out, _ = call("--order-by", "metrics.acc")
    assert re.findall(r"outer|inner 0\.\d", out) == ["inner 0.5", "inner 0.7", "inner 0.9", "outer"]
    status, out, _ = call("metrics.acc > 0.6", "--limit", "1")
    assert "1 of 2 runs in" in out
    status, out, _ = call("metrics.acc > 1")
    assert (status, out.split(" in ")[0]) == (0, "No runs match metrics.acc > 1")
    status, out, err = call("metrics.acc > 1 amd state = 'x'")
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        "autotrack: the filter's column 17: expected AND, OR or the end, found amd",
        "  metrics.acc > 1 amd state = 'x'",
        "                  ^",
    ]


def test_the_parser_is_loaded_by_the_first_filter_only(store: Place) -> None:
    ended = store.run("""
        import sys
        import autotrack
        from autotrack.store import Store

        Store("sqlite:///none.db").runs(limit=1)
        print("lark" in sys.modules)
        Store("sqlite:///none.db").runs("metrics.acc > 1")
        print("lark" in sys.modules)
    """)
    assert (ended.out, ended.err) == ("False\nTrue\n", "")
