"""autotrack beside the OpenTelemetry that a program has already: providers, exporters, variables."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import autotrack
from autotrack import semconv as sc
from autotrack.errors import OptionError
from autotrack.exporters.provider import ProviderExporter
from autotrack.exporters.threaded import ThreadedExporter
from autotrack.recording.report import Report
from autotrack.recording.resource import process_resource
from autotrack.records import SpanRecord

from .scripts import TIMEOUT, Place, end_of
from .tracking import Tracking, tracking  # noqa: F401

# --- a provider that is there already --------------------------------------------------------------

DROPPING = """
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
    import autotrack
    provider = TracerProvider(sampler=ALWAYS_OFF)
    if {before}:
        trace.set_tracer_provider(provider)
    autotrack.enable()
    if not {before}:
        trace.set_tracer_provider(provider)
    with trace.get_tracer("app").start_as_current_span("request"):
        with autotrack.run("r"):
            autotrack.log({{"loss": 0.5}})
    assert trace.get_tracer_provider() is provider
"""


@pytest.mark.parametrize("before", [True, False])
def test_a_provider_neither_is_replaced_nor_samples_runs(store: Place, before: bool) -> None:
    ended = store.run(DROPPING.format(before=before))
    assert (ended.returncode, ended.err.count("\n")) == (0, 1), ended.err
    assert store.only_run().metrics == {"loss": 0.5}


def a_provider(**arguments: Any) -> tuple[TracerProvider, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False, **arguments)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def test_runs_go_through_a_provider_that_is_given(tracking: Tracking, store: Place) -> None:  # noqa: F811
    provider, exporter = a_provider(resource=Resource({"service.name": "churn-api", "team": "a"}))
    tracking.enable(tracer_provider=provider)
    with autotrack.run("r") as run:
        for step in range(100):
            autotrack.log({"loss": 1 / (step + 1)}, step=step)
        with provider.get_tracer("app").start_as_current_span("epoch"):
            pass
        context = trace.get_current_span().get_span_context()
    autotrack._enable.end()
    got = {span.name: span for span in exporter.get_finished_spans()}
    assert [span.name for span in exporter.get_finished_spans()].count("epoch") == 1
    assert {"run.start", "metrics", "r", "epoch"} <= set(got)
    assert got["r"].context.span_id == context.span_id == got["epoch"].parent.span_id
    assert got["metrics"].attributes[sc.METRICS_STEP] == tuple(range(100))
    assert got["r"].resource.attributes["service.name"] == "churn-api"
    assert got["r"].resource.attributes["telemetry.distro.name"] == "autotrack"
    assert json.loads(got["metrics"].to_json())["attributes"][sc.RUN_ID] == run.id
    assert names_inside(store, run.id) == {"epoch"}


def test_what_is_no_provider_is_refused(tracking: Tracking) -> None:  # noqa: F811
    with pytest.raises(OptionError, match="tracer_provider must be one of opentelemetry"):
        tracking.enable(tracer_provider=object())


def test_a_provider_that_is_made_later_has_the_last_spans(store: Place) -> None:
    ended = store.run(
        """
        import autotrack
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
        autotrack.enable()
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
        autotrack.enable(tracer_provider=provider)
        run = autotrack.run("r")
        run.__enter__()
        """
    )
    assert ended.returncode == 0, ended.err
    assert '"name": "r"' in ended.out
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("end", [autotrack.disable, autotrack._enable.end])
def test_a_provider_is_let_go_of(tracking: Tracking, end: Callable[[], None]) -> None:  # noqa: F811
    provider, exporter = a_provider()
    tracking.enable(tracer_provider=provider)
    with autotrack.run("before"):
        pass
    end()
    tracking.enable()
    with autotrack.run("after"):
        pass
    autotrack._enable.end()
    names = {span.name for span in exporter.get_finished_spans()}
    assert "before" in names
    assert "after" not in names


def test_with_the_sdk_off_nothing_is_recorded_nor_kept(store: Place) -> None:
    source = """
        import autotrack
        from opentelemetry.sdk.trace import TracerProvider
        autotrack.enable(tracer_provider=TracerProvider())
        with open("weights.bin", "wb") as file:
            file.write(b"weights")
        with autotrack.run("r") as run:
            run.log_artifact("weights.bin")
    """
    ended = store.run(source, env={"OTEL_SDK_DISABLED": "true"})
    assert ended.returncode == 0, ended.err
    assert ended.err == "autotrack: OTEL_SDK_DISABLED is set: nothing is recorded\n"
    assert [file.name for file in store.folder.glob("runs.db*")] == []


# --- spans of the user's ---------------------------------------------------------------------------


def spans_inside(store: Place, run_id: str) -> dict[str, SpanRecord]:
    opened = store.open()
    opened.drain()
    found = [span for span in opened.backend.spans(run_id) if sc.SPAN_TYPE not in span.attributes]
    assert len({span.name for span in found}) == len(found)
    return {span.name: span for span in found}


def names_inside(store: Place, run_id: str) -> set[str]:
    return set(spans_inside(store, run_id))


def test_spans_inside_a_run_reach_the_store(tracking: Tracking, store: Place) -> None:  # noqa: F811
    provider, exporter = a_provider()
    tracer = provider.get_tracer("app")
    tracking.enable()
    with tracer.start_as_current_span("request"):
        with tracer.start_as_current_span("before"):
            pass
        with autotrack.run("r") as run, tracer.start_as_current_span("epoch", attributes={"n": 1}):
            with autotrack.run("child") as child, tracer.start_as_current_span("of the child"):
                pass
            context = otel_context.get_current()
            thread = threading.Thread(target=lambda: tracer.start_span("in a thread", context).end())
            thread.start()
            thread.join()
            late = TracerProvider(shutdown_on_exit=False).get_tracer("late")
            late.start_span("of another provider").end()
            late.start_span("a root", otel_context.Context()).end()
        tracer.start_span("after").end()
    autotrack.flush()
    assert names_inside(store, run.id) == {"epoch", "in a thread", "of another provider"}
    assert names_inside(store, child.id) == {"of the child"}
    spans = spans_inside(store, run.id)
    assert (spans["epoch"].attributes, spans["epoch"].scope) == ({"n": 1}, "app")
    assert len(exporter.get_finished_spans()) == 6, "the provider's own exporter has them as ever"


def test_spans_after_disable_go_their_own_way(tracking: Tracking, store: Place) -> None:  # noqa: F811
    provider, _ = a_provider()
    tracer = provider.get_tracer("app")
    original = vars(Tracer)["start_span"]
    tracking.enable()
    assert vars(Tracer)["start_span"] is not original
    with autotrack.run("r") as run:
        tracer.start_span("on").end()
        autotrack.disable()
        tracer.start_span("off").end()
    assert vars(Tracer)["start_span"] is original
    autotrack.flush()
    assert names_inside(store, run.id) == {"on"}


def test_a_span_that_ends_in_a_forked_child_is_kept_once(store: Place) -> None:
    ended = store.run(
        """
        import os
        import autotrack
        from opentelemetry.sdk.trace import TracerProvider
        tracer = TracerProvider().get_tracer("app")
        autotrack.enable()
        with autotrack.run("r"):
            with tracer.start_as_current_span("open"):
                pid = os.fork()
                if pid == 0:
                    tracer.start_span("of the child").end()
            if pid == 0:
                autotrack.flush()
                os._exit(0)
            os.waitpid(pid, 0)
        """
    )
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert names_inside(store, run.id) == {"open"}


# --- exporters of third parties ----------------------------------------------------------------------

TOYS = """
    import time
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    class Raising(SpanExporter):
        def export(self, spans): raise OSError("no such collector")
        def shutdown(self): raise OSError("still none")
    class Hanging(SpanExporter):
        def export(self, spans): time.sleep(1000)
    class Unready(SpanExporter):
        def __init__(self): time.sleep(1000)
    class Unmakable(SpanExporter):
        def __init__(self): raise RuntimeError("no key")
    class Noting(SpanExporter):
        def export(self, spans):
            with open("noted", "a") as file:
                for span in spans:
                    file.write(f"{span.to_json(indent=None)}\\n")
            return SpanExportResult.SUCCESS
        def shutdown(self):
            with open("noted", "a") as file:
                file.write("closed\\n")
