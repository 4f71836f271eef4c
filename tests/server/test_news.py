"""Which models have changed, as the server's event stream tells it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from autotrack.server import news
from autotrack.server.news import RegistryNews
from autotrack.store import Store
from autotrack.testing.histories import RUNS

from ..registered import trained
from ..scripts import Place
from .live import Threaded


def test_names_are_told_once_and_nothing_of_what_was_there_before(store: Place) -> None:
    registry = store.open().backend.registry
    registry.create("old")
    news = RegistryNews(registry)
    assert news.take() == set()
    assert news.take() == set()
    other = Store(store.url).backend.registry
    other.update("old", description="x")
    other.create("new")
    assert news.take() == {"old", "new"}
    assert news.take() == set()


def test_a_model_that_was_renamed_or_deleted_is_told_of_by_the_names_it_had(store: Place) -> None:
    registry = store.open().backend.registry
    news = RegistryNews(registry)
    assert news.take() == set(), "there is no store yet"
    registry.create("a")
    assert news.take() == {"a"}
    registry.rename("a", "b")
    assert news.take() == {"a", "b"}
    registry.delete("b")
    assert news.take() == {"b"}


def test_after_more_changes_than_are_looked_through_the_latest_are_told(
    store: Place, monkeypatch: Any
) -> None:
    monkeypatch.setattr(news, "MOST_ENTRIES", 3)
    registry = store.open().backend.registry
    found = RegistryNews(registry)
    found.take()
    for name in "abcde":
        registry.create(name)
    assert found.take() == {"c", "d", "e"}
    assert found.take() == set()


def test_a_store_that_cannot_be_read_has_no_news_until_it_can(store: Place) -> None:
    database = store.folder / "runs.db"
    broken = Store(f"sqlite:///{database}").backend.registry
    database.write_text("not a database, " * 100)
    news = RegistryNews(broken)
    assert news.take() == set()
    database.unlink()
    assert news.take() == set()
    store.open().backend.registry.create("a")
    assert news.take() == {"a"}


def test_the_stream_tells_of_verbs_and_of_what_another_process_did(store: Place) -> None:
    with Threaded(store.url, token=None) as server:
        stream = server.ask("GET", "/api/v1/events", preload_content=False)
        told = _commits(line for part in stream.stream() for line in part.decode().splitlines())
        trained(store.open())
        assert server.ask("POST", "/api/v1/models", '{"name": "asked"}').status == 200
        assert next(told)["models"] == ["asked"]
        store.open().backend.registry.register("other", RUNS[0], "model")
        commit = next(told)
        assert (commit["runs"], commit["models"]) == ([], ["other"])
        stream.close()
        again = server.ask("GET", f"/api/v1/events?since={commit['cursor'] - 2}", preload_content=False)
        told = _commits(line for part in again.stream() for line in part.decode().splitlines())
        assert next(told)["models"] == ["asked", "other"], "who was away is told"
        again.close()


def _commits(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    kind = ""
    for line in lines:
        if line.startswith("event: "):
            kind = line
        elif line.startswith("data: ") and kind == "event: commit":
            yield json.loads(line.removeprefix("data: "))
