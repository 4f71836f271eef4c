"""What can go wrong: training never notices, nothing is lost that need not be, one line says so."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import sqlite3
import struct
import sys
import zlib
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from autotrack import artifacts, catalog
from autotrack.errors import NewerStore, StoreError
from autotrack.locations import homes
from autotrack.otlp.encode import encode_resource_spans
from autotrack.spool import SpoolReader, SpoolWriter
from autotrack.states import State
from autotrack.store import Run, Store

from .disks import Disk
from .scripts import Ended, Place, curve, end_line, end_of, values, wait_for

TRAIN = """
    import autotrack
    autotrack.enable()
    with autotrack.run("train", params={"lr": 0.1}):
        for i in range(100):
            autotrack.log({"loss": float(i)})
    print("result")
"""


def assert_trained(ended: Ended, points: int = 100) -> str:
    """Training was not touched; returns the one line beside the one that ends the script."""
    assert (ended.returncode, ended.out) == (0, "result\n"), ended.err
    [problem, last] = ended.err.splitlines()
    assert problem.startswith("autotrack: ")
    assert last == end_line("1 finished", points)
    return problem


def assert_stored(run: Run) -> None:
    """What `TRAIN` logged."""
    assert (run.name, run.state, run.params) == ("train", State.FINISHED, {"lr": 0.1})
    assert curve(run, "loss") == [(i, float(i)) for i in range(100)]


# --- folders that cannot be written ---------------------------------------------------------------


def test_store_below_a_file(store: Place) -> None:
    file = store.folder / "afile"
    file.write_text("not a folder")
    url = f"sqlite:///{file}/runs.db"
    problem = assert_trained(store.run(TRAIN, env={"AUTOTRACK_STORE": url}))
    assert str(file) in problem
    assert "Not a directory" in problem
    with pytest.raises(StoreError, match="afile"):
        Store(url).runs()
    assert file.read_text() == "not a folder"
    file.unlink()
    file.mkdir()
    [run] = Store(url).runs()
    assert_stored(run)


def test_read_only_store(store: Place, disk: Disk) -> None:
    folder = disk("size=8m")
    url = f"sqlite:///{folder}/runs.db"
    disk("ro")
    problem = assert_trained(store.run(TRAIN, env={"AUTOTRACK_STORE": url}))
    assert str(folder) in problem
    assert "Read-only file system" in problem
    with pytest.raises(StoreError):
        Store(url).runs()
    disk("rw")
    [run] = Store(url).runs()
    assert_stored(run)


def test_reading_a_store_that_is_read_only(store: Place, disk: Disk) -> None:
    folder = disk("size=8m")
    url = f"sqlite:///{folder}/runs.db"
    assert store.run(TRAIN, env={"AUTOTRACK_STORE": url}).returncode == 0
    assert len(Store(url).runs()) == 1
    disk("ro")
    [run] = Store(url).runs()
    assert_stored(run)
    disk("rw")


def test_spool_folder_that_is_a_file(store: Place) -> None:
    (store.folder / "runs.db-spool").write_text("in the way")
    problem = assert_trained(store.run(TRAIN))
    assert "runs.db-spool" in problem
    assert_stored(store.only_run())


FILL = """
    import os, random
    from pathlib import Path
    import autotrack
    autotrack.enable()
    random.seed(0)
    with autotrack.run("fills the disk") as run:
        for i in range(30):
            for j in range(2000):
                autotrack.log({"noise": random.random(), "i": 2000.0 * i + j}, step=2000 * i + j)
            autotrack.flush()
        Path("weights.bin").write_bytes(random.randbytes(300_000))
        run.log_artifact("weights.bin")
    print("result")
