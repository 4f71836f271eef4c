"""Options and `enable()`: where values come from, and what wrong ones are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import autotrack
from autotrack import options
from autotrack.errors import OptionError
from autotrack.locations import homes, normalized
from autotrack.options import Options, resolve

from .scripts import Place
from .tracking import Tracking, tracking

__all__ = ["tracking"]


@dataclass(frozen=True)
class Example:
    every: int = 1
    ratio: float = 0.5
    name: str | None = None
    verbose: bool = False


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder below one with a pyproject.toml that the test writes."""
    folder = tmp_path / "project" / "deep"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    options._table_above.cache_clear()
    return tmp_path / "project" / "pyproject.toml"


def test_argument_beats_environment_beats_pyproject_beats_default(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write_text("[tool.autotrack.lib]\nevery = 2\nratio = 0.2\nname = 'p'\n")
    monkeypatch.setenv("AUTOTRACK_LIB_EVERY", "3")
    monkeypatch.setenv("AUTOTRACK_LIB_RATIO", "0.3")
    found, settings = resolve(Example, {"every": 4}, "lib")
    assert found == Example(every=4, ratio=0.3, name="p", verbose=False)
    assert {name: setting.origin for name, setting in settings.items()} == {
        "every": "argument",
        "ratio": "environment AUTOTRACK_LIB_RATIO",
        "name": str(project),
        "verbose": "default",
    }


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("off", False), ("false", False)])
def test_booleans_in_the_environment(
    project: Path, monkeypatch: pytest.MonkeyPatch, text: str, value: bool
) -> None:
    monkeypatch.setenv("AUTOTRACK_LIB_VERBOSE", text)
    assert resolve(Example, {}, "lib")[0].verbose is value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"evry": 1}, "unknown option 'evry' of lib; did you mean 'every'?"),
        ({"every": "often"}, "option 'every' must be int, not str 'often'"),
        ({"every": True}, "option 'every' must be int, not bool True"),
        ({"every": -1}, "option 'every' must be above 0, not -1"),
        ({"verbose": 1}, "option 'verbose' must be bool, not int 1"),
        ({"name": 1}, "option 'name' must be str, not int 1"),
    ],
)
def test_a_wrong_argument_is_an_error(project: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError) as raised:
        resolve(Example, arguments, "lib")
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("variable", "text", "line"),
    [
        ("AUTOTRACK_LIB_EVERY", "often", "AUTOTRACK_LIB_EVERY='often' is not a number"),
        ("AUTOTRACK_LIB_VERBOSE", "maybe", "AUTOTRACK_LIB_VERBOSE='maybe' is neither true nor false"),
        ("AUTOTRACK_LIB_EVERY", "0", "option 'AUTOTRACK_LIB_EVERY' must be above 0, not 0"),
    ],
)
def test_a_wrong_environment_variable_is_one_line_and_ignored(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str,
    text: str,
    line: str,
) -> None:
    monkeypatch.setenv(variable, text)
    assert resolve(Example, {}, "lib")[0] == Example()
    assert caplog.messages == [f"autotrack: {line}; ignored"]


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        (
            "[tool.autotrack]\nexperimnt = 'x'",
            "unknown option 'experimnt'; did you mean 'experiment'?; ignored",
        ),
        (
            "[tool.autotrack]\nflush_interval = 'x'",
            "option 'flush_interval' must be float, not str 'x'; ignored",
        ),
        ("[tool.autotrack\n", "cannot read"),
    ],
)
def test_a_wrong_pyproject_is_one_line_and_ignored(
    project: Path, caplog: pytest.LogCaptureFixture, toml: str, line: str
) -> None:
    project.write_text(toml)
    assert resolve(Options)[0] == Options()
    assert len(caplog.messages) == 1
    assert line in caplog.messages[0]
    assert str(project) in caplog.messages[0]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("runs.db", "did you mean 'sqlite:///runs.db'?"),
        ("mysql://host/db", "is not a URL of the form sqlite:///path/runs.db"),
        ("sqlite:///", "names no file"),
    ],
)
def test_a_wrong_store_is_an_error(tracking: Tracking, url: str, message: str) -> None:
    with pytest.raises(OptionError) as raised:
        autotrack.enable(store=url)
    assert message in str(raised.value)


def test_stores_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert normalized("sqlite:///runs.db") == f"sqlite:///{tmp_path}/runs.db"
    assert normalized("sqlite:///~/runs.db") == "sqlite:////home/someone/runs.db"
    assert normalized("sqlite:////a/../b.db") == "sqlite:////b.db"


def test_a_servers_address() -> None:
    assert normalized("http://localhost:5000/") == "http://localhost:5000"
    assert normalized("https://[::1]:5000/a/") == "https://[::1]:5000/a"
    assert normalized("HTTPS://Host.example") == "https://host.example"
    spools = [home.spool for home in homes("http://localhost:5000")]
    assert len(set(spools)) == len(spools) == 2


@pytest.mark.parametrize("url", ["http://", "http://h:x", "http://h:99999", "http://h/?a=b", "http://u:p@h"])
def test_no_servers_address(url: str) -> None:
    with pytest.raises(OptionError) as raised:
        normalized(url)
    assert "u:p" not in str(raised.value)


