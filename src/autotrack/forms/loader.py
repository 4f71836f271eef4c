"""Makes a model again from its folder. autotrack puts this file into models of which MLflow needs the source.

It stands alone there: whoever imports it, as MLflow does, needs nothing of autotrack. The folder has
`data/model.json`, which tells what the model is: JSON values stand for themselves, and an object with one
name, such as {"tuple": […]}, for what a function below makes of it.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from base64 import b64decode
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any


def _load_pyfunc(path: str, model_config: Any = None) -> Asked:
    """What MLflow calls; `path` is the model's folder."""
    return Asked(restored(Path(path)))


def restored(root: Path, models: Callable[[str], Any] | None = None) -> Any:
    """The function or object that was saved. `models` loads a model within it, by its path below `root`."""
    told = json.loads((root / "data/model.json").read_text())
    return Reader(root, models).made(told)


class Asked:
    """A model as MLflow asks it; `model` is the object itself."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def predict(self, data: Any, params: Any = None) -> Any:
        return ask(self.model, data, params)


def ask(model: Any, data: Any, params: Any = None) -> Any:
    """The predictions of a function, or of an object that has `predict`. Raises what that does."""
    asked = model.predict if hasattr(model, "predict") else model
    if takes_params(asked):
        return asked(data, params=params)
    if params:
        raise TypeError(f"this model's predict takes no params: {', '.join(params)}")
    return asked(data)


def takes_params(function: Any) -> bool:
    """Whether it has an argument `params`; `**params`, as scikit-learn's pipelines have, is none."""
    try:
        found = inspect.signature(function).parameters.get("params")
    except (TypeError, ValueError):  # some that are written in C do not say
        return False
    return found is not None and found.kind is not found.VAR_KEYWORD


def imported(module: str, path: str, package: str) -> Any:
    """What a module has under a name with dots; the package is where modules that begin with a dot are."""
    found: Any = importlib.import_module(module, package)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def derived(kind: Any, base: type) -> Any:
    """The class. Raises TypeError for anything else that may be named, which a call would run."""
    if not isinstance(kind, type) or not issubclass(kind, base):
        raise TypeError(f"{kind!r:.80} is no {base.__name__}")
    return kind