"""


def test_disk_that_is_full_in_the_middle(store: Place, disk: Disk) -> None:
    folder = disk("size=1m")
    url = f"sqlite:///{folder}/runs.db"
    problem = assert_trained(store.run(FILL, env={"AUTOTRACK_STORE": url}), 120_000)
    assert str(folder) in problem
    assert "No space left on device" in problem
    with pytest.raises(StoreError, match="full"):
        Store(url).runs()  # the database would be on that disk too
    disk("size=64m")
    [run] = Store(url).runs()
    assert run.state is State.FINISHED
    points = run.points("i")
    np.testing.assert_array_equal(points.step, np.arange(60_000))
    np.testing.assert_array_equal(points.value, np.arange(60_000.0))
    assert len(run.points("noise")) == 60_000
    weights = (store.folder / "weights.bin").read_bytes()
    assert run.artifact("weights.bin").read_bytes() == weights
    assert not list(store.folder.rglob("rejected"))


def test_files_come_home_once_the_disk_has_room(store: Place, disk: Disk) -> None:
    """Meanwhile another folder has them, and no version is made of what that might lose."""
    folder = disk("size=2m")
    url = f"sqlite:///{folder}/runs.db"
    ended = store.run(
        """
        import os
        from pathlib import Path
        import autotrack

        class Constant:
            def __init__(self):
                self.weights = os.urandom(3 << 20)

            def predict(self, data):
                return [len(self.weights)] * len(data)

        Path("large.bin").write_bytes(os.urandom(3 << 20))
        with autotrack.run("full") as run:
            run.log_artifact("large.bin")
            run.log_model(Constant(), "model")
        """,
        env={"AUTOTRACK_STORE": url},
    )
    assert ended.returncode == 0, ended.err
    [line] = [line for line in ended.said if "takes no files" in line]
    elsewhere = Path(line.rpartition(" in ")[2])
    assert elsewhere.is_dir()
    found = Store(url)
    [run] = found.runs()
    register = partial(catalog.register, found, alias=None, description="", tags={})
    with pytest.raises(StoreError, match="make room"):
        register(f"runs:/{run.id}/model", "constant")
    disk("size=64m")
    found.drain()
    assert not [file for file in elsewhere.rglob("*") if file.is_file()]
    assert len(run.artifact("large.bin").read_bytes()) == 3 << 20
    assert folder in run.artifact("large.bin").parents
    assert register(f"runs:/{run.id}/model", "constant").version == 1


def test_disk_that_has_room_again(store: Place, disk: Disk) -> None:
    """What was written before, meanwhile and after comes together."""
    folder = disk("size=1m")
    url = f"sqlite:///{folder}/runs.db"
    process = store.start(
        """
        import sys
        import autotrack
        with autotrack.run("patient"):
            for i in range(3):
                for j in range(100):
                    autotrack.log({"i": 100.0 * i + j}, step=100 * i + j)
                autotrack.flush()
                print("part", flush=True)
                sys.stdin.readline()
    """,
        env={"AUTOTRACK_STORE": url},
    )
    assert process.stdin is not None
    wait_for(process, "part")
    stuffing = folder / "stuffing"
    with contextlib.suppress(OSError), stuffing.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    process.stdin.write("go on\n")
    process.stdin.flush()
    wait_for(process, "part")
    stuffing.unlink()
    process.stdin.write("go on\n")
    process.stdin.flush()
    wait_for(process, "part")
    assert end_of(process, "go on\n").returncode == 0
    disk("size=64m")
    [run] = Store(url).runs()
    assert curve(run, "i") == [(i, float(i)) for i in range(300)]


def block_all(store: Place) -> dict[str, str]:
    """An environment in which neither the store nor a fallback folder can be written."""
    temporary = Path(store.env["TMPDIR"]) / f"autotrack-{os.getuid()}"
    for place in (store.folder / "afile", store.folder / "no_data", temporary):
        place.write_text("in the way")
    return {
        "AUTOTRACK_STORE": f"sqlite:///{store.folder}/afile/runs.db",
        "XDG_DATA_HOME": str(store.folder / "no_data"),
        "AUTOTRACK_ENVIRONMENT": "no",  # its files would have lines of their own
    }


def test_no_folder_can_be_written(store: Place) -> None:
    ended = store.run(TRAIN, env=block_all(store))
    assert (ended.returncode, ended.out) == (0, "result\n")
    [problem, last] = ended.err.splitlines()
    assert problem.startswith("autotrack: ")
    assert "afile" in problem
    assert "skipped" in last
    assert "no folder" in last
    assert not [path for path in store.folder.rglob("*") if path.suffix in (".otlp", ".db")]


def test_a_folder_that_can_be_written_in_the_end(store: Place) -> None:
    env = block_all(store)
    process = store.start(
        """
        import sys
        import autotrack
        with autotrack.run("patient"):
            for i in range(100):
                autotrack.log({"i": float(i)})
            autotrack.flush()
            print("blocked", flush=True)
            sys.stdin.readline()
            autotrack.log({"i": 100.0})
    """,
        env=env,
    )
    wait_for(process, "blocked")
    (store.folder / "afile").unlink()
    ended = end_of(process, "go on\n")
    assert ended.said[-1] == end_line("1 finished", 101)
    [run] = Store(env["AUTOTRACK_STORE"]).runs()
    assert curve(run, "i") == [(i, float(i)) for i in range(101)]


BEFORE_AND_AFTER = """
    import sys
    import autotrack
    autotrack.enable()
    with autotrack.run("before"):
        autotrack.log({"a": 1.0})
    autotrack.flush()
    print("ready", flush=True)
    sys.stdin.readline()
    with autotrack.run("after"):
        autotrack.log({"a": 2.0})
"""


def test_store_deleted_while_a_process_goes_on(store: Place) -> None:
    """Somebody starts over with `rm -r runs.db*`, and forgets the notebook."""
    process = store.start(BEFORE_AND_AFTER)
    wait_for(process, "ready")
    assert [run.name for run in store.open().runs()] == ["before"]
    for path in store.folder.glob("runs.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert end_of(process, "go on\n").returncode == 0
    run = store.only_run()
    assert (run.name, run.state, values(run, "a")) == ("after", State.FINISHED, [2.0])


@pytest.mark.parametrize("trouble", ["delete", "cut off"])
def test_what_somebody_deletes_from_the_spool_is_told(store: Place, trouble: str) -> None:
    process = store.start(BEFORE_AND_AFTER)
    wait_for(process, "ready")
    spool = store.folder / "runs.db-spool"
    if trouble == "delete":
        shutil.rmtree(spool)
    else:
        [segment] = spool.glob("*.otlp")
        os.truncate(segment, 0)
    ended = end_of(process, "go on\n")
    assert f" bytes in {spool} were deleted by somebody as they were recorded" in ended.said[0]
    assert "skipped 1: a file of the spool that somebody deleted" in ended.said[-1]
    assert "after" in {run.name for run in store.open().runs()}


# --- damage in the spool --------------------------------------------------------------------------

FLUSH_AND_DIE = """
    import os
    import autotrack
    run = autotrack.run("dies")
    for part in range(5):
        for i in range(10):
            run.log({"i": 10.0 * part + i})
        autotrack.flush()
    os._exit(0)
"""


NOTHING_ELSE = {"AUTOTRACK_ENVIRONMENT": "no"}
"""An environment in which a script's own points are all that it writes."""


def frames_of(data: bytes) -> list[bytes]:
    """Whole frames, read by the format's description."""
    frames = []
    while data:
        length, crc = struct.unpack("<II", data[:8])
        assert zlib.crc32(data[8 : 8 + length]) == crc
        frames.append(data[: 8 + length])
        data = data[8 + length :]
    return frames


def rejected(spool: Path) -> list[bytes]:
    folder = spool / "rejected"
    return [path.read_bytes() for path in folder.iterdir()] if folder.exists() else []


