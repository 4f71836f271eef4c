"""However a process ends, forks or nests its runs: what was logged is in the store, the state is true."""

from __future__ import annotations

import os
import signal
import time
from itertools import product

import pytest

from autotrack.states import State
from autotrack.store import Run, Store

from .scripts import Place, alive, curve, end_line, end_of, shared_numbers, values, wait_for, wait_until

INTERVAL = 0.1
"""Flush interval of the tests that lose their process."""
BUSY = 0.6
"""Seconds that a flush may be late on a machine that runs other tests too."""

LOG_FOREVER = """
    import signal, sys, time
    import numpy as np
    import autotrack
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    returned = np.memmap(sys.argv[1], "int64", "r+")  # how many log() calls returned
    pause = float(sys.argv[2])
    autotrack.enable()
    with autotrack.run("endless"):
        for i in range(10**9):
            autotrack.log({"i": float(i)})
            returned[0] = i + 1
            if i == 0:
                print("logging", flush=True)
            if pause:
                time.sleep(pause)
"""


def assert_all_there(run: Run, name: str, count: int) -> None:
    """Points 0 to `count`, whose values are their steps; one more may have been on its way."""
    points = run.points(name)
    assert count <= len(points) <= count + 1
    assert points.step.tolist() == list(range(len(points)))
    assert points.value.tolist() == list(map(float, range(len(points))))


# --- ends that Python sees ------------------------------------------------------------------------


def test_normal_end(store: Place) -> None:
    ended = store.run("""
        import autotrack
        autotrack.enable()
        with autotrack.run("normal", params={"lr": 0.1}, tags={"team": "a"}):
            for i in range(10):
                autotrack.log({"loss": i / 10})
        print("result")
    """)
    assert (ended.returncode, ended.out) == (0, "result\n")
    assert ended.err == end_line("1 finished", 10) + "\n"
    run = store.only_run()
    assert (run.name, run.experiment, run.state) == ("normal", "tests", State.FINISHED)
    assert (run.params, run.tags, run.error) == ({"lr": 0.1}, {"team": "a"}, None)
    assert curve(run, "loss") == [(i, i / 10) for i in range(10)]
    assert run.ended is not None
    assert run.started < run.ended
    assert run.metrics == {"loss": 0.9}


def test_quiet_end(store: Place) -> None:
    ended = store.run(
        "import autotrack\nautotrack.enable()\nautotrack.log({'a': 1.0})", env={"AUTOTRACK_QUIET": "1"}
    )
    assert (ended.returncode, ended.out, ended.err) == (0, "", "")
    assert store.only_run().state is State.FINISHED


@pytest.mark.parametrize("stream", ["sys.stderr.close()", "sys.stderr = None", "os.close(2)"])
def test_no_stderr_at_the_end(store: Place, stream: str) -> None:
    ended = store.run(f"""
        import os, sys
        import autotrack
        autotrack.enable()
        autotrack.log({{"a": 1.0}})
        {stream}
    """)
    assert (ended.returncode, ended.out, ended.err) == (0, "", "")
    assert store.only_run().state is State.FINISHED


def test_exception_inside_a_run(store: Place) -> None:
    ended = store.run("""
        import autotrack
        autotrack.enable()
        def train():
            for i in range(10):
                autotrack.log({"loss": float(i)})
            raise ValueError("the loss is bad: ü")
        with autotrack.run("broken"):
            train()
    """)
    assert ended.returncode == 1
    assert ended.err.startswith("Traceback (most recent call last):\n")
    assert ended.err.endswith("\nValueError: the loss is bad: ü\n" + end_line("1 failed", 10) + "\n")
    run = store.only_run()
    assert run.state is State.FAILED
    assert run.error is not None
    assert (run.error.type, run.error.message) == ("ValueError", "the loss is bad: ü")
    assert run.error.traceback.startswith("Traceback (most recent call last):\n")
    assert "in train\n" in run.error.traceback
    assert run.error.traceback.endswith("ValueError: the loss is bad: ü\n")
    assert curve(run, "loss") == [(i, float(i)) for i in range(10)]


@pytest.mark.parametrize(
    ("begin", "name"),
    [("run = autotrack.run('handle')", "handle"), ("", "script")],
    ids=["handle", "implicit"],
)
def test_exception_with_a_run_open(store: Place, begin: str, name: str) -> None:
    ended = store.run(f"""
        import autotrack
        autotrack.enable()
        {begin}
        autotrack.log({{"loss": 1.0}})
        1 / 0
    """)
    assert ended.returncode == 1
    assert ended.err.endswith("\nZeroDivisionError: division by zero\n" + end_line("1 failed", 1) + "\n")
    run = store.only_run()
    assert (run.name, run.state) == (name, State.FAILED)
    assert run.error is not None
    assert (run.error.type, run.error.message) == ("ZeroDivisionError", "division by zero")
    assert "1 / 0" in run.error.traceback
    assert curve(run, "loss") == [(0, 1.0)]


def test_exception_that_cannot_be_shown(store: Place) -> None:
    ended = store.run("""
        import autotrack
        class Odd(Exception):
            def __str__(self):
                raise RuntimeError("no text")
        try:
            with autotrack.run("odd"):
                autotrack.log({"loss": 1.0})
                raise Odd
        except Odd:
            print("caught")
    """)
    assert (ended.returncode, ended.out) == (0, "caught\n")
    assert ended.err == end_line("1 failed", 1) + "\n"
    run = store.only_run()
    assert run.state is State.FAILED
    assert run.error is not None
    assert (run.error.type, run.error.message) == ("Odd", "")


@pytest.mark.parametrize(
    ("call", "returncode", "state", "message"),
    [
        ("sys.exit(3)", 3, State.FAILED, "3"),
        ("sys.exit('no data')", 1, State.FAILED, "no data"),
        ("sys.exit(0)", 0, State.FINISHED, None),
        ("sys.exit()", 0, State.FINISHED, None),
    ],
)
def test_sys_exit_inside_a_run(
    store: Place, call: str, returncode: int, state: State, message: str | None
) -> None:
    ended = store.run(f"""
        import sys
        import autotrack
        autotrack.enable()
        with autotrack.run("exits"):
            for i in range(10):
                autotrack.log({{"loss": float(i)}})
            {call}
    """)
    assert ended.returncode == returncode
    assert ended.said == [end_line(f"1 {state}", 10)]
    run = store.only_run()
    assert run.state is state
    assert (run.error.message if run.error else None) == message
    assert curve(run, "loss") == [(i, float(i)) for i in range(10)]


