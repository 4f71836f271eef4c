"""autotrack switched on inside the test process, on a store of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import autotrack
from autotrack import _enable
from autotrack.store import Run, Store

from .scripts import Place


class Tracking:
    """What was recorded so far, read as a user would; `enable` takes what autotrack.enable takes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.store = Store(url)

    def enable(self, *names: str, **options: Any) -> None:
        autotrack.enable(*names, store=self._url, experiment="tests", quiet=True, **options)

    def runs(self) -> list[Run]:
        """The latest first."""
        autotrack.flush()
        return list(self.store.runs())

    def run(self) -> Run:
        (run,) = self.runs()
        return run


@pytest.fixture
def tracking(store: Place) -> Iterator[Tracking]:
    """Switched off again, and every open run ended, when the test is over."""
    yield Tracking(store.url)
    autotrack.disable()
    if _enable._recorder is not None:
        _enable._recorder.close()
