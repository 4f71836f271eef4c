"""What the tests of the kits share."""

from __future__ import annotations

import pytest

import autotrack
from autotrack.testing import Tracking


@pytest.fixture(scope="package", autouse=True)
def _everything_is_imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """pytester drops what an inner run was the first to import, and not all of it can be imported twice."""
    with Tracking(f"sqlite:///{tmp_path_factory.mktemp('first')}/runs.db") as tracking:
        tracking.enable()
        with autotrack.run():
            autotrack.log({"x": 1.0})
        assert tracking.run().metrics == {"x": 1.0}
