"""`autotrack serve` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import urllib3

from ..scripts import TIMEOUT
from .toys import TRUSTED

ROOT = Path(__file__).parents[2]


class Served:
    """A server of the toy, or of another model; ended when the block is left."""

    def __init__(
        self,
        model: Path | str,
        env: dict[str, str],
        *arguments: str,
        token: str = "",
        before: Sequence[str] = (),
    ) -> None:
        """before: what runs our command."""
        script = [str(Path(sys.executable).with_name("autotrack"))]
        own = script if before else [sys.executable, "-m", "autotrack"]
        command = [*before, *own, "serve", str(model), "--trusted", TRUSTED]
        options = arguments if "--port" in arguments else ("--port", "0", *arguments)
        if not token:
            options = (*options, "--no-token")
        self.token = token
        self.process = subprocess.Popen(
            [*command, *options],
            cwd=ROOT,
            env=env | {"PYTHONPATH": str(ROOT)} | ({"AUTOTRACK_TOKEN": token} if token else {}),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        if " at " not in said:
            raise AssertionError(f"the server did not start: {self.process.communicate(timeout=TIMEOUT)}")
        self.url = said.partition(" at ")[2].partition("/invocations")[0]
        self.port = int(self.url.rpartition(":")[2])
        self._pool = urllib3.PoolManager(maxsize=20, retries=False)

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate(timeout=TIMEOUT)

    def end(self) -> str:
        """Ask it to end; what it said on stderr."""
        self.process.terminate()
        return self.process.communicate(timeout=TIMEOUT)[1]

    @property
    def workers(self) -> list[int]:
        """The processes that the parent started, that have not ended."""
        return started_by(self.process.pid)

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> urllib3.BaseHTTPResponse:
        """A request; with a body it is a POST."""
        own = {"authorization": f"Bearer {self.token}"} if self.token else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._pool.request(
            "POST" if body is not None else "GET", self.url + path, body, headers=own | named
        )

    def hang_up(self) -> None:
        """Close what is kept open: a worker that is killed takes its connections with it."""
        self._pool.clear()

    def predict(self, rows: list[list[float]], **more: Any) -> Any:
        """The predictions for rows of a and b, or the error's text."""
        told = {"dataframe_split": {"columns": ["a", "b"], "data": rows}, **more}
        answer = self.ask("/invocations", json.dumps(told).encode(), content_type="application/json")
        found = answer.json()
        return found["predictions"] if answer.status == 200 else (answer.status, found["error"]["message"])


def started_by(parent: int) -> list[int]:
    """Its processes that have not ended."""
    asked = ["ps", "--ppid", str(parent), "-o", "pid=,stat="]
    told = subprocess.run(asked, capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in told.splitlines() if "Z" not in line.split()[1]]


def exited(*arguments: str, env: dict[str, str]) -> tuple[int, str]:
    """A command that cannot serve: its exit status and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "autotrack", "serve", *arguments],
        cwd=ROOT,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    return done.returncode, done.stderr
