"""The commands: what they show, what they never show, and how they end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

import autotrack
from autotrack.cli import commands
from autotrack.cli.drawing import bar, sparkline
from autotrack.display import text
from autotrack.display.tree import branches
from autotrack.records import Points

from .scripts import TIMEOUT, Place, end_of, wait_for

AUTOTRACK = str(Path(sys.executable).with_name("autotrack"))

DEMO = """
    import os, sys
    import autotrack
    autotrack.enable(sklearn=False, xgboost=False)

    if "killed" in sys.argv:
        with autotrack.run("cut-off"):
            autotrack.flush()
            os.kill(os.getpid(), 9)

    for lr in (0.1, 0.01):
        params = {"lr": lr, "layers": 3, "seed": None}
        with autotrack.run("net", params=params, tags={"team": "vision"}) as run:
            for step in range(100):
                autotrack.log({"loss": lr / (step + 1), "acc": step / 100 * (1 - lr)}, step)
            autotrack.log({"val_loss": float("nan")})
            run.log_artifact(__file__, "code/train.py")
    with autotrack.run("search", experiment="other"):
        for depth in (2, 3):
            with autotrack.run(f"depth-{depth}", experiment="other", params={"depth": depth}):
                autotrack.log({"score": depth / 7})
    try:
        with autotrack.run("broken"):
            raise ValueError("no [red]luck[/red]")
    except ValueError:
        pass
"""


@dataclass
class Cli:
    """Calls commands on a store, within this process."""

    place: Place

    def __call__(self, *args: str, width: int = 80, **env: str) -> Result:
        # CliRunner keeps os.environ, and so the variables of the machine that runs the tests
        surroundings: dict[str, str | None] = dict.fromkeys(os.environ)
        wanted = surroundings | self.place.env | {"COLUMNS": str(width)} | env
        return CliRunner().invoke(commands, args, env=wanted)

    def lines(self, *args: str, width: int = 80) -> list[str]:
        """What a command that ends well prints."""
        result = self(*args, width=width)
        assert (result.exit_code, result.stderr) == (0, ""), result.stderr or result.exception
        return [line.rstrip() for line in result.stdout.splitlines()]

    def mistake(self, *args: str, status: int = 1, **env: str) -> str:
        """The one line that a command prints to stderr when it cannot do what it is asked."""
        result = self(*args, **env)
        assert result.exit_code == status, result.stderr or result.exception
        assert result.stdout == ""
        assert re.fullmatch(r"autotrack: [^\n]+\n", result.stderr)
        return result.stderr.strip()


@pytest.fixture
def cli(store: Place) -> Cli:
    return Cli(store)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A store with runs of each kind, for tests that only read."""
    folder = tmp_path_factory.mktemp("demo")
    kept = {name: os.environ[name] for name in ("PATH",)}
    env = {"AUTOTRACK_STORE": f"sqlite:///{folder}/runs.db", "AUTOTRACK_EXPERIMENT": "main"}
    env |= {"AUTOTRACK_ENVIRONMENT": "false"}  # of the machine that runs the tests
    homes = {name: str(folder) for name in ("HOME", "XDG_DATA_HOME", "TMPDIR")}
    place = Place(folder, env["AUTOTRACK_STORE"], kept | env | homes)
    assert place.run(DEMO, "killed").returncode == -signal.SIGKILL
    assert place.run(DEMO).returncode == 0
    place.open().runs()  # from the spool into the store
    return Cli(place)


