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
from .errors import OptionError

NAME = f"autotrack-{__version__}-py3-none-any.whl"
_INFO = f"autotrack-{__version__}.dist-info"
_TOLD = "Wheel-Version: 1.0\nGenerator: autotrack\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_COPIED = ("METADATA", "entry_points.txt")


def write(folder: Path) -> None:
    """As `NAME` in a folder; of the same files the same bytes.

    Raises OSError, and `OptionError` where autotrack is not installed, or since has another version.
    """
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
        parts = path.relative_to(root).parts
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in parts):
            yield "/".join((root.name, *parts)), path.read_bytes()


def _information() -> Iterator[tuple[str, bytes]]:
    try:
        installed = metadata.distribution("autotrack")
    except metadata.PackageNotFoundError:
        raise OptionError("autotrack is not installed, only on the path: pip install it first") from None
    if installed.version != __version__:
        raise OptionError(
            f"autotrack {installed.version} is installed, and this is {__version__}: install it again"
        )
    licences = [f"licenses/{name}" for name in installed.metadata.get_all("License-File") or ()]
    for name in (*_COPIED, *licences):
        text = installed.read_text(name)
        if text is None:
            raise OptionError(
                f"autotrack's installation lacks {name}, which an image needs: install it again"
            )
        yield f"{_INFO}/{name}", text.encode()
    yield f"{_INFO}/WHEEL", _TOLD.encode()
