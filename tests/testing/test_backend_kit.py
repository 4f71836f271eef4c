"""The kit catches each defect of a backend by the right test; `tests/backends/` has a sound one."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

import pytest

from autotrack.testing import BackendConformance

TOYS = Path(__file__).parent / "toys"
PROPERTY = "test_the_store_is_a_function_of_the_set_of_spans"

DEFECTS = [
    # the body of a class that inherits the SQLite backend, the tests that fail
    pytest.param(
        "def runs(self, *search, limit=None): return super().runs(*search, limit=limit)[::-1]",
        {"runs_come_filtered_ordered_and_counted"},
        id="the earliest run first",
    ),
    pytest.param(
        "def count(self, *search): return min(super().count(*search), 3)",
        {"runs_come_filtered_ordered_and_counted"},
        id="a count with a ceiling",
    ),
    pytest.param(
        "def run_ids(self, text): return super().run_ids(text + '0')",
        {"a_run_is_found_by_the_ends_of_its_id"},
        id="ids found by their beginning only",
    ),
    pytest.param(
        "def fits(self, run_id): return []", {"everything_of_a_run_arrives"}, id="a reader that says nothing"
    ),
    pytest.param(
        """
        def points(self, run_id, name):
            points = super().points(run_id, name)
            order = points.step.argsort(kind='stable')
            return type(points)(points.step[order], points.time[order], points.value[order])
        """,
        {"points_come_by_segment_step_and_time"},
        id="points by step alone",
    ),
    pytest.param(
        """
        def points(self, run_id, name):
            points = super().points(run_id, name)
            return type(points)(points.step, points.time, numpy.nan_to_num(points.value))
        """,
        {"nan_and_infinities_are_values"},
        id="NaN lost",
    ),
    pytest.param(
        "def spans(self, run_id): return [s for s in super().spans(run_id) if s.parent_id != f'{1:016x}']",
        {"foreign_spans_are_of_the_run_they_name_or_hang_below"},
        id="the spans right below a run alone",
    ),
    pytest.param(
        """
        def write(self, spans, received=None):
            super().write([], received)
            for span in spans:
                super().write([span], received)
        """,
        {"a_write_that_fails_leaves_nothing"},
        id="a write in many transactions",
    ),
    pytest.param(
        """
        def write(self, spans, received=None):
            super().write((s for s in spans if s.attributes.get("ml.span.type") in KNOWN), received)
        """,
        {
            "a_span_that_means_nothing_is_kept",
            "foreign_spans_are_of_the_run_they_name_or_hang_below",
            "spans_keep_what_they_say",
        },
        id="unknown spans dropped",
    ),
    pytest.param(
        """
        def write(self, spans, received=None):
            super().write((renumbered(s) for s in spans), received)
        """,
        {
            "a_span_that_comes_again_changes_nothing",
            "spans_may_come_in_any_order",
            "spans_keep_what_they_say",
        },
        id="no ledger",
    ),
]

CONFTEST = """
import itertools, dataclasses, numpy
from autotrack import semconv
from autotrack.backends.sqlite import SqliteBackend

KNOWN = {{value for name, value in vars(semconv.SpanType).items() if name.isupper()}}
seqs = itertools.count(1)

def renumbered(span):
    return dataclasses.replace(span, attributes={{**span.attributes, "ml.seq": (next(seqs),)}})

class Backend(SqliteBackend):
{body}
"""


@pytest.mark.parametrize(("body", "tests"), DEFECTS)
def test_a_defect_is_caught(pytester: pytest.Pytester, body: str, tests: set[str]) -> None:
    pytester.makeconftest(CONFTEST.format(body=textwrap.indent(textwrap.dedent(body), " " * 4)))
    shutil.copy(TOYS / "backend_tests.py", pytester.path)
    result = pytester.inline_run("-p", "no:cacheprovider", "backend_tests.py", "-k", f"not {PROPERTY}")
    passed, _, failed = result.listoutcomes()
    assert len(passed) + len(failed) >= sum(name.startswith("test_") for name in vars(BackendConformance)) - 1
    names = {report.nodeid.rpartition("::")[2].partition("[")[0] for report in failed}
    assert names == {f"test_{test}" for test in tests}
