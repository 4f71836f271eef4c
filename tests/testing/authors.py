"""An author's folder, in which packages count as installed with their entry points."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from autotrack import entry_points, flavors, plugins


@contextmanager
def installed(
    pytester: pytest.Pytester, files: Iterable[Path], packages: Mapping[str, str]
) -> Iterator[pytest.Pytester]:
    """With copies of these files; packages: the text of each one's entry points, by its name."""
    for file in files:
        shutil.copy(file, pytester.path)
    for name, text in packages.items():
        info = pytester.mkdir(f"{name}-1.0.dist-info")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(text)
    pytester.syspathinsert()
    _forget_what_is_installed()
    try:
        yield pytester
    finally:
        _forget_what_is_installed()


def _forget_what_is_installed() -> None:
    plugins.names.cache_clear()
    entry_points._texts.cache_clear()
    flavors.flavor.cache_clear()
