"""`autotrack compare`: what differs first, what is equal folded, at any width."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from autotrack.cli.compare_page import BEST, letter
from autotrack.cli.drawing import sparklines
from autotrack.comparison import Row
from autotrack.display.telling import Direction, direction
from autotrack.records import Points

from .scripts import Place
from .test_cli import Cli, assert_harmless, cli, sections, strict_json

__all__ = ["cli"]

RUNS = """
    import math
    import numpy as np
    import autotrack
    from autotrack import semconv as sc

    COMMON = {f"setting_{i}": i for i in range(12)} | {"scheduler": None}
    for n, (lr, depth) in enumerate([(0.1, 2), (0.01, 2), (0.001, 4)]):
        with autotrack.run(f"net {n}", params=COMMON | {"lr": lr, "depth": depth}, tags={"team": "a"}) as run:
            for step in range(40):
                autotrack.log({"loss": lr + 1 / (step + 1), "acc": 1 - lr, "epoch": step // 10}, step)
            autotrack.log({"system/cpu": 10.0 * n, "same": 1.0})
            run.set_attributes({sc.VCS_REVISION: f"{n:040x}", "host.arch": "arm"})
            run.log_dataset(np.zeros((5 + n // 2, 2)), "train")
    for n in range(2):
        with autotrack.run(f"twin {n}", params={"a": 1, "b": float("nan")}):
            autotrack.log({"loss": float("nan")})
    with autotrack.run("forest", params={f"tree_{i}": i for i in range(20)}, experiment="other"):
        autotrack.log({"acc": float("nan")})
    try:
        with autotrack.run("broken", params={"lr": 1.0}):
            autotrack.log({"loss": float("inf")})
            raise ValueError("too [red]much[/red]")
    except ValueError:
        pass
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A store of runs that only reading tests share."""
    folder = tmp_path_factory.mktemp("nets")
    homes = {name: str(folder) for name in ("HOME", "XDG_DATA_HOME", "TMPDIR")}
    url = f"sqlite:///{folder}/runs.db"
    place = Place(folder, url, {"AUTOTRACK_STORE": url, "AUTOTRACK_EXPERIMENT": "main", **homes})
    assert place.run(RUNS).returncode == 0
    return Cli(place)


def ids(nets: Cli, *names: str) -> list[str]:
    runs = nets.place.runs()
    return [runs[name].id for name in names]


def cells(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


NETS = ("net 0", "net 1", "net 2")


def test_what_differs_stands_side_by_side(nets: Cli) -> None:
    page = sections(nets.lines("compare", *ids(nets, *NETS), width=100))
    assert list(page)[:3] == ["", "Metrics 2 of 4 differ", "Params 2 of 15 differ"]
    assert [cells(line)[:2] for line in page[""][1:]] == [["A", "net 0"], ["B", "net 1"], ["C", "net 2"]]
    titles, acc, acc_curves, loss, loss_curves, *_ = page["Metrics 2 of 4 differ"]
    assert cells(titles) == ["A", "B", "C"]
    assert cells(acc) == ["acc ↑", "0.9", "0.99", f"0.999 {BEST}"]
    assert cells(loss) == ["loss ↓", "0.125", "0.035", f"0.026 {BEST}"]
    assert all(len(cells(line)) == 3 for line in (acc_curves, loss_curves))
    params = page["Params 2 of 15 differ"]
    assert [cells(line) for line in params[1:3]] == [
        ["depth", "2", "2", "4"],
        ["lr", "0.1", "0.01", "0.001"],
    ]
    assert params[3] == "= 13 params are equal; all: --all"


def test_data_commits_and_peaks_of_the_machine_are_compared(nets: Cli) -> None:
    page = sections(nets.lines("compare", *ids(nets, *NETS), width=120))
    datasets = next(lines for title, lines in page.items() if title.startswith("Datasets"))
    shape = next(cells(line) for line in datasets if "shape" in line)
    assert shape == ["train shape", "5 × 2", "5 × 2", "6 × 2"]
    facts = next(lines for title, lines in page.items() if title.startswith("Facts"))
    assert not any("process.pid" in line for line in facts)
    commits = next(cells(line) for line in facts if line.startswith("vcs."))
    assert commits[1:] == ["00000000"] * 3
    assert cells(page["System, peaks 1 of 1 differ"][1]) == ["system/cpu", "0", "10", "20"]


def test_all_shows_what_is_equal(nets: Cli) -> None:
    lines = nets.lines("compare", "--all", *ids(nets, *NETS))
    assert sum(line.startswith("setting_") for line in lines) == 12
    assert any(line.startswith("team ") for line in lines)
    assert not any("--all" in line for line in lines)


def test_runs_that_are_equal(nets: Cli) -> None:
    """Sections without a difference are one line."""
    *_, last = nets.lines("compare", *ids(nets, "twin 0", "twin 1"), width=200)
    assert last.startswith("= 1 metric is equal, 2 params are equal")
    assert last.endswith("; all: --all")


def test_other_models_have_other_params(nets: Cli) -> None:
    page = sections(nets.lines("compare", *ids(nets, "net 0", "forest"), width=100))
    assert "experiment" in page[""][0]
    [params] = [lines for title, lines in page.items() if title.startswith("Params")] or [page[""]]
    assert "of one run alone" in "".join(line for lines in page.values() for line in lines)
    assert not any(line.startswith("tree_") for line in params)


def test_errors_are_told(nets: Cli) -> None:
    page = sections(nets.lines("compare", *ids(nets, "net 0", "broken")))
    assert page["Errors"] == ["B  ValueError: too [red]much[/red]"]
    losses = next(line for line in page["Metrics 4 of 4 differ"] if line.startswith("loss"))
    assert cells(losses) == ["loss ↓", "0.125", "inf"]


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize("count", [2, 5])
def test_the_page_fits(nets: Cli, width: int, count: int) -> None:
    chosen = ids(nets, *NETS, "forest", "broken")[:count]
    for options in ([], ["--all"]):
        lines = nets.lines("compare", *options, *chosen, width=width)
        assert max(map(cell_len, lines)) <= width
        assert_harmless("\n".join(lines))


def test_runs_that_do_not_fit_side_by_side_stand_in_groups(nets: Cli) -> None:
    page = sections(nets.lines("compare", *ids(nets, *NETS, "broken"), width=50))
    metrics = next(lines for title, lines in page.items() if title.startswith("Metrics"))
    assert [cells(line) for line in metrics if not re.search("[a-z▁-█]", line)] == [["A", "B"], ["C", "D"]]


def test_as_json(nets: Cli) -> None:
    chosen = ids(nets, *NETS)
    found = strict_json(nets("compare", *chosen, "--json").stdout)
    assert [run["id"] for run in found["runs"]] == chosen
    rows = {row["name"]: row for row in found["metrics"]}
    assert rows["acc"]["values"] == pytest.approx([0.9, 0.99, 0.999])
    assert (rows["acc"]["direction"], rows["acc"]["best"], rows["acc"]["equal"]) == ("up", chosen[2:], False)
    assert "best" not in rows["epoch"]
    assert {row["name"]: row["equal"] for row in found["params"]}["setting_3"] is True


def test_mistakes(nets: Cli) -> None:
    [one] = ids(nets, "net 0")
    assert "at least two runs" in nets.mistake("compare", one, status=2)
    assert "named twice" in nets.mistake("compare", one, one[-8:], status=2)
    assert "no run has the id 'zzz'" in nets.mistake("compare", one, "zzz")
    assert "RUN" in nets.mistake("compare", status=2)


def test_nothing_reaches_the_terminal_raw(cli: Cli) -> None:
    cli.place.run("""
        import autotrack
        EVIL = "\\x1b[31m[bold]x\\r\\n\\u202e日本" * 9
        for n in range(3):
            with autotrack.run(EVIL, experiment=EVIL, params={EVIL: EVIL + str(n)}, tags={EVIL: str(n)}):
                autotrack.log({EVIL: float(n), "loss" + EVIL: n}, 1)
    """)
    chosen = [run.id for run in cli.place.open().runs()]
    for width in (40, 80, 200):
        lines = cli.lines("compare", *chosen, width=width)
        assert_harmless("\n".join(lines))
        assert max(map(cell_len, lines)) <= width


# --- what is better -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss", Direction.DOWN), ("train/Loss", Direction.DOWN), ("validation_0-mlogloss", Direction.DOWN),
        ("error@0.7", Direction.DOWN), ("training_root_mean_squared_error", Direction.DOWN),
        ("brier_score_loss", Direction.DOWN), ("acc", Direction.UP), ("valid-auc", Direction.UP),
        ("training_roc_auc", Direction.UP), ("f1_macro", Direction.UP), ("r2", Direction.UP),
        ("accuracy_score_X_test", Direction.UP), ("neg_mean_absolute_error", Direction.UP),
        ("mean_test_score", Direction.UP), ("best_score", Direction.UP), ("score", Direction.UP),
        ("davies_bouldin_score", None), ("std_test_score", None), ("rank_test_score", None),
        ("accuracy_loss", None), ("lr", None), ("closs", None), ("score_time", None), ("", None),
    ],
)  # fmt: skip
def test_direction(name: str, expected: Direction | None) -> None:
    assert direction(name) is expected


@pytest.mark.parametrize(
    ("values", "way", "best"),
    [
        ((1.0, 3.0, 2.0), Direction.UP, [1]),
        ((1.0, 3.0, 1.0), Direction.DOWN, [0, 2]),
        ((nan, -inf, 2.0, 1.0, None), Direction.DOWN, [3]),
        ((2.0, 2.0), Direction.UP, []),
        ((2.0, None), Direction.UP, []),
        ((1.0, 2.0), None, []),
    ],
)
def test_best(values: tuple[float | None, ...], way: Direction | None, best: list[int]) -> None:
    assert Row("x", values, way).best == best


@pytest.mark.parametrize(
    ("values", "differs"),
    [((1, 1), False), ((nan, nan), False), ((1, None), True), ((True, 1), True), (("1", 1), True)],
)
def test_differs(values: tuple[object, ...], differs: bool) -> None:
    assert Row("x", values).differs is differs  # type: ignore[arg-type]


@given(st.integers(0, 2000))
def test_letters_are_all_different(place: int) -> None:
    assert letter(place) not in map(letter, range(max(0, place - 30), place))
    assert letter(place).isalpha()


def test_curves_share_their_axes() -> None:
    def curve(values: Sequence[float]) -> Points:
        return Points(np.arange(len(values)), np.arange(len(values)), np.array(values, float))

    assert sparklines([curve([0, 1, 2, 3]), curve([7, 7]), curve([])], 4) == ["▁▂▃▄", "██  ", "    "]
    long = [float(i % 5) for i in range(40)]
    flat, _ = sparklines([curve(long), curve([1e9])], 40)
    assert set(flat) == set("▁▃▅▆█")  # one that leaps flattens no other
