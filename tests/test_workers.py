"""Work in other processes: whoever hands it over, however it ends, it is recorded in the run it is of."""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import multiprocessing.pool
import multiprocessing.process
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import permutations
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge

import autotrack
from autotrack import semconv as sc
from autotrack._patching.tasks import carried
from autotrack.backends.sqlite import SqliteBackend
from autotrack.options import Options
from autotrack.otlp.decode import decode_resource_spans
from autotrack.recording.joined import MOST
from autotrack.recording.origin import Origin, origin_in, resumed_in
from autotrack.records import SpanRecord
from autotrack.spool import SpoolReader
from autotrack.states import State
from autotrack.store import Run, Store

from .scripts import Place, alive, curve, end_of, values, wait_for, wait_until
from .server.live import Process
from .test_shipping import spooled, sync
from .tracking import Tracking, tracking

__all__ = ["tracking"]

QUICK = {"AUTOTRACK_FLUSH_INTERVAL": "0.1", "AUTOTRACK_ENVIRONMENT": "0", "AUTOTRACK_QUIET": "1"}

WORK = """
    import concurrent.futures, multiprocessing, os, signal, subprocess, sys, threading, time
    import autotrack

    def work(n):
        from sklearn.linear_model import Ridge
        Ridge(alpha=n + 1.0).fit([[1.0], [2.0]], [1.0, 2.0])
        autotrack.log({"n": float(n)}, step=n)
        return n

    def all_four():
        return [work(n) for n in range(4)]

    def by_loky():
        import joblib
        return joblib.Parallel(2)(joblib.delayed(work)(n) for n in range(4))

    def by_executor(method):
        context = multiprocessing.get_context(method)
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
            first = executor.submit(work, 0)
            return [first.result(), *executor.map(work, range(1, 4))]

    def by_pool(method):
        with multiprocessing.get_context(method).Pool(1) as pool:
            done = [pool.apply(work, (0,)), *pool.map(work, [1]), *pool.imap(work, [2])]
            done += pool.starmap(func=work, iterable=[(3,)])
            pool.close()
            pool.join()
        return done

    def by_process(method):
        process = multiprocessing.get_context(method).Process(target=all_four)
        process.start()
        assert "_autotrack" not in vars(process)
        process.join()
        assert process.exitcode == 0
        return list(range(4))

    def nested(numbers):
        import joblib
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            done = pool.map(work, numbers[:1])
            pool.close()
            pool.join()
        return done + joblib.Parallel(2, backend="threading")(joblib.delayed(work)(n) for n in numbers[1:])

    def by_nested_pools():
        with concurrent.futures.ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn")
        ) as executor:
            return executor.submit(nested, [0, 1, 2, 3]).result()

    def by_dask():
        from dask.distributed import Client, LocalCluster
        cluster = LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None)
        with cluster, Client(cluster) as client:
            return client.gather(client.map(work, range(4)))

    def by_subprocess():
        program = "import autotrack, script; autotrack.enable(); script.all_four()"
        subprocess.run([sys.executable, "-c", program], check=True)
        return list(range(4))
"""

WAYS = (
    WORK
    + """
    if __name__ == "__main__":
        autotrack.enable()
        way, *arguments = sys.argv[1:]
        with autotrack.run("main"):
            assert globals()[way](*arguments) == [0, 1, 2, 3]
"""
)


def spans_of(store: Place) -> list[SpanRecord]:
    """All that lies in the spool, which is left as it is."""
    copy = store.folder / "copy"
    shutil.copytree(store.folder / "runs.db-spool", copy)
    reader = SpoolReader(copy, "look")
    found = []
    for batch in reader.batches():
        for data in batch.payloads:
            found += decode_resource_spans(data)
        reader.done(batch)
    return found


def fits_of(run: Run) -> list[str]:
    return sorted(f"{fit.name} {fit.params['alpha']:.0f}" for fit in run.fits)


FOUR = ["Ridge 1", "Ridge 2", "Ridge 3", "Ridge 4"]


