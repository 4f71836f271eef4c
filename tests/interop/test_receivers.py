"""Trace stores of others as the end of the way: a run is found there with its id, params and last metrics."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from ..scripts import TIMEOUT, Place, wait_until
from ..test_shipping import spooled, sync

pytestmark = pytest.mark.receivers

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autotrack-tests"
"""Their environments, made once: to install one takes minutes."""
MLFLOW, PHOENIX = "mlflow==3.17.2", "arize-phoenix==20.26.1"
INSTALLING, STARTING, ARRIVING = 1200.0, 180.0, 60.0
"""Seconds that each may take."""

TRAIN = """
    import autotrack
    autotrack.enable(exporters=["otlp"], store=None)
    with autotrack.run("baseline", experiment="churn", params={"lr": 0.1, "on": True, "name": "ü🙂"}) as run:
        for step in range(100):
            autotrack.log({"loss": 1 / (step + 1), "val/acc": step / 100}, step)
        print(run.id)
"""
WANTED = {"ml.param.lr": 0.1, "ml.param.on": True, "ml.param.name": "ü🙂"}
LAST = {"ml.metric.loss": 0.01, "ml.metric.val/acc": 0.99}

Attributes = dict[str, Any]


def environment(requirement: str) -> Path:
    """The `bin` of an environment that has it; skips where pip reaches no index to install it from."""
    folder = CACHE / f"{requirement}-{sys.version_info.major}.{sys.version_info.minor}"
    done = folder / "installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        installed = pip(folder, "install", "--quiet", requirement)
        if installed.returncode:
            if pip(folder, "download", "--no-deps", "--dest", str(folder), "pip").returncode:
                pytest.skip("pip reaches no index")
            pytest.fail(f"pip cannot install {requirement}: {installed.stderr}")
        done.touch()
    return folder / "bin"


def pip(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=INSTALLING)


@contextmanager
def running(command: list[str], folder: Path, env: dict[str, str], alive: str) -> Iterator[None]:
    """A receiver in a group of processes of its own, once it answers at the URL `alive`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "AUTOTRACK_", "OTEL_"))}
    log = folder / "receiver.log"
    with log.open("w") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=kept | env, stdout=said, stderr=said, start_new_session=True
        )
    try:
        wait_until(lambda: process.poll() is not None or answers(alive), STARTING)
        assert answers(alive), log.read_text()[-5000:]
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, timeout=2, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@pytest.fixture
def mlflow(tmp_path: Path) -> Iterator[tuple[dict[str, str], Callable[[], list[Attributes]]]]:
    """Where it is, as OpenTelemetry's variables; and the attributes of every span that it has."""
    port, database = free_port(), tmp_path / "mlflow.db"
    command = [str(environment(MLFLOW) / "mlflow"), "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(tmp_path)]
    url = f"http://127.0.0.1:{port}"
    with running(command, tmp_path, {"MLFLOW_DISABLE_TELEMETRY": "true"}, f"{url}/health"):

        def spans() -> list[Attributes]:
            with closing(sqlite3.connect(database)) as db:
                rows = db.execute("SELECT content FROM spans").fetchall()
            told = [json.loads(content)["attributes"] for (content,) in rows]
            return [{key: json.loads(value) for key, value in one.items()} for one in told]

        yield (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_HEADERS": "x-mlflow-experiment-id=0"},
            spans,
        )


@pytest.fixture
def phoenix(tmp_path: Path) -> Iterator[tuple[dict[str, str], Callable[[], list[Attributes]]]]:
    """The same of arize-phoenix."""
    port, grpc = free_port(), free_port()
    env = {
        "PHOENIX_WORKING_DIR": str(tmp_path),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    url = f"http://127.0.0.1:{port}"
    with running([str(environment(PHOENIX) / "phoenix"), "serve"], tmp_path, env, f"{url}/healthz"):

        def spans() -> list[Attributes]:
            answer = urllib3.request("GET", f"{url}/v1/projects/default/spans?limit=1000", timeout=TIMEOUT)
            return [span["attributes"] for span in answer.json()["data"]] if answer.status == 200 else []

        yield {"OTEL_EXPORTER_OTLP_ENDPOINT": url}, spans


@pytest.mark.parametrize("receiver", ["mlflow", "phoenix"])
def test_run_arrives(store: Place, receiver: str, request: pytest.FixtureRequest) -> None:
    variables, spans = request.getfixturevalue(receiver)
    store.env |= {**variables, "AUTOTRACK_ENVIRONMENT": "0"}
    ended = store.run(TRAIN)
    assert [line for line in ended.said if "recorded" not in line] == []
    run_id = ended.out.strip()
    synced = sync(store)  # a busy receiver's first answer may take longer than the end of a script waits
    assert synced.returncode == 0, synced.out
    assert spooled(store) == []

    def of_type(kind: str) -> list[Attributes]:
        return [a for a in spans() if (a.get("ml.run.id"), a.get("ml.span.type")) == (run_id, kind)]

    wait_until(lambda: bool(of_type("run")), ARRIVING)
    [start] = of_type("run.start")
    assert {key: start[key] for key in WANTED} == WANTED
    assert start["ml.experiment.name"] == "churn"
    [end] = of_type("run")
    assert {key: end[key] for key in LAST} == LAST
    [table] = of_type("metrics")
    assert table["ml.metrics.step"] == list(range(100))
    assert table["ml.metrics.value.loss"] == [1 / (step + 1) for step in range(100)]
