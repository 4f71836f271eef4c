"""A model's folder: each file is what was recorded, and lies where it belongs."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import xgboost
import yaml
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autotrack
from autotrack.errors import ModelError
from autotrack.mlmodel.folder import ModelFile, ModelFolder

from ..disks import Disk

X, Y = load_iris(return_X_y=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    model = LogisticRegression(max_iter=500).fit(X, Y)
    autotrack.save_model(model, path, inputs=X, input_example=X, metadata={"team": "a"})
    return path


def change(path: Path, **told: Any) -> None:
    """Rewrite what its `MLmodel` says."""
    file = path / "MLmodel"
    document = yaml.safe_load(file.read_text())
    for name, value in told.items():
        document["flavors"].setdefault(name, {}).update(value)
    file.write_text(yaml.safe_dump(document))


FILES = (
    "MLmodel",
    "code/helpers.py",
    "conda.yaml",
    "input_example.json",
    "model.skops",
    "pyproject.toml",
    "python_env.yaml",
    "requirements.txt",
    "serving_input_example.json",
    "uv.lock",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a file of every kind."""
    root = tmp_path_factory.mktemp("project")
    for name in ("helpers.py", "pyproject.toml", "uv.lock"):
        (root / name).write_text("# a = 1\n")
    with contextlib.chdir(root):
        model = LogisticRegression(max_iter=500).fit(X, Y)
        autotrack.save_model(model, "model", inputs=X, input_example=X, code_paths=["helpers.py"])
    return root / "model"


@pytest.mark.parametrize("name", [name for name in FILES if name != "MLmodel"])
def test_each_byte_of_each_file_counts(whole: Path, name: str) -> None:
    """Also of what lies beside the model, and is read by nothing here."""
    assert sorted(str(file.relative_to(whole)) for file in whole.rglob("*") if file.is_file()) == [*FILES]
    data = (whole / name).read_bytes()
    try:
        for place in (0, len(data) // 2, len(data) - 1):
            changed = bytearray(data)
            changed[place] ^= 1
            (whole / name).write_bytes(changed)
            with pytest.raises(ModelError, match=rf"{re.escape(name)} of .* is not what was recorded: its"):
                autotrack.load_model(str(whole))
    finally:
        (whole / name).write_bytes(data)
    assert autotrack.load_model(str(whole)).classes_.tolist() == [0, 1, 2]


def test_no_file_is_read_twice_to_be_checked(folder: Path) -> None:
    """The model's own bytes may be many: they are held against their digest as they are read."""
    opened: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).startswith(f"{folder}/"):
            opened.append(Path(str(arguments[0])).name)

    sys.addaudithook(watch)  # which nothing takes away again
    autotrack.load_model(str(folder))
    assert sorted(opened) == sorted(file.name for file in folder.iterdir())


def test_a_file_that_is_missing(folder: Path) -> None:
    (folder / "model.skops").unlink()
    with pytest.raises(ModelError, match=r"lacks model\.skops, which MLmodel names"):
        autotrack.load_model(str(folder))


@pytest.mark.parametrize("name", ["model.skops", "MLmodel"])
def test_a_link_that_leads_out(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=r"leads out of the model's folder"):
        autotrack.load_model(str(folder))


@pytest.mark.parametrize("kind", ["loop", "pipe"])
def test_what_is_no_file(folder: Path, kind: str) -> None:
    if kind == "loop":
        (folder / kind).symlink_to(kind)
    else:
        os.mkfifo(folder / kind)
    with pytest.raises(ModelError, match=rf"{kind} is no file, nor a link to one"):
        autotrack.load_model(str(folder))


def test_a_flavor_that_nobody_knows(folder: Path) -> None:
    document = yaml.safe_load((folder / "MLmodel").read_text())
    document["flavors"] = {"fancy": {}, "python_function": {"loader_module": "fancy"}}
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    with pytest.raises(ModelError, match="fancy"):
        autotrack.load_model(str(folder))


def test_a_file_name_of_the_models_leads_nowhere_else(folder: Path) -> None:
    change(folder, sklearn={"pickled_model": "../../secret"})
    with pytest.raises(ModelError, match=r"has no file '\.\./\.\./secret'"):
        autotrack.load_model(str(folder))


def test_what_a_model_trusts_is_not_what_its_loader_does(folder: Path) -> None:
    """The list inside is for MLflow, which believes it."""
    import skops.io

    (folder / "model.skops").write_bytes(skops.io.dumps(subprocess.Popen))
    change(
        folder,
        sklearn={"skops_trusted_types": ["subprocess.Popen"]},
        autotrack={"files": {}},
    )
    with pytest.raises(ModelError, match=r"types that are not known to be safe: subprocess\.Popen"):
        autotrack.load_model(str(folder))


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no file MLmodel"):
        autotrack.load_model(str(tmp_path))


