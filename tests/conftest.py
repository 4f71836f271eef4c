"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .disks import disk  # noqa: F401
from .scripts import Place

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # other tests run beside it

LONGEST = [
    Path(__file__).parent / name
    for name in (
        "interop/test_sklearn.py",  # niced: it takes what the others leave
        "interop/test_mlflow.py",
        "serving/test_registry.py",
        "test_ranks.py",
        "test_workers.py",
        "test_models.py",
        "testing/test_backend_kit.py",
        "test_processes.py",
        "testing/test_integration_kit.py",
        "server/test_page.py",
        "server/test_page_models.py",
        "serving/test_workers.py",
        "integrations/test_torch_processes.py",
        "test_replay_memory.py",
        "test_copying.py",
        "models/test_torch.py",
        "server/test_http_backend.py",
        "server/test_kills.py",
        "test_concurrency.py",
        "backends/test_sqlite.py",
        "test_faults.py",
        "test_resume.py",
        "test_shipping.py",
    )
]
"""They begin first, so that in the end no worker is alone with one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {path: rank for rank, path in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(LONGEST)))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A store of the test's own; scripts that it starts are gone when it ends."""
    short = Path(tempfile.mkdtemp(prefix="at-"))  # multiprocessing's sockets have short names
    folders = {"XDG_DATA_HOME": tmp_path / "data", "HOME": tmp_path / "home", "TMPDIR": short}
    for variable, folder in folders.items():
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv(variable, str(folder))  # a reader looks for fallback folders too
    monkeypatch.setattr(tempfile, "tempdir", None)
    url = f"sqlite:///{tmp_path}/runs.db"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTOTRACK_", "OTEL_"))}
    own = {"AUTOTRACK_STORE": url, "AUTOTRACK_EXPERIMENT": "tests"}
    own["AUTOTRACK_SYSTEM_METRICS"] = "0"  # on a busy machine some run lasts long enough to have samples
    place = Place(tmp_path, url, kept | own)
    yield place
    for process in place.started:
        if process.returncode is None:  # not reaped, so the group is still its own
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    shutil.rmtree(short, ignore_errors=True)  # a process that ends on its own may just be writing there
    assert not any(place.problems)  # a test that breaks the conventions on purpose clears it
