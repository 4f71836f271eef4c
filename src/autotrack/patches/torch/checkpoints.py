"""Files that `torch.save` writes while a loop goes on: kept as the run's checkpoints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...integration import Seen
    from ...recording.run import ActiveRun

FOLDER = "checkpoints"


def keep_checkpoint(run: ActiveRun, seen: Seen) -> None:
    """Have the file copied in the flusher, unless it is another one by then: that has told of itself."""
    file: Any = seen.args[1] if len(seen.args) > 1 else seen.kwargs.get("f")
    if not isinstance(file, (str, os.PathLike)):
        return  # a buffer of the user's
    path = Path(os.path.abspath(os.fspath(file)))
    written = _state(path)
    if written is not None:
        run.keep_file(path, f"{FOLDER}/{path.name}", lambda: _state(path) == written)


def _state(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written again; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
