"""Runs that a real collector passed on are the runs that were recorded, set up as docs/collectors.md says."""

from __future__ import annotations

import gzip
import http.client
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from autotrack import semconv as sc
from autotrack.backends.sqlite import SqliteBackend
from autotrack.conventions import problems
from autotrack.locations import homes
from autotrack.otlp.decode import decode_resource_spans
from autotrack.records import SpanRecord
from autotrack.spool import SpoolReader
from autotrack.testing.histories import said

from .scripts import Place, free_port
from .test_docs import ROOT, code_blocks

PAGE = ROOT / "docs" / "collectors.md"
PATIENCE = 120.0
"""Seconds that a collector may take."""
SCRIPT = """
    import math
    import autotrack
    autotrack.enable()
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    make_pipeline(StandardScaler(), LogisticRegression()).fit(*load_iris(return_X_y=True))
    try:
        params = {"rate": 0.1, "on": True, "n": 2**53 + 1}
        with autotrack.run("curves", params=params, tags={"ü": "🙂"}) as run:
            for step in range(2000):
                autotrack.log({"loss": 1 / (step + 1), "acc": math.nan if step % 7 else math.inf}, step=step)
            run.log_text("hello", "a/b.txt")
            print("a line")
            raise ValueError("enough")
    except ValueError:
        pass
"""


@pytest.mark.parametrize("text", code_blocks(PAGE, "yaml"))
def test_its_yaml_is_yaml(text: str) -> None:
    assert isinstance(yaml.safe_load(text), dict)


def test_its_queries_name_attributes_that_there_are() -> None:
    text = PAGE.read_text("utf-8")
    names = {word for word in _words(text) if word.startswith("ml.")}
    templates = tuple(name for name in sc.ATTRIBUTES if name.endswith("."))
    assert {"ml.span.type", "ml.metric.acc", "ml.param.C", "ml.run.state"} <= names
    assert [name for name in names if name not in sc.ATTRIBUTES and not name.startswith(templates)] == []


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c in "._" else " " for c in text).split()


class Receiver(ThreadingHTTPServer):
    """An OTLP/HTTP endpoint on a free port, which keeps the spans, and of requests path and token."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.spans: list[SpanRecord] = []
        self.requests: set[tuple[str, str | None]] = set()


class _Request(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.spans += decode_resource_spans(group.SerializeToString())
        self.server.requests.add((self.path, self.headers.get("Authorization")))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever).start()
        yield receiver
        receiver.shutdown()


@pytest.fixture
def collector(receiver: Receiver, tmp_path: Path) -> Iterator[int]:
    """rotel, as the page says to start it; the port where it listens."""
    [block] = [block for block in code_blocks(PAGE, "sh") if "rotel-agent" in block]
    http_port, grpc_port = free_port(), free_port()
    for theirs, ours in {
        "0.0.0.0:4318": f"127.0.0.1:{http_port}",
        "0.0.0.0:4317": f"127.0.0.1:{grpc_port}",
        "runs.internal:8080": f"127.0.0.1:{receiver.server_port}",
    }.items():
        assert block.count(theirs) == 1
        block = block.replace(theirs, ours)
    found = importlib.util.find_spec("rotel")
    assert found is not None
    assert found.origin is not None
    env = os.environ | {
        "PATH": f"{Path(found.origin).parent}{os.pathsep}{os.environ['PATH']}",
        "AUTOTRACK_TOKEN": "secret",
    }
    with (tmp_path / "rotel.log").open("w") as log:
        process = subprocess.Popen(
            ["sh", "-c", block], env=env, stdout=log, stderr=log, cwd=tmp_path, start_new_session=True
        )
    try:
        _wait_for(lambda: _listens(http_port), lambda: (tmp_path / "rotel.log").read_text())
        yield http_port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_runs_through_a_collector_are_the_runs(store: Place, receiver: Receiver, collector: int) -> None:
    assert store.run(SCRIPT).returncode == 0
    frames = _frames(homes(store.url)[0].spool, store.folder / "copy")
    for frame in frames:
        _post(collector, frame)
    sent = [span for frame in frames for span in decode_resource_spans(frame)]
    _wait_for(lambda: len(receiver.spans) >= len(sent), lambda: f"{len(receiver.spans)} of {len(sent)} came")

    assert {span.attributes[sc.SPAN_TYPE] for span in sent} >= set(sc.SPAN_TYPES) - {"beat", "edit", "rank"}
    assert receiver.requests == {("/v1/traces", "Bearer secret")}
    assert [problem for span in receiver.spans for problem in problems(span)] == []
    through = SqliteBackend(f"sqlite:///{store.folder}/through.db")
    through.write(receiver.spans)
    directly = store.open()
    assert len(directly.runs()) == 2
    assert said(through) == said(directly.backend)
    through.close()


def _frames(spool: Path, copy: Path) -> list[bytes]:
    """What waits in a spool, read from a copy: who reads one empties it."""
    frames, reader = [], SpoolReader(shutil.copytree(spool, copy), "collector")
    for batch in reader.batches():
        frames += batch.payloads
        reader.done(batch)
    return frames


def _post(port: int, frame: bytes) -> None:
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans.FromString(frame)])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request(
        "POST", "/v1/traces", request.SerializeToString(), {"Content-Type": "application/x-protobuf"}
    )
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


def _listens(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


def _wait_for(condition: Callable[[], bool], so_far: Callable[[], str]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, so_far()
        time.sleep(0.05)
