"""Where a store's files lie: the database, and the folders that a training process appends to."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from .errors import OptionError

_SCHEME = "sqlite:///"


@dataclass(frozen=True)
class Home:
    """A pair of folders in which a training process may leave its spool and its artifacts."""

    spool: Path
    artifacts: Path


def default_store() -> str:
    """One store per user, so that runs from every notebook and folder are in one place."""
    return f"{_SCHEME}{platformdirs.user_data_path('autotrack') / 'runs.db'}"


def normalized(url: str) -> str:
    """The store's URL with an absolute path. Raises `OptionError` if it is no store's URL."""
    if not url.startswith(_SCHEME):
        hint = f"; did you mean '{_SCHEME}{url}'?" if "://" not in url else ""
        raise OptionError(f"store {url!r} is not a URL of the form {_SCHEME}path/runs.db{hint}")
    name = url.removeprefix(_SCHEME)
    if not name or "\0" in name:
        raise OptionError(f"store {url!r} names no file; write {_SCHEME}runs.db")
    return _SCHEME + os.path.abspath(os.path.expanduser(name))


def database_path(url: str) -> Path:
    """The database file of a normalized `url`."""
    return Path(url.removeprefix(_SCHEME))


def homes(url: str) -> list[Home]:
    """Folders for the store's spool and artifacts, the best first.

    Beside the database, so that whoever has the store has all of it; where that cannot be written
    (read-only, full), the user's data folder and then the temporary folder, under a hash of the
    URL. Readers look in all of them.
    """
    database = database_path(url)
    digest = hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    fallbacks = (
        platformdirs.user_data_path("autotrack") / "stores" / digest,
        _private_temporary_folder() / digest,
    )
    beside = Home(
        database.with_name(f"{database.name}-spool"), database.with_name(f"{database.name}-artifacts")
    )
    return [beside, *(Home(folder / "spool", folder / "artifacts") for folder in fallbacks)]


def _private_temporary_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else os.getlogin()
    return Path(tempfile.gettempdir()) / f"autotrack-{user}"


def make_private(folder: Path) -> None:
    """Make `folder` for this user alone. Raises OSError, also if someone else's folder is there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for place in (folder, *folder.parents):
        if place == _private_temporary_folder() and place.stat().st_uid != os.getuid():
            raise PermissionError(f"{place} belongs to another user")