@pytest.fixture
def segment(store: Place) -> Path:
    """The only segment of a process that died after five flushes of ten points each."""
    assert store.run(FLUSH_AND_DIE, env=NOTHING_ELSE).returncode == 0
    [found] = (store.folder / "runs.db-spool").glob("*.otlp")
    assert len(frames_of(found.read_bytes())) == 5
    return found


def test_torn_tail_at_every_byte(segment: Path, tmp_path: Path) -> None:
    whole = segment.read_bytes()
    frames = frames_of(whole)
    payloads = [frame[8:] for frame in frames]
    for cut in range(len(whole) - len(frames[-1]), len(whole)):
        folder = tmp_path / f"cut{cut}"
        folder.mkdir()
        (folder / segment.name).write_bytes(whole[:cut])
        reader = SpoolReader(folder, "store")
        found = []
        for batch in reader.batches():
            found += batch.payloads
            reader.done(batch)
        assert found == payloads[:-1]
        tail = whole[len(whole) - len(frames[-1]) : cut]
        assert rejected(folder) == ([tail] if tail else [])
        assert not list(folder.glob("*.otlp*"))
        shutil.rmtree(folder)


@pytest.mark.parametrize("missing", [1, 0.5, -9, -8, -7, -1], ids=str)
def test_torn_tail_in_the_store(store: Place, segment: Path, missing: float) -> None:
    """missing: bytes, a share of the last frame, or (negative) all but so many of its bytes."""
    whole = segment.read_bytes()
    last = len(frames_of(whole)[-1])
    cut = int(last * missing) if missing == 0.5 else int(missing) if missing > 0 else last + int(missing)
    segment.write_bytes(whole[:-cut])
    run = store.only_run()
    assert run.state is State.LOST
    assert curve(run, "i") == [(i, float(i)) for i in range(40)]
    assert rejected(segment.parent) == [whole[-last:-cut]]
    assert not segment.exists()


def test_unfinished_tail_of_a_writer_that_lives(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, "0123456789abcdef")
    writer.append(b"first")
    [segment] = tmp_path.glob("*.otlp")
    frame = struct.pack("<II", 6, zlib.crc32(b"second")) + b"second"
    reader = SpoolReader(tmp_path, "store")
    found = []
    for byte in frame:
        for batch in reader.batches():
            found += batch.payloads
            reader.done(batch)
        assert found == [b"first"]
        with segment.open("ab") as file:
            file.write(bytes([byte]))
    for batch in reader.batches():
        found += batch.payloads
        reader.done(batch)
    assert found == [b"first", b"second"]
    assert rejected(tmp_path) == []
    writer.close()


@pytest.mark.parametrize("place", ["payload", "crc"])
def test_flipped_bit_spoils_one_frame(store: Place, segment: Path, place: str) -> None:
    whole = bytearray(segment.read_bytes())
    frames = frames_of(bytes(whole))
    start = len(frames[0]) + len(frames[1])
    whole[start + {"payload": 100, "crc": 5}[place]] ^= 4
    segment.write_bytes(whole)
    run = store.only_run()
    assert values(run, "i") == [float(i) for i in range(50) if not 20 <= i < 30]
    assert rejected(segment.parent) == [bytes(whole[start : start + len(frames[2])])]


def test_flipped_bit_in_a_frames_length(store: Place, segment: Path) -> None:
    whole = bytearray(segment.read_bytes())
    frames = frames_of(bytes(whole))
    start = len(frames[0]) + len(frames[1])
    whole[start + 2] ^= 0x80
    segment.write_bytes(whole)
    run = store.only_run()
    assert values(run, "i") == [float(i) for i in range(50) if not 20 <= i < 30]
    assert rejected(segment.parent) == [bytes(whole[start : start + len(frames[2])])]


def test_frame_that_is_no_otlp(store: Place, caplog: pytest.LogCaptureFixture) -> None:
    assert store.run(FLUSH_AND_DIE, env=NOTHING_ELSE).returncode == 0
    spool = store.folder / "runs.db-spool"
    writer = SpoolWriter(spool, "f" * 16)
    writer.append(b"\xff\xff this is no protobuf")
    writer.close()
    with caplog.at_level(logging.WARNING):
        run = store.only_run()
    assert values(run, "i") == list(map(float, range(50)))
    assert rejected(spool) == [b"\xff\xff this is no protobuf"]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("size", [0, 1, 7])
def test_segment_without_a_frame(store: Place, segment: Path, size: int) -> None:
    (segment.parent / f"{'a' * 16}-000000.otlp").write_bytes(bytes(size))
    assert values(store.only_run(), "i") == list(map(float, range(50)))
    assert rejected(segment.parent) == ([bytes(size)] if size else [])
    assert not list(segment.parent.glob("*.otlp*"))


@pytest.mark.parametrize(
    "cursor",
    [b"", b"x", b"\0\0\0\0", b"\xff\xfe", b"-1", b"7", b"99999999", b"9" * 30, b"1.5", b" 0 \n"],
    ids=repr,
)
def test_garbage_in_a_cursor(store: Place, segment: Path, cursor: bytes) -> None:
    segment.with_name(f"{segment.name}.store").write_bytes(cursor)
    assert values(store.only_run(), "i") == list(map(float, range(50)))
    assert rejected(segment.parent) == []
    assert not list(segment.parent.glob("*.otlp*"))


def test_spool_that_was_read_before_comes_again(store: Place, segment: Path) -> None:
    """A backup is put back, or the machine stops between the commit and the cursor."""
    whole = segment.read_bytes()
    for _ in range(2):
        segment.write_bytes(whole)
        run = store.only_run()
        assert values(run, "i") == list(map(float, range(50)))
        assert run.summaries["i"].count == 50


