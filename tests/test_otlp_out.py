"""Spans to foreign OTLP endpoints: HTTP, gRPC, TLS, and a real collector between."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from autotrack import semconv as sc
from autotrack.conventions import problems
from autotrack.otlp.decode import decode_resource_spans
from autotrack.otlp.endpoint import GRPC, HTTP
from autotrack.otlp.requests import halves, merged
from autotrack.records import SpanRecord

from .receiver import GrpcReceiver, Receiver, late
from .scripts import TIMEOUT, Place, end_of, free_port
from .test_shipping import POINTS, WAITS, assert_arrived, spooled, sync

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
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=top%20secret",
        "OTEL_SERVICE_NAME": "trainer",
        "OTEL_RESOURCE_ATTRIBUTES": "service.name=other,team=x%2C%20y",
    }
    ended = store.run(TRAIN, env=env)
    assert (ended.returncode, ended.out, len(ended.said)) == (0, "result\n", 1), ended.err
    assert_arrived(receiver)
    run = store.only_run()
    assert run.points("loss").value.tolist() == POINTS
    assert {span.attributes[sc.RUN_ID] for span in receiver.of_type(sc.SpanType.RUN)} == {run.id}
    said = {(span.resource[sc.SERVICE_NAME], span.resource["team"]) for span in receiver.spans}
    assert said == {("trainer", "x, y")}
    assert receiver.schemas == {(sc.SCHEMA_URL, sc.SCHEMA_URL)}
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
    ended = store.run(source, env={"OTEL_EXPORTER_OTLP_PROTOCOL": GRPC})
    assert (ended.returncode, ended.out) == (0, "result\n")
    assert "gRPC is not installed: pip install 'autotrack[grpc]'" in ended.said[0]
    assert "bytes wait for http://localhost:4317: autotrack sync" in ended.said[-1]


# --- what the variables say, to receivers of both protocols ----------------------------------------

Certificate = tuple[Path, Path]
"""The files of a certificate and its key."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Trusted by nobody who is not told to."""
    return certified(tmp_path_factory.mktemp("tls"), "authority")


@pytest.fixture(scope="module")
def certificate(authority: Certificate) -> Certificate:
    """A receiver's."""
    return certified(authority[0].parent, "server", authority)


@pytest.fixture(scope="module")
def own(authority: Certificate) -> Certificate:
    """A client's."""
    return certified(authority[0].parent, "client", authority)


def certified(folder: Path, name: str, by: Certificate | None = None) -> Certificate:
    """By itself, if not `by` another."""
    files = folder / f"{name}.pem", folder / f"{name}.key"
    signing = ["-CA", str(by[0]), "-CAkey", str(by[1])] if by else []
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                *signing,
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ),
            *("-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-out", str(files[0]), "-keyout", str(files[1])),
        ],
        check=True,
        capture_output=True,
    )
    return files


RECEIVERS = {HTTP: Receiver, GRPC: GrpcReceiver}
TO_NOTHING = {
    "OTEL_TRACES_SAMPLER": "always_off",
    "OTEL_ATTRIBUTE_COUNT_LIMIT": "1",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "1",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "1",
}
"""What would leave nothing of a run, if it were for runs."""


@pytest.mark.parametrize("protocol", [HTTP, GRPC])
def test_tls_is_checked_against_the_named_certificate(
    store: Place, authority: Certificate, certificate: Certificate, protocol: str
) -> None:
    secure = RECEIVERS[protocol](tls=certificate)
    try:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": secure.url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        ended = store.run(TRAIN, env=env)
        assert (ended.returncode, ended.out, secure.spans) == (0, "result\n", [])
        assert {HTTP: "TLS: ", GRPC: "UNAVAILABLE: "}[protocol] in ended.said[0]
        told = (
            env
            | TO_NOTHING
            | {
                "OTEL_EXPORTER_OTLP_CERTIFICATE": str(authority[0]),
                "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
                "OTEL_EXPORTER_OTLP_HEADERS": "api-key=top%20secret",
            }
        )
        ended = store.run(TRAIN, env=told)
        assert (ended.returncode, len(ended.said)) == (0, 1), ended.err
        assert secure.points("loss") == sorted(POINTS * 2)  # the first one's too
        assert {headers["api-key"] for headers in secure.headers} == {"top secret"}
        if protocol == HTTP:
            assert {headers["content-encoding"] for headers in secure.headers} == {"gzip"}
        starts = secure.of_type(sc.SpanType.RUN_START)
        assert [start.attributes[sc.PARAM_PREFIX + "lr"] for start in starts] == [0.1, 0.1]
    finally:
        secure.close()


@pytest.mark.parametrize("protocol", [HTTP, GRPC])
def test_a_receiver_may_want_a_certificate_of_ours(
    store: Place, authority: Certificate, certificate: Certificate, own: Certificate, protocol: str
) -> None:
    secure = RECEIVERS[protocol](tls=certificate, clients=authority[0])
    try:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": secure.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(authority[0]),
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "api-key=its%20own",
        }
        ended = store.run(TRAIN, env=env)
        assert (ended.returncode, ended.out, secure.spans) == (0, "result\n", [])
        assert "bytes wait for" in ended.said[-1]
        told = {
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(own[0]),
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(own[1]),
        }
        ended = store.run(TRAIN, env=env | told)
        assert (ended.returncode, len(ended.said)) == (0, 1), ended.err
        assert secure.points("loss") == sorted(POINTS * 2)
        assert {headers["api-key"] for headers in secure.headers} == {"its own"}
    finally:
        secure.close()


