"""The losses: what `backward()` is called on, under the name that the user's code gives it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ...recording import values
from ...recording.naming import name_here, name_of
from .callers import is_users

if TYPE_CHECKING:
    from types import CodeType, FrameType

    from ...integration import Seen
    from .amp import Amp
    from .gathering import Gathering

NAME = "loss"
"""Of a loss that is in no variable, as in `criterion(output, target).backward()`."""
MOST_PLACES = 1000
"""Places in the user's code whose names are remembered."""
DEPTH = 5
"""Frames between here and what called the library's function: ours."""


class Losses:
    """Names are found once for each place in the code that calls `backward()`."""

    def __init__(self) -> None:
        self._names: dict[Any, str | None] = {}
        self._not_users: set[CodeType] = set()

    def note(self, seen: Seen, gathering: Gathering, amp: Amp) -> None:
        """The roots of a `backward()`: each scalar is a loss."""
        args = seen.args
        roots = args[0] if args else seen.kwargs["tensors"]
        for root in roots if isinstance(roots, (list, tuple)) else (roots,):
            if root.numel() == 1:
                tensor, value = amp.unscaled(root) if amp.is_used else (root, None)
                name = self._name(tensor)
                if value is None:
                    value = root.item() if root.is_cpu else values.number(name, root)
                gathering.lost(name, value)

    def _name(self, tensor: Any) -> str:
        """By the place in the code, which costs a look at one frame; more are looked at the first time."""
        frame: FrameType | None = sys._getframe(DEPTH)
        while frame is not None and frame.f_code in self._not_users:
            frame = frame.f_back
        while frame is not None:
            name = self._names.get((frame.f_code, frame.f_lasti))
            if name is not None:
                return name
            if is_users(frame):
                return self._name_by_caller(tensor, frame)
            self._not_users.add(frame.f_code)
            frame = frame.f_back
        return NAME

    def _name_by_caller(self, tensor: Any, frame: FrameType) -> str:
        """Where the loss is a parameter, as in a helper `step(loss)`, its name is the caller's."""
        here: Any = (frame.f_code, frame.f_lasti)
        if here not in self._names:
            if len(self._names) >= MOST_PLACES:
                self._names.clear()
            name, is_parameter = name_here(tensor, frame)
            self._names[here] = None if is_parameter else name or NAME
            if not is_parameter:
                return name or NAME
        caller = frame.f_back
        place = (*here, caller and caller.f_code, caller and caller.f_lasti)
        known = self._names.get(place)
        if known is None:
            known = self._names[place] = name_of(tensor, frame) or NAME
        return known
