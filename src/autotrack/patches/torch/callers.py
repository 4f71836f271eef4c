"""Whose code it was that called the library."""

from __future__ import annotations

import sys
from types import FrameType

LIBRARIES = ("autotrack", "torch")


def users_frame() -> FrameType | None:
    """The innermost frame that is neither ours nor torch's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in LIBRARIES:
            return frame
        frame = frame.f_back
    return None
