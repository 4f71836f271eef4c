"""A model as the live object it was: found, checked, and made again with nothing unpickled."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from .addresses import RUN_ADDRESS, registered
from .errors import AutotrackError, ModelError
from .flavor import PYTHON_FUNCTION, Flavor, Permissions
from .flavors import flavor_in
from .interrupts import pass_on, raised_by_a_handler
from .keeping.jobs import is_helpers
from .keeping.load import LONGEST_WAIT
from .locations import is_server
from .mlmodel import archive
from .mlmodel.folder import ModelFile, ModelFolder
from .mlmodel.importing import NEEDS_PERMISSION, Copied
from .predictor import Predictor
from .records import Artifact, Model
from .registry import is_address
from .store import Run, Store

log = logging.getLogger("autotrack")

HELPER_STARTS = LONGEST_WAIT + 30.0
"""Seconds after which a helper that gives no sign of life has not come up."""
FILES_FOLLOW = 10.0
"""Seconds in which a server gets a model's files, once it is told of them."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
"""Seconds between two questions for such a file."""
HELPER_WORKS = 600.0
"""Seconds that a conversion may take before a reader waits no longer: it yields to all that trains."""

_in_vain: set[tuple[str, str]] = set()
"""Stores, and digests of files in them that did not come in that time: they may be gone for good."""


def load(folder: ModelFolder, permissions: Permissions) -> Predictor:
    """A model, ready to be asked. Raises `ModelError`."""
    chosen = flavor_in(folder.flavors, folder.told)
    versions = _versions(folder)
    try:
        loaded = _loaded(chosen, folder, permissions)
    except AutotrackError:
        raise
    except SystemExit as error:
        if raised_by_a_handler(error) or not (permissions.code or permissions.pickle):
            raise
        raise ModelError(f"{folder.told} does not load: its code called sys.exit({error.code!r})") from error
    except Exception as error:
        pass_on(error)
        lacks_code = isinstance(error, ImportError) and not permissions.code and _code(chosen, folder)
        problem = f"{folder.told} does not load ({type(error).__name__}: {error})"
        advice = f"it {NEEDS_PERMISSION}" if lacks_code else _made_with(versions)
        raise ModelError(f"{problem}; {advice}") from error
    folder.check_unread()
    _warn_of_another_python(folder)
    _warn_of_other_versions(folder.told, versions)
    return Predictor(loaded, chosen, folder)


def _loaded(chosen: Flavor, folder: ModelFolder, permissions: Permissions) -> Any:
    """The flavor's own model, with the source beside it importable where the caller permits that."""
    section, code = folder.section(chosen.name), _code(chosen, folder)
    if not code or not permissions.code:
        return chosen.load(folder, section, permissions)
    with Copied(folder, below=code) as copied:
        copied.make_importable(code)
        loaded = chosen.load(folder, section, permissions)
    copied.live_with(loaded)
    return loaded


def _code(chosen: Flavor, folder: ModelFolder) -> str | None:
    """The folder of source beside a library's model; the generic flavor's is the model itself."""
    code = str(folder.section(chosen.name).get("code") or "")
    return code if code and chosen.name != PYTHON_FUNCTION and folder.below(code) else None


def model_folder(store: Callable[[], Store], uri: str) -> ModelFolder:
    """The files behind an address: a run's model, a registered version, or a folder, or a tar or zip of one.

    store: opens it, for an address that is looked up there. Raises `ModelError`, `ModelNotFound`.
    """
    if is_address(uri):
        opened = store()
        version = registered(opened, uri)
        return _folder(opened, version.files, version.path, version.uri)
    if found := RUN_ADDRESS.fullmatch(uri):
        opened = store()
        run, model = kept(opened, *found.groups())
        own = [file for file in run.artifacts if model.owns(file.path)]
        return _folder(opened, own, model.path, f"runs:/{run.id}/{model.path}")
    if os.path.isdir(uri):  # pathlib raises for a name that is too long
        return ModelFolder.at(Path(uri))
    if os.path.isfile(uri):
        return archive.opened(Path(uri))
    raise ModelError(
        f"{uri[:200]!r} is no model's address; "
        "write runs:/RUN_ID/model, models:/NAME/3, or the path of its folder"
    )


