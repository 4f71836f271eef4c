"""Models that do not load: what the error says to install."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import xgboost

import autotrack
from autotrack.errors import ModelError

from .scripts import HIDES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose requirements may be changed: no digests are recorded of it."""
    path = tmp_path / "model"
    model = xgboost.XGBRegressor(n_estimators=1).fit([[0.0], [1.0]], [0.0, 1.0])
    autotrack.save_model(model, path)
    told = json.dumps(
        {"flavors": {"xgboost": {"data": "model.ubj", "model_class": "xgboost.sklearn.XGBRegressor"}}}
    )
    (path / "MLmodel").write_text(told)
    return path


def cannot(model: object, data: object) -> None:
    """What a library says of another release's model."""
    raise ValueError("this is of another release")


ABSENT = """
hide("xgboost-cpu".__eq__)

import autotrack
try:
    autotrack.load_model(sys.argv[1])
except autotrack.errors.ModelError as error:
    print(error)
"""


def test_an_absent_library_is_named_with_its_version(tmp_path: Path) -> None:
    """By what has to be installed, whose name is not the module's; what else it needs is here."""
    path = tmp_path / "model"
    autotrack.save_model(xgboost.XGBRegressor(n_estimators=1).fit([[0.0], [1.0]], [0.0, 1.0]), path)
    done = subprocess.run([sys.executable, "-c", HIDES + ABSENT, str(path)], capture_output=True, text=True)
    version = metadata.version("xgboost-cpu")
    assert done.stdout.endswith(f"; pip install xgboost-cpu=={version}, which it was made with\n"), done


def test_another_major_version_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "requirements.txt").write_text("numpy==1.26.4\npackaging==0.1\n")
    monkeypatch.setattr(xgboost.XGBRegressor, "load_model", cannot)
    with pytest.raises(
        ModelError, match=r"pip install numpy==1\.26\.4 packaging==0\.1, which it was made with"
    ):
        autotrack.load_model(folder)


def test_the_same_version_is_only_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "requirements.txt").write_text(f"numpy=={metadata.version('numpy')}\n")
    monkeypatch.setattr(xgboost.XGBRegressor, "load_model", cannot)
    with pytest.raises(ModelError, match=r"; it was made with numpy \d"):
        autotrack.load_model(folder)


def test_other_versions_are_told_and_of_a_major_one_what_to_install(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = {name: metadata.version(name) for name in ("numpy", "packaging", "xgboost-cpu", "scipy")}
    major, minor = here["numpy"].split(".")[:2]
    pins = (
        f"numpy=={major}.{int(minor) + 1}.0\npackaging==0.1\nxgboost-cpu=={here['xgboost-cpu']}\nscipy==0.2\n"
    )
    (folder / "requirements.txt").write_text(pins)
    assert autotrack.load_model(folder) is not None
    told = f"autotrack: {folder} was made with"
    assert caplog.messages == [
        f"{told} numpy {major}.{int(minor) + 1}.0, this is {here['numpy']}",
        f"{told} packaging 0.1, this is {here['packaging']}: pip install packaging==0.1",
        f"{told} scipy 0.2, this is {here['scipy']}: pip install scipy==0.2",
    ]


def test_a_model_of_another_python_is_told_and_loads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "model"
    autotrack.save_model(xgboost.XGBRegressor(n_estimators=1).fit([[0.0], [1.0]], [0.0, 1.0]), path)
    assert autotrack.load_model(path) is not None
    assert not caplog.messages
    file = path / "MLmodel"
    file.write_text(re.sub(r"python_version: .*", "python_version: 3.9.1", file.read_text()))
    assert autotrack.load_model(path) is not None
    [line] = caplog.messages
    assert line.startswith(f"autotrack: {path} was saved by Python 3.9.1, this is 3.")


def test_the_lock_of_a_uv_project_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "project" / "scripts"
    inner.mkdir(parents=True)
    locked = f'version = 1\nurl = "https://files.example/{"ab" * 30}/a.whl"\nhash = "sha256:{"cd" * 32}"\n'
    (tmp_path / "project" / "uv.lock").write_text(locked)
    index = "[[tool.uv.index]]\nurl = 'https://bob:s3cret@pypi.example/simple'\n"
    (tmp_path / "project" / "pyproject.toml").write_text(index)
    monkeypatch.chdir(inner)
    model = xgboost.XGBRegressor(n_estimators=1).fit([[0.0], [1.0]], [0.0, 1.0])
    autotrack.save_model(model, tmp_path / "model")
    assert (tmp_path / "model" / "uv.lock").read_text() == locked
    assert "s3cret" not in (tmp_path / "model" / "pyproject.toml").read_text()
    (tmp_path / "project" / "scripts" / ".git").mkdir()
    monkeypatch.chdir(inner / ".git")
    autotrack.save_model(model, tmp_path / "other")
    assert not (tmp_path / "other" / "uv.lock").exists()


def test_requirements_without_a_name_are_passed_over(folder: Path) -> None:
    (folder / "requirements.txt").write_bytes(b"==1\n\xff==2\n  ==\n")
    autotrack.load_model(folder)


@pytest.mark.parametrize(
    ("details", "problem"),
    [
        ({"metadata": {"a": object()}}, "metadata is to be JSON"),
        ({"metadata": {"a": float("nan")}}, "metadata is to be JSON"),
        ({"metadata": ["a"]}, "metadata is to be a mapping"),
        ({"requirements": "scikit-learn"}, r"give a list of lines, as \['scikit-learn'\]"),
    ],
    ids=["object", "nan", "list", "text"],
)
def test_details_that_cannot_be_kept(tmp_path: Path, details: Any, problem: str) -> None:
    model = xgboost.XGBRegressor(n_estimators=1).fit([[0.0], [1.0]], [0.0, 1.0])
    with pytest.raises(ModelError, match=problem):
        autotrack.save_model(model, tmp_path / "model", **details)
    assert not (tmp_path / "model").exists()
