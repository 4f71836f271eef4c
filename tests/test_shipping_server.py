"""Scripts that record to `autotrack server`: the real one, in a process of its own."""

from __future__ import annotations

import hashlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotrack import artifacts
from autotrack.states import State
from autotrack.store import Store
from autotrack.testing.histories import said

from .disks import Disk
from .receiver import Receiver
from .scripts import TIMEOUT, Place, curve, end_of, free_port, wait_for, wait_until
from .server.live import Process
from .test_collectors import SCRIPT, STATES
from .test_otlp_out import Certificate, authority, certificate, certified
from .test_shipping import FILE, POINTS, SILENT, WEIGHTS, kept, killed, spooled, sync, train

__all__ = ["authority", "certificate"]


class Server:
    """`autotrack server` of a store; stopped, it can be started again at the same port."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        command = [sys.executable, "-m", "autotrack", "server", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, env=self.place.env, cwd=self.place.folder, text=True, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"AUTOTRACK_STORE=(http://\S+:(\d+))", line):
                self.port = int(found[2])
                return found[1]
        raise AssertionError("the server did not start")

    def stop(self, how: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(TIMEOUT)


@pytest.fixture
def server(store: Place) -> Iterator[Server]:
    made = Server(store)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait()


def test_run_and_file_are_in_the_servers_store(store: Place, server: Server) -> None:
    url = server.start()
    train(store, url)
    train(store, url, FILE, AUTOTRACK_ENVIRONMENT="0")
    server.stop()
    runs = list(store.open().runs())
    assert [run.state for run in runs] == [State.FINISHED] * 2
    file, points = runs
    assert curve(points, "loss") == [(i, float(i)) for i in range(100)]
    assert file.artifact("weights.bin").read_bytes() == WEIGHTS
    assert (spooled(store), kept(store)) == ([], [])


FIT = """
    import autotrack
    autotrack.enable("sklearn")
    from sklearn.linear_model import Ridge
    Ridge().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    print("result")
"""
IN_A_RUN = """
    import autotrack
    autotrack.enable("sklearn")
    from sklearn.linear_model import Ridge
    with autotrack.run("main") as run:
        run.log_text("hello", "a/b.txt")
        Ridge().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    print("result")
"""
LOADS = """
    import sys, autotrack
    from sklearn.linear_model import Ridge
    [run] = autotrack.runs()
    print(type(autotrack.load_model(f"runs:/{run.id}/model")).__name__)
"""


def test_the_model_comes_too_though_the_script_is_over(store: Place, server: Server, tmp_path: Path) -> None:
    store.env["AUTOTRACK_TOKEN"] = "sesame"  # who is elsewhere finds none
    url = server.start()
    train(store, url, FIT)
    wait_until(lambda: [model.is_kept for model in store.only_run().models] == [True], 60)
    wait_until(lambda: not spooled(store), 60)
    elsewhere = store.run(LOADS, env={"AUTOTRACK_STORE": url, "XDG_DATA_HOME": str(tmp_path / "elsewhere")})
    assert elsewhere.out == "Ridge\n", elsewhere.err


def test_server_that_was_stopped_for_the_whole_training(store: Place, server: Server) -> None:
    url = server.start()
    server.stop()
    killed(store, url)
    assert server.start() == url
    assert sync(store).returncode == 0
    server.stop()
    assert curve(store.only_run(), "loss") == [(i, float(i)) for i in range(100)]
    assert spooled(store) == []


def test_server_that_was_stopped_gets_all_that_a_store_gets(store: Place, server: Server) -> None:
    """Params, tags, curves, logs, states, child runs: value by value what the script's own store tells."""
    url = server.start()
    server.stop()
    own = f"sqlite:///{store.folder}/own.db"
    header = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20sesame"}
    store.env |= {"AUTOTRACK_TOKEN": "sesame", "OTEL_EXPORTER_OTLP_ENDPOINT": url, **header}
    ended = store.run(SCRIPT, env={"AUTOTRACK_STORE": own})
    assert ended.returncode == 0, ended.err
    assert f"bytes wait for {url}/v1/traces: autotrack sync" in ended.err
    assert server.start() == url
    assert sync(store).returncode == 0
    server.stop()
    directly, through = Store(own), store.open()
    for each in (directly, through):
        assert {run.name: run.state for run in each.runs()} == STATES
    assert said(through.backend) == said(directly.backend)


