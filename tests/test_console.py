"""What is printed and logged is kept with its run, and nobody who prints can tell."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import autotrack
from autotrack.recording import transcript
from autotrack.recording.transcript import Transcript
from autotrack.store import Run

from .scripts import Place, end_of, wait_for
from .tracking import Tracking, tracking

__all__ = ["tracking"]


def printed(run: Run, stream: str = "stdout") -> list[str]:
    """The lines of a stream; their numbers are checked on the way."""
    lines = [line for line in run.logs if line.stream == stream]
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    return [line.text for line in lines]


# --- what belongs to which run --------------------------------------------------------------------


def test_lines_go_to_the_run_in_which_they_were_printed(tracking: Tracking) -> None:
    tracking.enable()
    print("before")
    with autotrack.run("outer"):
        print("outer")
        with autotrack.run("inner"):
            print("inner", end="")
        print("outer", "again\nand again")
    print("after")
    inner, outer = tracking.runs()
    assert printed(outer) == ["outer", "outer again", "and again"]
    assert printed(inner) == ["inner"]


def test_a_tapped_write_goes_to_other_processes(store: Place) -> None:
    ended = store.run(
        """
        import sys
        import autotrack
        import joblib
        autotrack.enable()
        assert sys.stdout.write.__name__ == "write"
        assert sys.stdout.write.__self__ is sys.stdout
        with autotrack.run("r"):
            numbers = joblib.Parallel(2)(joblib.delayed(sys.stdout.write)(f"{i}\\n") for i in range(4))
        assert numbers == [2] * 4
        """
    )
    assert ended.returncode == 0, ended.err


def test_a_record_by_keyword(tracking: Tracking) -> None:
    tracking.enable()
    logger = logging.getLogger("keyword")
    record = logger.makeRecord("keyword", logging.ERROR, "f", 1, "said", (), None)
    with autotrack.run("r"):
        logger.callHandlers(record=record)
    assert printed(tracking.run(), "logging") == ["said"]


def test_a_thread_prints_into_the_explicit_run(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("r"):
        thread = threading.Thread(target=print, args=["from a thread"])
        thread.start()
        thread.join()
    assert printed(tracking.run()) == ["from a thread"]


def test_a_thread_prints_into_no_run_where_it_could_be_either(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("a"), autotrack.run("b"):
        thread = threading.Thread(target=print, args=["from a thread"])
        thread.start()
        thread.join()
    assert [run.logs for run in tracking.runs()] == [[], []]


def test_streams_levels_and_times(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("r"):
        print("out")
        print("err", file=sys.stderr)
        logging.getLogger("train.loop").error("lost %d", 3)
    run = tracking.run()
    assert [(line.stream, line.number, line.level, line.logger, line.text) for line in run.logs] == [
        ("stdout", 1, None, None, "out"),
        ("stderr", 1, None, None, "err"),
        ("logging", 1, "ERROR", "train.loop", "lost 3"),
    ]
    assert run.ended is not None
    assert run.started <= run.logs[0].time <= run.logs[1].time <= run.logs[2].time <= run.ended


def test_switched_off_by_option(tracking: Tracking) -> None:
    before = vars(sys.stdout).get("write")
    tracking.enable(console=False)
    assert vars(sys.stdout).get("write") is before
    with autotrack.run("r"):
        print("unseen")
        logging.getLogger("x").error("unseen")
    assert tracking.run().logs == []


# --- nobody can tell ------------------------------------------------------------------------------


def test_streams_keep_their_identity_and_are_what_they_were_after_disable(tracking: Tracking) -> None:
    out, err, handlers = sys.stdout, sys.stderr, vars(logging.Logger)["callHandlers"]
    before = [dict(vars(out)), dict(vars(err))]
    tracking.enable()
    tracking.enable()
    assert (sys.stdout, sys.stderr) == (out, err)
    assert sys.stdout.write("") == 0
    autotrack.disable()
    assert [dict(vars(out)), dict(vars(err))] == before
    assert vars(logging.Logger)["callHandlers"] is handlers


def test_a_write_that_the_stream_had_of_its_own_comes_back(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    heard: list[str] = []
    stream.write = heard.append  # type: ignore[assignment,method-assign]
    own = vars(stream)["write"]
    monkeypatch.setattr(sys, "stdout", stream)
    tracking.enable()
    with autotrack.run("r"):
        print("x")
    autotrack.disable()
    assert (heard, vars(stream)["write"]) == (["x", "\n"], own)
    assert printed(tracking.run()) == ["x"]


def test_one_who_wrapped_the_stream_later_stays_on_top(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    tracking.enable()
    ours = stream.write

    def theirs(text: str) -> int:
        return ours(text.upper())

    stream.write = theirs  # type: ignore[method-assign,assignment]
    with autotrack.run("r"):
        print("x")
    autotrack.disable()
    print("y")
    assert vars(stream)["write"] is theirs
    assert stream.getvalue() == "X\nY\n"
    assert printed(tracking.run()) == ["X"]


def test_what_is_redirected_or_replaced(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tee:
        """As scripts have it: to a file as well."""

        def __init__(self, console: Any) -> None:
            self.console = console
            self.file: list[str] = []

        def write(self, text: str) -> int:
            self.file.append(text)
            return int(self.console.write(text))

        def flush(self) -> None:
            self.console.flush()

    saved = sys.stdout
    tracking.enable()
    with autotrack.run("r"):
        with contextlib.redirect_stdout(io.StringIO()) as hidden:
            print("hidden")
            print("to the saved one", file=saved)
        tee = Tee(saved)
        monkeypatch.setattr(sys, "stdout", tee)
        print("through a tee")
        tracking.enable()  # listens to the tee itself
        print("once")
    assert (hidden.getvalue(), tee.file[0]) == ("hidden\n", "through a tee")
    assert printed(tracking.run()) == ["to the saved one", "through a tee", "once"]


def test_print_returns_and_raises_what_the_stream_does(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            if "pipe" in text:
                raise BrokenPipeError
            return super().write(text)

    monkeypatch.setattr(sys, "stdout", Broken())
    tracking.enable()
    with autotrack.run("r"):
        print("kept")
        with pytest.raises(BrokenPipeError):
            print("pipe")
        with pytest.raises(TypeError):
            sys.stdout.write(b"bytes")  # type: ignore[arg-type]
        assert sys.stdout.write("four") == 4
    assert printed(tracking.run()) == ["kept", "four"]


def test_a_stream_that_takes_no_attribute_is_one_line(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Slotted:
        __slots__ = ()

        def write(self, text: str) -> int:
            return len(text)

        def flush(self) -> None: ...

    monkeypatch.setattr(sys, "stdout", Slotted())
    tracking.enable()
    with autotrack.run("r"):
        print("unseen")
        print("seen", file=sys.stderr)
    assert printed(tracking.run(), "stderr") == ["seen"]
    assert [m for m in caplog.messages if "stdout" in m and "not recorded" in m]


def test_text_that_is_no_string_or_has_lone_surrogates(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Anything(io.StringIO):
        def write(self, text: Any = "", *, message: Any = "") -> int:
            return 0

    monkeypatch.setattr(sys, "stdout", Anything())
    tracking.enable()
    with autotrack.run("r"):
        sys.stdout.write(b"bytes\n")  # type: ignore[arg-type]
        sys.stdout.write()  # type: ignore[call-arg]
        sys.stdout.write(message="by name")  # type: ignore[call-arg]
        print("\ud800")
    assert printed(tracking.run()) == ["\\ud800"]


# --- logging --------------------------------------------------------------------------------------


@contextlib.contextmanager
def bare_logging() -> Iterator[None]:
    """The root logger as a script finds it: without pytest's handlers, which come after its fixtures."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_basic_config_works_and_a_record_is_kept_once(tracking: Tracking) -> None:
    tracking.enable()
    with bare_logging(), autotrack.run("r"):
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
        logging.debug("dropped")
        logging.info("epoch %d", 1)
        print("by hand", file=sys.stderr)
    assert [(line.stream, line.level, line.text) for line in tracking.run().logs] == [
        ("logging", "INFO", "epoch 1"),
        ("stderr", None, "by hand"),
    ]


