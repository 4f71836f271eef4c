"""A server that has nothing to do: seconds until it answers, and its memory; with and without gRPC."""

from __future__ import annotations

import importlib.util
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
WAYS = {"": ("--no-grpc",), "_grpc": ("--grpc-port", "0")}
"""With gRPC it is as it starts of itself where that is installed; but any port will do here."""


def main() -> None:
    ways = WAYS if importlib.util.find_spec("grpc") else {"": WAYS[""]}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, arguments in ways.items():
            found[name].append(measured(*arguments))
    for name, rounds in found.items():
        start, memory = map(median, zip(*rounds, strict=True))
        report(f"server_start{name}", "s", start, 1.0, n=ROUNDS, ok=start <= 1.0, mlflow=11)
        report(f"server_idle{name}", "MiB (PSS)", memory, 90, n=ROUNDS, ok=memory <= 90, mlflow=1_900)


def measured(*arguments: str) -> tuple[float, float]:
    """Seconds from its start to its first answer, and MiB at rest."""
    with temporary_home() as (_, env):
        command = [sys.executable, "-m", "autotrack", "server", "--port", "0", "--no-token", *arguments]
        began = time.perf_counter()
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            server.stdout.readline()
            url = server.stdout.readline().partition("=")[2].strip()
            with urllib.request.urlopen(f"{url}/ready") as answer:
                assert answer.status == 200
            start = time.perf_counter() - began
            with urllib.request.urlopen(f"{url}/api/v1/runs") as answer:
                assert answer.status == 200
            time.sleep(IDLE)
            told = Path(f"/proc/{server.pid}/smaps_rollup").read_text()
            server.terminate()
    return start, int(re.search(r"^Pss:\s+(\d+)", told, re.M)[1]) / 1024  # type: ignore[index]


if __name__ == "__main__":
    main()
