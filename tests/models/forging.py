"""Archives of torch.export with something in them changed."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from typing import Any


def records(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def with_record(archive: bytes, ending: str, content: bytes | None) -> bytes:
    """With another content in the record whose name ends so, or without it, or with one more."""
    parts = records(archive)
    root = next(iter(parts)).partition("/")[0]
    name = next((name for name in parts if name.endswith(ending)), f"{root}/{ending}")
    parts[name] = content or b""
    if content is None:
        del parts[name]
    return packed(parts)


def with_json(archive: bytes, ending: str, change: Callable[[Any], None]) -> bytes:
    parts = records(archive)
    name = next(name for name in parts if name.endswith(ending))
    told = json.loads(parts[name])
    change(told)
    parts[name] = json.dumps(told).encode()
    return packed(parts)


def with_graph(archive: bytes, change: Callable[[Any], None]) -> bytes:
    """With something changed in what stands in models/model.json."""
    return with_json(archive, "models/model.json", change)


class Touch:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, path: object) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)
