"""The spool by itself: what several processes that write and read it at once may do to each other."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotrack import spool
from autotrack.spool import SpoolReader, SpoolWriter

FIRST, SECOND = "a" * 16, "b" * 16


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Callable[[str], SpoolWriter]]:
    """Makes writers, which let go of their segments in the end."""
    made: list[SpoolWriter] = []

    def make(name: str) -> SpoolWriter:
        made.append(SpoolWriter(tmp_path, name))
        return made[-1]

    yield make
    for each in made:
        each.close()


def read(reader: SpoolReader, limit: int = 8 << 20) -> list[bytes]:
    found = []
    for batch in reader.batches(limit):
        found += batch.payloads
        reader.done(batch)
    return found


def test_a_writer_that_begins_while_others_are_read_is_known_to_live(
    tmp_path: Path, writer: Callable[[str], SpoolWriter]
) -> None:
    writer(FIRST).append(b"1")
    reader, found = SpoolReader(tmp_path, "store"), []
    for batch in reader.batches():
        if not found:
            writer(SECOND).append(b"2")
        found += batch.payloads
        reader.done(batch)
    assert (found, reader.live) == ([b"1", b"2"], {FIRST, SECOND})


def test_a_writer_that_does_not_rest_keeps_nobody(
    tmp_path: Path, writer: Callable[[str], SpoolWriter]
) -> None:
    writing = writer(FIRST)
    writing.append(b"first")
    reader = SpoolReader(tmp_path, "store")
    for number, batch in enumerate(reader.batches()):
        assert number == 0
        writing.append(b"next")
        reader.done(batch)
    assert read(reader) == [b"next"]


def test_a_writer_that_rolls_on_as_it_is_asked_for(
    tmp_path: Path, writer: Callable[[str], SpoolWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1)
    writing, is_held = writer(FIRST), spool._is_held
    writing.append(b"first")
    waiting = [b"second"]

    def rolled_on(segment: Path) -> bool:
        if waiting:
            writing.append(waiting.pop())
        return is_held(segment)

    monkeypatch.setattr(spool, "_is_held", rolled_on)
    reader = SpoolReader(tmp_path, "store")
    assert read(reader) == [b"first", b"second"]
    assert reader.live == {FIRST}
    assert len(reader.segments()) == 1, "the first is done"


# --- what happens to a writer's file --------------------------------------------------------------


def descriptor(segment: Path) -> int:
    """Of the segment, in this process."""
    wanted = segment.stat()
    for name in os.listdir("/dev/fd"):
        try:
            found = os.fstat(int(name))
        except OSError:
            continue  # that of the listing
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return int(name)
    raise AssertionError(f"{segment} is not open")


@pytest.mark.parametrize("is_reused", [True, False])
@pytest.mark.parametrize("ends", [True, False])
def test_a_descriptor_that_the_program_closed_is_written_to_no_more(
    tmp_path: Path, writer: Callable[[str], SpoolWriter], is_reused: bool, ends: bool
) -> None:
    """As who makes himself a daemon does."""
    writing = writer(FIRST)
    writing.append(b"first")
    [segment] = SpoolReader(tmp_path, "store").segments()
    fd = descriptor(segment)
    os.close(fd)
    if is_reused:
        file = os.open(tmp_path / "own.bin", os.O_CREAT | os.O_WRONLY)
        os.dup2(file, fd)
        if file != fd:
            os.close(file)
        os.write(fd, b"USER")
    if ends:
        writing.close()
    else:
        writing.append(b"second")
        assert read(SpoolReader(tmp_path, "store")) == [b"first", b"second"]
    if is_reused:
        os.close(fd)  # it is open yet
        assert (tmp_path / "own.bin").read_bytes() == b"USER"


@pytest.mark.parametrize("trouble", [os.unlink, lambda segment: os.truncate(segment, 0)])
def test_a_segment_that_somebody_deletes_is_known(
    tmp_path: Path, writer: Callable[[str], SpoolWriter], trouble: Callable[[Path], None]
) -> None:
    writing = writer(FIRST)
    writing.append(b"first")
    assert writing.take_deleted() == 0
    [segment] = SpoolReader(tmp_path, "store").segments()
    trouble(segment)
    writing.append(b"second")
    assert (writing.take_deleted(), writing.take_deleted()) == (8 + len(b"first"), 0)
    assert read(SpoolReader(tmp_path, "store")) == [b"second"]


def test_files_may_not_be_large(tmp_path: Path) -> None:
    """`ulimit -f`: the next file has room again."""
    source = """
        import pathlib, resource, sys
        from autotrack.spool import SpoolWriter
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        writer = SpoolWriter(pathlib.Path(sys.argv[1]), "a" * 16)
        for number in range(10):
            writer.append(bytes([number + 1]) * 1500)
        try:
            writer.append(bytes(5000))
        except OSError as error:
            print(error.strerror)
    """
    command = [sys.executable, "-c", textwrap.dedent(source), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "File too large\n"
    reader = SpoolReader(tmp_path, "store")
    assert [payload[0] for payload in read(reader)] == [*range(1, 11)]
    assert not (tmp_path / "rejected").exists()


# --- readers --------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="takes two users")
def test_another_user_has_read_before(
    tmp_path: Path, writer: Callable[[str], SpoolWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = writer(FIRST)
    writing.append(b"first")
    assert read(SpoolReader(tmp_path, "store")) == [b"first"], "by the superuser"
    writing.append(b"second")
    tmp_path.chmod(0o777)
    for file in tmp_path.glob("*.otlp"):
        file.chmod(0o644)
    monkeypatch.chdir(tmp_path)  # what is above is the superuser's alone
    os.seteuid(65534)
    try:
        assert read(SpoolReader(Path(), "store")) == [b"second"]
        assert read(SpoolReader(Path(), "store")) == []
    finally:
        os.seteuid(0)


def test_a_lock_that_the_program_closed_is_gone(tmp_path: Path) -> None:
    reader = SpoolReader(tmp_path, "store")
    with reader.lock():
        [fd] = spool._lock_fds
        os.close(fd)
    assert not spool._lock_fds
    with reader.lock(patience=0.0):
        pass


def written(tmp_path: Path, payloads: list[bytes]) -> Path:
    """The segment of a writer that is gone."""
    writing = SpoolWriter(tmp_path, FIRST)
    for payload in payloads:
        writing.append(payload)
    writing.close()
    [segment] = SpoolReader(tmp_path, "store").segments()
    return segment


def put_aside(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in (folder / "rejected").glob("*")]


FRAMES = [b"\x0a" + bytes([number]) * 99 for number in range(20)]
"""Each as long as another, with its header 108 bytes; a `ResourceSpans` begins so."""


@pytest.mark.parametrize("at", [10**7, 20 * 108 + 1, 5000, 5 * 108 + 1, 20 * 108 - 1])
def test_a_cursor_that_is_not_between_two_frames_is_none(tmp_path: Path, at: int) -> None:
    segment = written(tmp_path, FRAMES)
    if at == 5000:
        segment.write_bytes(segment.read_bytes() * 3)
    reader = SpoolReader(tmp_path, "store")
    reader._save_offset(segment, at)
    assert reader.backlog().bytes > 0
    assert read(reader) == (FRAMES * 3 if at == 5000 else FRAMES)
    assert put_aside(tmp_path) == []
    assert reader.segments() == []


@pytest.mark.parametrize(
    ("first", "last"),
    [
        pytest.param(8 * 108 + 20, 8 * 108 + 21, id="a payload"),
        pytest.param(8 * 108 + 20, 9 * 108 + 21, id="two payloads"),
        pytest.param(8 * 108, 8 * 108 + 1, id="a length"),
        pytest.param(8 * 108 + 1, 9 * 108 + 2, id="two lengths"),
        pytest.param(3 * 108 + 50, 14 * 108 + 20, id="a page"),
        pytest.param(0, 200, id="the beginning"),
        pytest.param(17 * 108 + 5, 20 * 108, id="the end"),
        pytest.param(3 * 108, 7 * 108, id="whole frames"),
    ],
)
@pytest.mark.parametrize("how", [lambda byte: 0, lambda byte: byte ^ 255], ids=["zeros", "flipped"])
def test_damage_costs_what_is_damaged(
    tmp_path: Path, first: int, last: int, how: Callable[[int], int]
) -> None:
    segment = written(tmp_path, FRAMES)
    data = bytearray(segment.read_bytes())
    data[first:last] = map(how, data[first:last])
    segment.write_bytes(data)
    told: list[str] = []
    reader = SpoolReader(tmp_path, "store", told.append)
    begin, end = first // 108, -(-last // 108)
    assert read(reader) == FRAMES[:begin] + FRAMES[end:]
    assert put_aside(tmp_path) == [data[begin * 108 : end * 108]]
    [file] = (tmp_path / "rejected").iterdir()
    assert told == [f"{(end - begin) * 108:,} bytes of {segment} are damaged; they are kept in {file}"]
    assert reader.segments() == []


def test_a_cursor_in_the_midst_of_damage_is_believed(tmp_path: Path) -> None:
    segment = written(tmp_path, FRAMES)
    data = bytearray(segment.read_bytes())
    data[108 * 3 : 108 * 5] = os.urandom(216)
    data[108 * 9 + 40] ^= 1
    segment.write_bytes(data)
    reader = SpoolReader(tmp_path, "store")
    reader._save_offset(segment, 108 * 3 + 50)
    assert read(reader) == FRAMES[5:9] + FRAMES[10:]
    assert put_aside(tmp_path)


@pytest.mark.parametrize(
    "pattern", [b"\0", b"\x0a", b"\x0a\0\0\0", b"\0\x01\0\0\x0a", b"\0\0\x01\0\0\0\0\0\x0a"]
)
def test_the_search_for_a_frame_comes_to_an_end(tmp_path: Path, pattern: bytes) -> None:
    segment = tmp_path / f"{FIRST}-000000.otlp"
    data = pattern * (4_000_000 // len(pattern))
    segment.write_bytes(data)
    begun = time.process_time()
    assert read(SpoolReader(tmp_path, "store")) == []
    assert time.process_time() - begun < 5.0
    assert put_aside(tmp_path) == [data]


SIZES = st.lists(
    st.integers(1, 40) | st.integers(spool._AHEAD - 20, spool._AHEAD + 20) | st.just(300_000), max_size=12
)


@settings(deadline=None, max_examples=40)
@given(sizes=SIZES, limit=st.sampled_from([1, 100, 70_000, 8 << 20]))
def test_frames_of_any_size(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], limit: int) -> None:
    folder = tmp_path_factory.mktemp("spool")
    writing = SpoolWriter(folder, FIRST)
    payloads = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    for payload in payloads:
        writing.append(payload)
    writing.close()
    reader = SpoolReader(folder, "store")
    assert read(reader, limit) == payloads
    assert reader.segments() == []
    assert not (folder / "rejected").exists()


def test_a_forked_child_keeps_what_the_program_opened_under_the_number_of_a_lock(tmp_path: Path) -> None:
    with SpoolReader(tmp_path, "store").lock():
        (fd,) = spool._lock_fds
        os.close(fd)  # as a program does that closes all it finds
        with open(tmp_path / "own.txt", "w") as own:
            assert own.fileno() == fd
            if not (child := os.fork()):
                try:
                    os.fstat(fd)
                except OSError:
                    os._exit(1)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