def test_grpc_is_packed_only_where_it_is_said(store: Place) -> None:
    """A receiver that takes no gzip tells whether there was any."""
    plain = GrpcReceiver(gzip=False)
    try:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": plain.url, "OTEL_EXPORTER_OTLP_PROTOCOL": GRPC}
        ended = store.run(TRAIN, env=env | {"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "gzip"})
        assert "UNIMPLEMENTED: Compression algorithm 'gzip' is disabled" in ended.said[0]
        assert plain.spans == []
        assert store.run(TRAIN, env=env).returncode == 0
        assert plain.points("loss") == sorted(POINTS * 2)
    finally:
        plain.close()


@pytest.mark.parametrize("protocol", [HTTP, GRPC])
def test_who_does_not_answer_in_the_time_that_is_said_is_asked_again(store: Place, protocol: str) -> None:
    slow = RECEIVERS[protocol]()
    slow.behave = late(3.0, times=1)
    try:
        env = {
            "AUTOTRACK_EXPORTERS": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": slow.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1000",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        process = store.start(WAITS, env=env)
        slow.wait_for(lambda: slow.asked > 1 and slow.points("loss") == POINTS)
        ended = end_of(process, "\n")
        assert {HTTP: "no answer in time", GRPC: "DEADLINE_EXCEEDED"}[protocol] in ended.said[0]
        assert_arrived(slow)
        assert sync(store).out == "✓ Nothing waits.\n"
    finally:
        slow.close()


def test_what_is_too_large_for_grpc_is_split(store: Place) -> None:
    """All of it waits at first, so that it is sent at once."""

    def is_away(context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")

    narrow = GrpcReceiver(most_bytes=2000)
    narrow.behave = is_away
    try:
        store.env["OTEL_EXPORTER_OTLP_PROTOCOL"] = GRPC
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": narrow.url, "AUTOTRACK_ENVIRONMENT": "0"}
        assert store.run(TRAIN, env=env).returncode == 0
        assert narrow.spans == []
        narrow.behave = lambda context: None
        assert sync(store, "--endpoint", narrow.url).returncode == 0
        assert_arrived(narrow)
        assert sum(narrow.sizes) > 2000
        assert spooled(store) == []
    finally:
        narrow.close()


# --- a collector between --------------------------------------------------------------------------


@contextlib.contextmanager
def collecting(receiver: Receiver, log_file: Path, http: int, grpc: int) -> Iterator[None]:
    """A real collector at these ports, which passes spans on to the receiver."""
    spec = importlib.util.find_spec("rotel")
    assert spec is not None
    assert spec.origin is not None
    log = log_file.open("w")
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
            assert process.poll() is None, log_file.read_text()
            time.sleep(0.05)
    yield
    process.terminate()
    process.wait(TIMEOUT)
    log.close()


@pytest.fixture
def collector(receiver: Receiver, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Its addresses for HTTP and gRPC."""
    http, grpc = free_port(), free_port()
    with collecting(receiver, tmp_path / "rotel.log", http, grpc):
        yield f"http://127.0.0.1:{http}", f"http://127.0.0.1:{grpc}"


@pytest.mark.parametrize("protocol", [HTTP, GRPC])
def test_runs_go_through_a_collector(
    store: Place, receiver: Receiver, collector: tuple[str, str], protocol: str
) -> None:
    url = collector[protocol == GRPC]
    ended = store.run(
        TRAIN, env={"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    )
    assert (ended.returncode, len(ended.said)) == (0, 1), ended.err
    receiver.wait_for(lambda: receiver.of_type(sc.SpanType.RUN) and receiver.points("loss") == POINTS)
    assert_arrived(receiver)
    assert [problem for span in receiver.spans for problem in problems(span)] == []


def test_what_waits_for_a_grpc_endpoint_is_sent_as_the_advice_says(
    store: Place, receiver: Receiver, tmp_path: Path
) -> None:
    grpc = free_port()
    url = f"http://127.0.0.1:{grpc}"
    over_grpc = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert store.run(TRAIN, env={"OTEL_EXPORTER_OTLP_ENDPOINT": url, **over_grpc}).returncode == 0
    assert spooled(store)
    told = sync(store)
    assert told.returncode == 1
    advice = f"OTEL_EXPORTER_OTLP_PROTOCOL=grpc autotrack sync --endpoint {url}"
    assert advice in " ".join(told.out.split())
    with collecting(receiver, tmp_path / "rotel.log", free_port(), grpc):
        assert "✓ Nothing waits for" in sync(store, "--endpoint", url).out  # over HTTP
        assert receiver.spans == []
        store.env |= over_grpc
        assert f"sent to {url}" in sync(store, "--endpoint", url).out
        receiver.wait_for(lambda: receiver.of_type(sc.SpanType.RUN) and receiver.points("loss") == POINTS)
    assert spooled(store) == []


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
