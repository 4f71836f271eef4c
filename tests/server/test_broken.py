"""What broke a server once."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import urllib3
from click.testing import CliRunner

from autotrack import tokens
from autotrack.backends.migrations import VERSION_TABLE
from autotrack.backends.sqlite import SqliteBackend
from autotrack.cli import commands
from autotrack.server.app import GRACE
from autotrack.server.listening import PatientProtocol

from ..listening import answer_on
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


CHUNKED = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a: b\r\n" * 1000),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"a" * 10_000),
        (b"GET /", b"a" * 10_000),
        (CHUNKED + b"0\r\n", b"a: b\r\n" * 1000),
        (CHUNKED + b"0\r\nX: ", b"a" * 10_000),
        (CHUNKED + b"5;", b"a" * 10_000),
        (b"", b"\r\n" * 5000),
    ],
    ids=["headers", "header", "url", "trailers", "trailer", "extension", "nothing"],
)
def test_a_head_or_its_trailers_without_end_are_refused(store: Place, begin: bytes, more: bytes) -> None:
    """They would be kept until the memory is full."""
    with Threaded(store.url, token=None, http=PatientProtocol) as server:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=5.0)
        connection.sendall(begin)
        with contextlib.suppress(OSError):
            _flood(connection, more)
        answer = b""
        with contextlib.suppress(OSError):
            answer = connection.recv(1 << 16)
        assert not answer or answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 403"))
        with pytest.raises(OSError, match=r"reset|pipe"):
            _flood(connection, more)
        assert server.ask("GET", "/health").status == 200


def _flood(connection: socket.socket, more: bytes) -> None:
    for _ in range(20):
        connection.sendall(more)
        time.sleep(0.01)  # so that it is read before the next comes


def test_a_head_that_is_too_long_gets_an_answer(store: Place) -> None:
    with Threaded(store.url, http=PatientProtocol) as server:
        for headers, status in (({"x": "a" * 60_000}, 200), ({"x": "a" * 70_000}, 431)):
            answer = server.ask("GET", "/health", headers=headers)
            assert answer.status == status
        assert "65,536" in answer.json()["error"]["message"]


def test_trailers_are_no_headers(store: Place) -> None:
    with Threaded(store.url, http=PatientProtocol) as server:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
        head = CHUNKED.replace(b"Host: x", b"Host: 127.0.0.1")
        connection.sendall(head + b"0\r\nAuthorization: Bearer secret\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("noise", [b"\0\0\0\r\n\r\n", b"GET / HTTP/9.7\r\n\r\n"])
def test_what_is_no_http_is_told_so_in_json(store: Place, noise: bytes) -> None:
    with Threaded(store.url, http=PatientProtocol) as server:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
        connection.sendall(noise)
        answer = answer_on(connection)
        assert answer.status == 400
        assert json.load(answer)["error"]["message"]


def test_who_asks_for_another_protocol_is_answered_in_this_one(
    store: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with Threaded(store.url, http=PatientProtocol) as server:
        answer = server.ask("GET", "/health", headers={"Connection": "Upgrade", "Upgrade": "h2c"})
        assert answer.status == 200
    assert not caplog.records


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("pause", [0.0, 0.1])
def test_a_body_that_comes_with_an_upgrade_is_read(store: Place, is_chunked: bool, pause: float) -> None:
    """Java's client asks for HTTP/2 so; its spans were said to be taken, and were not."""
    body = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{}]}]}]}'
    size = b"Content-Length: %d" % len(body)
    if is_chunked:
        size, body = b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    head = b"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" + size
    head += b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"
    with (
        Threaded(store.url, token=None, http=PatientProtocol) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as connection,
    ):
        for _ in range(2):
            connection.sendall(head)
            time.sleep(pause)
            connection.sendall(body)
            answer = answer_on(connection)
            assert answer.status == 200
            assert b"without an id" in answer.read()
        connection.sendall((head + body) * 500)
        assert b"without an id" in answer_on(connection).read()


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


SENDING = [
    ("POST", "/v1/traces", "application/json", ""),
    ("POST", "/v1/traces", "application/x-protobuf", ""),
    ("POST", "/api/v1/search", "application/json", ""),
    ("PATCH", f"/api/v1/blobs/{'a' * 64}", "application/octet-stream", "Upload-Offset: 0\r\n"),
]


def test_who_is_still_sending_when_the_server_ends_is_asked_to_send_again(store: Place) -> None:
    """OTLP's clients send again after a 503, not after a 500."""
    server = Process(store.url, store.env)
    token, sending = tokens.client_token(server.url), []
    for method, path, kind, more in SENDING:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{more}"
        connection.sendall(f"{head}Content-Type: {kind}\r\nContent-Length: 1000\r\n\r\n{{".encode())
        sending.append(connection)
    time.sleep(0.5)  # until all have been read
    said = server.end()
    assert "Traceback" not in said
    for connection, (_, path, kind, _) in zip(sending, SENDING, strict=True):
        answer = answer_on(connection)
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert answer.headers["content-type"] == (kind if path == "/v1/traces" else "application/json")
        assert b"is ending" in answer.read()


def test_a_store_that_another_process_has_locked_does_not_keep_the_server_from_ending(
    store: Place,
) -> None:
    server = Process(store.url, store.env)
    token = tokens.client_token(server.url)
    head = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    ask = partial(urllib3.request, "POST", f"{server.url}/v1/traces", headers=head, retries=False)
    span = {"traceId": "1" * 32, "spanId": "1" * 16, "name": "x"}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    assert ask(body=body, timeout=TIMEOUT).status == 200
    with (
        contextlib.closing(sqlite3.connect(store.url.removeprefix("sqlite:///"), isolation_level=None)) as db,
        ThreadPoolExecutor(1) as other,
    ):
        db.execute("BEGIN IMMEDIATE")
        waiting = other.submit(ask, body=body.replace("x", "y").replace("1", "2"), timeout=TIMEOUT)
        time.sleep(0.5)
        began = time.monotonic()
        server.end()
        assert time.monotonic() - began < 4 * GRACE
        answer = waiting.result()
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")


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
