"""Values made those of a type, if that loses nothing: whole arrays at once, and single values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .codec import parsed_bytes, parsed_datetime
from .types import Array, DataType, Map, Object, Type
from .values import is_missing, type_of, type_of_dtype

DTYPES: Mapping[DataType, np.dtype[Any]] = {
    DataType.BOOLEAN: np.dtype(bool),
    DataType.INTEGER: np.dtype("int32"),
    DataType.LONG: np.dtype("int64"),
    DataType.FLOAT: np.dtype("float32"),
    DataType.DOUBLE: np.dtype("float64"),
}
"""The types that numpy's arrays hold by themselves."""


class Misfit(ValueError):
    """A value does not fit. `index`: where it stands in its column or array, None: nowhere in particular."""

    def __init__(self, problem: str, index: tuple[int, ...] | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.index = index


# --- arrays -----------------------------------------------------------------------------------------


def tensor_array(tensor: Any) -> NDArray[Any]:
    """A tensor of torch as numpy has it, bfloat16 as float32. Raises `Misfit` where numpy has none such."""
    try:
        if str(tensor.dtype) == "torch.bfloat16":
            tensor = tensor.float()
        return np.asarray(tensor.numpy(force=True))
    except (TypeError, RuntimeError) as error:  # NotImplementedError too, for a tensor without data
        told = str(error).partition("\n")[0].rstrip(".")
        raise Misfit(
            f"numpy cannot read the tensor ({told:.120}); give .to_dense(), .dequantize() or .float()"
        ) from None


def cast(values: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[Any]:
    """The array in a wanted dtype, itself if it has it. Raises `Misfit` at the first value that would change.

    Booleans, numbers, datetimes and texts stay what they are: none is made of another. Floats are
    never made integers, though they be whole.
    """
    have, want = values.dtype, wanted
    if have == want or want.kind == "O" or (have.kind == want.kind and want.kind in "USM"):
        return values
    if have.kind not in "iuf" or want.kind not in "iuf" or (have.kind == "f" and want.kind in "iu"):
        raise Misfit(f"{_named(have)}, not {_named(want)}", _first_odd(values))
    if np.can_cast(have, want) and not (have.kind in "iu" and have.itemsize == 8 and want.kind == "f"):
        return values.astype(want)
    return _narrowed(values, want)


def _narrowed(values: NDArray[Any], want: np.dtype[Any]) -> NDArray[Any]:
    with np.errstate(all="ignore"):
        made = values.astype(want)
        if want.kind in "iu":
            limits = np.iinfo(want)
            wrong = (values < limits.min) | (values > limits.max)
        elif values.dtype.kind in "iu":
            # The float just above the largest integer would come back as any integer at all.
            over = made >= float(np.iinfo(values.dtype).max)
            wrong = over | (np.where(over, 0, made).astype(values.dtype) != values)
        else:
            wrong = (made != values) & ~np.isnan(values)
    if wrong.any():
        index = _first(wrong)
        raise Misfit(f"{values[index]!s} has no exact {_named(want)}", index)
    return made


def exact_up_to(dtype: np.dtype[Any]) -> int:
    """The integer up to which floats of a dtype, and Python's, hold every one as it is."""
    return int(2 ** min(np.finfo(dtype).nmant + 1, 53))


def _named(dtype: np.dtype[Any]) -> str:
    known = type_of_dtype(dtype)
    return str(dtype.name if known is DataType.ANY else known)


def _first(where: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(where)), where.shape))


def _first_odd(values: NDArray[Any]) -> tuple[int, ...] | None:
    """Of floats that should be integers the first that is none, as that tells most; else the first value."""
    if not values.size:
        return None
    if values.dtype.kind == "f":
        odd = ~(np.isfinite(values) & (values == np.floor(values)))
        return _first(odd)
    return (0,) * values.ndim


# --- single values ----------------------------------------------------------------------------------


def fitted(value: Any, kind: Type) -> Any:
    """The value as one of that type. Raises `Misfit`, with the place inside it."""
    if isinstance(kind, Array):
        return _fitted_list(value, kind)
    if isinstance(kind, Object):
        return _fitted_object(value, kind)
    if isinstance(kind, Map):
        if isinstance(value, list) and all(isinstance(item, tuple) and len(item) == 2 for item in value):
            value = dict(value)  # Arrow's maps are lists of pairs
        if not isinstance(value, Mapping):
            raise Misfit(f"{_shown(value)}, not a map")
        return {str(key): _inside(item, kind.values, f".{key}") for key, item in value.items()}
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value[()]
    return _SCALARS[kind](value)


