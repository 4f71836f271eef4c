"""Any function, and any object that has `predict`: its attributes in safe forms, its class as source."""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import os
import types
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from .. import flavors
from ..errors import SchemaError
from ..flavor import PYTHON_FUNCTION, Files, Flavor, Frozen, ModelFolder, NotKept, Permissions, Section
from ..forms import loader
from ..mlmodel.code_paths import FOLDER, SOURCE
from ..mlmodel.composing import whole
from ..mlmodel.description import Described, Identity
from . import loading
from .code import Code
from .state import Nested, State

_OWN, _NESTED = "own/", "nested/"
"""Where a frozen model has its files, and the models within it."""
_ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class PythonFunctionFlavor(Flavor):
    """See `Flavor`. Its model is the function or the object itself."""

    name = PYTHON_FUNCTION

    def freeze(self, model: Any, limit: int, example: Any = None) -> Frozen:
        file = _source_file(model) if issubclass(type(model), str | os.PathLike) else None
        if file is None:
            _refuse_other_arguments(model)
        code = Code(file)
        state = State(code, limit)
        try:
            told = {"file": code.defined(file)} if file else state.whole(model)
        except RecursionError:
            raise NotKept("it holds too many things in each other; make a list of them") from None
        sources = code.files(file.stem if file else _label(model))
        files = {
            **sources,
            "data/model.json": json.dumps(told, indent=1).encode(),
            **state.all_files(),
        }
        data = _packed(files, state.models, package_of(sources))
        if len(data) > limit:
            raise NotKept(f"it has {len(data):,} bytes, more than model_max_bytes ({limit:,})")
        return Frozen(data, packages=code.packages | state.packages)

    def with_source(self, frozen: Frozen, model: Any) -> Frozen:
        code = Code()
        names = {name: code.reference(item) for name, item in frozen.users.items()}
        sources = code.files(_label(model))
        is_ours = any(module.startswith(".") for module, _ in names.values())  # else others install it
        more = {**sources, **_names_file(names, package_of(sources))} if is_ours else {}
        return replace(frozen, more={**frozen.more, **more}, packages=frozen.packages | code.packages)

    def convert(self, data: bytes) -> Files:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            told = json.loads(file.read("index.json"))
            files = {
                name.removeprefix(_OWN): file.read(name) for name in file.namelist() if name.startswith(_OWN)
            }
            sections = {}
            for path, facts in told.items():
                more = {name: file.read(f"{_NESTED}{path}/{name}") for name in facts.pop("more")}
                found, sections[path] = _converted(file.read(f"{_NESTED}{path}"), more, **facts)
                files.update({f"{path}/{name}": content for name, content in found.items()})
        if sections:
            files["data/models.json"] = json.dumps(sections, indent=1).encode()
        return files

    def describe(self, files: Files, kind: str) -> Mapping[str, Section]:
        return {PYTHON_FUNCTION: {"loader_module": package_of(files), "code": FOLDER}}

    def load(self, folder: ModelFolder, section: Section, permissions: Permissions) -> Any:
        return loading.load(folder, section, permissions)

    def check_params(self, model: Any, names: Collection[str]) -> None:
        """A file says only when it is loaded what its model takes."""
        asked = getattr(model, "predict", model)
        if not isinstance(model, str | os.PathLike) and not loader.takes_params(asked):
            told = ", ".join(map(str, names))
            raise SchemaError(
                f"this model's predict takes no params: leave {told} out, or give it an argument `params`"
            )

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        return loader.ask(model, data, params or None)


def _source_file(path: str | os.PathLike[str]) -> Path:
    file = Path(path).resolve()
    if file.suffix != ".py":
        raise NotKept(f"{str(path)!r} is no path of a file of Python source, model.py")
    if not file.is_file():
        raise NotKept(f"there is no file {path}")
    return file


def _refuse_other_arguments(model: Any) -> None:
    """A model is asked with the data, and with `params` if it takes them."""
    found = [vars(base)["predict"] for base in type(model).__mro__ if "predict" in vars(base)]
    predict = found[0] if found else model
    is_bound = bool(found) and type(predict) is not staticmethod
    predict = predict.__func__ if type(predict) is classmethod else predict
    try:
        arguments = [*inspect.signature(predict).parameters.values()][is_bound:]
    except (TypeError, ValueError):  # some that are written in C do not say
        return
    needed = [one.name for one in arguments[1:] if one.default is one.empty and one.kind not in _ANY]
    if not arguments or set(needed) - {"params"}:
        told = ", ".join(one.name for one in arguments) or "nothing"
        raise NotKept(f"its predict takes {told}; a model takes the data, and `params` if it likes")


def _label(model: Any) -> str:
    model = model.func if type(model) is partial else model
    return str((model if type(model) is types.FunctionType else type(model)).__name__)


def package_of(sources: Files) -> str:
    """The package that `Code` made."""
    return next(name.split("/")[1] for name in sources if name.startswith(f"{FOLDER}/"))


def _names_file(names: Mapping[str, Sequence[str]], package: str) -> Files:
    """Tells where what is called so is found in a package, or elsewhere."""
    return {SOURCE: json.dumps({"package": package, "names": names}).encode()}


def _packed(files: Files, models: Mapping[str, Nested], package: str) -> bytes:
    """All in one; of the same model the same bytes."""
    more = {
        path: {**nested.frozen.more, **(_names_file(nested.users, package) if nested.users else {})}
        for path, nested in models.items()
    }
    told = {
        path: {
            "name": nested.name,
            "kind": nested.kind,
            "file": nested.frozen.file,
            "packages": sorted(nested.frozen.packages),
            "more": [*more[path]],
        }
        for path, nested in models.items()
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr(zipfile.ZipInfo("index.json"), json.dumps(told))
        for name, data in files.items():
            target.writestr(zipfile.ZipInfo(f"{_OWN}{name}"), data)
        for path, nested in models.items():
            target.writestr(zipfile.ZipInfo(f"{_NESTED}{path}"), bytes(nested.frozen.data))
            for name, data in more[path].items():
                target.writestr(zipfile.ZipInfo(f"{_NESTED}{path}/{name}"), data)
    return buffer.getvalue()


def _converted(
    data: bytes, more: Files, name: str, kind: str, file: str | None, packages: Collection[str]
) -> tuple[Files, Mapping[str, Section]]:
    """A model within another: a folder of its own, and the sections of its `MLmodel`."""
    flavor = flavors.flavor(name)
    own = flavor.files(Frozen(data, file, more=more))
    sections = flavor.describe(own, kind)
    identity = Identity(hashlib.sha256(data).hexdigest()[:32], kind)
    return whole(own, sections, identity, Described(), {*flavor.needs, *packages}), sections
