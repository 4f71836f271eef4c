"""A version that is promoted arrives whole, once, whichever kind of store has it and gets it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from autotrack import artifacts
from autotrack.errors import ModelError, ModelNotFound, StoreError
from autotrack.promotion import promote
from autotrack.records import ModelVersion
from autotrack.store import Store
from autotrack.testing.histories import RUNS

from .disks import Disk
from .registered import BYTES, sha256, trained
from .server.live import Threaded

KINDS = ["sqlite", "http"]


class Stores:
    """One to take from and one to bring to, each a file or a server's."""

    def __init__(self, folder: Path, source: str, target: str) -> None:
        self._servers: list[Threaded] = []
        self._opened: list[Store] = []
        self.files = {name: f"sqlite:///{folder}/{name}.db" for name in ("source", "target")}
        trained(self.at_its_place("source"))
        self.source = self._open("source", source)
        self.target = self._open("target", target)

    def at_its_place(self, name: str) -> Store:
        """As the machine sees it that has the file."""
        self._opened.append(Store(self.files[name]))
        return self._opened[-1]

    def _open(self, name: str, kind: str) -> Store:
        if kind == "sqlite":
            return self.at_its_place(name)
        server = Threaded(self.files[name], token=None)
        server.__enter__()
        self._servers.append(server)
        self._opened.append(Store(server.url))
        return self._opened[-1]

    def close(self) -> None:
        for store in self._opened:
            store.close()
        for server in self._servers:
            server.__exit__()


@pytest.fixture(params=list(product(KINDS, KINDS)), ids="-to-".join)
def stores(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stores]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    found = Stores(tmp_path, *request.param)
    yield found
    found.close()


def churn(store: Store, **told: str) -> ModelVersion:
    return store.backend.registry.register("churn", RUNS[0], "model", **told)  # type: ignore[arg-type]


def test_a_version_arrives_with_its_run_and_its_files(stores: Stores) -> None:
    version = churn(stores.source, description="# good")
    made = promote(stores.source, version, stores.target, alias="champion", author="ann")
    assert (made.name, made.version, made.aliases, made.author) == ("churn", 1, ("champion",), "ann")
    assert (made.run_id, made.path, made.files, made.description) == (
        *(version.run_id, version.path, version.files, "# good"),
    )
    assert made.source == f"models:/churn/1 of {stores.source.url}"
    there = stores.at_its_place("target")
    run = there.run(RUNS[0])
    assert (run.name, run.experiment, run.state, run.params) == ("fit", "churn", "finished", {"depth": 3})
    assert run.points("acc").value.tolist() == [0.5, 0.75]
    assert {file.path: run.artifact(file.path).read_bytes() for file in run.artifacts} == BYTES
    assert [data.digest for data in run.datasets] == ["xxh3:ab"]


def test_promoted_twice_is_promoted_once(stores: Stores) -> None:
    version = churn(stores.source)
    first = promote(stores.source, version, stores.target, alias="champion")
    before = stores.target.backend.run(RUNS[0])
    again = promote(stores.source, version, stores.target, alias="best")
    assert again.version == first.version
    assert again.aliases == ("best", "champion")
    after = stores.target.backend.run(RUNS[0])
    assert before is not None
    assert after is not None
    assert (after.metrics, after.params, after.ended) == (before.metrics, before.params, before.ended)
    assert [row.id for row in stores.target.backend.runs()] == [RUNS[0]]
    renamed = promote(stores.source, version, stores.target, name="leavers")
    assert (renamed.name, renamed.version) == ("leavers", 1)
    assert [v.version for v in stores.target.backend.registry.versions("churn")] == [1]


def test_bytes_that_are_gone_or_have_changed_are_not_promoted(stores: Stores) -> None:
    version = churn(stores.source)
    folder = stores.at_its_place("source").homes[0].artifacts
    file = artifacts.find(sha256(BYTES["model/model.bin"]), [folder])
    assert file is not None
    file.write_bytes(b"a modem")
    with pytest.raises(ModelError, match=r"not what was recorded|not to be had"):
        promote(stores.source, version, stores.target)
    file.unlink()
    with pytest.raises(ModelError, match=r"model/model.bin of models:/churn/1 is not to be had"):
        promote(stores.source, version, stores.target)
    with pytest.raises(ModelNotFound):
        stores.target.backend.registry.model("churn")


def test_another_file_of_the_run_may_be_gone(stores: Stores) -> None:
    version = churn(stores.source)
    file = artifacts.find(sha256(BYTES["plot.png"]), [stores.at_its_place("source").homes[0].artifacts])
    assert file is not None
    file.unlink()
    promote(stores.source, version, stores.target)
    run = stores.at_its_place("target").run(RUNS[0])
    assert run.artifact("model/model.bin").read_bytes() == b"a model"
    with pytest.raises(KeyError, match="not on this machine"):
        run.artifact("plot.png")


def test_a_servers_disk_that_is_full(tmp_path: Path, disk: Disk) -> None:
    """No half version is ever seen, and once there is room it is promoted whole."""
    source = Store(f"sqlite:///{tmp_path}/source.db")
    data = os.urandom(4 << 20)
    trained(source, files={"model/model.bin": data})
    version = churn(source)
    with Threaded(f"sqlite:///{disk('size=2m')}/target.db", token=None) as server:
        target = Store(server.url)
        with pytest.raises(StoreError, match="No space left on device"):
            promote(source, version, target)
        with pytest.raises(ModelNotFound):
            target.backend.registry.model("churn")
        disk("size=64m")
        assert promote(source, version, target).version == 1
        assert target.run(RUNS[0]).artifact("model/model.bin").read_bytes() == data
        target.close()
    source.close()


def test_within_a_store_a_version_gets_another_name_or_alias(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/runs.db")
    trained(store)
    version = churn(store)
    made = promote(store, version, store, name="leavers", alias="champion")
    assert (made.name, made.version, made.source, made.aliases) == (
        *("leavers", 1, "models:/churn/1", ("champion",)),
    )
    assert promote(store, version, store, alias="best").aliases == ("best",)
    assert store.backend.registry.model("churn").versions == 1
    store.close()


def test_a_server_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    store, nobody = Store(f"sqlite:///{tmp_path}/runs.db"), Store("http://127.0.0.1:9")
    trained(store)
    with pytest.raises(StoreError, match="refused"):
        promote(store, churn(store), nobody)
    store.close()
    nobody.close()
