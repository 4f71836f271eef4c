"""The server's door: points and requests a second from 8 clients, each answer after its commit.

For a moment, and for as long as what came is merged meanwhile; and how long a request waits while it is.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from statistics import median

from _common import child, report, server, temporary_home

CLIENTS = 8
NAMES = 10
LARGE, SMALL = 10_000, 100
"""Points of a request."""
SECONDS, LONG = 5.0, 25.0
"""In the longer one merging goes on for most of the time: it begins 10 s after the server."""
MERGED = 10_000_000
"""Points that are merged while requests wait."""
ROUNDS = 3


def main() -> None:
    rounds = []
    for _ in range(ROUNDS):
        found = {
            name: measured("send", size, seconds)["requests_per_s"]
            for name, size, seconds in (
                ("points", LARGE, SECONDS),
                ("merging", LARGE, LONG),
                ("requests", SMALL, SECONDS),
            )
        }
        rounds.append({**found, "wait": measured("wait")["longest"]})
    points = median(r["points"] for r in rounds) * LARGE
    merging = median(r["merging"] for r in rounds) * LARGE
    requests = median(r["requests"] for r in rounds)
    report("ingest_points", "points/s", points, 2_000_000, n=ROUNDS, ok=points >= 2_000_000, mlflow=6_700)
    report("ingest_points_merging", "points/s", merging, 2_000_000, n=ROUNDS, ok=merging >= 2_000_000)
    report("ingest_requests", "requests/s", requests, 1_500, n=ROUNDS, ok=requests >= 1_500, mlflow=67)
    report("ingest_wait_merging", "s", median(r["wait"] for r in rounds), None, n=ROUNDS)


def measured(*arguments: object) -> dict[str, float]:
    """What a child tells of a server of its own: many points are merged for a while."""
    os.sync()  # what the one before left to write is not this one's
    with temporary_home() as (folder, env), server(env) as url:
        what, *rest = arguments
        port = url.rpartition(":")[2]
        return child(os.path.abspath(__file__), what, port, *rest, folder=folder, env=env)


def send(port: str, size: str, seconds: str) -> None:
    """Clients that each send a request when the one before is answered.

    They are connections of one thread, and what they send was made before: on two processors a client that
    works takes what the server would have, and it is not what is measured.
    """
    requests = [[*map(_request, _bodies(n, int(size)))] for n in range(CLIENTS)]
    waiting = selectors.DefaultSelector()
    for told in map(iter, requests):
        client = _connected(port)
        client.sendall(next(told))
        _answered(client)  # the very first makes the store
        client.sendall(next(told))
        waiting.register(client, selectors.EVENT_READ, told)
    answered = 0
    began = time.perf_counter()
    while time.perf_counter() < began + float(seconds):
        for key, _ in waiting.select():
            _answered(key.fileobj)
            answered += 1
            key.fileobj.sendall(next(key.data))
    print(json.dumps({"requests_per_s": answered / (time.perf_counter() - began)}))


def wait(port: str) -> None:
    """The longest answer to one client that goes on asking until what came before it is merged."""
    client = _connected(port)
    for n in range(CLIENTS):
        for body in _bodies(n, LARGE, MERGED // LARGE // CLIENTS):
            client.sendall(_request(body))
            _answered(client)
    before, longest, next_look = _small_tables(), 0.0, 0.0
    for body in _bodies(CLIENTS, SMALL, 100_000):
        began = time.perf_counter()
        client.sendall(_request(body))
        _answered(client)
        longest = max(longest, time.perf_counter() - began)
        if began > next_look:
            if _small_tables() <= before // 10:
                break
            next_look = began + 0.5
        time.sleep(0.001)
    else:
        raise AssertionError("nothing was merged")
    print(json.dumps({"longest": longest}))


def _small_tables() -> int:
    """Those of the large requests that are not merged yet."""
    with closing(sqlite3.connect(os.environ["AUTOTRACK_STORE"].removeprefix("sqlite:///"))) as db:
        rows = LARGE // NAMES
        return db.execute("SELECT count(*) FROM axis WHERE rows = ?", (rows,)).fetchone()[0]


def _connected(port: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(port)))


def _request(body: bytes) -> bytes:
    return _HEAD % len(body) + body


def _answered(client: socket.socket) -> None:
    answer = client.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert answer.endswith(b"\r\n\r\n"), answer  # its body is empty


_HEAD = (
    b"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n"
)


def _bodies(client: int, size: int, many: int | None = None) -> Iterator[bytes]:
    """Tables of one run and writer; all alike but for their numbers."""
    import numpy as np

    from autotrack import semconv as sc
    from autotrack.otlp.records import encode_records
    from autotrack.otlp.requests import joined
    from autotrack.records import SpanRecord

    rows = size // NAMES
    values = np.random.default_rng(client).normal(size=(NAMES, rows)).astype("f4").astype("f8")
    first = 1 << 40  # as long as a varint as all that follow

    def body(seq: int) -> bytes:
        facts = {
            sc.SPAN_TYPE: "metrics",
            sc.SCHEMA: 1,
            sc.RUN_ID: f"{client:032x}",
            sc.SEGMENT: 1,
            sc.WRITER: f"{client:04x}{size:012x}",
            sc.SEQ: (seq,),
            sc.METRICS_STEP: np.arange(rows),
            sc.METRICS_TIME: np.arange(rows) * 1_000_000 + 1_700_000_000_000_000_000,
            sc.METRICS_ROWS: (rows,),
            **{f"{sc.METRICS_VALUE_PREFIX}m{n}": values[n] for n in range(NAMES)},
        }
        span = SpanRecord("1" * 32, f"{client + 1:08x}{seq % (1 << 32):08x}", None, "metrics", 1, 2, facts)
        return joined(encode_records([span]))

    if many is None:
        many = 12_000 // CLIENTS if size == LARGE else 60_000 // CLIENTS
    return (body(first + number) for number in range(many))


if __name__ == "__main__":
    what, *told = sys.argv[1:] or ["all"]
    {"send": send, "wait": wait, "all": main}[what](*told)
