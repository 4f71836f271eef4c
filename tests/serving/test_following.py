"""An alias that moves: a new version takes over once it is loaded; if it does not load, the old one stays."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autotrack.errors import ModelError, OtherCode, StoreError
from autotrack.serving.batching import Version
from autotrack.serving.following import Following
from autotrack.serving.loading import StoreAddresses
from autotrack.serving.options import Options
from autotrack.signatures import Signature

from ..scripts import TIMEOUT, wait_until
from . import toys
from .test_service import Threaded, rows

ALIAS = "models:/toy@champion"


class Registry:
    """Folders as the versions of a model; `champion` is where the alias points."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.champion = 1
        self.loads: list[str] = []
        self.out_of_reach = False

    def register(self, factor: float) -> int:
        """The next version."""
        version = len(list(self._folder.glob("v*"))) + 1
        toys.save(self._folder / f"v{version}", factor, Signature(toys.INPUTS))
        return version

    def resolve(self, uri: str) -> str:
        if self.out_of_reach:
            raise StoreError("the store is out of reach")
        return f"models:/toy/{self.champion}"

    def load(self, identity: str) -> Version:
        self.loads.append(identity)
        folder = self._folder / f"v{identity.rpartition('/')[2]}"
        options = Options(uri=str(folder), store="", trusted=(toys.TRUSTED,))
        loaded = StoreAddresses(options).load(str(folder))
        return Version(identity, loaded.predictor, loaded.most_rows)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """With one version."""
    found = Registry(tmp_path)
    found.register(1.0)
    return found


@pytest.fixture
def follow(registry: Registry) -> Any:
    """Starts to follow the alias; ends with the test."""
    started: list[Following] = []

    def start(moved: Callable[[str], None] = lambda identity: None) -> Following:
        model = Following(ALIAS, registry)
        started.append(model)
        model.follow(0.01, moved)
        return model

    yield start
    for model in started:
        model.end()


def test_a_moved_alias_is_followed_once_it_is_loaded(registry: Registry, follow: Any) -> None:
    moves: list[str] = []
    model = follow(moves.append)
    registry.champion = registry.register(2.0)
    wait_until(lambda: bool(moves))
    assert moves == ["models:/toy/2"]
    assert model.current.identity == "models:/toy/2"
    registry.champion = 1
    wait_until(lambda: len(moves) == 2)
    assert registry.loads == ["models:/toy/1", "models:/toy/2", "models:/toy/1"]


def test_a_champion_that_does_not_load_leaves_the_old_one(
    registry: Registry, follow: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = follow()
    version = registry.register(2.0)
    (registry._folder / f"v{version}" / "model.skops").write_bytes(b"broken")
    registry.champion = version
    wait_until(lambda: model.problem is not None)
    assert "skops" in model.problem
    assert model.current.identity == "models:/toy/1"
    wait_until(lambda: len(registry.loads) >= 4)
    assert registry.loads[:4] == ["models:/toy/1"] + ["models:/toy/2"] * 3  # it is tried again
    assert len([r for r in caplog.records if "goes on with models:/toy/1" in r.message]) == 1
    registry.champion = registry.register(3.0)
    wait_until(lambda: model.current.identity == "models:/toy/3")
    wait_until(lambda: model.problem is None)
    assert model.problem is None


def test_a_version_for_another_process_is_told_each_time_it_is_tried(
    registry: Registry, follow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    model = Following(ALIAS, registry)
    load = registry.load

    def clashes(identity: str) -> Version:
        if identity == "models:/toy/2":
            raise OtherCode("it comes with other code")
        return load(identity)

    monkeypatch.setattr(registry, "load", clashes)
    model.follow(0.01, moved=lambda _: None, blocked=told.append)
    registry.champion = registry.register(2.0)
    wait_until(lambda: len(told) > 1)
    model.end()
    assert set(told) == {"models:/toy/2"}
    assert model.current.identity == "models:/toy/1"


def test_a_store_out_of_reach_is_told_and_asked_again(registry: Registry, follow: Any) -> None:
    model = follow()
    registry.out_of_reach = True
    wait_until(lambda: model.problem is not None)
    assert model.problem == "the store is out of reach"
    registry.out_of_reach = False
    wait_until(lambda: model.problem is None)
    assert model.problem is None


def test_a_store_that_is_back_is_no_problem_any_more(registry: Registry, follow: Any) -> None:
    """At once, however long it was away: what is served is what is meant."""
    model = follow()
    registry.out_of_reach = True
    time.sleep(0.5)  # so many pauses would be long by now
    registry.out_of_reach = False
    wait_until(lambda: model.problem is None, 5)
    assert model.problem is None


def test_a_worker_that_starts_again_falls_back(registry: Registry) -> None:
    registry.champion = 7
    with pytest.raises(ModelError):
        Following(ALIAS, registry)
    model = Following(ALIAS, registry, fallback="models:/toy/1")
    assert model.current.identity == "models:/toy/1"
    assert "v7" in str(model.problem)


def test_no_request_is_dropped_by_a_move(registry: Registry, tmp_path: Path) -> None:
    """Clients that ask all the time, while the alias goes back and forth."""
    other = registry.register(10.0)
    model = Following(ALIAS, registry)
    with Threaded(tmp_path / "v1", model) as service:
        moves: list[str] = []
        model.follow(0.01, moves.append)
        ended, said = threading.Event(), []

        def ask() -> None:
            while not ended.is_set():
                said.append(service.invoke(rows([1.0, 2.0])))

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        for champion in (other, 1) * 3:
            before = len(moves)
            registry.champion = champion
            wait_until(lambda before=before: len(moves) > before)  # type: ignore[misc]
        ended.set()
        for client in clients:
            client.join(TIMEOUT)
        model.end()
        assert {status for status, _ in said} == {200}
        assert {tuple(predictions) for _, predictions in said} == {(3.0,), (30.0,)}
        health = service.ask("GET", "/health").json()
        assert (health["model"], health["version"]) == (ALIAS, "models:/toy/1")


def test_what_is_wrong_is_told_by_health(registry: Registry, tmp_path: Path) -> None:
    model = Following(ALIAS, registry)
    with Threaded(tmp_path / "v1", model) as service:
        model.problem = "models:/toy/2 does not load"
        assert service.ask("GET", "/health").json()["problem"] == model.problem
        assert "problem" not in service.ask("GET", "/health", authorization="").json()


def test_nothing_is_logged_of_an_alias_that_stays(
    registry: Registry, follow: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    follow()
    wait_until(lambda: bool(caplog.records), timeout=0.2)
    assert not caplog.records
