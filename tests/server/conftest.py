"""A server with a token, for the tests of one module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .live import Threaded


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threaded]:
    """Serves a store of the module's own."""
    folder = tmp_path_factory.mktemp("server")
    with Threaded(f"sqlite:///{folder}/runs.db") as server:
        yield server
