"""Automatic mixed precision: `scaler.scale(loss).backward()` has the scaled loss as its root."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from ...recording import values

if TYPE_CHECKING:
    from ...integration import Seen
    from .gathering import Gathering


class Amp(threading.local):
    """What a thread has scaled last: the original, its value then, and a weak reference to the result."""

    def __init__(self) -> None:
        self._scaled: list[tuple[weakref.ref[Any], weakref.ref[Any], float]] = []

    def scaled(self, seen: Seen, gathering: Gathering) -> None:
        """`GradScaler.scale` has made a tensor of another."""
        scaler: Any = seen.args[0]
        original: Any = seen.args[1] if len(seen.args) > 1 else seen.kwargs["outputs"]
        if seen.value is original or not hasattr(original, "numel") or original.numel() != 1:
            return  # it is disabled, or it was given several
        scale = getattr(scaler, "_scale", None)
        if scale is not None:
            gathering.note("amp_scale", scale)  # asked for by get_scale(), the device would be waited for
        value = values.number("loss", original)
        self._scaled = [entry for entry in self._scaled if entry[0]() is not None]
        self._scaled.append((weakref.ref(seen.value), weakref.ref(original), value))

    @property
    def is_used(self) -> bool:
        """Whether this thread scales losses."""
        return bool(self._scaled)

    def unscaled(self, root: Any) -> tuple[Any, float | None]:
        """The tensor that a root was scaled from, and its value; the root itself and None for others."""
        for reference, original, value in self._scaled:
            if reference() is root:
                return original(), value
        return root, None