@pytest.mark.parametrize(
    ("way", "arguments"),
    [
        ("by_loky", ()),
        *[(way, (method,)) for way in ("by_executor", "by_pool") for method in ("fork", "spawn")],
        *[("by_process", (method,)) for method in ("fork", "spawn", "forkserver")],
        ("by_nested_pools", ()),
        ("by_subprocess", ()),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else value,
)
def test_what_others_train_belongs_to_the_run(store: Place, way: str, arguments: tuple[str, ...]) -> None:
    ended = store.run(WAYS, way, *arguments, env=QUICK)
    assert ended.returncode == 0, ended.err
    assert ended.err == ""
    spans = spans_of(store)
    assert {span.trace_id for span in spans} == {spans[0].trace_id}
    assert {span.attributes[sc.RUN_ID] for span in spans} == {spans[0].attributes[sc.RUN_ID]}
    assert len({span.attributes[sc.SEGMENT] for span in spans}) == 1
    types = Counter(span.attributes[sc.SPAN_TYPE] for span in spans)
    assert (types[sc.SpanType.RUN_START], types[sc.SpanType.RUN], types[sc.SpanType.FIT]) == (1, 1, 4)
    [owner] = {s.attributes[sc.WRITER] for s in spans if s.attributes[sc.SPAN_TYPE] == sc.SpanType.RUN}
    fits = [span for span in spans if span.attributes[sc.SPAN_TYPE] == sc.SpanType.FIT]
    assert owner not in {fit.attributes[sc.WRITER] for fit in fits}
    [root] = [span for span in spans if span.attributes[sc.SPAN_TYPE] == sc.SpanType.RUN]
    assert {fit.parent_id for fit in fits} == {root.span_id}
    run = store.only_run()
    assert (run.name, run.state, run.params) == ("main", State.FINISHED, {})
    assert fits_of(run) == FOUR
    assert curve(run, "n") == [(n, float(n)) for n in range(4)]


@pytest.mark.parametrize(
    ("way", "arguments"),
    [("by_loky", ()), ("by_executor", ("spawn",)), ("by_pool", ("spawn",)), ("by_dask", ())],
    ids=["loky", "executor", "pool", "dask"],
)
def test_what_others_train_is_in_the_run_on_a_server(
    store: Place, way: str, arguments: tuple[str, ...]
) -> None:
    """Workers end without a word, so some of it waits on this disk."""
    served = f"sqlite:///{store.folder}/served.db"
    server = Process(served, store.env)
    try:
        ended = store.run(WAYS, way, *arguments, env=QUICK | {"AUTOTRACK_STORE": server.url})
        assert (ended.returncode, "autotrack: " in ended.err) == (0, False), ended.err
        assert sync(store).returncode == 0
    finally:
        server.kill()
    assert spooled(store) == []
    [run] = Store(served).runs()
    assert (run.name, run.state) == ("main", State.FINISHED)
    assert fits_of(run) == FOUR
    assert curve(run, "n") == [(n, float(n)) for n in range(4)]


def test_dask_workers(store: Place) -> None:
    source = (
        WORK
        + """
    if __name__ == "__main__":
        import dask
        from dask.distributed import Client, LocalCluster
        autotrack.enable()
        with autotrack.run("before"):  # its workers outlive it
            cluster = LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None)
        with cluster, Client(cluster) as client:
            with autotrack.run("main") as run:
                future = client.submit(work, 0)
                assert future.key.startswith("work-") and future.key == client.submit(work, 0).key
                assert client.gather([future, *client.map(work, [1, 2])]) == [0, 1, 2]
                assert dask.compute(dask.delayed(work)(3), scheduler="processes") == (3,)
            assert client.submit(work, 4).result() == 4
            autotrack.disable()
            assert client.submit(work, 5, pure=False).result() == 5
    """
    )
    ended = store.run(source, env=QUICK)
    assert ended.returncode == 0, ended.err
    spans = spans_of(store)
    runs = store.runs()
    assert fits_of(runs["main"]) == FOUR
    assert not runs["before"].fits
    of_main = [span for span in spans if span.attributes[sc.RUN_ID] == runs["main"].id]
    assert len({span.attributes[sc.WRITER] for span in of_main}) > 1
    assert len({span.trace_id for span in of_main}) == 1


@pytest.mark.parametrize("has_autotrack", [True, False])
def test_dask_workers_of_another_environment(store: Place, has_autotrack: bool) -> None:
    """Started by somebody else, with autotrack or without."""
    source = (
        WORK
        + """
    import subprocess, sys
    from distributed import Client, LocalCluster

    WORKER = "import sys; from distributed.cli.dask_worker import main; main()"
    WITHOUT = "import sys; sys.modules['autotrack'] = None; "

    if __name__ == "__main__":
        autotrack.enable()
        with LocalCluster(n_workers=0, dashboard_address=None) as cluster:
            arguments = [cluster.scheduler_address, "--no-nanny", "--no-dashboard", "--nthreads=1"]
            begin = "" if sys.argv[1] == "True" else WITHOUT
            worker = subprocess.Popen(
                [sys.executable, "-c", begin + WORKER, *arguments], stderr=subprocess.DEVNULL
            )
            with Client(cluster.scheduler_address) as client, autotrack.run("main"):
                assert client.submit(pow, 2, 3).result(timeout=300) == 8
                assert client.gather(client.map(abs, [-1, -2])) == [1, 2]
                if sys.argv[1] == "True":
                    assert client.gather(client.map(work, range(4))) == [0, 1, 2, 3]
            worker.terminate()
            worker.wait()
    """
    )
    ended = store.run(source, str(has_autotrack), env=QUICK)
    assert ended.returncode == 0, ended.err
    assert fits_of(store.runs()["main"]) == (FOUR if has_autotrack else [])
    assert not [line for line in ended.err.splitlines() if line.startswith("autotrack: what")]


# --- what a worker's end means to the run -----------------------------------------------------------------


ENDLESS = (
    WORK
    + """
    def endless(ready):
        work(0)
        autotrack.flush()
        from sklearn.linear_model import Ridge
        class Slow(Ridge):
            def fit(self, X, y):
                ready.set()
                time.sleep(600)
        Slow().fit([[1.0]], [1.0])

    if __name__ == "__main__":
        autotrack.enable()
        context = multiprocessing.get_context("spawn")
        with autotrack.run("main") as run:
            ready = context.Event()
            worker = context.Process(target=endless, args=[ready], daemon=sys.argv[1] == "parent")
            worker.start()
            ready.wait()
            autotrack.log({"main": 1.0})
            autotrack.flush()
            print(worker.pid, flush=True)
            print("ready", flush=True)
            sys.stdin.readline()
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
            print("killed", flush=True)
            sys.stdin.readline()
"""
)


def test_a_killed_worker_costs_its_open_call_alone(store: Place) -> None:
    process = store.start(ENDLESS, "worker", env=QUICK)
    wait_for(process, "ready")
    assert process.stdin is not None
    process.stdin.write("go on\n")
    process.stdin.flush()
    wait_for(process, "killed")
    run = store.only_run()
    assert (run.state, fits_of(run), values(run, "n")) == (State.RUNNING, ["Ridge 1"], [0.0])
    assert end_of(process, "go on\n").returncode == 0
    assert store.only_run().state is State.FINISHED


def test_a_worker_does_not_keep_a_dead_run_alive(store: Place) -> None:
    process = store.start(ENDLESS, "parent", env=QUICK)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    wait_for(process, "ready")
    process.kill()
    process.wait()
    try:
        assert alive(worker)
        assert store.only_run().state is State.LOST
    finally:
        os.kill(worker, signal.SIGKILL)
    assert store.only_run().state is State.LOST


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_terminated_workers_end_no_run(store: Place, method: str) -> None:
    """SIGTERM, to a process of the user's own and to a pool's, amid what they log."""
    source = (
        WORK
        + """
    def logging_on(ready):
        autotrack.log({"n": 1.0})
        autotrack.flush()
        ready.set()
        time.sleep(600)

    if __name__ == "__main__":
        autotrack.enable()
        context = multiprocessing.get_context(sys.argv[1])
        with autotrack.run("main"):
            autotrack.flush()
            ready = context.Event()
            worker = context.Process(target=logging_on, args=[ready])
            worker.start()
            assert ready.wait(300)
            worker.terminate()
            worker.join()
            with context.Manager() as manager, context.Pool(1) as pool:
                ready = manager.Event()
                pool.apply_async(logging_on, [ready])
                assert ready.wait(300)
            autotrack.flush()
            print("terminated", flush=True)
            sys.stdin.readline()
    """
    )
    process = store.start(source, method, env=QUICK)
    wait_for(process, "terminated")
    run = store.only_run()
    assert (run.state, values(run, "n")) == (State.RUNNING, [1.0, 1.0])
    ended = end_of(process, "go on\n")
    assert ended.returncode == 0, ended.err
    assert store.only_run().state is State.FINISHED


def test_a_run_that_ends_before_its_worker(store: Place) -> None:
    source = (
        WORK
        + """
    def late(ended):
        ended.wait()
        work(0)

    if __name__ == "__main__":
        autotrack.enable()
        context = multiprocessing.get_context("spawn")
        ended = context.Event()
        with autotrack.run("main"):
            worker = context.Process(target=late, args=[ended])
            worker.start()
        ended.set()
        worker.join()
    """
    )
    assert store.run(source, env=QUICK).returncode == 0
    spans = spans_of(store)
    by_writer: dict[str, list[SpanRecord]] = {}
    for span in spans:
        by_writer.setdefault(span.attributes[sc.WRITER], []).append(span)
    assert len(by_writer) == 2
    for n, order in enumerate(permutations([*by_writer.values(), spans[:1], spans[-1:]])):
        backend = SqliteBackend(f"sqlite:///{store.folder}/{n}.db")
        seen = []
        for part in order:
            backend.write(part)
            [row] = backend.runs(limit=9)
            seen.append(row.state)
        assert set(seen) <= {None, State.FINISHED}
        assert row.state == State.FINISHED
        assert len(backend.fits(row.id)) == 1
        backend.close()
    assert curve(store.only_run(), "n") == [(0, 0.0)]


# --- processes of one's own -------------------------------------------------------------------------------


def test_a_script_with_runs_of_its_own(store: Place) -> None:
    (store.folder / "train.py").write_text(
        "import autotrack\n"
        "autotrack.enable()\n"
        "from sklearn.linear_model import Ridge\n"
        "assert autotrack.active_run() is not None\n"
        "with autotrack.run('own'):\n"
        "    Ridge(alpha=2.0).fit([[1.0], [2.0]], [1.0, 2.0])\n"
    )
    ended = store.run(
        """
        import subprocess, sys
        import autotrack
        autotrack.enable(experiment="parents")
        with autotrack.run("main"):
            subprocess.run([sys.executable, "train.py"], check=True)
        subprocess.run([sys.executable, "-c", "import autotrack; autotrack.log({'a': 1})"], check=True)
        """,
        env=QUICK,
    )
    assert ended.returncode == 0, ended.err
    trace = {s.attributes[sc.RUN_ID]: s.trace_id for s in spans_of(store)}
    runs = store.runs()
    own, main = runs["own"], runs["main"]
    assert (own.parent, own.state, own.experiment) == (main.id, State.FINISHED, "parents")
    assert trace[own.id] == trace[main.id]
    assert own.params["alpha"] == 2.0
    assert (len(main.fits), main.params) == (0, {})
    [other] = runs.keys() - {"own", "main"}
    assert runs[other].parent is None


@pytest.mark.parametrize(
    ("environment", "gets"),
    [("None", True), ("{**os.environ, 'A': 'b'}", True), ("{'PATH': ''}", False), ("{}", False)],
)
def test_who_chose_an_environment_gets_that(tracking: Tracking, environment: str, gets: bool) -> None:
    command = [sys.executable, "-c", "import os; print(os.environ.get('AUTOTRACK_RUN_ID'))"]
    given = eval(environment)
    before = None if given is None else dict(given)
    tracking.enable()
    with autotrack.run("main") as run:
        said = subprocess.run(command, env=given, capture_output=True, text=True, check=True).stdout
        variables = run.environment()
    assert said.strip() == (run.id if gets else "None")
    assert given == before
    assert variables["AUTOTRACK_RUN_ID"] == run.id
    said = subprocess.run(command, env=given, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "None"


def test_a_thread_in_a_child_with_a_run_of_its_own(store: Place) -> None:
    (store.folder / "child.py").write_text(
        "import threading\n"
        "import autotrack\n"
        "autotrack.enable()\n"
        "def log(n):\n"
        "    thread = threading.Thread(target=autotrack.log, args=[{'n': n}])\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "log(1.0)\n"
        "with autotrack.run('own'):\n"
        "    log(2.0)\n"
    )
    ended = store.run(
        """
        import subprocess, sys
        import autotrack
        autotrack.enable()
        with autotrack.run("main"):
            subprocess.run([sys.executable, "child.py"], check=True)
        """,
        env=QUICK,
    )
    assert ended.returncode == 0, ended.err
    assert {name: values(run, "n") for name, run in store.runs().items()} == {"main": [1.0], "own": [2.0]}


def test_a_child_inherits_what_only_c_knows(store: Place) -> None:
    """A library in C, as MPI, sets variables that `os.environ` does not show, and takes some away."""
    ended = store.run(
        """
        import os, subprocess, sys
        import autotrack
        os.environ["TAKEN"] = "1"
        os.putenv("ONLY_IN_C", "ü=1")
        os.unsetenv("TAKEN")
        program = "import os; print(os.environ.get('ONLY_IN_C'), os.environ.get('TAKEN'), len(os.environ))"
        command = [sys.executable, "-X", "utf8", "-c", program]
        before = subprocess.run(command, capture_output=True, check=True).stdout.decode().split()
        autotrack.enable()
        with autotrack.run("main"):
            during = subprocess.run(command, capture_output=True, check=True).stdout.decode().split()
        assert before[:2] == during[:2] == ["ü=1", "None"], (before, during)
        assert int(during[2]) > int(before[2])
        """,
        env=QUICK,
    )
    assert ended.returncode == 0, ended.err


def test_an_environment_handed_on_by_hand(store: Place) -> None:
    ended = store.run(
        """
        import os, sys
        import autotrack
        program = [sys.executable, "-c", "import autotrack; autotrack.log({'a': 1.0})"]
        with autotrack.run("main") as run:
            status = os.spawnve(os.P_WAIT, sys.executable, program, {**os.environ, **run.environment()})
        sys.exit(status)
        """,
        env=QUICK,
    )
    assert ended.returncode == 0, ended.err
    assert values(store.only_run(), "a") == [1.0]


@pytest.mark.parametrize("run_id", ["nonsense", "0" * 31, "g" * 32])
def test_an_id_that_is_none(store: Place, run_id: str) -> None:
    ended = store.run(
        "import autotrack\nautotrack.log({'a': 1.0})", env={**QUICK, "AUTOTRACK_RUN_ID": run_id}
    )
    assert ended.returncode == 0
    assert "is no run's id" in ended.err
    assert store.only_run().state is State.FINISHED


def test_another_store_is_not_the_runs(store: Place) -> None:
    env = {**QUICK, "AUTOTRACK_RUN_ID": "0" * 32}
    ended = store.run(
        "import autotrack\nautotrack.enable(store='sqlite:///other.db')\nautotrack.log({'a': 1})", env=env
    )
    assert ended.returncode == 0
    assert not list(store.open().runs())


def test_a_child_records_where_its_parent_does(store: Place) -> None:
    """Here in a file alone: nothing goes to the user's own store."""
    ended = store.run(
        """
        import os, subprocess, sys
        import autotrack
        os.environ["AUTOTRACK_EXPORTERS"] = "console"
        os.mkdir("elsewhere")
        autotrack.enable(store=None, exporters=["file"], file_path="spans.jsonl")
        with autotrack.run("main"):
            child = "import autotrack; autotrack.enable(); autotrack.log({'child': 1.0})"
            subprocess.run([sys.executable, "-c", child], check=True, cwd="elsewhere")
        """,
        env=QUICK,
    )
    assert ended.returncode == 0, ended.err
    assert ended.out == ""
    written = [path.read_text() for path in store.folder.glob("spans-*.jsonl")]
    assert len(written) == 2
    [child] = [text for text in written if '"ml.metrics' in text and "child" in text]
    runs = [set(re.findall(r'"ml.run.id", *"value": *{"stringValue": *"(\w+)"', text)) for text in written]
    assert len(runs[0]) == 1
    assert runs[0] == runs[1]
    assert "run.start" not in child
    assert not list(store.folder.rglob("*.db-spool"))


@pytest.mark.parametrize("told", ["store=None, exporters=['file']", "exporters=['file']", "store='none'"])
def test_other_targets_are_not_the_runs(store: Place, told: str) -> None:
    ended = store.run(
        f"""
        import subprocess, sys
        import autotrack
        autotrack.enable()
        with autotrack.run("main"):
            child = "import autotrack; autotrack.enable({told}); print(autotrack.active_run())"
            subprocess.run([sys.executable, "-c", child], check=True)
        """,
        env=QUICK,
    )
    assert (ended.returncode, ended.out.strip()) == (0, "None"), ended.err
    assert store.only_run().name == "main"


def test_variables_that_say_little_or_nonsense() -> None:
    assert origin_in({}, "x") is None
    alone = {"AUTOTRACK_RUN_ID": "A" * 32}
    assert (origin_in(alone, "x"), resumed_in(alone)) == (None, "a" * 32)
    for traceparent in ("", "nonsense", f"00-{'0' * 32}-{'0' * 16}-01"):
        odd = {"AUTOTRACK_RUN_ID": "a" * 32, "TRACEPARENT": traceparent, "AUTOTRACK_RUN_SEGMENT": "9" * 19}
        found = origin_in(odd, "x")
        assert found is not None
        assert resumed_in(odd) is None
        assert (found.run_id, found.experiment) == ("a" * 32, "x")
        assert min(found.trace_id, found.span_id) > 0
        assert found.segment == 0
    assert origin_in(found.environment(Options(store="sqlite:///x")), "x") == found


TRACED = """
    def traced(n):
        import os
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        with TracerProvider().get_tracer("app").start_as_current_span(f"{os.getpid()}-{n}"):
            pass
        return os.getpid()
"""


def test_spans_of_the_users_in_other_processes(store: Place) -> None:
    """Of a task, of what a task forks, and of a process that is in the run as a whole."""
    ended = store.run(
        WORK
        + TRACED
        + """
    def forking(n):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            pid = pool.apply(traced, (n,))
            pool.close()
            pool.join()
        return pid

    if __name__ == "__main__":
        autotrack.enable()
        with autotrack.run("main"):
            with concurrent.futures.ProcessPoolExecutor(
                1, mp_context=multiprocessing.get_context("spawn")
            ) as executor:
                print(executor.submit(traced, 0).result(), executor.submit(forking, 1).result())
            program = "import autotrack, script; autotrack.enable(); print(script.traced(2))"
            subprocess.run([sys.executable, "-c", program], check=True)
    """,
        env=QUICK,
    )
    assert ended.returncode == 0, ended.err
    wanted = {f"{pid}-{n}" for n, pid in enumerate(ended.out.split())}
    backend = store.open().backend
    run = store.only_run()
    assert {s.name for s in backend.spans(run.id) if sc.SPAN_TYPE not in s.attributes} == wanted


def test_the_runs_used_last_are_remembered(tracking: Tracking) -> None:
    tracking.enable()
    joined = autotrack._enable.recorder().joined
    origins = [Origin(f"{n:032x}", 0, 1, 1 + n, "x") for n in range(MOST + 1)]
    first, second = (joined.of(origin) for origin in origins[:2])
    for origin in origins[2:MOST]:
        joined.of(origin)
    assert joined.of(origins[0]) is first
    joined.of(origins[MOST])
    assert joined.of(origins[0]) is first
    assert joined.of(origins[1]) is not second


# --- tasks ------------------------------------------------------------------------------------------------


def settled(found: Callable[[], Any], wanted: Any) -> None:
    """Workers of a pool that lives on write within their flush interval."""
    wait_until(lambda: found() == wanted)
    assert found() == wanted


def fit(alpha: float) -> float:
    return float(Ridge(alpha=alpha).fit([[1.0], [2.0]], [1.0, 2.0]).coef_[0])


def test_workers_outlive_runs_and_record_only_for_them(tracking: Tracking) -> None:
    """loky keeps its workers: each task belongs to the run that it was handed over in, or to none."""
    both = joblib.Parallel(2)
    plain = both(joblib.delayed(fit)(a) for a in (1.0, 2.0))
    tracking.enable()
    with autotrack.run("first"):
        assert both(joblib.delayed(fit)(a) for a in (1.0, 2.0)) == plain
    assert both(joblib.delayed(fit)(a) for a in (5.0, 6.0))
    with autotrack.run("second"):
        both(joblib.delayed(fit)(a) for a in (3.0, 4.0))
    autotrack.disable()
    with autotrack.run("third"):
        both(joblib.delayed(fit)(a) for a in (7.0, 8.0))

    def recorded() -> dict[str, list[str]]:
        return {run.name: fits_of(run) for run in tracking.runs()}

    settled(recorded, {"first": FOUR[:2], "second": FOUR[2:], "third": []})


def broken(x: float) -> float:
    raise ArithmeticError(f"no {x}")


def test_tasks_raise_what_they_raised_and_refuse_what_they_refused(tracking: Tracking) -> None:
    tracking.enable()
    context = multiprocessing.get_context("spawn")
    with autotrack.run("main"), concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        with pytest.raises(ArithmeticError, match=r"^no 1.0$"):
            executor.submit(broken, 1.0).result()
        with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
            executor.submit(lambda: None).result()
        assert executor.submit(dict, a=1).result() == {"a": 1}
        assert executor.submit(partial(fit, 1.0)).result() == fit(1.0)


def test_what_a_fold_trains_inside_is_not_told(tracking: Tracking) -> None:
    from sklearn.ensemble import BaggingRegressor

    X, y = np.arange(40.0).reshape(20, 2), np.arange(20.0)
    tracking.enable()
    from sklearn.model_selection import cross_val_score

    plain = cross_val_score(BaggingRegressor(Ridge(), 3, random_state=0), X, y, cv=2)
    parallel = cross_val_score(BaggingRegressor(Ridge(), 3, random_state=0), X, y, cv=2, n_jobs=2)
    assert (parallel == plain).all()
    settled(
        lambda: [[fit.name for fit in run.fits] for run in tracking.runs()], [["BaggingRegressor"] * 2] * 2
    )


def test_threads_of_an_executor_keep_the_run_of_their_task(tracking: Tracking) -> None:
    """Two runs are open, so a thread could not know."""
    tracking.enable(sklearn={"log_model": False})
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        with autotrack.run("first"):
            executor.submit(autotrack.log, {"a": 1.0}).result()
            with autotrack.run("second"):
                executor.submit(autotrack.log, {"a": 2.0}).result()
                executor.submit(LinearRegression().fit, [[1.0], [2.0]], [1.0, 2.0]).result()
        executor.submit(autotrack.log, {"a": 3.0}).result()
    runs = {run.name: run for run in tracking.runs()}
    assert (values(runs["first"], "a"), values(runs["second"], "a")) == ([1.0], [2.0])
    assert runs["second"].params["fit_intercept"] is True


def test_what_is_no_plain_function_stays_itself(tracking: Tracking) -> None:
    async def coroutine() -> None: ...

    tracking.enable()
    with autotrack.run("main"):
        assert carried(coroutine) is coroutine
        assert carried(dict) is dict
        assert carried(None) is None
        task: Any = carried(fit)
        assert task is not fit
        assert (carried(task), task.__name__, pickle.loads(pickle.dumps(task))) == (task, "fit", fit)
    assert carried(fit) is fit


class Unbound:
    """As a proxy of a request or an application is, outside of one: it can be called, not looked at."""

    def __call__(self) -> int:
        return 1

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"unbound: {name}")


def test_a_proxy_that_refuses_to_be_looked_at(tracking: Tracking) -> None:
    tracking.enable()
    fork = multiprocessing.get_context("fork")
    with autotrack.run("main"), concurrent.futures.ThreadPoolExecutor(1) as threads, fork.Pool(1) as pool:
        assert threads.submit(Unbound()).result() == 1
        with pytest.raises(Exception, match=r"unbound: __reduce"):  # what pickle says of it
            pool.apply(Unbound())
        process = fork.Process(target=Unbound())
        process.start()
        process.join()
        assert process.exitcode == 0


OWNERS = (
    subprocess.Popen,
    multiprocessing.process.BaseProcess,
    multiprocessing.pool.Pool,
    concurrent.futures.ThreadPoolExecutor,
    concurrent.futures.process.ProcessPoolExecutor,
)


def members() -> list[dict[str, int]]:
    """By identity: a patched function equals the one that it wraps."""
    return [{name: id(member) for name, member in vars(owner).items()} for owner in OWNERS]


def test_switched_off_everything_is_as_it_was(tracking: Tracking) -> None:
    before = members()
    for _ in range(2):
        tracking.enable()
        assert members() == before
        autotrack.run("main").end()
        assert all(now != then for now, then in zip(members(), before, strict=True))
        autotrack.disable()
        assert members() == before


def test_enabling_patches_nothing_and_a_run_loads_no_pool(store: Place) -> None:
    ended = store.run("""
        import sys
        import autotrack
        autotrack.enable()
        print(*{"wrapt", "asyncio"} & set(sys.modules))
        with autotrack.run("main"):
            print(*{"multiprocessing.pool", "concurrent.futures.process", "joblib"} & set(sys.modules))
    """)
    assert ended.out.split() == []
