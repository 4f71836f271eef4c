"""A model as a function of Spark's columns."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import OptionError
from .flavor import Permissions
from .loading import load
from .mlmodel.description import Files
from .mlmodel.folder import ModelFolder
from .predictor import Predictor
from .scoring.results import columns_of
from .signatures import Array, DataType, Map, Object, Schema, Signature, Tensor, Type

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

_TYPES: Mapping[Type, str] = {
    DataType.BOOLEAN: "boolean",
    DataType.INTEGER: "int",
    DataType.LONG: "bigint",
    DataType.FLOAT: "float",
    DataType.DOUBLE: "double",
    DataType.STRING: "string",
    DataType.BINARY: "binary",
    DataType.DATETIME: "timestamp",
}
_DTYPES = {
    "bool": "boolean",
    "int8": "tinyint",
    "uint8": "smallint",
    "int16": "smallint",
    "uint16": "int",
    "int32": "int",
    "uint32": "bigint",
    "int64": "bigint",
    "float32": "float",
    "float64": "double",
    "str": "string",
    "bytes": "binary",
}


def scorer(
    spark: SparkSession,
    folder: ModelFolder,
    permissions: Permissions,
    result_type: Any,
    params: Mapping[str, Any] | None,
) -> Callable[..., Column]:
    """See `autotrack.spark_udf`."""
    try:
        import pandas
        from pyspark.sql import functions
        from pyspark.sql.types import ArrayType, DataType, StructType
    except ImportError as error:
        install = "pip install pyspark pandas pyarrow"
        raise OptionError(f"{error.name} is needed to score by Spark: {install}") from None
    # Loaded here too: what is wrong with it is told before Spark has begun.
    signature = load(folder, permissions).signature or Signature()
    kind = result_type or _result_type(signature.outputs)
    if not isinstance(kind, DataType):
        kind = DataType.fromDDL(kind)
    files = {name: folder.read(name) for name in folder.names}
    shipped = spark.sparkContext.broadcast(_Shipped.of(files))
    is_struct, is_array = isinstance(kind, StructType), isinstance(kind, ArrayType)

    def scored(batches: Iterator[Any]) -> Iterator[Any]:
        predictor = _loaded(shipped.value, permissions)
        for batch in batches:
            yield _result(predictor.predict(batch, params), batch, is_struct, is_array)

    said = Iterator[pandas.DataFrame] if is_struct else Iterator[pandas.Series]
    scored.__annotations__ = {"batches": Iterator[pandas.DataFrame], "return": said}
    udf = functions.pandas_udf(scored, kind)
    names = [str(name) for name in signature.inputs.names] if signature.inputs else []

    def score(*columns: Any) -> Column:
        wanted = columns or names
        if not wanted:
            raise OptionError("the model's signature names no columns: name those that it takes")
        return udf(functions.struct(*wanted))

    return score


# --- in the workers ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shipped:
    """A model's files, known by their digest."""

    digest: str
    files: Files = field(compare=False, repr=False)

    @classmethod
    def of(cls, files: Files) -> _Shipped:
        """Of these."""
        digest = hashlib.sha256()
        for name in sorted(files):
            digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
        return cls(digest.hexdigest(), files)


@lru_cache(maxsize=4)
def _loaded(shipped: _Shipped, permissions: Permissions) -> Predictor:
    """Once in each of Spark's Python processes, which go on to other tasks."""
    with tempfile.TemporaryDirectory(prefix="autotrack-model-") as name:
        root = Path(name)
        for file, data in shipped.files.items():
            path = root / file
            if not Path(os.path.normpath(path)).is_relative_to(root):
                raise OptionError(f"a model's file cannot be named {file!r}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return load(ModelFolder.at(root), permissions)


def _result(result: Any, batch: Any, is_struct: bool, is_array: bool) -> Any:
    import pandas

    if is_array:
        return pandas.Series(list(np.asarray(result).tolist()), index=batch.index)
    columns = columns_of(result, len(batch))
    if is_struct:
        return pandas.DataFrame({name: np.asarray(column) for name, column in columns.items()})
    return pandas.Series(np.asarray(next(iter(columns.values()))))


# --- types ------------------------------------------------------------------------------------------


def _result_type(outputs: Schema | None) -> str:
    """What a signature's outputs are in Spark's words. Raises `OptionError`."""
    if outputs is None:
        raise OptionError("the model's signature does not say what it gives: name it by result_type='double'")
    kinds = [_tensor(field) if isinstance(field, Tensor) else _type(field.type) for field in outputs]
    if len(kinds) == 1:
        return kinds[0]
    names = outputs.names or range(len(kinds))
    fields = (f"{_quoted(str(name))}: {kind}" for name, kind in zip(names, kinds, strict=True))
    return f"struct<{', '.join(fields)}>"


def _type(kind: Type) -> str:
    if isinstance(kind, Array):
        return f"array<{_type(kind.items)}>"
    if isinstance(kind, Map):
        return f"map<string, {_type(kind.values)}>"
    if isinstance(kind, Object):
        return f"struct<{', '.join(f'{_quoted(p.name)}: {_type(p.type)}' for p in kind.properties)}>"
    if kind not in _TYPES:
        raise OptionError(f"Spark has no type for {kind}: name one by result_type='string'")
    return _TYPES[kind]


def _tensor(tensor: Tensor) -> str:
    kind = _DTYPES.get(tensor.dtype)
    if kind is None:
        raise OptionError(f"Spark has no type for {tensor.dtype}: name one by result_type='double'")
    for _ in tensor.shape[1:]:
        kind = f"array<{kind}>"
    return kind


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