def test_segment_that_cannot_be_read(store: Place, segment: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One of another user, or on a bad sector: it does not keep the others from being read."""
    (segment.parent / "0.otlp").mkdir()  # root may read every file, but not a folder
    (segment.parent / "README.txt").write_text("hello")
    with caplog.at_level(logging.WARNING):
        run = store.only_run()
    assert values(run, "i") == list(map(float, range(50)))
    assert len(caplog.records) == 1
    assert (segment.parent / "README.txt").read_text() == "hello"


def test_span_that_no_database_takes(store: Place, segment: Path) -> None:
    """A frame that is whole, but whose times are beyond int64: it does not block what comes after."""
    context = SpanContext(1, 2, is_remote=False)
    odd = ReadableSpan("odd", context, resource=Resource({}), start_time=2**64 - 2, end_time=2**64 - 1)
    writer = SpoolWriter(segment.parent, "0" * 16)
    for frame in encode_resource_spans([odd]):
        writer.append(frame)
    writer.close()
    assert values(store.only_run(), "i") == list(map(float, range(50)))
    assert not list(segment.parent.glob("*.otlp*"))


# --- stores that cannot be used -------------------------------------------------------------------


def test_store_of_a_newer_autotrack(store: Place) -> None:
    assert store.run(TRAIN.replace('"train"', '"first"')).returncode == 0
    reader = store.open()
    assert len(reader.runs()) == 1

    def set_version(version: str) -> None:
        with contextlib.closing(sqlite3.connect(store.folder / "runs.db")) as db, db:
            db.execute("UPDATE autotrack_version SET version_num = ?", (version,))

    def contents() -> list[str]:
        with contextlib.closing(sqlite3.connect(store.folder / "runs.db")) as db:
            return list(db.iterdump())

    with contextlib.closing(sqlite3.connect(store.folder / "runs.db")) as db:
        [(version,)] = db.execute("SELECT version_num FROM autotrack_version")
    set_version("ffff")
    with pytest.raises(NewerStore, match="pip install -U autotrack"):
        store.open().runs()
    ended = store.run(TRAIN)
    assert (ended.returncode, ended.out) == (0, "result\n")
    assert ended.err == end_line("1 finished", 100) + "\n"
    before = contents()
    for _ in range(2):
        with pytest.raises(NewerStore, match="ffff"):
            store.open().runs()
    with pytest.raises(NewerStore):
        store.open().run("0")
    with pytest.raises(NewerStore):
        reader.runs()  # was open when the newer one came
    assert contents() == before
    set_version(version)
    runs = store.runs()
    assert set(runs) == {"first", "train"}
    assert_stored(runs["train"])


def test_store_that_is_no_database(store: Place) -> None:
    database = store.folder / "runs.db"
    database.write_bytes(b"These are my notes. " * 1000)
    ended = store.run(TRAIN)
    assert (ended.returncode, ended.out) == (0, "result\n")
    assert ended.err == end_line("1 finished", 100) + "\n"
    for _ in range(2):
        with pytest.raises(StoreError, match=r"runs\.db"):
            store.open().runs()
    assert database.read_bytes() == b"These are my notes. " * 1000
    database.unlink()
    assert_stored(store.only_run())


def test_store_that_is_a_folder(store: Place) -> None:
    (store.folder / "runs.db").mkdir()
    assert store.run(TRAIN).returncode == 0
    with pytest.raises(StoreError, match=r"runs\.db"):
        store.open().runs()
    (store.folder / "runs.db").rmdir()
    assert_stored(store.only_run())


@pytest.mark.parametrize("train", [True, False], ids=["written", "only read"])
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_database_of_another_application(store: Place, train: bool, journal: str) -> None:
    database = store.folder / "runs.db"
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        db.execute(f"PRAGMA journal_mode={journal}")
        db.execute("CREATE TABLE photos (name TEXT)")
        db.execute("INSERT INTO photos VALUES ('cat.jpg')")
    if train:
        assert store.run(TRAIN).returncode == 0
    before = database.read_bytes()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"runs\.db"):
            store.open().runs()
    assert database.read_bytes() == before
    beside = {path.name for path in store.folder.glob("runs.db*")}
    assert beside == {"runs.db"} | ({"runs.db-spool", "runs.db-artifacts"} if train else set())
    database.unlink()
    if train:
        assert_stored(store.only_run())


def test_empty_file_as_a_store(store: Place) -> None:
    (store.folder / "runs.db").touch()
    assert list(store.open().runs()) == []
    assert store.run(TRAIN).returncode == 0
    assert_stored(store.only_run())


def test_no_store_yet(store: Place) -> None:
    before = sorted(store.folder.rglob("*"))
    assert list(store.open().runs()) == []
    assert list(Store(f"sqlite:///{store.folder}/not/there/runs.db").runs()) == []
    assert sorted(store.folder.rglob("*")) == before


def test_fallbacks_are_below_the_users_folders(store: Place) -> None:
    """The tests above must not litter the machine."""
    for home in homes(store.url):
        for folder in (home.spool, home.artifacts):
            assert folder.is_relative_to(store.folder) or folder.is_relative_to(store.env["TMPDIR"])


def test_a_file_that_rotted_is_not_brought_home(tmp_path: Path) -> None:
    """Each reader would bring it anew, under another name."""
    home, other = tmp_path / "home", tmp_path / "other"
    good, bad = (artifacts.put(data, [other]) for data in (b"good", b"bad"))
    bad.path.write_bytes(b"rotten")
    artifacts.bring(other, home)
    assert [file.sha256 for file in artifacts.stored(home)] == [good.sha256]
    assert bad.path.read_bytes() == b"rotten"


def test_files_come_home_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that writes for all of a server's clients brings them."""
    home, other = tmp_path / "home", tmp_path / "other"
    monkeypatch.setattr(artifacts, "AT_ONCE", 25)
    for number in range(5):
        artifacts.put(bytes([number] * 10), [other])
    left = []
    while any(artifacts.stored(other)):
        artifacts.bring(other, home)
        left.append(len([*artifacts.stored(other)]))
    assert left == [3, 1, 0]


# --- values ---------------------------------------------------------------------------------------

GOOD_VALUES: dict[str, tuple[str, Any]] = {  # what is logged, what is stored
    "float": ("0.1", 0.1),
    "int": ("3", 3.0),
    "true": ("True", 1.0),
    "false": ("False", 0.0),
    "beyond int64": ("2**70", 2.0**70),
    "beyond 2**53": ("2**53 + 1", 2.0**53),
    "nan": ("math.nan", math.nan),
    "inf": ("math.inf", math.inf),
    "-inf": ("-math.inf", -math.inf),
    "-0": ("-0.0", -0.0),
    "least": ("5e-324", 5e-324),
    "greatest": ("sys.float_info.max", sys.float_info.max),
    "Decimal": ("Decimal('0.1')", float(Decimal("0.1"))),
    "Fraction": ("Fraction(1, 3)", float(Fraction(1, 3))),
    "float64": ("np.float64(0.1)", 0.1),
    "float32": ("np.float32(0.1)", float(np.float32(0.1))),
    "float16": ("np.float16(0.1)", float(np.float16(0.1))),
    "longdouble": ("np.longdouble('0.1')", float(np.longdouble("0.1"))),
    "int8": ("np.int8(-128)", -128.0),
    "int64": ("np.int64(-2**63)", -(2.0**63)),
    "uint64": ("np.uint64(2**64 - 1)", 2.0**64),
    "np true": ("np.True_", 1.0),
    "np false": ("np.bool_(False)", 0.0),
    "np nan": ("np.float32('nan')", math.nan),
    "0-d": ("np.array(2.5)", 2.5),
    "0-d float16": ("np.array(0.1, np.float16)", float(np.float16(0.1))),
    "0-d longdouble": ("np.array('0.1', np.longdouble)", float(np.longdouble("0.1"))),
    "0-d bool": ("np.array(True)", 1.0),
    "one element": ("np.array([2.5])", 2.5),
    "one element, 3-d": ("np.array([[[7]]])", 7.0),
    "with __float__": ("Floats()", 1.25),
    "with __index__": ("Indexes()", 12.0),
}
REFUSED_VALUES: dict[str, tuple[str, str]] = {  # what is logged, what the line says of it
    "None": ("None", "is None, not a number"),
    "complex": ("1j", "is complex; log its real and imaginary part"),
    "np complex": ("np.complex64(1j)", "is complex; log its real and imaginary part"),
    "0-d complex": ("np.array(1j)", "is complex; log its real and imaginary part"),
    "list": ("[1.0]", "is a list, not a number"),
    "tuple": ("(1.0,)", "is a tuple, not a number"),
    "dict": ("{'a': 1.0}", "is a dict, not a number"),
    "object": ("object()", "is a object, not a number"),
    "array": ("np.array([1.0, 2.0])", "is a ndarray, not a number"),
    "empty array": ("np.array([])", "is a ndarray, not a number"),
    "raises": ("Raises()", "is a Raises, not a number"),
    "raises on item": ("NoItem()", "is a NoItem, not a number"),
    "10**400": ("10**400", "is too large for a float64"),
    "Decimal sNaN": ("Decimal('sNaN')", "is a Decimal, not a number"),
    "date": ("np.datetime64('2026-01-01')", "is a datetime64, not a number"),
}
LOG_VALUES = """
    import math, sys
    from decimal import Decimal
    from fractions import Fraction
    import numpy as np
    import autotrack

    class Floats:
        def __float__(self): return 1.25
    class Indexes:
        def __index__(self): return 12
    class Raises:
        def __float__(self): raise RuntimeError("no")
    class NoItem:
        @property
        def item(self): raise RuntimeError("no")

    logged = {%s}
    with autotrack.run("values"):
        if sys.argv[1] == "together":
            autotrack.log(logged)
        else:
            for name, value in logged.items():
                autotrack.log({name: value})
    print("result")
"""


def same(a: float, b: float) -> bool:
    """Bit for bit, but any NaN."""
    return struct.pack("d", a) == struct.pack("d", b) or (math.isnan(a) and math.isnan(b))


@pytest.mark.parametrize("how", ["together", "each"])
def test_values(store: Place, how: str) -> None:
    logged = {**GOOD_VALUES, **REFUSED_VALUES, "text": ("'adam'", None), "np text": ("np.str_('sgd')", None)}
    ended = store.run(LOG_VALUES % ", ".join(f"{name!r}: {code}" for name, (code, _) in logged.items()), how)
    assert (ended.returncode, ended.out) == (0, "result\n"), ended.err
    run = store.only_run()
    assert set(run.metrics) == set(GOOD_VALUES)
    for name, (_, expected) in GOOD_VALUES.items():
        [(step, found)] = curve(run, name)
        assert step == 0
        assert same(found, expected), name
        assert run.metrics[name] == expected or math.isnan(expected), name
    assert run.params == {"text": "adam", "np text": "sgd"}
    *problems, last = ended.err.splitlines()
    assert problems == [
        f"autotrack: metric {name!r} {says}: not recorded" for name, (_, says) in REFUSED_VALUES.items()
    ]
    skipped = f"; skipped {len(REFUSED_VALUES)}: "
    assert last.startswith(end_line("1 finished", len(GOOD_VALUES), skipped).partition(skipped)[0] + skipped)


def test_a_value_that_is_refused_every_step_is_one_line(store: Place) -> None:
    ended = store.run("""
        import autotrack
        with autotrack.run("bad"):
            for i in range(1000):
                autotrack.log({"good": float(i), "bad": None})
        print("result")
    """)
    assert (ended.returncode, ended.out) == (0, "result\n")
    reason = "metric 'bad' is None, not a number"
    assert ended.err.splitlines() == [
        f"autotrack: {reason}: not recorded",
        end_line("1 finished", 1000, f"; skipped 1,000: {reason} (1,000x)"),
    ]
    assert curve(store.only_run(), "good") == [(i, float(i)) for i in range(1000)]


def test_values_that_are_not_finite(store: Place) -> None:
    store.run("""
        import autotrack
        with autotrack.run("curve"):
            for value in ("nan", 2, "inf", -3, "-inf", "nan"):
                autotrack.log({"a": float(value), "never finite": float("nan")})
    """)
    run = store.only_run()
    np.testing.assert_array_equal(run.points("a").value, [math.nan, 2, math.inf, -3, -math.inf, math.nan])
    summary = run.summaries["a"]
    assert (summary.min, summary.max, summary.count, summary.non_finite) == (-3, 2, 6, 4)
    assert math.isnan(summary.last)
    summary = run.summaries["never finite"]
    assert (summary.count, summary.non_finite) == (6, 6)
    assert all(map(math.isnan, (summary.min, summary.max, summary.last)))


def test_torch_tensors(store: Place) -> None:
    pytest.importorskip("torch")
    ended = store.run("""
        import torch
        import autotrack
        with autotrack.run("tensors"):
            loss = torch.tensor(0.5, requires_grad=True)
            other = torch.tensor(1.0)
            autotrack.log({"loss": loss, "detached": loss.detach(), "one": torch.tensor([2.5])})
            autotrack.log({"bf16": torch.tensor(1.5, dtype=torch.bfloat16), "bool": torch.tensor(True)})
            autotrack.log({"other": other, "complex": torch.tensor(1j), "vector": torch.ones(3)})
            other += 1
        print("result")
    """)
    assert (ended.returncode, ended.out) == (0, "result\n")
    run = store.only_run()
    assert run.metrics == {"loss": 0.5, "detached": 0.5, "one": 2.5, "other": 1.0, "bf16": 1.5, "bool": 1.0}
    assert len(ended.said) == 3


def test_what_changes_after_it_was_logged(store: Place) -> None:
    ended = store.run("""
        import numpy as np
        import autotrack
        metrics, loss, one = {}, np.array(0.0), np.array([0.0])
        params = {"list": [1]}
        with autotrack.run("changes", params=params) as run:
            params["list"].append(2)
            params["late"] = True
            for i in range(100):
                metrics["i"] = float(i)
                loss += 1
                one -= 1
                autotrack.log(metrics)
                autotrack.log({"loss": loss, "one": one})
                loss += 0.5
            metrics.clear()
            metrics["never"] = 1.0
            loss[...] = one[...] = -1
            settings = {"a": [1]}
            run.log_params(settings)
            settings["a"].append(2)
            settings["b"] = 3
    """)
    assert ended.returncode == 0
    run = store.only_run()
    assert set(run.metrics) == {"i", "loss", "one"}
    assert values(run, "i") == list(map(float, range(100)))
    assert values(run, "loss") == [1 + 1.5 * i for i in range(100)]
    assert values(run, "one") == [-1.0 - i for i in range(100)]
    assert run.params["a"] == "[1]"
    assert "b" not in run.params
    assert "late" not in run.params


def test_a_dict_that_another_thread_changes(store: Place) -> None:
    ended = store.run("""
        import sys, threading
        import autotrack
        sys.setswitchinterval(1e-6)
        metrics, stop = {"a": 1.0}, False
        def change():
            while not stop:
                for i in range(200):
                    metrics[f"m{i}"] = 1.0
                for i in range(200):
                    del metrics[f"m{i}"]
        thread = threading.Thread(target=change)
        thread.start()
        try:
            with autotrack.run("shared"):
                for i in range(2000):
                    autotrack.log(metrics, step=i)
                    autotrack.log({**metrics, "b": 1}, step=i)
        finally:
            stop = True
        print("result")
    """)
    assert (ended.returncode, ended.out) == (0, "result\n"), ended.err


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("autotrack.log([1.0])", "log() takes a dict, not list"),
        ("autotrack.log(None)", "log() takes a dict, not NoneType"),
        ("autotrack.log(5.0)", "log() takes a dict, not float"),
        ("autotrack.log('loss')", "log() takes a dict, not str"),
        ("autotrack.log({('a', 1.0)})", "log() takes a dict, not set"),
        ("autotrack.log_params([1])", "log_params() takes a dict, not list"),
        ("autotrack.set_tags('a')", "set_tags() takes a dict, not str"),
        ("autotrack.log(Broken())", "RuntimeError"),
        ("autotrack.log_params(Broken())", "RuntimeError"),
        ("autotrack.set_tags(Broken())", "RuntimeError"),
        ("autotrack.run('other', params=[1]).log({'a': 1.0})", "takes a dict, not list"),
        ("autotrack.run('other', tags=5).log({'a': 1.0})", "takes a dict, not int"),
        ("autotrack.run('other', params=Broken()).log({'a': 1.0})", "RuntimeError"),
        ("autotrack.log_artifact('not there.txt')", "not there.txt"),
        ("autotrack.log_artifact(None)", "NoneType"),
    ],
)
def test_calls_with_the_wrong_thing(store: Place, code: str, says: str) -> None:
    ended = store.run(f"""
        from collections.abc import Mapping
        import autotrack
        class Broken(Mapping):
            def __len__(self): return 1
            def __iter__(self): raise RuntimeError("broken")
            def __getitem__(self, key): raise RuntimeError("broken")
        autotrack.log({{"good": 1.0}})
        {code}
        print("result")
    """)
    assert (ended.returncode, ended.out) == (0, "result\n"), ended.err
    [problem, _] = ended.err.splitlines()
    assert problem.startswith("autotrack: ")
    assert says in problem
    assert [run.metrics["good"] for run in store.open().runs() if "good" in run.metrics] == [1.0]


