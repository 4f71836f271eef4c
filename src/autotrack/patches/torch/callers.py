"""Whose code it was that called the library."""

from __future__ import annotations

import sys
from types import FrameType

LIBRARIES = ("autotrack", "torch")


def is_users(frame: FrameType) -> bool:
    """Whether it is neither ours nor torch's."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] not in LIBRARIES


def users_frame() -> FrameType | None:
    """The innermost frame that is the user's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_users(frame):
        frame = frame.f_back
    return frame
