"""Files out, and uploads that go on where they broke off."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import time
from pathlib import Path

import pytest
import urllib3

from autotrack import semconv as sc
from autotrack.backends.http import HttpBackend
from autotrack.garbage import collect
from autotrack.locations import homes
from autotrack.server import files
from autotrack.store import Store
from autotrack.testing.histories import ours

from ..disks import Disk
from ..scripts import TIMEOUT, Place
from .live import Process, Threaded
from .test_otlp_in import PROTOBUF, body_of

DATA = os.urandom(100_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
BLOB = f"/api/v1/blobs/{DIGEST}"
LAST = {"upload-complete": "?1"}
LARGE = 200 << 20


@pytest.fixture
def server(tmp_path: Path) -> Threaded:  # type: ignore[misc]
    with Threaded(f"sqlite:///{tmp_path}/runs.db") as server:
        yield server


def test_an_upload_goes_on_where_it_broke_off(server: Threaded) -> None:
    head = server.ask("HEAD", BLOB)
    assert (head.status, head.headers["upload-offset"]) == (404, "0")
    first = server.ask("PATCH", BLOB, DATA[:40_000], {"upload-offset": "0"})
    assert (first.status, first.headers["upload-offset"]) == (204, "40000")
    assert server.ask("HEAD", BLOB).headers["upload-offset"] == "40000"
    wrong = server.ask("PATCH", BLOB, DATA, {"upload-offset": "0"} | LAST)
    assert (wrong.status, wrong.headers["upload-offset"]) == (409, "40000")
    assert server.ask("GET", BLOB).status == 404, "half of it is nothing"
    last = server.ask("PATCH", BLOB, DATA[40_000:], {"upload-offset": "40000"} | LAST)
    assert last.status == 204
    assert server.ask("HEAD", BLOB).status == 200
    assert server.ask("GET", BLOB).data == DATA
    part = server.ask("GET", BLOB, headers={"range": "bytes=10-19"})
    assert (part.status, part.data) == (206, DATA[10:20])
    assert server.ask("GET", BLOB, headers={"range": "bytes=999999999-"}).status == 416


def test_a_disk_that_is_full_in_the_middle(disk: Disk) -> None:
    """Half a file is nothing; with room again it goes on where it stopped."""
    with Threaded(f"sqlite:///{disk('size=2m')}/runs.db") as server:
        data = os.urandom(4 << 20)
        blob = f"/api/v1/blobs/{hashlib.sha256(data).hexdigest()}"
        full = server.ask("PATCH", blob, data, {"upload-offset": "0"} | LAST)
        assert (full.status, full.headers["retry-after"]) == (503, "30")
        assert "files cannot be written: No space left on device" in full.json()["error"]["message"]
        assert server.ask("GET", blob).status == 404
        there = int(server.ask("HEAD", blob).headers["upload-offset"])
        assert 0 < there < len(data)
        disk("size=64m")
        assert server.ask("PATCH", blob, data[there:], {"upload-offset": str(there)} | LAST).status == 204
        assert server.ask("GET", blob).data == data


def test_what_a_broken_connection_brought_stays(server: Threaded) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        head = (
            f"PATCH {BLOB} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n"
            f"Upload-Offset: 0\r\nUpload-Complete: ?1\r\nContent-Length: {len(DATA)}\r\n\r\n"
        )
        client.sendall(head.encode() + DATA[:50_000])
        while server.ask("HEAD", BLOB).headers["upload-offset"] != "50000":
            time.sleep(0.01)
    offset = 50_000
    while True:  # until the server has seen that the other one is gone
        answer = server.ask("PATCH", BLOB, DATA[offset:], {"upload-offset": str(offset)} | LAST)
        if answer.status != 409:
            break
    assert answer.status == 204
    assert server.ask("GET", BLOB).data == DATA


def test_a_sender_that_falls_silent_keeps_nobody_out(
    server: Threaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autotrack.server.bodies.SILENCE", 0.2)
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        head = (
            f"PATCH {BLOB} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n"
            f"Upload-Offset: 0\r\nContent-Length: {len(DATA)}\r\n\r\n"
        )
        client.sendall(head.encode() + DATA[:10])
        assert client.recv(100).startswith(b"HTTP/1.1 400")
    rest = server.ask("PATCH", BLOB, DATA[10:], {"upload-offset": "10"} | LAST)
    assert rest.status == 204


def test_bytes_that_are_not_what_their_name_says_are_no_blob(server: Threaded) -> None:
    answer = server.ask("PATCH", BLOB, DATA + b"x", {"upload-offset": "0"} | LAST)
    assert answer.status == 422
    assert server.ask("HEAD", BLOB).headers["upload-offset"] == "0", "it begins again"
    assert server.ask("GET", BLOB).status == 404


def test_a_large_file_comes_and_goes_in_little_memory(store: Place, tmp_path: Path) -> None:
    """In one request each way: nobody holds it whole."""
    server = Process(store.url, store.env, "--no-token")

    def sent_and_fetched(size: int) -> int:
        """The most memory that the server has had once a file has come, and gone."""
        file = tmp_path / "zeros"
        with file.open("wb") as written:
            written.truncate(size)
        with file.open("rb") as body:
            digest = hashlib.file_digest(body, "sha256").hexdigest()
            body.seek(0)
            url = f"{server.url}/api/v1/blobs/{digest}"
            told = {"upload-offset": "0", "content-length": str(size)} | LAST
            assert urllib3.request("PATCH", url, body=body, headers=told, timeout=TIMEOUT).status == 204
        answer = urllib3.request("GET", url, preload_content=False, timeout=TIMEOUT)
        assert (answer.status, sum(map(len, answer.stream(1 << 20)))) == (200, size)
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10

    try:
        before = sent_and_fetched(1 << 20)
        assert sent_and_fetched(LARGE) - before < LARGE // 8
    finally:
        server.kill()


@pytest.mark.parametrize("digest", ["x", "0" * 63, "0" * 65, "..%2f..%2fetc%2fpasswd", "A" * 64])
def test_no_digest_no_path(server: Threaded, digest: str) -> None:
    for method in ("GET", "HEAD", "PATCH"):
        answer = server.ask(method, f"/api/v1/blobs/{digest}", headers={"upload-offset": "0"})
        assert answer.status in (404, 422), (method, answer.data)


@pytest.mark.parametrize("offset", ["", "x", "-1", "9" * 5000, "1e3"])
def test_no_offset(server: Threaded, offset: str) -> None:
    assert server.ask("PATCH", BLOB, b"", {"upload-offset": offset}).status in (400, 409)


def test_what_is_uploaded_is_the_users_alone(server: Threaded, tmp_path: Path) -> None:
    server.ask("PATCH", BLOB, DATA, {"upload-offset": "0"} | LAST)
    folder = tmp_path / "runs.db-artifacts"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    [blob] = folder.glob(f"*/{DIGEST}")
    assert stat.S_IMODE(blob.stat().st_mode) & 0o077 == 0


def test_a_file_of_a_run_is_a_download_and_no_page(server: Threaded) -> None:
    facts = {
        sc.ARTIFACT_PATH: "a/plot <x>\n.html",
        sc.ARTIFACT_SHA256: DIGEST,
        sc.ARTIFACT_SIZE: len(DATA),
        sc.ARTIFACT_MEDIA_TYPE: "text/html\r\nx: y",
    }
    run = "a" * 32
    server.ask("POST", "/v1/traces", body_of(ours("artifact", run, 1, "b" * 16, (1,), facts, 1)), PROTOBUF)
    path = f"/api/v1/runs/{run}/files/a/plot%20%3Cx%3E%0A.html"
    assert server.ask("GET", path).status == 404, "its bytes have not come yet"
    server.ask("PATCH", BLOB, DATA, {"upload-offset": "0"} | LAST)
    answer = server.ask("GET", path)
    assert answer.data == DATA
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert server.ask("GET", f"/api/v1/runs/{run}/files/../../runs.db").status == 404


def test_what_was_never_finished_is_cleared_up(server: Threaded, tmp_path: Path) -> None:
    server.ask("POST", "/v1/traces", body_of(ours("beat", "a" * 32, 1, "b" * 16, (1,), {}, 1)), PROTOBUF)
    server.ask("PATCH", BLOB, DATA[:10], {"upload-offset": "0"})
    part = tmp_path / "runs.db-artifacts" / "uploads" / DIGEST
    assert part.exists()
    os.utime(part, (1, 1))
    found = collect(Store(f"sqlite:///{tmp_path}/runs.db"))
    assert found.half_written.files == 1
    assert not part.exists()
    server.ask("PATCH", BLOB, DATA[:10], {"upload-offset": "0"})
    os.utime(part, (1, 1))
    server.ask("PATCH", f"/api/v1/blobs/{'0' * 64}", b"x", {"upload-offset": "0"})
    assert not part.exists(), f"after {files.STALE} seconds the next upload does so too"


def test_a_client_fetches_a_file_in_parts_and_goes_on(
    server: Threaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "client"))
    monkeypatch.setenv("AUTOTRACK_TOKEN", "secret")
    monkeypatch.setattr("autotrack.backends.http.PART", 30_000)
    server.ask("PATCH", BLOB, DATA, {"upload-offset": "0"} | LAST)
    backend = HttpBackend(server.url)
    folder = homes(server.url)[0].artifacts.with_name("fetched")
    (folder / "uploads").mkdir(parents=True)
    (folder / "uploads" / DIGEST).write_bytes(DATA[:50_000])
    file = backend.blob(DIGEST)
    assert file is not None
    assert file.read_bytes() == DATA
    file.unlink()
    (folder / "uploads" / DIGEST).write_bytes(b"something else")
    assert backend.blob(DIGEST) is None, "what is not what it should be is no file"
    again = backend.blob(DIGEST)
    assert again is not None
    assert again.read_bytes() == DATA
    assert backend.blob("0" * 64) is None
    assert backend.blob("../../etc/passwd") is None
    backend.close()


@pytest.mark.parametrize(
    ("told", "what"), [({}, "is missing"), ({"upload-offset": "1e3"}, "no number: '1e3'")]
)
def test_an_upload_says_where_it_goes_on(server: Threaded, told: dict[str, str], what: str) -> None:
    answer = server.ask("PATCH", f"/api/v1/blobs/{'5' * 64}", DATA, told)
    assert answer.status == 400
    assert what in answer.json()["error"]["message"]
