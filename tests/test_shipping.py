"""Whatever the server does, training goes on and nothing is lost: real servers, real scripts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backports import zstd
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from autotrack import semconv as sc
from autotrack.exporters.carrying import Carrier
from autotrack.locations import Home
from autotrack.otlp.answer import MORE, Kind
from autotrack.otlp.endpoint import Endpoint
from autotrack.otlp.transport import HttpClient, HttpTransport, answer_of
from autotrack.recording.exporter import EXIT_TIMEOUT
from autotrack.recording.report import Report
from autotrack.spool import SpoolReader, SpoolWriter
from autotrack.store import Store

from .receiver import Arrived, Behaviour, Handler, Receiver, break_off, hang, late, status
from .scripts import TIMEOUT, Ended, Place, end_of, wait_for, wait_until

TRAIN = """
    import autotrack
    autotrack.enable()
    with autotrack.run("train", params={"lr": 0.1}):
        for i in range(100):
            autotrack.log({"loss": float(i)}, i)
    print("result")
"""
LOOP = """
    import json, time, autotrack
    autotrack.enable()
    longest, start = 0.0, time.perf_counter()
    with autotrack.run("train", params={"lr": 0.1}):
        for i in range(100):
            time.sleep(0.02)  # meanwhile what is recorded is sent, or is not
            before = time.perf_counter()
            autotrack.log({"loss": float(i)}, i)
            longest = max(longest, time.perf_counter() - before)
    told = {"seconds": time.perf_counter() - start, "longest": longest, "over": time.time()}
    print(json.dumps(told))
"""
POINTS = [float(i) for i in range(100)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def train(store: Place, url: str, source: str = TRAIN, **env: str) -> Ended:
    """What became of the script."""
    ended = store.run(source, env={"AUTOTRACK_STORE": url, **env})
    assert (ended.returncode, ended.out) == (0, "result\n"), ended.err
    return ended


def train_as_ever(store: Place, url: str) -> Ended:
    """The same of a loop that must go on as it does beside a server that is well, where it runs meanwhile."""
    well = Receiver()
    elsewhere = {"AUTOTRACK_STORE": well.url, "XDG_DATA_HOME": str(store.folder / "beside")}
    beside = store.start(LOOP, env=elsewhere)
    ended = end_of(store.start(LOOP, env={"AUTOTRACK_STORE": url}))
    left = time.time()
    told, told_beside = json.loads(ended.out), json.loads(end_of(beside).out)
    well.close()
    assert_arrived(well)
    assert ended.returncode == 0, ended.err
    assert told["seconds"] < 3 * told_beside["seconds"]  # who waits for a request that hangs waits ten
    assert told["longest"] < 1.0
    assert left - told["over"] < 3 * EXIT_TIMEOUT
    return ended


def spooled(store: Place) -> list[Path]:
    return [*store.folder.glob("data/autotrack/stores/*/spool/*.otlp")]


def assert_arrived(receiver: Arrived) -> None:
    assert receiver.points("loss") == POINTS
    [start] = {span.attributes[sc.RUN_ID] for span in receiver.of_type(sc.SpanType.RUN_START)}
    assert receiver.of_type(sc.SpanType.RUN)[-1].attributes[sc.RUN_ID] == start


def test_a_run_arrives_and_leaves_nothing_behind(store: Place, receiver: Receiver) -> None:
    ended = train(store, receiver.url)
    assert_arrived(receiver)
    assert spooled(store) == []
    assert ended.said == [
        "autotrack: recorded 1 run (1 finished), 100 points; see: autotrack runs",
    ]
    [(_, headers), *_] = receiver.bodies
    assert headers["content-encoding"] == "zstd"
    assert headers["user-agent"].startswith("autotrack/")


def test_a_point_arrives_while_the_run_goes_on(store: Place, receiver: Receiver) -> None:
    source = """
        import autotrack
        autotrack.enable()
        with autotrack.run("train"):
            autotrack.log({"loss": 1.0})
            input()
    """
    process = store.start(source, env={"AUTOTRACK_STORE": receiver.url})
    receiver.wait_for(lambda: receiver.points("loss") == [1.0])
    assert receiver.of_type(sc.SpanType.RUN) == []
    process.communicate("\n", timeout=TIMEOUT)
    assert len(receiver.of_type(sc.SpanType.RUN)) == 1


SILENT = "http://127.0.0.1:9"


def refuses(receiver: Receiver) -> str:
    url = receiver.url
    receiver.close()
    return url


def unknown_host(receiver: Receiver) -> str:
    return "http://no-such-host.invalid:4318"


def accepts_nobody(receiver: Receiver) -> str:
    """Its queue is full, so nothing ever comes of a connection."""
    listener = receiver.held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(4):
        waiting = receiver.held.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def no_tls(receiver: Receiver) -> str:
    return receiver.url.replace("http:", "https:")


def says(behave: Behaviour) -> Callable[[Receiver], str]:
    def told(receiver: Receiver) -> str:
        receiver.behave = behave
        return receiver.url

    return told


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        pytest.param(refuses, "Connection refused", id="refuses"),
        pytest.param(unknown_host, "unknown host", id="unknown host"),
        pytest.param(accepts_nobody, "", id="accepts nobody"),
        pytest.param(no_tls, "TLS: ", id="speaks no TLS"),
        pytest.param(says(hang), "", id="hangs"),
        pytest.param(says(break_off), "", id="breaks off"),
        pytest.param(says(status(503, {"Retry-After": "60"})), "HTTP 503", id="is full"),
        pytest.param(says(status(401)), "HTTP 401: set AUTOTRACK_TOKEN to its token", id="wrong token"),
        pytest.param(says(status(307, {"Location": "http://127.0.0.1:9/"})), "HTTP 307", id="redirects"),
    ],
)
def test_training_goes_on_and_the_spool_keeps(
    store: Place, receiver: Receiver, trouble: Callable[[Receiver], str], said: str
) -> None:
    url = trouble(receiver)
    ended = train_as_ever(store, url)
    assert receiver.spans == []
    assert spooled(store)
    waits = f" bytes wait for {url}: autotrack sync; see: autotrack runs"
    others = [line for line in ended.said if waits not in line]  # a request may time out just as all ends
    assert len(others) == len(ended.said) - 1 <= 1, ended.err
    assert any(said in line and url in line for line in others) or not said, ended.err


def test_training_goes_on_beside_a_server_that_is_slow(store: Place, receiver: Receiver) -> None:
    receiver.behave = late(3.0)
    train_as_ever(store, receiver.url)
    receiver.behave = late(0.0)
    assert sync(store).returncode == 0
    assert_arrived(receiver)
    assert spooled(store) == []


# --- it comes later -------------------------------------------------------------------------------

WAITS = """
    import autotrack
    autotrack.enable()
    with autotrack.run("train"):
        for i in range(100):
            autotrack.log({"loss": float(i)}, i)
        print("logged", flush=True)
        input()
