"""OTLP JSON against the standard protobuf parser, and the files that processes write."""

from __future__ import annotations

import base64
import contextlib
import json
import resource
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from autotrack import semconv as sc
from autotrack.exporters.file import FileExporter
from autotrack.otlp.decode import decode_resource_spans
from autotrack.otlp.encode import encode_resource_spans
from autotrack.otlp.encode_json import encode_request_json
from autotrack.recording.report import Report

from .scripts import Place
from .test_otlp import LENGTHS, SIZED, VALUES, Broken, Mute, make_span, spans

IDS = ("traceId", "spanId", "parentSpanId")


def parsed(line: str) -> list[str]:
    """The request's parts as the standard parser reads them."""
    return [_text(part) for part in request(line).resource_spans]


def request(line: str) -> ExportTraceServiceRequest:
    return json_format.ParseDict(_ids_in_base64(json.loads(line)), ExportTraceServiceRequest())


def _text(part: ResourceSpans) -> str:
    """Every field and value; one NaN is as good as another, of which JSON has but one."""
    return json.dumps(json_format.MessageToDict(part))


def _ids_in_base64(value: Any) -> Any:
    """OTLP writes ids in hex; proto3's JSON has bytes in base64."""
    if isinstance(value, list):
        return [_ids_in_base64(item) for item in value]
    if isinstance(value, Mapping):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode() if key in IDS else _ids_in_base64(item)
            for key, item in value.items()
        }
    return value


def in_protobuf(spans: list[ReadableSpan]) -> list[str]:
    """What the encoder for the spool makes of them."""
    return [_text(ResourceSpans.FromString(frame)) for frame in encode_resource_spans(spans)]


def assert_same(spans: list[ReadableSpan]) -> None:
    line = encode_request_json(spans)
    assert "\n" not in line
    assert parsed(line) == in_protobuf(spans)


@settings(max_examples=80, deadline=None)
@given(spans())
def test_the_standard_parser_reads_the_same_spans(spans: list[ReadableSpan]) -> None:
    assert_same(spans)


@settings(deadline=None)
@given(VALUES)
def test_any_value_is_read_back(value: object) -> None:
    assert_same([make_span(attributes={"key": value})])


@settings(deadline=None)
@given(
    arrays(np.float64, LENGTHS)
    | arrays(np.int64, LENGTHS, elements=SIZED)
    | arrays(st.sampled_from([">i8", ">f8", "i4", "f4", "f2", "u4", "?", "S3", "U3"]), LENGTHS)
    | arrays(np.int64, st.tuples(st.integers(0, 3), st.integers(0, 3)))
)
def test_arrays_are_read_back(array: np.ndarray[Any, Any]) -> None:
    assert_same([make_span(attributes={"key": array})])


@pytest.mark.parametrize(
    "value",
    [
        np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324, 1e308, np.inf]),
        np.array([-np.inf]),
        np.array([-(2**63), 2**63 - 1, 0]),
        np.ma.masked_array([1.0, 2.0], mask=[True, False]),
        np.array([None, "a", 1, 2.5], object),
        np.longdouble("0.5"),
        np.array(7),
        2**70,
        "a\ud800b\x00\u2028",
        Mute(),
        Broken(),
        [1, 2**70, Mute(), "\udfff"],
        {"x": Mute(), 3: 4},
    ],
    ids=lambda value: type(value).__name__,
)
def test_odd_values_are_what_the_spool_has(value: object) -> None:
    assert_same([make_span(attributes={"before": 1, "key": value, 7: "seven"}, name="\ud800")])


def test_deep_nesting_and_malformed_spans_are_what_the_spool_has() -> None:
    value: dict[str, Any] = {}
    for _ in range(24):
        value = {"in": value}
    assert_same(
        [make_span(attributes={"key": value}), make_span(events=[Event("e", {"key": value["in"]}, 1)])]
    )
    assert_same([make_span(context=None, start_time=1.5e18, end_time=-1), make_span(name=b"bytes")])


def test_a_long_table_takes_milliseconds() -> None:
    span = make_span(
        attributes={"step": np.arange(100_000), "loss": np.random.default_rng(0).random(100_000)}
    )
    best = min(_seconds(span) for _ in range(3))
    assert best < 0.5, "encoded number by number"


def _seconds(span: ReadableSpan) -> float:
    start = time.process_time()
    encode_request_json([span])
    return time.process_time() - start


