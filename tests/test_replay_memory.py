"""A backlog larger than the memory that its sender and its server may take, with real tables and servers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from .scripts import Place
from .test_docs import ROOT

BACKLOG = 256 << 20
MOST_MB = {"sender": 150, "server": 300}
"""Less than each takes at rest and the backlog: neither can hold all of it."""


@pytest.mark.slow
def test_a_backlog_is_sent_and_taken_in_little_memory(store: Place) -> None:
    command = [sys.executable, str(ROOT / "bench" / "replay_memory.py"), "measure"]
    env = store.env | {"BENCH_BACKLOG_BYTES": str(BACKLOG)}
    done = subprocess.run(command, cwd=store.folder, env=env, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["left"] == 0
    assert told["bytes"] >= BACKLOG
    assert told["points"] == told["curves"] == told["written"]
    assert {who: told[f"{who}_mb"] for who in MOST_MB if told[f"{who}_mb"] > MOST_MB[who]} == {}
