"""What installed packages register in entry-point groups, read from the folders that packages lie in.

`importlib.metadata` knows all places that packages come from, and is asked where there are others than
folders. Its import and its look at every package take 30 ms and more of a script's start; this takes two.
The format is the entry points specification of the Python Packaging Authority.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import PathFinder
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from .interrupts import pass_on

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_FILE = "entry_points.txt"


class EntryPoint(NamedTuple):
    """A name in a group, and the object behind it as ``module:attribute``."""

    name: str
    value: str

    def load(self) -> Any:
        """The object, imported. Raises what that raises."""
        module, _, attribute = self.value.partition("[")[0].partition(":")
        found = importlib.import_module(module.strip())
        return attrgetter(attribute.strip())(found) if attribute else found


def registered(group: str) -> Iterator[EntryPoint]:
    """Those of all packages; of two installations of a package only the first on the path counts."""
    for text in _texts():
        yield from _points(text, group)


@cache
def _texts() -> list[str]:
    """What each package says, read once."""
    elsewhere = any(map(os.path.isfile, sys.path)) or any(map(_finds_packages, sys.meta_path))
    texts: dict[str, str] = {}
    for package, text in _of_all() if elsewhere else _of_folders():
        nameless = f"?{len(texts)}"  # as where an installation was broken off: it is in nobody's way
        texts.setdefault(re.sub(r"[-_.]+", "-", package).lower() or nameless, text)
    return [text for text in texts.values() if text]


def _finds_packages(finder: Any) -> bool:
    """Whether it may know of others than those in the path's folders."""
    return finder is not PathFinder and hasattr(finder, "find_distributions")


def _of_all() -> Iterator[tuple[str, str]]:
    from importlib import metadata

    for package in metadata.distributions():
        yield _name(package), package.read_text(_FILE) or ""


def _name(package: Distribution) -> str:
    """Empty for what has none, of which some finders' packages say nothing and others raise."""
    try:
        return package.name or ""
    except Exception as error:  # noqa: BLE001  finders are anybody's
        pass_on(error)
        return ""


def _of_folders() -> Iterator[tuple[str, str]]:
    for folder in dict.fromkeys(path or os.curdir for path in sys.path):
        try:
            inside = sorted(os.listdir(folder))
        except OSError as error:
            pass_on(error)
            continue
        for name in inside:
            if name.endswith((".dist-info", ".egg-info")):
                yield name.rpartition(".")[0].partition("-")[0], _read(os.path.join(folder, name, _FILE))
            elif name == "EGG-INFO":
                yield os.path.basename(folder).partition("-")[0], _read(os.path.join(folder, name, _FILE))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        pass_on(error)
        return ""


def _points(text: str, group: str) -> Iterator[EntryPoint]:
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line.strip("[]")
        elif section == group and "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield EntryPoint(name.strip(), value.strip())
