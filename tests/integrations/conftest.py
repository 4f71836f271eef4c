"""What the tests of the integrations share."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from autotrack.keeping import converter

from ..tracking import tracking

__all__ = ["tracking"]


@pytest.fixture(autouse=True)
def _models_are_frozen_and_handed_over(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """To nobody: what a helper does is for tests/test_models.py, and takes it three seconds to start."""
    theirs: list[socket.socket] = []

    def start_none(writer: str) -> socket.socket:
        ours, other = socket.socketpair()
        theirs.append(other)
        ours.setblocking(False)
        return ours

    monkeypatch.setattr(converter, "_start_helper", start_none)
    yield
    for end in theirs:
        end.close()
