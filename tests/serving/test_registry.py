"""`autotrack serve models:/…@alias`: a registry of ours, and real workers that follow it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import autotrack
from autotrack import catalog
from autotrack.signatures import Signature
from autotrack.store import Store
from autotrack.testing.histories import RUNS

from ..registered import sha256, trained
from ..scripts import TIMEOUT, Place, wait_until
from ..server.live import Threaded as StoreServer
from . import toys
from .live import Served, exited


class Registry:
    """Two versions of one model, of a run each; the first is the champion."""

    def __init__(self, place: Place) -> None:
        self._folder = place.folder
        self.store: Store = place.open()
        self.files: list[dict[str, bytes]] = []
        for run, factor in zip(RUNS, (1.0, 10.0), strict=True):
            folder = toys.save(place.folder / f"of-{run}", factor, Signature(toys.INPUTS))
            files = {f"model/{file.name}": file.read_bytes() for file in folder.iterdir()}
            trained(self.store, run, files)
            self.files.append(files)
            catalog.register(self.store, f"runs:/{run}/model", "toy", alias=None, description="", tags={})
        self.point(1)

    def point(self, version: int) -> None:
        """Make it the champion."""
        catalog.model(self.store, "toy").set_alias("champion", version)

    def damage(self, version: int) -> None:
        """Its bytes, wherever they lie on disk: who reads over HTTP keeps what he has fetched."""
        name = sha256(self.files[version - 1]["model/model.skops"])
        for path in self._folder.rglob(name):
            path.chmod(0o600)
            path.write_bytes(b"rotten")


@pytest.fixture
def registry(store: Place) -> Registry:
    """Its champion is the first version, which adds; the second tells ten times as much."""
    return Registry(store)


@pytest.fixture(params=["sqlite", "http"])
def address(request: pytest.FixtureRequest, store: Place, registry: Registry) -> Iterator[str]:
    """The store's, as its machine sees it and as others do."""
    if request.param == "sqlite":
        yield store.url
        return
    with StoreServer(store.url, token=None) as server:
        yield server.url


def test_a_moved_champion_takes_over_without_a_dropped_request(
    store: Place, registry: Registry, address: str
) -> None:
    options = ("--store", address, "--follow", "0.1", "--workers", "2")
    with Served("models:/toy@champion", store.env, *options) as served:
        ended, said = threading.Event(), []

        def ask() -> None:
            while not ended.is_set():
                said.append(served.predict([[1, 2]]))

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        registry.point(2)
        wait_until(lambda: said[-20:] == [[30]] * 20)
        ended.set()
        for client in clients:
            client.join(TIMEOUT)
        assert {tuple(predictions) for predictions in said} == {(3,), (30,)}
        assert served.ask("/version").json()["version"] == "models:/toy/2"

        registry.damage(1)
        registry.point(1)
        wait_until(lambda: all("problem" in served.ask("/health").json() for _ in range(5)))
        told: dict[str, Any] = served.ask("/health").json()
        assert (told["status"], told["version"]) == ("ok", "models:/toy/2")
        assert "is not what was recorded" in told["problem"]
        assert served.predict([[1, 2]]) == [30]

        killed = set(served.workers)  # whoever takes their place has never loaded the second
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not killed & set(served.workers))
        served.hang_up()
        assert served.predict([[1, 2]]) == [30]
        assert "problem" in served.ask("/health").json()


def test_a_champion_whose_code_has_changed_takes_over_in_fresh_workers(store: Place) -> None:
    """Its helper goes by the name of the one before, so no process can have both."""
    opened = store.open()
    (store.folder / "model.py").write_text(
        "import late_rates\ndef predict(data): return data['a'].to_numpy() * late_rates.RATE"
    )
    for run, rate in zip(RUNS, (2, 3), strict=True):
        (store.folder / "late_rates.py").write_text(f"RATE = {rate}\n")
        folder = store.folder / f"of-{run}"
        autotrack.save_model(
            store.folder / "model.py", folder, code_paths=[store.folder / "late_rates.py"], requirements=[]
        )
        files = {f"model/{path.relative_to(folder)}": path.read_bytes() for path in _files(folder)}
        trained(opened, run, files)
        catalog.register(opened, f"runs:/{run}/model", "toy", alias=None, description="", tags={})
    (store.folder / "late_rates.py").unlink()
    champion = catalog.model(opened, "toy")
    champion.set_alias("champion", 1)
    options = ("--store", store.url, "--follow", "0.1", "--workers", "2", "--allow-code")
    with Served("models:/toy@champion", store.env, *options) as served:
        first = set(served.workers)
        assert served.predict([[1, 2]]) == [2]
        champion.set_alias("champion", 2)
        ended, said = threading.Event(), []

        def ask() -> None:
            while not ended.is_set():
                said.append(served.predict([[1, 2]]))

        client = threading.Thread(target=ask)
        client.start()
        wait_until(lambda: not first & set(served.workers))
        ended.set()
        client.join(TIMEOUT)
        assert served.predict([[1, 2]]) == [3]
        assert {tuple(predictions) for predictions in said} == {(2,), (3,)}
        assert served.ask("/version").json()["version"] == "models:/toy/2"
        wait_until(lambda: len(served.workers) == 2)
        assert "another takes its place" not in served.end()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_version_by_its_number_does_not_move(store: Place, registry: Registry) -> None:
    with Served("models:/toy/1", store.env, "--follow", "0.1") as served:
        registry.point(2)
        assert served.ask("/version").json() == {
            "model": "models:/toy/1",
            "version": "models:/toy/1",
            "autotrack": served.ask("/version").json()["autotrack"],
        }
        assert served.predict([[1, 2]]) == [3]


def test_what_is_not_registered(store: Place, registry: Registry) -> None:
    for uri in ("models:/toy@nobody", "models:/toy/7", "models:/other/1", "models:/toy"):
        status, said = exited(uri, "--port", "0", env=store.env)
        assert status == 1
        assert said.startswith("autotrack: ")
        assert said.count("\n") == 1, said
