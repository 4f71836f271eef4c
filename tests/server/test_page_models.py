"""The page's registered models in a real Chromium, against a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

import autotrack
from autotrack.errors import OptionError
from autotrack.registry import Registry
from autotrack.states import Stage
from autotrack.testing.histories import RUNS

from ..registered import trained
from ..scripts import Place
from ..tracking import Tracking, tracking  # noqa: F401
from .browsing import Locator, Page, Route, expect
from .live import Threaded

HOSTILE = """# About <img src=x onerror="document.title='owned'">

**Good** at *this* and `that`, see [the book](https://example.com/a?b=1), not [here](javascript:alert(1)).

- <script>document.title = 'owned'</script>
- ![a picture](http://192.0.2.1/x.png)

```
<b>code</b>
```
"""


@dataclass
class Served:
    """Where the page is, and the registry below it, as another process has it in hand."""

    address: str
    registry: Registry

    def register(self, name: str = "churn", run: str = RUNS[0], alias: str | None = None) -> None:
        self.registry.register(name, run, "model", alias=alias, author="ann")


@pytest.fixture
def served(store: Place) -> Iterator[Served]:
    """A server of a store with two runs that have kept their models, none of them registered."""
    with Threaded(store.url, token=None) as server:
        kept = store.open()
        trained(kept)
        trained(kept, RUNS[1], {"model/model.bin": b"another model, of more bytes"})
        yield Served(f"{server.url}/", kept.backend.registry)


def models(page: Page) -> Locator:
    return page.locator("tr[data-model]")


def versions(page: Page) -> Locator:
    return page.locator("tr[data-version]")


def edit(page: Page, what: str) -> None:
    page.get_by_role("button", name=f"Edit {what}").click()


# --- all of them -----------------------------------------------------------------------------------


def test_an_empty_registry_says_how_to_fill_it_and_shows_what_another_process_registers(
    page: Page, served: Served
) -> None:
    page.goto(served.address)
    page.get_by_role("link", name="models").click()
    expect(page.locator(".empty pre")).to_contain_text('register_model("runs:/RUN_ID/model", "churn", alias')
    served.register(alias="champion")
    expect(models(page)).to_have_count(1)
    expect(models(page)).to_contain_text("churn")
    expect(models(page).locator(".chip")).to_have_text("@champion 1")
    served.registry.rename("churn", "retention")
    expect(models(page)).to_contain_text("retention")
    served.registry.delete_alias("retention", "champion")
    served.registry.delete("retention")
    expect(page.locator(".empty pre")).to_be_visible()


def test_the_address_holds_what_is_searched_for_and_keys_go_down_and_up(page: Page, served: Served) -> None:
    for name in ("price-eu", "churn-eu", "churn-us"):
        served.registry.create(name, description=f"# What *{name}* is for\n\nmore")
    page.goto(f"{served.address}?models=all&order=name")
    expect(models(page)).to_have_count(3)
    page.keyboard.press("/")
    page.keyboard.type("churn")
    expect(page).to_have_url(re.compile("name=churn"))
    expect(models(page)).to_have_count(2)
    expect(page.locator(".count")).to_have_text("2 models")
    page.reload()
    expect(page.get_by_label("Name")).to_have_value("churn")
    expect(models(page).nth(1)).to_contain_text("What churn-us is for")
    for key in ("j", "j", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_role("heading", level=1)).to_have_text("churn-us")
    page.keyboard.press("u")
    expect(models(page)).to_have_count(3)
    page.goto(f"{served.address}?models=all&name=nothing")
    expect(page.locator(".empty")).to_contain_text("No model has nothing in its name")


def test_thousands_of_models_are_scrolled_through_in_a_small_document(page: Page, served: Served) -> None:
    for number in range(450):
        served.registry.create(f"model-{number:03d}")
    page.goto(f"{served.address}?models=all&order=name")
    expect(page.locator(".count")).to_have_text("200 models or more")
    frame = page.locator(".rows")
    for shown in ("400 models or more", "450 models"):
        frame.evaluate("element => element.scrollTo(0, element.scrollHeight)")
        expect(page.locator(".count")).to_have_text(shown)
    frame.evaluate("element => element.scrollTo(0, element.scrollHeight)")
    expect(models(page).last).to_contain_text("model-449")
    assert models(page).count() < 100


# --- what others wrote -----------------------------------------------------------------------------


def test_a_description_is_markdown_and_never_html(page: Page, served: Served) -> None:
    served.register()
    served.registry.update("churn", description=HOSTILE, tags={"<b>": "<i>"})
    page.goto(f"{served.address}?model=churn")
    shown = page.locator(".markdown")
    expect(shown.get_by_role("heading")).to_contain_text("About <img src=x")
    expect(shown.locator("strong")).to_have_text("Good")
    expect(shown.locator("em")).to_have_text("this")
    expect(shown.locator("pre")).to_have_text("<b>code</b>")
    links = shown.get_by_role("link")
    assert [link.get_attribute("href") for link in links.all()] == [
        "https://example.com/a?b=1",
        "http://192.0.2.1/x.png",
    ]
    assert all("noopener" in (link.get_attribute("rel") or "") for link in links.all())
    expect(shown).to_contain_text("[here](javascript:alert(1))")
    assert shown.locator("img, script, b").count() == 0
    assert page.title() == "churn · autotrack"
    page.goto(f"{served.address}?models=all")
    expect(models(page)).to_contain_text("About <img src=x")


# --- changes ---------------------------------------------------------------------------------------


def test_who_moves_an_alias_that_another_has_moved_is_told_and_moves_nothing(
    page: Page, served: Served
) -> None:
    for alias in ("champion", None, None):
        served.register(alias=alias)
    page.goto(f"{served.address}?model=churn")
    edit(page, "aliases")
    page.get_by_label("Version of champion").select_option("2")
    served.registry.set_alias("churn", "champion", 3)
    expect(versions(page).nth(0)).to_contain_text("@champion")
    page.get_by_role("button", name="Move champion", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("points at version 3")
    assert served.registry.version("churn", "@champion").version == 3
    expect(page.get_by_label("Version of champion")).to_have_value("3")  # so that the next move knows
    page.get_by_label("Version of champion").select_option("2")
    page.get_by_role("button", name="Move champion", exact=True).click()
    expect(versions(page).nth(1)).to_contain_text("@champion")
    assert served.registry.version("churn", "@champion").version == 2


def test_aliases_are_set_and_removed_and_the_audit_log_says_by_whom(page: Page, served: Served) -> None:
    served.register(alias="champion")
    served.register()
    page.goto(f"{served.address}?model=churn&version=2")
    page.get_by_placeholder("your name").fill("mia")
    edit(page, "aliases")
    page.get_by_label("Alias", exact=True).fill("latest")
    page.get_by_role("button", name="point here").click()
    expect(page.get_by_role("alert")).to_contain_text("an alias is no number")
    page.get_by_label("Alias", exact=True).fill("champion")
    page.get_by_role("button", name="move from 1").click()
    expect(page.get_by_role("button", name="Remove champion")).to_be_visible()
    page.get_by_label("Alias", exact=True).fill("shadow")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Remove champion").click()
    expect(page.get_by_role("button", name="Remove champion")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator(".editable .chip")).to_have_text("@shadow")
    assert served.registry.model("churn").aliases == {"shadow": 2}
    page.keyboard.press("u")
    page.get_by_text("who did what when").click()
    entries = page.get_by_role("region", name="Changes").locator("tbody tr")
    expect(entries).to_have_count(5)
    expect(entries.nth(0)).to_contain_text("mia")
    expect(entries.nth(0)).to_contain_text("@champion 2 → -")
    expect(entries.nth(2)).to_contain_text("@champion 1 → 2")


def test_description_tags_and_stage_are_changed_in_the_page(page: Page, served: Served) -> None:
    served.register()
    served.register()
    served.registry.set_stage("churn", 1, Stage.PRODUCTION)
    page.goto(f"{served.address}?model=churn&version=2")
    edit(page, "about")
    page.get_by_label("Description, in Markdown").fill("Better at **all**.")
    expect(page.get_by_role("region", name="Preview").locator("strong")).to_have_text("all")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("region", name="Preview")).to_have_count(0)
    expect(page.locator(".markdown strong")).to_have_text("all")
    edit(page, "tags")
    page.get_by_label("Tag", exact=True).fill("team")
    page.get_by_label("Value", exact=True).fill("growth")
    page.keyboard.press("Enter")
    expect(page.locator(".tag")).to_contain_text("growth")
    edit(page, "stage")
    page.get_by_label("Stage", exact=True).select_option("Production")
    page.get_by_label("archive those").check()
    page.get_by_role("button", name="move", exact=True).click()
    expect(page.locator(".stage.production")).to_be_visible()
    first, second = (served.registry.version("churn", number) for number in (1, 2))
    assert (second.description, dict(second.tags), second.stage) == (
        "Better at **all**.",
        {"team": "growth"},
        Stage.PRODUCTION,
    )
    assert first.stage == Stage.ARCHIVED
    page.get_by_role("button", name="Take away tag team").click()
    expect(page.locator(".tag")).to_have_count(0)
    assert served.registry.version("churn", 2).tags == {}


def test_a_form_that_closes_late_does_not_take_the_focus_from_where_one_went(
    page: Page, served: Served
) -> None:
    served.registry.create("churn")
    page.goto(f"{served.address}?model=churn")
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "PATCH":
            held.append(route)
        else:
            route.continue_()

    page.route("**/api/v1/models/churn", hold)
    edit(page, "about")
    page.get_by_label("Description, in Markdown").fill("Better.")
    page.keyboard.press("Control+Enter")
    edit(page, "tags")
    page.get_by_label("Tag", exact=True).fill("team")
    page.get_by_label("Value", exact=True).focus()
    while not held:
        page.wait_for_timeout(10)
    held[0].continue_()
    expect(page.get_by_role("region", name="Preview")).to_have_count(0)
    expect(page.get_by_label("Value", exact=True)).to_be_focused()


def test_a_description_that_another_changes_meanwhile_is_not_replaced_unseen(
    page: Page, served: Served
) -> None:
    served.registry.create("churn", description="first")
    page.goto(f"{served.address}?model=churn")
    edit(page, "about")
    page.get_by_label("Description, in Markdown").fill("mine")
    served.registry.update("churn", description="theirs")
    expect(page.get_by_text("It was changed meanwhile")).to_be_visible()
    expect(page.get_by_label("Description, in Markdown")).to_have_value("mine")
    page.keyboard.press("Escape")
    expect(page.locator(".markdown")).to_have_text("theirs")


# --- versions --------------------------------------------------------------------------------------


def test_a_version_says_what_it_is_and_leads_to_its_run_and_back(page: Page, served: Served) -> None:
    served.register()
    page.goto(f"{served.address}?model=churn")
    for said in ("fit", "Model", "toy", '{"inputs":["age"]}', "7 B", "ann"):
        expect(versions(page)).to_contain_text(said)
    for key in ("j", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_role("heading", level=1)).to_have_text("churn version 1")
    for said in ("toys.Model", "model/model.bin", "10 × 3", "depth"):
        expect(page.locator("article")).to_contain_text(said)
    page.get_by_role("link", name="fit").click()
    expect(page.locator("#models")).to_contain_text("registered as")
    page.locator("#models").get_by_role("link", name="churn 1").click()
    expect(page).to_have_url(re.compile(r"\?model=churn&version=1$"))


def test_a_version_tells_how_it_was_evaluated_as_it_happens(
    page: Page,
    served: Served,
    tracking: Tracking,  # noqa: F811
) -> None:
    data = load_iris(return_X_y=True)
    tracking.enable("torch")
    with autotrack.run("fit") as run:
        run.log_model(DecisionTreeClassifier(max_depth=2, random_state=0).fit(*data))
    autotrack.register_model(f"runs:/{run.id}/model", "iris")
    page.goto(f"{served.address}?model=iris&version=1")
    expect(page.locator("article")).to_contain_text("DecisionTreeClassifier")
    evaluations = page.get_by_role("region", name="Evaluations").locator("tbody tr")
    expect(evaluations).to_have_count(0)
    column = 3  # beside the name, the state, and whether thresholds were reached
    for number, (bound, said) in enumerate(((0.9, "passed"), (1.0, "fell short"), (None, "none")), 1):
        found = autotrack.evaluate(
            "models:/iris/1", *data, thresholds={} if bound is None else {"accuracy_score": bound}
        )
        autotrack.flush()
        expect(evaluations).to_have_count(number)
        expect(evaluations.first).to_contain_text("finished")
        expect(evaluations.first).to_contain_text(said)
        expect(evaluations.first.locator("td").nth(column)).to_have_text("0.96")
    assert found.metrics["accuracy_score"] == 0.96
    with pytest.raises(OptionError, match="the targets have 5"):
        autotrack.evaluate("models:/iris/1", data[0], data[1][:5], thresholds={"accuracy_score": 0.5})
    autotrack.flush()
    expect(evaluations.first).to_contain_text("failed")
    expect(evaluations.first).not_to_contain_text("fell short")
    evaluations = evaluations.filter(has_text="finished")
    heads = page.get_by_role("region", name="Evaluations").locator("thead th")
    expect(heads.nth(column)).to_have_text("accuracy_score")
    evaluations.first.get_by_role("link").click()
    expect(page).to_have_url(re.compile(rf"\?run={found.run_id}$"))


def test_a_run_shows_what_is_registered_of_it_while_it_is_open(page: Page, served: Served) -> None:
    page.goto(f"{served.address}?run={RUNS[0]}")
    expect(page.locator("#models tbody tr")).to_have_count(1)
    expect(page.locator("#models")).not_to_contain_text("registered as")
    served.register()
    expect(page.locator("#models").get_by_role("link", name="churn 1")).to_be_visible()


def test_marked_versions_stand_side_by_side(page: Page, served: Served) -> None:
    served.register(alias="champion")
    served.register(run=RUNS[1])
    served.register(run=RUNS[1])
    page.goto(f"{served.address}?model=churn")
    expect(versions(page)).to_have_count(3)
    for key in ("j", "j", "x", "j", "x", "c"):
        page.keyboard.press(key)
    expect(page.get_by_role("heading", level=1)).to_have_text("churn: 2 versions side by side")
    table = page.get_by_role("region", name="Values")
    expect(table.locator("thead")).to_contain_text("version 2")
    expect(table.get_by_role("row", name="aliases")).to_contain_text("@champion")
    expect(table.get_by_role("row", name="size").locator("td")).to_have_text(["28 B", "7 B"])
    expect(table.get_by_role("row", name="acc", exact=False)).to_contain_text("0.75")
    expect(page.locator("figure canvas")).to_have_count(1)
    page.get_by_role("button", name="Leave out version 2").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("churn: 1 version side by side")
    page.keyboard.press("u")
    expect(versions(page)).to_have_count(3)


def test_signatures_that_part_at_their_ends_are_told_apart(page: Page, store: Place) -> None:
    columns = ", ".join(f"column {i}: double" for i in range(60))
    kept = store.open()
    for run, given in zip(RUNS, ("long", "string"), strict=True):
        trained(kept, run, signature=f"({columns}) → {given}")
        kept.backend.registry.register("churn", run, "model")
    with Threaded(store.url, token=None) as server:
        page.goto(f"{server.url}/?model=churn&version=1")
        expect(page.get_by_label("Signature")).to_have_text(f"({columns}) → long")
        page.goto(f"{server.url}/?model=churn&compare=1,2")
        cells = page.get_by_role("region", name="Values").get_by_role("row", name="signature").locator("td")
        expect(cells).to_have_text([re.compile("→ long$"), re.compile("→ string$")])
        for cell in cells.all():
            assert cell.evaluate("one => one.scrollWidth <= one.clientWidth"), "no part of it is cut off"


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("?model=chrun", "did you mean 'churn'"),
        ("?model=churn&version=7", "no version 7"),
        ("?model=churn&compare=1,7", "no version 7"),
    ],
)
def test_what_is_not_there_is_said_plainly(page: Page, served: Served, view: str, said: str) -> None:
    served.register()
    page.goto(served.address + view)
    expect(page.get_by_role("alert")).to_contain_text(said)


def test_a_view_that_cannot_be_fetched_says_so(page: Page, served: Served) -> None:
    served.register()
    page.route("**/models.js", lambda route: route.abort())
    page.goto(served.address)
    page.get_by_role("link", name="models").click()
    expect(page.get_by_role("alert")).to_contain_text("This view could not be loaded")
    page.unroute("**/models.js")
    page.get_by_role("button", name="try again").click()
    expect(models(page)).to_have_count(1)


# --- for everybody ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_the_way_of_assistive_technology(page: Page, served: Served, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=scheme)
    for run in (*RUNS[:2], RUNS[0]):
        served.register(run=run, alias="champion")
    for version, stage in enumerate((Stage.ARCHIVED, Stage.STAGING, Stage.PRODUCTION), 1):
        served.registry.set_stage("churn", version, stage)
    served.registry.update(
        "churn", description=HOSTILE + "\n\n> so\n\n1. it\n2. is\n", tags={"team": "growth"}
    )
    for view, there in {
        "?models=all": "tr[data-model]",
        "?models=all&name=x": ".empty",
        "?model=churn": "tr[data-version]",
        "?model=churn&version=2": ".pairs",
        "?model=churn&compare=1,2": "figure canvas",
        "?model=x": "[role=alert]",
    }.items():
        page.goto(served.address + view)
        page.locator(there).first.wait_for()
        for button in page.get_by_role("button", name=re.compile("^Edit ")).all():
            button.click()
        if view == "?model=churn":
            page.keyboard.press("Tab")
            page.get_by_text("who did what when").click()
            page.get_by_role("region", name="Changes").wait_for()
        found = axe.run(page)
        assert found.response["violations"] == [], f"{view}: {found.generate_report()}"
