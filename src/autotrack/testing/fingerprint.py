"""What must be the same with autotrack and without, as values that compare."""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Mapping
from typing import Any


def fingerprint(value: Any, around: frozenset[int] = frozenset()) -> Any:
    """Equal for values that are the same bit by bit.

    By the pickle where there is one, else piece by piece, and of what has no pieces only its class; so
    too of what is one of those `around` it.
    """
    if id(value) in around:
        return type(value)
    inside = around | {id(value)}
    if isinstance(value, (list, tuple)):
        return type(value), [fingerprint(item, inside) for item in value]
    if isinstance(value, dict):
        items = value.items()
        return type(value), [(fingerprint(key, inside), fingerprint(item, inside)) for key, item in items]
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001  what may not be pickled says so in any way
        state = getattr(value, "__dict__", None)
        pieces = dict(state) if isinstance(state, Mapping) else {}
        return type(value), fingerprint(pieces, inside) if pieces else None


def random_states() -> dict[str, Any]:
    """The process's random number generators."""
    states = {"random": random.getstate()}
    if "numpy" in sys.modules:
        import numpy as np

        states["numpy.random"] = fingerprint(np.random.get_state())
    return states


def seed() -> None:
    """The same beginning for each training."""
    import numpy as np

    random.seed(0)
    np.random.seed(0)
