"""autotrack switched on inside the test process, on a store of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autotrack.testing import Tracking

from .scripts import Place

__all__ = ["Tracking", "tracking"]


@pytest.fixture
def tracking(store: Place) -> Iterator[Tracking]:
    """Switched off again, and every open run ended, when the test is over."""
    with Tracking(store.url) as tracking:
        store.problems.append(tracking.problems)
        yield tracking