def test_other_mappings(store: Place) -> None:
    ended = store.run("""
        from collections import ChainMap, Counter, OrderedDict, defaultdict
        from types import MappingProxyType
        import autotrack
        with autotrack.run("mappings"):
            autotrack.log(OrderedDict(ordered=1.0))
            autotrack.log(Counter("aab"))
            autotrack.log(defaultdict(float, default=3.0))
            autotrack.log(MappingProxyType({"proxy": 4.0}))
            autotrack.log(ChainMap({"chained": 5.0}, {"second": 6.0}))
            autotrack.log({})
            autotrack.log_params(MappingProxyType({"p": 1}))
    """)
    assert ended.err == end_line("1 finished", 7) + "\n"
    run = store.only_run()
    assert run.metrics == {
        "ordered": 1.0, "a": 2.0, "b": 1.0, "default": 3.0, "proxy": 4.0, "chained": 5.0, "second": 6.0,
    }  # fmt: skip
    assert run.params == {"p": 1}


# --- steps ----------------------------------------------------------------------------------------

STEPS: dict[str, list[tuple[int, float]]] = {  # as given for the values 0, 1, 2, …: as stored
    "1, 1, 1, 1": [(1, 0), (1, 1), (1, 2), (1, 3)],
    "3, 2, 1, 0": [(0, 3), (1, 2), (2, 1), (3, 0)],
    "-5, 5, -2**63, 2**63 - 1": [(-(2**63), 2), (-5, 0), (5, 1), (2**63 - 1, 3)],
    "3.0, 4.0, -0.0": [(0, 2), (3, 0), (4, 1)],
    "np.int64(7), np.int8(8), np.uint64(9), np.array(10)": [(7, 0), (8, 1), (9, 2), (10, 3)],
    "np.float64(3), np.float64(4)": [(3, 0), (4, 1)],
    "True, False": [(0, 1), (1, 0)],
    "None, None, 7, None": [(0, 0), (1, 1), (2, 3), (7, 2)],
}


