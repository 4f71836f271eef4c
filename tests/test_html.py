"""Runs in a notebook: everything escaped, self-contained, and readable without its style."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autotrack
from autotrack import semconv as sc
from autotrack.display.html import Html, element
from autotrack.display.svg import HEIGHT, WIDTH, sparkline
from autotrack.records import Points
from autotrack.store import Run, RunList

from .tracking import Tracking, tracking

__all__ = ["tracking"]

EVIL = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>&lt;\x1b[31m\u202e]]>"
INLINE = frozenset(("b", "code", "path", "span", "style", "summary", "svg"))
BLOCKS = frozenset(("details", "dd", "div", "dl", "dt", "pre"))
TABLES = frozenset(("table", "tbody", "td", "th", "thead", "tr"))


class Page(HTMLParser):
    """What a browser makes of markup: its tags, its attributes, its text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    @property
    def words(self) -> str:
        return " ".join(self.text)


def shown(thing: Run | RunList) -> Page:
    """The page, which is whole and does nothing."""
    page = Page(thing._repr_html_())
    assert page.open == []
    assert set(page.tags) <= INLINE | BLOCKS | TABLES
    names = {name for name, _ in page.attributes}
    assert names <= {"class", "title", "style", "open", "d", "viewbox", "width", "height"}
    return page


def fill(run: autotrack.ActiveRun, value: str) -> None:
    """Put a text wherever one can be put."""
    run.set_attributes({sc.VCS_REVISION: value, sc.HOST_NAME: value, f"x.{value}": value})
    run.log_text("data", f"a/{value}")
    facts = {sc.DATASET_ROLE: "eval", sc.DATASET_DIGEST: value, sc.DATASET_KIND: value}
    run.tell(sc.SpanType.DATASET, {sc.DATASET_NAME: value, sc.DATASET_SHAPE: [3, 2], **facts})
    model = {sc.MODEL_FLAVOR: value, sc.MODEL_CLASS: value, sc.MODEL_FACTS: "{}"}
    run.tell(sc.SpanType.MODEL, {sc.MODEL_PATH: value, **model})
    line = {sc.LOG_STREAM: "stdout", sc.LOG_LINE: 1, sc.LOG_TIMES: [1]}
    run.tell(sc.SpanType.LOG, {**line, sc.LOG_TEXT: value})
    run.log({value: 1.0, f"curve {value}": 0.0}, step=0)
    run.log({f"curve {value}": 2.0, f"system/{value}": 1.0}, step=1)


@pytest.fixture
def evil(tracking: Tracking) -> Iterator[RunList]:
    """A failed run with a child, which has markup wherever it can have text."""
    tracking.enable()
    settings = {"params": {EVIL: EVIL, f"{EVIL}__a": EVIL, f"{EVIL}__b": "None"}, "tags": {EVIL: EVIL}}
    with contextlib.suppress(ValueError), autotrack.run(EVIL, experiment=EVIL, **settings) as run:
        fill(run, EVIL)
        with autotrack.run(EVIL, params={EVIL: 2}):
            autotrack.log({EVIL: 2.0})
        raise ValueError(EVIL)
    autotrack.flush()
    return tracking.store.runs()


def test_what_looks_like_markup_is_text(evil: RunList) -> None:
    for thing in (evil, *evil):
        page = shown(thing)
        assert "<script>alert('x')</script>" in page.words
        assert "\\x1b[31m\\u202e" in page.words
    sections = ["Metrics", "Children", "Params", "Datasets", "Models", "Artifacts", "Tags", "System"]
    for title in [*sections, "Environment", "Log", "ValueError"]:
        assert title in shown(evil[1]).words


@given(st.text(), st.text())
def test_no_text_leaves_its_element(content: str, value: str) -> None:
    markup = element("td", content, Html("<b>ours</b>"), class_="number", title=value)
    page = Page(f"<tr>{markup}</tr>")
    assert page.tags == ["tr", "td", "b"]
    assert {name for name, _ in page.attributes} <= {"class", "title"}


