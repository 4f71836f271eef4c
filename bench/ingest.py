"""The server's door: points and requests a second from 8 clients, each answer after its commit."""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time
from statistics import median

from _common import child, report, server, temporary_home

CLIENTS = 8
NAMES = 10
LARGE, SMALL = 10_000, 100
"""Points of a request."""
SECONDS = 5.0
ROUNDS = 3


def main() -> None:
    script = os.path.abspath(__file__)
    rounds = []
    for _ in range(ROUNDS):
        found = {}
        for size in (LARGE, SMALL):  # each with a server of its own: many points are merged for a while
            os.sync()  # what the one before left to write is not this one's
            with temporary_home() as (folder, env), server(env) as url:
                port = url.rpartition(":")[2]
                found[size] = child(script, "send", port, size, folder=folder, env=env)["requests_per_s"]
        rounds.append(found)
    points = median(r[LARGE] for r in rounds) * LARGE
    requests = median(r[SMALL] for r in rounds)
    report("ingest_points", "points/s", points, 2_000_000, n=ROUNDS, ok=points >= 2_000_000, mlflow=6_700)
    report("ingest_requests", "requests/s", requests, 1_500, n=ROUNDS, ok=requests >= 1_500, mlflow=67)


def send(port: str, size: str) -> None:
    """Clients that each send a request when the one before is answered.

    They are connections of one thread, and what they send was made before: on two processors a client that
    works takes what the server would have, and it is not what is measured.
    """
    requests = [[_HEAD % len(body) + body for body in _bodies(n, int(size))] for n in range(CLIENTS)]
    waiting = selectors.DefaultSelector()
    for told in map(iter, requests):
        client = socket.create_connection(("127.0.0.1", int(port)))
        client.sendall(next(told))
        _answered(client)  # the very first makes the store
        client.sendall(next(told))
        waiting.register(client, selectors.EVENT_READ, told)
    answered = 0
    began = time.perf_counter()
    while time.perf_counter() < began + SECONDS:
        for key, _ in waiting.select():
            _answered(key.fileobj)
            answered += 1
            key.fileobj.sendall(next(key.data))
    print(json.dumps({"requests_per_s": answered / (time.perf_counter() - began)}))


def _answered(client: socket.socket) -> None:
    answer = client.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert answer.endswith(b"\r\n\r\n"), answer  # its body is empty


_HEAD = (
    b"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n"
)


def _bodies(client: int, size: int) -> list[bytes]:
    """Tables of one run and writer; all alike but for their numbers, which are put into a template."""
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

    many = 12_000 // CLIENTS if size == LARGE else 60_000 // CLIENTS
    return [body(first + number) for number in range(many)]


if __name__ == "__main__":
    send(*sys.argv[2:]) if sys.argv[1:2] == ["send"] else main()
