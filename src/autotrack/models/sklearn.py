"""scikit-learn: frozen by pickle, which never leaves our own processes, and kept in skops' format.

What MLflow pickled is read too, by whoever permits that.
"""

from __future__ import annotations

import io
import json
import pickle
import sys
from collections.abc import Mapping
from functools import cache
from types import BuiltinFunctionType, FunctionType
from typing import Any

from .._patching.wrappers import PatchedFunction, PatchedMethod
from ..errors import ModelError
from ..flavor import (
    PYTHON_FUNCTION,
    Files,
    Flavor,
    Frozen,
    HoldsOthers,
    ModelFolder,
    NotKept,
    Permissions,
    Section,
)
from ..interrupts import pass_on
from .pickled import unpickled

FILE = "model.skops"
INSTALL = "pip install 'autotrack[sklearn]'"
_STANDARD = {
    *("abc", "builtins", "collections", "copyreg", "datetime", "decimal", "enum", "fractions", "functools"),
    *("numbers", "operator", "_codecs", "_operator"),
}
PICKLED = _STANDARD | {"joblib", "lightgbm", "numpy", "pandas", "scipy", "sklearn", "xgboost"}
"""Packages whose classes are pickled: the code that pickling runs is theirs, never a user's."""
_FUNCTIONS = (FunctionType, BuiltinFunctionType, PatchedFunction, PatchedMethod)
"""Those that we patched pickle as what they stand for."""
_COMPILED = "cython_function_or_method"  # each Cython module has a class of its own so named
_SHIMS = [f"sklearn.externals.array_api_compat.{name}" for name in ("torch", "cupy", "dask.array")]
_TEXT = "sklearn.feature_extraction.text"
_VECTORIZERS = {"CountVectorizer", "HashingVectorizer"}  # which TfidfVectorizer is as well
MOST_EXPANDED = 100
"""A file that grows more than this when it is unpacked is none of ours."""


class SklearnFlavor(Flavor):
    """See `Flavor`. Estimators of scikit-learn, and of its kin as far as skops can hold them."""

    name = "sklearn"
    libraries = {"sklearn": "scikit-learn", "numpy": "numpy", "scipy": "scipy", "xgboost": "xgboost"}
    needs = ("sklearn", "numpy", "scipy", "skops")
    predicts_by_row = True

    def freeze(self, model: Any, limit: int, example: Any = None) -> Frozen:
        if not _is_skops_there():
            raise NotKept(f"skops is not installed: {INSTALL}")
        file = _Limited(limit)
        pickler = _Pickler(file, protocol=5)
        try:
            pickler.dump(model)
        except NotKept:
            raise
        except Exception as error:
            pass_on(error)
            raise NotKept(f"it cannot be pickled ({type(error).__name__}: {error})") from error
        return Frozen(file.getbuffer(), packages=frozenset(pickler.packages & PICKLED - _STANDARD))

    def convert(self, data: bytes) -> Files:
        skops_io = _light_skops()
        model = _Unpickler(io.BytesIO(data)).load()
        try:
            return {FILE: skops_io.dumps(model)}
        except Exception as error:
            pass_on(error)
            raise NotKept(f"skops cannot hold it ({error})") from error

    def outputs(self, model: Any) -> Any:
        """Of a classifier its classes' type, of a clustering its labels', where it predicts one to a row."""
        import numpy as np  # scikit-learn has loaded it

        predicting = _predicting(model)
        known = _state(predicting)
        if not hasattr(type(predicting), "predict") or _tells_of_several_labels(known):
            return None
        classes = known.get("classes_")
        if isinstance(classes, np.ndarray) and classes.dtype.kind in "biufUO":
            return classes[:1]
        if isinstance(labels := known.get("labels_"), np.ndarray):
            return labels[:1]
        return None

    def describe(self, files: Files, kind: str) -> Mapping[str, Section]:
        skops_io = _light_skops()
        import sklearn

        ours = {
            "code": None,
            "pickled_model": FILE,
            "serialization_format": "skops",
            "sklearn_version": sklearn.__version__,
            "skops_trusted_types": sorted(skops_io.get_untrusted_types(data=files[FILE])),
        }
        generic = {"loader_module": "mlflow.sklearn", "model_path": FILE, "predict_fn": "predict"}
        return {self.name: ours, PYTHON_FUNCTION: generic}

    def load(self, folder: ModelFolder, section: Section, permissions: Permissions) -> Any:
        """Of what the section says of itself, only which file it is and what its format claims to be."""
        data = folder.read(str(section.get("pickled_model", FILE)))
        written_by = section.get("serialization_format", "pickle")  # as MLflow has it
        if written_by != "skops":
            return unpickled(data, folder.told, permissions)
        if not _is_skops_there():
            raise ModelError(f"skops is not installed: {INSTALL}")
        skops_io = _light_skops()
        from . import sound
        from .trusted import TYPES

        _refuse_bomb(data)
        trusted = TYPES | {*permissions.trusted}
        unknown = sorted({*skops_io.get_untrusted_types(data=data)} - trusted)
        if unknown:
            raise ModelError(
                f"the model holds types that are not known to be safe: {', '.join(unknown)}; if you trust "
                f"where it comes from: load_model(…, trusted={unknown})"
            )
        _check_boosters(data)
        model = skops_io.loads(data, trusted=[*trusted])
        sound.check(model, permissions.trusted)
        return model

    def ready(self, model: Any) -> Any:
        """What XGBoost's own flavor makes ready, where a search or a pipeline hands it all data as it is."""
        booster = _state(first := _first(model)).get("_Booster")
        if booster is None or not type(first).__module__.startswith("xgboost."):
            return model
        from . import categories

        return categories.of(model, booster)

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        from . import categories

        model, data = categories.asked(model, data)
        return super().predict(model, _as_read(model, data), params)