"""
TRAINING = """
    import autotrack, time
    autotrack.enable()
    with autotrack.run("r"):
        for step in range(50):
            autotrack.log({"loss": float(step)}, step=step)
        autotrack.flush()
    print("done", flush=True)
"""


@pytest.fixture
def toys(store: Place) -> Place:
    """A package with exporters is installed for scripts."""
    store.folder.joinpath("toys.py").write_text(textwrap.dedent(TOYS))
    info = store.folder / "toys-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    names = ("Raising", "Hanging", "Unready", "Unmakable", "Noting")
    points = "\n".join(f"{name.lower()} = toys:{name}" for name in names) + "\nhanging2 = toys:Hanging"
    info.joinpath("entry_points.txt").write_text(f"[opentelemetry_traces_exporter]\n{points}\n")
    return store


def test_an_exporter_of_a_third_party_gets_plain_spans(toys: Place) -> None:
    ended = toys.run(TRAINING, env={"AUTOTRACK_EXPORTERS": "noting"})
    *spans, last = toys.folder.joinpath("noted").read_text().splitlines()
    assert ended.returncode == 0, ended.err
    assert last == "closed"
    found = {span["name"]: span for span in map(json.loads, spans)}
    assert {"run.start", "metrics", "r"} <= set(found)
    assert found["metrics"]["attributes"][sc.METRICS_STEP] == list(range(50))
    assert found["r"]["attributes"][sc.RUN_ID] == toys.only_run().id


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raising", "exporter 'raising': OSError: no such collector"),
        ("unmakable", "exporter 'unmakable' is left out: RuntimeError: no key"),
    ],
)
def test_an_exporter_that_fails_costs_the_store_nothing(toys: Place, name: str, said: str) -> None:
    ended = toys.run(TRAINING, env={"AUTOTRACK_EXPORTERS": name})
    assert ended.returncode == 0
    assert sum(said in line for line in ended.err.splitlines()) == 1
    assert f"spans that exporter '{name}' did not take" in ended.said[-1]
    assert len(toys.only_run().points("loss")) == 50


def test_exporters_that_hang_delay_the_end_by_five_seconds_in_all(toys: Place) -> None:
    names = ("hanging", "unready", "hanging2")
    process = toys.start(TRAINING, env={"AUTOTRACK_EXPORTERS": ",".join(names)})
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    start = time.monotonic()
    ended = end_of(process)
    assert ended.returncode == 0
    assert 4 < time.monotonic() - start < 12
    assert all(f"exporter '{name}' did not end within 5 s" in ended.err for name in names)
    assert "spans that exporter 'unready' did not take" in ended.said[-1]
    assert len(toys.only_run().points("loss")) == 50


def test_without_another_thread_spans_are_exported_at_the_end(toys: Place) -> None:
    source = TRAINING.replace("autotrack.flush()", "__import__('threading').stack_size(1 << 46)")
    ended = toys.run(source, env={"AUTOTRACK_EXPORTERS": "noting"})
    *spans, last = toys.folder.joinpath("noted").read_text().splitlines()
    assert ended.returncode == 0, ended.err
    assert last == "closed"
    assert {"run.start", "metrics", "r"} <= {json.loads(span)["name"] for span in spans}


def test_an_exporter_that_cannot_be_closed_is_one_line(store: Place) -> None:
    ended = store.run(
        """
        import atexit
        import autotrack
        from autotrack._enable import recorder
        from autotrack.recording.exporter import Exporter
        class Broken(Exporter):
            def export(self, spans): pass
            def end(self, ends): raise OSError("gone")
            def shutdown(self): raise OSError("gone")
        atexit.register(lambda: autotrack.log({"late": 1.0}))
        autotrack.enable()
        recorder().exporters.insert(0, Broken())
        autotrack.log({"loss": 1.0})
        """
    )
    assert ended.returncode == 0
    assert ended.said[0] == "autotrack: an exporter could not be closed: OSError: gone"
    assert len(ended.err.splitlines()) == 2, ended.err
    assert store.only_run().metrics == {"loss": 1.0, "late": 1.0}


class Blocked(SpanExporter):
    """Takes a batch once it is let; remembers how many values were in each."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go_on = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.go_on.wait()
        self.batches.append(sum(len(span.attributes["values"]) for span in spans))  # type: ignore
        return SpanExportResult.SUCCESS


