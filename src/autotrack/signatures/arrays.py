"""Arrays made to fit a schema's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemaError
from ..options import did_you_mean
from .casting import Misfit, cast, exact_up_to, tensor_array
from .libraries import library_of
from .types import Schema, Tensor, dtype_name


def enforce_tensors(schema: Schema, data: Any) -> Any:
    """A numpy array, or a dict of them where the tensors have names; see `enforce`."""
    if not schema.names:
        if isinstance(data, Mapping):
            raise SchemaError(f"a dict is no tensor; the model takes one, {schema}")
        return _fit(schema.tensors[0], data)
    parts = _parts(schema, data)
    return {t.name: _fit(t, parts[t.name]) for t in schema.tensors}


def _parts(schema: Schema, data: Any) -> Mapping[Any, Any]:
    """The data of each tensor by its name; what is alone needs none."""
    if isinstance(data, Mapping):
        parts, names = data, list(map(str, data))
    elif _is_table(data):
        names = [str(name) for name in getattr(data, "columns", ())] or [str(n) for n in data.schema.names]
        parts = {name: data[name] for name in schema.names if name in names}
    elif len(schema) == 1:
        return {schema.names[0]: data}
    else:
        raise SchemaError(f"a {type(data).__name__} is no dict; the model takes tensors by name: {schema}")
    for name in schema.names:
        if name not in parts:
            raise SchemaError(f"tensor {name!r} is missing{did_you_mean(str(name), names)}", name)
    return parts


def _is_table(data: Any) -> bool:
    library = library_of(data)
    return library in ("pandas", "polars", "pyarrow") and (
        hasattr(data, "columns") or hasattr(data, "schema")
    )


def _fit(tensor: Tensor, data: Any) -> Any:
    shown = "the tensor" if tensor.name is None else f"tensor {tensor.name!r}"
    try:
        if library_of(data) == "scipy":
            return _fit_sparse(tensor, data)
        array = _array(data, np.dtype(tensor.dtype))
        _check_shape(tensor, array.shape)
        return cast(array, np.dtype(tensor.dtype))
    except Misfit as error:
        at = f" at {list(error.index)}" if error.index else ""
        raise SchemaError(f"{shown}{at}: {error.problem}", tensor.name) from None


def _fit_sparse(tensor: Tensor, data: Any) -> Any:
    """Stays sparse: who trained on such data may have no room for the dense."""
    _check_shape(tensor, data.shape)
    have, want = data.dtype, np.dtype(tensor.dtype)
    if have == want:
        return data
    if not np.can_cast(have, want):
        raise Misfit(f"{have}, not {want}; convert it by .astype if that loses nothing that matters")
    return data.astype(want)


def _check_shape(tensor: Tensor, shape: tuple[int, ...]) -> None:
    fits = len(shape) == len(tensor.shape) and all(
        want in (-1, have) for have, want in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        raise Misfit(f"its shape is {shape}, not {tensor.shape}")


def _array(data: Any, wanted: np.dtype[Any]) -> NDArray[Any]:
    library = library_of(data)
    if library == "torch":
        data = tensor_array(data)
    if library == "pyarrow" and hasattr(data, "schema"):
        return np.column_stack([_array(column, wanted) for column in data.columns])
    if library in ("pandas", "polars", "pyarrow"):
        return _of_column(data.to_numpy(), wanted)
    if isinstance(data, np.ma.MaskedArray) and np.ma.is_masked(data):
        raise Misfit("a value is masked; fill it first", tuple(int(i) for i in np.argwhere(data.mask)[0]))
    if library in ("numpy", "torch"):
        return _of_column(np.asarray(data), wanted)
    return _of_list(data, wanted)


def _of_column(array: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[Any]:
    """What numpy keeps as Python objects, a table's column of lists too, is read as a list is."""
    array = array.astype(object) if array.dtype.kind == "T" else array
    if array.dtype.kind != "O" or wanted.kind == "O":
        return array
    if any(isinstance(value, str) for value in array.flat):
        return _of_values(array, wanted)
    return _of_list(array.tolist(), wanted)


def _of_list(data: Any, wanted: np.dtype[Any]) -> NDArray[Any]:
    """Lists in lists as an array, of the dtype that their values have: `cast` says whether it will do."""
    if wanted.kind == "O":
        return np.asarray(data, object)
    try:
        array = np.asarray(data)
    except (ValueError, TypeError, OverflowError):
        raise Misfit("its lists are not of one length") from None
    if array.dtype.kind in "USO":  # numpy makes texts of numbers that stand beside texts
        array = _of_values(np.asarray(data, object), wanted)
    if array.dtype.kind == "f" and wanted.kind == "f":
        _refuse_inexact(array, data, wanted)
    return array.astype(wanted) if array.size == 0 else _as_json_means(array, wanted)


def _refuse_inexact(array: NDArray[Any], data: Any, wanted: np.dtype[Any]) -> None:
    """Integers that stood beside floats, or beside null, were made floats by numpy: none may have changed."""
    large = np.argwhere(abs(array) >= exact_up_to(wanted))
    values = np.asarray(data, object) if len(large) else array
    for index in map(tuple, large.tolist()):
        value = values[index]
        if isinstance(value, (int, np.integer)):
            with np.errstate(over="ignore"):
                made = float(wanted.type(array[index]))
            if not np.isfinite(made) or int(made) != value:
                raise Misfit(f"{value!s:.60} has no exact {dtype_name(wanted)}", index)


def _of_values(array: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[Any]:
    """Values of Python in the wanted dtype; null is NaN where there is one."""
    wants = _PYTHON.get(wanted.kind, ())
    for index in np.ndindex(array.shape):
        value: Any = array[index]
        if value is None and wanted.kind in "fM":
            continue
        if not isinstance(value, wants) or (isinstance(value, bool) and wanted.kind != "b"):
            raise Misfit(f"{value!r:.60}, not {dtype_name(wanted)}", index)
    if wanted.kind == "U" and 4 * array.size * max(map(len, array.flat), default=0) > _MOST_TEXT:
        raise Misfit("its longest text is too long: in numpy's array of texts each takes as much")
    try:
        return array.astype(np.float64 if wanted.kind == "f" else wanted)
    except (ValueError, OverflowError) as error:
        raise Misfit(f"no {wanted.name}: {error}") from None


_MOST_TEXT = 1 << 30
"""Bytes of an array of texts that is made of objects."""

_PYTHON: Mapping[str, tuple[type, ...]] = {
    "b": (bool, np.bool_),
    "i": (int, np.integer),
    "u": (int, np.integer),
    "f": (int, float, np.integer, np.floating),
    "U": (str,),
    "S": (bytes,),
    "M": (str, date, np.datetime64),
}


def _as_json_means(array: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[Any]:
    """JSON has no floats of less than 64 bits: they are rounded, which loses what nobody could say."""
    if wanted.kind != "f" or array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        made = array.astype(wanted)
    if (np.isinf(made) & ~np.isinf(array)).any():
        raise Misfit(f"a number is too large for {wanted.name}")
    return made
