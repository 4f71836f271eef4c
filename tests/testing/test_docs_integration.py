"""The integration of docs/integrations.md, installed as a package of its own, passes its own test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from autotrack.testing import FlavorConformance, IntegrationConformance

from ..test_docs import ROOT

FILE = re.compile(r"^\*\*`(.+?)`\*\*\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOUND = dict(FILE.findall((ROOT / "docs" / "integrations.md").read_text("utf-8")))
FILES = {name: text for name, text in FOUND.items() if "/" not in name}
FLAVOR = {name.removeprefix("flavor/"): text for name, text in FOUND.items() if "/" in name}


def test_the_whole_integration_is_short() -> None:
    assert FILES.keys() == {"pyproject.toml", "scipy_autotrack.py", "test_scipy_autotrack.py"}
    assert sum(text.count("\n") for text in FILES.values()) < 60


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the integration is installed in."""
    return package(FILES, tmp_path_factory)


def package(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a package of these files is installed in; nothing is downloaded."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name, text in files.items():
        (source / name).write_text(text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run([*pip, *offline], check=True, cwd=source)
    return target


def ran(installed: Path, folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """In a process that sees the package only where it is installed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "AUTOTRACK_", "OTEL_"))}
    env = kept | {"PYTHONPATH": str(installed), "AUTOTRACK_STORE": f"sqlite:///{folder}/runs.db"}
    return subprocess.run([sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True)


def test_it_passes_its_own_test(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "test_scipy_autotrack.py").write_text(FILES["test_scipy_autotrack.py"])
    assert passing(installed, tmp_path) > promises(IntegrationConformance)


def test_the_flavor_passes_its_own_test(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    (tmp_path / "test_numpy_autotrack.py").write_text(FLAVOR["test_numpy_autotrack.py"])
    assert passing(package(FLAVOR, tmp_path_factory), tmp_path) == promises(FlavorConformance)


def passing(installed: Path, folder: Path) -> int:
    """How many tests pass, where none fails."""
    done = ran(installed, folder, ["-m", "pytest", "-q", "-p", "no:cacheprovider"])
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed in", done.stdout)
    assert passed, done.stdout
    return int(passed[1])


def promises(kit: type) -> int:
    return sum(name.startswith("test_") for name in vars(kit))


def test_a_script_needs_only_enable(installed: Path, tmp_path: Path) -> None:
    script = """
import autotrack
autotrack.enable()
from scipy import optimize
optimize.minimize(optimize.rosen, [0.0, 0.0], method="BFGS")
[run] = autotrack.runs()
print(run.name, run.params["method"], run.metrics["fun"] < 1e-3)
"""
    done = ran(installed, tmp_path, ["-c", script])
    assert done.stdout == "scipy.minimize BFGS True\n", done.stderr