def _as_read(model: Any, data: Any) -> Any:
    """A table of one column as that column, to what reads texts first: it would read the table's names."""
    first = _first(model)
    reads = any(kind.__module__ == _TEXT and kind.__name__ in _VECTORIZERS for kind in type(first).__mro__)
    return data.iloc[:, 0] if reads and hasattr(data, "iloc") and data.shape[1:] == (1,) else data


def _first(model: Any) -> Any:
    """What gets the data of it: of a search its winner, of a pipeline its first step."""
    state = _state(model)
    if (winner := state.get("best_estimator_")) is not None:
        return _first(winner)
    match state.get("steps"):
        case [(_, first), *_]:
            return _first(first)
    return model


def _predicting(model: Any) -> Any:
    """What predicts for it: the winner of a search, the last step of a pipeline."""
    state = _state(model)
    if (winner := state.get("best_estimator_")) is not None:
        return _predicting(winner)
    match state.get("steps"):
        case [*_, (_, last)] if hasattr(last, "predict"):
            return _predicting(last)
    return model


def _tells_of_several_labels(known: Mapping[str, Any]) -> bool:
    """Whether of each row it predicts which labels it has: its classes are the labels then."""
    binarizer = known.get("_label_binarizer", known.get("label_binarizer_"))
    return str(_state(binarizer).get("y_type_")).startswith("multilabel")


def _state(model: Any) -> dict[str, Any]:
    """Its attributes, none of which is computed for being asked."""
    return getattr(model, "__dict__", {})


@cache
def _is_skops_there() -> bool:
    import importlib.util

    return importlib.util.find_spec("skops") is not None


def _light_skops() -> Any:
    """`skops.io`. To know all estimators it imports all of scikit-learn, and with that
    torch, CuPy and Dask, where they are installed, for no estimator: seconds, and half a gigabyte."""
    unwanted = [name for name in _SHIMS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(unwanted))  # type: ignore[arg-type]  # they count as not installed
    try:
        import skops.io
    finally:
        for name in unwanted:
            del sys.modules[name]
    return skops.io


def _refuse_bomb(data: bytes) -> None:
    import zipfile

    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise ModelError("the model's file is not in skops' format, though it says so")
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        if sum(entry.file_size for entry in file.infolist()) > MOST_EXPANDED * len(data):
            raise ModelError(f"{FILE} would grow more than {MOST_EXPANDED} times when it is unpacked")


def _check_boosters(data: bytes) -> None:
    """XGBoost reads what a booster is made of as skops makes it: it is looked at before."""
    import zipfile

    from . import boosted, ubjson

    with zipfile.ZipFile(io.BytesIO(data)) as file:
        waiting = [json.loads(file.read("schema.json"))]
        while waiting:
            node = waiting.pop()
            if isinstance(node, (list, dict)):
                waiting.extend(node.values() if isinstance(node, dict) else node)
            if not isinstance(node, dict) or node.get("__class__") != "Booster":
                continue
            if str(node.get("__module__")).partition(".")[0] != "xgboost":  # LightGBM has one as well
                continue
            match node:
                case {"__loader__": "TypeNode" | "CachedNode"}:
                    continue
                case {"content": {"content": {"handle": {"__loader__": "BytearrayNode", "file": str(name)}}}}:
                    boosted.check(ubjson.read(file.read(name))["Model"])
                case _:
                    raise ModelError(f"{FILE} has a booster that is not as skops writes it")


class _Limited(io.BytesIO):
    """Memory up to a limit."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > self._limit:
            raise NotKept(f"it has more bytes than model_max_bytes ({self._limit:,})")
        return super().write(data)


class _Pickler(pickle.Pickler):
    """Refuses what is not of a known package before any code of it is run."""

    def __init__(self, file: Any, protocol: int) -> None:
        super().__init__(file, protocol)
        self._known: set[type] = set()  # most objects of a model are of few classes
        self.packages: set[str] = set()

    def reducer_override(self, item: Any) -> Any:
        kind = type(item)
        if kind in self._known:
            return NotImplemented
        is_named = kind in _FUNCTIONS or kind.__name__ == _COMPILED or issubclass(kind, type)
        owner = item if is_named else kind
        module = owner.__module__ or "builtins"  # bound methods of C types have none
        package = module.partition(".")[0]
        if package not in PICKLED:
            raise HoldsOthers(f"it holds {module}.{owner.__qualname__}, which is no known library's")
        self.packages.add(package)
        if not is_named:
            self._known.add(kind)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    """Reads what `_Pickler` wrote."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] not in PICKLED:
            raise NotKept(f"it holds {module}.{name}")
        return super().find_class(module, name)