# --- signals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_in_the_middle_of_logging(store: Place, number: signal.Signals) -> None:
    returned = shared_numbers(store.folder / "returned", 1)
    process = store.start(LOG_FOREVER, store.folder / "returned", 0.0001)
    wait_until(lambda: bool(returned[0] > 100))
    process.send_signal(number)
    ended = end_of(process)
    assert ended.returncode == -number
    run = store.only_run()
    assert returned[0] > 100
    assert_all_there(run, "i", int(returned[0]))
    assert ended.said == [end_line("1 killed", len(run.points("i")))]
    assert run.state is State.KILLED
    assert run.error is not None
    assert run.error.type == {signal.SIGINT: "KeyboardInterrupt", signal.SIGTERM: "SIGTERM"}[number]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_logging_flat_out(store: Place, number: signal.Signals) -> None:
    returned = shared_numbers(store.folder / "returned", 1)
    process = store.start(LOG_FOREVER, store.folder / "returned", 0)
    wait_for(process, "logging")
    time.sleep(0.2)
    process.send_signal(number)
    assert end_of(process).returncode == -number
    run = store.only_run()
    assert run.state is State.KILLED
    assert_all_there(run, "i", int(returned[0]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_asleep(store: Place, number: signal.Signals) -> None:
    process = store.start("""
        import signal, time
        import autotrack
        signal.signal(signal.SIGINT, signal.default_int_handler)
        autotrack.enable()
        run = autotrack.run("asleep")
        autotrack.log({"a": 1.0})
        print("asleep", flush=True)
        time.sleep(60)
    """)
    wait_for(process, "asleep")
    process.send_signal(number)
    ended = end_of(process)
    assert ended.returncode == -number
    assert ended.said == [end_line("1 killed", 1)]
    run = store.only_run()
    assert run.state is State.KILLED
    assert curve(run, "a") == [(0, 1.0)]


def test_sigterm_after_a_second_store(store: Place) -> None:
    process = store.start(
        """
        import sys, time
        import autotrack
        autotrack.enable(store=sys.argv[1])
        with autotrack.run("first"):
            autotrack.log({"a": 1.0})
        autotrack.enable(store=sys.argv[2])
        with autotrack.run("second"):
            autotrack.log({"a": 2.0})
            print("ready", flush=True)
            time.sleep(60)
    """,
        f"sqlite:///{store.folder}/other.db",
        store.url,
    )
    wait_for(process, "ready")
    process.terminate()
    assert end_of(process).returncode == -signal.SIGTERM
    run = store.only_run()
    assert (run.name, run.state) == ("second", State.KILLED)
    assert curve(run, "a") == [(0, 2.0)]


def test_a_change_of_store_leaves_no_thread_behind(store: Place) -> None:
    """And what is asked of the recorder that was left is still answered."""
    done = store.run("""
        import threading, time
        import autotrack

        def flushers():
            return [t for t in threading.enumerate() if t.name == "autotrack-flusher"]

        runs = []
        for number in range(4):
            autotrack.enable(store=f"sqlite:///{number}.db", quiet=True)
            with autotrack.run(f"run {number}") as run:
                run.log({"a": float(number)})
            runs.append(run)
        ends = time.monotonic() + 10
        while len(flushers()) > 1 and time.monotonic() < ends:
            time.sleep(0.05)
        print(len(flushers()), all(run._recorder.flush(10) for run in runs))
    """)
    assert (done.returncode, done.out) == (0, "1 True\n"), done.err
    for number in range(4):
        (run,) = Store(f"sqlite:///{store.folder}/{number}.db").runs()
        assert (run.name, run.state, curve(run, "a")) == (
            f"run {number}",
            State.FINISHED,
            [(0, float(number))],
        )


def test_a_recorder_that_was_left_is_told_by_many_threads(store: Place) -> None:
    """It has no thread of its own any more: each that tells it something writes it itself."""
    done = store.run("""
        import threading
        import autotrack

        autotrack.enable(store="sqlite:///left.db")
        with autotrack.run("left") as run:
            run.log({"a": 0.0})
        autotrack.enable(store="sqlite:///next.db")
        problems = []

        def tell(number):
            try:
                for i in range(200):
                    run.set_tags({f"{number}": str(i)})
                    run.log({"a": float(i)})
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=tell, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(problems)
    """)
    assert (done.returncode, done.out) == (0, "[]\n"), done.err
    assert "could not be converted" not in done.err
    assert "recording failed" not in done.err


HANDLER = """
        def mine(number, frame):
            print("mine", flush=True)
            stop.append(number)
        stop = []
        signal.signal(signal.SIGTERM, mine)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_users_sigterm_handler(store: Place, when: str) -> None:
    source = f"""
        import signal, time
        import autotrack
        {HANDLER if when == "before" else ""}
        autotrack.enable()
        {HANDLER if when == "after" else ""}
        with autotrack.run("own handler"):
            autotrack.log({{"a": 1.0}})
            print("ready", flush=True)
            while not stop:
                time.sleep(0.01)
            autotrack.log({{"a": 2.0}})
        print(signal.getsignal(signal.SIGTERM) is mine)
    """
    process = store.start(source)
    wait_for(process, "ready")
    process.terminate()
    ended = end_of(process)
    assert (ended.returncode, ended.out) == (0, "mine\nTrue\n")
    assert ended.said == [end_line("1 finished", 2)]
    run = store.only_run()
    assert run.state is State.FINISHED
    assert curve(run, "a") == [(0, 1.0), (1, 2.0)]


def test_users_sigterm_handler_that_exits(store: Place) -> None:
    process = store.start("""
        import signal, sys, time
        import autotrack
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(7))
        autotrack.enable()
        with autotrack.run("own handler"):
            autotrack.log({"a": 1.0})
            print("ready", flush=True)
            time.sleep(60)
    """)
    wait_for(process, "ready")
    process.terminate()
    assert end_of(process).returncode == 7
    run = store.only_run()
    assert run.state is State.FAILED
    assert curve(run, "a") == [(0, 1.0)]


def test_users_sigterm_handler_that_goes_on_to_ours(store: Place) -> None:
    process = store.start("""
        import signal, time
        import autotrack
        autotrack.enable()
        def mine(number, frame):
            print("mine", flush=True)
            previous(number, frame)
        previous = signal.signal(signal.SIGTERM, mine)
        with autotrack.run("chain"):
            autotrack.log({"a": 1.0})
            print("ready", flush=True)
            time.sleep(60)
    """)
    wait_for(process, "ready")
    process.terminate()
    ended = end_of(process)
    assert (ended.returncode, ended.out) == (-signal.SIGTERM, "mine\n")
    run = store.only_run()
    assert run.state is State.KILLED
    assert curve(run, "a") == [(0, 1.0)]


def test_ignored_sigterm_stays_ignored(store: Place) -> None:
    process = store.start("""
        import signal, sys
        import autotrack
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        autotrack.enable()
        with autotrack.run("deaf"):
            autotrack.log({"a": 1.0})
            print("ready", flush=True)
            sys.stdin.readline()
            autotrack.log({"a": 2.0})
    """)
    wait_for(process, "ready")
    process.terminate()
    ended = end_of(process, "go on\n")
    assert ended.returncode == 0
    assert curve(store.only_run(), "a") == [(0, 1.0), (1, 2.0)]


# --- ends that nobody sees ------------------------------------------------------------------------

LOG_WITH_TIMES = """
    import os, sys, time
    import numpy as np
    import autotrack
    returned = np.memmap(sys.argv[1], "float64", "r+")  # when each log() returned
    with autotrack.run("lost"):
        for i in range(len(returned)):
            autotrack.log({"i": float(i)})
            returned[i] = time.monotonic()
            if i == 0:
                print("logging", flush=True)
            time.sleep(0.0002)
            if "os._exit" in sys.argv and i == 3000:
                print(time.monotonic(), flush=True)
                os._exit(5)
            if "segfault" in sys.argv and i == 3000:
                import ctypes
                print(time.monotonic(), flush=True)
                ctypes.string_at(0)
"""


@pytest.mark.parametrize(
    ("way", "returncode"), [("SIGKILL", -signal.SIGKILL), ("os._exit", 5), ("segfault", -signal.SIGSEGV)]
)
def test_sudden_death_costs_at_most_the_last_interval(store: Place, way: str, returncode: int) -> None:
    returned = shared_numbers(store.folder / "returned", 20_000, "float64")
    process = store.start(
        LOG_WITH_TIMES, store.folder / "returned", way, env={"AUTOTRACK_FLUSH_INTERVAL": str(INTERVAL)}
    )
    wait_for(process, "logging")
    if way == "SIGKILL":
        wait_until(lambda: bool(returned[3000]))
        died = time.monotonic()
        process.kill()
    ended = end_of(process)
    assert ended.returncode == returncode
    assert ended.said == []
    if way != "SIGKILL":
        died = float(ended.out)
    run = store.only_run()
    assert run.state is State.LOST
    assert run.ended is None
    stored = run.points("i")
    assert stored.step.tolist() == list(range(len(stored)))  # a prefix, without holes
    assert stored.value.tolist() == stored.step.tolist()
    safe = int(((returned > 0) & (returned < died - INTERVAL - BUSY)).sum())
    assert len(stored) >= safe > 100
    assert len(stored) <= int((returned > 0).sum()) + 1


def test_flush_makes_points_survive_anything(store: Place) -> None:
    ended = store.run("""
        import os
        import autotrack
        with autotrack.run("flushed"):
            for i in range(25_000):  # more than a slice
                autotrack.log({"i": float(i)})
            assert autotrack.flush() is True
            os._exit(0)
    """)
    assert (ended.returncode, ended.err) == (0, "")
    run = store.only_run()
    assert run.state is State.LOST
    assert values(run, "i") == list(map(float, range(25_000)))


def test_killed_while_logging_flat_out(store: Place) -> None:
    shared_numbers(store.folder / "returned", 1)
    process = store.start(LOG_FOREVER, store.folder / "returned", 0, env={"AUTOTRACK_FLUSH_INTERVAL": "0.05"})
    wait_for(process, "logging")
    time.sleep(0.5)
    process.kill()
    end_of(process)
    stored = store.only_run().points("i")
    assert stored.step.tolist() == list(range(len(stored)))
    assert stored.value.tolist() == stored.step.tolist()


def test_running_as_seen_from_another_process(store: Place) -> None:
    process = store.start("""
        import sys
        import autotrack
        run = autotrack.run("long")
        for i in range(10):
            run.log({"i": float(i)})
        run.log_params({"lr": 0.5})
        autotrack.flush()
        print("ready", flush=True)
        sys.stdin.readline()
        run.log({"i": 10.0})
        run.end()
    """)
    wait_for(process, "ready")
    reader = store.open()
    for _ in range(2):  # what was drained stays
        [run] = reader.runs()
        assert (run.state, run.ended, run.params) == (State.RUNNING, None, {"lr": 0.5})
        assert values(run, "i") == list(map(float, range(10)))
    assert end_of(process, "go on\n").returncode == 0
    [run] = reader.runs()
    assert run.state is State.FINISHED
    assert values(run, "i") == list(map(float, range(11)))


def test_a_beat_shows_that_a_silent_run_lives(store: Place) -> None:
    process = store.start(
        """
        import sys
        import autotrack
        with autotrack.run("silent") as run:
            autotrack.log({"i": 0.0})
            autotrack.flush()
            print("ready", flush=True)
            sys.stdin.readline()
    """,
        env={"AUTOTRACK_BEAT_INTERVAL": "0.2", "AUTOTRACK_FLUSH_INTERVAL": "0.05"},
    )
    wait_for(process, "ready")
    first = store.only_run().duration
    wait_until(lambda: store.only_run().duration >= first + 0.4)
    run = store.only_run()
    assert run.state is State.RUNNING
    assert run.duration >= first + 0.4
    end_of(process, "go on\n")


# --- the last moments of a process ----------------------------------------------------------------


@pytest.mark.parametrize("how", ["run.log", "autotrack.log"])
def test_logging_from_an_exit_handler_that_runs_after_ours(store: Place, how: str) -> None:
    ended = store.run(f"""
        import atexit
        import autotrack
        def late():
            for i in range(10, 13):
                {how}({{"i": float(i)}})
            {how.replace(".log", ".log_params")}({{"late": True}})
        atexit.register(late)
        autotrack.enable()
        run = autotrack.run("late")
        for i in range(10):
            run.log({{"i": float(i)}})
    """)
    assert ended.returncode == 0
    assert len(ended.said) == 1
    runs = store.open().runs()
    assert {run.state for run in runs} == {State.FINISHED}
    found = sorted(value for run in runs for value in values(run, "i"))
    assert found == list(map(float, range(13)))
    assert [run.params for run in runs if run.params] == [{"late": True}]


def test_logging_only_from_an_exit_handler_that_runs_after_ours(store: Place) -> None:
    ended = store.run("""
        import atexit
        import autotrack
        atexit.register(lambda: autotrack.log({"i": 1.0}))
        autotrack.enable()
    """)
    assert ended.returncode == 0
    run = store.only_run()
    assert curve(run, "i") == [(0, 1.0)]
    assert (run.name, run.state) == ("script", State.FINISHED)


def test_logging_from_an_exit_handler_that_runs_before_ours(store: Place) -> None:
    ended = store.run("""
        import atexit
        import autotrack
        autotrack.enable()
        atexit.register(lambda: autotrack.log({"i": 1.0}))
    """)
    assert ended.said == [end_line("1 finished", 1)]
    run = store.only_run()
    assert (run.name, run.state, curve(run, "i")) == ("script", State.FINISHED, [(0, 1.0)])


@pytest.mark.parametrize("interval", ["0.001", "0.5"])
def test_threads_that_log_until_the_process_is_gone(store: Place, interval: str) -> None:
    before_end = shared_numbers(store.folder / "before_end", 4)
    ended = store.run(
        """
        import sys, threading, time
        import numpy as np
        import autotrack
        autotrack.enable()
        before_end = np.memmap(sys.argv[1], "int64", "r+")
        counts = [0] * 4
        run = autotrack.run("threads")
        run.log_params({"threads": 4})
        def work(n):
            while True:
                run.log({f"t{n}": float(counts[n])})
                counts[n] += 1
                if counts[n] % 50 == 0:
                    time.sleep(0.001)
        for n in range(4):
            threading.Thread(target=work, args=[n], daemon=True).start()
        time.sleep(0.5)
        before_end[:] = counts
    """,
        store.folder / "before_end",
        env={"AUTOTRACK_FLUSH_INTERVAL": interval},
    )
    assert ended.returncode == 0
    assert len(ended.err.splitlines()) == 1, ended.err
    run = store.only_run()
    assert run.state is State.FINISHED
    for n in range(4):
        found = values(run, f"t{n}")
        assert found == list(map(float, range(len(found))))
        assert len(found) >= before_end[n] > 0


def test_a_daemon_thread_without_a_run_of_its_own_at_exit(store: Place) -> None:
    before_end = shared_numbers(store.folder / "before_end", 1)
    ended = store.run(
        """
        import sys, threading, time
        import numpy as np
        import autotrack
        autotrack.enable()
        before_end = np.memmap(sys.argv[1], "int64", "r+")
        count = 0
        def work():
            global count
            while True:
                autotrack.log({"i": float(count)})
                count += 1
                time.sleep(0.0001)
        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.5)
        before_end[0] = count
    """,
        store.folder / "before_end",
    )
    assert ended.returncode == 0
    assert len(ended.err.splitlines()) == 1, ended.err
    runs = list(store.open().runs())
    assert [(run.name, run.state) for run in runs] == [("script", State.FINISHED)]
    assert values(runs[0], "i")[: before_end[0]] == list(map(float, range(before_end[0])))


def test_threads_end_before_the_process(store: Place) -> None:
    ended = store.run("""
        import threading, time
        import autotrack
        autotrack.enable()
        run = autotrack.run("threads")
        run.log_params({"a": 1})
        def work(n):
            time.sleep(0.1)  # the main thread is through by now
            for i in range(1000):
                autotrack.log({f"t{n}": float(i)}, step=i)
        for n in range(4):
            threading.Thread(target=work, args=[n]).start()
    """)
    assert ended.err == end_line("1 finished", 4000) + "\n"
    run = store.only_run()
    for n in range(4):
        assert curve(run, f"t{n}") == [(i, float(i)) for i in range(1000)]


# --- forks and other processes --------------------------------------------------------------------


@pytest.mark.parametrize(
    "end", ["sys.exit(0)", "autotrack.flush(); os._exit(0)", "pass"], ids=["sys.exit", "os._exit", "end"]
)
def test_forked_child_logs_to_the_run_it_inherits(store: Place, end: str) -> None:
    ended = store.run(f"""
        import os, sys
        import autotrack
        autotrack.enable()
        def main():
            with autotrack.run("shared") as run:
                for i in range(100):
                    autotrack.log({{"parent": float(i)}})
                pid = os.fork()
                if pid == 0:
                    for i in range(100):
                        autotrack.log({{"child": float(i)}})
                    run.log_params({{"child": True}})
                    {end}
                    return
                for i in range(100, 200):
                    autotrack.log({{"parent": float(i)}})
                assert os.waitpid(pid, 0)[1] == 0
                autotrack.log({{"parent": 200.0}})
        main()
    """)
    assert ended.returncode == 0
    assert ended.err == end_line("1 finished", 201) + "\n"
    run = store.only_run()
    assert run.state is State.FINISHED
    assert curve(run, "parent") == [(i, float(i)) for i in range(201)]
    assert curve(run, "child") == [(i, float(i)) for i in range(100)]
    assert run.params == {"child": True}


def test_forked_child_does_not_end_its_parents_run(store: Place) -> None:
    process = store.start("""
        import os, sys
        import autotrack
        autotrack.enable()
        with autotrack.run("shared"):
            autotrack.log({"parent": 0.0})
            pid = os.fork()
            if pid == 0:
                autotrack.log({"child": 0.0})
                sys.exit(3)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
            autotrack.flush()
            print("child gone", flush=True)
            sys.stdin.readline()
    """)
    wait_for(process, "child gone")
    run = store.only_run()
    assert (run.state, run.error) == (State.RUNNING, None)
    assert curve(run, "child") == [(0, 0.0)]
    ended = end_of(process, "go on\n")
    assert ended.err == end_line("1 finished", 1) + "\n"
    assert store.only_run().state is State.FINISHED


def test_a_thread_of_a_forked_child_logs_to_the_inherited_run(store: Place) -> None:
    ended = store.run("""
        import os, threading
        import autotrack
        autotrack.enable()
        with autotrack.run("shared"):
            if os.fork() == 0:
                thread = threading.Thread(target=lambda: autotrack.log({"child": 1.0}))
                thread.start()
                thread.join()
                autotrack.flush()
                os._exit(0)
            os.wait()
    """)
    assert ended.returncode == 0
    run = store.only_run()
    assert curve(run, "child") == [(0, 1.0)]


def test_a_run_of_a_forked_childs_own(store: Place) -> None:
    ended = store.run("""
        import os, sys
        import autotrack
        autotrack.enable()
        with autotrack.run("parent") as parent:
            parent.log({"a": 0.0})
            if os.fork() == 0:
                with autotrack.run("child"):
                    autotrack.log({"a": 1.0})
                sys.exit()
            os.wait()
    """)
    assert ended.err == end_line("1 finished", 1) + "\n"
    runs = store.runs()
    assert {name: (run.state, values(run, "a")) for name, run in runs.items()} == {
        "parent": (State.FINISHED, [0.0]),
        "child": (State.FINISHED, [1.0]),
    }
    assert runs["child"].parent == runs["parent"].id
    assert runs["parent"].children == (runs["child"].id,)


def test_forked_child_that_never_logs_does_not_keep_its_parent_alive(store: Place) -> None:
    process = store.start("""
        import os, time
        import autotrack
        run = autotrack.run("parent")
        run.log({"a": 0.0})
        autotrack.flush()
        child = os.fork()
        if child == 0:
            os.close(0), os.close(1), os.close(2)
            time.sleep(60)
            os._exit(0)
        print(child, "\\nready", flush=True)
        time.sleep(60)
    """)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    wait_for(process, "ready")
    assert store.only_run().state is State.RUNNING
    process.kill()
    end_of(process)
    try:
        assert alive(child)
        run = store.only_run()
        assert run.state is State.LOST
        assert curve(run, "a") == [(0, 0.0)]
        assert not list((store.folder / "runs.db-spool").glob("*.otlp"))
    finally:
        os.kill(child, signal.SIGKILL)


def test_fork_while_another_thread_keeps_the_flusher_busy(store: Place) -> None:
    ended = store.run(
        """
        import faulthandler, os, sys, threading, time
        import numpy
        import autotrack
        autotrack.enable()
        run = autotrack.run("busy")
        run.log_params({"a": 1})
        stop, count = False, 0
        def work():
            global count
            while not stop:
                autotrack.log({"thread": float(count), "bad": None})
                count += 1
                if count % 100 == 0:
                    time.sleep(0.001)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        time.sleep(0.05)
        for child in range(20):
            pid = os.fork()
            if pid == 0:
                faulthandler.dump_traceback_later(120, exit=True)
                for i in range(200):
                    autotrack.log({f"child{child}": float(i), "bad": None})
                if child % 5:
                    autotrack.flush()
                    os._exit(0)
                sys.exit()
            assert os.waitpid(pid, 0)[1] == 0, f"child {child} hung"
        stop = True
        thread.join()
        print(count)
    """,
        env={"AUTOTRACK_FLUSH_INTERVAL": "0.001"},
    )
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    count = int(ended.out)
    assert run.state is State.FINISHED
    assert curve(run, "thread") == [(i, float(i)) for i in range(count)]
    for child in range(20):
        assert curve(run, f"child{child}") == [(i, float(i)) for i in range(200)]


def test_a_fork_comes_in_between_many_actions(store: Place) -> None:
    """Which are slow together, and each is quick."""
    ended = store.run("""
        import os, time
        import autotrack
        with autotrack.run("main") as run:
            autotrack.flush()
            done = []
            def work(segment):
                end = time.thread_time() + 0.01
                while time.thread_time() < end:
                    pass
                done.append(1)
            for i in range(300):
                run.later(work)
            while not done:
                time.sleep(0.01)
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            print(len(done) < 40)
    """)
    assert ended.out == "True\n", ended.err


@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize(
    ("number", "handler", "heard"),
    [
        (signal.SIGINT, "signal.default_int_handler", "KeyboardInterrupt()"),
        (signal.SIGTERM, "lambda *_: sys.exit(5)", "SystemExit(5)"),
        (signal.SIGALRM, "Watch().is_slow", "TimeoutError('too slow')"),
        (signal.SIGALRM, "Watch()", "TimeoutError('too slow')"),
        (signal.SIGALRM, "partial(once, 'too slow')", "TimeoutError('too slow')"),
    ],
)
def test_what_a_handler_raises_amid_a_fork_is_not_lost(
    store: Place, number: int, handler: str, heard: str, threads: int
) -> None:
    """CPython prints what a hook of a fork raises, and goes on. Whichever thread hears of the signal."""
    ended = store.run(
        """
        import os, signal, subprocess, sys, threading, time
        from functools import partial
        import autotrack

        class Watch:
            def is_slow(self, *_):
                raise TimeoutError("too slow")

            __call__ = is_slow

        def once(problem, number, frame):
            signal.signal(number, signal.SIG_DFL)
            raise TimeoutError(problem)

        threads, number, handler = int(sys.argv[1]), int(sys.argv[2]), eval(sys.argv[3])
        signal.signal(number, handler)
        for _ in range(threads):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        with autotrack.run("interrupted") as run:
            autotrack.log({"loss": 1.0})
            autotrack.flush()
            begun = threading.Event()
            run.later(lambda _: (begun.set(), time.sleep(0.8)))  # a fork waits for it
            begun.wait()
            kill = f"import os, time; time.sleep(0.3); os.kill({os.getpid()}, {number})"
            killer = subprocess.Popen([sys.executable, "-S", "-c", kill])
            try:
                end = time.monotonic() + 30
                while time.monotonic() < end:
                    if (child := os.fork()) == 0:
                        os._exit(0)
                    os.waitpid(child, 0)
            except BaseException as error:
                print(repr(error), type(error) is type(eval(repr(error))))
            killer.wait()
        """,
        threads,
        int(number),
        handler,
    )
    assert ended.out == f"{heard} True\n", ended.err
    assert store.only_run().state is State.FINISHED


def test_a_fork_amid_a_fork(store: Place) -> None:
    """As a signal handler, or another's hook, may do: the flusher goes on after both."""
    ended = store.run(
        """
        import os
        import autotrack

        def fork():
            if not within:
                within.append(True)
                if (child := os.fork()) == 0:
                    os._exit(0)
                os.waitpid(child, 0)

        within = []
        os.register_at_fork(before=fork)  # hooks that come later are called sooner: autotrack's is
        with autotrack.run("r"):
            autotrack.log({"loss": 1.0})
            if (child := os.fork()) == 0:
                os._exit(0)
            os.waitpid(child, 0)
            autotrack.log({"loss": 2.0})
            print(autotrack.flush(10), within)
        """
    )
    assert ended.out == "True [True]\n", ended.err
    assert store.only_run().metrics == {"loss": 2.0}


