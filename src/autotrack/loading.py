"""A model of a run as the live object it was: found, checked, and made again with nothing unpickled."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Collection, Mapping
from importlib import metadata
from typing import Any

from . import plugins
from .errors import AutotrackError, ModelError
from .flavor import Flavor
from .keeping.jobs import is_helpers
from .records import Model
from .store import Run, Store

log = logging.getLogger("autotrack")

_URI = re.compile(r"runs:/([^/]+)/(.+)")
HELPER_STARTS = 30.0
"""Seconds after which a helper that gives no sign of life has not come up."""
HELPER_WORKS = 600.0
"""Seconds that a conversion may take before a reader waits no longer: it yields to all that trains."""


def load_model(store: Store, uri: str, trusted: Collection[str] = ()) -> Any:
    """See `autotrack.load_model`."""
    found = _URI.fullmatch(uri)
    if found is None:
        raise ModelError(f"{uri!r} is no model's address; write runs:/RUN_ID/model")
    run, model = _kept(store, *found.groups())
    flavor: Flavor = plugins.load(plugins.FLAVORS, model.flavor)()
    try:
        loaded = flavor.load(_files(run, model), model.kind, trusted)
    except AutotrackError:
        raise
    except Exception as error:
        raise ModelError(
            f"{uri} does not load ({type(error).__name__}: {error}); it was made with {_made_with(model)}"
        ) from error
    _warn_of_other_versions(uri, model.facts.get("versions", {}))
    return loaded


def _kept(store: Store, run_id: str, path: str) -> tuple[Run, Model]:
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
        if waited > HELPER_STARTS and not is_alive:
            raise ModelError(f"model {path!r} of run {run.id} was not kept: its helper process is gone")
        if waited > HELPER_WORKS:
            raise ModelError(f"model {path!r} of run {run.id} is still being converted; try again later")
        time.sleep(0.1)


def _files(run: Run, model: Model) -> Mapping[str, bytes]:
    """The model's files, each with the digest that was recorded. Raises `ModelError`."""
    files = {}
    prefix = f"{model.path}/"
    for artifact in run.artifacts:
        if artifact.path.startswith(prefix):
            try:
                data = run.artifact(artifact.path).read_bytes()
            except (KeyError, OSError) as error:
                raise ModelError(f"{artifact.path} of run {run.id} is not to be had: {error}") from error
            if hashlib.sha256(data).hexdigest() != artifact.sha256:
                raise ModelError(
                    f"{artifact.path} of run {run.id} is not what was recorded: its sha256 differs"
                )
            files[artifact.path.removeprefix(prefix)] = data
    return files


def _made_with(model: Model) -> str:
    versions = model.facts.get("versions", {})
    return ", ".join(f"{package} {version}" for package, version in versions.items()) or "unknown versions"


def _warn_of_other_versions(uri: str, versions: Mapping[str, str]) -> None:
    """One line where a library has another minor version now: it may compute something else."""
    for package, then in versions.items():
        try:
            now = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        if now.split(".")[:2] != then.split(".")[:2]:
            log.warning("autotrack: %s was made with %s %s, this is %s", uri, package, then, now)
