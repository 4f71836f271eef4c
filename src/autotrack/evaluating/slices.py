"""Parts of the rows that are measured on their own: where a model is worse than it is on the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError
from ..options import did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_VALUES = 50
"""Values of a column that make a slice each."""


def masks(slices: Mapping[str, Any] | Sequence[str], data: Any, rows: int) -> dict[str, NDArray[np.bool_]]:
    """Which rows are in each slice, by its name.

    slices: names of columns of `data`, each value of which is a slice ``column=value``; or arrays of
    bools by a name of your own. Raises `OptionError`.
    """
    if isinstance(slices, str):
        slices = [slices]
    if isinstance(slices, Mapping):
        return {str(name): _mask(str(name), mask, rows) for name, mask in slices.items()}
    return {name: mask for column in slices for name, mask in _of_column(column, data).items()}


def _mask(name: str, mask: Any, rows: int) -> NDArray[np.bool_]:
    array = np.asarray(mask)
    if array.shape != (rows,) or array.dtype != np.bool_:
        raise OptionError(
            f"slice {name!r}: give {rows} bools, one for each row, not {array.dtype} {array.shape}"
        )
    return array


def _of_column(column: str, data: Any) -> dict[str, NDArray[np.bool_]]:
    columns = [str(known) for known in getattr(data, "columns", data if isinstance(data, Mapping) else ())]
    if column not in columns:
        raise OptionError(f"slice {column!r}: the data has no such column{did_you_mean(column, columns)}")
    values = np.asarray(data[column])
    found = list(dict.fromkeys(values.tolist()))
    if len(found) > MOST_VALUES:
        raise OptionError(
            f"slice {column!r}: it has {len(found)} values, more than {MOST_VALUES}; "
            "give arrays of bools by names of your own"
        )
    return {f"{column}={value}": values == value for value in sorted(found, key=str)}