def test_what_waits_for_an_exporter_is_bounded_in_bytes() -> None:
    blocked, report = Blocked(), Report()
    exporter = ThreadedExporter(lambda: lambda: blocked, "blocked", report)
    large = ReadableSpan("large", attributes={"values": np.zeros(50_000)})
    for _ in range(200):  # 80 MB
        exporter.export([large])
    blocked.go_on.set()
    exporter.end(time.monotonic() + 20)
    exporter.shutdown()
    assert sum(blocked.batches) + 50_000 * report.skipped.total() == 200 * 50_000
    assert sum(blocked.batches) * 8 < 40e6
    assert max(blocked.batches) * 8 < 2e6


def test_a_helper_that_may_take_its_time_waits_no_longer_for_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What hangs would keep the process for as long as the network may be gone."""
    monkeypatch.setattr("autotrack.exporters.threaded.EXIT_TIMEOUT", 0.5)
    blocked = Blocked()
    exporter = ThreadedExporter(lambda: lambda: blocked, "blocked", Report())
    exporter.export([ReadableSpan("span", attributes={"values": np.zeros(1)})])
    let_go = threading.Timer(15, blocked.go_on.set)
    let_go.start()
    exporter.end(time.monotonic() + 600)
    exporter.shutdown()
    assert not blocked.go_on.is_set()
    assert caplog.messages == ["autotrack: exporter 'blocked' did not end within 0.5 s"]
    let_go.cancel()
    blocked.go_on.set()


class Collector:
    """A real receiver of OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        received = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                message = ExportTraceServiceRequest.FromString(body)
                received.extend(
                    span
                    for part in message.resource_spans
                    for scope in part.scope_spans
                    for span in scope.spans
                )
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