def test_server_that_was_stopped_gets_files_and_models(store: Place, server: Server) -> None:
    store.env["AUTOTRACK_TOKEN"] = "sesame"
    url = server.start()
    server.stop()
    train(store, url, IN_A_RUN)
    wait_until(lambda: any(b'"kept"' in segment.read_bytes() for segment in spooled(store)), 60)
    assert server.start() == url
    assert sync(store).returncode == 0
    assert (spooled(store), kept(store)) == ([], [])
    loaded = store.run(LOADS, env={"AUTOTRACK_STORE": url})
    assert loaded.out == "Ridge\n", loaded.err
    server.stop()
    assert store.only_run().artifact("a/b.txt").read_bytes() == b"hello"


@pytest.mark.slow
def test_server_that_falls_silent_in_the_middle(store: Place, server: Server) -> None:
    """Its connections stand, and nothing answers: for longer than a request waits, then it goes on."""
    source = """
        import sys, time, autotrack
        autotrack.enable()
        longest = 0.0
        with autotrack.run("train"):
            for part in range(3):
                for i in range(100 * part, 100 * part + 100):
                    time.sleep(0.01)
                    before = time.perf_counter()
                    autotrack.log({"loss": float(i)}, i)
                    longest = max(longest, time.perf_counter() - before)
                print("part", flush=True)
                sys.stdin.readline()
        print("longest", longest)
    """
    process = store.start(source, env={"AUTOTRACK_STORE": server.start()})
    assert process.stdin is not None
    assert process.stderr is not None
    assert server.process is not None
    wait_for(process, "part")
    wait_until(lambda: bool(store.runs()))
    server.process.send_signal(signal.SIGSTOP)
    process.stdin.write("go on\n")
    process.stdin.flush()
    wait_for(process, "part")
    assert "no answer in time; what is recorded waits on this disk" in process.stderr.readline()
    server.process.send_signal(signal.SIGCONT)
    process.stdin.write("go on\n")
    process.stdin.flush()
    wait_for(process, "part")
    ended = end_of(process, "go on\n")
    assert ended.returncode == 0
    assert float(ended.out.split()[1]) < 1.0
    assert sync(store).returncode == 0
    server.stop()
    assert curve(store.only_run(), "loss") == [(i, float(i)) for i in range(300)]
    assert spooled(store) == []


def test_server_that_restarts_with_another_token(store: Place, server: Server) -> None:
    source = """
        import autotrack
        autotrack.enable()
        with autotrack.run("train"):
            for i in range(100):
                autotrack.log({"loss": float(i)}, i)
                if i == 50:
                    autotrack.flush()
                    print("half", flush=True)
                    input()
    """
    url = server.start()
    process = store.start(source, env={"AUTOTRACK_STORE": url})
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    server.stop()
    time.sleep(1.5)
    server.start()
    process.communicate("\n", timeout=TIMEOUT)
    assert sync(store).returncode == 0
    server.stop()
    assert curve(store.only_run(), "loss") == [(i, float(i)) for i in range(100)]


def test_server_whose_token_was_wrong_gets_it_with_the_right_one(store: Place, server: Server) -> None:
    store.env["AUTOTRACK_TOKEN"] = "sesame"
    url = server.start()
    ended = train(store, url, AUTOTRACK_TOKEN="simsim")
    assert ended.said[0].startswith(f"autotrack: {url}: HTTP 401: set AUTOTRACK_TOKEN to its token")
    assert f" bytes wait for {url}: autotrack sync" in ended.said[-1]
    assert store.runs() == {}
    assert sync(store).returncode == 0
    server.stop()
    assert curve(store.only_run(), "loss") == [(i, float(i)) for i in range(100)]
    assert spooled(store) == []