# --- the files ---------------------------------------------------------------------------------


def lines(folder: Path) -> list[str]:
    return [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text("ascii").splitlines()]


def test_each_batch_is_a_line_of_the_writers_file(tmp_path: Path) -> None:
    exporter = FileExporter(tmp_path / "new" / "spans.jsonl", "0" * 16, Report())
    batches = [[make_span(name="a"), make_span(name="b")], [make_span(name="c")]]
    for batch in batches:
        assert exporter.export(batch) is SpanExportResult.SUCCESS
    [file] = (tmp_path / "new").iterdir()
    assert file.name == "spans-0000000000000000.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [parsed(line) for line in lines(tmp_path / "new")] == [in_protobuf(batch) for batch in batches]


def test_a_script_that_changes_its_folder_keeps_its_file(store: Place) -> None:
    (store.folder / "elsewhere").mkdir()
    source = """
        import os, autotrack
        autotrack.enable(exporters=["file"])
        os.chdir("elsewhere")
        autotrack.log({"loss": 1.0})
    """
    assert store.run(source).returncode == 0
    assert len(lines(store.folder)) >= 1
    assert lines(store.folder / "elsewhere") == []


def test_a_files_path_is_relative_to_the_file_that_says_it(store: Place) -> None:
    (store.folder / "pyproject.toml").write_text(
        '[tool.autotrack]\nexporters = ["file"]\nfile_path = "x.jsonl"'
    )
    (store.folder / "below").mkdir()
    source = "import os; os.chdir('below'); import autotrack; autotrack.log({'loss': 1.0})"
    assert store.run(source).returncode == 0
    assert lines(store.folder)
    assert lines(store.folder / "below") == []


def test_another_path_is_another_file(store: Place) -> None:
    source = """
        import autotrack
        for name in ("a", "b"):
            autotrack.enable(exporters=["file"], file_path=f"{name}/x.jsonl")
            with autotrack.run(name):
                pass
    """
    assert store.run(source).returncode == 0
    for name in ("a", "b"):
        assert f'"stringValue":"{name}"' in "".join(lines(store.folder / name))


def test_what_cannot_be_written_is_counted_and_leaves_no_half_line(tmp_path: Path) -> None:
    report, path = Report(), tmp_path / "spans.jsonl"
    exporter = FileExporter(path, "2" * 16, report)
    exporter.export([make_span(name="before")])
    with file_size_limit(600):
        assert exporter.export([make_span(attributes={"x": "x" * 1000})]) is SpanExportResult.FAILURE
    exporter.export([make_span(name="after")])
    assert [
        json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] for line in lines(tmp_path)
    ] == [
        "before",
        "after",
    ]
    assert report.skipped.total() == 1
    (tmp_path / "file").write_text("")
    assert (
        FileExporter(tmp_path / "file" / "x.jsonl", "3" * 16, report).export([make_span()])
        is SpanExportResult.FAILURE
    )


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """A file grows no further, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_every_process_has_a_file_and_the_files_say_what_the_store_says(store: Place) -> None:
    ended = store.run(
        """
        import os
        import autotrack
        autotrack.enable(exporters=["file"], file_path="spans/all.jsonl")
        with autotrack.run("r", params={"seed": 1}):
            autotrack.log({"loss": float("nan")}, step=1)
            autotrack.flush()
            if os.fork() == 0:
                autotrack.log({"loss": 0.5}, step=2)
                autotrack.flush()
                os._exit(0)
            os.wait()
        """
    )
    assert ended.returncode == 0, ended.err
    files = sorted((store.folder / "spans").iterdir())
    assert len(files) == 2
    records = [
        record
        for line in lines(store.folder / "spans")
        for part in request(line).resource_spans
        for record in decode_resource_spans(part.SerializeToString())
    ]
    tables = [record.attributes for record in records if record.name == "metrics"]
    told = sorted((table[sc.METRICS_STEP], str(table[f"{sc.METRICS_VALUE_PREFIX}loss"])) for table in tables)
    assert told == [((1,), "(nan,)"), ((2,), "(0.5,)")]
    assert {record.attributes[sc.RUN_ID] for record in records} == {store.only_run().id}
    assert {file.stem.removeprefix("all-") for file in files} == {r.attributes[sc.WRITER] for r in records}
