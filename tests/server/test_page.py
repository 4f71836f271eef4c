"""The page in a real Chromium, against a real server."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from autotrack.grammar import parse_filter
from autotrack.server import ui
from autotrack.states import State
from autotrack.store import Run, Store

from ..scripts import TIMEOUT, Place, free_port, wait_for, wait_until
from .browsing import Locator, Page, expect, serving

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
MANY = f"""
    import math
    import autotrack
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    autotrack.enable()
    for i in range(1000):
        params = {{"lr": 0.1 / (i + 1), "depth": i % 7}}
        with autotrack.run(f"run-{{i:04d}}", experiment="many", params=params):
            autotrack.log({{"acc": i / 1000, "loss": 1 - i / 1000}})
    with autotrack.run("long", experiment="curves", params={{"seed": 1}}):
        for step in range(100_000):
            value = {{50_000: math.nan, 60_000: math.inf}}.get(step, math.sin(step / 5000))
            autotrack.log({{"loss": value}}, step=step)
    with autotrack.run("short", experiment="curves", params={{"seed": 2}}):
        for step in range(20):
            autotrack.log({{"loss": 1 / (step + 1)}}, step=step)
    with autotrack.run("search", experiment="family"):
        for lr in (0.1, 0.2):
            with autotrack.run(f"candidate {{lr}}", params={{"lr": lr}}):
                autotrack.log({{"score": lr}})
    with autotrack.run({HOSTILE!r}, experiment={HOSTILE!r}, params={{{HOSTILE!r}: {HOSTILE!r}}}) as run:
        autotrack.log({{{HOSTILE!r}: 1.0}})
        run.set_tags({{"bidi": "abc\\u202edef"}})
        print({HOSTILE!r})
        open("note.txt", "w").write("kept")
        run.log_artifact("note.txt")
    try:
        with autotrack.run("broken", experiment="family"):
            raise ValueError({HOSTILE!r})
    except ValueError:
        pass
    steps = make_pipeline(StandardScaler(), LogisticRegression())
    X, y = load_iris(return_X_y=True, as_frame=True)  # its columns' names make a long signature
    GridSearchCV(steps, {{"logisticregression__C": [0.1, 1.0]}}, cv=2).fit(X, y)
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A store with a thousand runs, and one of each kind that is odd."""
    folder = tmp_path_factory.mktemp("many")
    url = f"sqlite:///{folder}/runs.db"
    own = {"AUTOTRACK_STORE": url, "XDG_DATA_HOME": str(folder), "HOME": str(folder)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTOTRACK_", "OTEL_"))}
    place = Place(folder, url, kept | own)
    assert place.run(MANY).returncode == 0
    return place


@pytest.fixture(scope="module")
def served(many: Place) -> Iterator[str]:
    with serving(many) as address:
        yield address


def rows(page: Page) -> Locator:
    """The table's rows that are drawn."""
    return page.locator("tr[data-run]")


def open_run(page: Page, address: str, name: str) -> None:
    """The page of the run of that name."""
    page.goto(f"{address}?filter=" + f"name = '{name}'".replace(" ", "+"))
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)


# --- what lies in the package ----------------------------------------------------------------------


def test_what_others_wrote_is_what_its_table_says() -> None:
    vendor = ui.FOLDER / "vendor"
    table = [line.strip("|").split("|") for line in (vendor / "README.md").read_text().splitlines()[7:]]
    told = {cells[0].strip(): (cells[4].strip(), cells[5].strip()) for cells in table}
    files = {path.name for path in vendor.iterdir()}
    assert {name: hashlib.sha256((vendor / name).read_bytes()).hexdigest() for name in told} == {
        name: digest for name, (digest, _) in told.items()
    }
    assert files == set(told) | {licence for _, licence in told.values()} | {"README.md"}


def test_all_of_the_page_is_small() -> None:
    files = [file for file in ui.FOLDER.rglob("*") if file.suffix in (".html", ".css", ".js", ".mjs", ".svg")]
    assert len(files) > 30
    assert sum(len(gzip.compress(file.read_bytes())) for file in files) < 130_000


