"""The losses: what `backward()` is called on, under the name that the user's code gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...recording import values
from ...recording.naming import name_of
from .callers import users_frame

if TYPE_CHECKING:
    from ...integration import Seen
    from .amp import Amp
    from .gathering import Gathering

NAME = "loss"
"""Of a loss that is in no variable, as in `criterion(output, target).backward()`."""
MOST_PLACES = 1000
"""Places in the user's code whose names are remembered."""


class Losses:
    """Names are found once for each place in the code that calls `backward()`."""

    def __init__(self) -> None:
        self._names: dict[Any, str] = {}

    def note(self, seen: Seen, gathering: Gathering, amp: Amp) -> None:
        """The roots of a `backward()`: each scalar is a loss."""
        roots = seen.args[0] if seen.args else seen.kwargs["tensors"]
        for root in roots if isinstance(roots, (list, tuple)) else (roots,):
            if root.numel() == 1:
                tensor, value = amp.unscaled(root)
                name = self._name(tensor)
                gathering.lost(name, values.number(name, root) if value is None else value)

    def _name(self, tensor: Any) -> str:
        frame = users_frame()
        if frame is None:
            return NAME
        caller = frame.f_back
        place = (frame.f_code, frame.f_lasti, caller and caller.f_code, caller and caller.f_lasti)
        name = self._names.get(place)
        if name is None:
            if len(self._names) >= MOST_PLACES:
                self._names.clear()
            name = self._names[place] = name_of(tensor, frame) or NAME
        return name