def test_opentelemetrys_own_otlp_exporter_ships_runs(store: Place, collector: Collector) -> None:
    endpoint = f"http://127.0.0.1:{collector.server.server_port}"
    env = {"AUTOTRACK_EXPORTERS": "otlp_proto_http", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    ended = store.run(TRAINING, env=env)
    assert ended.returncode == 0, ended.err
    tables = [span for span in collector.spans if span.name == "metrics"]
    values = [
        value.double_value
        for span in tables
        for attribute in span.attributes
        if attribute.key == f"{sc.METRICS_VALUE_PREFIX}loss"
        for value in attribute.value.array_value.values
    ]
    assert values == [float(step) for step in range(50)]


class Holding(SpanProcessor):
    """Keeps spans until it is told to flush, as a batch's processor does."""

    def __init__(self) -> None:
        self.held = self.most_held = self.seen = 0

    def on_end(self, span: ReadableSpan) -> None:
        self.held += len(span.attributes["values"]) * 8  # type: ignore
        self.most_held = max(self.held, self.most_held)
        self.seen += 1

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        self.held = 0
        return True


def test_what_a_providers_processors_hold_is_bounded_in_bytes() -> None:
    provider, holding = TracerProvider(shutdown_on_exit=False), Holding()
    provider.add_span_processor(holding)
    exporter = ProviderExporter(provider)
    span = ReadableSpan("large", resource=Resource({}), attributes={"values": np.zeros(100_000)})
    exporter.export([span] * 100)
    assert holding.seen == 100
    assert holding.most_held < 20e6


# --- variables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, {"service.name": "autotrack"}),
        ({"OTEL_SERVICE_NAME": "a"}, {"service.name": "a"}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=b,team=x"}, {"service.name": "b", "team": "x"}),
        (
            {"OTEL_SERVICE_NAME": "a", "OTEL_RESOURCE_ATTRIBUTES": " service.name = b , team=x%2C%20y=z,,"},
            {"service.name": "a", "team": "x, y=z"},
        ),
        ({"OTEL_SERVICE_NAME": "", "OTEL_RESOURCE_ATTRIBUTES": ""}, {"service.name": "autotrack"}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "host.name=other"}, {"host.name": socket.gethostname()}),
    ],
)
def test_the_resource_follows_opentelemetrys_variables(
    variables: dict[str, str], found: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    resource = process_resource("1", Report())
    assert {name: resource.get(name) for name in found} == found


@pytest.mark.parametrize("text", ["team", "=x", "a=1,b", "a=%ff"])
def test_of_malformed_resource_attributes_nothing_holds(
    text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", text)
    assert not {"team", "a", "b", ""} & set(process_resource("1", Report()))
    assert "OTEL_RESOURCE_ATTRIBUTES is ignored" in caplog.text


# --- opentelemetry-instrument --------------------------------------------------------------------------


@pytest.mark.parametrize("exporter", ["none", "console"])
def test_opentelemetry_instrument_records_runs(store: Place, exporter: str) -> None:
    store.folder.joinpath("train.py").write_text(
        textwrap.dedent(
            """
            from opentelemetry import trace
            from sklearn.svm import SVC
            with trace.get_tracer("app").start_as_current_span("request"):
                SVC().fit([[0.0], [1.0]], [0, 1])
            """
        )
    )
    variables = {f"OTEL_{signal}_EXPORTER": exporter for signal in ("TRACES", "METRICS", "LOGS")}
    ended = subprocess.run(
        [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, "train.py"],
        cwd=store.folder,
        env=store.env | variables,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert ended.returncode == 0, ended.stderr
    assert ('"name": "request"' in ended.stdout) == (exporter == "console")
    assert "autotrack: recorded 1 run (1 finished)" in ended.stderr
    assert store.only_run().name == "SVC"