def test_every_module_that_the_first_view_imports_is_fetched_at_once() -> None:
    page = (ui.FOLDER / "index.html").read_text()
    preloaded = set(re.findall(r'modulepreload" href="\./static/([^"]+)"', page))
    found, left = set(), {"app/main.js"}
    names = json.loads(re.search(r'importmap">(.*?)</script>', page, re.DOTALL)[1])["imports"]
    while left:
        module = left.pop()
        found.add(module)
        source = (ui.FOLDER / module).read_text()
        for name in re.findall(r'(?:^|[;}\s])(?:import|export)[^;"()]*?from\s*"([^"]+)"', source):
            file = names.get(name, name).removeprefix("./static/")
            left |= {file if "/" in file and not name.startswith(".") else f"app/{name[2:]}"} - found
    assert preloaded | {"app/main.js"} == found


def test_the_filters_in_the_help_are_filters() -> None:
    listed = re.search(r"FILTERS = \[(.*?)\];", (ui.FOLDER / "app/main.js").read_text(), re.DOTALL)
    filters = re.findall(r'"(.*)",', listed[1])
    assert len(filters) == 4
    for text in filters:
        parse_filter(text)


# --- the table -------------------------------------------------------------------------------------


def test_an_empty_store_says_how_to_fill_it_and_shows_the_first_run(page: Page, store: Place) -> None:
    with serving(store) as address:
        page.goto(address)
        expect(page.locator(".empty pre")).to_have_text("import autotrack\nautotrack.enable()")
        store.run("import autotrack\nwith autotrack.run('first'): autotrack.log({'loss': 1})")
        expect(rows(page)).to_have_count(1)
        expect(rows(page)).to_contain_text("first")


def test_a_thousand_runs_are_scrolled_through_in_a_small_document(page: Page, served: str) -> None:
    page.goto(f"{served}?experiment=many")
    expect(rows(page).first).to_contain_text("run-0999")
    expect(page.locator(".count")).to_have_text("1,000 runs")
    seen = page.locator(".rows")
    for _ in range(20):
        seen.evaluate("element => element.scrollTo(0, element.scrollHeight)")
        page.wait_for_timeout(100)
        if rows(page).last.inner_text().lstrip().startswith("run-0000"):
            break
    expect(rows(page).last).to_contain_text("run-0000")
    assert rows(page).count() < 100
    assert seen.evaluate("element => element.scrollHeight") > 1000 * 24


def test_a_click_on_a_title_sorts_and_the_address_keeps_it(page: Page, served: str) -> None:
    page.goto(f"{served}?experiment=many")
    page.get_by_role("columnheader", name="loss").get_by_role("button").click()
    expect(page.get_by_role("columnheader", name="loss")).to_have_attribute("aria-sort", "ascending")
    expect(rows(page).first).to_contain_text("run-0999")
    page.get_by_role("columnheader", name="loss").get_by_role("button").click()
    expect(rows(page).first).to_contain_text("run-0000")
    page.reload()
    expect(rows(page).first).to_contain_text("run-0000")
    expect(page.get_by_role("columnheader", name="loss")).to_have_attribute("aria-sort", "descending")


def test_a_filter_finds_runs_and_a_wrong_one_is_marked_where_it_is_wrong(page: Page, served: str) -> None:
    page.goto(served)
    rows(page).first.wait_for()
    page.keyboard.press("/")
    page.keyboard.type("metrics.acc > 0.99 and params.depth = 1")
    page.keyboard.press("Enter")
    expect(page.locator(".count")).to_have_text("1 run")
    expect(rows(page)).to_contain_text("run-0995")
    page.get_by_label("Filter").fill("metrics.acc > high")
    page.keyboard.press("Enter")
    error = page.locator("#filter-error")
    expect(error).to_have_text("^ text stands in quotes: write 'high'")
    assert error.inner_text().startswith(" " * len("metrics.acc > ") + "^")
    text = page.get_by_label("Filter").bounding_box()
    mark = error.evaluate(
        "pre => { const range = document.createRange(); range.setStart(pre.firstChild, 14);"
        "range.setEnd(pre.firstChild, 15); return range.getBoundingClientRect().x }"
    )
    character = error.evaluate(
        "pre => { const pen = document.createElement('canvas').getContext('2d');"
        "pen.font = getComputedStyle(pre).font; return pen.measureText('0').width }"
    )
    assert abs(mark - (text["x"] + 9 + 14 * character)) < 2  # 9 px: the field's border and padding


