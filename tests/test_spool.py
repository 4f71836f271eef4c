"""The spool by itself: what several processes that write and read it at once may do to each other."""

from __future__ import annotations

import os
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


SIZES = st.lists(
    st.integers(0, 40) | st.integers(spool._AHEAD - 20, spool._AHEAD + 20) | st.just(300_000), max_size=12
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
