"""Spans to foreign OTLP endpoints: HTTP, gRPC, TLS, and a real collector between."""

from __future__ import annotations

import importlib.util
import itertools
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from autotrack import semconv as sc
from autotrack.conventions import problems
from autotrack.otlp.decode import decode_resource_spans
from autotrack.otlp.requests import halves, merged
from autotrack.records import SpanRecord

from .receiver import Receiver
from .scripts import TIMEOUT, Place, free_port
from .test_shipping import POINTS, assert_arrived, spooled, sync

TRAIN = """
    import autotrack
    autotrack.enable(exporters=["otlp"])
    with autotrack.run("train", params={"lr": 0.1}):
        for i in range(100):
            autotrack.log({"loss": float(i)}, i)
            if i % 10 == 9:
                autotrack.flush()
    print("result")
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def test_an_endpoint_gets_what_the_store_gets(store: Place, receiver: Receiver) -> None:
    headers = "api-key=top%20secret"
    ended = store.run(
        TRAIN, env={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_HEADERS": headers}
    )
    assert (ended.returncode, ended.out, len(ended.said)) == (0, "result\n", 1), ended.err
    assert_arrived(receiver)
    run = store.only_run()
    assert run.points("loss").value.tolist() == POINTS
    assert {span.attributes[sc.RUN_ID] for span in receiver.of_type(sc.SpanType.RUN)} == {run.id}
    sent = receiver.bodies[0][1]
    assert sent["api-key"] == "top secret"
    assert "content-encoding" not in sent
    assert spooled(store) == []


def test_consecutive_tables_come_as_one(store: Place, receiver: Receiver) -> None:
    ended = store.run(
        TRAIN, env={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "AUTOTRACK_SYSTEM_METRICS": "0"}
    )
    assert ended.returncode == 0
    tables = receiver.of_type(sc.SpanType.METRICS)
    assert len(tables) < 10
    assert sum(len(table.attributes[sc.SEQ]) for table in tables) >= 10
    assert all(
        sum(table.attributes[sc.METRICS_ROWS]) == len(table.attributes[sc.METRICS_STEP]) for table in tables
    )


def test_endpoint_alone_that_is_down_is_told_at_the_end(store: Place, receiver: Receiver) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
    receiver.close()
    source = TRAIN.replace('exporters=["otlp"]', 'store=None, exporters=["otlp"]')
    ended = store.run(source, env=env)
    assert (ended.returncode, ended.out) == (0, "result\n")
    url = f"{receiver.url}/v1/traces"
    assert f" bytes wait for {url}: autotrack sync" in ended.said[-1]
    assert not (store.folder / "runs.db").exists()
    again = Receiver(receiver.port)
    try:
        ended = sync(store)
        assert ended.returncode == 1
        assert f"autotrack sync --endpoint {url}" in ended.out
        assert sync(store, "--endpoint", again.url).returncode == 0
        assert_arrived(again)
    finally:
        again.close()


def test_missing_grpc_is_one_line(store: Place) -> None:
    source = "import sys; sys.modules['grpc'] = None\n" + "\n".join(line[4:] for line in TRAIN.splitlines())
    ended = store.run(source, env={"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert (ended.returncode, ended.out) == (0, "result\n")
    assert "gRPC is not installed: pip install 'autotrack[grpc]'" in ended.said[0]
    assert "bytes wait for http://localhost:4317: autotrack sync" in ended.said[-1]


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-out", str(files[0]), "-keyout", str(files[1])),
        ],
        check=True,
        capture_output=True,
    )
    return files


def test_tls_is_checked_against_the_named_certificate(store: Place, certificate: tuple[Path, Path]) -> None:
    secure = Receiver(tls=certificate)
    try:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": secure.url}
        ended = store.run(TRAIN, env=env)
        assert (ended.returncode, ended.out, secure.spans) == (0, "result\n", [])
        assert "TLS: " in ended.said[0]
        ended = store.run(TRAIN, env=env | {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificate[0])})
        assert (ended.returncode, len(ended.said)) == (0, 1), ended.err
        assert secure.points("loss") == sorted(POINTS * 2)  # the first one's too
    finally:
        secure.close()


# --- a collector between --------------------------------------------------------------------------


@pytest.fixture
def collector(receiver: Receiver, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A real collector that passes spans on to the receiver: its addresses for HTTP and gRPC."""
    spec = importlib.util.find_spec("rotel")
    assert spec is not None
    assert spec.origin is not None
    http, grpc = free_port(), free_port()
    log = (tmp_path / "rotel.log").open("w")
    process = subprocess.Popen(
        [
            *(str(Path(spec.origin).with_name("rotel-agent")), "start"),
            *("--otlp-http-endpoint", f"127.0.0.1:{http}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}"),
            *("--exporter", "otlp", "--otlp-exporter-endpoint", receiver.url),
            *("--otlp-exporter-protocol", "http", "--otlp-exporter-compression", "gzip"),
        ],
        stdout=log,
        stderr=log,
    )
    end = time.monotonic() + TIMEOUT
    for port in (http, grpc):
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < end
            assert process.poll() is None, (tmp_path / "rotel.log").read_text()
            time.sleep(0.05)
    yield f"http://127.0.0.1:{http}", f"http://127.0.0.1:{grpc}"
    process.terminate()
    process.wait(TIMEOUT)
    log.close()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_runs_go_through_a_collector(
    store: Place, receiver: Receiver, collector: tuple[str, str], protocol: str
) -> None:
    url = collector[protocol == "grpc"]
    ended = store.run(
        TRAIN, env={"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    )
    assert (ended.returncode, len(ended.said)) == (0, 1), ended.err
    receiver.wait_for(lambda: receiver.of_type(sc.SpanType.RUN) and receiver.points("loss") == POINTS)
    assert_arrived(receiver)
    assert [problem for span in receiver.spans for problem in problems(span)] == []


# --- requests -------------------------------------------------------------------------------------


def _frames(store: Place) -> list[bytes]:
    """The frames of a run in flushes of ten points."""
    from autotrack.locations import homes
    from autotrack.spool import SpoolReader

    store.run(TRAIN.replace('exporters=["otlp"]', "system_metrics=False"))
    reader = SpoolReader(homes(store.url)[0].spool, "test")
    [batch] = itertools.islice(reader.batches(), 1)
    return batch.payloads


def _spans(frames: list[bytes]) -> list[SpanRecord]:
    return [span for frame in frames for span in decode_resource_spans(frame)]


def _tables(frames: list[bytes]) -> list[SpanRecord]:
    return [span for span in _spans(frames) if span.attributes[sc.SPAN_TYPE] == sc.SpanType.METRICS]


def test_merging_lists_every_number_and_row(store: Place) -> None:
    frames = _frames(store)
    before, [table] = _tables(frames), _tables(merged(frames))
    assert len(before) >= 10
    found = table.attributes
    assert list(found[sc.SEQ]) == [seq for span in before for seq in span.attributes[sc.SEQ]]
    assert list(found[sc.METRICS_ROWS]) == [
        row for span in before for row in span.attributes[sc.METRICS_ROWS]
    ]
    assert list(found[sc.METRICS_STEP]) == list(range(100))
    assert np.array_equal(found[sc.METRICS_VALUE_PREFIX + "loss"], POINTS)
    assert (table.start, table.end) == (before[0].start, before[-1].end)
    spare = {span.span_id for span in before[1:]}
    rest = [span.span_id for span in _spans(frames) if span.span_id not in spare]
    assert [span.span_id for span in _spans(merged(frames))] == rest


def test_last_keeps_one_row_of_a_table(store: Place) -> None:
    [table] = _tables(merged(_frames(store), "last"))
    found = table.attributes
    assert (list(found[sc.METRICS_STEP]), list(found[sc.METRICS_VALUE_PREFIX + "loss"])) == ([99], [99.0])
    assert sum(found[sc.METRICS_ROWS]) == 1
    assert len(found[sc.METRICS_ROWS]) == len(found[sc.SEQ]) >= 10
    assert table.start == table.end


def test_halves_hold_every_span_once(store: Place) -> None:
    frames = [part for frame in _frames(store) for part in halves(frame)]
    assert frames
    for frame in frames:
        parts = halves(frame)
        if parts:
            assert _spans(parts) == _spans([frame])
    assert halves(b"no frame") == []
