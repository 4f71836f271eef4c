"""The kit for flavors."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from .. import flavors, plugins
from .._api import load_predictor, save_model
from ..errors import ModelError
from ..flavor import (
    NOTHING_MORE,
    PYTHON_FUNCTION,
    Files,
    Flavor,
    Frozen,
    ModelFolder,
    NotKept,
    Permissions,
)
from ..mlmodel import document
from ..mlmodel.code_paths import FOLDER as CODE
from ..mlmodel.document import OURS
from .fingerprint import fingerprint, random_states, seed

PLENTY = 1 << 40
_LOADS = """
import sys, json
sys.path[:] = json.loads(sys.argv[2])
unpickled = []
def hear(event, told):
    if event == "pickle.find_class":
        unpickled.append(".".join(map(str, told)))
sys.addaudithook(hear)
import autotrack
try:
    autotrack.load_predictor(sys.argv[1], **json.loads(sys.argv[3]))
    said = "loaded"
except autotrack.ModelError as error:
    said = "refused"
print(json.dumps([said, unpickled]))
"""


class FlavorConformance:
    """Every promise of a flavor, tested. Subclass it for each kind of model:

        class TestEstimator(FlavorConformance):
            flavor = TinyboostFlavor

            def model(self):
                return tinyboost.train({"rounds": 3}, data)

            def data(self):
                return data

            def change(self, model):
                model.train_on(data)

    flavor: the class, installed with its entry point. permissions: that its models need to be loaded; most
    need none.
    """

    flavor: ClassVar[type[Flavor]]
    permissions: ClassVar[Permissions] = NOTHING_MORE

    def model(self) -> Any:
        """A small trained model, another object each time."""
        raise NotImplementedError("write model(): a small trained model")

    def data(self) -> Any:
        """What it predicts for."""
        raise NotImplementedError("write data(): what the model predicts for")

    def change(self, model: Any) -> None:
        """Train the model on, or change it otherwise, so that it predicts something else."""
        raise NotImplementedError("write change(model): make it predict something else")

    def example(self) -> Any:
        """What is given as `input_example`; default: nothing."""
        return None

    def predict(self, model: Any, data: Any) -> Any:
        """What the library's own model predicts; default: by its method of that name."""
        return model.predict(data)

    def assert_same(self, found: Any, expected: Any) -> None:
        """That predictions are the same; default: bit by bit."""
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))

    # --- what the tests share --------------------------------------------------------------------

    @cached_property
    def _flavor(self) -> Flavor:
        return self.flavor()

    def freeze(self, model: Any, limit: int = PLENTY) -> Frozen:
        """By the flavor, as it is done when a model is logged."""
        return self._flavor.freeze(model, limit, self.example())

    def files(self, frozen: Frozen) -> Files:
        """In the safe form."""
        return self._flavor.files(frozen)

    def save(self, folder: Path) -> Path:
        """A saved model, and nothing of it left in memory."""
        details: Any = {} if self.example() is None else {"input_example": self.example()}
        save_model(self.model(), folder, **details)
        return folder

    def own_files(self, folder: Path) -> list[Path]:
        """Those that the flavor made."""
        return [folder / name for name in self.files(self.freeze(self.model()))]

    def files_read(self, folder: Path) -> list[Path]:
        """Of these without the source by which others, and not a library's flavor, make the model again."""
        if self.flavor.name == PYTHON_FUNCTION:
            return self.own_files(folder)
        model = self.model()
        sections = self._flavor.describe(self.files(self.freeze(model)), type(model).__name__)
        loader = str(sections.get(PYTHON_FUNCTION, {}).get("loader_module", "")).partition(".")[0]
        return [file for file in self.own_files(folder) if file.parent != folder / CODE / loader]

    # --- what it is ------------------------------------------------------------------------------

    def test_a_model_finds_it_by_its_entry_point(self) -> None:
        kind = type(self.model())
        try:
            _, found = flavors.flavor_of(kind)
        except NotKept:
            found = None
        assert type(found) is self.flavor, (
            f"a {kind.__module__}.{kind.__qualname__} finds {type(found).__qualname__} and not "
            f"{self.flavor.__qualname__}. Add to pyproject.toml, and install again:\n"
            f'[project.entry-points."{plugins.FLAVORS}"]\n'
            f'{kind.__module__.partition(".")[0]} = "{self.flavor.__module__}:{self.flavor.__qualname__}"'
        )

    def test_its_section_finds_it_by_its_entry_point(self) -> None:
        point = plugins.names(plugins.FLAVORS).get(self.flavor.name)
        assert (point and point.load()) is self.flavor, (
            f"a model whose section is {self.flavor.name!r} is not loaded by {self.flavor.__qualname__}: "
            "register it by that name too"
        )

    def test_importing_it_imports_no_library(self) -> None:
        module = self.flavor.__module__
        own = {"autotrack", module.partition(".")[0]} - {*self.flavor.libraries}
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; import autotrack, wrapt; before = set(sys.modules); "
            f"import {module}; print(*{{m.partition('.')[0] for m in set(sys.modules) - before}})"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, f"{module} cannot be imported alone: {done.stderr}"
        imported = set(done.stdout.split()) - sys.stdlib_module_names - own
        assert not imported, f"importing {module} imports {sorted(imported)}: do that inside the methods"

    # --- freezing --------------------------------------------------------------------------------

    def test_freezing_leaves_the_model_alone(self) -> None:
        model = self.model()
        before = fingerprint(model)
        self.freeze(model)
        self._flavor.outputs(model)
        assert fingerprint(model) == before, "freeze() or outputs() changes the model"

    def test_freezing_draws_no_random_numbers(self) -> None:
        model = self.model()
        seed()
        before = _random_states()
        self.freeze(model)
        self._flavor.outputs(model)
        moved = [name for name, state in _random_states().items() if state != before[name]]
        assert not moved, f"freeze() or outputs() leaves other states in {moved}"

    def test_what_is_frozen_stays(self) -> None:
        model = self.model()
        frozen = self.freeze(model)
        before = bytes(frozen.data)
        predicted = fingerprint(self.predict(model, self.data()))
        self.change(model)
        assert fingerprint(self.predict(model, self.data())) != predicted, "change() changes no prediction"
        assert bytes(frozen.data) == before, "what freeze() gave changes with the model: it must be a copy"

    def test_a_model_above_the_limit_is_refused(self) -> None:
        model = self.model()
        size = len(bytes(self.freeze(model).data))
        with pytest.raises(NotKept):
            self.freeze(model, size // 2)

    def test_a_stranger_is_refused(self) -> None:
        _Stranger.was_pickled = False
        with pytest.raises(NotKept):
            self.freeze(_Stranger())
        assert not _Stranger.was_pickled, "freeze() runs code of a class that it does not know"

    # --- the files -------------------------------------------------------------------------------

    def test_its_sections_are_plain_data(self) -> None:
        model = self.model()
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        sections = self._flavor.describe(self.files(self.freeze(model)), kind)
        assert self.flavor.name in sections, f"describe() gives no section {self.flavor.name!r}"
        for name, section in sections.items():
            assert json.loads(json.dumps(dict(section))) == section, f"the section {name!r} is no plain data"
        generic = sections.get(PYTHON_FUNCTION, {"loader_module": ""})
        assert isinstance(generic.get("loader_module"), str), f"{PYTHON_FUNCTION} lacks its loader_module"

    def test_a_saved_model_predicts_the_same(self, tmp_path: Path) -> None:
        expected = self.predict(self.model(), self.data())
        loaded = self._loaded(self.save(tmp_path / "model"))
        self.assert_same(loaded.predict(self.data()), expected)

    def test_a_byte_changed_is_an_error(self, tmp_path: Path) -> None:
        """To the flavor itself; what it does not read, all loading looks at once the flavor is done."""
        folder = self.save(tmp_path / "model")
        for file in self.files_read(folder):
            data = file.read_bytes()
            middle = len(data) // 2
            file.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
            self._assert_refused(partial(self._load_alone, folder), f"{file.name} with a byte changed")
            file.write_bytes(data)

    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        folder = self.save(tmp_path / "model")
        _forget_what_was_recorded(folder)
        for file in self.files_read(folder):
            hidden = file.rename(tmp_path / "hidden")
            self._assert_refused(partial(self._loaded, folder), f"without {file.name}")
            hidden.rename(file)

    def _load_alone(self, path: Path) -> Any:
        folder = ModelFolder.at(path)
        return self._flavor.load(folder, folder.section(self.flavor.name), self.permissions)

    def _loaded(self, path: Path) -> Any:
        return load_predictor(path, **_words(self.permissions))

    def _assert_refused(self, load: Callable[[], Any], what: str) -> None:
        try:
            load()
        except ModelError:
            return
        pytest.fail(f"a model {what} is loaded: read files by folder.read(), which raises")

    def test_nothing_is_unpickled(self, tmp_path: Path) -> None:
        said, unpickled = _in_a_process(self.save(tmp_path / "model"), self.permissions)
        assert said == "loaded", "the model does not load in another process"
        assert not unpickled, f"load() unpickles {unpickled}"

    def test_what_is_in_no_form_of_its_own_is_refused(self, tmp_path: Path) -> None:
        """Without digests, as another's models are: an error, nothing run, and no end of the process."""
        folder = self.save(tmp_path / "model")
        _forget_what_was_recorded(folder)
        for file in self.files_read(folder):
            if file.suffix == ".py":
                continue  # is run as it is, where the caller permits that
            data = file.read_bytes()
            mark = tmp_path / "mark"
            bomb = pickle.dumps(_Bomb(str(mark)))
            for what, other in {
                "cut in half": data[: len(data) // 2],
                "emptied": b"",
                "a pickle": bomb,
            }.items():
                file.write_bytes(other)
                said, unpickled = _in_a_process(folder, self.permissions)
                assert not mark.exists(), f"load() unpickles {file.name} and runs what it says"
                assert said == "refused" and not unpickled, f"a model with {file.name} {what} is {said}"  # noqa: PT018
            file.write_bytes(data)


class _Stranger:
    """Of a class that no flavor knows."""

    was_pickled = False

    def __reduce_ex__(self, protocol: Any) -> Any:
        _Stranger.was_pickled = True
        return object.__reduce_ex__(self, protocol)


class _Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def _forget_what_was_recorded(folder: Path) -> None:
    """Digests: a model of another's has none."""
    told = dict(document.parse((folder / document.FILE).read_bytes()))
    told["flavors"] = {name: section for name, section in told["flavors"].items() if name != OURS}
    (folder / document.FILE).write_bytes(document.dump(told))


def _random_states() -> dict[str, Any]:
    states = random_states()
    if torch := sys.modules.get("torch"):
        states["torch"] = torch.get_rng_state().numpy().tobytes()
    return states


def _words(permissions: Permissions) -> dict[str, Any]:
    """As arguments of `autotrack.load_predictor`."""
    pickle, code = permissions.pickle, permissions.code
    return {"trusted": [*permissions.trusted], "allow_pickle": pickle, "allow_code": code}


def _in_a_process(folder: Path, permissions: Permissions) -> tuple[str, list[str]]:
    """What loading there says, and all that was unpickled."""
    told = [json.dumps(sys.path), json.dumps(_words(permissions))]
    command = [sys.executable, "-c", _LOADS, str(folder), *told]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return f"the end of the process ({done.stderr.strip()[-300:] or done.returncode})", []
    said, unpickled = json.loads(done.stdout.splitlines()[-1])
    return said, unpickled
