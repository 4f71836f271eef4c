"""The kit passes a flavor without a fault, and catches each of these defects by the right test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from autotrack.testing import FlavorConformance

from .authors import installed

TOYS = Path(__file__).parent / "toys"
MODULE = "toylinear_autotrack.py"


@pytest.fixture
def author(pytester: pytest.Pytester) -> Iterator[pytest.Pytester]:
    """A folder with the toy library, its flavor and the author's tests, all of it installed."""
    files = [TOYS / name for name in ("toylinear.py", MODULE, "flavor_tests.py")]
    points = "[autotrack.flavors]\ntoylinear = toylinear_autotrack:LinearFlavor\n"
    with installed(pytester, files, {"toylinear_autotrack": points}):
        yield pytester


def failing(author: pytest.Pytester) -> set[str]:
    """The kit's tests that fail for the author."""
    result = author.inline_run("-p", "no:cacheprovider", "flavor_tests.py")
    passed, skipped, failed = result.listoutcomes()
    assert len(passed) + len(failed) == sum(name.startswith("test_") for name in vars(FlavorConformance))
    assert not skipped
    return {report.nodeid.rpartition("::test_")[2] for report in failed}


def test_a_flavor_without_a_fault_passes(author: pytest.Pytester) -> None:
    assert failing(author) == set()


FREEZES = "data = json"
LOADS = "coefficients = json.loads(folder.read(FILE))"
DEFECTS = [
    # a line of the flavor and what it becomes, the tests that fail
    pytest.param(
        "import json\n", "import json\nimport toylinear\n", {"importing_it_imports_no_library"}, id="eager"
    ),
    pytest.param(
        FREEZES,
        f"model.coefficients = (*model.coefficients,); {FREEZES}",
        {"freezing_leaves_the_model_alone"},
        id="the model changed",
    ),
    pytest.param(
        FREEZES,
        f"model.seen = True; {FREEZES}",
        {"freezing_leaves_the_model_alone"},
        id="an attribute added",
    ),
    pytest.param(
        FREEZES,
        f"__import__('toylinear').draw(); {FREEZES}",
        {"freezing_draws_no_random_numbers"},
        id="random numbers drawn",
    ),
    pytest.param(
        FREEZES,
        f"__import__('torch').rand(1); {FREEZES}",
        {"freezing_draws_no_random_numbers"},
        id="torch's random numbers drawn",
    ),
    pytest.param("if len(data) > limit:", "if False:", {"a_model_above_the_limit_is_refused"}, id="no limit"),
    pytest.param(
        'if type(model).__name__ != "Linear":\n            raise NotKept',
        "if not hasattr(model, 'coefficients'):\n"
        "            __import__('pickle').dumps(model); raise NotKept",
        {"a_stranger_is_refused"},
        id="a stranger pickled",
    ),
    pytest.param(
        'if type(model).__name__ != "Linear":',
        "if False:",
        {"a_stranger_is_refused"},
        id="a stranger let in",
    ),
    pytest.param(
        '{self.name: {"data": FILE}}',
        '{self.name: {"data": FILE, "kind": (1, 2)}}',
        {"its_sections_are_plain_data"},
        id="a section that is no plain data",
    ),
    pytest.param(
        '{self.name: {"data": FILE}}',
        '{"linear": {"data": FILE}}',
        {"its_sections_are_plain_data", "a_saved_model_predicts_the_same", "nothing_is_unpickled"},
        id="a section of another name",
    ),
    pytest.param(
        "return toylinear.Linear(coefficients)",
        "return toylinear.Linear(round(value) for value in coefficients)",
        {"a_saved_model_predicts_the_same"},
        id="other predictions",
    ),
    pytest.param(
        LOADS,
        "coefficients = json.loads(folder._files[FILE].path.read_bytes())",
        {"a_byte_changed_is_an_error"},
        id="files read past the check",
    ),
    pytest.param(
        LOADS,
        "coefficients = json.loads(folder.read(FILE)) if FILE in folder.names else [0.0]",
        {"a_missing_file_is_an_error"},
        id="a missing file made up",
    ),
    pytest.param(
        LOADS,
        "import pickle, array; coefficients = json.loads(folder.read(FILE)); "
        "pickle.loads(pickle.dumps(array.array('d')))",
        {"nothing_is_unpickled"},
        id="something unpickled",
    ),
    pytest.param(
        LOADS,
        "import pickle; data = folder.read(FILE); "
        "coefficients = json.loads(data) if data[:1] == b'[' else pickle.loads(data)",
        {"what_is_in_no_form_of_its_own_is_refused"},
        id="a pickle taken for a model",
    ),
    pytest.param(
        'raise ModelError(f"{FILE} is no JSON: {error}") from error',
        "import os; os.abort()",
        {"what_is_in_no_form_of_its_own_is_refused"},
        id="the process ended",
    ),
]


@pytest.mark.parametrize(("line", "defect", "tests"), DEFECTS)
def test_a_defect_is_caught(author: pytest.Pytester, line: str, defect: str, tests: set[str]) -> None:
    module = author.path / MODULE
    text = module.read_text()
    assert text.count(line) == 1
    module.write_text(text.replace(line, defect))
    assert failing(author) == tests


def test_a_flavor_that_is_not_installed_is_told_how(author: pytest.Pytester) -> None:
    (author.path / "toylinear_autotrack-1.0.dist-info" / "entry_points.txt").write_text("")
    assert {"a_model_finds_it_by_its_entry_point", "its_section_finds_it_by_its_entry_point"} <= failing(
        author
    )
