"""Columns as tables that models take, and cells of CSV as values."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from ..signatures import DataType, Schema
from ..signatures.written import floats_hold


@cache
def has_pandas() -> bool:
    """Whether tables can be made as most models were trained with."""
    return importlib.util.find_spec("pandas") is not None


def table(columns: Mapping[Any, Sequence[Any]], schema: Schema | None) -> Any:
    """A DataFrame; the columns themselves where pandas is not installed."""
    if not has_pandas():
        return columns
    import pandas

    largest = floats_hold(schema, list(columns))
    made = {
        name: pandas.Series(values, dtype=object) if stay_objects(values, most) else values
        for (name, values), most in zip(columns.items(), largest, strict=True)
    }
    return pandas.DataFrame(made)


def stay_objects(values: Sequence[Any], largest: int) -> bool:
    """Whether integers among floats, or beside what is missing, are too large to be made floats.

    pandas would make them such; of Python's own numbers the signature's check sees each as it is.
    """
    kinds = set(map(type, values))
    return (
        int in kinds
        and len(kinds) > 1
        and kinds <= _MADE_FLOATS
        and any(type(value) is int and abs(value) > largest for value in values)
    )


def kinds_of(schema: Schema | None) -> Mapping[str, object]:
    """The types of columns, by their names."""
    return {str(column.name): column.type for column in (schema.columns if schema else ())}


def typed(cells: Sequence[str], kind: object) -> list[Any]:
    """A column of CSV: an empty cell is a missing value.

    kind: the column's type, where it is known. Else numbers or truth values, if all cells are such.
    """
    if kind in _TEXTS:
        return [cell or None for cell in cells]
    if kind in _NUMBERS:  # the one that is none stays text, so that the signature's check names it
        return [_number_or_text(cell) if cell else None for cell in cells]
    for parse in (_integer, _number, _boolean):
        try:
            return [parse(cell) if cell else None for cell in cells]
        except ValueError:
            continue
    return [cell or None for cell in cells]


_MADE_FLOATS = {int, float, type(None)}
_NUMBERS = (DataType.INTEGER, DataType.LONG, DataType.FLOAT, DataType.DOUBLE)
_TEXTS = (DataType.STRING, DataType.DATETIME, DataType.BINARY)
"""As CSV has them: 20200101 may be a date."""


def _number_or_text(cell: str) -> Any:
    try:
        return _number(cell)
    except ValueError:
        return cell


def _integer(cell: str) -> int:
    return int(_digits(cell))


def _number(cell: str) -> float:
    """An integer, where it is written as one: it may be none that floats hold."""
    is_integer = cell.strip().lstrip("+-").isdigit()
    return _integer(cell) if is_integer else float(_digits(cell))


def _digits(cell: str) -> str:
    """The cell. Raises ValueError for what Python alone takes for a number: 1_000, other scripts' digits."""
    if "_" in cell or not cell.isascii():
        raise ValueError(cell)
    return cell


def _boolean(cell: str) -> bool:
    if cell.lower() not in ("true", "false"):
        raise ValueError(cell)
    return cell.lower() == "true"
