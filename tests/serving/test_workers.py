"""Processes: the port, workers that die, the end with requests in flight."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from autotrack.signatures import DataType, Param, Signature

from ..scripts import TIMEOUT, Place, wait_until
from . import toys
from .live import ROOT, Served, exited, started_by

SIGNED = Signature(toys.INPUTS, params=(Param("seconds", DataType.DOUBLE, 0.0),))


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """The folder of a model."""
    return toys.save(tmp_path / "model", signature=SIGNED)


def in_background(call: Any) -> tuple[threading.Thread, list[Any]]:
    """The call's results, once its thread has ended."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    return thread, found


def test_a_token_is_made_and_left_for_this_user(store: Place, toy: Path) -> None:
    with Served(toy, store.env, token="secret") as served:
        assert served.predict([[1, 2]]) == [3]
        served.token = "wrong"
        assert served.predict([[1, 2]])[0] == 401
        assert served.end() == ""
    with Served(toy, store.env | {"AUTOTRACK_TOKEN": ""}, "--workers", "1", token=" ") as served:
        assert served.process.stdout is not None
        file = Path(re.fullmatch(r"\s+its token:\s+(.*)\n", served.process.stdout.readline())[1])
        assert file.stat().st_mode & 0o777 == 0o600
        served.token = file.read_text().strip()
        assert served.predict([[1, 2]]) == [3]
        served.end()
        assert not file.exists()


def test_a_killed_worker_is_replaced_and_the_others_answer_on(store: Place, toy: Path) -> None:
    with Served(toy, store.env, "--workers", "2") as served:
        first = set(served.workers)
        assert len(first) == 2
        os.kill(min(first), signal.SIGKILL)
        answers = [served.predict([[i, 1]]) for i in range(20)]
        wait_until(lambda: len(set(served.workers) - {min(first)}) == 2)
        assert answers == [[i + 1] for i in range(20)]
        assert max(first) in served.workers
        assert served.predict([[1, 2]]) == [3]
        assert "SIGKILL" in served.end()


def test_the_parent_loads_nothing_of_a_model(store: Place, toy: Path) -> None:
    """Where even numpy is none of it, whatever can be done by a model's bytes is done to a worker."""

    def loaded(process: int) -> set[str]:
        mapped = Path(f"/proc/{process}/maps").read_text()
        return {name for name in ("numpy", "scipy", "sklearn") if f"site-packages/{name}/" in mapped}

    with Served(toy, store.env) as served:
        assert served.predict([[1, 2]]) == [3]
        assert [loaded(worker) for worker in served.workers] == [{"numpy", "scipy", "sklearn"}]
        assert loaded(served.process.pid) == set()


def test_with_one_worker_whoever_comes_meanwhile_waits(store: Place, toy: Path) -> None:
    with Served(toy, store.env) as served:
        [worker] = served.workers
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: worker not in served.workers)
        assert served.predict([[1, 2]]) == [3]


def test_a_model_that_kills_its_process_fails_only_who_asked(store: Place, toy: Path) -> None:
    with Served(toy, store.env) as served:
        with pytest.raises(Exception, match=r"(?i)connection|reset"):
            served.predict([[toys.DIES, 1]])
        assert served.predict([[1, 2]]) == [3]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_are_answered_and_new_ones_refused(
    store: Place, toy: Path, number: signal.Signals
) -> None:
    with Served(toy, store.env, "--workers", "2") as served:
        thread, found = in_background(
            lambda: served.predict([[toys.SLEEPS, 1]], params={"seconds": 1.5}),
        )
        time.sleep(0.5)  # it has been sent by then, or the answer below is refused
        served.process.send_signal(number)
        wait_until(lambda: not _listens(served.port))
        thread.join()
        assert found == [[-1]]
        assert served.process.wait() == 0


def test_the_end_does_not_wait_for_ever(store: Place, toy: Path) -> None:
    with Served(toy, store.env, "--grace", "0.2") as served:
        thread, found = in_background(
            lambda: served.predict([[toys.SLEEPS, 1]], params={"seconds": 3600}),
        )
        time.sleep(0.5)
        served.end()
        thread.join()
        assert found == [(503, "the server is ending: try again")]


def test_the_end_before_a_model_is_loaded(store: Place, toy: Path) -> None:
    command = [sys.executable, "-m", "autotrack", "serve", str(toy), "--trusted", toys.TRUSTED, "--no-token"]
    env = store.env | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    process = subprocess.Popen([*command, "--port", "0"], env=env, stdout=pipe, stderr=pipe, text=True)
    wait_until(lambda: bool(started_by(process.pid)))
    process.terminate()
    assert process.communicate(timeout=TIMEOUT) == ("", "")
    assert process.returncode == 0


def test_workers_end_with_their_parent(store: Place, toy: Path) -> None:
    with Served(toy, store.env, "--workers", "2") as served:
        workers = served.workers
        served.process.kill()
        served.process.wait()
        wait_until(lambda: not any(map(_runs, workers)))
        assert not any(map(_runs, workers))


def test_what_cannot_be_served_is_one_line(store: Place, toy: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert exited(str(toy), "--port", port, env=store.env) == (
            1,
            f"autotrack: port {port} of 127.0.0.1 is taken: choose another by --port\n",
        )
    pickled = toys.save(tmp_path / "pickled")
    told = (
        (pickled / "MLmodel")
        .read_text()
        .replace("serialization_format: skops", "serialization_format: pickle")
    )
    (pickled / "MLmodel").write_text(told)
    for uri, problem in {
        str(toy): f", here --trusted {toys.TRUSTED}\n",
        str(pickled): "load_model(…, allow_pickle=True), here --allow-pickle\n",
        str(tmp_path / "nowhere"): "is no model's address",
        f"runs:/{'0' * 32}/model": "no run",
    }.items():
        status, said = exited(uri, "--port", "0", env=store.env)
        assert status == 1
        assert problem in said
        assert said.count("\n") == 1, said


def test_without_a_token_it_is_for_this_machine_alone(store: Place, toy: Path) -> None:
    for options, problem in {
        ("--host", "0.0.0.0"): "--no-token is for this machine alone, not for 0.0.0.0",
        ("--allow-host", "*"): "let every web page in",
    }.items():
        status, said = exited(str(toy), "--port", "0", "--no-token", *options, env=store.env)
        assert (status, problem in said, said.count("\n")) == (1, True, 1), said
    with Served(toy, store.env, "--host", "0.0.0.0", "--guarded") as served:
        assert served.predict([[1.0, 2.0]]) == [3.0]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