def _inside(value: Any, kind: Type, place: str) -> Any:
    """What is missing inside lists and maps stays so: signatures do not say whether it may be."""
    if is_missing(value):
        return value
    try:
        return fitted(value, kind)
    except Misfit as error:
        at = "" if error.problem.startswith("at ") else ": "
        raise Misfit(f"at {place}{at}{error.problem.removeprefix('at ')}") from None


def _fitted_list(value: Any, kind: Array) -> Any:
    if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind != "O":
        return _fitted_array(value, kind)
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise Misfit(f"{_shown(value)}, not an array")
    items = [_inside(item, kind.items, f"[{i}]") for i, item in enumerate(value)]
    return items if not isinstance(value, np.ndarray) else _object_array(items)


def _object_array(items: list[Any]) -> NDArray[Any]:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def _fitted_array(value: NDArray[Any], kind: Array) -> NDArray[Any]:
    inner: Type = kind
    for _ in range(value.ndim):
        if not isinstance(inner, Array):
            return value if inner is DataType.ANY else _refuse(value, inner)
        inner = inner.items
    if isinstance(inner, DataType) and inner in DTYPES:
        return cast(value, DTYPES[inner])
    fits = inner is DataType.ANY or inner is type_of_dtype(value.dtype)
    return value if fits else _refuse(value, inner)


def _fitted_object(value: Any, kind: Object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Misfit(f"{_shown(value)}, not an object")
    made = {}
    for p in kind.properties:
        if not is_missing(value.get(p.name)):
            made[p.name] = _inside(value[p.name], p.type, f".{p.name}")
        elif p.required:
            raise Misfit(f"at .{p.name}: it is missing")
        elif p.name in value:
            made[p.name] = value[p.name]
    return made


def _boolean(value: Any) -> Any:
    return bool(value) if isinstance(value, (bool, np.bool_)) else _refuse(value, DataType.BOOLEAN)


def _integer(kind: DataType) -> Callable[[Any], Any]:
    limits = np.iinfo(DTYPES[kind])

    def fit(value: Any) -> Any:
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            return _refuse(value, kind)
        if not limits.min <= int(value) <= limits.max:
            raise Misfit(f"{value!s:.60} has no exact {kind}")
        return int(value)

    return fit


def _double(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return float(value)
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        return _refuse(value, DataType.DOUBLE)
    try:
        exact = int(float(value)) == value
    except OverflowError:
        exact = False
    return float(value) if exact else _inexact(value, DataType.DOUBLE)


def _float(value: Any) -> Any:
    """Python has no floats of 32 bits, nor has JSON: they are rounded, which loses what nobody could say."""
    wide = _double(value) if not isinstance(value, (bool, str)) else _refuse(value, DataType.FLOAT)
    with np.errstate(over="ignore"):
        narrow = float(np.float32(wide))
    overflows = np.isinf(narrow) and not np.isinf(wide)
    if overflows or (not isinstance(value, (float, np.floating)) and narrow != wide):
        return _inexact(value, DataType.FLOAT)
    return narrow


def _string(value: Any) -> Any:
    return str(value) if isinstance(value, str) else _refuse(value, DataType.STRING)


def _binary(value: Any) -> Any:
    """Base64 too, as JSON has no bytes."""
    if isinstance(value, str):
        return _parsed(parsed_bytes, value)
    return bytes(value) if isinstance(value, (bytes, bytearray)) else _refuse(value, DataType.BINARY)


def _datetime(value: Any) -> Any:
    if isinstance(value, str):
        return _parsed(parsed_datetime, value)
    return value if isinstance(value, (date, np.datetime64)) else _refuse(value, DataType.DATETIME)


def _parsed(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise Misfit(str(error)) from None


def _any(value: Any) -> Any:
    return value


_SCALARS: Mapping[DataType, Callable[[Any], Any]] = {
    DataType.BOOLEAN: _boolean,
    DataType.INTEGER: _integer(DataType.INTEGER),
    DataType.LONG: _integer(DataType.LONG),
    DataType.FLOAT: _float,
    DataType.DOUBLE: _double,
    DataType.STRING: _string,
    DataType.BINARY: _binary,
    DataType.DATETIME: _datetime,
    DataType.ANY: _any,
}


def _refuse(value: Any, kind: Type) -> Any:
    raise Misfit(f"{_shown(value)}, not {kind}")


def _inexact(value: Any, kind: DataType) -> Any:
    raise Misfit(f"{value!s:.60} has no exact {kind}")


def _shown(value: Any) -> str:
    text = repr(value)
    text = text if len(text) <= 60 else text[:57] + "…"
    kind = type_of(value)
    return f"{text} is {type(value).__name__ if kind is DataType.ANY else kind}"
