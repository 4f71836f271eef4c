"""Real scripts in real processes, each with a store and a home of its own."""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autotrack.store import Run, Store
from autotrack.testing.tracking import problems_seen

TIMEOUT = 300.0
"""Seconds after which a script counts as hung, on a machine however busy: who passes waits for none."""

HIDES = """
import sys
from importlib import metadata
from importlib.machinery import PathFinder

from packaging.utils import canonicalize_name

modules = metadata.packages_distributions()

def hide(is_hidden):
    left = {module for module, of in modules.items() if all(is_hidden(canonicalize_name(one)) for one in of)}
    assert left

    class Finder(PathFinder):
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            return None if name.partition(".")[0] in left else super().find_spec(name, path, target)

        @classmethod
        def find_distributions(cls, *context):
            found = super().find_distributions(*context)
            return (one for one in found if not is_hidden(canonicalize_name(one.metadata["Name"])))

    sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""
"""The beginning of a script in which what is installed can be hidden, by its distributions' names."""


@dataclass(frozen=True)
class Ended:
    """What is left of a process: its exit code and what it printed."""

    returncode: int
    out: str
    err: str

    @property
    def said(self) -> list[str]:
        """Our lines on stderr."""
        return [line for line in self.err.splitlines() if line.startswith("autotrack:")]


@dataclass
class Place:
    """A store's URL, and the environment in which nothing is written outside `folder`."""

    folder: Path
    url: str
    env: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    problems: list[list[str]] = field(default_factory=list)
    """What each reader saw that is against the conventions: the fixture wants none."""

    def start(
        self, source: str, *arguments: object, name: str = "script", env: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Run `source` as the script `<name>.py`; stdin, stdout and stderr are pipes."""
        script = self.folder / f"{name}.py"
        text = textwrap.dedent(source)
        if not script.exists() or script.read_text("utf-8") != text:  # a process may be reading it
            script.write_text(text, "utf-8")
        process = subprocess.Popen(
            [sys.executable, str(script), *map(str, arguments)],
            cwd=self.folder,
            env=self.env | (env or {}),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(
        self, source: str, *arguments: object, name: str = "script", env: dict[str, str] | None = None
    ) -> Ended:
        """The same, to its end."""
        return end_of(self.start(source, *arguments, name=name, env=env))

    def said(self, *command: str) -> str:
        """What a command of ours prints about this store; it must succeed."""
        return subprocess.run(
            [sys.executable, "-m", "autotrack", *command],
            env=self.env,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def open(self) -> Store:
        """A reader of its own; `autotrack.runs()` would enable autotrack in the test process."""
        store = Store(self.url)
        self.problems.append(problems_seen(store))
        return store

    def runs(self) -> dict[str, Run]:
        """All runs by name; no two may share one."""
        runs = list(self.open().runs())
        assert len({run.name for run in runs}) == len(runs), runs
        return {run.name: run for run in runs}

    def only_run(self) -> Run:
        """The one run there is."""
        [run] = self.open().runs()
        return run


def end_of(process: subprocess.Popen[str], stdin: str | None = None) -> Ended:
    """Wait for the process, and for every child that still holds its pipes."""
    out, err = process.communicate(stdin, timeout=TIMEOUT)
    return Ended(process.returncode, out, err)


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    """Read stdout up to this line."""
    assert process.stdout is not None
    for said in process.stdout:
        if said.strip() == line:
            return
    raise AssertionError(f"the script ended without {line!r}: {process.communicate()[1]}")


def wait_until(true: Callable[[], bool], timeout: float = TIMEOUT) -> None:
    """Wait for what other processes do; whether it came true is for the caller to assert."""
    end = time.monotonic() + timeout
    while not true() and time.monotonic() < end:
        time.sleep(0.05)


def free_port() -> int:
    """A port to listen at, now and again: one that no system gives to a client meanwhile."""
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def end_line(states: str, points: int, skipped: str = "") -> str:
    """The line that ends a script; `states` as in "1 finished, 2 failed"."""
    runs = sum(int(part.split()[0]) for part in states.split(", "))
    counted = (
        f"{runs:,} run{'' if runs == 1 else 's'} ({states}), {points:,} point{'' if points == 1 else 's'}"
    )
    return f"autotrack: recorded {counted}{skipped}; see: autotrack runs"


def curve(run: Run, name: str) -> list[tuple[int, float]]:
    """(step, value) of every point."""
    points = run.points(name)
    return list(zip(points.step.tolist(), points.value.tolist(), strict=True))


def values(run: Run, name: str) -> list[float]:
    """The value of every point, in the curve's order."""
    found: list[float] = run.points(name).value.tolist()
    return found


def shared_numbers(path: Path, size: int, kind: str = "int64") -> Any:
    """Numbers in a file that a script maps too: they outlive it, however it dies."""
    return np.memmap(path, kind, "w+", shape=(size,))


def alive(pid: int) -> bool:
    """Whether the process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter where it goes while it is read
        return False
