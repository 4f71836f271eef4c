"""What an object consists of, as JSON and files: read from its attributes, with none of its code run.

`loader.py` reads the same again: what is written here under a name, a method of that name makes there.
"""

from __future__ import annotations

import contextlib
import enum
import io
import logging
import math
import re
import types
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..flavor import Frozen, HoldsOthers, NotKept
from ..flavors import library_flavor
from .code import Code, is_importable

_NAMED = (types.FunctionType, types.BuiltinFunctionType, type)
_COMPILED = "cython_function_or_method"  # each Cython module has a class of its own so named
_NEVER_SHARED = (tuple, frozenset, complex, bytes)
"""What nobody can change: a copy is as good."""
_MAPPINGS = {"collections.OrderedDict", "collections.Counter", "sklearn.utils._bunch.Bunch"}
"""Kinds of dict that are nothing more than their items."""
_FORMS = (
    "kept are JSON values, arrays, tables, numpy's random generators, models of libraries, paths of files, "
    "functions, enums, dataclasses and objects of your own classes"
)


@dataclass(frozen=True, slots=True)
class Nested:
    """A model of a library within the object, by its path below the folder; `name` is its flavor's."""

    name: str
    kind: str
    frozen: Frozen


class State:
    """Gathers what values consist of: `files`, `models` and `packages` grow with each `told`.

    limit: bytes that files may have in all.
    """

    def __init__(self, code: Code, limit: int) -> None:
        self.files: dict[str, bytes] = {}
        self.models: dict[str, Nested] = {}
        self.packages: set[str] = set()
        self._code = code
        self._limit = limit
        self._size = 0
        self._arrays: dict[str, Any] = {}
        self._inside: set[int] = set()
        self._met: dict[int, tuple[int, Any]] = {}  # the values as well: an id is of what lives
        self._contents: list[Any] = []
        self._uses: list[int] = []

    def told(self, value: Any, where: str) -> Any:
        """A value, or {"same": its place among the contents}; `where` is what errors call it.

        Raises `NotKept`.
        """
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if id(value) in self._met:
            number, _ = self._met[id(value)]
            self._uses[number] += 1
            return {"same": number}
        if id(value) in self._inside:
            raise NotKept(f"{where} holds itself, which has no form here; {_FORMS}")
        self._inside.add(id(value))
        try:
            for form in (self._plain, self._data, self._code_told, self._named, self._library, self._object):
                if (found := form(value, kind, where)) is not None:
                    is_alone = kind in _NEVER_SHARED or form in (self._code_told, self._named)
                    return found if is_alone else self._shareable(value, found)
        finally:
            self._inside.discard(id(value))
        raise NotKept(f"{where} is a {kind.__module__}.{kind.__qualname__}, which has no safe form; {_FORMS}")

    def whole(self, value: Any) -> Any:
        """The model as `data/model.json` tells it: of an object of any class, by its attributes."""
        kind = type(value)
        if issubclass(kind, types.FunctionType | partial) or kind.__name__ == "_lru_cache_wrapper":
            return self._document(self.told(value, "the model"))
        self._inside.add(id(value))
        return self._document(self._attributes(value, kind, ""))

    def all_files(self) -> Mapping[str, bytes]:
        """With the arrays, in one file."""
        if not self._arrays:
            return self.files
        import numpy as np

        file = io.BytesIO()
        np.savez(file, **self._arrays)
        return {**self.files, "data/arrays.npz": file.getvalue()}

    # --- what several refer to ------------------------------------------------------------------------

    def _shareable(self, value: Any, found: Any) -> Any:
        number = len(self._contents)
        self._met[id(value)] = number, value
        self._contents.append(found)
        self._uses.append(1)
        return {"same": number}

    def _document(self, told: Any) -> Any:
        """With what is used once in its place, and what is used more often told once, beside it."""
        places: dict[int, int] = {}
        shared: dict[int, Any] = {}

        def placed(told: Any) -> Any:
            if isinstance(told, list):
                return [placed(one) for one in told]
            if not isinstance(told, dict):
                return told
            if "same" not in told:
                return {name: placed(content) for name, content in told.items()}
            number = told["same"]
            if self._uses[number] == 1:
                return placed(self._contents[number])
            if number not in places:
                places[number] = place = len(places)
                shared[place] = placed(self._contents[number])
            return {"same": places[number]}

        made = placed(told)
        return {"sharing": [[shared[place] for place in range(len(places))], made]} if places else made

    # --- forms; each gives None for what is not its own -----------------------------------------------

    def _plain(self, value: Any, kind: type, where: str) -> Any:
        if kind is list:
            return self._items(value, where)
        if kind in (tuple, set, frozenset):
            items = self._items(value, where)
            return {kind.__name__: items if kind is tuple else sorted(items, key=repr)}
        if kind is dict:
            return self._pairs(value, where)
        if f"{kind.__module__}.{kind.__qualname__}" in _MAPPINGS:
            return {"mapping": [self._kind(kind), self._pairs(value, where)]}
        if kind is slice:
            return {"slice": self._items((value.start, value.stop, value.step), where)}
        if kind is complex:
            return {"complex": [self.told(value.real, where), self.told(value.imag, where)]}
        return {"bytes": b64encode(value).decode()} if kind is bytes else None

    def _pairs(self, value: dict[Any, Any], where: str) -> Any:
        return {
            "dict": [
                [self.told(key, f"a key of {where}"), self.told(item, f"{where}[{_shown(key)}]")]
                for key, item in dict.items(value)
            ]
        }

    def _items(self, values: Any, where: str) -> list[Any]:
        return [self.told(item, f"{where}[{i}]") for i, item in enumerate(values)]

    def _data(self, value: Any, kind: type, where: str) -> Any:
        root = kind.__module__.partition(".")[0]
        if root not in ("numpy", "pandas", "polars", "pyarrow"):
            return None
        self.packages.add(root)
        try:
            return {"numpy": self._array, "pandas": self._table}.get(root, self._arrow)(value, kind, where)
        except NotKept:
            raise
        except Exception as error:
            raise NotKept(f"{where} cannot be written ({type(error).__name__}: {error})") from error

    def _array(self, value: Any, kind: type, where: str) -> Any:
        import numpy as np

        if kind is np.ndarray and value.dtype.hasobject:
            items = [self.told(item, f"{where}[{i}]") for i, item in enumerate(value.ravel().tolist())]
            return {"objects": {"shape": [*value.shape], "items": items}}
        if kind is np.ma.MaskedArray:
            return {"masked": self._items((value.data, np.ma.getmaskarray(value)), where)}
        if kind in (np.ndarray, np.memmap) or (issubclass(kind, np.generic) and not value.dtype.hasobject):
            name = f"a{len(self._arrays)}"
            self._count(value.nbytes)
            self._arrays[name] = np.array(value)
            return {"scalar" if issubclass(kind, np.generic) else "array": name}
        if kind in (np.random.Generator, np.random.RandomState):
            return {"random": [kind.__name__, *self._random(value, where)]}
        return None

    def _random(self, value: Any, where: str) -> list[Any]:
        """The name of a generator's bits, its state, and the seed that more are spawned from."""
        import numpy as np

        is_new = type(value) is np.random.Generator
        bits = value.bit_generator if is_new else value._bit_generator
        if getattr(np.random, type(bits).__name__, None) is not type(bits):
            raise NotKept(f"{where} has bits of {type(bits).__qualname__}, which is none of numpy's")
        state = bits.state if is_new else value.get_state(legacy=False)
        seed = bits.seed_seq.state if type(bits.seed_seq) is np.random.SeedSequence else None
        return [type(bits).__name__, self.told(state, where), self.told(seed, where)]

    def _table(self, value: Any, kind: type, where: str) -> Any:
        import pandas as pd

        if kind not in (pd.DataFrame, pd.Series):
            return None
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise NotKept(
                f"{where} is kept as Parquet, for which pyarrow is missing: pip install pyarrow"
            ) from None
        self.packages.add("pyarrow")
        frame = value if kind is pd.DataFrame else value.to_frame("value")
        file = self._file("parquet", frame.to_parquet(index=True))
        return {"frame": file} if kind is pd.DataFrame else {"series": [file, self.told(value.name, where)]}

    def _arrow(self, value: Any, kind: type, where: str) -> Any:
        buffer = io.BytesIO()
        if kind.__name__ == "DataFrame":
            value.write_parquet(buffer)
            return {"polars": self._file("parquet", buffer.getvalue())}
        if kind.__name__ == "Table":
            from pyarrow import parquet

            parquet.write_table(value, buffer)
            return {"arrow": self._file("parquet", buffer.getvalue())}
        return None

    def _code_told(self, value: Any, kind: type, where: str) -> Any:
        is_named = issubclass(kind, _NAMED) or kind.__name__ == "_lru_cache_wrapper"
        may_be_named = kind.__name__ == _COMPILED or kind.__module__ == "numpy"
        if is_named or (may_be_named and hasattr(value, "__qualname__") and is_importable(value)):
            return {"name": self._code.reference(value)}
        if kind is partial:
            named = self.told(value.keywords, where)
            return {"partial": [self.told(value.func, where), self.told([*value.args], where), named]}
        return None

    def _named(self, value: Any, kind: type, where: str) -> Any:
        if issubclass(kind, enum.Enum):
            return {"enum": [self._kind(kind), self.told(object.__getattribute__(value, "_value_"), where)]}
        if issubclass(kind, Path):
            return self._path(value, where)
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            return {"namedtuple": [self._kind(kind), self._items(tuple.__iter__(value), where)]}
        if kind is re.Pattern:
            return {"pattern": [self.told(value.pattern, where), value.flags]}
        return {"logger": value.name} if kind is logging.Logger else None

    def _library(self, value: Any, kind: type, where: str) -> Any:
        found = library_flavor(kind)
        if found is None:
            return None
        name, flavor = found
        frozen = None
        try:
            frozen = flavor.freeze(value, self._limit - self._size)
        except HoldsOthers:
            pass  # and let go of what it has frozen so far
        except NotKept as refusal:
            raise NotKept(f"{where}: {refusal}") from refusal
        if frozen is None:
            return self._attributes(value, kind, where)
        self._count(memoryview(frozen.data).nbytes)
        label = re.sub(r"\W+", "_", where).strip("_").removeprefix("attribute_")
        path = next(path for path in _numbered(f"models/{label}") if path not in self.models)
        self.models[path] = Nested(name, f"{kind.__module__}.{kind.__qualname__}", frozen)
        self.packages |= {*flavor.needs, *frozen.packages}
        return {"model": path}

    def _object(self, value: Any, kind: type, where: str) -> Any:
        if self._code.is_own(kind) or is_dataclass(kind):
            return self._attributes(value, kind, where)
        return None

    def _attributes(self, value: Any, kind: type, where: str) -> Any:
        try:
            object.__new__(kind)
        except TypeError:
            raise NotKept(
                f"{where or 'the model'} is a {kind.__module__}.{kind.__qualname__}, which holds more than "
                f"its attributes; {_FORMS}"
            ) from None
        dot = f"{where}." if where else "attribute "
        state = [[name, self.told(item, f"{dot}{name}")] for name, item in _attributes_of(value, kind)]
        return {"object": [self._kind(kind), {"dict": state}]}

    def _kind(self, kind: type) -> Any:
        return {"name": self._code.reference(kind)}

    # --- files ------------------------------------------------------------------------------------------

    def _path(self, value: Path, where: str) -> Any:
        """A file or folder that is there comes along; any other path is but text."""
        try:
            if value.is_file():
                return {"artifact": self._copied(value, self._artifact_path(value.name))}
            if value.is_dir():
                path = self._artifact_path(value.name or "folder")
                for file in sorted(value.rglob("*")):
                    if not file.resolve().is_relative_to(value.resolve()):
                        raise NotKept(f"{where}: {file} leads out of its folder")
                    if file.is_file():
                        self._copied(file, f"{path}/{file.relative_to(value).as_posix()}")
                return {"artifact": path}
        except OSError as error:
            raise NotKept(f"{where}: {value} cannot be read: {error}") from error
        return {"path": str(value)}

    def _artifact_path(self, name: str) -> str:
        taken = {file.split("/")[1] for file in self.files if file.startswith("artifacts/")}
        return next(path for path in _numbered(f"artifacts/{name}") if path.split("/")[1] not in taken)

    def _copied(self, file: Path, path: str) -> str:
        self._count(file.stat().st_size)
        self.files[path] = file.read_bytes()
        return path

    def _file(self, suffix: str, data: bytes) -> str:
        self._count(len(data))
        name = f"data/{len(self.files)}.{suffix}"
        self.files[name] = data
        return name

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            raise NotKept(f"it has more bytes than model_max_bytes ({self._limit:,})")


def _attributes_of(value: Any, kind: type) -> Iterator[tuple[str, Any]]:
    """Of its `__dict__` and its slots, by what Python itself does, whatever the class has overridden."""
    with contextlib.suppress(AttributeError):  # it has none
        yield from [*object.__getattribute__(value, "__dict__").items()]
    slots = [
        (name, member)
        for base in kind.__mro__
        for name, member in vars(base).items()
        if isinstance(member, types.MemberDescriptorType)
    ]
    for name, member in slots:
        with contextlib.suppress(AttributeError):  # not set
            yield name, member.__get__(value)


def _shown(key: Any) -> str:
    return repr(key) if type(key) in (str, int, float, bool, type(None)) else f"a {type(key).__qualname__}"


def _numbered(path: str) -> Iterator[str]:
    yield path
    stem, dot, suffix = path.rpartition(".")
    yield from (f"{stem}-{i}.{suffix}" if dot else f"{path}-{i}" for i in range(2, 1 << 30))