"""


def test_server_that_comes_back_gets_everything(store: Place, receiver: Receiver) -> None:
    receiver.behave = status(503, times=2)
    process = store.start(WAITS, env={"AUTOTRACK_STORE": receiver.url})
    receiver.wait_for(lambda: receiver.points("loss") == POINTS)
    process.communicate("\n", timeout=TIMEOUT)
    assert_arrived(receiver)
    assert spooled(store) == []


def test_server_is_not_asked_before_it_wants_to_be(store: Place, receiver: Receiver) -> None:
    receiver.behave = status(429, {"Retry-After": "4"}, times=1)
    process = store.start(WAITS, env={"AUTOTRACK_STORE": receiver.url})
    receiver.wait_for(lambda: receiver.asked == 1)
    refused = time.monotonic()
    receiver.wait_for(lambda: receiver.asked > 1)
    assert time.monotonic() - refused > 3.5
    process.communicate("\n", timeout=TIMEOUT)
    assert_arrived(receiver)


def test_next_start_sends_what_the_last_one_left(store: Place, receiver: Receiver) -> None:
    receiver.behave = status(503, times=1)
    ended = train(store, receiver.url)
    assert "bytes wait for" in ended.said[-1]
    assert receiver.spans == []
    train(store, receiver.url, "import autotrack; autotrack.log({'other': 1.0}); print('result')")
    assert len(receiver.of_type(sc.SpanType.RUN_START)) == 2
    assert receiver.points("loss") == POINTS
    assert spooled(store) == []


def killed(store: Place, url: str) -> None:
    source = WAITS.replace("input()", "autotrack.flush(); import os; os.kill(os.getpid(), 9)")
    process = store.start(source, env={"AUTOTRACK_STORE": url})
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == -9


def sync(store: Place, *arguments: object, **env: str) -> Ended:
    source = "import sys; from autotrack.cli import main; sys.argv[0] = 'autotrack'; main()"
    return store.run(source, "sync", *arguments, name="cli", env=env)


def test_sync_sends_what_a_killed_process_left(store: Place, receiver: Receiver) -> None:
    receiver.behave = status(503)
    killed(store, receiver.url)
    ended = sync(store)
    assert ended.returncode == 1
    assert f"still wait for {receiver.url}: HTTP 503" in ended.out
    receiver.behave = lambda handler: False
    ended = sync(store)
    assert (ended.returncode, ended.err) == (0, ""), ended
    assert f"sent to {receiver.url}" in ended.out
    assert receiver.points("loss") == POINTS
    assert spooled(store) == []
    assert sync(store).out == "✓ Nothing waits.\n"


def test_sync_tells_what_damage_there_was(store: Place, receiver: Receiver) -> None:
    killed(store, SILENT)
    [segment] = spooled(store)
    segment.write_bytes(b"rotten" + segment.read_bytes())
    ended = sync(store, segment.parent, "--store", receiver.url, "--json")
    [target] = json.loads(ended.out)["targets"]
    [file] = (segment.parent / "rejected").iterdir()
    note = f"6 bytes of {segment} are damaged; they are kept in {file}"
    assert (ended.returncode, target["notes"], target["left_bytes"]) == (0, [note], 0)
    assert file.read_bytes() == b"rotten"
    assert receiver.points("loss") == POINTS


def test_copied_folder_syncs_elsewhere(store: Place, receiver: Receiver, tmp_path: Path) -> None:
    killed(store, SILENT)
    [segment] = spooled(store)
    copy = tmp_path / "from-the-cluster"
    shutil.copytree(segment.parent, copy)
    shutil.rmtree(tmp_path / "data")
    ended = sync(store, copy, "--store", receiver.url, "--json")
    [target] = json.loads(ended.out)["targets"]
    assert (ended.returncode, target["target"], target["left_bytes"]) == (0, receiver.url, 0)
    assert target["sent_bytes"] > 0
    assert receiver.points("loss") == POINTS
    assert list(copy.glob("*.otlp")) == []


def test_doctor_shows_what_waits(store: Place) -> None:
    killed(store, SILENT)
    source = "import sys; from autotrack.cli import main; sys.argv[0] = 'autotrack'; main()"
    [target] = json.loads(store.run(source, "doctor", "--json").out)["targets"]
    assert (target["target"], target["rejected_files"]) == (SILENT, 0)
    assert target["pending_bytes"] == sum(file.stat().st_size for file in [*spooled(store), *kept(store)])
    assert "send what waits: autotrack sync" in store.run(source, "doctor").out


def test_spool_that_cannot_be_read_is_one_line(store: Place, receiver: Receiver, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "0123456789abcdef-000000.otlp").write_bytes(b"")
    (folder / "network.lock").mkdir()
    ended = sync(store, folder, "--store", receiver.url)
    assert (ended.returncode, ended.err) == (1, "")
    assert "network.lock: Is a directory" in ended.out.replace("\n", "")


def odd_home(store: Place, target: bytes) -> Path:
    """In which ten bytes wait for it."""
    folder = store.folder / "data" / "autotrack" / "stores" / "0"  # it comes first
    (folder / "spool").mkdir(parents=True)
    (folder / "spool" / "0123456789abcdef-000000.otlp").write_bytes(b"x" * 10)
    (folder / "target").write_bytes(target)
    return folder


@pytest.mark.parametrize(
    "target", [b"http://[bad", b"http://", b"\xff\xfe", b"", b"otlp:", b"otlp:http://[bad", b"ftp://there"]
)
def test_a_target_that_is_none_is_one_line(store: Place, receiver: Receiver, target: bytes) -> None:
    killed(store, receiver.url)
    folder = odd_home(store, target)
    ended = sync(store)
    assert (ended.returncode, ended.err) == (1, "")
    assert f"{folder}/target names no address".replace(" ", "") in "".join(ended.out.split())
    assert receiver.points("loss") == POINTS


def test_an_endpoint_that_is_none_is_one_line(store: Place, receiver: Receiver) -> None:
    killed(store, receiver.url)
    odd_home(store, b"otlp:http://127.0.0.1:9/v1/traces")
    ended = sync(store, OTEL_EXPORTER_OTLP_ENDPOINT="nonsense")
    out = " ".join(ended.out.split())
    assert (ended.returncode, ended.err) == (1, "")
    assert "still wait for http://127.0.0.1:9/v1/traces: OTEL_EXPORTER_OTLP_ENDPOINT is not an address" in out
    assert receiver.points("loss") == POINTS


@pytest.mark.parametrize("trouble", ["pipe", "folder", "claim", "no OTLP"])
def test_what_is_odd_in_a_spool_keeps_nobody(store: Place, receiver: Receiver, trouble: str) -> None:
    killed(store, SILENT)
    folder = spooled(store)[0].parent
    note, returncode = "", 0
    if trouble == "pipe":
        os.mkfifo(folder / "0.otlp")
        note = f"{folder}/0.otlp is not read"
    elif trouble == "folder":
        (folder / "0.otlp").mkdir()
        note = f"{folder}/0.otlp is not read"
    elif trouble == "claim":
        (folder / "network.target").write_bytes(b"\xff\xfe")
        note, returncode = f"\\xff\\xfe has some of it already: send the rest there, or delete {folder}", 1
    else:
        writer = SpoolWriter(folder, "0" * 16)
        writer.append(b"\xff\xff this is no protobuf")
        writer.close()
        receiver.behave = strict
        note = f"it is kept in {folder}/rejected"
    ended = sync(store, folder, "--store", receiver.url, "--json")
    [target] = json.loads(ended.out)["targets"]
    assert (ended.returncode, ended.err) == (returncode, "")
    assert note in "".join([target["problem"], *target["notes"]])
    assert returncode or receiver.points("loss") == POINTS


def strict(handler: Handler) -> bool:
    """Answers what is no request as our server does."""
    if handler.command != "POST":
        return False
    body = zstd.decompress(handler.body())
    try:
        handler.receiver.take(ExportTraceServiceRequest.FromString(body))
    except DecodeError:
        handler.answer(400, {"Content-Type": "application/x-protobuf"})
    else:
        handler.answer(200, {"Content-Type": "application/x-protobuf"})
    return True


def test_sync_leaves_a_local_stores_spool_to_it(store: Place, receiver: Receiver) -> None:
    (store.folder / "runs.db").touch()
    (store.folder / "runs.db-spool").mkdir()
    ended = sync(store, store.folder / "runs.db-spool", "--store", receiver.url)
    assert (ended.returncode, ended.out) == (1, "")
    assert ended.err.startswith(f"autotrack: {store.folder}/runs.db-spool is the spool of sqlite:///")


def test_two_processes_share_a_spool(store: Place, receiver: Receiver) -> None:
    source = """
        import sys, autotrack
        autotrack.enable()
        with autotrack.run(sys.argv[1]):
            for i in range(2000):
                autotrack.log({"loss": float(i)}, i)
                if i % 200 == 0:
                    autotrack.flush()
    """
    env = {"AUTOTRACK_STORE": receiver.url}
    processes = [store.start(source, name, env=env) for name in "ab"]
    said = [process.communicate(timeout=TIMEOUT)[1] for process in processes]
    if any("bytes wait" in each for each in said):  # a busy machine's end came before all was sent
        assert sync(store).returncode == 0
    assert receiver.points("loss") == sorted(float(i) for i in range(2000) for _ in "ab")
    assert spooled(store) == []


def test_forked_child_ships_its_own(store: Place, receiver: Receiver) -> None:
    source = """
        import multiprocessing, time, autotrack
        def child():
            autotrack.log({"child": 1.0})
        if __name__ == "__main__":
            autotrack.enable()
            with autotrack.run("train"):
                autotrack.log({"parent": 1.0})
                time.sleep(2)  # the thread is at work
                process = multiprocessing.get_context("fork").Process(target=child)
                process.start()
                process.join()
            print("result")
    """
    train(store, receiver.url, source)
    assert (receiver.points("child"), receiver.points("parent")) == ([1.0], [1.0])
    writers = {span.attributes[sc.WRITER] for span in receiver.of_type(sc.SpanType.METRICS)}
    assert len(writers) == 2
    assert spooled(store) == []


def test_fork_amid_the_threads_first_import_leaves_the_child_able_to_import(store: Place) -> None:
    source = """
        import os, signal, sys, threading, time
        import autotrack
        imports = threading.Event()
        class Slow:
            def find_spec(self, name, *_):
                if name == "urllib3":
                    imports.set()
                    time.sleep(0.4)
        sys.meta_path.insert(0, Slow())
        autotrack.enable()
        autotrack.log({"loss": 1.0})
        assert imports.wait(60)
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            import urllib3
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        print("result")
    """
    train(store, SILENT, source)


def test_own_requests_are_not_traced(store: Place, receiver: Receiver) -> None:
    source = """
        import autotrack, urllib3
        from opentelemetry.instrumentation.utils import is_instrumentation_enabled
        request, traced = urllib3.HTTPConnectionPool.urlopen, []
        def instrumented(*arguments, **named):
            traced.append(is_instrumentation_enabled())
            return request(*arguments, **named)
        urllib3.HTTPConnectionPool.urlopen = instrumented
        autotrack.enable()
        autotrack.log({"loss": 1.0})
        autotrack._enable.end()
        assert traced and not any(traced), traced
        print("result")
    """
    train(store, receiver.url, source)
    assert receiver.points("loss") == [1.0]


# --- what a server says of single requests --------------------------------------------------------


def test_too_large_is_split(store: Place, receiver: Receiver) -> None:
    receiver.most_bytes = 1500
    train(store, receiver.url)
    assert_arrived(receiver)
    assert max(size for size, _ in receiver.bodies) > 1500  # it was tried


@pytest.mark.parametrize("before", ["", "autotrack.flush(); import time; time.sleep(2); "])
def test_what_is_never_taken_is_put_aside_alone(store: Place, receiver: Receiver, before: str) -> None:
    def no_tags(handler: Handler) -> bool:
        body = handler.body()
        if b"poison" in zstd.decompress(body):
            handler.answer(400, {"Content-Type": "application/json"}, b'{"error": {"message": "no tags"}}')
        else:
            receiver.take(ExportTraceServiceRequest.FromString(zstd.decompress(body)))
            handler.answer(200, {"Content-Type": "application/x-protobuf"})
        return True

    receiver.behave = no_tags
    source = TRAIN.replace(
        "for i", f"{before}autotrack.active_run().set_tags({{'poison': 'x'}})\n        for i"
    )
    ended = train(store, receiver.url, source)
    assert_arrived(receiver)
    assert receiver.of_type(sc.SpanType.UPDATE) == [] or all(
        "ml.tag.poison" not in span.attributes for span in receiver.of_type(sc.SpanType.UPDATE)
    )
    assert len([*store.folder.glob("data/autotrack/stores/*/spool/rejected/*")]) == 1
    assert any("does not take a span: HTTP 400: " in line for line in ended.said)
    assert "skipped 1: spans that" in ended.said[-1]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param({"Content-Type": "text/html"}, b"<h1>Bad Request</h1>", id="no receiver of spans"),
        pytest.param({"Content-Type": "application/json"}, b'{"detail": "token missing"}', id="an API"),
        pytest.param({"Content-Type": "application/x-protobuf"}, b"", id="takes nothing"),
    ],
)
def test_who_takes_nothing_leaves_the_spool_as_it_is(
    store: Place, receiver: Receiver, headers: dict[str, str], body: bytes
) -> None:
    receiver.behave = status(400, headers, body=body)
    ended = train(store, receiver.url)
    assert f"autotrack: {receiver.url}: HTTP 400" in ended.said[0]
    assert "bytes wait for" in ended.said[-1]
    assert [*store.folder.glob("data/autotrack/stores/*/spool/rejected/*")] == []
    receiver.behave = lambda handler: False
    assert sync(store).returncode == 0
    assert_arrived(receiver)


PAGE = b"<html>Please log in to the guest network</html>"
PROTOBUF = "application/x-protobuf"


@pytest.mark.parametrize("code", [200, 202])
def test_a_page_of_somebody_else_is_no_receipt(store: Place, receiver: Receiver, code: int) -> None:
    receiver.behave = status(code, {"Content-Type": "text/html"}, body=PAGE)
    ended = train(store, receiver.url)
    why = f"no receiver of OTLP answers there: HTTP {code}, content type text/html"
    assert f"autotrack: {receiver.url}: {why}" in ended.said[0]
    assert "bytes wait for" in ended.said[-1]
    ended = sync(store)
    assert (ended.returncode, why in " ".join(ended.out.split())) == (1, True), ended.out
    receiver.behave = lambda handler: False
    assert sync(store).returncode == 0
    assert_arrived(receiver)


@pytest.mark.parametrize(
    ("kind", "body", "is_receipt", "is_our_servers"),
    [
        (PROTOBUF, b"", True, True),
        (f"{PROTOBUF}; charset=utf-8", b"", True, True),
        (PROTOBUF, PAGE, False, False),
        ("application/json", b"{}", True, False),
        ("application/json", b'{"partialSuccess": {"rejectedSpans": "0"}, "more": 1}', True, False),
        ("application/json", b'{"partialSuccess": 7}', False, False),
        ("application/json", b'"logged out"', False, False),
        ("application/json", b"{", False, False),
        ("", b"", True, False),
        ("text/plain", b"", True, False),
        ("text/html", b"", False, False),
        ("text/plain", b"welcome", False, False),
        ("", PAGE, False, False),
    ],
)
def test_what_is_a_receipt(kind: str, body: bytes, is_receipt: bool, is_our_servers: bool) -> None:
    headers = {"content-type": kind} if kind else {}
    assert (answer_of(200, headers, body).kind is Kind.ACCEPTED) == is_receipt
    assert (answer_of(200, headers, body, of_store=True).kind is Kind.ACCEPTED) == is_our_servers
    assert answer_of(202, headers, body, of_store=True).kind is Kind.REFUSED


def test_partial_success_in_json_is_told_too() -> None:
    told = b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}'
    answer = answer_of(200, {"content-type": "application/json; charset=utf-8"}, told)
    assert (answer.kind, answer.rejected, answer.message) == (Kind.ACCEPTED, 2, "too old")


def test_partial_success_is_counted(store: Place, receiver: Receiver) -> None:
    def partly(handler: Handler) -> bool:
        handler.body()
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = 2
        answer.partial_success.error_message = "too old"
        handler.answer(200, {"Content-Type": "application/x-protobuf"}, answer.SerializeToString())
        return True

    receiver.behave = partly
    ended = train(store, receiver.url)
    assert [line for line in ended.said if "did not take 2 spans: too old" in line]
    assert f"spans that {receiver.url} did not take" in ended.said[-1]


def test_token_is_read_again_after_the_server_has_another(store: Place, receiver: Receiver) -> None:
    folder = store.folder / "data" / "autotrack" / "servers"
    folder.mkdir(parents=True)
    file = folder / f"127.0.0.1-{receiver.port}.token"
    file.write_text("first")
    receiver.token = "first"
    process = store.start(WAITS, env={"AUTOTRACK_STORE": receiver.url})
    receiver.wait_for(lambda: receiver.points("loss") == POINTS)
    file.write_text("second")
    receiver.token = "second"
    err = process.communicate("\n", timeout=TIMEOUT)[1]
    assert_arrived(receiver)
    assert "401" not in err


def test_token_that_is_none_is_told_without_it(store: Place, receiver: Receiver) -> None:
    ended = train(store, receiver.url, AUTOTRACK_TOKEN="my\nsecret")
    assert "AUTOTRACK_TOKEN has characters that no header can carry" in ended.said[0]
    assert "secret" not in ended.err
    assert spooled(store)


BOUND = 1_000_000
OVER = f"more than {BOUND:,} bytes would wait for "
A_FEW = 10_000
"""Bytes of the spans that say which runs there were."""


def waiting(store: Place) -> int:
    return sum(file.stat().st_size for file in [*spooled(store), *kept(store)])


def test_bound_holds_for_all_that_waits_but_what_says_which_runs_there_were(
    store: Place, receiver: Receiver
) -> None:
    receiver.behave = status(503)
    source = f"""
        import os, autotrack
        autotrack.enable(spool_max_bytes={BOUND}, environment=False, sklearn={{"log_model": False}})
        from opentelemetry.sdk.trace import TracerProvider
        from sklearn.preprocessing import StandardScaler
        tracer = TracerProvider().get_tracer("app")
        with autotrack.run("full", params={{"lr": 0.1}}) as run:
            for n in range(10):
                with open("checkpoint.bin", "wb") as file:
                    file.write(os.urandom(300_000))
                run.log_artifact("checkpoint.bin", f"{{n}}.bin")
            for n in range(10):
                for _ in range(1000):
                    autotrack.log({{"loss": float(n)}})
                autotrack.flush()
            for _ in range(3):
                StandardScaler().fit([[0.0], [1.0]])
            with tracer.start_as_current_span("mine", attributes={{"text": "x" * {BOUND}}}):
                print("result")
            run.log_text("x" * {BOUND}, "late.txt")
            run.log_params({{"late": 1}})
            run.set_tags({{"late": "yes"}})
        with autotrack.run("later"):
            pass
    """
    ended = train(store, receiver.url, source)
    assert BOUND * 0.9 < waiting(store) < BOUND + A_FEW
    assert len(kept(store)) == 3
    said = [line for line in ended.said if OVER in line]
    assert len(said) == 2, ended.err  # once, and in the line that ends the script
    assert "option spool_max_bytes" in said[0]
    assert f"files while {OVER}{receiver.url} (8x)" in said[1]
    assert f"spans while {OVER}{receiver.url} (" in said[1]

    receiver.behave = lambda handler: False
    assert sync(store).returncode == 0
    names = [span.attributes[sc.RUN_NAME] for span in receiver.of_type(sc.SpanType.RUN_START)]
    assert sorted(names) == ["full", "later"]
    assert [span.attributes[sc.RUN_STATE] for span in receiver.of_type(sc.SpanType.RUN)] == ["finished"] * 2
    updates = receiver.of_type(sc.SpanType.UPDATE)
    assert [span.attributes["ml.param.late"] for span in updates if "ml.param.late" in span.attributes] == [1]
    assert [span.attributes["ml.tag.late"] for span in updates if "ml.tag.late" in span.attributes] == ["yes"]
    files = receiver.of_type(sc.SpanType.ARTIFACT)
    assert {span.attributes[sc.ARTIFACT_PATH] for span in files} == {"0.bin", "1.bin", "2.bin"}
    assert {span.attributes[sc.ARTIFACT_SHA256] for span in files} == receiver.whole.keys()


def test_runs_are_kept_beyond_the_bound_within_reason(store: Place) -> None:
    source = """
        import autotrack
        from autotrack.exporters import otlp
        otlp.RESERVE = 50_000
        autotrack.enable(spool_max_bytes=10_000, environment=False)
        for n in range(100):
            with autotrack.run("train", tags={"n": "x" * 1000}):
                autotrack.flush()
        print("result")
    """
    ended = train(store, SILENT, source)
    assert 50_000 < waiting(store) < 61_000
    assert "spans while more than 10,000 bytes would wait" in ended.said[-1]


def test_what_has_arrived_counts_no_more_towards_the_bound(store: Place, receiver: Receiver) -> None:
    """The segment that it lies in stays, as its writer lives."""
    source = """
        import sys, autotrack
        from autotrack.exporters import waiting
        waiting.LOOK_EVERY = 0.0
        autotrack.enable(spool_max_bytes=20_000, environment=False)
        with autotrack.run("train"):
            for part in range(5):
                for i in range(300):
                    autotrack.log({"loss": float(part)})
                autotrack.flush()
                print("part", flush=True)
                sys.stdin.readline()
    """
    process = store.start(source, env={"AUTOTRACK_STORE": receiver.url})
    assert process.stdin is not None
    for _ in range(5):
        wait_for(process, "part")
        wait_until(lambda: all(SpoolReader(s.parent, "network").backlog().bytes == 0 for s in spooled(store)))
        process.stdin.write("go on\n")
        process.stdin.flush()
    ended = end_of(process)
    assert "skipped" not in ended.err
    assert len(receiver.points("loss")) == 1500


def test_model_beyond_the_bound_is_refused_by_who_converts_it(store: Place) -> None:
    source = f"""
        import autotrack
        autotrack.enable(spool_max_bytes={BOUND}, environment=False)
        from sklearn.linear_model import Ridge
        with autotrack.run("train") as run:
            run.log_text("x" * {BOUND - A_FEW}, "large.txt")
            autotrack.flush()
            Ridge().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        print("result")
    """
    train(store, SILENT, source)

    def told() -> bytes:
        return b"".join(segment.read_bytes() for segment in spooled(store))

    wait_until(lambda: b"refused" in told() or b"kept" in told(), 60)
    assert f"{OVER}{SILENT}".encode() in told()
    assert waiting(store) < BOUND + A_FEW


def test_a_process_that_records_nothing_loads_no_network(store: Place) -> None:
    source = """
        import atexit, sys
        atexit.register(lambda: print({"ssl", "urllib3"} & {*sys.modules} or "result"))
        import autotrack
        autotrack.enable()
    """
    train(store, SILENT, source)


def test_sync_finds_what_another_folder_took_later(store: Place, receiver: Receiver) -> None:
    source = """
        import os, pathlib, shutil, autotrack
        autotrack.enable()
        with autotrack.run("train"):
            autotrack.flush()
            stores = pathlib.Path(os.environ["XDG_DATA_HOME"], "autotrack", "stores")
            shutil.rmtree(stores)
            stores.touch()
            autotrack.log({"loss": 1.0})
        autotrack.flush()
        stores.unlink()
        print("result")
        os._exit(0)
    """
    train(store, SILENT, source)
    [named] = Path(os.environ["TMPDIR"]).glob("autotrack-*/*/target")
    assert named.read_text() == SILENT
    assert SILENT in sync(store).out.replace("\n", "")


def test_forked_child_does_not_keep_a_spools_lock(store: Place) -> None:
    source = """
        import os, pathlib, sys, threading, time
        from autotrack.spool import SpoolReader
        held = threading.Event()
        def hold():
            with SpoolReader(pathlib.Path(sys.argv[1]), "network").lock():
                held.set()
                time.sleep(60)
        threading.Thread(target=hold, daemon=True).start()
        held.wait()
        if os.fork() == 0:
            for fd in range(3):
                os.close(fd)
            time.sleep(10)
        os._exit(0)
    """
    assert store.run(source, store.folder).returncode == 0
    with SpoolReader(store.folder, "network").lock(patience=0.0):
        pass


def test_a_process_that_was_stopped_keeps_nobody(
    store: Place, receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by Ctrl-Z, in the midst of a request."""
    killed(store, receiver.url)
    receiver.behave = hang
    process = store.start(WAITS, env={"AUTOTRACK_STORE": receiver.url})
    asked = receiver.asked
    receiver.wait_for(lambda: receiver.asked > asked)
    os.kill(process.pid, signal.SIGSTOP)
    begun = time.monotonic()
    ended = sync(store)
    assert time.monotonic() - begun < TIMEOUT / 2
    assert ended.returncode == 1
    assert f"still wait for {receiver.url}: another process is sending it" in " ".join(ended.out.split())
    monkeypatch.setenv("XDG_DATA_HOME", store.env["XDG_DATA_HOME"])
    Store(receiver.url).drain()
    assert f"{receiver.url}: another process is sending it" in caplog.text
    process.kill()
    process.communicate(timeout=TIMEOUT)