@pytest.mark.parametrize("kind", ["float", "int"])  # a dict of floats takes a shorter way
def test_steps(store: Place, kind: str) -> None:
    ended = store.run(
        """
        import sys
        import numpy as np
        import autotrack
        for given in sys.argv[1:]:
            with autotrack.run(given):
                for i, step in enumerate(eval(given)):
                    autotrack.log({"a": KIND(i)}, step=step)
    """.replace("KIND", kind),
        *STEPS,
    )
    assert ended.err == end_line(f"{len(STEPS)} finished", sum(map(len, STEPS.values()))) + "\n"
    runs = store.runs()
    assert {given: curve(run, "a") for given, run in runs.items()} == STEPS
    assert {given: run.metrics["a"] for given, run in runs.items()} == {
        given: stored[-1][1] for given, stored in STEPS.items()
    }


LOG_STEPS = """
    import autotrack
    with autotrack.run("steps"):
        autotrack.log({"before": 1.0})
        for i, step in enumerate([%s]):
            autotrack.log({"a": %s(i)}, step=step)
        autotrack.log({"after": 1.0})
    print("result")
"""


@pytest.mark.parametrize("kind", ["float", "int"])
@pytest.mark.parametrize(
    "step", ["2**70", "2**63", "-2**63 - 1", "3.5", "'5'", "float('nan')", "float('inf')", "object()"]
)
def test_steps_that_are_none(store: Place, step: str, kind: str) -> None:
    """The points are kept, with their count as the step, and so is everything logged near them."""
    ended = store.run(LOG_STEPS % (f"{step}, {step}, 40", kind))
    problem = assert_trained(ended, 5)
    assert "step" in problem
    assert "count" in problem
    run = store.only_run()
    assert curve(run, "a") == [(0, 0.0), (1, 1.0), (40, 2.0)]
    assert (curve(run, "before"), curve(run, "after")) == ([(0, 1.0)], [(0, 1.0)])


