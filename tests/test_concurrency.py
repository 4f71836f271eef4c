"""Many processes write and read one store at the same time: no errors, nothing lost, states true."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from subprocess import Popen
from typing import Any

import numpy as np

from autotrack import locations
from autotrack.spool import SpoolWriter
from autotrack.states import State
from autotrack.store import Store

from .scripts import Place, end_of, wait_for

WRITERS = 8
POINTS = 20_000

WRITE = """
    import sys, time
    import autotrack
    autotrack.enable()
    n, points = int(sys.argv[1]), int(sys.argv[2])
    print("ready", flush=True)
    sys.stdin.readline()  # all begin together
    with autotrack.run(f"writer {n}", params={"n": n}) as run:
        for i in range(points):
            autotrack.log({"value": n * 1e6 + i, "minus": -float(i)}, step=i)
            if i % 100 == 0:
                time.sleep(0.005)
        run.set_tags({"through": "yes"})
"""

READ = """
    import json, sys, threading
    import numpy as np
    from autotrack.store import Store

    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    store = Store(sys.argv[1])
    reads, states, grown = 0, set(), {}
    print("ready", flush=True)
    while not stop.is_set():
        for run in store.runs():
            states.add(str(run.state))
            if "value" not in run.metrics:
                continue
            n = run.params["n"]
            for name, factor, offset in (("value", 1, n * 1e6), ("minus", -1, 0)):
                points = run.points(name)
                steps = np.arange(len(points))
                assert (points.step == steps).all(), (run, name, "has holes")
                assert (points.value == factor * steps + offset).all(), (run, name, "is wrong")
                seen = grown.get((run.id, name), 0)
                assert len(points) >= max(seen, run.summaries[name].count), (run, name, "shrank")
                grown[run.id, name] = len(points)
        reads += 1
    print(json.dumps({"reads": reads, "states": sorted(states)}))
"""

SHORT = """
    import sys, time
    import autotrack
    with autotrack.run("short"):
        autotrack.log({"a": 1.0})
        autotrack.flush()
        time.sleep(float(sys.argv[1]))
"""

QUIET = {"AUTOTRACK_QUIET": "1", "AUTOTRACK_FLUSH_INTERVAL": "0.05"}


def write_and_read(store: Place, writers: int, points: int, readers: int) -> list[dict[str, Any]]:
    """What the readers say that ran while all writers wrote; nobody may have complained."""
    reading = [store.start(READ, store.url, name="reader") for _ in range(readers)]
    writing = [store.start(WRITE, n, points, name="writer", env=QUIET) for n in range(writers)]
    for process in (*reading, *writing):
        wait_for(process, "ready")
    go(writing)
    for process in writing:
        ended = end_of(process)
        assert (ended.returncode, ended.err) == (0, "")
    go(reading)
    said = []
    for process in reading:
        ended = end_of(process)
        assert (ended.returncode, ended.err) == (0, "")
        said.append(json.loads(ended.out))
    return said


def go(processes: Sequence[Popen[str]]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def assert_complete(store: Place, writers: int, points: int) -> None:
    runs = store.runs()
    assert set(runs) == {f"writer {n}" for n in range(writers)}
    steps = np.arange(points)
    for n in range(writers):
        run = runs[f"writer {n}"]
        assert (run.state, run.params, run.tags) == (State.FINISHED, {"n": n}, {"through": "yes"})
        for name, expected in (("value", n * 1e6 + steps), ("minus", -1.0 * steps)):
            found = run.points(name)
            np.testing.assert_array_equal(found.step, steps)
            np.testing.assert_array_equal(found.value, expected)
            assert (np.diff(found.time) > 0).all()
            summary = run.summaries[name]
            assert (summary.count, summary.non_finite) == (points, 0)
            assert (summary.min, summary.max) == (expected.min(), expected.max())
            assert summary.last == expected[-1]
    spool = store.folder / "runs.db-spool"
    assert [path.name for path in spool.iterdir()] == ["store.lock"]  # consumed and deleted
    assert not (store.folder / "data" / "autotrack").exists()


def test_eight_writers_and_a_reader(store: Place) -> None:
    [reader] = write_and_read(store, WRITERS, POINTS, readers=1)
    assert reader["reads"] > 3
    assert set(reader["states"]) <= {"running", "finished"}
    assert_complete(store, WRITERS, POINTS)


def test_two_readers_that_drain_at_once(store: Place) -> None:
    readers = write_and_read(store, writers=3, points=10_000, readers=2)
    assert all(reader["reads"] > 3 for reader in readers)
    assert {state for reader in readers for state in reader["states"]} <= {"running", "finished"}
    assert_complete(store, 3, 10_000)


def test_many_readers_of_a_spool_that_nobody_has_drained(store: Place) -> None:
    """All of them find no database and make it."""
    writing = [store.start(WRITE, n, 5000, name="writer", env=QUIET) for n in range(2)]
    for process in writing:
        wait_for(process, "ready")
    go(writing)
    for process in writing:
        assert end_of(process).returncode == 0
    reading = [store.start(READ, store.url, name="reader") for _ in range(4)]
    for process in reading:
        wait_for(process, "ready")
    time.sleep(0.5)
    go(reading)
    for process in reading:
        ended = end_of(process)
        assert (ended.returncode, ended.err) == (0, "")
    assert_complete(store, 2, 5000)


def test_each_of_threads_that_drain_knows_who_lives(store: Place) -> None:
    """What the reader of a spool has seen is the next thread's once the lock is free."""
    writer = SpoolWriter(locations.homes(store.url)[0].spool, "0" * 16)
    writer.append(b"\x0a\x00")  # a resource without spans
    shared = Store(store.url)
    living: set[str] = set()
    for _ in shared.draining(living):  # who reads what a batch brought asks whether its writer lives
        assert living == {"0" * 16}
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: frozenset(shared.drain()), range(200)))
    writer.close()
    assert set(found) == {frozenset({"0" * 16})}