@pytest.mark.parametrize("slowly", [0, 1, 2], ids=["status", "headers", "body"])
def test_an_answer_that_drips_is_none(receiver: Receiver, slowly: int) -> None:
    pieces = [b"HTTP/1.1 200 OK", b"\r\nContent-Length: 50\r\n\r\n", bytes(50)]

    def drip(handler: Handler) -> bool:
        handler.body()
        handler.close_connection = True
        handler.wfile.write(b"".join(pieces[:slowly]))
        with contextlib.suppress(OSError):
            for byte in pieces[slowly]:
                handler.wfile.write(bytes([byte]))
                time.sleep(0.4)
        return True

    receiver.behave = drip
    sending = HttpTransport(HttpClient(Endpoint(receiver.url)))
    begun = time.monotonic()
    answer = sending.send(b"", 1.0)
    assert time.monotonic() - begun < 4.0
    assert (answer.kind, answer.message) == (Kind.RETRY, "no answer in time")


def test_a_long_answer_may_take_its_time(receiver: Receiver) -> None:
    def slowly(handler: Handler) -> bool:
        handler.body()
        handler.send_response(200)
        handler.send_header("Content-Length", "30000")
        handler.end_headers()
        for _ in range(10):
            handler.wfile.write(bytes(3000))
            time.sleep(0.3)
        return True

    receiver.behave = slowly
    client = HttpClient(Endpoint(receiver.url))
    assert client.request("POST", receiver.url, 1.0, b"", most=None)[2] == bytes(30000)
    assert client.request("POST", receiver.url, 1.0, b"", most=10)[2] == bytes(10)