def test_children_are_folded_below_their_parent(page: Page, served: str) -> None:
    page.goto(f"{served}?experiment=family")
    expect(rows(page)).to_have_count(2)
    page.get_by_role("button", name="2 children of search").click()
    expect(rows(page)).to_have_count(4)
    expect(rows(page).filter(has_text="candidate 0.2")).to_be_visible()
    page.reload()
    expect(rows(page)).to_have_count(4)


def test_keys_move_mark_open_and_compare(page: Page, served: str) -> None:
    page.goto(f"{served}?experiment=curves")
    expect(rows(page)).to_have_count(2)
    for key in "jxjx":
        page.keyboard.press(key)
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(2)
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("short")
    page.keyboard.press("u")
    expect(rows(page)).to_have_count(2)
    page.keyboard.press("c")
    expect(page.get_by_role("heading", level=1)).to_contain_text("2 runs side by side")
    expect(page.locator("figure canvas")).to_have_count(1)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


# --- with a token ----------------------------------------------------------------------------------


def test_the_address_that_works_once_lets_a_browser_in_for_good(page: Page, store: Place) -> None:
    with serving(store, command=("ui", "--no-browser")) as address:
        bare, _, key = address.partition("?key=")
        assert key
        page.goto(bare)
        expect(page.locator("body")).to_contain_text("This page needs a key")
        page.goto(address)
        expect(page.locator(".empty pre")).to_have_text("import autotrack\nautotrack.enable()")
        expect(page).to_have_url(bare)
        expect(page.locator(".connection")).to_contain_text("live")
        store.run("import autotrack\nwith autotrack.run('first'): pass")
        expect(rows(page)).to_have_count(1)  # told of by an event
        page.reload()
        expect(rows(page)).to_contain_text("first")
        [cookie] = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        page.context.clear_cookies()
        page.goto(address)
        expect(page.locator("body")).to_contain_text("This page needs a key")  # it worked once


# --- a run -----------------------------------------------------------------------------------------


def test_a_long_curve_says_how_much_of_it_is_shown_and_where_it_is_no_number(page: Page, served: str) -> None:
    open_run(page, served, "long")
    notes = page.locator("figure .notes")
    expect(notes).to_contain_text("of 100,000 points shown")
    expect(notes).to_contain_text("2 NaN or inf")
    expect(page.locator("figure canvas")).to_have_count(1)
    assert page.locator("figure canvas").evaluate(
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
    )
    shown = int(re.match(r"([\d,]+) of", notes.inner_text())[1].replace(",", ""))
    width = page.locator("figure .plot").bounding_box()["width"]
    assert width / 2 < shown < 2 * width
    page.get_by_role("button", name="log scale").click()
    expect(notes).to_contain_text("at or below 0: not on this scale")
    expect(page).to_have_url(re.compile("log=1"))


def test_who_looks_closer_sees_every_point(page: Page, served: str) -> None:
    open_run(page, served, "long")
    notes = page.locator("figure .notes")
    expect(notes).to_contain_text("points shown")
    plot = page.locator("figure .u-over").bounding_box()
    page.mouse.move(plot["x"] + 100, plot["y"] + 50)
    expect(page.locator("figure .readout")).to_contain_text("step")
    page.mouse.down()
    page.mouse.move(plot["x"] + 140, plot["y"] + 50, steps=4)
    page.mouse.up()
    expect(notes).not_to_contain_text("points shown")
    page.mouse.dblclick(plot["x"] + 100, plot["y"] + 50)
    expect(notes).to_contain_text("points shown")


def test_training_calls_are_a_tree_of_bars_over_the_runs_time(page: Page, many: Place, served: str) -> None:
    [search] = many.open().runs("name = 'GridSearchCV'")
    page.goto(f"{served}?run={search.id}")
    assert waterfall(page, search) == [
        ("Pipeline", None),
        ("StandardScaler", "Pipeline"),
        ("LogisticRegression", "Pipeline"),
        ("LabelEncoder", "LogisticRegression"),
    ]
    for candidate in many.open().children(search.id):
        page.goto(f"{served}?run={candidate.id}")
        assert waterfall(page, candidate) == [("Pipeline", None), ("Pipeline", None)]  # its two folds


