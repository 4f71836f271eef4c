"""Which metrics a user's code logs, as its source says."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from autotrack.recording.spelled import names_logged


def seen(folder: Path, source: str) -> set[str]:
    """What is found where a script of this source calls `here()`."""
    script = folder / "script.py"
    text = textwrap.dedent(source)
    script.write_text(text, "utf-8")
    found: list[set[str]] = []
    space: dict[str, Any] = {
        "here": lambda: found.append(names_logged(sys._getframe(1))),
        "__name__": "__main__",
    }
    exec(compile(text, script, "exec"), space)
    [names] = found
    return names


LOOP = """
    for epoch in range(1):
        here()
"""


@pytest.mark.parametrize(
    ("imports", "call"),
    [
        ("import autotrack", 'autotrack.log({"loss": 1.0, "acc": 2}, epoch)'),
        ("import autotrack as at", 'at.log({"loss": 1.0, "acc": 2})'),
        ("from autotrack import log", 'log({"loss": 1.0, **{}, "acc": 2})'),
        ("from autotrack import log as tell", "tell(dict(loss=1.0, acc=2))"),
        ("import autotrack", 'told = {"loss": 1.0}; told["acc"] = 2; autotrack.log(told)'),
        ("import autotrack", 'told: dict = {"loss": 1.0}; told |= {"acc": 2}; autotrack.log(told)'),
        ("import autotrack", 'told = {}; told.update({"loss": 1, "acc": 2}); autotrack.log(metrics=told)'),
        ("import autotrack\nif True:\n  def tell(): autotrack.log({'loss': 1, 'acc': 2})", "tell()"),
        ("import autotrack\nif 0: run = autotrack.run('r')", 'run.log({"loss": 1.0, "acc": 2})'),
        ("from autotrack import active_run as a\nif 0: r = a()", 'r.log({"loss": 1.0, "acc": 2})'),
    ],
)
def test_names_that_are_written_out(tmp_path: Path, imports: str, call: str) -> None:
    assert seen(tmp_path, f"{imports}\n{textwrap.dedent(LOOP)}    if epoch: {call}") == {"loss", "acc"}


def test_in_functions_that_go_on_and_in_those_that_they_name(tmp_path: Path) -> None:
    source = """
        import autotrack
        def report(value):
            autotrack.log({"mean": value})
        class Other:
            def fit(self):
                autotrack.log({"other": 1})
        def epoch():
            here()
        def main():
            epoch()
            if False:
                report(1)
                autotrack.log({"loss": 1})
        main()
    """
    assert seen(tmp_path, source) == {"mean", "loss"}


def test_where_the_package_is_imported_in_the_function(tmp_path: Path) -> None:
    source = """
        def main():
            import autotrack
            here()
            if False:
                with autotrack.run("r") as it:
                    it.log({"loss": 1})
        main()
    """
    assert seen(tmp_path, source) == {"loss"}


@pytest.mark.parametrize(
    "source",
    [
        'import math, autotrack\ntracker = lambda: 0\nhere()\nif 0: tracker.log({"loss": 1}), math.log(2)',
        "import autotrack\nhere()\nif 0: autotrack.log(), autotrack.log(name), autotrack.log({name: 1})",
        'here()\nhistory = {"loss": []}',
    ],
)
def test_others_are_not_ours(tmp_path: Path, source: str) -> None:
    assert seen(tmp_path, source) == set()


def test_what_is_odd_in_the_source_is_not_told_again(tmp_path: Path) -> None:
    found: list[set[str]] = []
    text = 'import autotrack\npattern = "\\d"\nhere()\nif 0: autotrack.log({"loss": 1})'
    (tmp_path / "script.py").write_text(text, "utf-8")
    with pytest.warns(match="invalid escape"):
        code = compile(text, tmp_path / "script.py", "exec")
    exec(code, {"here": lambda: found.append(names_logged(sys._getframe(1)))})  # warnings are errors here
    assert found == [{"loss"}]


def test_without_a_source() -> None:
    found: list[set[str]] = []
    space = {"here": lambda: found.append(names_logged(sys._getframe(1)))}
    exec(compile("import autotrack\nhere()", "<no file>", "exec"), space)
    assert found == [set()]