def strict_json(source: str) -> Any:
    """JSON as the standard has it: a bare NaN is an error."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(source, parse_constant=refuse)


def assert_harmless(output: str) -> None:
    """Nothing in it moves a cursor, sets a colour or turns the text around."""
    bad = [
        c for c in output if c not in "\n\u200d" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]
    assert not bad, bad


# --- runs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [30, 60, 80, 120, 200])
def test_table_fits_the_terminal(demo: Cli, width: int) -> None:
    lines = demo.lines("runs", width=width)
    assert max(map(cell_len, lines)) <= width
    if width >= 80:
        assert len(lines) == 1 + 7 + 1  # titles, runs, footer: no row is wrapped


def test_table_shows_what_matters_first(demo: Cli) -> None:
    titles, *rows, footer = demo.lines("runs")
    assert titles.split() == ["id", "name", "experiment", "state", "started", "duration", "depth", "score"]
    assert [re.sub(r"^\w{8}  ", "", row).split("  ")[0] for row in rows] == [
        "broken", "search", "├─ depth-3", "└─ depth-2", "net", "net", "cut-off",
    ]  # fmt: skip
    states = [re.search(r"[✓✗■?●○] \w+", row) for row in rows]
    assert [state[0] for state in states if state] == [
        "✗ failed", "✓ finished", "✓ finished", "✓ finished", "✓ finished", "✓ finished", "? lost",
    ]  # fmt: skip
    assert re.search(r"\d+ s ago|just now", rows[0])
    assert rows[2].split()[-2:] == ["3", "0.4286"]
    assert footer.startswith("7 of 7 runs in sqlite:///")
    assert footer.endswith(" · autotrack show ID")


def test_a_wide_terminal_shows_more_columns(demo: Cli) -> None:
    titles, *rows, _ = demo.lines("runs", "--experiment", "main", width=200)
    assert titles.split()[2:] == ["state", "started", "duration", "lr", "layers", "acc", "loss", "val_loss"]
    assert rows[1].split()[-5:] == ["0.01", "3", "0.9801", "0.0001", "NaN"]


def test_limit(demo: Cli) -> None:
    lines = demo.lines("runs", "--limit", "2", "--children")
    assert len(lines) == 4
    assert lines[-1].startswith("2 of 7 runs")
    assert demo.lines("runs", "--limit", "1", "--experiment", "main")[-1].startswith("1 of 4 runs")


def test_a_child_without_its_parent_stands_alone(demo: Cli) -> None:
    assert "  depth-3" in demo.lines("runs", "--limit", "2", "--children")[-2]


def test_empty_store(cli: Cli) -> None:
    lines = cli.lines("runs", width=300)
    assert lines[0] == f"No runs yet in {cli.place.url}"
    assert [line.strip() for line in lines[-2:]] == ["import autotrack", "autotrack.enable()"]
    assert cli.lines("runs", "--json") == ["[]"]
    assert not Path(cli.place.folder, "runs.db").exists()


def test_experiment_without_runs(demo: Cli) -> None:
    assert demo.lines("runs", "--experiment", "nope", width=300)[0].startswith(
        "No runs of experiment 'nope' in"
    )


def test_runs_as_json(demo: Cli) -> None:
    runs = strict_json(demo("runs", "--json").stdout)
    assert [run["name"] for run in runs][:2] == ["broken", "depth-3"]
    net = next(run for run in runs if run["name"] == "net")
    assert net["params"] == {"lr": 0.01, "layers": 3, "seed": "None"}
    assert net["metrics"] == {"loss": 0.0001, "acc": 0.9801, "val_loss": "NaN"}
    assert datetime.fromisoformat(net["started"]) <= datetime.now(UTC)


def test_non_finite_numbers_as_json() -> None:
    values = {"a": [float("nan"), float("inf")], "b": (-float("inf"), 1.5, None)}
    assert strict_json(text.as_json(values)) == {"a": ["NaN", "Infinity"], "b": ["-Infinity", 1.5, None]}


def test_a_live_run_is_running(cli: Cli) -> None:
    process = cli.place.start("""
        import autotrack
        with autotrack.run("alive"):
            autotrack.log({"loss": 1.0})
            autotrack.flush()
            print("logged", flush=True)
            input()
    """)
    wait_for(process, "logged")
    assert "● running" in cli.lines("runs")[1]
    assert end_of(process, "\n").returncode == 0
    assert "✓ finished" in cli.lines("runs")[1]


# --- hostile and huge runs ------------------------------------------------------------------------

HOSTILE = """
    import autotrack
    EVIL = "\\x1b[31m[bold]x[/bold]\\r\\n\\x9b2J\\x07\\u202e\\u2028 👩\\u200d👩\\u200d👧 日本 :smile: [link=http://x]"
    run = autotrack.run(EVIL, experiment=EVIL, params={EVIL: EVIL, "p": EVIL}, tags={EVIL: EVIL})
    try:
        with run:
            autotrack.log({EVIL: 1.0, "m": float("-inf")})
            run.log_artifact(__file__, "a\\x1b[2J\\nb")
            raise ValueError(EVIL)
    except ValueError:
        pass
    with autotrack.run("", experiment="e" * 300, params={"long" * 100: "value" * 5000}):
        pass
