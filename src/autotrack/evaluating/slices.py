"""Parts of the rows that are measured on their own: where a model is worse than it is on the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError
from .columns import column

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_VALUES = 50
"""Values of a column that make a slice each."""


def masks(slices: Mapping[str, Any] | Sequence[str], data: Any, rows: int) -> dict[str, NDArray[np.bool_]]:
    """Which rows are in each slice, by its name.

    slices: names of columns of `data`, or values for each row by a name of your own; each of them is
    a slice ``column=value``, and bools are the one slice of that name. Raises `OptionError`.
    """
    if isinstance(slices, str):
        slices = [slices]
    if not isinstance(slices, Mapping | Sequence):
        raise OptionError(f"slices: give names of columns or values by a name, no {type(slices).__name__}")
    if not isinstance(slices, Mapping):
        slices = {name: column(data, name, "slices") for name in slices}
    found: dict[str, NDArray[np.bool_]] = {}
    given: dict[str, Any] = {}
    for name, values in slices.items():
        for label, mask in _masks(str(name), np.asarray(values), rows).items():
            if label in found:
                raise OptionError(
                    f"slices: {given[label]!r} and {name!r} both make a slice {label!r}; name one otherwise"
                )
            found[label], given[label] = mask, name
    return found


def _masks(name: str, values: NDArray[Any], rows: int) -> dict[str, NDArray[np.bool_]]:
    if values.shape != (rows,):
        raise OptionError(f"slice {name!r}: give {rows} values, one for each row, not {values.shape}")
    if values.dtype == np.bool_:
        return {name: values}
    if values.dtype == np.dtype("M8[ns]"):
        values = values.astype("M8[us]")  # of nanoseconds numpy makes plain numbers
    labels = np.array([str(value) for value in values.tolist()], object)  # NaN is not equal to itself
    found = sorted(set(labels))
    if len(found) > MOST_VALUES:
        raise OptionError(
            f"slice {name!r}: it has {len(found)} values, more than {MOST_VALUES}; give bools or groups"
        )
    return {f"{name}={label}": labels == label for label in found}
