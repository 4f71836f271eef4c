"""Whatever the server does, training goes on and nothing is lost: real servers, real scripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autotrack import semconv as sc

from .receiver import Receiver, break_off, hang, status
from .scripts import Ended, Place

TRAIN = """
    import time, autotrack
    autotrack.enable()
    start = time.perf_counter()
    with autotrack.run("train", params={"lr": 0.1}):
        for i in range(100):
            autotrack.log({"loss": float(i)}, i)
    print("slow" if time.perf_counter() - start > 3 else "result")
"""
POINTS = [float(i) for i in range(100)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def train(store: Place, url: str, source: str = TRAIN, **env: str) -> tuple[Ended, float]:
    """What became of the script, and the seconds it took."""
    start = time.monotonic()
    ended = store.run(source, env={"AUTOTRACK_STORE": url, **env})
    assert (ended.returncode, ended.out) == (0, "result\n"), ended.err
    return ended, time.monotonic() - start


def spooled(store: Place) -> list[Path]:
    return [*store.folder.glob("data/autotrack/stores/*/spool/*.otlp")]


def assert_arrived(receiver: Receiver) -> None:
    assert receiver.points("loss") == POINTS
    [start] = {span.attributes[sc.RUN_ID] for span in receiver.of_type(sc.SpanType.RUN_START)}
    assert receiver.of_type(sc.SpanType.RUN)[-1].attributes[sc.RUN_ID] == start


def test_a_run_arrives_and_leaves_nothing_behind(store: Place, receiver: Receiver) -> None:
    ended, _ = train(store, receiver.url)
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
    process.communicate("\n", timeout=30)
    assert len(receiver.of_type(sc.SpanType.RUN)) == 1


SILENT = "http://127.0.0.1:9"


def refuses(receiver: Receiver) -> str:
    url = receiver.url
    receiver.close()
    return url


def unknown_host(receiver: Receiver) -> str:
    return "http://no-such-host.invalid:4318"


def says(behave: Callable[[object], bool]) -> Callable[[Receiver], str]:
    def told(receiver: Receiver) -> str:
        receiver.behave = behave
        return receiver.url

    return told


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        pytest.param(refuses, "Connection refused", id="refuses"),
        pytest.param(unknown_host, "unknown host", id="unknown host"),
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
    ended, seconds = train(store, url)
    assert seconds < 30  # of which the network may take 5; the machine is busy
    assert receiver.spans == []
    assert spooled(store)
    last = ended.said[-1]
    assert f" bytes wait for {url}: autotrack sync; see: autotrack runs" in last
    assert any(said in line and url in line for line in ended.said[:-1]) or not said, ended.err
    assert len(ended.said) <= 2