"""


def test_nothing_reaches_the_terminal_raw(cli: Cli) -> None:
    assert cli.place.run(HOSTILE).returncode == 0
    ids = [run.id for run in cli.place.open().runs()]
    for width, args in product((40, 80, 200), (["runs"], ["doctor"], *(["show", run_id] for run_id in ids))):
        lines = cli.lines(*args, width=width)
        assert_harmless("\n".join(lines))
        assert max(map(cell_len, lines)) <= width
    assert len(cli.lines("runs", width=200)) == 4
    assert r"\x1b[31m[bold]x[/bold]\r\n" in cli.lines("show", ids[1], width=200)[0]


def test_thousands_of_params_and_metrics(cli: Cli) -> None:
    cli.place.run("""
        import autotrack
        with autotrack.run("huge", params={f"p{i}": i for i in range(5000)}):
            for step in range(2):
                autotrack.log({f"m{i}": float(i) for i in range(3000)}, step)
    """)
    run_id = cli.place.only_run().id
    lines = cli.lines("show", run_id)
    assert len(lines) < 100
    assert "… and 4,940 more; everything: --json" in lines
    assert "… and 2,970 more; everything: --json" in lines
    shown = strict_json(cli("show", run_id, "--json").stdout)
    assert (len(shown["params"]), len(shown["summaries"])) == (5000, 3000)
    assert len(cli.lines("runs", width=200)) == 3


# --- show -----------------------------------------------------------------------------------------


@pytest.fixture
def ids(demo: Cli) -> dict[str, str]:
    """The latest run's id, by name."""
    return {run.name: run.id for run in reversed(demo.place.open().runs())}


def sections(lines: list[str]) -> dict[str, list[str]]:
    """The lines of each section of a page; those before the first under ""."""
    found: dict[str, list[str]] = {"": []}
    for line in lines:
        if heading := re.fullmatch(r"(.+?) ─+", line):
            found[heading[1]] = []
        elif line:
            list(found.values())[-1].append(line)
    return found


@pytest.mark.parametrize("width", [80, 120])
def test_page_of_a_run(demo: Cli, ids: dict[str, str], width: int) -> None:
    page = sections(demo.lines("show", ids["net"], width=width))
    assert list(page) == ["", "Metrics 3", "Params 3", "Artifacts 1", "Tags 1"]
    assert page[""][0] == "net  ✓ finished"
    assert page[""][1].split() == ["id", ids["net"]]
    assert page["Params 3"] == ["layers  3    lr  0.01", "None: seed"]
    assert page["Tags 1"] == ["team  vision"]
    curves = [line.split() for line in page["Metrics 3"]]
    assert curves[0] == ["metric", "last", "min", "max", "points", "curve"]
    assert curves[1][:5] == ["acc", "0.9801", "0", "0.9801", "100"]
    assert re.fullmatch("▁+▂+▃+▄+▅+▆+▇+█+", curves[1][5])
    assert curves[3] == ["val_loss", "NaN", "-", "-", "1"]
    assert page["Artifacts 1"][0].startswith("code/train.py  ")


def test_page_of_a_failed_run(demo: Cli, ids: dict[str, str]) -> None:
    page = sections(demo.lines("show", ids["broken"]))
    assert page[""][0] == "broken  ✗ failed"
    assert page["Error"][0] == "  Traceback (most recent call last):"
    assert page["Error"][-1] == "  ValueError: no [red]luck[/red]"


def test_parent_and_children_name_each_other(demo: Cli, ids: dict[str, str]) -> None:
    parent = sections(demo.lines("show", ids["search"]))
    assert [line.split()[1] for line in parent["Children 2"][1:]] == ["depth-3", "depth-2"]
    child = demo.lines("show", ids["depth-2"])
    assert f"parent      {ids['search'][-8:]}  search" in child


def test_page_shows_the_tree_of_training_calls(cli: Cli) -> None:
    cli.place.run("""
        import autotrack
        from sklearn.datasets import load_iris
        from sklearn.ensemble import GradientBoostingClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        autotrack.enable("sklearn")
        model = make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=5))
        model.fit(*load_iris(return_X_y=True))
    """)
    page = sections(cli.lines("show", cli.place.only_run().id))
    calls = page["Training calls 19"]
    assert [re.split(r" {2,}", line)[0] for line in calls] == [
        "StandardScaler",
        "GradientBoostingClassifier",
        "├─ LabelEncoder",
        "├─ DummyClassifier",
        "└─ DecisionTreeRegressor",
    ]
    assert "15 calls" in calls[-1]
    assert all(re.search(r"\d (s|ms|µs) +[━╸╺]+$", line) for line in calls)


