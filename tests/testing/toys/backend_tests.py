"""What the author of a backend writes; `conftest.py` has the backend, sound or broken."""

import itertools
import shutil

import pytest

from autotrack.testing import BackendConformance
from conftest import Backend


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    path = tmp_path_factory.mktemp("empty") / "runs.db"
    Backend(f"sqlite:///{path}").write([])
    return path


class TestBackend(BackendConformance):
    @pytest.fixture
    def new_url(self, empty, tmp_path):
        numbers = itertools.count()
        return lambda: f"sqlite:///{shutil.copy(empty, tmp_path / f'{next(numbers)}.db')}"

    def make_backend(self, url):
        return Backend(url)
