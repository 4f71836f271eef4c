"""What the tests of the kits share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.pytester import SysModulesSnapshot

AUTHORS = {"conftest", *(path.stem for path in (Path(__file__).parent / "toys").glob("*.py"))}
"""The modules that each inner run has its own of."""


@pytest.fixture(autouse=True)
def _only_the_authors_modules_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytester drops all that an inner run is the first to import; not all can be imported twice."""

    def snapshot(preserve: Callable[[str], bool]) -> SysModulesSnapshot:
        return SysModulesSnapshot(lambda name: name not in AUTHORS)

    monkeypatch.setattr("_pytest.pytester.SysModulesSnapshot", snapshot)
