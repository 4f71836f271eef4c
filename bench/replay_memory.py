"""A backlog of 2 GB that is replayed to a server: the most memory that either of them takes, and the rate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _common import in_fresh_home, report, server_process

BACKLOG = int(os.environ.get("BENCH_BACKLOG_BYTES", 2 << 30))
TARGET_MB = 300
RUNS = 64
"""Each with numbers of its own, so that those of a request are not the ones before."""
NAMES, ROWS = 10, 1_000
"""Of a table, which is what a busy training makes in half a second."""


def main() -> None:
    told = in_fresh_home(__file__, "measure")
    peaks = {"sender": told["sender_mb"], "server": told["server_mb"]}
    report(
        "replay_memory",
        "MB at most",
        peaks,
        TARGET_MB,
        backlog_bytes=told["bytes"],
        points=told["points"],
        mb_per_second=told["bytes"] / 1e6 / told["seconds"],
        n=1,
        ok=max(peaks.values()) <= TARGET_MB
        and told["left"] == 0
        and told["points"] == told["curves"] == told["written"],
    )


def measure() -> None:
    """The points are counted by what the server tells: of its table of runs, and of each curve read whole."""
    from autotrack.backends.http import HttpBackend
    from autotrack.spool import SpoolWriter

    writer = SpoolWriter(Path("backlog"), "0" * 16)
    frames = 0
    for frame in _frames():
        writer.append(frame)
        frames += 1
    writer.close()
    with server_process(dict(os.environ)) as (process, url):
        start = time.perf_counter()
        command = [sys.executable, "-c", _SYNC, "sync", "backlog", "--store", url, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.perf_counter() - start
        said, sender = done.stdout.rsplit("\n", 2)[:2]
        [target] = json.loads(said)["targets"]
        backend = HttpBackend(url)
        rows = backend.runs()
        points = sum(summary.count for row in rows for summary in row.metrics.values())
        curves = sum(len(backend.points(row.id, name)) for row in rows for name in row.metrics)
        status = Path(f"/proc/{process.pid}/status").read_text()
    print(
        json.dumps(
            {
                "sender_mb": int(sender) / 1000,
                "server_mb": int(status.partition("VmHWM:")[2].split()[0]) / 1000,
                "seconds": seconds,
                "left": target["left_bytes"],
                "bytes": target["sent_bytes"],
                "written": frames * NAMES * ROWS,
                "points": points,
                "curves": curves,
            }
        )
    )


def _frames() -> Iterator[bytes]:
    """Tables of each run in turn: a template for each, into which the writer's own numbers are put."""
    templates = [_template(run) for run in range(RUNS)]
    written = number = 0
    while written < BACKLOG:
        run, table = number % RUNS, number // RUNS
        frame = templates[run].replace(_varint(_FIRST), _varint(_FIRST + table))
        written += len(frame)
        number += 1
        yield frame


_FIRST = 1 << 40
"""As long as a varint as all that follow."""


def _varint(number: int) -> bytes:
    low = [(number >> shift & 0x7F) | 0x80 for shift in range(0, 35, 7)]
    return bytes([*low, number >> 35])


def _template(run: int) -> bytes:
    import numpy as np

    from autotrack import semconv as sc
    from autotrack.otlp.records import encode_records
    from autotrack.records import SpanRecord

    noise = np.random.default_rng(run).normal(size=(NAMES, ROWS)).astype("f4").astype("f8")
    facts: dict[str, Any] = {
        sc.SPAN_TYPE: sc.SpanType.METRICS,
        sc.SCHEMA: 1,
        sc.RUN_ID: f"{run + 1:032x}",
        sc.SEGMENT: 1,
        sc.WRITER: f"{run + 1:016x}",
        sc.SEQ: (_FIRST,),
        sc.METRICS_STEP: np.arange(ROWS),
        sc.METRICS_TIME: np.arange(ROWS) * 500_000 + 1_700_000_000_000_000_000,
        sc.METRICS_ROWS: (ROWS,),
        **{f"{sc.METRICS_VALUE_PREFIX}m{n}": noise[n] for n in range(NAMES)},
    }
    [frame] = encode_records([SpanRecord("1" * 32, f"{run + 1:016x}", None, "metrics", 1, 2, facts)])
    assert frame.count(_varint(_FIRST)) == 1
    return frame


_SYNC = """
import atexit, pathlib
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: print(status.read_text().partition("VmHWM:")[2].split()[0]))
from autotrack.cli import main
main()
"""

if __name__ == "__main__":
    measure() if len(sys.argv) > 1 else main()