def test_fork_at_the_very_first_flush(store: Place) -> None:
    """The flusher imports numpy then; a fork in the middle must not leave it locked in the child."""
    ended = store.run(
        """
        import faulthandler, os, sys, time
        import autotrack
        autotrack.log({"parent": 1.0})
        started = time.monotonic()
        while "numpy" not in sys.modules and time.monotonic() < started + 1:
            time.sleep(0.0002)
        pid = os.fork()
        if pid == 0:
            faulthandler.dump_traceback_later(120, exit=True)
            import numpy
            autotrack.log({"child": float(numpy.ones(3).sum())})
            sys.exit()
        assert os.waitpid(pid, 0)[1] == 0, "the child hung"
    """,
        env={"AUTOTRACK_FLUSH_INTERVAL": "0.02"},
    )
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert (curve(run, "parent"), curve(run, "child")) == ([(0, 1.0)], [(0, 3.0)])


WORKERS = """
    import concurrent.futures, multiprocessing, os, sys
    import autotrack

    POINTS = 300

    def inherited(n):
        for i in range(POINTS):
            autotrack.log({f"w{n}": float(i)}, step=i)
        return n

    def own(n):
        with autotrack.run(f"worker {n}", params={"n": n}):
            return inherited(n)

    def by_process(method, work):
        context = multiprocessing.get_context(method)
        workers = [context.Process(target=work, args=[n]) for n in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0] * 4

    def by_pool(method, work):
        with multiprocessing.get_context(method).Pool(2) as pool:  # its workers are terminated
            assert pool.map(work, range(4), 1) == list(range(4))

    def by_short_lived_pool(method, work):
        with multiprocessing.get_context(method).Pool(2, maxtasksperchild=1) as pool:
            assert pool.map(work, range(4), 1) == list(range(4))

    def by_closed_pool(method, work):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(work, range(4), 1) == list(range(4))
            pool.close()
            pool.join()

    def by_executor(method, work):
        context = multiprocessing.get_context(method)
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
            assert list(executor.map(work, range(4))) == list(range(4))

    def by_loky(method, work):
        import joblib
        assert joblib.Parallel(2, backend=method)(joblib.delayed(work)(n) for n in range(4)) == list(range(4))

    def main():
        way, method, work = sys.argv[1:]
        autotrack.enable()
        with autotrack.run("main") as run:
            autotrack.log({"main": 0.0})
            globals()[way](method, globals()[work])
            autotrack.log({"main": 1.0})

    if __name__ == "__main__":
        main()
"""


