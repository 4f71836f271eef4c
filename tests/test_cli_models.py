"""`autotrack models`: what it shows, what it does, and what it says where it cannot."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

import autotrack
from autotrack.cli.compare_page import BEST
from autotrack.display import text
from autotrack.errors import OptionError
from autotrack.store import Store
from autotrack.testing.histories import RUNS

from .registered import BYTES, trained
from .scripts import Place
from .test_cli import Cli, assert_harmless, cli, sections, strict_json
from .tracking import Tracking, tracking

__all__ = ["cli", "tracking"]

ODD = "x[red]\x1b[31m‮y"


@pytest.fixture
def kept(store: Place) -> Store:
    """The store, with two runs that have models."""
    found = store.open()
    trained(found)
    trained(found, RUNS[1], {"model/model.bin": b"a larger model"})
    return found


@pytest.fixture
def churn(cli: Cli, kept: Store) -> Cli:
    """And a model of two versions."""
    for run, alias in zip(RUNS, ("champion", "candidate"), strict=True):
        cli.lines(*("models", "register", f"runs:/{run}/model", "churn", "--alias", alias, "--tag", "team=a"))
    cli.lines("models", "stage", "churn/1", "production")
    return cli


def test_a_store_without_models_says_how_to_get_one(cli: Cli) -> None:
    lines = cli.lines("models", "list", width=300)
    assert lines[0].startswith("No registered models yet in sqlite:///")
    assert lines[-1].strip() == "autotrack models register runs:/RUN_ID/model NAME"
    assert strict_json(cli("models", "list", "--json").stdout) == []
    assert cli.lines("models", "audit") == ["Nothing was changed yet."]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_of_models(churn: Cli, width: int) -> None:
    churn.lines("models", "register", f"runs:/{RUNS[0]}/model", "leavers")
    header, *rows, footer = churn.lines("models", "list", width=width)
    assert header.split()[:2] == ["model", "latest"]
    assert [row.split()[0] for row in rows] == ["leavers", "churn"], "the latest changed first"
    assert all(cell_len(line) <= width for line in (header, *rows))
    assert footer.startswith("2 models in ")
    if width == 120:
        assert re.search(r"churn +2 +2 +@candidate 2  @champion 1 +Production 1 ", rows[1])
    assert "churn" not in "".join(churn.lines("models", "list", "LEAV"))
    assert churn.lines("models", "list", "nothing")[0].startswith("No models match nothing in")
    assert churn.lines("models", "list", "--tag", "team=a")[0].startswith("No models match team=a in")


@pytest.mark.parametrize("width", [80, 120])
def test_the_page_of_a_model(churn: Cli, width: int) -> None:
    page = sections(churn.lines("models", "show", "churn", width=width))
    assert list(page) == ["", "Versions 2", "Changes"]
    assert page[""][0] == "churn"
    assert [row.split()[:2] for row in page["Versions 2"][1:]] == [["2", "@candidate"], ["1", "@champion"]]
    assert "acc" in page["Versions 2"][0]
    assert "stage None → Production" in page["Changes"][1]
    told = strict_json(churn("models", "show", "churn", "--json").stdout)
    assert (told["aliases"], told["latest"]) == ({"candidate": 2, "champion": 1}, 2)
    assert [one["version"] for one in told["all_versions"]] == [2, 1]
    assert [entry["verb"] for entry in told["audit"]] == ["set_stage", "register", "register"]


@pytest.mark.parametrize(
    "version", ["churn@champion", "models:/churn@champion", "churn/1", "churn/Production"]
)
def test_the_page_of_a_version(churn: Cli, version: str) -> None:
    page = sections(churn.lines("models", "show", version))
    assert page[""][0] == "models:/churn/1  @champion  Production"
    assert list(page) == ["", "Metrics of its run", "Params", "Trained on", "Files 1, 7 B"]
    assert any(line.split() == ["model", "Model,", "toy,", "7", "B"] for line in page[""])
    told = strict_json(churn("models", "show", version, "--json").stdout)
    assert (told["uri"], told["run"]["id"], told["tags"]) == ("models:/churn/1", RUNS[0], {"team": "a"})
    assert [data["digest"] for data in told["datasets"]] == ["xxh3:ab"]


def test_versions_are_compared(churn: Cli) -> None:
    lines = churn.lines("models", "compare", "churn@champion", "churn/latest")
    assert [line.split()[:3] for line in lines[1:3]] == [
        ["A", "churn/1", "@champion"],
        ["B", "churn/2", "@candidate"],
    ]
    page = sections(lines)
    assert any(row.split() == ["size", "7", "14"] for row in page["Model 2 of 6 differ"])
    told = strict_json(churn("models", "compare", "churn/1", "churn/2", "--json").stdout)
    assert [one["version"] for one in told["versions"]] == [1, 2]
    assert {"name": "size", "values": [7, 14], "equal": False} in told["model"]
    assert {"name": "depth", "values": [3, 3], "equal": True} in told["params"]
    [acc] = told["metrics"]
    assert (acc["name"], acc["values"], acc["equal"]) == ("acc", [0.75, 0.75], True)
    assert "at least two" in churn.mistake("models", "compare", "churn/1", status=2)


def test_versions_that_were_trained_are_compared(cli: Cli, tracking: Tracking) -> None:
    """By what the calls recorded of them; what is shown of a signature is where it differs."""
    tracking.enable("sklearn")
    X, y = load_iris(return_X_y=True, as_frame=True)
    for depth, data in enumerate((X, X.drop(columns="sepal width (cm)")), 1):
        with autotrack.run("fit") as run:
            DecisionTreeClassifier(max_depth=depth, random_state=0).fit(data, y)
        autotrack.register_model(f"runs:/{run.id}/model", "iris")
    iris = autotrack.get_model("iris")
    found = iris.version(1).compare(iris.version(2))
    [signatures] = [row.values for row in found.sections["model"] if row.name == "signature"]
    petals = "petal length (cm): double, petal width (cm): double) → int64[*]"
    sepals = "(sepal length (cm): double, sepal width (cm): double, "
    assert signatures == (sepals + petals, f"(sepal length (cm): double, {petals}")
    lines = cli.lines("models", "compare", "iris/1", "iris/2", width=120)
    shown = {name: others for name, *others in (re.split(r"\s{2,}", line) for line in lines)}
    assert shown["max_depth"] == ["1", "2"]
    assert shown["training_accuracy_score ↑"] == ["0.6667", f"0.96 {BEST}"]
    one, two = shown["signature"]
    assert (one[:8], two[:8]) == ("…sepal w", "…petal l")


def test_versions_that_take_other_data_are_told_apart(cli: Cli, store: Place) -> None:
    signatures = ["(age: long) → long", "(sex: string) → long"]
    for run, signature in zip(RUNS[:2], signatures, strict=True):
        trained(store.open(), run, signature=signature)
        cli.lines("models", "register", f"runs:/{run}/model", "churn")
    page = sections(cli.lines("models", "compare", "churn/1", "churn/2"))
    [row] = [line for line in page["Model 1 of 6 differ"] if line.startswith("signature")]
    assert re.split(r"\s{2,}", row)[1:] == signatures
    told = strict_json(cli("models", "compare", "churn/1", "churn/2", "--json").stdout)
    assert {"name": "signature", "values": signatures, "equal": False} in told["model"]


def test_an_alias_moves_and_goes(churn: Cli) -> None:
    assert churn.lines("models", "alias", "churn", "champion", "2", "--expected", "1") == [
        "✓ churn@champion is version 2 now"
    ]
    said = churn.mistake("models", "alias", "churn", "champion", "1", "--expected", "1")
    assert "points at version 2, not at 1" in said
    assert "aliases candidate, champion: move" in churn.mistake("models", "delete", "churn/2")
    for alias in ("champion", "candidate"):
        assert "it was version 2" in churn.lines("models", "alias", "churn", alias, "--remove")[0]
    assert "Name the version" in churn.mistake("models", "alias", "churn", "champion", status=2)
    assert "Name the version" in churn.mistake("models", "alias", "churn", "x", "1", "--remove", status=2)
    assert churn.lines("models", "delete", "churn/2") == [f"✓ churn/2 is deleted; its run {RUNS[1]} stays"]
    assert churn.lines("models", "delete", "churn")[0].startswith("✓ churn is deleted, with 1 version;")
    assert churn.lines("models", "list")[0].startswith("No registered models yet")
    told = [line.split(maxsplit=3)[3] for line in churn.lines("models", "audit", "churn", width=120)[1:]]
    assert told[0].split() == ["churn", "deleted"]


def test_a_version_is_promoted(churn: Cli, store: Place) -> None:
    target = f"sqlite:///{store.folder}/production.db"
    mistyped = f"sqlite:///{store.folder}/prod/uction.db"
    said = churn.mistake("models", "promote", "churn@candidate", "--to", mistyped)
    assert f"there is no folder {store.folder}/prod for the store {mistyped}" in said
    assert not (store.folder / "prod").exists()
    said = churn.lines("models", "promote", "churn@candidate", "--to", target, width=300)
    assert said == [f"✓ churn@candidate is models:/churn/1 in {target}, which is a new store"]
    for _ in range(2):
        said = churn.lines(
            "models", "promote", "churn@candidate", "--to", target, "--alias", "champion", width=300
        )
        assert said == [f"✓ churn@candidate is models:/churn/1 in {target}"]
    told = strict_json(churn("models", "show", "churn@champion", "--store", target, "--json").stdout)
    assert (told["run"]["id"], told["run"]["metrics"]) == (RUNS[1], {"acc": 0.75})
    assert len(strict_json(churn("runs", "--store", target, "--json").stdout)) == 1
    assert churn.lines("models", "promote", "churn/1", "--as", "leavers") == [
        "✓ churn/1 is models:/leavers/1"
    ]
    assert "name another store" in churn.mistake("models", "promote", "churn/1")


# --- evaluations ------------------------------------------------------------------------------------


@pytest.fixture
def iris(cli: Cli, tracking: Tracking) -> Cli:
    """The version iris/1 of a model that predicts."""
    tracking.enable("torch")
    with autotrack.run("fit") as run:
        run.log_model(DecisionTreeClassifier(max_depth=2, random_state=0).fit(*load_iris(return_X_y=True)))
    autotrack.register_model(f"runs:/{run.id}/model", "iris", alias="candidate")
    return cli


def test_an_alias_is_what_is_asked_and_put_into_an_image(iris: Cli, tmp_path: Path) -> None:
    """Though a later version is there."""
    X, y = load_iris(return_X_y=True)
    champion = autotrack.load_model("models:/iris@candidate")
    with autotrack.run("fit") as run:
        run.log_model(DecisionTreeClassifier(max_depth=1).fit(X, y))
    autotrack.register_model(f"runs:/{run.id}/model", "iris")
    np.save(tmp_path / "rows.npy", X)
    files = ["--input", str(tmp_path / "rows.npy"), "--output", str(tmp_path / "scored.csv")]
    iris.lines("predict", "--model", "models:/iris@candidate", *files)
    assert pd.read_csv(tmp_path / "scored.csv")["prediction"].tolist() == champion.predict(X).tolist()
    iris.lines("build-image", "models:/iris@candidate", "--output", str(tmp_path / "context"))
    assert autotrack.load_model(tmp_path / "context" / "model").max_depth == champion.max_depth == 2


def evaluated(**thresholds: float) -> str:
    """The run of a new evaluation, in the store."""
    found = autotrack.evaluate("models:/iris/1", *load_iris(return_X_y=True), thresholds=thresholds)
    autotrack.flush()
    return found.run_id


def test_only_a_version_that_passes_is_let_through(iris: Cli, store: Place) -> None:
    """By an alias, a stage or into another store; whoever is refused has changed nothing."""
    production = f"sqlite:///{store.folder}/production.db"
    verbs = (
        ("alias", "iris", "champion", "1"),
        ("stage", "iris/1", "Production"),
        ("promote", "iris/1", "--to", production, "--alias", "champion"),
    )
    wanted = "metrics.accuracy_score > 0.9"

    def known() -> list[Any]:
        """All that the registries of both stores tell."""
        urls = [store.url, *([production] if (store.folder / "production.db").exists() else [])]
        asked = [("show", "iris"), ("show", "iris/1"), ("audit",)]
        return [
            strict_json(iris("models", *one, "--store", url, "--json").stdout)
            for url in urls
            for one in asked
        ]

    def assert_refused(require: str, said: str) -> None:
        before = known()
        for verb in verbs:
            assert said in iris.mistake("models", *verb, "--require", require)
        assert known() == before

    assert_refused(wanted, "models:/iris/1 was never evaluated")
    assert_refused("", "models:/iris/1 was never evaluated")
    fell_short = evaluated(accuracy_score=1.0)
    for require in (wanted, ""):
        assert_refused(require, f"models:/iris/1 did not reach the thresholds of its evaluation {fell_short}")
    passes = evaluated(accuracy_score=0.9)
    assert_refused(
        "metrics.accuracy_score > 0.99", f"the evaluation {passes} of models:/iris/1 does not pass:"
    )
    assert not (store.folder / "production.db").exists()
    for verb in verbs:
        iris.lines("models", *verb, "--require", wanted)
        iris.lines("models", *verb, "--require", "")
    here, _, _, there, _, _ = known()
    assert (here["aliases"], here["stages"]) == ({"candidate": 1, "champion": 1}, {"Production": 1})
    assert there["aliases"] == {"champion": 1}
    evaluated(accuracy_score=1.0)
    assert_refused(wanted, "did not reach the thresholds")


@pytest.mark.parametrize("require", ["metrics.a > 9) or (metrics.accuracy_score > 0", "metrics.a urate"])
def test_what_is_required_is_a_filter_by_itself(iris: Cli, require: str) -> None:
    """A bracket of it closes none of ours, and an error counts its own columns."""
    evaluated()
    refused = iris("models", "alias", "iris", "champion", "1", "--require", require)
    assert refused.exit_code == 1
    assert refused.stderr.splitlines()[1].strip() == require
    assert strict_json(iris("models", "show", "iris", "--json").stdout)["aliases"] == {"candidate": 1}


def test_the_page_of_a_version_tells_how_it_was_evaluated(iris: Cli) -> None:
    assert "Evaluations" not in " ".join(sections(iris.lines("models", "show", "iris/1")))
    fell_short, passed, bare = evaluated(accuracy_score=1.0), evaluated(accuracy_score=0.9), evaluated()
    page = sections(iris.lines("models", "show", "iris/1", width=200))
    rows = page["Evaluations 3"]
    assert [row.split()[0] for row in rows] == [run[-8:] for run in (bare, passed, fell_short)]
    verdicts = [re.search("✓ passed|✗ fell short", row) for row in rows]
    assert [found and found[0] for found in verdicts] == [None, "✓ passed", "✗ fell short"]
    accuracy = iris.place.open().run(bare).metrics["accuracy_score"]
    assert all(f"accuracy_score {text.number(accuracy)}" in row for row in rows)
    told = strict_json(iris("models", "show", "iris/1", "--json").stdout)
    assert [one["id"] for one in told["evaluations"]] == [bare, passed, fell_short]


def test_an_evaluation_that_came_to_no_end_has_no_verdict(iris: Cli) -> None:
    """The model is at fault for nothing that nobody measured."""
    data, targets = load_iris(return_X_y=True)
    with pytest.raises(OptionError, match="the targets have 5"):
        autotrack.evaluate("models:/iris/1", data, targets[:5], thresholds={"accuracy_score": 0.5})
    autotrack.flush()
    [row] = sections(iris.lines("models", "show", "iris/1", width=200))["Evaluations 1"]
    assert "✗ failed" in row
    assert "fell short" not in row


# --- what is wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "chrun"), "no registered model 'chrun'; did you mean 'churn'?"),
        (("show", "churn/9"), "model 'churn' has no version 9"),
        (("show", "churn@best"), "has no alias 'best'; there are candidate, champion"),
        (("show", "churn/best"), "'best' is no version"),
        (("register", "runs:/zz/model", "x"), "no run has the id 'zz'"),
        (("register", f"runs:/{RUNS[0]}/no", "x"), "has no model 'no'; it has model"),
        (("register", f"runs:/{RUNS[0]}/model", "a/b"), "a model's name has no '/'"),
        (("register", f"runs:/{RUNS[0]}/model", "a", "--alias", "7"), "an alias is no number"),
        (("stage", "churn/1", "best"), "there are None, Staging, Production, Archived"),
        (("audit", "chrun"), "no registered model 'chrun'; did you mean 'churn'?"),
        (("audit", "chrun", "--json"), "no registered model 'chrun'; did you mean 'churn'?"),
        (("delete", "chrun"), "did you mean 'churn'?"),
        (("promote", "churn/1", "--to", "nowhere"), "is not a URL of the form"),
    ],
)
def test_a_mistake_is_one_line(churn: Cli, arguments: tuple[str, ...], said: str) -> None:
    assert said in churn.mistake("models", *arguments)


def test_what_users_wrote_does_nothing_to_the_terminal(churn: Cli, kept: Store) -> None:
    registry = kept.backend.registry
    registry.update("churn", description=f"{ODD}\n{ODD}", tags={ODD: ODD}, author=ODD)
    registry.update_version("churn", 1, description=ODD, tags={ODD: ODD}, author=ODD)
    for command in ("list", "show churn", "show churn/1", "audit", "compare churn/1 churn/2"):
        output = "\n".join(churn.lines("models", *command.split()))
        assert_harmless(output)
    assert r"x[red]\x1b[31m\u202ey" in "\n".join(churn.lines("models", "show", "churn/1", width=200))


def test_every_command_has_an_example(cli: Cli) -> None:
    from autotrack.cli.models import models

    for name in models.commands:
        assert f"Example: autotrack models {name}" in cli("models", name, "--help").stdout


def test_a_models_files_are_written_to_a_folder(churn: Cli, tmp_path: Path) -> None:
    target = tmp_path / "new" / "churn"
    assert churn.lines("models", "download", "churn/1", str(target), width=300) == [
        f"✓ models:/churn/1 is in {target}"
    ]
    assert (target / "model.bin").read_bytes() == BYTES["model/model.bin"]
    assert "is there already" in churn.mistake("models", "download", "churn/1", str(target))
