"""A server that has nothing to do: seconds until it answers, and the memory it holds."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from statistics import median

from _common import report, temporary_home

ROUNDS = 5
IDLE = 5.0
"""Seconds that it is left alone before its memory is read."""


def main() -> None:
    starts, memories = [], []
    for _ in range(ROUNDS):
        with temporary_home() as (_, env):
            command = [sys.executable, "-m", "autotrack", "server", "--port", "0", "--no-token"]
            began = time.perf_counter()
            with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout is not None
                server.stdout.readline()
                url = server.stdout.readline().partition("=")[2].strip()
                with urllib.request.urlopen(f"{url}/ready") as answer:
                    assert answer.status == 200
                starts.append(time.perf_counter() - began)
                with urllib.request.urlopen(f"{url}/api/v1/runs") as answer:
                    assert answer.status == 200
                time.sleep(IDLE)
                told = Path(f"/proc/{server.pid}/smaps_rollup").read_text()
                memories.append(int(re.search(r"^Pss:\s+(\d+)", told, re.M)[1]) / 1024)  # type: ignore[index]
                server.terminate()
    report("server_start", "s", median(starts), 1.0, n=ROUNDS, ok=median(starts) <= 1.0, mlflow=11)
    report(
        "server_idle", "MiB (PSS)", median(memories), 90, n=ROUNDS, ok=median(memories) <= 90, mlflow=1_900
    )


if __name__ == "__main__":
    main()
