"""Runs that a real collector passed on are the runs that were recorded, set up as docs/collectors.md says."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from autotrack import semconv as sc
from autotrack.backends.http import HttpBackend
from autotrack.otlp.endpoint import GRPC, HTTP
from autotrack.otlp.translate import STEP
from autotrack.testing.histories import said

from .scripts import Place, free_port
from .server.live import Process
from .test_docs import ROOT, code_blocks
from .test_shipping import sync

PAGE = ROOT / "docs" / "collectors.md"
PATIENCE = 120.0
"""Seconds that a collector may take."""
SCRIPT = """
    import math
    import autotrack
    autotrack.enable(exporters=["otlp"], sklearn={"log_model": False})
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    make_pipeline(StandardScaler(), LogisticRegression()).fit(*load_iris(return_X_y=True))
    params = {"rate": 0.1, "on": True, "n": 2**53 + 1, "never": math.nan}
    with autotrack.run("curves", params=params, tags={"ü": "🙂"}) as run:
        for step in range(2000):
            autotrack.log({"loss": 1 / (step + 1), "acc": math.nan if step % 7 else math.inf}, step=step)
            if step % 500 == 0:
                autotrack.flush()
        run.log_text("hello", "a/b.txt")
    try:
        with autotrack.run("fails"):
            autotrack.log({"loss": -math.inf})
            with autotrack.run("inside"):
                print("a line")
            raise ValueError("enough")
    except ValueError:
        pass
"""
OWN_SPAN = """
    import sys
    import autotrack
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    own = TracerProvider()
    own.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{sys.argv[1]}/v1/traces")))
    autotrack.enable(exporters=["otlp"])
    with autotrack.run("spanned"):
        with own.get_tracer("app").start_as_current_span("load", attributes={"rows": 150}):
            pass
"""
STATES = {"Pipeline": "finished", "curves": "finished", "fails": "failed", "inside": "finished"}


@pytest.mark.parametrize("text", code_blocks(PAGE, "yaml"))
def test_its_yaml_is_yaml(text: str) -> None:
    assert isinstance(yaml.safe_load(text), dict)


def test_its_queries_name_attributes_that_there_are() -> None:
    text = PAGE.read_text("utf-8")
    names = {word for word in _words(text) if word.startswith("ml.")}
    templates = tuple(name for name in sc.ATTRIBUTES if name.endswith("."))
    assert {"ml.span.type", "ml.metric.acc", "ml.param.C", "ml.run.state"} <= names
    known = {*sc.ATTRIBUTES, STEP}
    assert [name for name in names if name not in known and not name.startswith(templates)] == []


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c in "._" else " " for c in text).split()


@pytest.fixture
def server(store: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """With a store of its own, and the token of the page."""
    monkeypatch.setenv("AUTOTRACK_TOKEN", "secret")  # for who reads there
    server = Process(f"sqlite:///{store.folder}/served.db", store.env | {"AUTOTRACK_TOKEN": "secret"})
    yield server
    server.kill()


@pytest.fixture
def collector(server: Process, tmp_path: Path) -> Iterator[dict[str, str]]:
    """rotel, as the page says to start it: where it listens, by protocol."""
    [block] = [block for block in code_blocks(PAGE, "sh") if "rotel-agent" in block]
    http_port, grpc_port = free_port(), free_port()
    for theirs, ours in {
        "0.0.0.0:4318": f"127.0.0.1:{http_port}",
        "0.0.0.0:4317": f"127.0.0.1:{grpc_port}",
        "runs.internal:8080": f"127.0.0.1:{server.port}",
    }.items():
        assert block.count(theirs) == 1
        block = block.replace(theirs, ours)
    found = importlib.util.find_spec("rotel")
    assert found is not None
    assert found.origin is not None
    env = os.environ | {"PATH": f"{Path(found.origin).parent}{os.pathsep}{os.environ['PATH']}"}
    with (tmp_path / "rotel.log").open("w") as log:
        process = subprocess.Popen(
            ["sh", "-c", block], env=env, stdout=log, stderr=log, cwd=tmp_path, start_new_session=True
        )
    try:
        _wait_for(lambda: _listens(http_port), lambda: (tmp_path / "rotel.log").read_text())
        yield {HTTP: f"http://127.0.0.1:{http_port}", GRPC: f"http://127.0.0.1:{grpc_port}"}
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [HTTP, GRPC])
def test_runs_through_a_collector_are_the_runs(
    store: Place, server: Process, collector: dict[str, str], protocol: str
) -> None:
    """The server behind it tells, value by value, what the script's own store tells.

    That is of a span of the user's too, which his own exporter sends to the same collector.
    """
    where = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector[protocol], "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    assert store.run(SCRIPT, env=where).returncode == 0
    assert store.run(OWN_SPAN, collector[HTTP], env=where).returncode == 0
    assert sync(store).out == "✓ Nothing waits.\n"

    directly = store.open()
    assert {run.name: run.state for run in directly.runs()} == STATES | {"spanned": "finished"}
    wanted = said(directly.backend)
    for kind in (
        directly.backend.artifacts,
        directly.backend.fits,
        directly.backend.datasets,
        directly.backend.logs,
    ):
        assert any(kind(run.id) for run in directly.runs()), kind
    [spanned] = directly.runs("name = 'spanned'")
    assert "load" in {span.name for span in directly.backend.spans(spanned.id)}
    through = HttpBackend(server.url)
    _wait_for(lambda: said(through) == wanted, lambda: f"{said(through)} is not {wanted}")
    through.close()


def _listens(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


def _wait_for(condition: Callable[[], bool], so_far: Callable[[], str]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, so_far()
        time.sleep(0.05)
