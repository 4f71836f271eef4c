"""State dicts that `torch.save` writes while a loop goes on: kept as the run's checkpoints."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ...interrupts import pass_on
from ...recording.process import is_loader_worker

if TYPE_CHECKING:
    from ...integration import Seen
    from ...recording.run import ActiveRun

FOLDER = "checkpoints"
MOST_BYTES = 4 << 30
"""Of all checkpoints of a run; further ones are named, not kept."""

_kept: WeakKeyDictionary[ActiveRun, int] = WeakKeyDictionary()


def keep_checkpoint(run: ActiveRun, seen: Seen) -> None:
    """Have the file copied in the flusher, unless it is written anew before that: that tells of itself.

    The file is opened at once: it may be renamed, as who writes carefully does.
    """
    what: Any = seen.args[0] if seen.args else seen.kwargs["obj"]
    target: Any = seen.args[1] if len(seen.args) > 1 else seen.kwargs.get("f")
    path = _path_of(target)
    if path is None or not _is_checkpoint(what) or is_loader_worker():
        return
    name = f"{FOLDER}/{_named(path)}"
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        return  # a pipe: what is in it is somebody else's to read
    size = found.st_size
    if _kept.get(run, 0) + size > MOST_BYTES:
        run.omit(f"artifact {name!r}: the run has {MOST_BYTES >> 30} GiB of checkpoints")
        return
    _kept[run] = _kept.get(run, 0) + size
    run.keep_file(path.open("rb"), name)


def _path_of(target: Any) -> Path | None:
    """Of a path, or of an open file that is still what its name says; None of anything else."""
    if isinstance(target, (str, os.PathLike)):
        return Path(os.path.abspath(os.fspath(target)))
    if type(target) not in (io.BufferedWriter, io.BufferedRandom, io.FileIO):
        return None  # nor of what makes something else of what is written to it
    if not isinstance(target.name, (str, bytes)):
        return None  # a file descriptor
    path = Path(os.path.abspath(os.fsdecode(target.name)))
    return path if path.exists() and path.samefile(f"/dev/fd/{target.fileno()}") else None


def _is_checkpoint(what: Any) -> bool:
    """A state dict, or what may hold one; and a whole module. Not the samples that a dataset keeps."""
    return isinstance(what, Mapping) or hasattr(type(what), "state_dict")


def _named(path: Path) -> str:
    """As seen from the working directory; of one elsewhere only the file's name."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError) as error:
        pass_on(error)
        return path.name