def leave_segment(home: Home, writer: str, *names: str) -> None:
    """Of a writer that is gone: a span a frame."""
    spool = SpoolWriter(home.spool, writer * 16)
    for name in names:
        span = Span(trace_id=bytes(range(16)), span_id=os.urandom(8), name=name)
        spool.append(ResourceSpans(scope_spans=[ScopeSpans(spans=[span])]).SerializeToString())
    spool.close()


def test_a_segment_that_nobody_takes_keeps_no_others_from_being_sent(
    receiver: Receiver, tmp_path: Path
) -> None:
    def behave(handler: Handler) -> bool:
        body, kind = handler.body(), {"Content-Type": "application/x-protobuf"}
        if b"a bad one" in body:
            handler.answer(400, kind, b"\x12\x03bad")
        else:
            receiver.take(ExportTraceServiceRequest.FromString(body))
            handler.answer(200, kind)
        return True

    receiver.behave = behave
    home = Home(tmp_path / "spool", tmp_path / "artifacts")
    leave_segment(home, "0", "a bad one")
    leave_segment(home, "1", "good", "good too")
    carrier = Carrier(Endpoint(receiver.url), [home], Report())
    assert (carrier.carry(), carrier.carry()) == (MORE, None)
    assert [span.name for span in receiver.spans] == ["good", "good too"]
    assert len(list((home.spool / "rejected").iterdir())) == 1
    leave_segment(home, "2", "a bad one")  # where nothing else is taken, it is left where it is
    answer = Carrier(Endpoint(receiver.url), [home], Report()).carry()
    assert answer is not None
    assert answer.kind is Kind.REFUSED
    assert len(list(home.spool.glob("*.otlp"))) == 1


