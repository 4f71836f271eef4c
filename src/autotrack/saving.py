"""A model written to a folder of its own."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .errors import ModelError
from .flavor import Files, NotKept
from .flavors import flavor_of, freeze, name_of
from .interrupts import pass_on
from .mlmodel.composing import whole
from .mlmodel.description import Identity
from .mlmodel.folder import check_name
from .recording.model_details import ModelDetails, described, input_of, may_keep_code, params_of, unknown_in

log = logging.getLogger("autotrack")

MOST_BYTES = 1 << 40
"""There is no limit but the disk's, for what somebody asks for."""


def save(model: Any, path: Path, details: ModelDetails) -> None:
    """See `autotrack.save_model`."""
    for problem in unknown_in(details):
        raise TypeError(f"save_model(): {problem}")
    files = _files(model, details)
    write(path, files, files.__getitem__)


def write(path: Path, names: Iterable[str], read: Callable[[str], bytes]) -> None:
    """A folder of files, each read by its name: it is there whole, or not at all.

    Raises `ModelError`, OSError.
    """
    try:
        _write(path, names, read)
    except OSError as error:  # of the same class, but of the path that whoever asks for it knows
        pass_on(error)
        problem = (
            f"the model cannot be written ({error.strerror or error}): make room, or take another folder"
        )
        raise OSError(error.errno, problem, str(path)) from error


def _write(path: Path, names: Iterable[str], read: Callable[[str], bytes]) -> None:
    if os.path.lexists(path):
        raise _there(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.parent / f".{path.name}-{os.urandom(8).hex()}"
    hidden.mkdir()
    try:
        for name in names:
            check_name(name)
            target = hidden / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                file.write(read(name))
                file.flush()
                os.fsync(file.fileno())
        try:
            hidden.rename(path)
        except OSError as error:
            pass_on(error)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # somebody else was faster
                raise _there(path) from None
            raise
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise


def _there(path: Path) -> ModelError:
    return ModelError(f"{path} is there already; a model is written to a folder of its own")


def _files(model: Any, details: ModelDetails) -> Files:
    try:
        found, example = flavor_of(type(model)), input_of(details)
        _, flavor, frozen = freeze(found, model, MOST_BYTES, example, may_keep_code(details))
        if frozen.left:
            log.warning("autotrack: %s: not saved", frozen.left)
        own = flavor.files(frozen)
        identity = Identity(os.urandom(16).hex(), name_of(model), time.time_ns())
        sections = flavor.describe(own, identity.kind)
        if params := params_of(details):
            flavor.check_params(model, params)
        told = described(details, flavor.outputs(model), flavor.predicts_by_row)
    except NotKept as refusal:
        raise ModelError(f"the model cannot be saved: {refusal}") from refusal
    return whole(own, sections, identity, told, {*flavor.needs, *frozen.packages})