def waterfall(page: Page, run: Run) -> list[tuple[str, str | None]]:
    """Each training call with the one that it is shown below; the bars are where and as long as they were."""
    lines = page.locator("#training-calls tbody tr")
    expect(lines).to_have_count(len(run.fits))
    drawn = lines.evaluate_all(
        """lines => lines.map(line => {
            const [name, track, bar] = ["th", ".track", ".bar"].map(part => line.querySelector(part));
            const { left, width } = track.getBoundingClientRect(), at = bar.getBoundingClientRect();
            return { name: name.innerText.trim(), indent: parseFloat(getComputedStyle(name).paddingLeft),
                from: (at.left - left) / width, to: (at.right - left) / width, pixel: 1 / width };
        })"""
    )
    left = list(run.fits)
    shown: list[tuple[str, str | None]] = []
    above: list[dict[str, Any]] = []
    for call in drawn:
        while above and above[-1]["indent"] >= call["indent"]:
            above.pop()
        slack = 2 * call["pixel"]  # the least that a bar is wide
        if above:
            assert above[-1]["from"] - slack <= call["from"] < call["to"] <= above[-1]["to"] + slack
        [fit] = [
            fit
            for fit in left
            if fit.name == call["name"]
            and abs((fit.started - run.started).total_seconds() / run.duration - call["from"]) < slack
            and abs(fit.duration / run.duration - (call["to"] - call["from"])) < slack
        ]
        left.remove(fit)
        shown.append((call["name"], above[-1]["name"] if above else None))
        above.append(call)
    return shown


def test_what_users_wrote_is_text(page: Page, served: str) -> None:
    page.goto(served)
    expect(page.get_by_label("Experiment")).to_contain_text(HOSTILE)
    page.get_by_label("Experiment").select_option(HOSTILE)
    page.get_by_role("link", name=HOSTILE).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(HOSTILE)
    for part in ("#metrics", "#params", "#logs"):
        expect(page.locator(part)).to_contain_text(HOSTILE)
    expect(page.locator("#tags")).to_contain_text(r"abc\u{202e}def")
    assert page.locator("img").count() == 0
    assert page.title() != "owned"
    with page.expect_download() as download:
        page.get_by_role("link", name="note.txt").click()
    assert Path(download.value.path()).read_text() == "kept"


@pytest.mark.parametrize("width", [1400, 800])
def test_the_tables_of_a_run_fit_its_page(page: Page, many: Place, served: str, width: int) -> None:
    [search] = many.open().runs("name = 'GridSearchCV'")
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{served}?run={search.id}")
    for part in ("#models", "#datasets", "#training-calls", "#artifacts"):
        frame = page.locator(f"{part} .scroll")
        expect(frame).to_be_visible()
        assert frame.evaluate("frame => frame.scrollWidth - frame.clientWidth") <= 0, part


def test_a_failed_run_shows_why(page: Page, served: str) -> None:
    open_run(page, served, "broken")
    expect(page.locator(".error")).to_contain_text(f"ValueError {HOSTILE}")
    expect(page.locator(".error pre")).to_contain_text("raise ValueError")
    assert page.locator("img").count() == 0


def test_a_run_that_is_not_there_is_said_plainly(page: Page, served: str) -> None:
    page.goto(f"{served}?run=0000")
    expect(page.get_by_role("alert")).to_contain_text("no run has the id '0000'")


# --- while it is open ------------------------------------------------------------------------------

LIVE = """
    import autotrack
    autotrack.enable()
    with autotrack.run("live"):
        for step in range(100_000):
            autotrack.log({"loss": 1 / (step + 1)}, step=step)
            print(f"step {step}", flush=True)
            autotrack.flush()
            if input() == "end":
                break
"""


