"""A busy loop that logs 100,000 points a second, all of them shipped over HTTP, or to a server that does not
take them; bytes a point on the wire.
"""

from __future__ import annotations

import gzip
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from statistics import median

from backports import zstd

from _common import in_fresh_home, report
from busy_loop import TARGET, WARMUP, Spent, alternated

POINTS = 4
RAW_TARGET, ZSTD_TARGET = 13, 6
"""Bytes a point, for tables of ten names as a training logs them."""


def main() -> None:
    told = in_fresh_home(__file__, "measure", "takes")
    spent = Spent(*told["spent"])
    report(
        "shipping",
        "ratio to the same loop without logging",
        spent.slower(),
        TARGET,
        interval=spent.interval(),
        us_per_call={"in the loop": median(spent.longer), "in other threads": spent.others},
        calls_per_second=spent.per_second,
        arrived=told["arrived"],
        n=len(spent.longer),
        ok=spent.slower() <= TARGET and told["arrived"] == told["logged"],
    )
    for server in ("refuses", "hangs", "is_busy"):
        spent = Spent(*in_fresh_home(__file__, "measure", server)["spent"])
        report(
            f"shipping_to_a_server_that_{server}",
            "ratio to the same loop without logging",
            spent.slower(),
            TARGET,
            interval=spent.interval(),
            calls_per_second=spent.per_second,
            n=len(spent.longer),
            ok=spent.slower() <= TARGET,
        )
    wire, noise = (in_fresh_home(__file__, "wire", precision) for precision in ("single", "double"))
    report(
        "bytes_per_point_on_the_wire",
        "B",
        {"raw": wire["raw"], "zstd": wire["zstd"]},
        {"raw": RAW_TARGET, "zstd": ZSTD_TARGET},
        zstd_of_doubles_that_are_noise=noise["zstd"],
        n=1,
        ok=wire["raw"] <= RAW_TARGET and wire["zstd"] <= ZSTD_TARGET,
    )


def measure(kind: str) -> None:
    """The server is a process of its own; what it counted is asked for at the end."""
    server = subprocess.Popen([sys.executable, __file__, "serve", kind], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}"
    import autotrack

    autotrack.enable(store=url, system_metrics=False, environment=False)
    run = autotrack.run("bench")
    run.__enter__()
    spent = alternated()
    run.__exit__(None, None, None)
    from autotrack._enable import end

    end()
    server.terminate()
    arrived = int(server.communicate()[0].split()[-1])
    logged = (spent.calls + WARMUP) * POINTS
    print(json.dumps({"spent": spent, "arrived": arrived, "logged": logged}))


def wire(precision: str) -> None:
    """A run of ten names and 100,000 steps, as its frames are sent: joined, then compressed.

    Values are noise around a falling curve, of the precision that a training has: "single" or "double".
    """
    import numpy as np

    import autotrack
    from autotrack._enable import end, store_url
    from autotrack.exporters.carrying import SERVER_REQUEST_BYTES
    from autotrack.locations import homes
    from autotrack.otlp.requests import joined
    from autotrack.spool import SpoolReader

    autotrack.enable(system_metrics=False, environment=False)
    kind = np.float32 if precision == "single" else np.float64
    steps, names = 100_000, [f"metric_{i}" for i in range(10)]
    noise = np.random.default_rng(0).normal(1, 0.1, (steps, len(names)))
    rows = (noise / np.sqrt(np.arange(1, steps + 1))[:, None]).astype(kind).astype(float).tolist()
    with autotrack.run("bench"):
        for i in range(steps):
            autotrack.log(dict(zip(names, rows[i], strict=True)), i)
            if i % 2_000 == 0:
                time.sleep(0.02)
    end()
    raw = packed = 0
    reader = SpoolReader(homes(store_url())[0].spool, "bench")
    for batch in reader.batches(SERVER_REQUEST_BYTES):
        body = joined(batch.payloads)
        raw += len(body)
        packed += len(zstd.compress(body, 1))
        reader.done(batch)
    points = steps * len(names)
    print(json.dumps({"raw": raw / points, "zstd": packed / points}))


def serve(kind: str) -> None:
    """Counts the points of every request; says the port first, and the count at last.

    kind: "takes" them, "refuses" connections, "hangs" once it has one, or "is_busy".
    """
    import signal

    if kind in ("refuses", "hangs"):
        with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            print(listener.getsockname()[1], flush=True)
            if kind == "refuses":
                listener.close()
            signal.sigwait({signal.SIGTERM})
        print(0)
        return

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    from autotrack import semconv as sc

    bodies: list[tuple[str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if kind == "takes":
                bodies.append((self.headers.get("Content-Encoding", ""), body))
            self.send_response(200 if kind == "takes" else 503)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(server.server_address[1], flush=True)
    server.serve_forever(0.05)
    points = 0
    for how, body in bodies:
        plain = {"zstd": zstd.decompress, "gzip": gzip.decompress, "": bytes}[how](body)
        for group in ExportTraceServiceRequest.FromString(plain).resource_spans:
            for scope in group.scope_spans:
                for span in scope.spans:
                    points += sum(
                        len(item.value.array_value.values)
                        for item in span.attributes
                        if item.key.startswith(sc.METRICS_VALUE_PREFIX)
                    )
    print(points)


if __name__ == "__main__":
    modes = {"measure": measure, "wire": wire, "serve": serve}
    modes[sys.argv[1]](*sys.argv[2:]) if len(sys.argv) > 1 else main()
