"""An example of a model's input, in the files that MLflow keeps beside a model, written and read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError, SchemaError
from ..interrupts import pass_on
from .codec import plain
from .enforcing import enforce
from .infer import infer_schema
from .libraries import library_of
from .tables import cells_of, table_of
from .types import Schema, Signature

FILE = "input_example.json"
SERVING_FILE = "serving_input_example.json"
ROWS = 5
MOST_BYTES = 1 << 20
"""A larger example is cut to fewer rows."""
_MOST_READ = 64 << 20
"""Bytes of a file that somebody else wrote which are still read."""


@dataclass(frozen=True, slots=True)
class Example:
    """An example as it stands in its files.

    kind: MLflow's name for what it was: dataframe, ndarray, json_object, sparse_matrix_csr or …_csc.
    content: the data as JSON. serving: what a server is sent, without params. params: beside it, as JSON.
    """

    kind: str
    content: Any
    serving: Mapping[str, Any]
    params: Mapping[str, Any] | None = None

    @property
    def info(self) -> dict[str, str]:
        """The mapping `saved_input_example_info` of an `MLmodel`."""
        orient = "split" if self.kind == "dataframe" and "columns" in self.content else "values"
        return (
            {"artifact_path": FILE}
            | ({} if self.params is None else {"params": "true"})
            | {"type": self.kind}
            | ({"pandas_orient": orient} if self.kind == "dataframe" else {})
            | {"serving_input_path": SERVING_FILE}
        )

    def files(self) -> dict[str, bytes]:
        """The contents of the two files, by their names."""
        whole = self.content if self.params is None else {"inputs": self.content, "params": self.params}
        serving = dict(self.serving) if self.params is None else {**self.serving, "params": self.params}
        return {
            FILE: json.dumps(whole, allow_nan=False).encode(),
            SERVING_FILE: json.dumps(serving, allow_nan=False, indent=2).encode(),
        }


def example_of(
    data: Any, params: Mapping[str, Any] | None = None, rows: int = ROWS, most_bytes: int = MOST_BYTES
) -> Example | None:
    """The first `rows` of the data as an example, or as many as fit `most_bytes`; None: not even one does.

    Raises `SchemaError` for data that has no signature, or holds what JSON cannot say.
    """
    try:
        given = None if params is None else plain(params)
        while True:
            kind, content, serving = _contents(_head(data, rows))
            example = Example(kind, content, serving, given)
            if sum(map(len, example.files().values())) <= most_bytes:
                return example
            if rows <= 1:
                return None
            rows //= 2
    except RecursionError:
        raise SchemaError("the input example holds itself, or too many lists in each other") from None


def read_example(
    folder: Path, info: Mapping[str, Any], signature: Signature | None = None
) -> tuple[Any, dict[str, Any] | None]:
    """The data and the params of the example that `saved_input_example_info` tells of in a model's folder.

    With a signature the data is what the model gets (see `enforce`), without one what JSON could keep
    of it. Raises `ModelError`.
    """
    content = _loaded(folder, info.get("artifact_path"))
    params = None
    if info.get("params"):
        if not isinstance(content, dict) or not {"inputs", "params"} <= content.keys():
            raise ModelError("the input example has no inputs and params, as its MLmodel says")
        content, params = content["inputs"], content["params"]
    return _read(content, str(info.get("type")), None if signature is None else signature.inputs), params


# --- writing ----------------------------------------------------------------------------------------


def _head(data: Any, rows: int) -> Any:
    library = library_of(data)
    if library == "pandas":
        return data.iloc[:rows] if hasattr(data, "iloc") else data[:rows]
    if library == "pyarrow":
        return data.slice(0, rows)
    if library == "scipy":
        data = _by_lines(data)
    if isinstance(data, Mapping):
        return {name: data[name][:rows] if _has_rows(data[name]) else data[name] for name in data}
    return data[:rows] if _has_rows(data) or isinstance(data, (list, tuple)) else data


def _has_rows(data: Any) -> bool:
    shape: tuple[int, ...] = getattr(data, "shape", ())
    return bool(library_of(data) and shape)


def _contents(data: Any) -> tuple[str, Any, dict[str, Any]]:
    """Kind, content and what a server is sent."""
    library = library_of(data)
    if library == "scipy":
        return _of_sparse(data)
    if library in ("pandas", "polars") or (library == "pyarrow" and hasattr(data, "schema")):
        content = _split(data)
        return "dataframe", content, {"dataframe_split": content}
    if library in ("numpy", "torch") and _has_rows(data):
        content = plain(_numpy(data))
        return "ndarray", content, {"inputs": content}
    if isinstance(data, Mapping) and data and all(_has_rows(value) for value in data.values()):
        content = {str(name): plain(_numpy(value)) for name, value in data.items()}
        return "ndarray", content, {"inputs": content}
    if library not in ("", "numpy", "pyarrow"):
        raise SchemaError(f"a {library} {type(data).__name__} makes no example; give a table or an array")
    content = plain(data.to_pylist() if library == "pyarrow" else data)
    return "json_object", content, {"inputs": content}


def _numpy(data: Any) -> Any:
    library = library_of(data)
    if library == "torch":
        data = data.detach().cpu()
        return (data.float() if str(data.dtype) == "torch.bfloat16" else data).numpy()
    return np.asarray(data.toarray() if library == "scipy" else data)


def _of_sparse(data: Any) -> tuple[str, Any, dict[str, Any]]:
    matrix = _by_lines(data)
    content = {name: plain(getattr(matrix, name)) for name in ("data", "indices", "indptr", "shape")}
    return f"sparse_matrix_{matrix.format}", content, {"inputs": plain(matrix.toarray())}


def _by_lines(matrix: Any) -> Any:
    """In a form that MLflow keeps, of which there can be a part."""
    return matrix if getattr(matrix, "format", "") in ("csr", "csc") else matrix.tocsr()


def _split(data: Any) -> dict[str, Any]:
    frame = data.to_frame() if hasattr(data, "to_frame") else data
    table = table_of(frame, infer_schema(frame))
    columns = [_plain_column(table.column(i)) for i in range(table.width)]
    rows = [list(row) for row in zip(*columns, strict=True)]
    # MLflow leaves out names that nobody gave, and then takes columns by position.
    unnamed = table.names is None or list(table.names) == list(range(table.width))
    return {"data": rows} if unnamed else {"columns": list(table.names or ()), "data": rows}


def _plain_column(column: Any) -> list[Any]:
    cells = cells_of(column)
    values = [plain(value) for value in cells.values]
    if cells.missing is None:
        return values
    return [None if missing else value for value, missing in zip(values, cells.missing, strict=True)]


# --- reading ----------------------------------------------------------------------------------------


def _loaded(folder: Path, name: Any) -> Any:
    if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
        raise ModelError(f"the input example's path {name!r:.80} is no file of the model")
    path = folder / name
    try:
        if path.is_symlink() or not path.is_file():
            raise ModelError(f"the model has no input example {name}")
        if path.stat().st_size > _MOST_READ:
            raise ModelError(f"the input example {name} is larger than {_MOST_READ >> 20} MiB")
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        pass_on(error)
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"the input example {name} cannot be read: {error}") from None


def _read(content: Any, kind: str, schema: Schema | None) -> Any:
    if kind == "dataframe":
        return _read_frame(content, schema)
    if kind.startswith("sparse_matrix_"):
        matrix = _read_sparse(content, kind)
        return matrix if schema is None else enforce(schema, matrix)
    if kind not in ("ndarray", "json_object"):
        raise ModelError(f"an input example of the type {kind!r:.80} is not known")
    if schema is not None:
        return enforce(schema, content)
    if kind == "json_object":
        return content
    if isinstance(content, dict):
        return {name: _read_array(value) for name, value in content.items()}
    return _read_array(content)


def _read_array(content: Any) -> Any:
    try:
        array = np.asarray(content)
        return array.astype(float) if array.dtype.kind == "O" else array  # null is NaN
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelError(f"the input example is no array: {error}") from None


def _read_frame(content: Any, schema: Schema | None) -> Any:
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise ModelError("the input example is no table of columns and data")
    rows, names = content["data"], content.get("columns")
    width = len(rows[0]) if names is None and rows else len(names or ())
    if not all(isinstance(row, list) and len(row) == width for row in rows):
        raise ModelError("the input example's rows are not of one length")
    columns = [[row[i] for row in rows] for i in range(width)]
    if schema is not None:
        return enforce(schema, dict(zip(names, columns, strict=True)) if names else rows)
    labelled = dict(zip(names or range(width), columns, strict=True))
    try:
        import pandas
    except ImportError:
        return labelled
    return pandas.DataFrame(labelled)


def _read_sparse(content: Any, kind: str) -> Any:
    try:
        from scipy import sparse
    except ImportError:
        raise ModelError("the input example is a sparse matrix: install scipy to read it") from None
    make = sparse.csc_matrix if kind.endswith("csc") else sparse.csr_matrix
    try:
        parts = (content["data"], content["indices"], content["indptr"])
        return make(parts, shape=tuple(content["shape"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the input example is no sparse matrix: {error}") from None