def test_only_what_a_handler_shows_is_kept(tracking: Tracking) -> None:
    tracking.enable()
    library = logging.getLogger("a_library")
    library.addHandler(logging.NullHandler())
    shown = logging.StreamHandler(io.StringIO())
    shown.setLevel(logging.ERROR)
    noisy = logging.getLogger("noisy")
    noisy.setLevel(logging.DEBUG)
    noisy.addHandler(shown)
    with bare_logging(), autotrack.run("r"):
        library.warning("nobody sees it")
        noisy.debug("nor this")
        noisy.error("this is seen")
        logging.getLogger("bare").warning("by the last resort")
        logging.getLogger("bare").info("dropped")
    assert printed(tracking.run(), "logging") == ["this is seen", "by the last resort"]


def test_a_traceback_is_kept_line_by_line(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("r"):
        try:
            raise ValueError("no good")
        except ValueError:
            logging.exception("failed")
    first, head, *_, last = printed(tracking.run(), "logging")
    assert (first, head, last) == ("failed", "Traceback (most recent call last):", "ValueError: no good")


def test_arguments_are_formatted_no_oftener_than_without(tracking: Tracking) -> None:
    class Counting:
        asked = 0

        def __str__(self) -> str:
            self.asked += 1
            return f"asked {self.asked}"

    tracking.enable()
    counting = Counting()
    with bare_logging(), autotrack.run("r"):
        logging.warning("%s", counting)
    assert counting.asked == 1
    assert printed(tracking.run(), "logging") == ["asked 1"]


def test_a_record_that_cannot_be_formatted(tracking: Tracking, capsys: pytest.CaptureFixture[str]) -> None:
    class Bad:
        def __str__(self) -> str:
            raise RuntimeError("bad")

    with capsys.disabled(), contextlib.redirect_stderr(io.StringIO()) as complaint:
        tracking.enable()
        with bare_logging(), autotrack.run("r"):
            logging.warning("value: %s", Bad())
            logging.warning("next")
    assert "--- Logging error ---" in complaint.getvalue()
    first, second = printed(tracking.run(), "logging")
    assert first.startswith("'value: %s' (")
    assert second == "next"


def test_warnings_are_on_stderr(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("r"), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda *args, **kwargs: sys.stderr.write("careful\n") and None
        warnings.warn("careful", stacklevel=1)
    assert printed(tracking.run(), "stderr") == ["careful"]


# --- how text becomes lines -----------------------------------------------------------------------


def lines_of(*writes: str) -> list[str]:
    """The lines of these writes, as they come out of all batches; at once or one by one is the same."""
    at_once, made = Transcript(None), Transcript(None)  # type: ignore[arg-type]
    at_once.write("stdout", writes, range(len(writes)))
    at_once.finish(len(writes))
    for i, text in enumerate(writes):
        made.write("stdout", [text], [i])
    made.finish(len(writes))
    batches = list(made.batches())
    assert list(at_once.batches()) == batches
    return [text for batch in batches for text in batch.texts]


@pytest.mark.parametrize(
    ("writes", "lines"),
    [
        (["a", "b", "\n"], ["ab"]),
        (["a\r\n", "b\r", "\n"], ["a", "b"]),
        (["\r 10%", "\r 20%", "\r100%", "\n"], ["100%"]),
        (["50%\r", "100%\r"], ["100%"]),
        (["bar", "\r   \r", "done\n"], ["done"]),
        (["bar", "\r   \r", "\n"], [""]),
        (["bar", "\r   \r"], []),
        (["\n\n"], ["", ""]),
        (["no newline"], ["no newline"]),
    ],
)
def test_lines(writes: list[str], lines: list[str]) -> None:
    assert lines_of(*writes) == lines


@given(st.lists(st.text(st.sampled_from("ab\né"), max_size=30), max_size=30))
def test_lines_are_those_of_the_text_however_it_is_written(writes: list[str]) -> None:
    *whole, last = "".join(writes).split("\n")
    assert lines_of(*writes) == whole + [last] * bool(last)


@given(st.lists(st.text(st.sampled_from("ab\né\r"), max_size=30), max_size=30))
def test_carriage_returns_leave_the_same_however_they_are_written(writes: list[str]) -> None:
    assert lines_of(*writes) == lines_of("".join(writes))


def test_a_bar_that_never_ends_takes_no_memory() -> None:
    made = Transcript(None)  # type: ignore[arg-type]
    for i in range(20_000):
        made.write("stderr", [f"\r{i}"], [0])
    assert len("".join(made._streams["stderr"]._begun)) < 10
    made.finish(0)
    assert [text for batch in made.batches() for text in batch.texts] == ["19999"]


def test_batches_fit_into_spans() -> None:
    texts = ["é" * 100] * 2000 + ["x" * 300_000, "", "y" * transcript.MAX_BATCH]
    made = Transcript(None)  # type: ignore[arg-type]
    for text in texts:
        made.write("stdout", [text + "\n"], [0])
    next_number = 1
    parts: list[str] = []
    for batch in made.batches():
        assert (batch.stream, batch.first) == ("stdout", next_number)
        assert len("\n".join(batch.texts).encode()) <= transcript.MAX_BATCH
        assert len(batch.times) == len(batch.texts)
        next_number += len(batch.texts)
        parts += batch.texts
    assert "".join(parts) == "".join(texts)


def test_beyond_the_cap_lines_are_counted(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(transcript, "MAX_TEXT", 1000)
    tracking.enable()
    with autotrack.run("r"):
        for i in range(500):
            print(f"{i:09}")
        print("")  # would fit, but there are no gaps
    assert printed(tracking.run()) == [f"{i:09}" for i in range(100)]
    assert sum("console lines" in m and "not recorded" in m for m in caplog.messages) == 1


# --- processes ------------------------------------------------------------------------------------


def test_many_lines_and_what_goes_past_write(store: Place) -> None:
    ended = store.run("""
        import os, sys
        import autotrack
        sys.stdout = open("out.txt", "w")
        autotrack.enable()
        with autotrack.run("r"):
            for i in range(30_000):
                print(i)
            sys.stdout.flush()
            sys.stdout.buffer.write(b"bytes\\n")
            sys.stdout.flush()
            os.write(sys.stdout.fileno(), b"descriptor\\n")
            print("last", file=sys.stderr)
    """)
    assert ended.returncode == 0, ended.err
    lines = [str(i) for i in range(30_000)]
    assert (store.folder / "out.txt").read_text().split("\n") == [*lines, "bytes", "descriptor", ""]
    run = store.only_run()
    assert printed(run) == lines
    assert printed(run, "stderr") == ["last"]


def test_without_streams(store: Place) -> None:
    ended = store.run("""
        import sys
        real = sys.stderr
        sys.stdout = sys.stderr = None  # as under pythonw
        import autotrack
        autotrack.enable()
        with autotrack.run("none"):
            print("nowhere")
        autotrack.disable()
        sys.stdout, sys.stderr = open("out.txt", "w"), real
        autotrack.enable()
        with autotrack.run("closed"):
            print("kept")
            sys.stdout.close()
            try:
                print("too late")
            except ValueError:
                autotrack.log({"raised": 1.0})
    """)
    assert ended.returncode == 0, ended.err
    runs = store.runs()
    assert runs["none"].logs == []
    assert printed(runs["closed"]) == ["kept"]
    assert runs["closed"].metrics == {"raised": 1.0}


def test_a_forked_child_prints_into_the_same_run(store: Place) -> None:
    ended = store.run("""
        import multiprocessing, sys
        import autotrack
        def work(i):
            print("child", i, end="")
        if __name__ == "__main__":
            autotrack.enable()
            with autotrack.run("r"):
                print("parent")
                sys.stdout.flush()
                fork = multiprocessing.get_context("fork")
                processes = [fork.Process(target=work, args=[i]) for i in (1, 2)]
                for process in processes:
                    process.start()
                for process in processes:
                    process.join()
                print("parent again")
    """)
    assert ended.returncode == 0, ended.err
    assert sorted(line.text for line in store.only_run().logs) == [
        "child 1", "child 2", "parent", "parent again"
    ]  # fmt: skip


def test_a_progress_bar_is_its_last_state(store: Place) -> None:
    ended = store.run("""
        import time, autotrack
        from tqdm import tqdm
        autotrack.enable(flush_interval=0.05)
        with autotrack.run("r"):
            for i in tqdm(range(10), desc="epochs", mininterval=0):
                time.sleep(0.02)
            for i in tqdm(range(10), leave=False, mininterval=0):
                pass
    """)
    assert ended.returncode == 0, ended.err
    [line] = printed(store.only_run(), "stderr")
    assert line.startswith("epochs: 100%|")
    assert "10/10" in line


def test_an_uncaught_exception_is_in_the_log_of_the_open_run(store: Place) -> None:
    store.run("""
        import autotrack
        autotrack.enable()
        run = autotrack.run("r")
        run.begin()
        raise ValueError("at the end")
    """)
    assert printed(store.only_run(), "stderr")[-1] == "ValueError: at the end"


def test_what_was_printed_before_a_kill_is_there(store: Place) -> None:
    process = store.start("""
        import sys, time
        import autotrack
        autotrack.enable(flush_interval=0.05)
        with autotrack.run("r"):
            print("kept")
            autotrack.flush()
            print("ready", flush=True)
            sys.stdin.read()
    """)
    wait_for(process, "ready")
    process.kill()
    end_of(process)
    assert printed(store.only_run())[0] == "kept"
