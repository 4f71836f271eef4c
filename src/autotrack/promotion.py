"""Takes a registered version to another store, with its run and its files, or to another name."""

from __future__ import annotations

import tempfile
from pathlib import Path

from . import artifacts
from .addresses import check_unchanged
from .copying import copy_run
from .errors import ModelError, StoreError
from .exporters.uploading import Uploader
from .locations import is_server
from .otlp.endpoint import Endpoint
from .otlp.transport import LEAST_RATE, HttpClient
from .recording.report import Report
from .records import ModelVersion
from .store import Store

SECONDS = 60.0
"""That a part of a file may take to be uploaded."""


def promote(
    source: Store,
    version: ModelVersion,
    target: Store,
    *,
    name: str | None = None,
    alias: str | None = None,
    author: str = "",
) -> ModelVersion:
    """The version as the target has it, under `name` (default: the same), with an alias that is moved to it.

    What is there already is not made again, so promoting twice is promoting once. The version's files come
    first, then its run, then the version. Raises `ModelError` if a file is not to be had, or is not what was
    registered, or the run has another model in its place by now; `StoreError`; what `Registry` raises.
    """
    name = version.name if name is None else name
    check_unchanged(source, version)
    is_elsewhere = source.url != target.url
    if is_elsewhere:
        source.drain()
        target.drain()
        _copy_files(source, target, version)
        copy_run(source.backend, target.backend, version.run_id)
    registry = target.backend.registry
    there = [v for v in registry.of_run(version.run_id) if v.name == name and v.files == version.files]
    same = [v for v in there if v.path == version.path]
    if same:
        known = same[-1]
        return known if alias is None else registry.set_alias(name, alias, known.version, author=author)
    return registry.register(
        name,
        version.run_id,
        version.path,
        source=f"{version.uri} of {source.url}" if is_elsewhere else version.uri,
        alias=alias,
        description=version.description,
        tags=version.tags,
        author=author,
    )


def _copy_files(source: Store, target: Store, version: ModelVersion) -> None:
    """The version's own must be there; of the run's other files those that are to be had."""
    needed = {file.sha256 for file in version.files}
    found: dict[str, Path] = {}
    for file in (*version.files, *source.backend.artifacts(version.run_id)):
        if file.sha256 not in found:
            path = source.blob(file.sha256)
            if path is not None:
                found[file.sha256] = path
            elif file.sha256 in needed:
                raise ModelError(f"{file.path} of {version.uri} is not to be had: its bytes are not here")
    if is_server(target.url):
        _upload(target, found)
    else:
        folders = [home.artifacts for home in target.homes if home.is_ours()]
        for sha256, path in found.items():
            _put(path, sha256, folders)


def _put(path: Path, sha256: str, folders: list[Path]) -> None:
    try:
        blob = artifacts.put(path, folders)
    except OSError as error:
        raise StoreError(f"cannot copy a file to {folders[0]}: {error.strerror}") from error
    if blob.sha256 != sha256:
        raise ModelError(f"{path} is not what was recorded: its sha256 is {blob.sha256}")


def _upload(target: Store, files: dict[str, Path]) -> None:
    """By way of a folder of our own: what has been uploaded is deleted there."""
    client = HttpClient(Endpoint.of_store(target.url))
    uploader = Uploader(client, Report(), lambda size: None)
    try:
        for sha256, path in files.items():
            with tempfile.TemporaryDirectory(prefix="autotrack-") as name:
                folder = Path(name)
                _put(path, sha256, [folder])
                for blob in artifacts.stored(folder):
                    for problem in uploader.upload(folder, blob, lambda size: SECONDS + size / LEAST_RATE):
                        if problem is not None:
                            raise StoreError(f"{target.url}: {problem.message}")
                    if uploader.has_given_up(blob):
                        raise StoreError(f"{target.url} does not take {path}: its bytes change on the way")
    finally:
        client.close()
