"""The registry over HTTP: what is refused and how, and sixteen processes at a server at once."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest

from autotrack import semconv as sc
from autotrack.backends.http import HttpBackend
from autotrack.errors import ModelNotFound, RegistryConflict, RegistryValueError, StoreError
from autotrack.testing.histories import RUNS, WRITERS, ours
from autotrack.testing.registries import model_spans

from ..backends.test_registry import assert_consecutive, registered_at_once
from ..scripts import Place
from .live import Process, Threaded
from .test_otlp_in import PROTOBUF, body_of

DATA = {"name": "train", "role": "train", "digest": "xxh3:ab"}


@pytest.fixture(scope="module")
def churn(server: Threaded) -> Threaded:
    """A server with a model of two versions."""
    told = {sc.DATASET_NAME: "train", sc.DATASET_ROLE: "train", sc.DATASET_DIGEST: "xxh3:ab"}
    data = ours("dataset", RUNS[0], 1, WRITERS[0], (50,), {**told, sc.DATASET_SHAPE: (10, 3)}, 50)
    assert server.ask("POST", "/v1/traces", body_of(*model_spans(), data), PROTOBUF).status == 200
    for path in ("model", "other"):
        told = {"run_id": RUNS[0], "path": path, "alias": "champion", "author": "ann"}
        answer = server.ask("POST", "/api/v1/models/churn/versions", json.dumps(told))
        assert answer.status == 200, answer.data
    return server


WRONG: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/models/chrun", None, 404, "did you mean 'churn'"),
    ("GET", "/models/churn/versions/3", None, 404, "no version 3"),
    ("GET", "/models/churn/versions/@best", None, 404, "no alias 'best'"),
    ("GET", "/models/churn/versions/best", None, 422, "is no version"),
    ("GET", "/models?order_by=size", None, 422, "no order of models"),
    ("GET", "/models?tags=[]", None, 422, "no JSON object"),
    ("GET", "/models?tags={", None, 422, "no JSON object"),
    ("GET", "/models?limit=0", None, 422, "not between"),
    ("GET", "/models?after=x", None, 422, "not what a page said"),
    ("GET", "/audit?before=-1", None, 422, "not between"),
    ("POST", "/models", {"name": "churn"}, 409, "already"),
    ("POST", "/models", {"name": "a/b"}, 422, "has no '/'"),
    ("POST", "/models", {"name": 7}, 422, "name is not of the type"),
    ("POST", "/models", {}, 422, "name is missing"),
    ("POST", "/models", {"name": "x", "more": 1}, 422, "no 'more' here"),
    ("POST", "/models", {"name": "x", "tags": {"a": 1}}, 422, "tag 'a' is text"),
    ("POST", "/models", [], 400, "no JSON object"),
    ("POST", "/models/churn/rename", {"to": "a:b"}, 422, "has no ':'"),
    ("POST", "/models/chrun/rename", {"to": "x"}, 404, "no registered model"),
    ("POST", "/models/x/versions", {"run_id": "f" * 32, "path": "model"}, 404, "no run has the id"),
    ("POST", "/models/x/versions", {"run_id": RUNS[0], "path": "no"}, 404, "has no model 'no'"),
    ("POST", "/models/x/versions", {"run_id": "\ud800", "path": "no"}, 422, "half a character"),
    ("PATCH", "/models/churn/versions/1", {"description": "x" * 65_537}, 422, "65,536 are the most"),
    ("PATCH", "/models/churn/versions/x", {"description": ""}, 422, "no version's number"),
    ("DELETE", "/models/churn/versions/2", None, 409, "alias champion"),
    ("DELETE", "/models/churn", None, 409, "alias champion"),
    ("PUT", "/models/churn/aliases/latest", {"version": 1}, 422, "an alias is no number"),
    ("PUT", "/models/churn/aliases/champion", {"version": 1, "expected": 1}, 409, "points at version 2"),
    ("PUT", "/models/churn/aliases/champion", {"version": True}, 422, "version is not of the type"),
    ("PUT", "/models/churn/aliases/champion", {"version": 2**70}, 404, "no version"),
    ("DELETE", "/models/churn/aliases/best", None, 404, "no alias 'best'"),
    ("PUT", "/models/churn/versions/1/stage", {"stage": "best"}, 422, "no stage"),
]


@pytest.mark.parametrize(("method", "path", "told", "status", "said"), WRONG)
def test_what_is_wrong_is_said_in_one_line_and_changes_nothing(
    churn: Threaded, method: str, path: str, told: Any, status: int, said: str
) -> None:
    before = churn.ask("GET", "/api/v1/audit").json()
    answer = churn.ask(method, f"/api/v1{path}", None if told is None else json.dumps(told))
    assert answer.status == status, answer.data
    message = answer.json()["error"]["message"]
    assert said in message
    assert "\n" not in message
    assert churn.ask("GET", "/api/v1/audit").json() == before


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/models"), ("POST", "/models"), ("DELETE", "/models/churn")]
)
def test_nobody_comes_in_without_the_token(churn: Threaded, method: str, path: str) -> None:
    answer = churn.ask(method, f"/api/v1{path}", headers={"authorization": "Bearer wrong"})
    assert answer.status == 401


def test_the_client_raises_what_the_store_would(store: Place) -> None:
    with Threaded(store.url, token=None) as server, closing(HttpBackend(server.url)) as backend:
        registry = backend.registry
        with pytest.raises(ModelNotFound, match="no registered model 'x'"):
            registry.model("x")
        registry.create("x", author="ann")
        with pytest.raises(RegistryConflict, match="already"):
            registry.create("x")
        with pytest.raises(RegistryValueError):
            registry.update("x", description="x" * 70_000)
        assert [entry.author for entry in registry.audit()] == ["ann"]


def test_an_older_server_has_no_registry(store: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotrack.server.registry.Models.operations", lambda self, base: [])
    with (
        Threaded(store.url, token=None) as server,
        closing(HttpBackend(server.url)) as backend,
        pytest.raises(StoreError, match="older autotrack"),
    ):
        backend.registry.model("churn")


def test_the_servers_store_is_broken(store: Place) -> None:
    with Threaded(store.url, token=None) as server:
        (store.folder / "runs.db").unlink(missing_ok=True)
        (store.folder / "runs.db").write_text("not a database, " * 100)
        answer = server.ask("POST", "/api/v1/models", '{"name": "x"}')
        assert answer.status == 503
        assert "not a database" in answer.json()["error"]["message"]


@pytest.mark.slow
def test_sixteen_processes_at_a_server_get_consecutive_versions(
    store: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, times = Process(store.url, store.env, "--no-token"), 5
    try:
        with closing(HttpBackend(server.url)) as backend:
            backend.write(model_spans())
            found = registered_at_once(server.url, times)
            assert_consecutive(backend.registry, found, times)
    finally:
        server.end()


def test_the_lineage_of_versions_is_their_runs_models_and_data(churn: Threaded) -> None:
    lineage = churn.ask("GET", "/api/v1/models/churn/lineage").json()["lineage"]
    assert [one["version"] for one in lineage] == [2, 1]
    assert [one["model"]["path"] for one in lineage] == ["other", "model"]
    assert {one["run"]["name"] for one in lineage} == {"a run"}
    run = churn.ask("GET", f"/api/v1/runs/{RUNS[0]}").json()
    assert [one["datasets"] for one in lineage] == [[DATA], [DATA]]
    assert lineage[0]["run"] == run | {"silence": lineage[0]["run"]["silence"]}, "time goes on"
    [first] = churn.ask("GET", "/api/v1/models/churn/lineage?before=2").json()["lineage"]
    assert first["version"] == 1
    assert churn.ask("GET", "/api/v1/models/chrun/lineage").status == 404
