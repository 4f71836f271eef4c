"""Source beside models: which modules may stand beside each other in a process, and when they go."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autotrack.errors import OtherCode
from autotrack.mlmodel.folder import ModelFile, ModelFolder
from autotrack.mlmodel.importing import Copied

Make = Callable[..., Copied]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """The source of a model, by the names of its files; it is left when the test ends."""
    made: list[Copied] = []

    def make(**sources: str) -> Copied:
        root = tmp_path / str(len(made))
        files = {}
        for name, text in sources.items():
            path = root / "code" / name.replace("__", "/").replace("_py", ".py").replace("_txt", ".txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            files[path.relative_to(root).as_posix()] = ModelFile(path)
        made.append(Copied(ModelFolder(files, f"model {len(made)}"), below="code"))
        return made[-1]

    yield make
    for copied in made:
        copied.leave()


def test_one_name_for_two_modules_is_refused(make: Make) -> None:
    make(atrates_py="RATE = 2").make_importable("code")
    with pytest.raises(OtherCode, match="model 1 comes with a module atrates, and this process has another"):
        make(atrates_py="RATE = 3").make_importable("code")


@pytest.mark.parametrize("is_imported", [True, False])
def test_a_folder_without_an_init_is_a_package_too(make: Make, is_imported: bool) -> None:
    first = make(atrates__deep_py="RATE = 2")
    first.make_importable("code")
    if is_imported:
        assert first.imported("atrates.deep").RATE == 2
    second = make(atrates__deep_py="RATE = 3")
    with pytest.raises(OtherCode):
        second.make_importable("code")
    first.leave()
    assert not [name for name in sys.modules if name.startswith("atrates")]
    second.make_importable("code")
    assert second.imported("atrates.deep").RATE == 3


def test_a_file_that_is_no_source_counts(make: Make) -> None:
    make(atrates____init___py="", atrates__words_txt="a").make_importable("code")
    with pytest.raises(OtherCode):
        make(atrates____init___py="", atrates__words_txt="b").make_importable("code")


def test_what_is_built_in_cannot_be_replaced(make: Make) -> None:
    with pytest.raises(OtherCode, match=r"a module time, and this process has another one; load"):
        make(time_py="").make_importable("code")


def test_a_module_stays_as_long_as_any_model_that_comes_with_it(make: Make) -> None:
    first, second = make(atrates_py="A = []"), make(atrates_py="A = []", atmore_py="")
    first.make_importable("code")
    module = first.imported("atrates")
    second.make_importable("code")
    first.leave()
    assert second.imported("atrates") is module
    assert Path(str(module.__file__)).is_file()
    second.leave()
    assert "atrates" not in sys.modules
    assert not first.root.exists()
    assert not [entry for entry in sys.path if entry.startswith(str(first.root))]


def test_of_the_same_files_there_is_one_copy(make: Make) -> None:
    first, second = make(atrates_py="A = 1"), make(atrates_py="A = 1")
    assert first.root == second.root
    first.leave()
    assert second.root.exists()


def test_a_copy_that_somebody_removed_is_made_again(make: Make) -> None:
    first = make(atrates_py="A = 1")
    first.make_importable("code")
    old = first.imported("atrates")
    shutil.rmtree(first.root)
    second = make(atrates_py="A = 1")
    second.make_importable("code")
    assert second.imported("atrates").A == old.A == 1
    first.leave()
    assert second.imported("atrates") is sys.modules["atrates"]
    assert (second.root / "code/atrates.py").is_file()


def test_where_a_removed_copy_was_another_folder_may_be(make: Make) -> None:
    first = make(atrates_py="A = 1")
    other = first.root.with_name("other")
    shutil.copytree(first.root, other)
    (other / "code/atrates.py").write_text("A = 'anything'")
    shutil.rmtree(first.root)
    other.rename(first.root)
    second = make(atrates_py="A = 1")
    second.make_importable("code")
    assert second.imported("atrates").A == 1
    shutil.rmtree(first.root)


def test_what_is_gone_of_a_copy_is_put_back_and_other_models_are_let_alone(make: Make) -> None:
    first, other = make(atrates_py="A = 1", atmore_py="B = 1"), make(atother_py="C = 1")
    for copied in (first, other):
        copied.make_importable("code")
    module = first.imported("atrates")
    (first.root / "code/atrates.py").unlink()
    (other.root / "code/atother.py").unlink()
    make(atunrelated_py="D = 1")
    assert first.imported("atmore").B == 1
    second = make(atrates_py="A = 1", atmore_py="B = 1")
    assert second.root == first.root
    assert second.imported("atrates") is module
    assert (first.root / "code/atrates.py").read_text() == "A = 1"
    assert not (other.root / "code/atother.py").exists()


def test_it_goes_with_its_model(make: Make) -> None:
    class Model:
        pass

    model, copied = Model(), make(atrates_py="A = 1")
    copied.live_with(model)
    assert copied.root.exists()
    del model
    gc.collect()
    assert not copied.root.exists()


def test_a_forked_child_leaves_its_parents_copy_alone(make: Make) -> None:
    copied = make(atrates_py="A = 1")
    child = os.fork()
    if child == 0:
        copied.leave()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (copied.root / "code/atrates.py").read_text() == "A = 1"
