"""Addresses of models: which run has the model that one names, and where in it."""

from __future__ import annotations

import re

from .errors import ModelError, RegistryValueError
from .records import ModelVersion
from .registry import is_address, parsed_address
from .store import Store

RUN_ADDRESS = re.compile(r"runs:/([^/]+)/(.+)")
"""Of a run's model: the id, which may be abbreviated, and the path."""


def resolved(store: Store, uri: str) -> tuple[str, str]:
    """The run's id, abbreviated if it is so in the address, and the model's path in it.

    Raises `ModelNotFound`; `ModelError` for what is no address, and where the run has another model there by
    now than the registered version.
    """
    if is_address(uri):
        version = registered(store, uri)
        check_unchanged(store, version)
        return version.run_id, version.path
    found = RUN_ADDRESS.fullmatch(uri)
    if found is None:
        raise ModelError(
            f"{uri[:200]!r} is no model's address; "
            "write runs:/RUN_ID/model, models:/NAME/3 or models:/NAME@ALIAS"
        )
    run_id, path = found.groups()
    return run_id, path


def registered(store: Store, uri: str) -> ModelVersion:
    """The version that an address of a registered model names. Raises `ModelError`, `ModelNotFound`."""
    try:
        return store.backend.registry.version(*parsed_address(uri))
    except RegistryValueError as error:
        raise ModelError(str(error)) from None


def check_unchanged(store: Store, version: ModelVersion) -> None:
    """A run that went on may have kept another model at the same path: then this raises `ModelError`.

    The version still is what it was, and loads so; but it can no more be registered from its run.
    """
    known = [model for model in store.backend.models(version.run_id) if model.path == version.path]
    artifacts = store.backend.artifacts(version.run_id)
    now = {file.path: file.sha256 for file in artifacts if any(model.owns(file.path) for model in known)}
    if now != {file.path: file.sha256 for file in version.files}:
        raise ModelError(
            f"{version.uri} is not what run {version.run_id} has at {version.path!r} by now: "
            "the run went on and kept another model there"
        )
