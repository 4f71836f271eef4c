"""What broke a server once."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import urllib3
from click.testing import CliRunner

from autotrack import tokens
from autotrack.backends.migrations import VERSION_TABLE
from autotrack.backends.sqlite import SqliteBackend
from autotrack.cli import commands
from autotrack.server.listening import PatientProtocol

from ..scripts import TIMEOUT, Place
from .live import Process, Threaded

TRAIN = """
    import autotrack
    autotrack.enable()
    with autotrack.run("only"):
        autotrack.log({"loss": 1.0})
"""


def ask(server: Process, path: str) -> urllib3.BaseHTTPResponse:
    headers = {"authorization": f"Bearer {tokens.client_token(server.url)}"}
    return urllib3.request("GET", server.url + path, headers=headers, retries=False, timeout=TIMEOUT)


def test_token_goes_when_sigterm_ends_the_server(store: Place) -> None:
    server = Process(store.url, store.env)
    assert tokens.client_token(server.url)
    server.end()
    assert tokens.client_token(server.url) is None


def test_connections_that_say_nothing_keep_nobody_out(store: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotrack.server.listening.HEAD_TIMEOUT", 0.2)
    with Threaded(store.url, http=PatientProtocol) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) for _ in range(20)]
        for connection in silent:
            connection.sendall(b"G")
        assert [connection.recv(10) for connection in silent] == [b""] * 20, "they are closed"
        assert server.ask("GET", "/health").status == 200


@pytest.mark.parametrize("next_head", [b"\r\n", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_connection_whose_next_head_does_not_come(
    store: Place, monkeypatch: pytest.MonkeyPatch, next_head: bytes
) -> None:
    monkeypatch.setattr("autotrack.server.listening.HEAD_TIMEOUT", 0.5)
    with Threaded(store.url, http=PatientProtocol) as server:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = b""
        while b"ok" not in answer:
            answer += connection.recv(1 << 16)
        connection.sendall(next_head)
        assert connection.recv(10) == b"", "it is closed"


def test_an_answer_may_take_longer_than_a_head(store: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotrack.server.listening.HEAD_TIMEOUT", 0.2)
    with Threaded(store.url, http=PatientProtocol) as server:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
        head = (
            f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server.token}\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        time.sleep(0.5)
        server.server.events.publish({"1" * 32}, set())
        answer = b""
        while b"1" * 32 not in answer:
            part = connection.recv(1 << 16)
            assert part, "it is still open"
            answer += part


def test_nul_is_no_runs_id(store: Place) -> None:
    assert store.run(TRAIN).returncode == 0
    server = Process(store.url, store.env)
    try:
        status = ask(server, "/api/v1/runs/%00").status
    finally:
        server.kill()
    assert status == 404


def _newer(path: Path) -> None:
    SqliteBackend(f"sqlite:///{path}").write([])
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE {VERSION_TABLE} SET version_num = 'zzz9'")


def _of_another_program(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE t (a)")


NO_STORES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a newer one": (_newer, "was written by a newer autotrack (schema zzz9): pip install -U autotrack"),
    "another program's": (_of_another_program, "is no autotrack store; choose another"),
    "a text": (lambda path: path.write_text("hello world " * 1000), "file is not a database"),
    "a folder": (Path.mkdir, "unable to open database file"),
}


@pytest.mark.parametrize(("spoil", "said"), NO_STORES.values(), ids=NO_STORES)
def test_a_server_of_what_is_no_store_does_not_start(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    path = tmp_path / "runs.db"
    spoil(path)
    result = CliRunner().invoke(commands, ["server", "--store", f"sqlite:///{path}", "--port", "0"])
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert said in result.output
    assert str(path) in result.output


@pytest.mark.parametrize(("spoil", "said"), list(NO_STORES.values())[:2], ids=list(NO_STORES)[:2])
def test_a_server_whose_store_becomes_none_is_not_ready(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    path = tmp_path / "runs.db"
    with Threaded(f"sqlite:///{path}") as server:
        assert server.ask("GET", "/ready").status == 200
        spoil(path)
        answer = server.ask("GET", "/ready")
        assert answer.status == 503
        assert said in answer.json()["error"]["message"]