def test_steps_that_are_always_fractions_are_one_line(store: Place) -> None:
    ended = store.run("""
        import autotrack
        with autotrack.run("fractions"):
            for i in range(100):
                autotrack.log({"a": float(i)}, step=i / 10 + 0.05)
        print("result")
    """)
    assert "step 0.05 is not a whole number" in assert_trained(ended)
    assert curve(store.only_run(), "a") == [(i, float(i)) for i in range(100)]


# --- params, tags and names -----------------------------------------------------------------------


def test_params(store: Place) -> None:
    ended = store.run("""
        from pathlib import Path
        import numpy as np
        import autotrack
        class Bad:
            def __repr__(self): raise RuntimeError("no")
        class Fine:
            def __repr__(self): return "Fine(1)"
        def function(): pass
        with autotrack.run("params", params={"first": 1, "replaced": "a"}) as run:
            run.log_params({
                "long": "x" * 10_000, "repr raises": Bad(), "object": Fine(),
                "function": function, "class": Fine,
                "nested": {"a": {"b": [1, 2]}}, "list": [1, "a"], "2**70": 2**70, "-2**70": -2**70,
                "2**63-1": 2**63 - 1, "-2**63": -2**63, "none": None, "true": True, "nan": float("nan"),
                "inf": float("inf"), "float": 0.1,
                "np": np.float32(0.5), "np int": np.int8(3), "0-d": np.array(2.5),
                "path": Path("a/b"), "empty": "", "text": 'a"b\\'c\\n\\0ü\\N{ROCKET}', "surrogate": "\\ud800",
                "bytes": b"a", "array": np.arange(3), "replaced": "b",
            })
            run.set_tags({"number": 5, "none": None, "bad": Bad(), "text": "ü\\0", "long": "y" * 10_000})
        print("result")
    """)
    assert (ended.returncode, ended.out) == (0, "result\n")
    assert ended.err == end_line("1 finished", 0) + "\n"
    run = store.only_run()
    params = dict(run.params)
    assert math.isnan(params.pop("nan"))  # type: ignore[arg-type]
    expected = {
        "first": 1, "replaced": "b",
        "long": "x" * 10_000, "repr raises": "<Bad>", "object": "Fine(1)",
        "function": "function", "class": "Fine",
        "nested": "{'a': {'b': [1, 2]}}", "list": "[1, 'a']", "2**70": str(2**70), "-2**70": str(-(2**70)),
        "2**63-1": 2**63 - 1, "-2**63": -(2**63), "none": "None", "true": True,
        "inf": math.inf, "float": 0.1, "np": 0.5, "np int": 3, "0-d": 2.5,
        "path": "a/b", "empty": "", "text": "a\"b'c\n\0ü\N{ROCKET}", "surrogate": "\\ud800",
        "bytes": "b'a'", "array": "array([0, 1, 2])",
    }  # fmt: skip
    assert params == expected
    assert {name: type(value) for name, value in params.items()} == {
        name: type(value) for name, value in expected.items()
    }
    assert run.tags == {"number": "5", "none": "None", "bad": "<Bad>", "text": "ü\0", "long": "y" * 10_000}


