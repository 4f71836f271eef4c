"""Where a store's files lie: the database, and the folders that a training process appends to."""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from .errors import OptionError
from .interrupts import pass_on

_SCHEME = "sqlite:///"


@dataclass(frozen=True)
class Home:
    """A pair of folders in which a training process may leave its spool and its artifacts."""

    spool: Path
    artifacts: Path

    @property
    def name_file(self) -> Path:
        """Tells whose home it is, where the folder's name does not."""
        return self.spool.with_name("target")

    def is_ours(self) -> bool:
        """False where another user could have put something: in a folder of his in the common /tmp."""
        root = _private_temporary_folder()
        return root not in self.spool.parents or _is_private(root)


def default_store() -> str:
    """One store per user, so that runs from every notebook and folder are in one place."""
    return f"{_SCHEME}{platformdirs.user_data_path('autotrack') / 'runs.db'}"


def normalized(url: str, base: Path | None = None) -> str:
    """The store's URL with an absolute path, from `base` (default: the working directory).

    A server's is its address, without a slash at the end. Raises `OptionError` if it is no store's URL.
    """
    if is_server(url):
        return _server_address(url)
    if not url.startswith(_SCHEME):
        hint = f"; did you mean '{_SCHEME}{url}'?" if "://" not in url else ""
        raise OptionError(
            f"store {url!r} is not a URL of the form {_SCHEME}path/runs.db or http://host:port{hint}"
        )
    name = url.removeprefix(_SCHEME)
    if not name or "\0" in name:
        raise OptionError(f"store {url!r} names no file; write {_SCHEME}runs.db")
    try:
        return _SCHEME + os.path.abspath(os.path.join(base or "", os.path.expanduser(name)))
    except FileNotFoundError:
        raise OptionError(f"store {url!r} is relative to a working directory that is gone") from None


def is_server(url: str) -> bool:
    """Whether the store is a server's, which takes spans in over HTTP."""
    return url.partition("://")[0].lower() in ("http", "https")


def _server_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise OptionError(f"store {url!r} is no server's address: {error}") from None
    if not host or parts.query or parts.fragment:
        raise OptionError(f"store {url!r} is no server's address; write http://host:port")
    if parts.username is not None or parts.password is not None:
        raise OptionError("a store's URL holds no password; set AUTOTRACK_TOKEN instead")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def database_path(url: str) -> Path:
    """The database file of a normalized `url`."""
    return Path(url.removeprefix(_SCHEME))


def homes(url: str) -> list[Home]:
    """Folders for the spool and the artifacts of a store, or of another target, the best first.

    Beside the database, so that whoever has the store has all of it; where that cannot be written
    (read-only, full), the user's data folder and then the temporary folder, under a hash of the
    URL. Readers look in all of them. What a server, or an OTLP endpoint, is to get waits in these two.
    """
    digest = target_digest(url)
    fallbacks = (
        platformdirs.user_data_path("autotrack") / "stores" / digest,
        _private_temporary_folder() / digest,
    )
    places = [Home(folder / "spool", folder / "artifacts") for folder in fallbacks]
    if not url.startswith(_SCHEME):
        return places
    database = database_path(url)
    beside = Home(
        database.with_name(f"{database.name}-spool"), database.with_name(f"{database.name}-artifacts")
    )
    return [beside, *places]


def target_digest(url: str) -> str:
    """What a store, or another target, is known by where its URL is too much to tell."""
    name = url.encode("utf-8", "surrogateescape")
    return f"{zlib.crc32(name):08x}{zlib.crc32(name[::-1]):08x}"  # hashlib takes 3 ms to import


def name_home(home: Home, target: str) -> None:
    """Write down whose home it is, for `named_homes`. Raises OSError."""
    if not home.name_file.exists():
        hidden = home.name_file.with_name(f".target-{os.getpid()}")
        hidden.write_text(target, "utf-8")
        os.replace(hidden, home.name_file)


def named_homes() -> dict[str, list[Home]]:
    """The homes in which something waited, or waits, for the network, by the target it is for."""
    found: dict[str, list[Home]] = {}
    for root in (platformdirs.user_data_path("autotrack") / "stores", _private_temporary_folder()):
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            home = Home(folder / "spool", folder / "artifacts")
            try:
                if home.is_ours():
                    found.setdefault(home.name_file.read_text("utf-8", "backslashreplace"), []).append(home)
            except OSError as error:  # another deletes it
                pass_on(error)
    return found


def _private_temporary_folder() -> Path:
    """In the first folder of those that `tempfile` tries, whose import and trial of each take 6 ms."""
    told = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    folders = [os.path.abspath(folder) for folder in (*told, "/tmp", "/var/tmp", "/usr/tmp") if folder]
    return Path(_first_usable(tuple(folders))) / f"autotrack-{os.getuid()}"


@cache
def _first_usable(folders: tuple[str, ...]) -> str:
    return next((f for f in folders if os.path.isdir(f) and os.access(f, os.W_OK | os.X_OK)), "/tmp")


def make_private(folder: Path) -> None:
    """Make `folder` for this user alone. Raises OSError, also if another user could write above it."""
    root = _private_temporary_folder()
    if root in folder.parents:
        with contextlib.suppress(FileExistsError):
            root.mkdir(parents=True, mode=0o700)
        if not _is_private(root):
            raise PermissionError(f"{root} is not this user's alone")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _is_private(folder: Path) -> bool:
    """Whether it is a real folder (no link) that this user owns and no other may write to."""
    try:
        found = folder.lstat()
    except OSError as error:
        pass_on(error)
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