def test_a_run_grows_while_the_page_is_open(page: Page, store: Place) -> None:
    with serving(store) as address:
        page.goto(address)
        process = store.start(LIVE)
        wait_for(process, "step 0")
        expect(rows(page)).to_contain_text("running")
        page.get_by_role("link", name="live").click()
        points = page.locator("#metrics tbody td").last
        expect(points).to_have_text("1")
        for step in range(1, 6):
            print("go on", file=process.stdin, flush=True)
            wait_for(process, f"step {step}")
        expect(points).to_have_text("6")
        expect(page.locator("figure canvas")).to_have_count(1)
        expect(page.locator("#logs")).to_contain_text("step 5")
        process.communicate("end\n", timeout=TIMEOUT)
        expect(page.locator("h1 .state")).to_contain_text("finished")


BEAT = 1.0
DIES = """
    import time
    import autotrack
    autotrack.enable()
    with autotrack.run("dies"):
        autotrack.flush()
        time.sleep(3600)
"""


@pytest.mark.slow
def test_a_killed_process_is_shown_lost_within_a_beat_of_when_the_server_says_it(
    page: Page, store: Place
) -> None:
    with serving(store) as address:
        training = store.start(
            DIES, env={"AUTOTRACK_STORE": address, "AUTOTRACK_BEAT_INTERVAL": str(BEAT)}, name="dies"
        )
        reader = Store(address)
        wait_until(lambda: len(reader.runs()) == 1)
        [run] = reader.runs()
        clock = page.context.clock
        clock.install()
        pages = [page, page.context.new_page(), page.context.new_page()]
        for shown, query in zip(pages, ("", f"?run={run.id}", f"?compare={run.id}"), strict=True):
            shown.goto(address + query)
            expect(shown.locator(".state")).to_contain_text("running")

        clock.pause_at(datetime.now() + timedelta(seconds=1))
        training.kill()
        wait_until(lambda: reader.run(run.id).state is State.LOST)
        clock.run_for(2 * BEAT * 1000)  # what it may just be busy with takes one
        for shown in pages:
            expect(shown.locator(".state")).to_contain_text("lost")
        reader.close()


def test_what_comes_in_leaves_alone_what_is_being_typed(page: Page, store: Place) -> None:
    with serving(store) as address:
        page.goto(address)
        page.get_by_label("Filter").press_sequentially("metrics.")
        store.run("import autotrack\nwith autotrack.run('new'): pass")
        expect(rows(page)).to_have_count(1)
        expect(page.get_by_label("Filter")).to_have_value("metrics.")


def test_a_server_that_goes_away_is_told_and_its_return_is_seen(page: Page, store: Place) -> None:
    store.run("import autotrack\nwith autotrack.run('before'): pass")
    port = free_port()
    with serving(store, port) as address:
        page.goto(address)
        expect(rows(page)).to_have_count(1)
    expect(page.locator(".connection")).to_contain_text("the server does not answer")
    page.get_by_role("columnheader", name="name").get_by_role("button").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("The server does not answer"))
    store.run("import autotrack\nwith autotrack.run('after'): pass")
    with serving(store, port):
        expect(page.locator(".connection")).to_contain_text("live")
        expect(rows(page)).to_have_count(2)


# --- for everybody ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "view", ["?experiment=many", "?filter=oops", "long", "broken", HOSTILE, "compare", "help"]
)
def test_nothing_stands_in_the_way_of_assistive_technology(
    page: Page, served: str, view: str, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=scheme)
    if view.startswith("?"):
        page.goto(served + view)
        page.locator("tr[data-run], [role=alert]").first.wait_for()
    elif view in ("compare", "help"):
        page.goto(f"{served}?experiment=curves")
        for key in {"compare": "jxjxc", "help": "?"}[view]:
            page.locator("tr[data-run]").first.wait_for()
            page.keyboard.press(key)
        page.locator("figure canvas, dialog").first.wait_for()
    elif view == HOSTILE:
        page.goto(f"{served}?filter=name+like+'<img%25'")
        page.locator("tr[data-run] a").click()
        page.locator("#environment").wait_for()
    else:
        open_run(page, served, view)
        page.locator("#environment").wait_for()
    found = axe.run(page)
    assert found.response["violations"] == [], found.generate_report()