def test_five_thousand_params(store: Place) -> None:
    ended = store.run("""
        import autotrack
        with autotrack.run("many", params={f"a{i}": i for i in range(5000)}) as run:
            run.log_params({f"b{i}": float(i) for i in range(5000)})
            run.set_tags({f"t{i}": i for i in range(5000)})
            run.log_params({f"a{i}": -i for i in range(2500)})
    """)
    assert ended.err == end_line("1 finished", 0) + "\n"
    run = store.only_run()
    assert run.params == {f"a{i}": -i if i < 2500 else i for i in range(5000)} | {
        f"b{i}": float(i) for i in range(5000)
    }
    assert run.tags == {f"t{i}": str(i) for i in range(5000)}


NAMES = {  # as it is given: as it is stored
    "plain": "plain",
    'it\'s "quoted" `so`': 'it\'s "quoted" `so`',
    "train/loss\\x": "train/loss\\x",
    "a.b.c": "a.b.c",
    "😀 ü 漢字": "😀 ü 漢字",
    "e\u0301": "e\u0301",
    "two\nlines\tand\r\n": "two\nlines\tand\r\n",
    "nul\0inside": "nul\0inside",
    "nul at the end\0": "nul at the end\0",
    "lone \ud83d surrogate": "lone \\ud83d surrogate",
    "%s {} ; DROP TABLE run; --": "%s {} ; DROP TABLE run; --",
    " ": " ",
    "": "",
    "x" * 5000: "x" * 5000,
}
OTHER_KEYS = {"3": "3", "2.5": "2.5", "None": "None", "(1, 'a')": "(1, 'a')", "b'a'": "b'a'", "True": "True"}


def test_names(store: Place) -> None:
    ended = store.run(f"""
        import autotrack
        names = {[*NAMES]!a}
        other = [{", ".join(OTHER_KEYS)}]
        everything = {{name: i for i, name in enumerate([*names, *other])}}
        with autotrack.run("names", params=everything, tags=everything):
            autotrack.log({{name: float(i) for name, i in everything.items()}}, step=0)
            for name, i in everything.items():
                autotrack.log({{name: float(i)}}, step=1)
                autotrack.log({{name: i}}, step=2)
    """)
    stored = {name: i for i, name in enumerate([*NAMES.values(), *OTHER_KEYS.values()])}
    assert ended.err == end_line("1 finished", 3 * len(stored)) + "\n"
    run = store.only_run()
    assert run.params == stored
    assert run.tags == {name: str(i) for name, i in stored.items()}
    assert {name: curve(run, name) for name in run.metrics} == {
        name: [(step, float(i)) for step in range(3)] for name, i in stored.items()
    }


def test_names_of_runs_and_experiments(store: Place) -> None:
    ended = store.run(f"""
        import autotrack
        for name in {[name for name in NAMES if name]!a}:
            with autotrack.run(name, experiment=name):
                autotrack.log({{"a": 1.0}})
        with autotrack.run("", experiment=""):
            autotrack.log({{"a": 1.0}})
        with autotrack.run(5, experiment=7):
            autotrack.log({{"a": 1.0}})
    """)
    assert ended.err == end_line(f"{len(NAMES) + 1} finished", len(NAMES) + 1) + "\n"
    runs = store.runs()
    expected = {name: name for name in NAMES.values() if name} | {"script": "tests", "5": "7"}
    assert {name: run.experiment for name, run in runs.items()} == expected
    reader = store.open()
    for name, experiment in expected.items():
        assert [run.name for run in reader.runs(experiment=experiment)] == [name]


# --- many names -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_hundred_thousand_metrics_in_one_call(store: Place) -> None:
    ended = store.run("""
        import autotrack
        metrics = {f"layer/{i}/norm": float(i) for i in range(100_000)}
        with autotrack.run("wide"):
            autotrack.log(metrics)
            autotrack.log({name: value + 1 for name, value in metrics.items()})
    """)
    assert ended.err == end_line("1 finished", 200_000) + "\n"
    run = store.only_run()
    assert run.metrics == {f"layer/{i}/norm": float(i + 1) for i in range(100_000)}
    for i in (0, 1, 50_000, 99_999):
        assert curve(run, f"layer/{i}/norm") == [(0, float(i)), (1, float(i + 1))]


@pytest.mark.slow
def test_a_name_of_its_own_in_each_of_many_calls(store: Place) -> None:
    ended = store.run("""
        import autotrack
        with autotrack.run("wide"):
            for i in range(20_000):
                autotrack.log({f"layer/{i}/norm": float(i)}, step=i)
    """)
    assert ended.err == end_line("1 finished", 20_000) + "\n"
    run = store.only_run()
    assert run.metrics == {f"layer/{i}/norm": float(i) for i in range(20_000)}
    for i in (0, 1, 10_000, 19_999):
        assert curve(run, f"layer/{i}/norm") == [(i, float(i))]
