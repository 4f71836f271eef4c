"""`autotrack gc`: it frees what no run refers to, and nothing else whatever happens."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from autotrack import artifacts
from autotrack.locations import homes
from autotrack.records import SpanRecord

from .scripts import Place
from .test_cli import Cli, cli, strict_json

__all__ = ["cli"]

OLD = time.time() - 48 * 3600

TRAIN = """
    import sys
    from pathlib import Path
    import autotrack
    for run, contents in enumerate(sys.argv[1:]):
        with autotrack.run(f"run {run}") as active:
            for content in contents.split(","):
                Path("model.bin").write_text(content)
                active.log_artifact("model.bin")
                autotrack.flush()
"""


def trained(place: Place, *contents: str) -> None:
    """A run for each argument, which keeps each of its words as model.bin, one after the other."""
    alone = {"AUTOTRACK_ENVIRONMENT": "false"}  # which has files of its own
    assert place.run(TRAIN, *contents, env=alone).returncode == 0
    age(place)


def age(place: Place) -> None:
    """Make all files of artifacts two days old."""
    for home in homes(place.url):
        for file in home.artifacts.rglob("*"):
            os.utime(file, (OLD, OLD), follow_symlinks=False)


def blob(place: Place, content: str, home: int = 0) -> Path:
    """Where the file of these contents lies."""
    digest = hashlib.sha256(content.encode()).hexdigest()
    return homes(place.url)[home].artifacts / digest[:2] / digest


def left_over(place: Place, content: str, home: int = 0) -> Path:
    """An old file of which no run tells."""
    artifacts.put(content.encode(), [homes(place.url)[home].artifacts])
    age(place)
    return blob(place, content, home)


def collected(cli: Cli, *args: str) -> Any:
    result = cli("gc", "--json", *args)
    assert (result.exit_code, result.stderr) == (0, ""), result.exception
    return strict_json(result.stdout)


def test_frees_what_a_later_file_replaced(cli: Cli) -> None:
    trained(cli.place, "first,second", "other")
    assert cli.lines("gc") == [
        "✓ Freed 5 B: 1 file that no run refers to",
        "  Left: 2 files (11 B) in use",
    ]
    runs = cli.place.runs()
    assert runs["run 0"].artifact("model.bin").read_text() == "second"
    assert runs["run 1"].artifact("model.bin").read_text() == "other"
    assert not blob(cli.place, "first").exists()
    assert cli.lines("gc")[0] == "✓ Nothing to free."


def test_a_file_stays_while_one_of_its_runs_needs_it(cli: Cli) -> None:
    trained(cli.place, "shared,later", "shared")
    assert collected(cli)["freed"] == {"files": 0, "bytes": 0}
    assert blob(cli.place, "shared").exists()


def test_dry_run_deletes_nothing(cli: Cli) -> None:
    trained(cli.place, "first,second")
    assert cli.lines("gc", "--dry-run")[0] == "✓ Would free 5 B: 1 file that no run refers to"
    assert collected(cli, "--dry-run")["freed"] == {"files": 1, "bytes": 5}
    assert blob(cli.place, "first").exists()


def test_what_is_young_is_left_alone(cli: Cli) -> None:
    trained(cli.place, "first,second")
    os.utime(blob(cli.place, "first"))
    assert cli.lines("gc") == [
        "✓ Nothing to free.",
        "  Left: 1 file (6 B) in use; 1 file (5 B) younger than 24 h",
    ]
    os.utime(blob(cli.place, "first"), (time.time() - 7200,) * 2)
    assert collected(cli, "--grace", "3")["young"]["files"] == 1
    assert collected(cli, "--grace", "1.5")["freed"]["files"] == 1


def test_every_home_is_swept(cli: Cli) -> None:
    trained(cli.place, "first")
    files = [left_over(cli.place, f"stray{home}", home) for home in range(3)]
    assert collected(cli)["freed"] == {"files": 3, "bytes": 18}
    assert not any(file.exists() for file in files)


def test_half_written_files_go_and_strangers_stay(cli: Cli) -> None:
    trained(cli.place, "first")
    folder = homes(cli.place.url)[0].artifacts
    half = folder / ".0123456789abcdef"
    strangers = [folder / "README", folder / ".hidden", folder / "ab" / "x", folder / "abc" / ("0" * 64)]
    strangers.append(folder / "ab" / ("0" * 64))  # on the wrong shelf: not one of ours
    for file in (half, *strangers):
        file.parent.mkdir(exist_ok=True)
        file.write_text("half")
    age(cli.place)
    assert cli.lines("gc")[0] == "✓ Freed 4 B: 1 file left half-written"
    assert not half.exists()
    assert all(file.exists() for file in strangers)


def test_links_are_not_followed(cli: Cli, tmp_path: Path) -> None:
    trained(cli.place, "first")
    outside = tmp_path / "outside"
    stray = left_over(cli.place, "stray")
    outside.mkdir()
    stray.rename(outside / stray.name)
    stray.parent.rmdir()
    stray.parent.symlink_to(outside)
    target = tmp_path / "precious"
    target.write_text("mine")
    (linked := blob(cli.place, "linked")).parent.mkdir(exist_ok=True)
    linked.symlink_to(target)
    age(cli.place)
    assert collected(cli)["freed"]["files"] == 0
    assert (outside / stray.name).exists()
    assert target.exists()


def test_what_waits_in_a_spool_is_in_use(cli: Cli) -> None:
    trained(cli.place, "drained")
    cli.lines("runs")
    lock = homes(cli.place.url)[0].spool / "store.lock"
    lock.unlink()
    lock.mkdir()  # so nobody can drain
    trained(cli.place, "waits")
    assert collected(cli)["kept"]["files"] == 2
    lock.rmdir()
    assert len(cli.place.open().runs()) == 2
    assert blob(cli.place, "waits").exists()


def test_what_a_rejected_frame_names_is_in_use(cli: Cli) -> None:
    trained(cli.place, "first")
    stray = left_over(cli.place, "stray")
    rejected = homes(cli.place.url)[0].spool / "rejected"
    rejected.mkdir()
    (rejected / "x").write_bytes(b"\x0a\x40" + stray.name.encode() + b"\x12")
    assert collected(cli)["kept"]["files"] == 2
    (rejected / "x").unlink()
    assert collected(cli)["freed"]["files"] == 1


def test_what_an_unknown_span_names_is_in_use(cli: Cli) -> None:
    trained(cli.place, "first")
    stray = left_over(cli.place, "stray")
    attributes = {"ml.span.type": "checkpoint", "ml.checkpoint.files": f'["{stray.name}"]'}
    store = cli.place.open()
    store.drain()
    store.backend.write([SpanRecord("ab" * 16, "cd" * 8, None, "of a newer release", 1, 2, attributes)])
    assert collected(cli)["kept"]["files"] == 2
    assert stray.exists()
    cli.place.problems.clear()


def test_without_a_store_nothing_is_freed(cli: Cli) -> None:
    stray = left_over(cli.place, "stray")
    assert "there is no store at" in cli.mistake("gc")
    assert stray.exists()


def test_a_newer_store_frees_nothing(cli: Cli) -> None:
    trained(cli.place, "first,second")
    cli.lines("runs")
    with sqlite3.connect(cli.place.folder / "runs.db") as db:
        db.execute("UPDATE autotrack_version SET version_num = 'ffff'")
    db.close()
    assert "written by a newer autotrack" in cli.mistake("gc")
    assert blob(cli.place, "first").exists()


def test_bytes_put_there_again_are_not_removed(cli: Cli) -> None:
    stray = left_over(cli.place, "stray")
    folder = homes(cli.place.url)[0].artifacts
    [listed] = artifacts.stored(folder)
    artifacts.put(b"stray", [folder])  # between the look and the removal
    assert not artifacts.remove(folder, listed, time.time() - 60)
    assert stray.read_text() == "stray"
    stray.unlink()
    assert not artifacts.remove(folder, listed, time.time() - 60)


@pytest.mark.parametrize("hours", ["-1", "soon"])
def test_wrong_grace(cli: Cli, hours: str) -> None:
    assert "--grace" in cli.mistake("gc", "--grace", hours, status=2)


def test_a_cut_frame_keeps_its_files(cli: Cli) -> None:
    """What a killed process wrote of its last frame is put aside when drained."""
    trained(cli.place, "first")
    [segment] = homes(cli.place.url)[0].spool.glob("*.otlp")
    data = bytearray(segment.read_bytes())
    assert blob(cli.place, "first").name.encode() in data
    data[4:8] = zlib.crc32(b"rotten").to_bytes(4, "little")
    segment.write_bytes(data)
    cli.lines("runs")
    assert collected(cli)["freed"]["files"] == 0
    assert blob(cli.place, "first").exists()
