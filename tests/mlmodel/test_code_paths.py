"""Source that is kept with models of any flavor."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sklearn.linear_model import LinearRegression

import autotrack
from autotrack.errors import ModelError
from autotrack.mlmodel import code_paths
from autotrack.mlmodel.code_paths import collected

from ..scripts import TIMEOUT
from ..tracking import Tracking, tracking  # noqa: F401


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a package."""
    package = tmp_path / "mine"
    for name in ("__init__.py", "deep/more.py", "__pycache__/more.pyc", "deep/__pycache__/more.pyc"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(f"# {name}")
    return package


def test_files_and_folders_without_what_python_makes_of_them(source: Path, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("K = 1")
    assert collected([source, str(tmp_path / "helper.py")]) == {
        "code/mine/__init__.py": b"# __init__.py",
        "code/mine/deep/more.py": b"# deep/more.py",
        "code/helper.py": b"K = 1",
    }


@pytest.mark.parametrize("target", ["/etc/passwd", "/etc", "../outside.py"])
@pytest.mark.parametrize("link", ["link.py", "deep/link"])
def test_a_link_that_leads_out_is_refused(source: Path, target: str, link: str) -> None:
    (source.parent / "outside.py").write_text("")
    (source / link).symlink_to(target if target.startswith("/") else source.parent / "outside.py")
    with pytest.raises(ModelError, match=r"link\S* leads out of \S+mine, which code_paths names"):
        collected([source])


def test_a_link_that_stays_inside_is_followed(source: Path) -> None:
    (source / "link.py").symlink_to("deep/more.py")
    assert collected([source])["code/mine/link.py"] == b"# deep/more.py"


def test_a_loop_of_links_is_no_file(source: Path, tmp_path: Path) -> None:
    (source / "loop.py").symlink_to("loop.py")
    assert "code/mine/loop.py" not in collected([source])
    with pytest.raises(ModelError, match=r"there is no \S+loop\.py, which code_paths names"):
        collected([source / "loop.py"])


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no \S+gone\.py, which code_paths names"):
        collected([tmp_path / "gone.py"])


def test_one_name_twice(source: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    source.rename(tmp_path / "other" / "mine")
    with pytest.raises(ModelError, match=r"code_paths has mine/__init__\.py twice"):
        collected([tmp_path / "other" / "mine", tmp_path / "other" / "mine"])


def test_more_bytes_than_code_has(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_paths, "MOST_BYTES", 20)
    with pytest.raises(ModelError, match=r"code_paths has more than 20 bytes at \S+more\.py"):
        collected([source])


def test_they_stand_beside_a_model_of_any_flavor(source: Path, tmp_path: Path) -> None:
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    autotrack.save_model(model, tmp_path / "model", code_paths=[source])
    told = yaml.safe_load((tmp_path / "model/MLmodel").read_text())["flavors"]
    assert told["sklearn"]["code"] == told["python_function"]["code"] == "code"
    assert "code/mine/deep/more.py" in told["autotrack"]["files"]
    assert autotrack.load_model(str(tmp_path / "model")).predict([[2.0]]).round().tolist() == [2.0]


def test_they_can_be_imported_where_a_model_is_code(source: Path, tmp_path: Path) -> None:
    (tmp_path / "late_helper.py").write_text("K = 1")
    (tmp_path / "m.py").write_text("def predict(data): return data + __import__('late_helper').K")
    autotrack.save_model(tmp_path / "m.py", tmp_path / "model", code_paths=[tmp_path / "late_helper.py"])
    assert autotrack.load_model(str(tmp_path / "model"), allow_code=True)(1) == 2


def test_a_model_is_not_kept_without_the_code_that_it_was_to_have(tracking: Tracking) -> None:  # noqa: F811
    tracking.enable()
    with autotrack.run("r") as run:
        run.log_model(LinearRegression().fit([[0.0]], [0.0]), "other", code_paths=["/nowhere.py"])
    models = {model.path: model for model in tracking.run().models}
    assert models["other"].facts["reason"] == "there is no /nowhere.py, which code_paths names"


def test_a_librarys_model_finds_its_classes_there(tmp_path: Path) -> None:
    """As MLflow writes it: the class stands in a module that only the model's folder has."""
    (tmp_path / "scaling_of_test.py").write_text(
        "from sklearn.preprocessing import StandardScaler\nclass Scaling(StandardScaler): by = 1\n"
    )
    write = (
        f"import sys, skops.io; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from scaling_of_test import Scaling\n"
        f"skops.io.dump(Scaling().fit([[0.0], [2.0]]), {str(tmp_path / 'model.skops')!r})\n"
    )
    subprocess.run([sys.executable, "-c", write], check=True, timeout=TIMEOUT)
    folder = tmp_path / "model"
    (folder / "code").mkdir(parents=True)
    (tmp_path / "scaling_of_test.py").rename(folder / "code" / "scaling_of_test.py")
    (tmp_path / "model.skops").rename(folder / "model.skops")
    section = {"pickled_model": "model.skops", "serialization_format": "skops", "code": "code"}
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": {"sklearn": section}}))
    trusted = ["scaling_of_test.Scaling"]
    with pytest.raises(ModelError, match=r"comes with Python source.*allow_code=True"):
        autotrack.load_model(str(folder), trusted=trusted)
    model = autotrack.load_model(str(folder), trusted=trusted, allow_code=True)
    assert model.transform([[2.0]]).tolist() == [[1.0]]
    assert type(model).by == 1
    del model
    gc.collect()
    assert "scaling_of_test" not in sys.modules