def test_a_folder_that_is_there_is_not_written_to(folder: Path) -> None:
    with pytest.raises(ModelError, match="is there already"):
        autotrack.save_model(LogisticRegression().fit(X, Y), folder)


@pytest.mark.parametrize(
    ("misspelt", "said"),
    [
        ({"input_exmaple": X}, r"'input_exmaple'; did you mean 'input_example'\?"),
        ({"input": X}, r"'input'; did you mean 'inputs'\?"),
        ({"requirments": ["x"]}, r"'requirments'; did you mean 'requirements'\?"),
        ({"foo": 1}, "'foo'; there are code_paths, input_example"),
    ],
)
def test_a_misspelt_argument(tmp_path: Path, misspelt: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=rf"save_model\(\): unknown argument {said}"):
        autotrack.save_model(LogisticRegression(max_iter=500).fit(X, Y), tmp_path / "m", **misspelt)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\\b", "a\0b"])
def test_names_that_lead_out_are_not_written(tmp_path: Path, name: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"data")
    with pytest.raises(ModelError, match="cannot be named"):
        ModelFolder({name: ModelFile(file)}, "the model").copy_to(tmp_path)


def pinned(*distributions: str) -> list[str]:
    """As they are installed here."""
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in distributions]


def environment(folder: Path) -> tuple[list[str], list[str]]:
    """What virtualenv and conda are told to install by pip."""
    venv = yaml.safe_load((folder / "python_env.yaml").read_text())
    conda = yaml.safe_load((folder / "conda.yaml").read_text())
    return venv["dependencies"], conda["dependencies"][-1]["pip"]


def test_what_is_saved_tells_all_of_it(folder: Path) -> None:
    document = yaml.safe_load((folder / "MLmodel").read_text())
    assert document["metadata"] == {"team": "a"}
    assert document["saved_input_example_info"]["type"] == "ndarray"
    assert set(document["flavors"]["autotrack"]["files"]) == {f.name for f in folder.iterdir()} - {"MLmodel"}
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert lines == pinned("numpy", "scikit-learn", "scipy", "skops")
    assert environment(folder) == (["-r requirements.txt", "mlflow>=3.9"], [*lines, "mlflow>=3.9"])
    loaded = autotrack.load_predictor(str(folder))
    assert loaded.metadata == {"team": "a"}
    assert str(loaded.signature) == "(float64[*, 4]) → int64[*]"


def test_a_pipeline_needs_all_that_is_in_it(tmp_path: Path) -> None:
    """By the names of what is installed, which are not those of the modules."""
    model = make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=1)).fit(X, Y)
    autotrack.save_model(model, tmp_path / "model")
    lines = (tmp_path / "model" / "requirements.txt").read_text().splitlines()
    assert lines == pinned("numpy", "scikit-learn", "scipy", "skops", "xgboost-cpu")


@pytest.mark.parametrize(
    ("asked", "added"),
    [
        ("MLflow==3.17.2", []),
        ("mlflow[extras]", []),
        ("mlflow-plugin==1", ["mlflow>=3.9"]),
        ("mlflowx", ["mlflow>=3.9"]),
    ],
)
def test_mlflow_is_asked_for_once(tmp_path: Path, asked: str, added: list[str]) -> None:
    """By whoever makes an environment for it; pip, an image and our own server need none."""
    model = LogisticRegression(max_iter=500).fit(X, Y)
    autotrack.save_model(model, tmp_path / "model", requirements=[asked])
    assert (tmp_path / "model" / "requirements.txt").read_text() == f"{asked}\n"
    assert environment(tmp_path / "model") == (["-r requirements.txt", *added], [asked, *added])


def test_a_copy_of_a_download_is_the_model(folder: Path, tmp_path: Path) -> None:
    autotrack.download_model(str(folder), tmp_path / "copy")
    names = sorted(file.name for file in folder.iterdir())
    assert sorted(file.name for file in (tmp_path / "copy").iterdir()) == names
    assert all((folder / n).read_bytes() == (tmp_path / "copy" / n).read_bytes() for n in names)