def test_show_as_json(demo: Cli, ids: dict[str, str]) -> None:
    shown = strict_json(demo("show", ids["net"], "--json").stdout)
    assert shown["summaries"]["val_loss"] == {
        "last": "NaN", "min": "NaN", "max": "NaN", "count": 1, "non_finite": 1
    }  # fmt: skip
    assert [artifact["path"] for artifact in shown["artifacts"]] == ["code/train.py"]
    assert shown["fits"] == []
    failed = strict_json(demo("show", ids["broken"], "--json").stdout)
    assert failed["error"]["traceback"].startswith("Traceback")


def test_show_takes_either_end_of_an_id(demo: Cli, ids: dict[str, str]) -> None:
    run_id = ids["net"]
    for part in (run_id, run_id[-8:], run_id[:30]):
        assert strict_json(demo("show", part, "--json").stdout)["id"] == run_id


def test_show_an_unknown_run(demo: Cli) -> None:
    assert "no run has the id 'zzz'" in demo.mistake("show", "zzz")
    assert "runs have an id like '0'" in demo.mistake("show", "0")


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["rnus"], "No such command 'rnus'"),
        (["runs", "--limti", "3"], "--limti"),
        (["runs", "--limit", "0"], "--limit"),
        (["show"], "RUN"),
        (["exec"], "COMMAND"),
        (["exec", "--nope", "true"], "--nope"),
    ],
)
def test_wrong_usage(cli: Cli, args: list[str], said: str) -> None:
    line = cli.mistake(*args, status=2)
    assert said in line
    assert line.endswith("--help")


@pytest.mark.parametrize("url", ["runs.db", "", "sqlite:///", "mysql://x/y"])
def test_wrong_store(cli: Cli, url: str) -> None:
    assert "sqlite:///" in cli.mistake("runs", "--store", url)
    assert "sqlite:///" in cli.mistake("exec", "--store", url, "true")


def test_wrong_store_in_the_environment(cli: Cli) -> None:
    assert "did you mean 'sqlite:///runs.db'?" in cli.mistake("runs", AUTOTRACK_STORE="runs.db")


def test_a_file_that_is_no_store(cli: Cli) -> None:
    Path(cli.place.folder, "runs.db").write_text("not a database " * 100)
    assert "runs.db" in cli.mistake("runs")
    assert "runs.db" in cli.mistake("show", "x")


@pytest.fixture
def newer(cli: Cli) -> Cli:
    """A store that an autotrack of the future wrote."""
    cli.place.run("import autotrack\nautotrack.log({'a': 1.0})")
    assert len(cli.place.open().runs()) == 1
    with sqlite3.connect(cli.place.folder / "runs.db") as db:
        db.execute("UPDATE autotrack_version SET version_num = 'ffff'")
    db.close()
    return cli


def test_a_newer_store(newer: Cli) -> None:
    for args in (["runs"], ["runs", "--json"], ["show", "a"]):
        assert "written by a newer autotrack (schema ffff): pip install -U autotrack" in newer.mistake(*args)


@pytest.mark.parametrize("command", ["runs", "show", "exec", "doctor"])
def test_help_has_an_example(cli: Cli, command: str) -> None:
    assert f"Example: autotrack {command} " in "\n".join(cli.lines(command, "--help"))
    assert command in "\n".join(cli.lines("--help"))


def test_without_a_command_there_is_help(cli: Cli) -> None:
    assert cli.lines() == cli.lines("--help")


def test_version_of_script_and_module(store: Place) -> None:
    for program in ([AUTOTRACK], [sys.executable, "-m", "autotrack"]):
        output = subprocess.run(
            [*program, "--version"], env=store.env, capture_output=True, text=True, check=True
        )
        assert output.stdout == f"autotrack {autotrack.__version__}\n"


def test_help_and_exec_load_neither_tables_nor_database() -> None:
    source = "import sys, autotrack.cli; print({'rich', 'sqlalchemy', 'numpy'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert output.stdout.strip() in ("set()", "{'numpy'}")  # numpy is the recorder's