def test_a_run(tracking: Tracking) -> None:
    tracking.enable()
    params = {"lr": 0.1, "scheduler": None, "pca": "PCA", "pca__whiten": True, "pca__n": 3}
    with autotrack.run("net", params=params) as run:
        for step in range(50):
            autotrack.log({"loss": 1 / (step + 1), "lr": 0.1}, step)
        run.set_attributes({sc.VCS_REVISION: "0123456789abcdef" * 2, sc.VCS_BRANCH: "main"})
    page = shown(tracking.run())
    assert page.rows[1][:5] == ["loss", "0.02", "0.02", "1", "50"]  # what has a direction comes first
    assert page.tags.count("path") == 2
    assert re.search(r"net ✓ +finished .* commit 01234567 on main", page.words)
    assert re.search(r"pca +PCA n 3 whiten True", page.words)
    assert "None: scheduler" in page.words


def test_candidates_of_a_search_come_by_rank(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("search") as run:
        for place, score in enumerate((0.5, 0.9, 0.7)):
            child = run.new_child(f"candidate {place}", params={"depth": place})
            child.log({"mean_test_score": score, "rank_test_score": {0.9: 1, 0.7: 2, 0.5: 3}[score]})
            child.end()
    search = next(run for run in tracking.runs() if run.name == "search")
    titles, *rows = shown(search).rows
    assert titles[:5] == ["name", "id", "rank_test_score", "mean_test_score", "depth"]
    assert [(row[0], row[3]) for row in rows] == [
        ("candidate 1", "0.9"),
        ("candidate 2", "0.7"),
        ("candidate 0", "0.5"),
    ]


def test_a_table_of_runs(tracking: Tracking) -> None:
    tracking.enable()
    for lr in (0.1, 0.2):
        with autotrack.run("net", params={"lr": lr, "seed": None, "layers": 3}):
            autotrack.log({"system/cpu": 3.0, "acc": lr})
    titles, *rows = shown(RunList(tracking.runs())).rows
    assert titles == ["name", "id", "state", "started", "duration", "acc", "lr", "layers"]
    assert [row[-3:] for row in rows] == [["0.2", "0.2", "3"], ["0.1", "0.1", "3"]]
    assert rows[0][2] == "✓ finished"


def test_many_runs_and_none(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("one"):
        pass
    [run] = tracking.runs()
    page = shown(RunList([run] * 10_000))
    assert len(page.rows) == 31
    assert "… and 9,970 more of 10,000" in page.words
    assert shown(RunList([])).words == "no runs"


def test_a_page_stays_small(tracking: Tracking) -> None:
    tracking.enable()
    with autotrack.run("huge", params={f"p{i}": i for i in range(3000)}):
        for step in range(2):
            autotrack.log({f"m{i}": float(i) for i in range(1000)}, step)
    run = tracking.run()
    assert len(run._repr_html_()) < 200_000
    assert "… and 2,800 more" in shown(run).words


def points(*values: float) -> Points:
    step = np.arange(len(values))
    return Points(step, step, np.array(values))


@pytest.mark.parametrize(
    ("curve", "strokes"),
    [
        (points(1.0, 2.0, 3.0), 1),
        (points(1.0, float("nan"), 3.0, float("inf"), 2.0, 1.0), 3),
        (points(5.0), 1),
        (points(-1.7e308, 1.7e308), 1),
        (points(2.0, 2.0), 1),
    ],
)
def test_a_curve_breaks_where_there_is_no_number(curve: Points, strokes: int) -> None:
    [path] = ElementTree.fromstring(sparkline(curve))
    drawn = path.attrib["d"]
    assert drawn.count("M") == strokes
    numbers = [float(n) for n in re.findall(r"[ML]([\d.]+) ([\d.]+)", drawn) for n in n]
    assert len(numbers) == 2 * np.isfinite(curve.value).sum()
    assert all(0 <= n <= max(WIDTH, HEIGHT) for n in numbers)


def test_a_curve_without_a_number_is_nothing() -> None:
    assert sparkline(points(float("nan"), float("inf"))) == ""


def test_reading_loads_no_page() -> None:
    source = "import sys, autotrack.store; print([m for m in sys.modules if 'display' in m])"
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
