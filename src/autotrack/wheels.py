"""autotrack as it is installed here, as a wheel: where it goes, no index has to know it.

The format is that of https://packaging.python.org/en/latest/specifications/binary-distribution-format/.
"""

from __future__ import annotations

import hashlib
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from ._version import __version__

NAME = f"autotrack-{__version__}-py3-none-any.whl"
_INFO = f"autotrack-{__version__}.dist-info"
_TOLD = "Wheel-Version: 1.0\nGenerator: autotrack\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_COPIED = ("METADATA", "entry_points.txt")


def write(folder: Path) -> None:
    """As `NAME` in a folder; of the same files the same bytes. Raises OSError."""
    records = []
    with zipfile.ZipFile(folder / NAME, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in [*_package(), *_information()]:
            _add(wheel, name, data)
            digest = urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            records.append(f"{name},sha256={digest},{len(data)}\n")
        record = f"{_INFO}/RECORD"
        _add(wheel, record, "".join([*records, f"{record},,\n"]).encode())


def _add(wheel: zipfile.ZipFile, name: str, data: bytes) -> None:
    told = zipfile.ZipInfo(name)  # of 1980, the first time that an archive can tell
    told.external_attr = 0o644 << 16
    told.compress_type = zipfile.ZIP_DEFLATED
    wheel.writestr(told, data)


def _package() -> Iterator[tuple[str, bytes]]:
    root = Path(__file__).parent
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"{root.name}/{path.relative_to(root).as_posix()}", path.read_bytes()


def _information() -> Iterator[tuple[str, bytes]]:
    installed = metadata.distribution("autotrack")
    for name in _COPIED:
        yield f"{_INFO}/{name}", (installed.read_text(name) or "").encode()
    yield f"{_INFO}/WHEEL", _TOLD.encode()
