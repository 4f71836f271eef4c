"""Keeping the user's random numbers what they would be without us."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def same_random_states() -> Iterator[None]:
    """Whatever a stranger's code draws within from the global generators, they give again.

    Not where other threads of the user's run: their draws would be taken back, and what a generator gives
    to whom is left to chance there anyway.
    """
    import numpy as np  # scikit-learn has loaded it

    if len([thread for thread in threading.enumerate() if _may_draw(thread)]) > 1:
        yield
        return
    before, numpy_before = random.getstate(), np.random.get_state(legacy=False)
    try:
        yield
    finally:
        if random.getstate() != before:
            random.setstate(before)
        if not _same(np.random.get_state(legacy=False), numpy_before):
            np.random.set_state(numpy_before)


_RUN_THEIR_OWN = ("concurrent", "joblib", "tensorboard", "tqdm")
"""Packages whose classes of threads run nothing of the user's, and stay when their work is done."""
_NAMED_SO = re.compile(
    r"autotrack.*|QueueFeederThread|asyncio-waitpid-\d+|.*\(_handle_(workers|tasks|results)\)"
)
"""Ours, and those by which the standard library feeds processes and waits for them."""


def _may_draw(thread: threading.Thread) -> bool:
    """Whether code of the user's may run in it: many libraries leave threads behind that run none."""
    package = type(thread).__module__.partition(".")[0]
    return package not in _RUN_THEIR_OWN and _NAMED_SO.fullmatch(thread.name) is None


def _same(state: Any, other: Any) -> bool:
    """Whether two states of numpy are equal: mappings of numbers, arrays and mappings."""
    if isinstance(state, dict):
        return all(_same(value, other[name]) for name, value in state.items())
    return bool((state == other).all()) if hasattr(state, "all") else bool(state == other)
