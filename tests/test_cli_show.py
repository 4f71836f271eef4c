"""What `runs` folds, and what `show` tells of searches, data, models, surroundings and lines."""

from __future__ import annotations

import re

import pytest

from autotrack.display.telling import families, ranked, ranking

from .scripts import Place
from .test_cli import Cli, cli, sections, strict_json

__all__ = ["cli"]

ALONE = {"AUTOTRACK_ENVIRONMENT": "false", "AUTOTRACK_SYSTEM_METRICS": "false"}

SEARCH = """
    import json
    import autotrack
    from autotrack import semconv as sc
    from autotrack.states import RunError, State

    with autotrack.run("search", params={"cv": 3, "pca": "PCA", "pca__n": 2, "pca__whiten": None}) as run:
        for place, score in enumerate([0.5, 0.9, 0.7, float("nan")]):
            child = run.new_child("candidate", params={"depth": place})
            child.log({"mean_test_score": score, "rank_test_score": [3, 1, 2, 4][place]})
            error = RunError("ValueError", "", "")
            child.finish(*((State.FINISHED, None) if place < 3 else (State.FAILED, error)))
        run.log({"best_score": 0.9, "system/cpu_percent": 12.0})
        run.set_attributes({sc.VCS_REVISION: "0123456789" * 4, sc.VCS_BRANCH: "main", sc.VCS_DIRTY: True})
        run.set_attributes({sc.PROCESS_COMMAND_LINE: "python train.py --fast", "host.arch": "arm64"})
        run.log_dataset([[1.0, 2.0]] * 1500, "train", role="train")
        for path, facts in {"model": {"size": 3000}, "large": {"reason": "too [red]large[/red]"}}.items():
            told = {sc.MODEL_PATH: path, sc.MODEL_FLAVOR: "sklearn", sc.MODEL_CLASS: "a.b.Forest"}
            run.tell(sc.SpanType.MODEL, {**told, sc.MODEL_FACTS: json.dumps(facts)})
        text = "\\n".join(f"line {n}" for n in range(30)) + "\\n\\x1b[2J"
        times = list(range(10**18, 10**18 + 31_000_000, 1_000_000))
        run.tell(sc.SpanType.LOG, {sc.LOG_STREAM: "stdout", sc.LOG_TIMES: times, sc.LOG_TEXT: text})
    with autotrack.run("outer"), autotrack.run("inner"), autotrack.run("innermost"):
        pass
"""


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A store with a search of four candidates, for tests that only read."""
    folder = tmp_path_factory.mktemp("search")
    homes = {name: str(folder) for name in ("HOME", "XDG_DATA_HOME", "TMPDIR")}
    url = f"sqlite:///{folder}/runs.db"
    place = Place(folder, url, {"AUTOTRACK_STORE": url, "AUTOTRACK_EXPERIMENT": "main", **homes, **ALONE})
    assert place.run(SEARCH).returncode == 0
    return Cli(place)


def page(search: Cli, *options: str, width: int = 100) -> dict[str, list[str]]:
    run_id = next(run.id for run in search.place.open().runs() if run.name == "search")
    return sections(search.lines("show", run_id, *options, width=width))


def names(search: Cli, *options: str) -> list[str]:
    _, *rows, _ = search.lines("runs", *options)
    return [re.split(r"(?<=\w)  ", row)[1] for row in rows]


def test_many_children_are_counted_and_few_are_shown(search: Cli) -> None:
    assert names(search) == ["outer", "└─ inner", "   └─ innermost", "▸4 search"]
    assert search.lines("runs", width=200)[-1].startswith("4 of 8 runs in ")
    assert "▸children: --children" in search.lines("runs", width=200)[-1]


def test_children_on_demand(search: Cli) -> None:
    shown = names(search, "--children")
    assert shown[-5:] == ["search", *["├─ candidate"] * 3, "└─ candidate"]
    assert "--children" not in search.lines("runs", "--children", width=200)[-1]
    assert len(strict_json(search("runs", "--json").stdout)) == 8


def test_the_limit_is_of_runs_that_are_no_children(search: Cli) -> None:
    assert names(search, "--limit", "1") == ["outer", "└─ inner", "   └─ innermost"]


def test_an_experiment_that_has_only_children(cli: Cli) -> None:
    cli.place.run("""
        import autotrack
        with autotrack.run("parent"), autotrack.run("child", experiment="below"):
            pass
    """)
    assert names(cli, "--experiment", "below") == ["child"]


def test_candidates_come_by_rank(search: Cli) -> None:
    titles, *rows = page(search)["Candidates 4"]
    assert titles.split() == ["rank", "id", "state", "depth", "mean_test_score", "duration"]
    told = [row.split() for row in rows]
    assert [(row[0], row[3], row[4], row[5]) for row in told] == [
        ("1", "finished", "1", "0.9"),
        ("2", "finished", "2", "0.7"),
        ("3", "finished", "0", "0.5"),
        ("4", "failed", "3", "NaN"),
    ]


def test_where_a_run_came_from(search: Cli) -> None:
    head = page(search)[""]
    assert "commit      01234567 on main, with changes" in head
    assert "command     python train.py --fast" in head
    assert any("host.arch  arm64" in line for line in page(search)[_title(search, "Environment")])


def _title(search: Cli, title: str) -> str:
    return next(found for found in page(search) if found.startswith(title))


def test_data_models_and_parts_of_a_model(search: Cli) -> None:
    found = page(search)
    assert re.match(r"train  train  1,500 × 2  list  \w+:[0-9a-f]{8}$", found["Datasets 1"][0])
    assert found["Models 2"] == [
        "large  Forest  sklearn  not kept: too [red]large[/red]",
        "model  Forest  sklearn  3.0 kB",
    ]
    assert found["Params 4"] == ["cv  3", "pca  PCA", "  n  2", "  None: whiten"]
    assert found["Metrics 1"] == ["best_score  0.9"]
    assert any(line.startswith("cpu_percent  12") for line in found[_title(search, "System")])


def test_the_last_lines_and_all_of_them(search: Cli) -> None:
    shown = page(search)["Log 31"]
    assert shown[0] == "… 19 earlier lines; all: --logs"
    assert [line.split("  ", 1)[1] for line in (shown[1], shown[-1])] == ["line 19", r"\x1b[2J"]
    run_id = next(run.id for run in search.place.open().runs() if run.name == "search")
    everything = search.lines("show", run_id, "--logs")
    assert len(everything) == 31
    assert re.fullmatch(r"\d\d:\d\d:\d\d  line 0", everything[0])


def test_everything_as_json(search: Cli) -> None:
    run_id = next(run.id for run in search.place.open().runs() if run.name == "search")
    found = strict_json(search("show", run_id, "--json").stdout)
    assert [model["facts"] for model in found["models"]] == [
        {"reason": "too [red]large[/red]"},
        {"size": 3000},
    ]
    assert found["attributes"]["vcs.ref.head.name"] == "main"
    assert (found["datasets"][0]["shape"], len(found["logs"])) == ([1500, 2], 31)


# --- what tells something -------------------------------------------------------------------------


def test_ranked() -> None:
    runs = [
        {"same": 1, "lr": 0.1, "deep__same": 1, "system/cpu": 1.0, "unset": "None"},
        {"same": 1, "lr": 0.2, "deep__same": 1, "system/cpu": 2.0, "unset": "None"},
        {"same": 1, "rare": 1, "deep__same": 1},
    ]
    assert ranked(runs) == ["lr", "same", "deep__same"]
    metrics = [{"time": 1.0, "lr": 1.0, "loss": 3.0}, {"time": 2.0, "lr": 2.0, "loss": 2.0}]
    assert ranked(metrics, metrics=True) == ["loss", "time", "lr"]


def test_families() -> None:
    params = {"pca__n": 2, "pca": "PCA", "pca__white__x": 1, "cv": 3, "pca__m": 1}
    assert families(params) == {
        "": {"cv": 3, "pca__white__x": 1},
        "pca": {"": "PCA", "n": 2, "m": 1},
    }
    assert families({}) == {}


def test_ranking() -> None:
    assert ranking([{"rank_test_score": 1.0}, {"rank_test_score": 2.0}, {}]) == "rank_test_score"
    assert ranking([{"rank_test_score": 1.0}, {}, {}]) is None
    assert ranking([{"ranking": 1.0}, {"frank_": 2.0}]) is None
    assert ranking([]) is None