@pytest.mark.parametrize("command", ["runs", "runs --json"])
def test_a_closed_pipe_is_no_error(demo: Cli, command: str) -> None:
    shell = f"{AUTOTRACK} {command} | true"
    ended = subprocess.run(["sh", "-c", shell], env=demo.place.env, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_no_colours_without_a_terminal(demo: Cli) -> None:
    output = subprocess.run(
        [AUTOTRACK, "runs"], env=demo.place.env, capture_output=True, text=True, check=True
    )
    assert "\x1b" not in output.stdout
    assert max(map(cell_len, output.stdout.splitlines())) <= 80


@pytest.mark.parametrize("columns", ["0", "x", "-3"])
def test_a_nonsense_width_is_80(demo: Cli, columns: str) -> None:
    assert demo("doctor", COLUMNS=columns).stdout == demo("doctor").stdout


def test_a_terminal_that_knows_only_ascii(demo: Cli) -> None:
    env = demo.place.env | {"PYTHONIOENCODING": "ascii"}
    output = subprocess.run([AUTOTRACK, "runs"], env=env, capture_output=True, text=True, check=True)
    assert "? finished" in output.stdout


# --- exec -----------------------------------------------------------------------------------------


def autotrack_exec(store: Place, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`autotrack exec COMMAND` to its end."""
    surroundings = store.env | env
    del surroundings["AUTOTRACK_EXPERIMENT"]
    return subprocess.run(
        [AUTOTRACK, "exec", *command],
        cwd=store.folder,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


TRAIN = """
    import sys
    from sklearn.linear_model import LinearRegression
    LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    print(*sys.argv[1:])
    raise SystemExit(3)
"""


def script(store: Place, source: str) -> str:
    """The name of a script in the folder where `autotrack_exec` runs it."""
    Path(store.folder, "train.py").write_text(textwrap.dedent(source))
    return "train.py"


def test_exec_records_a_script_as_it_is(store: Place) -> None:
    options = ["--store", "sqlite:///here.db", "--experiment", "exec", "--"]
    ended = autotrack_exec(store, *options, sys.executable, script(store, TRAIN), "--help", "--", "x")
    assert (ended.returncode, ended.stdout) == (3, "--help -- x\n")
    assert ended.stderr.startswith("autotrack: recorded 1 run (1 finished)")
    [run] = Place(store.folder, f"sqlite:///{store.folder}/here.db", {}).open().runs()
    assert (run.name, run.experiment) == ("LinearRegression", "exec")


IS_ENABLED = "from autotrack import _enable; print([*_enable._enabled, *_enable._awaited])"


ALL = "['lightning', 'pytorch_lightning', 'sklearn', 'torch', 'xgboost']\n"


def test_exec_runs_a_script_with_this_python(store: Place) -> None:
    ended = autotrack_exec(store, script(store, IS_ENABLED), PATH="/nowhere")
    assert ended.stdout == ALL


def test_exec_reaches_every_python_below(store: Place) -> None:
    path = store.folder / script(store, IS_ENABLED)
    ended = autotrack_exec(store, "sh", "-c", f"cd / && {sys.executable} {path}; exit 7")
    assert (ended.returncode, ended.stdout) == (
        7,
        "['lightning', 'pytorch_lightning', 'sklearn', 'torch', 'xgboost']\n",
    )


@pytest.mark.parametrize(("command", "status"), [("no-such-program", 127), ("missing.py", 127), ("/", 126)])
def test_exec_of_what_cannot_be_run(store: Place, command: str, status: int) -> None:
    ended = autotrack_exec(store, command)
    assert (ended.returncode, ended.stdout) == (status, "")
    assert re.fullmatch(rf"autotrack: .*{re.escape(command)}\n", ended.stderr)


def test_exec_hands_signals_to_the_command(store: Place) -> None:
    script = Path(store.folder, "wait.py")
    script.write_text(
        "import autotrack, time\nautotrack.log({'a': 1.0})\nprint('ready', flush=True)\ntime.sleep(60)"
    )
    process = subprocess.Popen(
        [AUTOTRACK, "exec", "wait.py"], cwd=store.folder, env=store.env, stdout=subprocess.PIPE, text=True
    )
    wait_for(process, "ready")
    process.terminate()
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == -signal.SIGTERM
    assert store.only_run().state == "killed"


def test_exec_leaves_no_signal_ignored(store: Place) -> None:
    ended = autotrack_exec(store, "grep", "SigIgn", "/proc/self/status")
    assert int(ended.stdout.split()[1], 16) & 1 << (signal.SIGPIPE - 1) == 0


def own_sitecustomize(store: Place, source: str) -> dict[str, str]:
    """The environment of a user who has a sitecustomize; another module stands beside it."""
    folder = store.folder / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(source)
    (folder / "beside.py").write_text("")
    return {"PYTHONPATH": str(folder)}


def test_exec_keeps_the_users_sitecustomize(store: Place) -> None:
    env = own_sitecustomize(store, "import beside, sys\nsys.mine = __file__, __name__\n")
    source = "import sys, sitecustomize as s; print(*sys.mine, s.__file__, 'beside' in sys.modules)"
    ended = autotrack_exec(store, sys.executable, "-c", source, **env)
    theirs = f"{env['PYTHONPATH']}/sitecustomize.py"
    assert ended.stdout.split() == [theirs, "sitecustomize", theirs, "True"]


def test_exec_keeps_the_sitecustomize_of_a_virtual_environment(store: Place, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    [site] = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "sitecustomize.py").write_text("print('theirs')")
    (site / "ours.pth").write_text("\n".join(place for place in sys.path if place and Path(place).is_dir()))
    python = str(tmp_path / "venv" / "bin" / "python")
    ended = autotrack_exec(store, python, "-c", "import autotrack; autotrack.log({'a': 1.0})")
    assert ended.stdout == "theirs\n"
    assert store.only_run().metrics == {"a": 1.0}


@pytest.mark.parametrize("source", ["1 / 0", "import no_such_module"])
def test_exec_reports_a_broken_sitecustomize_as_python_does(store: Place, source: str) -> None:
    env = own_sitecustomize(store, source)
    plain = subprocess.run([sys.executable, "-c", ""], env=store.env | env, capture_output=True, text=True)
    ended = autotrack_exec(store, sys.executable, "-c", "print('goes on')", AUTOTRACK_QUIET="1", **env)
    assert (ended.returncode, ended.stdout) == (0, "goes on\n")
    assert ended.stderr == 2 * plain.stderr  # once by the script, once by `autotrack` itself


def test_exec_without_a_sitecustomize_leaves_ours(store: Place) -> None:
    ended = autotrack_exec(store, sys.executable, "-c", "import sitecustomize, sys; print(sys.path)")
    assert ended.returncode == 0
    assert "cli/site" not in ended.stdout


def test_exec_goes_on_where_autotrack_cannot_be_enabled(store: Place) -> None:
    ended = autotrack_exec(store, sys.executable, "-c", "print('goes on')", AUTOTRACK_STORE="nonsense")
    assert (ended.returncode, ended.stdout) == (0, "goes on\n")
    assert "AUTOTRACK_STORE: store 'nonsense' is not a URL" in ended.stderr.splitlines()[0]


def test_exec_goes_on_in_a_python_without_autotrack(store: Place, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    ended = autotrack_exec(store, str(tmp_path / "bare" / "bin" / "python"), "-c", "print('goes on')")
    assert (ended.returncode, ended.stdout) == (0, "goes on\n")
    assert re.fullmatch(r"autotrack: \S+ records nothing: No module named 'autotrack'\n", ended.stderr)


# --- doctor ---------------------------------------------------------------------------------------


def test_doctor_finds_all_well(demo: Cli) -> None:
    page = sections(demo.lines("doctor", width=200))
    assert list(page) == ["", "Store", "Spools", "Integrations", "Options"]
    assert page[""][0].split() == ["autotrack", autotrack.__version__]
    store = [line.split(maxsplit=1) for line in page["Store"]]
    assert ["runs", "7"] in store
    assert any(name == "set" and origin.endswith("environment AUTOTRACK_STORE") for name, origin in store)
    assert any(line.split()[:2] == ["✓", "sklearn"] for line in page["Integrations"])
    assert ["experiment", "main", "environment", "AUTOTRACK_EXPERIMENT"] in map(str.split, page["Options"])
    assert ["xgboost.every", "1", "default"] in map(str.split, page["Options"])
    assert page["Options"][-1] == "✓ All is well."


def test_doctor_folds_no_option_names(demo: Cli) -> None:
    assert any(line.startswith("lightning.checkpoint_max_bytes ") for line in demo.lines("doctor", width=80))


def test_doctor_as_json(demo: Cli) -> None:
    found = strict_json(demo("doctor", "--json").stdout)
    assert (found["version"], found["problems"]) == (autotrack.__version__, [])
    assert found["store"] | {"exists": True, "runs": 7, "experiments": 2} == found["store"]
    assert found["options"]["flush_interval"] == {"value": 0.5, "origin": "default"}
    xgboost = next(entry for entry in found["integrations"] if entry["name"] == "xgboost")
    assert xgboost["installed"]  # by xgboost-cpu, a package of another name
    assert xgboost["supported"] is True


def test_doctor_before_the_first_run(cli: Cli) -> None:
    lines = cli.lines("doctor")
    assert lines[-1] == "✓ All is well."
    assert any("not there yet" in line for line in lines)
    assert sorted(path.name for path in cli.place.folder.iterdir()) == ["data", "home"]


def test_doctor_on_a_newer_store(newer: Cli) -> None:
    result = newer("doctor", width=300)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-2].strip() == "✗ 1 problem:"
    assert result.stdout.splitlines()[-1].strip().endswith("(schema ffff): pip install -U autotrack")
    assert strict_json(newer("doctor", "--json").stdout)["store"]["exists"] is True


def test_doctor_shows_what_waits_and_drains_nothing(cli: Cli) -> None:
    cli.place.run("import autotrack\nautotrack.log({'a': 1.0})")
    for _ in range(2):
        result = cli("doctor", "--json")
        [spool] = strict_json(result.stdout)["spools"]
        assert (result.exit_code, spool["pending_files"]) == (0, 1)
        assert spool["pending_bytes"] > 0
    cli.lines("runs")
    [spool] = strict_json(cli("doctor", "--json").stdout)["spools"]
    assert spool["pending_bytes"] == 0


def test_doctor_on_rejected_frames(cli: Cli) -> None:
    spool = cli.place.folder / "runs.db-spool"
    spool.mkdir()
    (spool / "0123456789abcdef-000000.otlp").write_bytes(b"rotten")
    cli.place.open().runs()
    result = cli("doctor", width=300)
    assert result.exit_code == 1
    assert f"{spool}/rejected holds what could not be read (1 file" in result.stdout


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AUTOTRACK_STORE", "runs.db", "did you mean 'sqlite:///runs.db'?"),
        ("AUTOTRACK_FLUSH_INTERVAL", "often", "AUTOTRACK_FLUSH_INTERVAL='often' is not a number"),
        ("AUTOTRACK_XGBOOST_EVERY", "-1", "must be above 0"),
    ],
)
def test_doctor_on_a_wrong_option(cli: Cli, variable: str, value: str, said: str) -> None:
    result = cli("doctor", width=300, **{variable: value})
    assert (result.exit_code, result.stderr) == (1, "")
    assert said in result.stdout.splitlines()[-1]


def test_doctor_names_the_pyproject_that_sets_an_option(store: Place) -> None:
    Path(store.folder, "pyproject.toml").write_text("[tool.autotrack]\nquiet = true\nquite = true\n")
    ended = subprocess.run(
        [AUTOTRACK, "doctor", "--json"], cwd=store.folder, env=store.env, capture_output=True, text=True
    )
    found = strict_json(ended.stdout)
    assert found["options"]["quiet"] == {"value": True, "origin": str(store.folder / "pyproject.toml")}
    assert ended.returncode == 1
    assert "'quite'; did you mean 'quiet'?" in found["problems"][0]


@pytest.fixture
def third_party(store: Place) -> Iterator[dict[str, str]]:
    """The environment of someone who installed two integrations: one outdated, one broken."""
    folder = store.folder / "packages"
    info = folder / "third_party-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third_party\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[autotrack.integrations]\nnumbers = third_party:Numbers\nbroken = third_party:Missing\n"
    )
    (folder / "third_party.py").write_text(
        "from autotrack import Integration\n\n\nclass Numbers(Integration):\n    requires = 'numpy>=99'\n"
    )
    yield {"PYTHONPATH": str(folder)}
    shutil.rmtree(folder)


def test_doctor_on_integrations_that_do_not_fit(store: Place, third_party: dict[str, str]) -> None:
    ended = subprocess.run(
        [AUTOTRACK, "doctor", "--json"], env=store.env | third_party, capture_output=True, text=True
    )
    found = strict_json(ended.stdout)
    numbers = next(entry for entry in found["integrations"] if entry["name"] == "numbers")
    assert (numbers["installed"], numbers["supported"]) == (np.__version__, False)
    assert f"numbers {np.__version__} is not supported: pip install -U 'numpy>=99'" in found["problems"]
    assert any("'broken'" in problem and "does not load" in problem for problem in found["problems"])
    assert ended.returncode == 1


# --- values and pictures --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456, "0.1235"), (1.0, "1"), (-2.5, "-2.5"), (123456.0, "123456"), (12345.678, "12346"),
        (0.00001234, "1.234e-5"), (1.5e300, "1.5e300"), (1e12, "1e12"), (0.0, "0"),
        (float("nan"), "NaN"), (float("-inf"), "-inf"),
    ],
)  # fmt: skip
def test_number(value: float, shown: str) -> None:
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 µs"), (-1, "0 µs"), (0.000475, "475 µs"), (0.0036, "3.6 ms"), (0.203, "203 ms"),
        (0.9996, "1.0 s"), (1.23, "1.2 s"), (59.97, "1 min 0 s"), (184, "3 min 4 s"), (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"), (2 * 86400 + 3 * 3600, "2 d 3 h"),
    ],
)  # fmt: skip
def test_duration(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "just now"), (-10, "just now"), (12, "12 s ago"), (130, "2 min ago"),
        (7300, "2 h ago"), (4 * 86400, "4 d ago"),
    ],
)  # fmt: skip
def test_ago(seconds: float, shown: str) -> None:
    assert text.ago(datetime.now(UTC) - timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize("days", [-400, -1, 31, 400])
def test_what_is_far_away_has_a_date(days: int) -> None:
    moment = datetime.now(UTC) - timedelta(days=days)
    assert text.ago(moment) == f"{moment.astimezone():%Y-%m-%d}"


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_960, "100 kB"), (3_400_000, "3.4 MB")],
)
def test_size(count: int, shown: str) -> None:
    assert text.size(count) == shown


@given(st.text())
def test_plain_text_is_harmless(value: str) -> None:
    assert_harmless(text.plain(value))


@given(st.text(st.characters(categories=["L", "N", "So"])), st.integers(1, 30))
def test_shortened_text_fits(value: str, width: int) -> None:
    shown = text.shortened(value, width)
    assert cell_len(shown) <= width
    assert shown == value or "…" in shown


def test_shortened_text_keeps_both_ends() -> None:
    assert text.shortened("validation_0-logloss", 12) == "valid…ogloss"


@given(st.lists(st.integers(0, 8), max_size=9))
def test_a_tree_has_every_node_once(parents: list[int]) -> None:
    nodes = [SimpleNamespace(id=str(i), parent=str(parent)) for i, parent in enumerate(parents)]
    assert sorted(node.id for _, node in branches(nodes)) == sorted(node.id for node in nodes)


def test_tree() -> None:
    parents = {"a": None, "b": "a", "c": "b", "d": "b", "e": "a", "f": "elsewhere"}
    nodes = [SimpleNamespace(id=name, parent=parent) for name, parent in parents.items()]
    drawn = [lines + node.id for lines, node in branches(nodes)]
    assert drawn == ["a", "├─ b", "│  ├─ c", "│  └─ d", "└─ e", "f"]


def test_a_deep_tree() -> None:
    nodes = [SimpleNamespace(id=str(i), parent=str(i - 1)) for i in range(3000)]
    assert len(branches(nodes)) == 3000


def points(values: list[float], steps: list[int] | None = None) -> Points:
    step = np.array(steps if steps is not None else range(len(values)), np.int64)
    return Points(step, step, np.array(values, np.float64))


@pytest.mark.parametrize(
    ("curve", "drawn"),
    [
        (points([]), ""),
        (points([1.0, 1.0]), "▁▁"),
        (points([float(i) for i in range(8)]), "▁▂▃▄▅▆▇█"),
        (points([float(i) for i in range(8000)]), "▁▂▃▄▅▆▇█"),
        (points([0.0, float("nan"), 1.0, float("inf")]), "▁!█!"),
        (points([0.0, 1.0, 1.0], [0, 1, 100]), "▁ █"),
        (points([0.0, 1.0], [5, 5]), "▁ "),
        (points([-1.7e308, 0.0, 1.7e308]), "▁▅█"),
    ],
)
def test_sparkline(curve: Points, drawn: str) -> None:
    assert sparkline(curve, 8) == drawn


@pytest.mark.parametrize(
    ("start", "end", "drawn"),
    [(0, 1, "━━━━"), (0.5, 1, "  ━━"), (0.125, 0.375, "╺╸"), (0, 0, "╸"), (1, 1, "   ╺"), (-9, 9, "━━━━")],
)
def test_bar(start: float, end: float, drawn: str) -> None:
    assert bar(start, end, 4) == drawn
