"""A backlog of 2 GB that is replayed to a server: the most memory that the sender takes, and its rate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from _common import in_fresh_home, report

BACKLOG = int(os.environ.get("BENCH_BACKLOG_BYTES", 2 << 30))
TARGET_MB = 300


def main() -> None:
    told = in_fresh_home(__file__, "measure")
    report(
        "replay_memory",
        "MB at most",
        told["peak_mb"],
        TARGET_MB,
        backlog_bytes=told["bytes"],
        mb_per_second=told["bytes"] / 1e6 / told["seconds"],
        n=1,
        ok=told["peak_mb"] <= TARGET_MB and told["left"] == 0,
    )


def measure() -> None:
    """Frames of 1 MiB that are no spans, which a sender does not look into; the server is a child."""
    from autotrack.spool import SpoolWriter

    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("shipping.py")), "drop"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}"
    writer = SpoolWriter(Path("backlog"), "0123456789abcdef")
    block = os.urandom(1 << 16)
    for _ in range(BACKLOG >> 20):
        writer.append(block * 16)
    writer.close()
    start = time.perf_counter()
    command = [sys.executable, "-c", _SYNC, "sync", "backlog", "--store", url, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - start
    server.kill()
    said, peak = done.stdout.rsplit("\n", 2)[:2]
    [target] = json.loads(said)["targets"]
    print(
        json.dumps(
            {
                "peak_mb": int(peak) / 1000,
                "seconds": seconds,
                "left": target["left_bytes"],
                "bytes": target["sent_bytes"],
            }
        )
    )


_SYNC = """
import atexit, resource
atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
from autotrack.cli import main
main()
"""

if __name__ == "__main__":
    measure() if len(sys.argv) > 1 else main()