@pytest.mark.parametrize(
    "way", ["by_process", "by_pool", "by_short_lived_pool", "by_closed_pool", "by_executor"]
)
def test_forked_workers_log_to_the_run_they_inherit(store: Place, way: str) -> None:
    ended = store.run(WORKERS, way, "fork", "inherited")
    assert ended.returncode == 0, ended.err
    assert ended.err == end_line("1 finished", 2) + "\n"
    run = store.only_run()
    assert (run.name, run.state) == ("main", State.FINISHED)
    assert values(run, "main") == [0.0, 1.0]
    for n in range(4):
        assert curve(run, f"w{n}") == [(i, float(i)) for i in range(300)]


@pytest.mark.parametrize(
    ("way", "method"),
    [
        *product(("by_process", "by_pool", "by_executor"), ("fork", "spawn", "forkserver")),
        ("by_short_lived_pool", "fork"),
        ("by_short_lived_pool", "spawn"),
        ("by_closed_pool", "spawn"),
        ("by_loky", "loky"),
        ("by_loky", "multiprocessing"),
    ],
)
def test_workers_with_runs_of_their_own(store: Place, way: str, method: str) -> None:
    ended = store.run(WORKERS, way, method, "own")
    assert ended.returncode == 0, ended.err
    runs = store.runs()
    assert {name: run.state for name, run in runs.items()} == {
        "main": State.FINISHED,
        **{f"worker {n}": State.FINISHED for n in range(4)},
    }
    for n in range(4):
        run = runs[f"worker {n}"]
        assert run.params == {"n": n}
        assert curve(run, f"w{n}") == [(i, float(i)) for i in range(300)]
    assert values(runs["main"], "main") == [0.0, 1.0]
    assert ended.err == end_line("1 finished", 2) + "\n"


