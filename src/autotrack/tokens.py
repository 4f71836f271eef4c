"""The secret that a client shows a server: who may write a server's token file, and who reads it.

A server that was given none makes a token at each start and leaves it in a file that only this user can
read; a client on the same machine finds it there.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from .errors import OptionError
from .locations import make_private

VARIABLE = "AUTOTRACK_TOKEN"


def client_token(url: str) -> str | None:
    """The token for the server at a store's URL; None where there is none to be had.

    AUTOTRACK_TOKEN, else, where the host is this machine, what the server left in its file. It is read
    anew each time: a server that was started again has another one. Raises `OptionError` for one that no
    header can carry.
    """
    if token := os.environ.get(VARIABLE, "").strip():
        return checked(token, VARIABLE)
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not is_loopback(host):
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    for name in (host, *_NAMES_OF_LOOPBACK):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if token := _file(name, port).read_text("ascii").strip():
                return checked(token, str(_file(name, port)))
    return None


def checked(token: str, origin: str) -> str:
    """The token itself. Raises `OptionError`, which does not tell it, if no header can carry it."""
    if not (token.isascii() and token.isprintable()):
        raise OptionError(f"{origin} has characters that no header can carry: choose another token")
    return token


def write_token(host: str, port: int, token: str) -> Path:
    """Leave a server's token for this user's clients; the file. Raises OSError."""
    file = _file(host, port)
    make_private(file.parent)
    hidden = file.with_name(f".{file.name}.{os.getpid()}")
    fd = os.open(hidden, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as opened:
        os.fchmod(opened.fileno(), 0o600)  # whatever was there
        opened.write(f"{token}\n")
    os.replace(hidden, file)
    return file


def remove_token(host: str, port: int, token: str) -> None:
    """The server has ended: its file goes, unless another one has written its own there."""
    file = _file(host, port)
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if file.read_text("ascii").strip() == token:
            file.unlink()


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own, reached by nobody else."""
    if host.lower() in ("localhost", "localhost."):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return False


_NAMES_OF_LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""By one of these the server may know itself where a client says another."""


def _file(host: str, port: int) -> Path:
    """Where a server's token lies; a host with colons keeps them out of the name."""
    name = host.strip("[]").lower().replace(":", "_").replace("/", "_")
    return platformdirs.user_data_path("autotrack") / "servers" / f"{name}-{port}.token"
