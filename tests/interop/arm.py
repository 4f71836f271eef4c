"""A pytest plugin: how every test ended, with autotrack on where `AUTOTRACK_ARM` is "on".

Loaded by `-p`, in the process that was started and in its xdist workers. Where a file `passed.json` lists
tests, these are collected and not run.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ["AUTOTRACK_ARM_FOLDER"])


def pytest_configure(config: pytest.Config) -> None:
    if os.environ["AUTOTRACK_ARM"] == "on":
        import autotrack
        from autotrack.recording import report

        report.MOST_LINES = 10**6  # all that is said, as it is looked through
        said = logging.FileHandler(FOLDER / f"said-{os.getpid()}.log", "w", encoding="utf-8")
        logging.getLogger("autotrack").addHandler(said)
        autotrack.enable(quiet=True)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes())


class Outcomes:
    """Every test with its outcome, and for one that did not pass where it ended."""

    def __init__(self) -> None:
        self._ended: dict[str, tuple[str, str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        file = FOLDER / "passed.json"
        passed = set(json.loads(file.read_text())) if file.exists() else set()
        self._ended |= {item.nodeid: ("not run", "") for item in items if item.nodeid in passed}
        items[:] = [item for item in items if item.nodeid not in passed]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            outcome = f"x{report.outcome}" if hasattr(report, "wasxfail") else report.outcome
            self._ended[report.nodeid] = outcome, report.longreprtext if report.failed else ""

    def pytest_sessionfinish(self, session: Any) -> None:
        (FOLDER / "outcomes.json").write_text(json.dumps(self._ended))
