"""Columns as tables that models take, and cells of CSV as values."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from ..signatures import DataType, Schema


@cache
def has_pandas() -> bool:
    """Whether tables can be made as most models were trained with."""
    return importlib.util.find_spec("pandas") is not None


def table(columns: Mapping[Any, Sequence[Any]]) -> Any:
    """A DataFrame; the columns themselves where pandas is not installed."""
    if not has_pandas():
        return columns
    import pandas

    return pandas.DataFrame(columns)


def kinds_of(schema: Schema | None) -> Mapping[str, object]:
    """The types of columns, by their names."""
    return {str(column.name): column.type for column in (schema.columns if schema else ())}


def typed(cells: Sequence[str], kind: object) -> list[Any]:
    """A column of CSV: an empty cell is a missing value.

    kind: the column's type, where it is known. Else numbers or truth values, if all cells are such.
    """
    if kind is DataType.STRING:
        return [cell or None for cell in cells]
    if kind in _NUMBERS:  # the one that is none stays text, so that the signature's check names it
        return [_number(cell) if cell else None for cell in cells]
    for parse in (_integer, _float, _boolean):
        try:
            return [parse(cell) if cell else None for cell in cells]
        except ValueError:
            continue
    return [cell or None for cell in cells]


_NUMBERS = (DataType.INTEGER, DataType.LONG, DataType.FLOAT, DataType.DOUBLE)


def _number(cell: str) -> Any:
    for parse in (_integer, _float):
        try:
            return parse(cell)
        except ValueError:
            continue
    return cell


def _integer(cell: str) -> int:
    return int(_digits(cell))


def _float(cell: str) -> float:
    return float(_digits(cell))


def _digits(cell: str) -> str:
    """The cell. Raises ValueError for what Python alone takes for a number: 1_000, other scripts' digits."""
    if "_" in cell or not cell.isascii():
        raise ValueError(cell)
    return cell


def _boolean(cell: str) -> bool:
    if cell.lower() not in ("true", "false"):
        raise ValueError(cell)
    return cell.lower() == "true"
