"""The kit passes an integration without a fault, and catches each of these defects by the right test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wrapt

from autotrack._patching import driver, patcher
from autotrack._patching.patcher import Patcher
from autotrack._patching.wrappers import PatchedMethod
from autotrack.testing import IntegrationConformance

from .authors import installed

TOYS = Path(__file__).parent / "toys"

RECORD = "run.log_params("
"""Where each of the toy's hooks begins."""


@pytest.fixture
def author(pytester: pytest.Pytester) -> Iterator[pytest.Pytester]:
    """A folder with the toy library, its integration and the author's tests, all of it installed."""
    points = "[autotrack.integrations]\ntoyboost = toyboost_autotrack:Toyboost\n"
    with installed(pytester, TOYS.glob("*.py"), {"toyboost": "", "toyboost_autotrack": points}):
        yield pytester


def failing(author: pytest.Pytester, tests: str) -> set[str]:
    """The kit's tests that fail for the author."""
    result = author.inline_run("-p", "no:cacheprovider", f"kit_tests.py::{tests}")
    passed, skipped, failed = result.listoutcomes()
    assert len(passed) + len(failed) >= sum(name.startswith("test_") for name in vars(IntegrationConformance))
    assert not skipped
    return {report.nodeid.rpartition("::")[2].partition("[")[0] for report in failed}


@pytest.mark.parametrize("tests", ["TestFit", "TestTrain"])
def test_an_integration_without_a_fault_passes(author: pytest.Pytester, tests: str) -> None:
    assert failing(author, tests) == set()


IN_THE_INTEGRATION = [
    # the author's test class, the line of the integration and what it becomes, the test that fails
    pytest.param(
        "TestFit",
        "from autotrack import",
        "import toyboost\nfrom autotrack import",
        "importing_it_imports_no_library",
        id="eager import",
    ),
    pytest.param(
        "TestTrain",
        "from autotrack import",
        "import numpy\nfrom autotrack import",
        "importing_it_imports_no_library",
        id="heavy import",
    ),
    pytest.param(
        "TestFit",
        RECORD,
        f"__import__('random').random(); {RECORD}",
        "random_states_are_the_same",
        id="RNG touched",
    ),
    pytest.param(
        "TestTrain",
        RECORD,
        f"__import__('numpy').random.rand(); {RECORD}",
        "random_states_are_the_same",
        id="numpy's RNG touched",
    ),
    pytest.param(
        "TestTrain",
        RECORD,
        f"call.arguments.get('generator').random(); {RECORD}",
        "arguments_are_left_alone",
        id="the user's generator drawn from",
    ),
    pytest.param(
        "TestFit",
        RECORD,
        f"call.arguments['settings']['seen'] = 1; {RECORD}",
        "arguments_are_left_alone",
        id="argument mutated",
    ),
    pytest.param(
        "TestTrain",
        'call.append("callbacks", Points(run))',
        'call.arguments["callbacks"] is None or call.arguments["callbacks"].append(Points(run))',
        "arguments_are_left_alone",
        id="the user's list appended to",
    ),
    pytest.param(
        "TestFit",
        RECORD,
        f"type(call.instance).is_tracked = True; {RECORD}",
        "disable_restores_every_attribute",
        id="attribute added and not removed",
    ),
    pytest.param(
        "TestTrain",
        "yield",
        "outcome = yield\n        if outcome.value: outcome.value.losses[-1] += 1e-9",
        "results_are_the_same_bit_by_bit",
        id="return value altered",
    ),
    pytest.param("TestFit", "yield", "yield\n        yield", "its_hooks_do_not_fail", id="two yields"),
    pytest.param(
        "TestTrain",
        RECORD,
        f"run.set_attributes({{'ml.toyboost.rate': 0.1}}); {RECORD}",
        "its_spans_follow_the_conventions",
        id="an attribute of its own under our prefix",
    ),
    pytest.param(
        "TestFit",
        RECORD,
        f"run.tell('dataset', {{'ml.dataset.name': 'train', 'ml.dataset.size': 8.0}}); {RECORD}",
        "its_spans_follow_the_conventions",
        id="a span that lacks what it must have",
    ),
]


@pytest.mark.parametrize(("tests", "line", "defect", "test"), IN_THE_INTEGRATION)
def test_a_defect_of_the_integration_is_caught(
    author: pytest.Pytester, tests: str, line: str, defect: str, test: str
) -> None:
    file = author.path / "toyboost_autotrack.py"
    sound = file.read_text()
    assert line in sound
    file.write_text(sound.replace(line, defect))
    assert failing(author, tests) == {f"test_{test}"}


IN_AUTOTRACK = [
    # the author's test class, what is broken in place of a sound function, the test that fails
    pytest.param(
        "TestFit",
        Patcher,
        "_put_on",
        lambda sound: lambda *place: (sound(*place), sound(*place))[1],
        "enabling_twice_wraps_once",
        id="double patch",
    ),
    pytest.param(
        "TestFit",
        driver._Session,
        "__exit__",
        lambda sound: lambda *ended: (sound(*ended), True)[1],
        "an_error_reaches_the_user",
        id="swallowed exception",
    ),
    pytest.param(
        "TestFit",
        driver._Session,
        "_end_run",
        lambda sound: lambda session, error: None if error else sound(session, error),
        "an_error_fails_the_run_and_leaves_none_open",
        id="leaked run on error",
    ),
    pytest.param(
        "TestFit",
        PatchedMethod,
        "__reduce_ex__",
        lambda sound: wrapt.BoundFunctionWrapper.__reduce_ex__,
        "patched_functions_pickle_as_the_librarys_own",
        id="unpicklable bound method",
    ),
    pytest.param(
        "TestTrain",
        driver.Driver,
        "__call__",
        lambda sound: (
            lambda self, wrapped, instance, args, kwargs: (
                sound(self, wrapped, instance, args, kwargs)
                if threading.current_thread() is threading.main_thread()
                else wrapped(*args, **kwargs)
            )
        ),
        "threads_are_separate_runs",
        id="lost thread",
    ),
    pytest.param(
        "TestFit",
        patcher,
        "_restore",
        lambda sound: lambda patch: setattr(patch.owner, patch.attribute, patch.owner.__dict__["fit"]),
        "disable_restores_every_attribute",
        id="attribute not restored",
    ),
    pytest.param(
        "TestFit",
        driver.Driver,
        "__call__",
        lambda sound: lambda *call: (sound(*call), None)[1],
        "results_are_the_same_bit_by_bit",
        id="return value lost",
    ),
]


@pytest.mark.parametrize(("tests", "owner", "attribute", "broken", "test"), IN_AUTOTRACK)
def test_a_defect_of_autotrack_is_caught(
    author: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    tests: str,
    owner: Any,
    attribute: str,
    broken: Callable[[Any], Any],
    test: str,
) -> None:
    monkeypatch.setattr(owner, attribute, broken(getattr(owner, attribute)))
    assert failing(author, tests) == {f"test_{test}"}
