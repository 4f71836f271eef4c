"""What an object consists of, as JSON and files: data, models of libraries and what lies on the disk too."""

from __future__ import annotations

import io
import re
import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..flavor import Frozen, HoldsOthers, NotKept
from ..flavors import library_flavor
from ..forms.telling import Form, Forms
from ..interrupts import pass_on
from .code import Code


@dataclass(frozen=True, slots=True)
class Nested:
    """A model of a library within the object, by its path below the folder; `name` is its flavor's.

    users: where the user's classes in it are found, by their names.
    """

    name: str
    kind: str
    frozen: Frozen
    users: Mapping[str, Sequence[str]]


class State(Forms):
    """Gathers what values consist of: `files`, `models` and `packages` grow with each `told`.

    limit: bytes that files may have in all.
    """

    kept = (
        "JSON values, arrays, tables, numpy's random generators, models of libraries, paths of files, "
        "functions, enums, dataclasses and objects of your own classes"
    )

    def __init__(self, code: Code, limit: int) -> None:
        super().__init__(code)
        self.files: dict[str, bytes] = {}
        self.models: dict[str, Nested] = {}
        self.packages: set[str] = set()
        self._is_own = code.is_own
        self._limit = limit
        self._size = 0
        self._arrays: dict[str, Any] = {}

    def forms(self) -> Collection[Form]:
        """See `Forms`."""
        return (
            *(self._plain, self._data, self._code_told, self._path, self._named),
            *(self._library, self._object),
        )

    def whole(self, value: Any) -> Any:
        """The model as `data/model.json` tells it: of an object of any class, by its attributes."""
        kind = type(value)
        if issubclass(kind, types.FunctionType | partial) or kind.__name__ == "_lru_cache_wrapper":
            return self.document(self.told(value, "the model"))
        self._inside.add(id(value))
        return self.document(self._attributes(value, kind, ""))

    def all_files(self) -> Mapping[str, bytes]:
        """With the arrays, in one file."""
        if not self._arrays:
            return self.files
        import numpy as np

        file = io.BytesIO()
        np.savez(file, **self._arrays)
        return {**self.files, "data/arrays.npz": file.getvalue()}

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
            pass_on(error)
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
        self._count(memoryview(frozen.data).nbytes + sum(map(len, frozen.more.values())))
        label = re.sub(r"\W+", "_", where).strip("_").removeprefix("attribute_")
        path = next(path for path in _numbered(f"models/{label}") if path not in self.models)
        users = {called: self._code.reference(item) for called, item in frozen.users.items()}
        self.models[path] = Nested(name, f"{kind.__module__}.{kind.__qualname__}", frozen, users)
        self.packages |= {*flavor.needs, *frozen.packages}
        return {"model": path}

    def _object(self, value: Any, kind: type, where: str) -> Any:
        if self._is_own(kind) or is_dataclass(kind):
            return self._attributes(value, kind, where)
        return None

    # --- files ------------------------------------------------------------------------------------------

    def _path(self, value: Any, kind: type, where: str) -> Any:
        """A file or folder that is there comes along; any other path is but text."""
        if not issubclass(kind, Path):
            return None
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
            pass_on(error)
            raise NotKept(f"{where}: {value} cannot be read: {error}") from error
        return None

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


def _numbered(path: str) -> Iterator[str]:
    yield path
    stem, dot, suffix = path.rpartition(".")
    yield from (f"{stem}-{i}.{suffix}" if dot else f"{path}-{i}" for i in range(2, 1 << 30))
