"""Columns of whatever the data is: a table of pandas, polars or Arrow, or a dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import OptionError
from ..options import did_you_mean


def column(data: Any, name: Any, what: str) -> Any:
    """The values of a column; a name that is a number may be given as text. Raises `OptionError`."""
    known = _names(data)
    found = [one for one in known if one == name] or [one for one in known if str(one) == str(name)]
    if not found:
        near = did_you_mean(str(name), map(str, known))
        raise OptionError(f"{what}: the data has no column {name!r}{near}")
    if len(found) > 1:
        raise OptionError(f"{what}: the data has {len(found)} columns {name!r}")
    return data[found[0]]


def without(data: Any, name: str) -> Any:
    """The data without a column that it has."""
    if isinstance(data, Mapping):
        return {known: values for known, values in data.items() if known != name}
    return data.drop(columns=name) if hasattr(data, "iloc") else data.drop([name])


def _names(data: Any) -> list[Any]:
    for attribute in ("column_names", "columns"):  # the `columns` of Arrow are the values
        if hasattr(data, attribute):
            return list(getattr(data, attribute))
    return list(data) if isinstance(data, Mapping) else []
