"""Automatic mixed precision: `scaler.scale(loss).backward()` has the scaled loss as its root."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...integration import Seen
    from .gathering import Gathering


def note_scaled(seen: Seen, gathering: Gathering) -> None:
    """`GradScaler.scale` has made a tensor of another: the value of that is the loss."""
    scaler: Any = seen.args[0]
    original: Any = seen.args[1] if len(seen.args) > 1 else seen.kwargs["outputs"]
    if seen.value is original:
        return  # it is disabled
    scale = getattr(scaler, "_scale", None)
    if scale is not None:
        gathering.note("amp_scale", scale)  # asked for by get_scale(), the device would be waited for
    gathering.scaled = [entry for entry in gathering.scaled if entry[0]() is not None]
    both = [(original, seen.value)] if hasattr(original, "numel") else zip(original, seen.value, strict=False)
    for loss, made in both:
        if hasattr(loss, "numel") and loss.numel() == 1:
            value = gathering.value(loss)
            if value is not None:
                gathering.scaled.append((weakref.ref(made), weakref.ref(loss), value))


def unscaled(root: Any, gathering: Gathering) -> tuple[Any, float | None]:
    """The tensor that a root was scaled from, and its value; the root itself and None for others."""
    for reference, original, value in gathering.scaled:
        if reference() is root:
            return original(), value
    return root, None