def test_a_worker_that_is_terminated_keeps_what_it_logged(store: Place) -> None:
    ended = store.run("""
        import multiprocessing, time
        import autotrack
        autotrack.enable()
        def work(queue):
            for i in range(100):
                autotrack.log({"i": float(i)}, step=i)
            queue.put("logged")
            time.sleep(60)
        with autotrack.run("main") as run:
            run.log({"main": 0.0})
            context = multiprocessing.get_context("fork")
            queue = context.Queue()
            worker = context.Process(target=work, args=[queue])
            worker.start()
            assert queue.get() == "logged"
            worker.terminate()
            worker.join()
            print(worker.exitcode)
    """)
    assert (ended.returncode, ended.out) == (0, "-15\n")
    assert ended.err == end_line("1 finished", 1) + "\n"
    assert curve(store.only_run(), "i") == [(i, float(i)) for i in range(100)]


def test_sigterm_before_a_forked_child_has_come_to_itself(store: Place) -> None:
    """`Pool.terminate()` may hit a worker that was forked a microsecond ago."""
    ended = store.run("""
        import os, signal, time
        os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
        import autotrack
        autotrack.enable()
        with autotrack.run("parent"):
            autotrack.log({"i": 0.0})
            autotrack.flush()
            for i in range(1, 100):
                autotrack.log({"i": float(i)})
            started = time.monotonic()
            child = os.fork()
            if child == 0:
                os._exit(0)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            print(time.monotonic() - started < 5)
            for i in range(100, 200):
                autotrack.log({"i": float(i)})
    """)
    assert (ended.returncode, ended.out) == (0, "-15\nTrue\n")
    assert ended.err == end_line("1 finished", 200) + "\n"
    assert curve(store.only_run(), "i") == [(i, float(i)) for i in range(200)]