@pytest.mark.parametrize(
    ("names", "arguments", "message"),
    [
        (("sklern",), {}, "unknown name 'sklern'; did you mean 'sklearn'?"),
        ((), {"xgbost": {}}, "unknown name 'xgbost'; did you mean 'xgboost'?"),
        ((), {"experimnt": "x"}, "unknown name 'experimnt'; did you mean 'experiment'?"),
        ((), {"xgboost": {"evry": 2}}, "unknown option 'evry' of xgboost; did you mean 'every'?"),
        ((), {"xgboost": 3}, "option 'xgboost' takes a dict of options or False, not 3"),
    ],
)
def test_enable_says_what_was_meant(
    tracking: Tracking, names: tuple[str, ...], arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(OptionError) as raised:
        autotrack.enable(*names, **arguments)
    assert str(raised.value) == message


def test_a_wrong_enable_changes_nothing(store: Place) -> None:
    ended = store.run("""
        import autotrack
        from sklearn.linear_model import Ridge
        try:
            autotrack.enable("sklearn", xgboost={"evry": 2})
        except autotrack.OptionError:
            pass
        Ridge().fit([[1.0], [2.0]], [1.0, 2.0])
    """)
    assert (ended.returncode, ended.err) == (0, "")
    assert list(store.open().runs()) == []


def test_an_absent_library_that_is_asked_for_is_an_error(store: Place) -> None:
    ended = store.run("""
        import sys
        sys.modules["xgboost"] = None
        import importlib.util
        find = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *a: None if name == "xgboost" else find(name, *a)
        del sys.modules["xgboost"]
        import autotrack
        autotrack.enable(quiet=True)  # absent and not asked for: silent
        try:
            autotrack.enable("xgboost")
        except autotrack.OptionError as error:
            print(error)
    """)
    assert (ended.out, ended.err) == ("xgboost is not installed: pip install 'xgboost>=2.0'\n", "")


def test_integrations_can_be_left_out(tracking: Tracking) -> None:
    from sklearn.linear_model import Ridge

    tracking.enable(sklearn=False)
    Ridge().fit([[1.0], [2.0]], [1.0, 2.0])
    assert tracking.runs() == []


def test_another_store_while_a_run_is_open_is_an_error(tracking: Tracking, tmp_path: Path) -> None:
    tracking.enable()
    with autotrack.run("open"), pytest.raises(OptionError, match="runs are open in"):
        autotrack.enable(store=f"sqlite:///{tmp_path}/other.db")
    autotrack.enable(store=f"sqlite:///{tmp_path}/other.db")
    with autotrack.run("there"):
        autotrack.log({"a": 1.0})
    assert [run.name for run in autotrack.runs()] == ["there"]
    assert [run.name for run in tracking.store.runs()] == ["open"]


def test_changed_options_hold_from_the_next_run_on(tracking: Tracking) -> None:
    tracking.enable()
    autotrack.enable(experiment="second")
    with autotrack.run():
        pass
    assert tracking.run().experiment == "second"


@pytest.mark.parametrize(
    ("git", "expected"), [(True, "repo"), (False, "work")], ids=["git folder", "script's folder"]
)
def test_the_experiments_name_comes_from_the_folders(store: Place, git: bool, expected: str) -> None:
    work = store.folder / "repo" / "work"
    work.mkdir(parents=True)
    if git:
        (work.parent / ".git").mkdir()
    (work / "train.py").write_text("import autotrack\nautotrack.log({'a': 1.0})\n")
    ended = store.run(
        """
        import os, subprocess, sys
        os.chdir(sys.argv[1])
        del os.environ["AUTOTRACK_EXPERIMENT"]
        sys.exit(subprocess.call([sys.executable, "train.py"]))
        """,
        work,
    )
    assert ended.returncode == 0, ended.err
    run = store.only_run()
    assert (run.name, run.experiment) == ("train", expected)


def test_an_integration_is_loaded_with_its_library(store: Place) -> None:
    ended = store.run("""
        import sys
        import autotrack
        autotrack.enable()
        print("autotrack.patches.sklearn" in sys.modules, "autotrack.patches.xgboost" in sys.modules)
        import sklearn
        print("autotrack.patches.sklearn" in sys.modules, "autotrack.patches.xgboost" in sys.modules)
        autotrack.disable()
        import xgboost
        print("autotrack.patches.xgboost" in sys.modules, hasattr(xgboost.train, "_self_patch"))
    """)
    assert ended.out.splitlines() == ["False False", "True False", "False False"]
    assert ended.said == []


def test_a_training_that_has_not_begun_loads_neither_numpy_nor_how_models_are_kept(store: Place) -> None:
    ended = store.run("""
        import sys
        import autotrack
        autotrack.enable()
        heavy = {"numpy", "yaml", "autotrack.flavor", "autotrack.signatures", "autotrack.mlmodel.composing"}
        print(sorted(heavy & sys.modules.keys()))
    """)
    assert ended.out == "[]\n"
