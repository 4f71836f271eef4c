"""The kit catches each defect of a backend by the right test; `tests/backends/` has a sound one."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from autotrack.testing import BackendConformance
from autotrack.testing.registries import RegistryConformance

TOYS = Path(__file__).parent / "toys"
PROPERTY = "test_the_store_is_a_function_of_the_set_of_spans"
REGISTRY_PROPERTY = "test_a_registry_does_as_a_simple_one_would"
"""Left out: to make an example small in which they fail takes minutes."""

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

REGISTRY_DEFECTS = [
    # the body of a class that inherits the SQLite registry, the tests that fail
    pytest.param(
        """
        def register(self, name, *args, **told):
            with self._writing() as db:
                db.exec_driver_sql("DELETE FROM model_number WHERE name = ?", (name,))
                db.exec_driver_sql(
                    "INSERT INTO model_number SELECT ?, coalesce(max(version), 0) FROM model_version "
                    "JOIN registered_model ON pk = model WHERE name = ?", (name, name)
                )
            return super().register(name, *args, **told)
        """,
        {"versions_count_from_one_and_no_number_comes_twice", "a_renamed_model_keeps_all_it_has"},
        id="numbers that are given again",
    ),
    pytest.param(
        "def set_alias(self, *args, expected=None, **told): return super().set_alias(*args, **told)",
        {"an_alias_moves_from_where_it_is_expected"},
        id="an alias that moves whatever is expected",
    ),
    pytest.param(
        """
        def delete_version(self, name, version, **told):
            for alias in self.version(name, version).aliases:
                self.delete_alias(name, alias)
            super().delete_version(name, version, **told)
        """,
        {"what_has_an_alias_is_not_deleted"},
        id="a version deleted with its aliases",
    ),
    pytest.param(
        """
        def update(self, name, **told):
            with self._writing() as db:
                db.exec_driver_sql("INSERT INTO audit (time, author, verb, key, model, detail) "
                                   "VALUES (1, '', 'update', 0, 'churn', '{}')")
            return super().update(name, **told)
        """,
        {"each_verb_is_told_of_once"},
        id="an entry too many",
    ),
    pytest.param(
        "def search(self, *args, limit=100, after=''): return super().search(*args, limit=limit)",
        {"models_come_filtered_ordered_and_in_pages"},
        id="the same page again",
    ),
    pytest.param(
        "def versions(self, *args, **told): return super().versions(*args, **told)[::-1]",
        {"versions_count_from_one_and_no_number_comes_twice", "versions_come_in_pages", "stages_move_on"},
        id="the earliest version first",
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
REGISTRY_CONFTEST = """
from autotrack.backends.registry import SqlRegistry
from autotrack.backends.sqlite import SqliteBackend

class Registry(SqlRegistry):
{body}

class Backend(SqliteBackend):
    def __init__(self, url):
        super().__init__(url)
        self._registry = Registry(self.exists, self._reading, self._writing_apart)
"""
OF_THE_REGISTRY = [name for name in vars(RegistryConformance) if name.startswith("test_")]
SLOW = (REGISTRY_PROPERTY, "test_odd", "test_what_cannot_be", "test_who_registers", "test_of_two")
QUICK = [name for name in OF_THE_REGISTRY if not name.startswith(SLOW)]
"""Those of one case and one thread."""


@pytest.mark.parametrize(("body", "tests"), DEFECTS)
def test_a_defect_is_caught(pytester: pytest.Pytester, body: str, tests: set[str]) -> None:
    pytester.makeconftest(CONFTEST.format(body=textwrap.indent(textwrap.dedent(body), " " * 4)))
    shutil.copy(TOYS / "backend_tests.py", pytester.path)
    others = f"not ({' or '.join([PROPERTY, *OF_THE_REGISTRY])})"
    result = pytester.inline_run("-p", "no:cacheprovider", "backend_tests.py", "-k", others)
    passed, _, failed = result.listoutcomes()
    assert len(passed) + len(failed) >= sum(name.startswith("test_") for name in vars(BackendConformance)) - 1
    assert _names(failed) == {f"test_{test}" for test in tests}


@pytest.mark.parametrize(("body", "tests"), REGISTRY_DEFECTS)
def test_a_defect_of_the_registry_is_caught(pytester: pytest.Pytester, body: str, tests: set[str]) -> None:
    pytester.makeconftest(REGISTRY_CONFTEST.format(body=textwrap.indent(textwrap.dedent(body), " " * 4)))
    shutil.copy(TOYS / "backend_tests.py", pytester.path)
    chosen = " or ".join(QUICK)
    result = pytester.inline_run("-p", "no:cacheprovider", "backend_tests.py", "-k", chosen)
    passed, _, failed = result.listoutcomes()
    assert len(passed) + len(failed) >= len(QUICK)
    assert _names(failed) == {f"test_{test}" for test in tests}


def _names(failed: Sequence[Any]) -> set[str]:
    return {report.nodeid.rpartition("::")[2].partition("[")[0] for report in failed}