def _folder(store: Store, files: Iterable[Artifact], path: str, told: str) -> ModelFolder:
    """Those below `path`, where they lie. Raises `ModelError`."""
    prefix = f"{path}/"
    found = {}
    until = time.monotonic() + (FILES_FOLLOW if is_server(store.url) else 0.0)
    for file in files:
        if file.path.startswith(prefix):
            try:
                blob = _blob(store, file.sha256, until)
            except OSError as error:
                pass_on(error)
                raise ModelError(f"{file.path} of {told} is not to be had: {error}") from error
            if blob is None:
                raise ModelError(f"{file.path} of {told} is not to be had: its bytes are not on this machine")
            found[file.path.removeprefix(prefix)] = ModelFile(blob, file.sha256)
    return ModelFolder(found, told)


def _blob(store: Store, sha256: str, until: float) -> Path | None:
    """The file, waited for `until` then unless that was in vain before; None: it is not there."""
    pause = SHORTEST_PAUSE
    while (blob := store.blob(sha256)) is None:
        left = until - time.monotonic()
        if left <= 0:
            _in_vain.add((store.url, sha256))
        if (store.url, sha256) in _in_vain:
            return None
        time.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE)
    return blob


def kept(store: Store, run_id: str, path: str) -> tuple[Run, Model]:
    """The model's entry, once its helper is done with it. Raises `ModelError`."""
    began = time.monotonic()
    while True:
        live = store.drain()
        run = store.run(run_id)
        known = {model.path: model for model in run.models}
        if path not in known:
            there = f"it has {', '.join(known)}" if known else "it has none"
            raise ModelError(f"run {run.id} has no model {path!r}; {there}")
        model = known[path]
        state = model.facts.get("state")
        if state == "kept":
            return run, model
        if state != "pending":
            raise ModelError(f"model {path!r} of run {run.id} was not kept: {model.facts.get('reason')}")
        waited = time.monotonic() - began
        is_alive = any(is_helpers(writer, model.facts["converter"]) for writer in live)
        if waited > HELPER_STARTS and is_server(store.url):  # whose machine does not tell who lives there
            raise ModelError(f"model {path!r} of run {run.id} has not come yet; try again later")
        if waited > HELPER_STARTS and not is_alive:
            raise ModelError(f"model {path!r} of run {run.id} was not kept: its helper process is gone")
        if waited > HELPER_WORKS:
            raise ModelError(f"model {path!r} of run {run.id} is still being converted; try again later")
        time.sleep(0.1)


def _warn_of_another_python(folder: ModelFolder) -> None:
    then = str(folder.section(PYTHON_FUNCTION).get("python_version", ""))
    now = platform.python_version()
    if then and then.split(".")[:2] != now.split(".")[:2]:
        log.warning("autotrack: %s was saved by Python %s, this is %s", folder.told, then, now)


def _versions(folder: ModelFolder) -> Mapping[str, str]:
    """What the model was made with, by package, as its requirements say."""
    if "requirements.txt" not in folder.names:
        return {}
    lines = folder.read("requirements.txt").decode(errors="replace").splitlines()
    pins = (line.partition("==") for line in lines)
    return {name.strip(): version.strip() for name, _, version in pins if name.strip() and version}


def _made_with(versions: Mapping[str, str]) -> str:
    """What to install, where that is not what is here."""
    others = [
        f"{package}=={then}" for package, then in versions.items() if _major_here(package) != _major(then)
    ]
    if others:
        return f"pip install {' '.join(others)}, which it was made with"
    made_with = ", ".join(f"{package} {version}" for package, version in versions.items())
    return f"it was made with {made_with or 'unknown versions'}"


def _major_here(package: str) -> str | None:
    try:
        return _major(metadata.version(package))
    except metadata.PackageNotFoundError:
        return None


def _major(version: str) -> str:
    return version.partition(".")[0]


def _warn_of_other_versions(uri: str, versions: Mapping[str, str]) -> None:
    """One line where a library has another minor version now: it may compute something else.

    Of another major one also what to install.
    """
    for package, then in versions.items():
        try:
            now = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        if now.split(".")[:2] != then.split(".")[:2]:
            advice = f": pip install {package}=={then}" if _major(now) != _major(then) else ""
            log.warning("autotrack: %s was made with %s %s, this is %s%s", uri, package, then, now, advice)
