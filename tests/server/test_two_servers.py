"""Two servers at once: of one store, and of two stores that one spool is sent to. Everything is told once."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotrack.backends.http import HttpBackend
from autotrack.store import Store
from autotrack.testing.histories import RUNS, said, table

from ..scripts import TIMEOUT, Place, end_of, wait_until
from ..test_shipping import SILENT, kept, spooled, sync
from .live import Process

POINTS = 2000
TRAIN = f"""
    import sys, time, autotrack
    autotrack.enable()
    with autotrack.run(sys.argv[1], params={{"lr": 0.1}}, tags={{"by": sys.argv[1]}}) as run:
        run.log_text(sys.argv[1] * 1000, "name.txt")
        for i in range({POINTS}):
            autotrack.log({{"loss": float(i)}}, i)
            if i % 100 == 0:
                autotrack.flush()
                time.sleep(0.02)
"""


@contextlib.contextmanager
def running(store: Place, url: str) -> Iterator[Process]:
    server = Process(url, store.env)
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def servers(store: Place) -> Iterator[list[Process]]:
    """Two of one store."""
    with running(store, store.url) as first, running(store, store.url) as second:
        yield [first, second]


@pytest.mark.slow
def test_two_servers_of_one_store_tell_the_same(store: Place, servers: list[Process]) -> None:
    """Trainings record to each over HTTP, and to the spool that both of them drain."""
    targets = {"first": servers[0].url, "second": servers[1].url, "local": store.url, "beside": store.url}
    trainings = [
        store.start(TRAIN, name, env={"AUTOTRACK_STORE": target}) for name, target in targets.items()
    ]
    assert [end_of(training).returncode for training in trainings] == [0] * len(targets)
    assert sync(store).returncode == 0

    backends = [HttpBackend(server.url) for server in servers]
    wait_until(lambda: all(_points(backend) == [POINTS] * len(targets) for backend in backends), TIMEOUT)
    first, second = map(said, backends)
    assert first == second
    assert_whole(store.open(), set(targets))
    assert (spooled(store), kept(store)) == ([], [])
    for backend in backends:
        backend.close()


def test_what_one_server_of_a_store_has_taken_in_the_other_one_drops(servers: list[Process]) -> None:
    """Neither may go by what it remembers of a writer."""
    backends = [HttpBackend(server.url) for server in servers]
    for seq in range(10):
        for backend in backends[:: 1 if seq % 2 else -1]:
            backend.write([table(seq + 1, [seq], loss=[float(seq)])])
    for backend in backends:
        assert backend.points(RUNS[0], "loss").value.tolist() == [float(seq) for seq in range(10)]
        backend.close()


def _points(backend: HttpBackend) -> list[int]:
    return [len(backend.points(row.id, "loss")) for row in backend.runs()]


@pytest.mark.slow
def test_two_who_sync_one_folder_send_all_of_it_to_one_server(store: Place, tmp_path: Path) -> None:
    """Each names a server, with a store, of its own: whoever is first gets every run, with its file."""
    names, folder = {"a", "b", "c"}, tmp_path / "from-the-cluster"
    killed = TRAIN + "    import os; autotrack.flush(); os._exit(9)"
    nowhere = {"AUTOTRACK_STORE": SILENT, "AUTOTRACK_ENVIRONMENT": "0"}
    trainings = [store.start(killed, name, env=nowhere) for name in names]
    assert [end_of(training).returncode for training in trainings] == [9] * len(names)
    [home] = {segment.parent.parent for segment in spooled(store)}
    shutil.move(home, folder)

    stores = [f"sqlite:///{tmp_path}/{number}.db" for number in range(2)]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(running(store, url)) for url in stores]
        command = [sys.executable, "-m", "autotrack", "sync", str(folder), "--json", "--store"]
        syncs = [
            subprocess.Popen([*command, server.url], env=store.env, text=True, stdout=subprocess.PIPE)
            for server in servers
        ]
        told = [json.loads(sync.communicate(timeout=TIMEOUT)[0])["targets"][0] for sync in syncs]
    assert [*folder.glob("spool/*.otlp"), *folder.glob("artifacts/??/*")] == []

    [url] = [url for url in stores if list(Store(url).runs())]
    first, second = told if url == stores[0] else reversed(told)
    assert (first["left_bytes"], first["problem"]) == (0, "")
    assert second["problem"] == "" or f"{first['target']} has some of it already" in second["problem"]
    assert_whole(Store(url), names)
    assert [*tmp_path.glob("*.db-artifacts/*/*")] == [*tmp_path.glob(f"{Path(url).name}-artifacts/*/*")]


def assert_whole(store: Store, names: set[str]) -> None:
    """Each run with each point once, and its file."""
    found = list(store.runs())
    runs = {run.name: run for run in found}
    assert len(found) == len(runs)
    assert runs.keys() == names
    for name, run in runs.items():
        points = run.points("loss")
        assert points.step.tolist() == list(range(POINTS)), name
        assert points.value.tolist() == [float(step) for step in range(POINTS)], name
        assert run.artifact("name.txt").read_bytes() == name.encode() * 1000
