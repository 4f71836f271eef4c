"""scikit-learn's own tests pass with autotrack on, and where one does not, it ends as with autotrack off.

So those that pass are not run again with it off, which would take minutes more: they are only collected.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sklearn

from autotrack.states import State
from autotrack.store import Store

MODULES = [
    "compose/tests",
    "ensemble/tests/test_stacking.py",
    "ensemble/tests/test_voting.py",
    "feature_selection/tests/test_rfe.py",
    "linear_model/tests/test_sgd.py",
    "model_selection/tests/test_search.py",
    "model_selection/tests/test_successive_halving.py",
    "tests/test_base.py",
    "tests/test_multioutput.py",
    "tests/test_pipeline.py",
]

EXPECTED: dict[str, str] = {}
"""Tests that may end differently, each with its reason: only such as inspect the classes themselves."""

NOT_KEPT = "autotrack: model 'model': "
"""How it is told that a model is not kept: these tests define classes and functions inside functions."""

TOO_FAST = "autotrack: curves and weights of a training: they come faster than these can be written"
"""What thousands of trainings in a row may come to on a busy machine."""

NOT_RUN = "not run"
"""What is said of a test that passed with autotrack on."""

Ending = tuple[str, str]

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not Path(sklearn.__file__).with_name("tests").is_dir(), reason="comes without"),
]


@pytest.fixture(scope="module")
def on_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("on")


@pytest.fixture(scope="module")
def on(on_folder: Path) -> dict[str, Ending]:
    return run("on", on_folder, "-n", "2")


@pytest.fixture(scope="module")
def off(tmp_path_factory: pytest.TempPathFactory, on: dict[str, Ending]) -> dict[str, Ending]:
    folder = tmp_path_factory.mktemp("off")
    passed = [name for name, (outcome, _) in on.items() if outcome == "passed"]
    (folder / "passed.json").write_text(json.dumps(passed))
    return run("off", folder)


def run(arm: str, folder: Path, *options: str) -> dict[str, Ending]:
    """How each test ended; niced, as other tests may run beside it."""
    package = Path(sklearn.__file__).parent
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "AUTOTRACK_", "OTEL_"))}
    own = {
        "AUTOTRACK_ARM": arm,
        "AUTOTRACK_ARM_FOLDER": str(folder),
        "AUTOTRACK_STORE": f"sqlite:///{folder}/runs.db",
        "AUTOTRACK_EXPERIMENT": "interop",
        "PYTHONPATH": str(Path(__file__).parent),
        "OMP_NUM_THREADS": "1",
    }
    pytest_options = ["-q", "-p", "arm", "-p", "no:cacheprovider", "-p", "no:schemathesis", *options]
    places = ["-c", os.devnull, f"--rootdir={package.parent}", *(str(package / m) for m in MODULES)]
    command = ["nice", "-n", "10", sys.executable, "-m", "pytest", *pytest_options, *places]
    done = subprocess.run(command, cwd=folder, env=kept | own, capture_output=True, text=True)
    assert (folder / "outcomes.json").exists(), done.stdout[-5000:] + done.stderr[-5000:]
    ended: dict[str, Any] = json.loads((folder / "outcomes.json").read_text())
    return {name: (outcome, where) for name, (outcome, where) in ended.items()}


def test_every_test_passes_or_ends_as_it_does_without_autotrack(
    off: dict[str, Ending], on: dict[str, Ending]
) -> None:
    assert len(on) > 1000
    assert on.keys() == off.keys()
    differing = {
        name: f"{off[name][0]} without autotrack, {on[name][0]} with it\n{on[name][1] or off[name][1]}"
        for name in off
        if off[name][0] not in (NOT_RUN, on[name][0])
    }
    assert differing.keys() <= EXPECTED.keys(), "\n\n".join(
        f"{name}: {what}" for name, what in differing.items() if name not in EXPECTED
    )


def test_what_may_end_differently_does(off: dict[str, Ending], on: dict[str, Ending]) -> None:
    """An exception that is no longer needed must go."""
    assert [name for name in EXPECTED if name not in off or off[name][0] in (NOT_RUN, on[name][0])] == []


def test_autotrack_was_on_and_no_hook_failed(on: dict[str, Ending], on_folder: Path) -> None:
    said = [line for path in on_folder.glob("said-*.log") for line in path.read_text().splitlines()]
    assert [line for line in said if not line.startswith((NOT_KEPT, TOO_FAST))] == []
    runs = Store(f"sqlite:///{on_folder}/runs.db").runs()
    assert len(runs) > 1000
    assert {run.state for run in runs} == {State.FINISHED, State.FAILED}