def test_server_whose_disk_was_full_gets_it_once_there_is_room(store: Place, disk: Disk) -> None:
    source = """
        import random, autotrack
        autotrack.enable(environment=False)
        with open("weights.bin", "wb") as file:
            file.write(bytes(range(256)) * 4096 * 10)
        with autotrack.run("train") as run:
            for i in range(100_000):
                autotrack.log({"noise": random.random()}, i)
            run.log_artifact("weights.bin")
        print("result")
    """
    served = f"sqlite:///{disk('size=1m')}/runs.db"
    server = Process(served, store.env)
    try:
        ended = train(store, server.url, source)
        assert any(f"{server.url}: HTTP 503: " in line for line in ended.said), ended.err
        assert f" bytes wait for {server.url}: autotrack sync" in ended.said[-1]
        disk("size=64m")
        assert sync(store).returncode == 0
    finally:
        server.kill()
    [run] = Store(served).runs()
    assert run.state is State.FINISHED
    assert run.points("noise").step.tolist() == list(range(100_000))
    assert run.artifact("weights.bin").read_bytes() == WEIGHTS
    assert (spooled(store), kept(store)) == ([], [])


def test_server_behind_tls_is_trusted_by_the_authority_that_is_named(
    store: Place, authority: Certificate, certificate: Certificate, tmp_path: Path
) -> None:
    secure = Receiver(tls=certificate)
    try:
        stranger = certified(tmp_path, "stranger")[0]
        ended = train(store, secure.url, FILE, SSL_CERT_FILE=str(stranger))
        assert ended.said[0].startswith(f"autotrack: {secure.url}: TLS: ")
        assert "CERTIFICATE_VERIFY_FAILED" in ended.said[0]
        assert (secure.spans, secure.whole) == ([], {})
        train(store, secure.url, SSL_CERT_FILE=str(authority[0]))
        assert secure.points("loss") == POINTS
        assert WEIGHTS in secure.whole.values()
        assert (spooled(store), kept(store)) == ([], [])
    finally:
        secure.close()


def test_a_spool_that_comes_twice_counts_once(store: Place, server: Server, tmp_path: Path) -> None:
    killed(store, SILENT)
    [segment] = spooled(store)
    for name in ("a", "b"):
        shutil.copytree(segment.parent, tmp_path / name / "spool")
    url = server.start()
    assert sync(store, tmp_path / "a", "--store", url).returncode == 0
    assert sync(store, tmp_path / "b", "--store", url).returncode == 0  # again: the ledger drops it
    server.stop()
    assert curve(store.only_run(), "loss") == [(i, float(i)) for i in range(100)]


@pytest.mark.slow
def test_upload_goes_on_after_its_server_was_killed_between_two_parts(store: Place, server: Server) -> None:
    source = """
        import sys, time, autotrack
        from autotrack.exporters import uploading
        part, offsets = uploading._part, []
        def slowly(folder, blob, offset):  # so that there is a moment between two parts
            offsets.append(offset)
            time.sleep(0.3)
            return part(folder, blob, offset)
        uploading._part = slowly
        autotrack.enable(environment=False)
        with open("weights.bin", "wb") as file:
            file.write(bytes(range(256)) * 4096 * 24)
        with autotrack.run("train") as run:
            run.log_artifact("weights.bin")
        sys.stdin.readline()
        print(*offsets)
    """
    weights = bytes(range(256)) * 4096 * 24
    digest = hashlib.sha256(weights).hexdigest()
    folder = store.folder / "runs.db-artifacts"
    process = store.start(source, env={"AUTOTRACK_STORE": server.start()})
    half = folder / "uploads" / digest
    wait_until(lambda: half.exists() and half.stat().st_size >= 8 << 20)
    server.stop(signal.SIGKILL)
    kept_bytes = half.stat().st_size
    assert 8 << 20 <= kept_bytes < len(weights)
    server.start()
    wait_until(lambda: artifacts.find(digest, [folder]) is not None)
    offsets = [int(offset) for offset in end_of(process, "\n").out.split()]
    server.stop()
    assert store.only_run().artifact("weights.bin").read_bytes() == weights
    resumed = offsets.index(kept_bytes)
    assert offsets[0] == 0
    assert 0 not in offsets[1:]
    assert min(offsets[resumed:]) == kept_bytes  # what was there is not sent again
    assert (spooled(store), kept(store)) == ([], [])
