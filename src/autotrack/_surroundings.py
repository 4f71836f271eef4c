"""Names that the surroundings give: the script's, and the experiment's where nobody names one."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from . import options as opts


def script_name() -> str:
    """The script's name without its suffix, or "session" where there is none."""
    path = main_path()
    return path.stem if path else "session"


@functools.cache
def experiment_from_folders() -> str:
    """The git folder's name, else the script's folder's, else "default"; one for a process's life."""
    folder = opts.working_folder()
    for place in (folder, *folder.parents) if folder else ():
        if (place / ".git").exists():
            return place.name or "default"
    path = main_path()
    return (path.parent.name if path else "") or "default"


def main_path() -> Path | None:
    """The file of the script that is running; at exit only the command line still tells it."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if file is None and os.path.isfile(sys.argv[0] if sys.argv else ""):
        file = sys.argv[0]
    return Path(file).absolute() if file else None