class Reader:
    """Makes values of what `data/model.json` tells; each method that follows `made` is for one name."""

    def __init__(self, root: Path, models: Callable[[str], Any] | None) -> None:
        self._root = root
        self._models = models or self._model_here
        self._opened: Any = None
        self._contents: list[Any] = []
        self._shared: dict[int, Any] = {}

    def made(self, told: Any) -> Any:
        if isinstance(told, list):
            return [self.made(one) for one in told]
        if not isinstance(told, dict):
            return told
        [(name, content)] = told.items()
        return getattr(self, f"_{name}")(content)

    def _sharing(self, told: list[Any]) -> Any:
        """A value, after what it refers to in more than one place."""
        self._contents, content = told
        return self.made(content)

    def _same(self, number: int) -> Any:
        if number not in self._shared:
            self._shared[number] = self.made(self._contents[number])
        return self._shared[number]

    def _float(self, text: str) -> float:
        return float(text)

    def _complex(self, parts: list[Any]) -> complex:
        return complex(*self.made(parts))

    def _bytes(self, text: str) -> bytes:
        return b64decode(text)

    def _tuple(self, items: list[Any]) -> Any:
        return tuple(self.made(items))

    def _set(self, items: list[Any]) -> Any:
        return set(self.made(items))

    def _frozenset(self, items: list[Any]) -> Any:
        return frozenset(self.made(items))

    def _dict(self, pairs: list[Any]) -> Any:
        return {self.made(key): self.made(value) for key, value in pairs}

    def _mapping(self, told: list[Any]) -> Any:
        kind, items = self.made(told)
        made = derived(kind, dict)()
        made.update(items)
        return made

    def _slice(self, parts: list[Any]) -> Any:
        return slice(*self.made(parts))

    def _masked(self, told: list[Any]) -> Any:
        import numpy as np

        data, mask = self.made(told)
        return np.ma.MaskedArray(data, mask)

    def _array(self, name: str) -> Any:
        import numpy as np

        if self._opened is None:
            self._opened = np.load(self._root / "data/arrays.npz", allow_pickle=False)
        return self._opened[name]

    def _scalar(self, name: str) -> Any:
        return self._array(name)[()]

    def _random(self, told: list[Any]) -> Any:
        """A generator of numpy's that goes on where it was."""
        import numpy as np

        kind, bits, state, seed = self.made(told)
        source = getattr(np.random, bits)(np.random.SeedSequence(**seed) if seed else None)
        made = getattr(np.random, kind)(source)
        if kind == "RandomState":
            made.set_state(state)
        else:
            source.state = state
        return made

    def _objects(self, told: dict[str, Any]) -> Any:
        import numpy as np

        array = np.empty(len(told["items"]), object)
        array[:] = self.made(told["items"])
        return array.reshape(told["shape"])

    def _frame(self, file: str) -> Any:
        import pandas as pd

        return pd.read_parquet(self._root / file)

    def _series(self, told: list[Any]) -> Any:
        file, name = told
        return self._frame(file).iloc[:, 0].rename(self.made(name))

    def _polars(self, file: str) -> Any:
        import polars as pl

        return pl.read_parquet(self._root / file)

    def _arrow(self, file: str) -> Any:
        from pyarrow import parquet

        return parquet.read_table(self._root / file)

    def _artifact(self, path: str) -> Path:
        return self._root / path

    def _path(self, text: str) -> Path:
        return Path(text)

    def _pattern(self, told: list[Any]) -> Any:
        import re

        return re.compile(self.made(told[0]), told[1])

    def _logger(self, name: str) -> Any:
        import logging

        return logging.getLogger(name)

    def _partial(self, told: list[Any]) -> Any:
        function, arguments, named = self.made(told)
        return partial(function, *arguments, **named)

    def _name(self, told: list[str]) -> Any:
        """A function or class; the module is below this package where its name begins with a dot."""
        module, path = told
        return imported(module, path, __name__)

    def _file(self, told: list[str]) -> Any:
        """What a file of the user's defines as its model: `model`, or else a `Model()`, or `predict`."""
        found = self._name(told)
        return found() if told[1] == "Model" else found

    def _enum(self, told: list[Any]) -> Any:
        kind, value = self.made(told)
        return derived(kind, Enum)(value)

    def _namedtuple(self, told: list[Any]) -> Any:
        kind, items = self.made(told)
        return tuple.__new__(kind, items)

    def _object(self, told: list[Any]) -> Any:
        """An object with the attributes that it had; its `__init__` is not called."""
        kind, state = self.made(told)
        made = object.__new__(kind)
        for name, value in state.items():
            object.__setattr__(made, name, value)
        return made

    def _model(self, path: str) -> Any:
        return self._models(path)

    def _model_here(self, path: str) -> Any:
        """A model of a library: by the library itself where that is simple, or as MLflow has it."""
        sections: Mapping[str, Any] = json.loads((self._root / "data/models.json").read_text())[path]
        folder = self._root / path
        if (told := sections.get("sklearn")) and told.get("serialization_format") == "skops":
            import skops.io

            return skops.io.load(folder / told["pickled_model"], trusted=told["skops_trusted_types"])
        if told := sections.get("xgboost"):
            module, _, kind = told["model_class"].rpartition(".")
            model = getattr(importlib.import_module(module), kind)()
            model.load_model(folder / told["data"])
            return model
        if (told := sections.get("python_function", {})).get("code"):  # source of ours comes along
            if (code := str(folder / told["code"])) not in sys.path:
                sys.path.append(code)
            return importlib.import_module(told["loader_module"]).restored(folder)
        name = next(name for name in sections if name != "python_function")
        return importlib.import_module(f"mlflow.{name}").load_model(str(folder))