def test_a_large_request_has_the_time_that_a_slow_link_takes(receiver: Receiver, tmp_path: Path) -> None:
    def slowly(handler: Handler) -> bool:
        for _ in range(10):
            time.sleep(0.2)
            handler.rfile.read(int(handler.headers["Content-Length"]) // 10)
        handler.rfile.read(int(handler.headers["Content-Length"]) % 10)
        handler.close_connection = True
        handler.answer(200, {"Content-Type": "application/x-protobuf"})
        return True

    receiver.behave = slowly
    home = Home(tmp_path / "spool", tmp_path / "artifacts")
    leave_segment(home, "a", os.urandom(200_000).hex())
    assert Carrier(Endpoint(receiver.url, timeout=1.0), [home], Report()).carry() is None
    assert list(home.spool.glob("*.otlp")) == []


def test_what_takes_no_more_of_a_request_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        begun = time.monotonic()
        answer = HttpTransport(HttpClient(Endpoint(url, timeout=1.0))).send(os.urandom(16 << 20), 30.0)
        assert (answer.kind, answer.message) == (Kind.RETRY, "no answer in time")
        assert time.monotonic() - begun < 10.0


# --- files ----------------------------------------------------------------------------------------

FILE = """
    import sys, autotrack
    autotrack.enable()
    with open("weights.bin", "wb") as file:
        file.write(bytes(range(256)) * 4096 * 10)
    with autotrack.run("train") as run:
        run.log_artifact("weights.bin")
    print("result")
"""
WEIGHTS = bytes(range(256)) * 4096 * 10


def kept(store: Place) -> list[Path]:
    return [path for path in store.folder.glob("data/autotrack/stores/*/artifacts/*/*") if path.is_file()]


def test_file_is_uploaded_in_parts_and_deleted_here(store: Place, receiver: Receiver) -> None:
    train(store, receiver.url, FILE, AUTOTRACK_ENVIRONMENT="0")
    assert [*receiver.whole.values()] == [WEIGHTS]
    assert [offset for _, offset, _ in receiver.parts] == [0, 4 << 20, 8 << 20]
    assert kept(store) == []


def test_half_done_upload_goes_on_where_it_was(store: Place, receiver: Receiver) -> None:
    def no_more(handler: Handler) -> bool:
        if handler.command == "PATCH" and receiver.parts:
            return break_off(handler)
        return False

    receiver.behave = no_more
    ended = train(store, receiver.url, FILE, AUTOTRACK_ENVIRONMENT="0")
    assert "bytes wait for" in ended.said[-1]
    assert len(receiver.parts) == 1
    assert len(kept(store)) == 1
    receiver.behave = lambda handler: False
    assert sync(store).returncode == 0
    assert [*receiver.whole.values()] == [WEIGHTS]
    assert [offset for _, offset, _ in receiver.parts] == [0, 4 << 20, 8 << 20]
    assert kept(store) == []


NO_RECEIPT = ": not how files are taken"


@pytest.mark.parametrize(
    ("command", "code", "headers", "told"),
    [
        ("HEAD", 200, {"Content-Type": "text/html"}, NO_RECEIPT),
        ("HEAD", 200, {"Upload-Complete": "?1", "Content-Length": "7"}, "is not what was stored there"),
        ("PATCH", 204, {}, NO_RECEIPT),
        ("PATCH", 204, {"Upload-Complete": "?1"}, NO_RECEIPT),
        ("PATCH", 200, {"Content-Type": "text/html"}, NO_RECEIPT),
    ],
)
def test_a_file_goes_only_once_its_server_says_it_has_it(
    store: Place, receiver: Receiver, command: str, code: int, headers: dict[str, str], told: str
) -> None:
    def somebody_else(handler: Handler) -> bool:
        if handler.command != command:
            return False
        handler.body()
        handler.send_response(code)
        for name, value in ({"Content-Length": "0"} | headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        return True

    receiver.behave = somebody_else
    ended = train(store, receiver.url, FILE, AUTOTRACK_ENVIRONMENT="0")
    assert told in ended.err
    assert len(kept(store)) == 1
    receiver.behave = lambda handler: False
    assert sync(store).returncode == 0
    assert [*receiver.whole.values()] == [WEIGHTS]
    assert kept(store) == []


def test_servers_other_half_is_begun_again(store: Place, receiver: Receiver) -> None:
    receiver.blobs[hashlib.sha256(WEIGHTS).hexdigest()] = bytearray(b"rotten")
    train(store, receiver.url, FILE, AUTOTRACK_ENVIRONMENT="0")
    assert [*receiver.whole.values()] == [WEIGHTS]
    assert kept(store) == []


def test_copied_folder_goes_to_one_server_as_a_whole(
    store: Place, receiver: Receiver, tmp_path: Path
) -> None:
    """A file is of use only where its run is."""
    source = FILE.replace('print("result")', "autotrack.flush(); import os; os._exit(9)")
    assert store.run(source, env={"AUTOTRACK_STORE": SILENT, "AUTOTRACK_ENVIRONMENT": "0"}).returncode == 9
    folder = shutil.move(spooled(store)[0].parent.parent, tmp_path / "from-the-cluster")
    other = Receiver()

    def no_files(handler: Handler) -> bool:
        return handler.command != "POST" and status(404)(handler)

    receiver.behave = no_files
    assert sync(store, folder, "--store", receiver.url).returncode == 1
    assert len(receiver.of_type(sc.SpanType.RUN_START)) == 1
    ended = sync(store, folder, "--store", other.url)
    assert (ended.returncode, other.asked) == (1, 0), ended
    assert f"{receiver.url} has some of it already" in " ".join(ended.out.split())
    receiver.behave = lambda handler: False
    assert sync(store, folder, "--store", receiver.url).returncode == 0
    assert [*receiver.whole.values()] == [WEIGHTS]
    assert "Nothing waits" in sync(store, folder, "--store", other.url).out
    other.close()
