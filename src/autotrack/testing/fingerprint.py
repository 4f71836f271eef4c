"""What must be the same with autotrack and without, as values that compare."""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Mapping
from typing import Any


def fingerprint(value: Any, seen: dict[int, Any] | None = None) -> Any:
    """Equal for values that are the same bit by bit.

    By the pickle where there is one, else piece by piece, and of what has no pieces only its class; so
    too of what was `seen` already, as objects may hold each other.
    """
    seen = {} if seen is None else seen
    if id(value) in seen:
        return type(value)
    if isinstance(value, (list, tuple)):
        seen[id(value)] = value
        return type(value), [fingerprint(item, seen) for item in value]
    if isinstance(value, dict):
        seen[id(value)] = value
        items = value.items()
        return type(value), [(fingerprint(key, seen), fingerprint(item, seen)) for key, item in items]
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001  what may not be pickled says so in any way
        seen[id(value)] = value
        state = getattr(value, "__dict__", None)
        pieces = dict(state) if isinstance(state, Mapping) else {}
        return type(value), fingerprint(pieces, seen) if pieces else None


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
