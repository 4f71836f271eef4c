"""The HTTP backend against live servers: every promise of the contract, through OTLP and the API."""

from __future__ import annotations

import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autotrack import artifacts, loading
from autotrack import semconv as sc
from autotrack.backend import Liveness, state_of
from autotrack.backends.http import HttpBackend
from autotrack.backends.sqlite import SqliteBackend
from autotrack.errors import ModelError, StoreError
from autotrack.locations import homes, make_private
from autotrack.mlmodel.folder import ModelFolder
from autotrack.states import State
from autotrack.store import Store
from autotrack.testing import BackendConformance
from autotrack.testing.histories import RUNS, WRITERS, ours
from autotrack.testing.registries import model_spans
from autotrack.testing.registry_model import ACTIONS

from ..registered import spans
from ..scripts import TIMEOUT
from .live import Many, Threaded, many

START = {sc.RUN_NAME: "x", sc.EXPERIMENT_NAME: "e"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Many]:
    with many(tmp_path_factory.mktemp("stores")) as servers:
        yield servers


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without anything in it: migrating hundreds of them takes long."""
    path = tmp_path_factory.mktemp("template") / "runs.db"
    backend = SqliteBackend(f"sqlite:///{path}")
    backend.write([])
    backend.compact()
    return path


class TestHttp(BackendConformance):
    """Every promise of the contract; that a write which fails leaves nothing is the client's own here."""

    numbers = itertools.count()

    @pytest.fixture
    def new_url(self, servers: Many, empty_store: Path) -> Callable[[], str]:
        def new() -> str:
            name = f"store-{next(self.numbers)}"
            shutil.copy(empty_store, servers._folder / f"{name}.db")
            return f"{servers.url}/{name}"

        return new

    def make_backend(self, url: str) -> HttpBackend:
        return HttpBackend(url)

    @settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_the_store_is_a_function_of_the_set_of_spans(
        self, data: st.DataObject, new_url: Callable[[], str]
    ) -> None:
        """Fewer examples: the server's own backend has gone through a hundred."""
        whole = BackendConformance.test_the_store_is_a_function_of_the_set_of_spans
        whole.hypothesis.inner_test(self, data, new_url)  # type: ignore[attr-defined]

    @settings(deadline=None, max_examples=8, suppress_health_check=list(HealthCheck))
    @given(actions=st.lists(ACTIONS, max_size=25))
    def test_a_registry_does_as_a_simple_one_would(
        self, actions: list[tuple[str, tuple[Any, ...]]], new_url: Callable[[], str]
    ) -> None:
        """Fewer, as well."""
        whole = BackendConformance.test_a_registry_does_as_a_simple_one_would
        whole.hypothesis.inner_test(self, actions, new_url)  # type: ignore[attr-defined]

    @pytest.mark.parametrize("days", [-1, 0, 1])
    def test_what_came_over_the_network_lives_by_its_receivers_clock(
        self, new_url: Callable[[], str], days: int
    ) -> None:
        """The receiver is the server, and its clock says when that was; the reader's may say anything."""
        url = new_url()
        when = time.time_ns() + days * 86_400 * 10**9
        self.write(url, ours("run.start", RUNS[0], 1, WRITERS[0], (1,), START, when))
        backend = self.make_backend(url)
        row = backend.run(RUNS[0])
        assert row is not None
        assert state_of(row, Liveness(now=time.time_ns(), host="")) is State.RUNNING
        assert state_of(row, Liveness(now=time.time_ns() + 31 * 10**9, host="")) is State.LOST
        backend.close()


def test_a_server_that_is_not_there() -> None:
    backend = HttpBackend("http://127.0.0.1:9")
    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:9: .*refused"):
        backend.runs()
    with pytest.raises(StoreError, match="refused"):
        backend.write([ours("run.start", RUNS[0], 1, WRITERS[0], (1,), START, 1)])


def test_a_file_that_many_want_at_once_is_fetched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As workers do that load one model."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    data = bytes(range(256)) * 40_000
    url = f"sqlite:///{tmp_path}/runs.db"
    folder = homes(url)[0].artifacts
    make_private(folder)
    sha256 = artifacts.put(data, [folder]).sha256
    with Threaded(url, token=None) as server:
        backends = [HttpBackend(server.url) for _ in range(8)]
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda backend: backend.blob(sha256), backends))
        for backend in backends:
            backend.close()
    assert len(set(found)) == 1
    assert found[0] is not None
    assert found[0].read_bytes() == data
    assert [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()] == [sha256]


def test_a_model_that_has_not_come_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who converts it lives on another machine, perhaps: nobody says that it is gone."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(loading, "HELPER_STARTS", 0.2)
    pending = '{"state": "pending", "converter": "0123456789abcdef"}'
    facts = {sc.MODEL_PATH: "late", sc.MODEL_FLAVOR: "f", sc.MODEL_CLASS: "m.C", sc.MODEL_FACTS: pending}
    with Threaded(f"sqlite:///{tmp_path}/runs.db", token=None) as server, closing(Store(server.url)) as store:
        store.backend.write([*model_spans(), ours("model", RUNS[0], 1, WRITERS[0], (99,), facts, 99)])
        with pytest.raises(ModelError, match="has not come yet; try again later"):
            loading.kept(store, RUNS[0], "late")


@contextmanager
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Store, Path]]:
    """A store over HTTP, of a machine that has nothing of it, and the folder of the server's files."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    url = f"sqlite:///{tmp_path}/runs.db"
    folder = homes(url)[0].artifacts
    make_private(folder)
    with Threaded(url, token=None) as server, closing(Store(server.url)) as store:
        yield store, folder


def test_a_models_files_come_after_what_tells_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path, monkeypatch) as (store, folder):
        store.backend.write(spans(RUNS[0], {"model/model.bin": b"abc"}))
        later = threading.Timer(1.0, artifacts.put, (b"abc", [folder]))
        later.start()
        found = loading.model_folder(lambda: store, f"runs:/{RUNS[0]}/model")
        later.join()
    assert found.read("model.bin") == b"abc"


def test_a_file_that_was_waited_for_in_vain_is_asked_for_once_at_each_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be gone for good, and a program that loads again would stand still each time."""
    with served(tmp_path, monkeypatch) as (store, folder):

        def load() -> ModelFolder:
            return loading.model_folder(lambda: store, f"runs:/{RUNS[0]}/model")

        store.backend.write(spans(RUNS[0], {"model/model.bin": b"late"}))
        monkeypatch.setattr(loading, "FILES_FOLLOW", 0.2)
        with pytest.raises(ModelError, match="is not to be had"):
            load()
        monkeypatch.setattr(loading, "FILES_FOLLOW", TIMEOUT)
        later = threading.Timer(1.5, artifacts.put, (b"late", [folder]))
        later.start()
        with pytest.raises(ModelError, match="is not to be had"):  # or it would be there in the end
            load()
        later.join()
        assert load().read("model.bin") == b"late"