def test_sigterm_that_interrupts_nothing(store: Place) -> None:
    """As one that comes just before a pool's worker waits for a task; here another thread gets it."""
    ended = store.run(
        """
        import multiprocessing, os, signal, sys, threading, time
        import autotrack

        def work(runs):
            autotrack.log({"worker": 1.0})
            if os.fork() == 0:  # a child of the worker hears nothing of the worker's, nor the worker of its
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
            os.wait()
            def get():
                runs.set()
                time.sleep(0.2)
                signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            threading.Thread(target=get).start()
            context.Semaphore(0).acquire()

        context = multiprocessing.get_context("fork")
        if __name__ == "__main__":
            with autotrack.run("main"):
                runs = context.Event()
                process = context.Process(target=work, args=[runs])
                process.start()
                is_there = runs.wait(60)
                process.join(20)
                print(is_there, process.exitcode)
                process.kill()
        """
    )
    assert ended.out == "True -15\n", ended.err
    assert store.only_run().metrics == {"worker": 1.0}


def test_sigterm_at_once_after_a_fork(store: Place) -> None:
    """CPython takes what comes before a child has come to itself for its parent's."""
    ended = store.run(
        """
        import multiprocessing, time
        import autotrack

        autotrack.enable()
        context = multiprocessing.get_context("fork")
        codes = []
        for _ in range(20):
            process = context.Process(target=time.sleep, args=[60])
            process.start()
            process.terminate()
            process.join(10)
            codes.append(process.exitcode)
            process.kill()
        print({*codes})
        """
    )
    assert ended.out == "{-15}\n", ended.err


def test_a_workers_thread_forks_what_is_ended_at_once(store: Place) -> None:
    """The child has, for a moment, what tells its parent of signals."""
    ended = store.run(
        """
        import multiprocessing, os, signal, threading, time
        import autotrack

        def fork_often():
            for _ in range(30):
                child = os.fork()
                if child == 0:
                    time.sleep(60)
                    os._exit(0)
                os.kill(child, signal.SIGTERM)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM

        def work():
            autotrack.log({"worker": 1.0})
            thread = threading.Thread(target=fork_often)
            thread.start()
            thread.join(60)
            autotrack.log({"over": float(not thread.is_alive())})

        with autotrack.run("main"):
            process = multiprocessing.get_context("fork").Process(target=work)
            process.start()
            process.join()
            print(process.exitcode)
        """
    )
    assert ended.out == "0\n", ended.err
    assert store.only_run().metrics == {"worker": 1.0, "over": 1.0}


def test_a_worker_without_a_descriptor_left_trains_on(store: Place) -> None:
    ended = store.run(
        """
        import multiprocessing, os, threading
        import autotrack

        def work():
            taken = []
            try:
                while True:
                    taken.append(os.dup(0))
            except OSError:
                pass
            for i in range(4):
                autotrack.log({"worker": float(i)}, step=i)
            threads = [thread.name for thread in threading.enumerate()]
            for descriptor in taken:
                os.close(descriptor)
            print(threads.count("autotrack-flusher"), "autotrack-signals" in threads, flush=True)

        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        with autotrack.run("main"):
            process = multiprocessing.get_context("fork").Process(target=work)
            process.start()
            process.join()
            print(process.exitcode)
        """
    )
    assert ended.out == "1 False\n0\n", ended.err
    assert curve(store.only_run(), "worker") == [(i, float(i)) for i in range(4)]


def test_ctrl_c_as_a_child_is_forked_leaves_it_sigterm(store: Place) -> None:
    """CPython swallows what hooks of a fork raise."""
    ended = store.run(
        """
        import os, signal, time
        import autotrack
        autotrack.enable()
        with autotrack.run("parent"):
            recorder = autotrack._enable.recorder()
            def amid_it(*arguments):
                raise KeyboardInterrupt
            recorder._make_exporters = amid_it
            child = os.fork()
            if child == 0:
                time.sleep(20)
                os._exit(0)
            os.kill(child, signal.SIGTERM)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        """
    )
    assert ended.out == "-15\nset()\n", ended.err


def test_sigterm_while_a_forked_child_comes_to_itself(store: Place) -> None:
    """Some of what it has is still its parent's: under that name it must not write."""
    ended = store.run(
        """
        import os, signal
        import autotrack
        autotrack.enable()
        with autotrack.run("parent"):
            autotrack.log({"i": 0.0})
            recorder = autotrack._enable.recorder()
            make = recorder._make_exporters
            def amid_it(*arguments):
                os.kill(os.getpid(), signal.SIGTERM)
                return make(*arguments)
            recorder._make_exporters = amid_it
            child = os.fork()
            if child == 0:
                os._exit(0)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            autotrack.log({"i": 1.0})
    """,
        env={"AUTOTRACK_FLUSH_INTERVAL": "60"},  # the parent has written nothing either
    )
    assert (ended.returncode, ended.out) == (0, "-15\n")
    assert ended.err == end_line("1 finished", 2) + "\n"
    run = store.only_run()
    assert (run.state, curve(run, "i")) == (State.FINISHED, [(0, 0.0), (1, 1.0)])


def test_a_worker_that_raises(store: Place) -> None:
    ended = store.run("""
        import multiprocessing
        import autotrack
        autotrack.enable()
        def work():
            autotrack.log({"i": 0.0})
            raise ValueError("worker")
        with autotrack.run("main") as run:
            run.log({"main": 0.0})
            worker = multiprocessing.get_context("fork").Process(target=work)
            worker.start()
            worker.join()
            print(worker.exitcode)
    """)
    assert (ended.returncode, ended.out) == (0, "1\n")
    assert ended.said == [end_line("1 finished", 1)]
    run = store.only_run()
    assert (run.state, run.error) == (State.FINISHED, None)
    assert curve(run, "i") == [(0, 0.0)]


