"""A server with a token, and a browser, for the tests of one module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .live import Threaded


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threaded]:
    """Serves a store of the module's own."""
    folder = tmp_path_factory.mktemp("server")
    with Threaded(f"sqlite:///{folder}/runs.db") as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium."""
    from .browsing import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that must end without a complaint in its console, and without having asked another host."""
    from .browsing import watched

    with watched(browser) as page:
        yield page
