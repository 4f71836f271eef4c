"""A fit with `ckpt_path` goes on with the run that the checkpoint is of: which one stands in the checkpoint.

With other hyper-parameters it is another training, which begins there, and so a run of its own.
The entry is read before the fit begins, as its run does, and Lightning loads the checkpoint only later: when
other ranks were started, which are told the run's id. So it is looked for as text, in the member of the file
that has all but the tensors: nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ...interrupts import pass_on

if TYPE_CHECKING:
    from ...recording.run import ActiveRun

KEY = "autotrack_run"
"""Of the one entry that a checkpoint has from us: the run's mark, which is plain text."""
METADATA = "meta.pt"
"""The file in the folder of a sharded checkpoint that has all but the tensors."""

_MARK = re.compile(KEY.encode() + rb".{1,16}?([0-9a-f]{32}@[0-9a-f]+\+[0-9a-f]{8})", re.DOTALL)
"""Between key and value are opcodes of a pickle, which keep the one and tell the other's length."""


class Marked(NamedTuple):
    """The run of a fit, and the digest of the hyper-parameters that it began with."""

    run: ActiveRun
    settings: str


def settings_digest(found: Mapping[str, Any]) -> str:
    """Of hyper-parameters, as far as they are plain: how others look may differ from process to process."""
    plain = {name: value for name, value in found.items() if isinstance(value, (str, bool, int, float))}
    return f"{zlib.crc32(json.dumps(plain, sort_keys=True).encode()):08x}"


def put_mark(checkpoint: dict[str, Any], fit: Marked | None) -> None:
    """Say in a checkpoint that is about to be written which run it is of."""
    if fit is not None and not fit.run.is_muted:
        checkpoint[KEY] = f"{fit.run.mark()}+{fit.settings}"


def mark_in(trainer: Any, asked: Any, settings: str) -> str | None:
    """The run's mark in the checkpoint that a fit goes on from; None where there is none, or none to be read.

    asked: `ckpt_path`. Of what is wrong with the file Lightning will tell. settings: those of the fit, which
    must be the checkpoint's.
    """
    try:
        path = _path(trainer, asked)
        mark, _, then = ((path and _mark_at(path)) or "").partition("+")
        return mark if mark and then == settings else None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        pass_on(error)
        return None


def _path(trainer: Any, asked: Any) -> str | None:
    """Where it lies, by Lightning's rules, whose own function would warn twice."""
    connector = trainer._checkpoint_connector
    if asked is None and connector._user_managed:  # by `trainer.ckpt_path = …`
        asked = connector._ckpt_path
    if asked is None:
        asked = _unasked(trainer)
    if asked == "best":
        asked = getattr(trainer.checkpoint_callback, "best_model_path", None)
    elif asked == "last":
        asked = max(_last(trainer), default=(0, None))[1]
    elif asked == "hpc":
        asked = connector._hpc_resume_path
    return os.fspath(asked) if asked else None


def _unasked(trainer: Any) -> str | None:
    """What a fit goes on from by itself: of a job that SLURM started again, of one that an error ended."""
    is_job = "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive")
    if is_job and trainer._checkpoint_connector._hpc_resume_path is not None:
        return "hpc"
    return "last" if any(True for _ in _kept_on_errors(trainer)) else None


def _last(trainer: Any) -> Iterator[tuple[Any, str]]:
    """When each of the last checkpoints was written, and its path."""
    found = {callback.ckpt_path for callback in _kept_on_errors(trainer)}
    for callback in trainer.checkpoint_callbacks:
        if hasattr(callback, "_find_last_checkpoints"):
            found |= callback._find_last_checkpoints(trainer)
    for path in found:
        filesystem, name = _filesystem(str(path))
        if filesystem.exists(name):
            yield filesystem.modified(name), str(path)


def _filesystem(path: str) -> tuple[Any, str]:
    """And the path in there; Lightning has imported what knows them all."""
    found: tuple[Any, str] = sys.modules["fsspec.core"].url_to_fs(path)
    return found


def _kept_on_errors(trainer: Any) -> Iterator[Any]:
    """Its callbacks of Lightning's class `OnExceptionCheckpoint`."""
    for callback in trainer.callbacks:
        if any(kind.__name__ == "OnExceptionCheckpoint" for kind in type(callback).__mro__):
            yield callback


def _mark_at(path: str) -> str | None:
    if path.startswith("http"):
        return None  # it may come as a whole only
    if "://" not in path:
        local = Path(path)
        with (local / METADATA if local.is_dir() else local).open("rb") as file:
            return _mark_of(file)
    filesystem, name = _filesystem(path)
    with filesystem.open(name, "rb") as file:
        return _mark_of(file)


def _mark_of(file: BinaryIO) -> str | None:
    """As `torch.save` writes it: a zip, whose member `data.pkl` is all but the tensors."""
    with zipfile.ZipFile(file) as archive:
        pickled = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        found = [mark for name in pickled for mark in _MARK.findall(archive.read(name))]
    return found[-1].decode() if found else None
