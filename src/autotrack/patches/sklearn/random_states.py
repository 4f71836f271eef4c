"""Keeping the user's random numbers what they would be without us."""

from __future__ import annotations

import random
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


def _may_draw(thread: threading.Thread) -> bool:
    """Not ours, and not those that progress bars and event writers leave behind."""
    package = type(thread).__module__.partition(".")[0]
    return not thread.name.startswith("autotrack") and package not in ("tqdm", "tensorboard")


def _same(state: Any, other: Any) -> bool:
    """Whether two states of numpy are equal: mappings of numbers, arrays and mappings."""
    if isinstance(state, dict):
        return all(_same(value, other[name]) for name, value in state.items())
    return bool((state == other).all()) if hasattr(state, "all") else bool(state == other)
