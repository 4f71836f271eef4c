"""The API: what is read, what is wrong, and its published description held against it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    response_schema_conformance,
    status_code_conformance,
)

from autotrack import semconv as sc
from autotrack.backends import wire
from autotrack.grammar import parse_filter, parse_order
from autotrack.query import Search
from autotrack.testing.histories import RUN_SPANS, RUNS, WRITERS, foreign, ours

from .. import registered
from .live import Threaded
from .test_otlp_in import PROTOBUF, body_of, points


@pytest.fixture(scope="module")
def runs(server: Threaded) -> list[str]:
    """Ten runs, the n-th with param n and a curve that ends in n."""
    ids = [f"{n:02x}" + "e" * 30 for n in range(10)]
    spans = []
    for n, run in enumerate(ids):
        facts = {
            sc.RUN_NAME: f"run {n}",
            sc.EXPERIMENT_NAME: "even" if n % 2 == 0 else "odd",
            sc.PARAM_PREFIX + "n": n,
            sc.PARAM_PREFIX + "nan": float("nan"),
            sc.TAG_PREFIX + "t": "x",
        }
        if n == 9:
            facts[sc.RUN_PARENT] = ids[0]
        spans.append(ours("run.start", run, 1, "c" * 16, (n + 1,), facts, n))
        spans.append(points("loss", [float("inf"), float("nan"), float(n)], run)[1])
    assert server.ask("POST", "/v1/traces", body_of(*spans), PROTOBUF).status == 200
    return ids


def get(server: Threaded, path: str) -> Any:
    answer = server.ask("GET", f"/api/v1{path}")
    assert answer.status == 200, answer.data
    return answer.json()


def test_runs_come_page_by_page(server: Threaded, runs: list[str]) -> None:
    for order, expected in (("", runs[::-1]), ("params.n", runs)):
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            page = get(server, f"/runs?filter=params.n>=0&limit=3&order_by={order}&after={after}")
            assert len(page["runs"]) <= 3
            found += [run["id"] for run in page["runs"]]
            after = page["next"]
        assert found == expected


def test_a_run_as_it_is_told(server: Threaded, runs: list[str]) -> None:
    run = get(server, f"/runs/{runs[4][:6]}")
    assert (run["id"], run["name"], run["experiment"], run["state"]) == (runs[4], "run 4", "even", "running")
    assert (run["started"], run["ended"], run["told"]) == (1, None, None)
    assert run["params"] == {"n": 4, "nan": {"float": "NaN"}}
    assert run["metrics"]["loss"] == {"last": 4.0, "min": 4.0, "max": 4.0, "count": 3, "non_finite": 2}
    assert 0 <= run["silence"] < 60
    assert get(server, f"/runs/{runs[0]}")["children"] == [runs[9]]
    assert runs[9] not in [run["id"] for run in get(server, "/runs?roots=true&limit=1000")["runs"]]


def test_experiments_and_counts(server: Threaded, runs: list[str]) -> None:
    found = {one["name"]: one["runs"] for one in get(server, "/experiments")["experiments"]}
    assert (found["even"], found["odd"]) == (5, 5)
    assert get(server, "/runs/count?filter=params.n<3") == {"count": 3}


def test_points_as_json_and_as_columns(server: Threaded, runs: list[str]) -> None:
    path = f"/api/v1/runs/{runs[7]}/points?name=loss"
    told = server.ask("GET", path).json()
    assert (told["step"], told["value"]) == ([0, 1, 2], ["Infinity", "NaN", 7.0])
    raw = server.ask("GET", path, headers={"accept": "application/octet-stream"})
    assert raw.headers["x-count"] == "3"
    assert np.frombuffer(raw.data[:24], "<i8").tolist() == [0, 1, 2]
    assert repr(np.frombuffer(raw.data[48:], "<f8").tolist()) == "[inf, nan, 7.0]"
    long = points("x", list(np.sin(np.arange(5000))))
    server.ask("POST", "/v1/traces", body_of(long[1]), PROTOBUF)
    assert server.ask("GET", f"/api/v1/runs/{long[0]}/points?name=x&max_points=3").status == 422
    assert server.ask("GET", f"/api/v1/runs/{long[0]}/points?name=x&max_points=4").status == 200
    reduced = get(server, f"/runs/{long[0]}/points?name=x&max_points=100")
    assert reduced["count"] == 5000
    assert 50 <= len(reduced["step"]) <= 200


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/runs?filter=metrics.x>", 400, "the filter's column 11"),
        ("/runs?order_by=nothing", 400, "the order's column 1"),
        ("/runs?limit=x", 422, "limit is no whole number"),
        ("/runs?limit=0", 422, "limit is not between 1 and 10,000"),
        ("/runs?after=x", 422, "after is not what `next` said"),
        ("/runs?after=99999999999999999999-a", 422, "after is not what"),
        ("/runs?roots=maybe", 422, "neither true nor false"),
        ("/runs?limit=1&wrong=1", 422, "no parameter 'wrong'"),
        ("/runs/zz", 404, "no run has the id 'zz'"),
        ("/runs/zz/logs", 404, "no run has the id 'zz'"),
        ("/nothing", 404, "there is nothing here"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    server: Threaded, runs: list[str], path: str, status: int, said: str
) -> None:
    answer = server.ask("GET", f"/api/v1{path}")
    assert answer.status == status
    assert said in answer.json()["error"]["message"]


def test_a_filters_error_has_its_column(server: Threaded) -> None:
    answer = server.ask("GET", "/api/v1/runs?filter=metrics.acc%20%3E%20%27a%27")
    assert answer.json()["error"]["column"] == 15


SEARCHES = [
    "params.n >= 2 AND NOT params.n = 4",
    "tags.t LIKE 'x%' OR metrics.loss IN (1, 2) AND name ILIKE 'RUN _'",
    "state = 'running' AND params.absent IS NULL",
    "experiment = 'odd' AND started > '-7d' OR parent IS NOT NULL",
]


@pytest.mark.parametrize("filter", SEARCHES)
def test_a_search_that_was_understood_elsewhere(server: Threaded, runs: list[str], filter: str) -> None:
    search = Search(parse_filter(filter), parse_order("metrics.loss desc, params.n"))
    assert wire.search_from_json(json.loads(json.dumps(wire.search_to_json(search)))) == search
    body = json.dumps(wire.search_to_json(search))
    found = server.ask("POST", "/api/v1/search", body).json()["runs"]
    query = urlencode({"filter": filter, "order_by": "metrics.loss desc, params.n"})
    assert [run["id"] for run in found] == [run["id"] for run in get(server, f"/runs?{query}")["runs"]]


@pytest.mark.parametrize(
    "told",
    [
        [],
        {"where": 1},
        {"where": ["Compare", ["run", "nothing"], "=", "x"]},
        {"where": ["Compare", ["run", "started"], "=", "x"]},
        {"where": ["Compare", ["metric", "x"], "=", None]},
        {"where": ["Compare", ["metric", "x"], ";", 1]},
        {"where": ["Like", ["metric", "x"], "a", False, False]},
        {"where": ["And"]},
        {"where": ["Not", ["InState", "running"]]},
        {"where": ["InState", "asleep"]},
        {"where": ["Present", ["run", 7]]},
        {"order": [["metric", "x", 1]]},
        {"order": 3},
        {"order": [["metric", "x", True]] * 21},
        {"order": [["dataset", "name", True]]},
        {"order": [["metric", "\ud800", True]]},
        {"where": ["Present", ["param", "\ud800"]]},
        {"where": ["Compare", ["tag", "x"], "=", "\ud800"]},
        {"where": ["Or", *[["Compare", ["param", "a"], "=", 1.0]] * 501]},
        {"where": ["OneOf", ["param", "a"], [1.0] * 10_001, False]},
        {"where": ["Like", ["param", "a"], "%" * 10_001, False, False]},
        {"where": json.loads('["And", ' * 21 + '["Present", ["param", "a"]]' + "]" * 21)},
    ],
)
def test_no_search(server: Threaded, told: Any) -> None:
    answer = server.ask("POST", "/api/v1/search", json.dumps(told))
    assert answer.status == 400
    assert "no " in answer.json()["error"]["message"]


def test_a_person_changes_a_run(server: Threaded, runs: list[str]) -> None:
    def edit(status: int = 200, **told: Any) -> Any:
        answer = server.ask("POST", f"/api/v1/runs/{runs[3]}/edits", json.dumps(told))
        assert answer.status == status, answer.data
        return answer.json()

    assert edit(field="name", value="the best")["name"] == "the best"
    edit(field="note", value="first", author="ada")
    assert edit(field="note", value="second\nline")["note"] == "second\nline"
    assert edit(field="archived", value=True)["archived"] is True
    assert edit(field="archived", value=False)["archived"] is False
    assert edit(field="tags.t", value="y")["tags"] == {"t": "y"}
    assert [
        run["id"] for run in get(server, "/runs?filter=tags.t='y'%20AND%20name='the%20best'")["runs"]
    ] == [runs[3]]
    for wrong in (
        {"field": "started", "value": "x"},
        {"field": "tags.", "value": "x"},
        {"field": "archived", "value": "yes"},
        {"field": "note", "value": 7},
        {"field": "note"},
        {"field": "note", "value": "x", "more": 1},
        {"field": "note", "value": "\ud800"},
        {"field": "note", "value": "x", "author": "\ud800"},
        {"field": "tags.\ud800", "value": "x"},
    ):
        edit(422, **wrong)
    assert server.ask("POST", "/api/v1/runs/zz/edits", '{"field": "note", "value": ""}').status == 404
    assert server.ask("POST", f"/api/v1/runs/{runs[3]}/edits", "[]").status == 400


def test_events_tell_which_runs_changed(server: Threaded) -> None:
    stream = server.ask("GET", "/api/v1/events", preload_content=False)
    lines = (line for part in stream.stream() for line in part.decode().splitlines())
    assert next(lines) == "event: hello"
    run, span = points("x", [1.0])
    threading.Timer(0.2, server.ask, ("POST", "/v1/traces", body_of(span), PROTOBUF)).start()
    found = next(line for line in lines if line.startswith("data:") and "runs" in line)
    told = json.loads(found.removeprefix("data: "))
    assert told["runs"] == [run]
    stream.close()
    again = server.ask("GET", f"/api/v1/events?since={told['cursor'] - 1}", preload_content=False)
    lines = (line for part in again.stream() for line in part.decode().splitlines())
    assert run in next(line for line in lines if '"runs"' in line), "who was away is told"
    again.close()


def test_a_run_is_there_as_soon_as_its_commit_is_acknowledged(server: Threaded) -> None:
    for _ in range(20):
        run, span = points("x", [1.0])
        assert server.ask("POST", "/v1/traces", body_of(span), PROTOBUF).status == 200
        assert get(server, f"/runs/{run}")["metrics"]["x"]["count"] == 1


def test_the_description_is_published(server: Threaded) -> None:
    document = get(server, "/openapi.json")
    assert document["openapi"] == "3.1.0"
    assert {"/api/v1/runs", "/api/v1/runs/{run_id}/points", "/api/v1/blobs/{sha256}"} <= set(
        document["paths"]
    )


@pytest.fixture(scope="module")
def whole(server: Threaded) -> str:
    """A run that has something in each list, with the bytes of its files."""
    run = RUNS[0]
    span = RUN_SPANS[run]
    more = [
        ("log", {sc.LOG_STREAM: "stdout", sc.LOG_LINE: 1, sc.LOG_TIMES: (1, 2), sc.LOG_TEXT: "a\nb"}),
        ("fit", {sc.FIT_CLASS: "toys.Model", sc.PARAM_PREFIX + "nan": float("nan")}),
        ("rank", {sc.RANK: 0, sc.WORLD_SIZE: 2}),
        ("update", {"vcs.ref.head.name": "main"}),
    ]
    told = [ours(kind, run, 1, WRITERS[1], (seq,), facts, seq) for seq, (kind, facts) in enumerate(more, 1)]
    body = body_of(*registered.spans(run, registered.BYTES), *told, foreign(1, span))
    assert server.ask("POST", "/v1/traces", body, PROTOBUF).status == 200
    for data in registered.BYTES.values():
        upload = {"upload-offset": "0", "upload-complete": "?1"}
        blob = f"/api/v1/blobs/{registered.sha256(data)}"
        assert server.ask("PATCH", blob, data, upload).status == 204
    return run


class TestSchema:
    """Whatever fits the description, and much that does not: never a 500, always as described.

    What is refused leaves nothing behind. Half of it is asked of what there is.
    """

    def test_requests_made_from_the_description(self, server: Threaded, runs: list[str], whole: str) -> None:
        document = get(server, "/openapi.json")
        del document["paths"]["/api/v1/events"]
        schema = schemathesis.openapi.from_dict(document)
        refused = 0

        def ask(case: Any) -> Any:
            nonlocal refused
            before = server.facts()
            answer = case.call_and_validate(
                base_url=server.url,
                headers={"authorization": "Bearer secret"},
                checks=[not_a_server_error, status_code_conformance, response_schema_conformance],
            )
            if answer.status_code >= 400:
                assert server.facts() == before
                refused += 1
            return answer

        for number, made in enumerate(schema.get_all_operations()):
            operation = made.ok()
            there = self.there_is(server, whole, f"model {number}", operation)
            if operation.method == "get":
                answer = ask(operation.Case(path_parameters=dict(there[0]), query=dict(there[1])))
                assert answer.status_code == 200, (operation.path, answer.content)
                if answer.headers["content-type"] == ["application/json"]:
                    assert self.tells(answer.json()), operation.path
            self.ask_much(operation, there, ask)
        assert refused > 50, "else it proves little"

    def ask_much(self, operation: Any, there: Sequence[dict[str, Any]], ask: Callable[[Any], Any]) -> None:
        path, query, body = there

        @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy(), is_there=st.booleans())
        def ask_one(case: Any, is_there: bool) -> None:
            if is_there:
                case.path_parameters = dict(path)
                case.query = {**(case.query or {}), **query}
                if isinstance(case.body, dict):
                    case.body |= {name: told for name, told in body.items() if name in case.body}
            ask(case)

        ask_one()

    def there_is(self, server: Threaded, run: str, model: str, operation: Any) -> Sequence[dict[str, Any]]:
        """What an operation can be asked of: in its path, in its query, and in its body.

        Each has a model of its own, as some delete it.
        """
        version = {"run_id": run, "path": "model"}
        told = json.dumps(version | {"alias": "champion"})
        assert server.ask("POST", f"/api/v1/models/{quote(model)}/versions", told).status == 200
        data = registered.sha256(registered.BYTES["plot.png"])
        there = {"run_id": run, "path": "plot.png", "sha256": data, "name": model, "version": "1"}
        there["alias"] = "champion"
        known = {"run_id": run, "like": run, "model": model}
        if operation.path.endswith("/points"):
            known["name"] = "acc"
        path, query = (
            {one.name: found[one.name] for one in parameters if one.name in found}
            for parameters, found in ((operation.path_parameters, there), (operation.query, known))
        )
        return path, query, version | {"version": 1}

    def tells(self, told: dict[str, Any]) -> bool:
        """Whether an answer has something in it, beside the name that was asked for."""
        return any(value for key, value in told.items() if key != "name")