# --- which run a point belongs to -----------------------------------------------------------------


def test_nested_runs(store: Place) -> None:
    ended = store.run("""
        import autotrack
        autotrack.enable()
        assert autotrack.active_run() is None
        with autotrack.run("outer") as outer:
            autotrack.log({"a": 0.0})
            with autotrack.run("left") as left:
                assert autotrack.active_run() is left
                autotrack.log({"a": 1.0})
                with autotrack.run("leaf") as leaf:
                    autotrack.log({"a": 2.0})
                    outer.log({"b": 3.0})
                autotrack.log({"a": 4.0})
            assert autotrack.active_run() is outer
            with autotrack.run("right", experiment="other"):
                autotrack.log({"a": 5.0})
            autotrack.log({"a": 6.0})
        assert autotrack.active_run() is None
    """)
    assert ended.err == end_line("4 finished", 7) + "\n"
    runs = store.runs()
    assert {name: values(run, "a") for name, run in runs.items()} == {
        "outer": [0.0, 6.0],
        "left": [1.0, 4.0],
        "leaf": [2.0],
        "right": [5.0],
    }
    assert values(runs["outer"], "b") == [3.0]
    assert runs["outer"].parent is None
    assert runs["outer"].children == (runs["left"].id, runs["right"].id)
    assert (runs["left"].parent, runs["left"].children) == (runs["outer"].id, (runs["leaf"].id,))
    assert (runs["leaf"].parent, runs["leaf"].children) == (runs["left"].id, ())
    assert [runs[name].experiment for name in ("outer", "right")] == ["tests", "other"]


def test_an_exception_fails_the_inner_run_alone(store: Place) -> None:
    store.run("""
        import autotrack
        with autotrack.run("outer"):
            try:
                with autotrack.run("inner"):
                    raise KeyError("x")
            except KeyError:
                pass
            autotrack.log({"a": 1.0})
    """)
    runs = store.runs()
    assert {name: run.state for name, run in runs.items()} == {
        "outer": State.FINISHED,
        "inner": State.FAILED,
    }
    assert values(runs["outer"], "a") == [1.0]


def test_threads_without_context_use_the_one_explicit_run(store: Place) -> None:
    ended = store.run("""
        import threading
        from concurrent.futures import ThreadPoolExecutor
        import autotrack
        autotrack.enable()
        with autotrack.run("only") as run:
            run.log({"main": 0.0})
            def work(n):
                assert autotrack.active_run() is run
                autotrack.log({f"t{n}": float(n)})
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(work, range(8)))
    """)
    assert ended.err == end_line("1 finished", 9) + "\n"
    run = store.only_run()
    assert run.metrics == {"main": 0.0} | {f"t{n}": float(n) for n in range(8)}


def test_two_explicit_runs_in_two_threads_stay_apart(store: Place) -> None:
    ended = store.run("""
        import threading
        import autotrack
        autotrack.enable()
        both = threading.Barrier(2)
        def work(n):
            with autotrack.run(f"run {n}") as run:
                both.wait()
                for i in range(1000):
                    autotrack.log({"n": float(n)}, step=i)
                    assert autotrack.active_run() is run
                autotrack.log_params({"n": n})
                both.wait()
        threads = [threading.Thread(target=work, args=[n]) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    """)
    assert ended.err == end_line("2 finished", 2000) + "\n"
    runs = store.runs()
    for n in range(2):
        run = runs[f"run {n}"]
        assert (run.params, run.parent, run.children) == ({"n": n}, None, ())
        assert curve(run, "n") == [(i, float(n)) for i in range(1000)]


def test_asyncio_tasks_each_with_their_own_run(store: Place) -> None:
    ended = store.run("""
        import asyncio
        import autotrack
        autotrack.enable()
        async def train(n):
            async with asyncio.timeout(300):
                with autotrack.run(f"task {n}", params={"n": n}) as run:
                    for i in range(20):
                        autotrack.log({"n": float(n)}, step=i)
                        await asyncio.sleep(0.001)
                        assert autotrack.active_run() is run
        async def main():
            with autotrack.run("main"):
                async with asyncio.TaskGroup() as group:
                    for n in range(10):
                        group.create_task(train(n))
                autotrack.log({"done": 1.0})
        asyncio.run(main())
    """)
    assert ended.err == end_line("11 finished", 201) + "\n"
    runs = store.runs()
    assert runs["main"].metrics == {"done": 1.0}
    assert set(runs["main"].children) == {runs[f"task {n}"].id for n in range(10)}
    for n in range(10):
        run = runs[f"task {n}"]
        assert (run.params, run.parent) == ({"n": n}, runs["main"].id)
        assert curve(run, "n") == [(i, float(n)) for i in range(20)]


def test_a_cancelled_task(store: Place) -> None:
    ended = store.run("""
        import asyncio
        import autotrack
        async def train():
            with autotrack.run("cancelled"):
                autotrack.log({"a": 1.0})
                await asyncio.sleep(60)
        async def main():
            task = asyncio.create_task(train())
            await asyncio.sleep(0.01)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                print("cancelled")
        asyncio.run(main())
    """)
    assert (ended.returncode, ended.out) == (0, "cancelled\n")
    run = store.only_run()
    assert run.state is State.KILLED
    assert values(run, "a") == [1.0]


def test_decorated_function(store: Place) -> None:
    ended = store.run("""
        import autotrack
        autotrack.enable()
        @autotrack.run("train", params={"lr": 0.1})
        def train(x, *, y):
            "Trains."
            autotrack.log({"x": float(x), "y": float(y)})
            return x + y
        print(train.__name__, train.__doc__, autotrack.active_run())
        print(train(1, y=2), train(3, y=4))
        print(autotrack.active_run())
    """)
    assert ended.out == "train Trains. None\n3 7\nNone\n"
    assert ended.err == end_line("2 finished", 4) + "\n"
    runs = store.open().runs()
    assert [(run.name, run.params, run.state, run.parent) for run in runs] == [
        ("train", {"lr": 0.1}, State.FINISHED, None)
    ] * 2
    assert [run.metrics for run in runs] == [{"x": 3.0, "y": 4.0}, {"x": 1.0, "y": 2.0}]


def test_decorated_function_that_calls_itself(store: Place) -> None:
    store.run("""
        import autotrack
        @autotrack.run("depth")
        def descend(n):
            autotrack.log({"n": float(n)})
            if n:
                descend(n - 1)
        descend(3)
    """)
    runs = {run.metrics["n"]: run for run in store.open().runs()}
    assert runs[3.0].parent is None
    assert [runs[n].parent for n in (2.0, 1.0, 0.0)] == [runs[n].id for n in (3.0, 2.0, 1.0)]