def test_killed_while_saving_no_half_model_is_seen(tmp_path: Path) -> None:
    """By SIGKILL before each file is opened, and before the last step: the folder is there whole, or not."""
    script = """
        import json, os, signal, sys
        import autotrack
        from sklearn.linear_model import LogisticRegression
        model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
        events, moment = [], None
        def watch(event, arguments):
            if event in ("open", "os.rename") and "model-or-not" in str(arguments[0]):
                if len(events) == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                events.append(event)
        def killed(at):
            global moment
            if process := os.fork():
                return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            moment = at
            autotrack.save_model(model, "model-or-not")
            os._exit(0)
        sys.addaudithook(watch)
        autotrack.save_model(model, "whole-model-or-not")
        told, events = events, []
        print(json.dumps([told, [killed(at) for at in range(len(told))]]))
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert ended.returncode == 0
    events, ends = json.loads(ended.stdout)
    files = list((tmp_path / "whole-model-or-not").iterdir())
    assert events == ["open"] * len(files) + ["os.rename"]
    assert ends == [-signal.SIGKILL] * len(events)
    assert not (tmp_path / "model-or-not").exists()
    assert autotrack.load_model(tmp_path / "whole-model-or-not").predict([[1.0]]) == [1]


def test_whoever_saves_a_model_starts_no_process(tmp_path: Path) -> None:
    """Only models of runs are converted elsewhere; Python itself is asked, of two libraries."""
    script = """
        import subprocess, sys
        import autotrack, xgboost
        from sklearn.linear_model import LogisticRegression
        rows, truth = [[0.0], [1.0]], [0, 1]
        models = [one.fit(rows, truth) for one in (LogisticRegression(), xgboost.XGBClassifier())]
        heard = []
        def hear(event, arguments):
            if event in ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"):
                heard.append(event)
        sys.addaudithook(hear)
        for model in models:
            autotrack.save_model(model, type(model).__name__, inputs=rows, input_example=rows)
        print(heard)
        subprocess.run(["true"])
        print(heard)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert (ended.returncode, ended.stdout) == (0, "[]\n['subprocess.Popen']\n")
    assert {path.name for path in tmp_path.iterdir()} == {"LogisticRegression", "XGBClassifier"}


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (None, "no mapping from names"),
        ([1], "no mapping from names"),
        ({1: {"sha256": "0"}}, "no mapping from names"),
        ({"model.skops": None}, "no mapping from names"),
        ({"model.skops": {"sha256": 1}}, r"no mapping from names|no sha256 of 'model\.skops'"),
        ({"model.skops": {}}, r"no mapping from names|no sha256 of 'model\.skops'"),
    ],
)
def test_digests_that_are_none(folder: Path, files: Any, problem: str) -> None:
    change(folder, autotrack={"files": files})
    with pytest.raises(ModelError, match=problem):
        autotrack.load_model(folder)


@pytest.mark.parametrize(
    ("trusted", "said"),
    [
        ("numpy.number", r"give a list of types' names, as \['numpy\.number'\], not 'numpy\.number'"),
        (None, "give a list of types' names, .* not None"),
        ([5], "give types by their names, .* not 5"),
    ],
)
def test_what_names_no_types(folder: Path, trusted: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        autotrack.load_model(folder, trusted=trusted)


@pytest.mark.parametrize("where", ["full", "proc"])
def test_where_nothing_can_be_written(disk: Disk, where: str) -> None:
    """The error names the folder that was asked for, and says what to do."""
    path = disk("size=4k") / "m" if where == "full" else Path("/proc/m")
    with pytest.raises(
        OSError, match=r"the model cannot be written .*: make room, or take another"
    ) as refusal:
        autotrack.save_model(LogisticRegression(max_iter=500).fit(X, Y), path)
    assert refusal.value.filename == str(path)
    assert refusal.value.errno in (errno.ENOSPC, errno.ENOENT)


@pytest.mark.parametrize("uri", ["x" * 5000, "a\0b"], ids=["long", "nul"])
def test_what_no_system_has_is_no_address(uri: str) -> None:
    with pytest.raises(ModelError, match="is no model's address"):
        autotrack.load_model(uri)


def test_a_path_is_downloaded_as_it_is_loaded(folder: Path, tmp_path: Path) -> None:
    autotrack.download_model(folder, tmp_path / "copy")
    assert autotrack.load_model(tmp_path / "copy").classes_.tolist() == [0, 1, 2]


def test_a_link_to_nothing_is_there_already(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing")
    with pytest.raises(ModelError, match="is there already"):
        autotrack.download_model(folder, tmp_path / "link")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_of_several_who_save_to_one_place_one_does(folder: Path, tmp_path: Path) -> None:
    target, model = tmp_path / "one", autotrack.load_model(folder)
    met = threading.Barrier(4)

    def save() -> str:
        met.wait()
        try:
            autotrack.save_model(model, target)
        except ModelError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(4) as threads:
        told = [one.result() for one in [threads.submit(save) for _ in range(4)]]
    assert sorted(["is there already" in problem for problem in told]) == [False, True, True, True]
    assert told.count("") == 1
    assert autotrack.load_model(target).classes_.tolist() == [0, 1, 2]
