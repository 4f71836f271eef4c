"""The server's door: points and requests a second from 8 clients, each answer after its commit."""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
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
        with temporary_home() as (folder, env):
            found = {}
            with server(env) as url:
                port = url.rpartition(":")[2]
                for size in (LARGE, SMALL):
                    found[size] = child(script, "send", port, size, folder=folder, env=env)["requests_per_s"]
            rounds.append(found)
    points = median(r[LARGE] for r in rounds) * LARGE
    requests = median(r[SMALL] for r in rounds)
    report("ingest_points", "points/s", points, 2_000_000, n=ROUNDS, ok=points >= 2_000_000, mlflow=6_700)
    report("ingest_requests", "requests/s", requests, 1_500, n=ROUNDS, ok=requests >= 1_500, mlflow=67)


def send(port: str, size: str) -> None:
    """Clients that send one request after the other; made before, since a client is not measured here."""
    bodies = [_bodies(client, int(size)) for client in range(CLIENTS)]
    counts = [0] * CLIENTS
    began = time.perf_counter()
    until = began + SECONDS

    def work(client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", int(port))
        for body in bodies[client]:
            connection.request("POST", "/v1/traces", body, {"content-type": "application/x-protobuf"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            counts[client] += 1
            if time.perf_counter() > until:
                return
        raise RuntimeError("too few bodies were made")

    clients = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    print(json.dumps({"requests_per_s": sum(counts) / (time.perf_counter() - began)}))


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