def test_decorated_coroutine_function(store: Place) -> None:
    ended = store.run("""
        import asyncio, inspect
        import autotrack
        autotrack.enable()
        @autotrack.run("train")
        async def train(n):
            autotrack.log({"n": float(n)})
            await asyncio.sleep(0.01)
            autotrack.log({"n": float(n)})
            return n
        assert inspect.iscoroutinefunction(train)
        async def main():
            return await asyncio.gather(*map(train, range(10)))
        print(asyncio.run(main()))
    """)
    assert ended.out == f"{list(range(10))}\n"
    assert ended.err == end_line("10 finished", 20) + "\n"
    runs = store.open().runs()
    assert sorted(values(run, "n") for run in runs) == [[float(n)] * 2 for n in range(10)]
    assert {run.parent for run in runs} == {None}


def test_decorated_generator_function(store: Place) -> None:
    ended = store.run("""
        import autotrack
        autotrack.enable()
        @autotrack.run("epochs")
        def epochs(n):
            for i in range(n):
                autotrack.log({"epoch": float(i)})
                yield i
            return "done"
        print(list(epochs(3)))
    """)
    assert ended.out == "[0, 1, 2]\n"
    assert ended.err == end_line("1 finished", 3) + "\n"
    run = store.only_run()
    assert (run.name, values(run, "epoch")) == ("epochs", [0.0, 1.0, 2.0])


def test_run_inside_a_generator(store: Place) -> None:
    ended = store.run("""
        import autotrack
        autotrack.enable()
        def epochs(name, n):
            with autotrack.run(name):
                for i in range(n):
                    autotrack.log({"epoch": float(i)})
                    yield i
        print(list(epochs("whole", 3)))
        for i in epochs("left", 3):
            if i == 1:
                break
        del i
        assert autotrack.active_run() is None
        try:
            for i in epochs("thrown", 3):
                raise ValueError("caller's own")
        except ValueError:
            pass
    """)
    assert ended.out == "[0, 1, 2]\n"
    assert ended.err == end_line("3 finished", 6) + "\n"
    runs = store.runs()
    assert {name: values(run, "epoch") for name, run in runs.items()} == {
        "whole": [0.0, 1.0, 2.0],
        "left": [0.0, 1.0],
        "thrown": [0.0],
    }
    assert {run.state for run in runs.values()} == {State.FINISHED}


def test_handle_that_is_ended_by_hand(store: Place) -> None:
    ended = store.run("""
        import autotrack
        autotrack.enable()
        run = autotrack.run("handle", params={"lr": 0.1})
        assert autotrack.active_run() is run
        autotrack.log({"a": 1.0})
        run.log({"a": 2.0})
        autotrack.log_params({"later": 1})
        run.set_tags({"team": "a"})
        run.end()
        run.end()
        assert autotrack.active_run() is None
        run.log({"a": 3.0})  # still its own
        run.end(ValueError("too late"))
        failed = autotrack.run("failed")
        failed.log({"a": 1.0})
        failed.end(ValueError("no"))
    """)
    assert ended.err == end_line("1 finished, 1 failed", 4) + "\n"
    runs = store.runs()
    run = runs["handle"]
    assert (run.params, run.tags, run.state) == ({"lr": 0.1, "later": 1}, {"team": "a"}, State.FINISHED)
    assert curve(run, "a") == [(0, 1.0), (1, 2.0), (2, 3.0)]
    assert runs["failed"].state is State.FAILED
    assert runs["failed"].error is not None
    assert (runs["failed"].error.type, runs["failed"].error.message) == ("ValueError", "no")


def test_handle_that_only_has_params(store: Place) -> None:
    ended = store.run("""
        import autotrack
        autotrack.enable()
        run = autotrack.run("only params", params={"lr": 0.1})
        run.end()
    """)
    assert ended.err == end_line("1 finished", 0) + "\n"
    run = store.only_run()
    assert (run.name, run.params, run.state) == ("only params", {"lr": 0.1}, State.FINISHED)


def test_handle_left_open(store: Place) -> None:
    ended = store.run("""
        import autotrack
        autotrack.enable()
        run = autotrack.run("open")
        run.log({"a": 1.0})
    """)
    assert ended.err == end_line("1 finished", 1) + "\n"
    assert store.only_run().state is State.FINISHED


def test_logging_without_a_run(store: Place) -> None:
    ended = store.run(
        """
        import autotrack
        autotrack.enable()
        autotrack.log({"a": 0.0})
        with autotrack.run("explicit"):
            autotrack.log({"a": 1.0})
        autotrack.log({"a": 2.0})
        autotrack.log_params({"lr": 0.1})
        autotrack.set_tags({"team": "a"})
    """,
        name="my_training",
    )
    assert ended.err == end_line("2 finished", 3) + "\n"
    runs = store.runs()
    assert {name: values(run, "a") for name, run in runs.items()} == {
        "my_training": [0.0, 2.0],
        "explicit": [1.0],
    }
    implicit = runs["my_training"]
    assert (implicit.params, implicit.tags, implicit.state) == ({"lr": 0.1}, {"team": "a"}, State.FINISHED)
    assert implicit.experiment == "tests"


def test_threads_share_the_implicit_run(store: Place) -> None:
    ended = store.run("""
        import threading
        import autotrack
        autotrack.enable()
        start = threading.Barrier(8)
        def work(n):
            start.wait()
            for i in range(100):
                autotrack.log({f"t{n}": float(i)})
        threads = [threading.Thread(target=work, args=[n]) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    """)
    assert ended.err == end_line("1 finished", 800) + "\n"
    run = store.only_run()
    for n in range(8):
        assert curve(run, f"t{n}") == [(i, float(i)) for i in range(100)]


def test_run_ended_in_another_thread(store: Place) -> None:
    ended = store.run("""
        import threading
        import autotrack
        autotrack.enable()
        run = autotrack.run("elsewhere")
        autotrack.log({"a": 0.0})
        thread = threading.Thread(target=run.end)
        thread.start()
        thread.join()
        assert autotrack.active_run() is None
        with autotrack.run("next"):
            autotrack.log({"a": 1.0})
        autotrack.log({"a": 2.0})
    """)
    assert ended.err == end_line("3 finished", 3) + "\n"
    runs = store.runs()
    assert {name: (values(run, "a"), run.parent) for name, run in runs.items()} == {
        "elsewhere": ([0.0], None),
        "next": ([1.0], None),
        "script": ([2.0], None),
    }


def test_runs_ended_out_of_order(store: Place) -> None:
    ended = store.run("""
        import autotrack
        autotrack.enable()
        first = autotrack.run("first")
        first.log({"a": 0.0})
        second = autotrack.run("second")
        second.log({"a": 1.0})
        first.end()
        assert autotrack.active_run() is second
        autotrack.log({"a": 2.0})
        second.end()
        assert autotrack.active_run() is None
    """)
    assert ended.err == end_line("2 finished", 3) + "\n"
    assert {name: values(run, "a") for name, run in store.runs().items()} == {
        "first": [0.0],
        "second": [1.0, 2.0],
    }


def test_a_run_that_is_entered_again(store: Place) -> None:
    ended = store.run("""
        import autotrack
        autotrack.enable()
        run = autotrack.run("resumed")
        try:
            with run:
                autotrack.log({"a": 0.0}, step=0)
                autotrack.log({"a": 1.0}, step=1)
                raise ValueError
        except ValueError:
            pass
        with run:
            autotrack.log({"a": 2.0}, step=1)
    """)
    assert ended.returncode == 0
    run = store.only_run()
    assert (run.state, run.error) == (State.FINISHED, None)
    assert curve(run, "a") == [(0, 0.0), (1, 1.0), (1, 2.0)]
