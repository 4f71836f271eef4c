"""Entry points read from folders are what `importlib.metadata` finds; elsewhere it is asked."""

from __future__ import annotations

import importlib.abc
import importlib.metadata
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotrack import entry_points
from autotrack.entry_points import EntryPoint, registered

GROUP = "autotrack.toys"


@pytest.fixture(autouse=True)
def _read_afresh() -> Iterator[None]:
    entry_points._texts.cache_clear()
    yield
    entry_points._texts.cache_clear()


def installed(folder: Path, name: str, text: str | None) -> None:
    info = folder / name
    info.mkdir(parents=True)
    package = name.partition("-")[0]
    (info / ("PKG-INFO" if "egg" in name.lower() else "METADATA")).write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n"
    )
    if text is not None:
        (info / "entry_points.txt").write_text(text)


def values(group: str = GROUP) -> list[str]:
    return [point.value for point in registered(group)]


def test_what_is_installed_here_is_found_as_the_standard_library_finds_it() -> None:
    groups = importlib.metadata.entry_points().groups
    assert {"autotrack.integrations", "console_scripts"} <= groups
    for group in groups:
        standard = importlib.metadata.entry_points(group=group)
        assert sorted(values(group)) == sorted(point.value for point in standard)


TEXT = st.text(st.sampled_from("ab.=:[]# \t\n"), max_size=40)


@given(TEXT)
def test_any_text_is_read_as_the_standard_library_reads_it(text: str) -> None:
    """As long as that takes it at all."""
    text = f"[{GROUP}]\nfirst = a:b\n{text}\n"
    try:
        standard = [
            (point.name, point.value)
            for point in importlib.metadata.EntryPoints._from_text(text)  # type: ignore[attr-defined]
            if point.group == GROUP
        ]
    except (TypeError, ValueError):
        return
    assert [*entry_points._points(text, GROUP)] == [EntryPoint(*point) for point in standard]


def test_the_first_installation_of_a_package_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it registers nothing any more."""
    old, new = tmp_path / "old", tmp_path / "new"
    installed(new, "my_toys-2.dist-info", None)
    installed(old, "My.Toys-1.dist-info", f"[{GROUP}]\ngone = toys:Gone\n")
    installed(old, "others-1.egg-info", f"[{GROUP}]\nother = others:Other\n")
    monkeypatch.setattr(sys, "path", [str(new), str(old), str(tmp_path / "absent")])
    assert values() == ["others:Other"]


def test_an_egg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    egg = tmp_path / "toys-1-py3.egg"
    installed(egg, "EGG-INFO", f"[{GROUP}]\ntoy = toys:Toy\n")
    monkeypatch.setattr(sys, "path", [str(egg)])
    assert values() == ["toys:Toy"]


@pytest.mark.parametrize("has_backport", [False, True])
def test_an_installation_that_was_broken_off(
    has_backport: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no name: the standard library, asked because of an archive, says None; its backport raises."""
    if has_backport:
        pytest.importorskip("importlib_metadata")
    for number in range(2):
        (tmp_path / f"broken{number}-1.dist-info").mkdir()
        (tmp_path / f"broken{number}-1.dist-info" / "entry_points.txt").write_text(
            f"[{GROUP}]\nx{number} = y:X{number}\n"
        )
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "empty.zip")])
    assert sorted(values()) == ["y:X0", "y:X1"]


def test_a_package_in_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "toys.whl"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("toys-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: toys\nVersion: 1\n")
        file.writestr("toys-1.dist-info/entry_points.txt", f"[{GROUP}]\ntoy = toys:Toy\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(archive)])
    assert values() == ["toys:Toy"]


def test_a_finder_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    class Package(importlib.metadata.Distribution):
        def read_text(self, filename: str) -> str | None:
            return {
                "METADATA": "Metadata-Version: 2.1\nName: toys\nVersion: 1\n",
                "entry_points.txt": f"[{GROUP}]\ntoy = toys:Toy\n",
            }.get(filename)

        def locate_file(self, path: Any) -> Any:
            return path

    class Finder(importlib.abc.MetaPathFinder):
        def find_distributions(self, context: Any = None) -> Iterator[Package]:
            yield Package()

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert values() == ["toys:Toy"]


@pytest.mark.parametrize(
    "value", ["collections:OrderedDict", "collections : OrderedDict", "collections:OrderedDict [extra]"]
)
def test_loading(value: str) -> None:
    import collections

    assert EntryPoint("toy", value).load() is collections.OrderedDict
    assert EntryPoint("toy", "collections").load() is collections


def test_nothing_of_importlib_metadata_is_imported(tmp_path: Path) -> None:
    import subprocess

    code = "import autotrack, sys; autotrack.enable(quiet=True); print('importlib.metadata' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout == "False\n"