def test_threads_that_share_a_store(store: Place) -> None:
    writing = store.start(WRITE, 0, 5000, name="writer", env=QUIET)
    wait_for(writing, "ready")
    reading = store.start(
        """
        import sys, time
        from concurrent.futures import ThreadPoolExecutor
        from autotrack.store import Store
        store = Store(sys.argv[1])
        print("ready", flush=True)
        end = time.monotonic() + 1.5
        def read(_):
            while time.monotonic() < end:
                for run in store.runs():
                    assert str(run.state) in ("running", "finished"), run
                    if "value" in run.metrics:
                        assert len(run.points("value")) >= run.summaries["value"].count
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read, range(4)))
    """,
        store.url,
        name="reader",
    )
    wait_for(reading, "ready")
    go([writing])
    for process in (writing, reading):
        ended = end_of(process)
        assert (ended.returncode, ended.err) == (0, "")
    assert_complete(store, 1, 5000)


def test_a_run_that_ends_well_is_never_lost_to_a_reader(store: Place) -> None:
    """Its process goes between the reader's look at the database and its look at the process."""
    many = "import autotrack\nfor i in range(1000):\n  with autotrack.run(str(i)): autotrack.log({'a': 1.0})"
    assert store.run(many, name="many", env=QUIET).returncode == 0
    assert len(store.open().runs()) == 1000  # a long list takes a while to read
    reading = store.start(READ, store.url, name="reader")
    wait_for(reading, "ready")
    for _ in range(2):
        short = [store.start(SHORT, 0.1 * n, name="short", env=QUIET) for n in range(1, 5)]
        for process in short:
            ended = end_of(process)
            assert (ended.returncode, ended.err) == (0, "")
    go([reading])
    ended = end_of(reading)
    assert (ended.returncode, ended.err) == (0, "")
    assert set(json.loads(ended.out)["states"]) <= {"running", "finished"}
    assert len(store.open().runs()) == 1008


def test_readers_that_are_killed_in_the_middle_of_draining(store: Place) -> None:
    writing = [store.start(WRITE, n, 10_000, name="writer", env=QUIET) for n in range(2)]
    for process in writing:
        wait_for(process, "ready")
    go(writing)
    for i in range(6):
        reading = store.start(READ, store.url, name="reader")
        wait_for(reading, "ready")
        time.sleep(0.05 * i)
        reading.kill()
        assert end_of(reading).err == ""
    for process in writing:
        assert end_of(process).returncode == 0
    assert_complete(store, 2, 10_000)


def test_a_writer_is_alive_while_its_segments_roll(store: Place) -> None:
    writing = store.start(
        """
        import sys
        import numpy as np
        import autotrack
        print("ready", flush=True)
        sys.stdin.readline()
        values = np.random.default_rng(0).normal(size=1500).tolist()
        with autotrack.run("wide"):
            for i in range(800):  # a hundred megabytes in segments of four
                autotrack.log({f"m{n}": value + i for n, value in enumerate(values)}, step=i)
                if i % 20 == 0:
                    autotrack.flush()
            print("written", flush=True)
            sys.stdin.readline()
    """,
        env={**QUIET, "AUTOTRACK_SYSTEM_METRICS": "0"},  # on a slow machine there would be samples too
    )
    reading = store.start(
        """
        import json, sys, threading
        from pathlib import Path
        from autotrack.store import Store
        stop = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
        store = Store(sys.argv[1])
        print("ready", flush=True)
        alive, gone = 0, 0
        while not stop.is_set():
            if store.drain():
                alive += 1
            elif alive:
                gone += 1
        print(json.dumps([alive, gone]))
    """,
        store.url,
        name="reader",
    )
    wait_for(writing, "ready")
    wait_for(reading, "ready")
    go([writing])
    wait_for(writing, "written")
    go([reading])
    ended = end_of(reading)
    assert (ended.returncode, ended.err) == (0, "")
    alive, gone = json.loads(ended.out)
    assert alive > 0
    assert gone == 0
    go([writing])
    assert end_of(writing).returncode == 0
    run = store.only_run()
    assert run.state is State.FINISHED
    assert len(run.summaries) == 1500
    assert {summary.count for summary in run.summaries.values()} == {800}


def test_threads_that_write_and_compact_at_once(store: Place) -> None:
    """In a process of its own: two in one connection of SQLite end it."""
    ended = store.run(
        """
        import sys, threading
        from autotrack import semconv as sc
        from autotrack.backends.sqlite import SqliteBackend
        from autotrack.testing.histories import ours

        backend = SqliteBackend(sys.argv[1])

        def work(number):
            run, writer = f"{number:032x}", f"{number:016x}"
            for i in range(1, 101):
                told = {sc.METRICS_STEP: (i,), sc.METRICS_TIME: (i,), sc.METRICS_VALUE_PREFIX + "x": (1.0,)}
                backend.write([ours("metrics", run, 1, writer, (i,), told, 1)])
                backend.compact()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(sorted(len(backend.points(f"{number:032x}", "x").step) for number in range(1, 5)))
        """,
        store.url,
    )
    assert (ended.returncode, ended.out) == (0, "[100, 100, 100, 100]\n"), ended.err
