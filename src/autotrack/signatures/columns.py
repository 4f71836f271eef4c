"""Tables made to fit a schema's columns."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemaError
from ..options import did_you_mean
from .casting import DTYPES, Misfit, cast, fitted
from .libraries import as_texts, library_of, pandas_type
from .tables import Cells, Table, cells_of, missing_among, table_of
from .types import MISSING, Column, DataType, Schema
from .values import is_half

_MAY_MISS = (
    DataType.FLOAT,
    DataType.DOUBLE,
    DataType.STRING,
    DataType.BINARY,
    DataType.DATETIME,
    DataType.ANY,
)
"""Columns of these types have NaN, None or NaT in them even if they are required: required means there."""

_MOST_NAMES = 10
"""Of the columns that there are, so many are named in an error."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A column of its schema's type: a numpy array or, if it is one as it came, a pandas Series.

    Where `missing` is true the value means nothing.
    """

    values: Any
    missing: NDArray[np.bool_] | None = None
    categories: Sequence[Any] | None = None


def enforce_columns(schema: Schema, data: Any) -> Any:
    """A pandas DataFrame or Series, or a numpy array where pandas is not installed; see `enforce`."""
    made = _table(schema, data)
    if not schema.is_series:
        return made
    return made[:, 0] if isinstance(made, np.ndarray) else made.iloc[:, 0].rename(schema.columns[0].name)


def _table(schema: Schema, data: Any) -> Any:
    already = _picked(schema, data)
    if already is not None:
        return already
    table = table_of(data, schema)
    columns = []
    for i, (column, place) in enumerate(zip(schema.columns, _places(schema, table), strict=True)):
        if place is None:
            columns.append(_absent(column, table.length))
        else:
            columns.append(_checked(column, i, table.column(place)))
    try:
        import pandas
    except ImportError:
        return _matrix(schema, columns)
    try:
        return _frame(pandas, schema, table, columns)
    except UnicodeEncodeError:  # its texts are Arrow's, which are UTF-8
        _refuse_half_characters(schema, columns)
        raise


def _picked(schema: Schema, data: Any) -> Any:
    """Of a DataFrame that has the columns in numpy's dtypes just these: there is nothing to look at."""
    if library_of(data) != "pandas" or not isinstance(data, sys.modules["pandas"].DataFrame):
        return None
    names, columns = list(schema.names), data.columns.tolist()
    have = dict(zip(columns, data.dtypes.tolist(), strict=True))
    if not names or len(have) < len(columns) or bool in map(type, columns):  # True is 1 in a dict
        return None
    for column in schema.columns:
        want = DTYPES.get(column.type) if isinstance(column.type, DataType) else None
        if want is None or column.missing or column.name not in have or have[column.name] != want:
            return None
    return data if names == columns else data.loc[:, names]


# --- which column is which --------------------------------------------------------------------------


def _places(schema: Schema, table: Table) -> Sequence[int | None]:
    """Where each of the schema's columns is in the table; None: it is not there, and need not be."""
    if table.names is None or not schema.names:
        if table.width != len(schema):
            raise SchemaError(
                f"the model takes {len(schema)} columns, {schema!s:.200}; there are {table.width}"
            )
        return range(len(schema))
    places: dict[str | int, int] = {str(name): i for i, name in enumerate(table.names)}
    places |= {name: i for i, name in enumerate(table.names)}
    found = [places.get(name, places.get(str(name))) for name in schema.names]
    absent = [c.name for c, place in zip(schema.columns, found, strict=True) if place is None and c.required]
    if absent:
        raise _missing(absent, table.names)
    _no_wanted_twice(schema, table.names)
    return found


def _missing(absent: Sequence[str | int | None], names: Sequence[str | int]) -> SchemaError:
    listed = ", ".join(map(repr, absent[:_MOST_NAMES])) + (", …" if len(absent) > _MOST_NAMES else "")
    what = f"column {listed} is" if len(absent) == 1 else f"columns {listed} are"
    near = did_you_mean(str(absent[0]), map(str, names[:1000]))
    there = f"there are {len(names)}: {', '.join(map(repr, names[:_MOST_NAMES]))}"
    there += ", …" if len(names) > _MOST_NAMES else ""
    hint = f"{near} {there}" if "did you mean" in near else f"; {there}" if names else "; there are none"
    return SchemaError(f"{what} missing{hint}", absent[0])


def _no_wanted_twice(schema: Schema, names: Sequence[str | int]) -> None:
    wanted = set(schema.names)
    times = Counter(name for name in names if name in wanted)
    twice = next((name for name, so_often in times.items() if so_often > 1), None)
    if twice is not None:
        raise SchemaError(f"column {twice!r} is there twice", twice)


# --- one column -------------------------------------------------------------------------------------


def _absent(column: Column, length: int) -> Fitted:
    everywhere = np.ones(length, bool)
    if isinstance(column.type, DataType) and column.type in DTYPES:
        return _numbers(column.type, np.zeros(length, DTYPES[column.type]), everywhere)
    if column.type is DataType.DATETIME:
        return Fitted(np.full(length, "NaT", "datetime64[us]"))
    return Fitted(np.full(length, None, object))


def _checked(column: Column, position: int, data: Any) -> Fitted:
    shown = f"column {position if column.name is None else column.name!r}"
    at = position if column.name is None else column.name
    try:
        made = _fit(column, cells_of(data))
    except Misfit as error:
        row = f", row {error.index[0]}" if error.index else ""
        colon = "" if error.problem.startswith("at ") else ":"
        raise SchemaError(f"{shown}{row}{colon} {error.problem}", at) from None
    except (ValueError, TypeError, OverflowError) as error:  # of the data's own library
        raise SchemaError(f"{shown}: no {column.type}: {error}", at) from error
    return made


def _fit(column: Column, cells: Cells) -> Fitted:
    kind = column.type
    if cells.native is not None and _keeps(cells.native.dtype, kind):
        made = Fitted(cells.native, cells.missing)
    elif isinstance(kind, DataType) and kind in DTYPES:
        made = _fit_numbers(column, kind, cells)
    elif kind is DataType.STRING:
        made = _fit_texts(cells)
    elif kind is DataType.DATETIME:
        made = _fit_datetimes(cells)
    elif kind is DataType.ANY:
        made = Fitted(cells.values if cells.native is None else cells.native, cells.missing, cells.categories)
    else:
        made = Fitted(_each(column, cells.values))
    _check_missing(column, made)
    return made


def _keeps(dtype: Any, kind: Any) -> bool:
    """Whether a pandas Series stays as it is: categories, datetimes and texts of pandas' own dtypes do."""
    categories = getattr(dtype, "categories", None)
    if categories is not None and not hasattr(dtype, "subtype"):
        if categories.dtype == object and kind is DataType.STRING:
            return all(isinstance(c, str) for c in categories)
        return bool(pandas_type(categories.dtype) == kind)
    is_own = not isinstance(dtype, np.dtype) or dtype.kind == "M"
    return is_own and kind in (DataType.STRING, DataType.DATETIME) and pandas_type(dtype) == kind


def _check_missing(column: Column, made: Fitted) -> None:
    if not column.required or column.type in _MAY_MISS:
        return
    missing = _missing_in(made)
    if missing is not None and missing.any():
        raise Misfit("a value is missing, and the model wants one in each row", (int(np.argmax(missing)),))


def _missing_in(made: Fitted) -> NDArray[np.bool_] | None:
    if made.missing is not None or not isinstance(made.values, np.ndarray):
        return made.missing if made.missing is not None else np.asarray(made.values.isna())
    return missing_among(made.values) if made.values.dtype.kind == "O" else None


def _fit_numbers(column: Column, kind: DataType, cells: Cells) -> Fitted:
    values, missing = cells.values, cells.missing
    if values.dtype.kind == "O":
        missing = missing_among(values)
        present = values[~missing]
        made = np.zeros(len(values), DTYPES[kind])
        made[~missing] = _numbers_of_objects(column, kind, present, np.flatnonzero(~missing))
        return _numbers(kind, made, missing)
    if values.dtype.kind == "f" and kind not in (DataType.FLOAT, DataType.DOUBLE):
        _refuse_nan(values, kind)
    return _numbers(kind, cast(values, DTYPES[kind]), missing)


def _numbers(kind: DataType, values: NDArray[Any], missing: NDArray[np.bool_] | None) -> Fitted:
    if missing is None or not missing.any():
        return Fitted(values)
    if kind in (DataType.FLOAT, DataType.DOUBLE):
        return Fitted(np.where(missing, values.dtype.type(np.nan), values))
    return Fitted(values, missing)


def _refuse_nan(values: NDArray[Any], kind: DataType) -> None:
    nan = np.isnan(values)
    if nan.any():
        problem = f"NaN, not {kind}; integers with missing values are floats in numpy, give pandas' Int64"
        raise Misfit(problem, (int(np.argmax(nan)),))


_PYTHON: Mapping[DataType, set[type]] = {
    DataType.BOOLEAN: {bool},
    DataType.INTEGER: {int},
    DataType.LONG: {int},
    DataType.DOUBLE: {float},
}


def _numbers_of_objects(
    column: Column, kind: DataType, values: NDArray[Any], rows: NDArray[np.intp]
) -> NDArray[Any]:
    if set(map(type, values)) <= _PYTHON.get(kind, set()):
        try:
            return values.astype(DTYPES[kind])  # at once, where each surely fits
        except OverflowError:
            pass  # which of them does not, the loop tells
    return _each(column, values, rows).astype(DTYPES[kind])


def _each(column: Column, values: NDArray[Any], rows: NDArray[np.intp] | None = None) -> NDArray[Any]:
    """Every value fitted, one by one; `rows` are their places in the whole column."""
    made = np.empty(len(values), object)
    missing = missing_among(values) if values.dtype.kind == "O" else np.zeros(len(values), bool)
    for i, value in enumerate(values):
        try:
            made[i] = None if missing[i] else fitted(value, column.type)
        except Misfit as error:
            raise Misfit(error.problem, (i if rows is None else int(rows[i]),)) from None
    return made


_TEXT = Column(None, DataType.STRING)
_TIME = Column(None, DataType.DATETIME)


def _fit_texts(cells: Cells) -> Fitted:
    values = cells.values
    if values.dtype.kind == "U":
        return Fitted(values)
    if values.dtype.kind != "O":
        raise Misfit(_not_a(values, DataType.STRING), (0,) if len(values) else None)
    kinds = set(map(type, values))
    if not kinds <= {str, type(None)}:
        _refuse_times(values)
        values = _each(_TEXT, values)
    # Of a column of nothing but NaT pandas would make one of datetimes.
    keeps = cells.native is not None and not any(kind.__name__ == "NaTType" for kind in kinds)
    return Fitted(cells.native if keeps else values, None, cells.categories)


def _refuse_times(values: NDArray[Any]) -> None:
    """Of numpy, which are missing as NaT: then too they are no texts."""
    for row, value in enumerate(values):
        if isinstance(value, (np.datetime64, np.timedelta64)):
            raise Misfit(f"{value!r} is {value.dtype.name}, not {DataType.STRING}", (row,))


def _fit_datetimes(cells: Cells) -> Fitted:
    values = cells.values
    if values.dtype.kind == "M":
        return Fitted(values if cells.native is None else cells.native)
    if values.dtype.kind not in "OU":
        raise Misfit(_not_a(values, DataType.DATETIME), (0,) if len(values) else None)
    return Fitted(_each(_TIME, values))


def _not_a(values: NDArray[Any], kind: DataType) -> str:
    return f"{values.dtype.name}, not {kind}"


# --- together ---------------------------------------------------------------------------------------


def _frame(pandas: Any, schema: Schema, table: Table, columns: Sequence[Fitted]) -> Any:
    labels = list(schema.names or (range(len(schema)) if table.names is None else table.names))
    dtypes = {c.values.dtype if isinstance(c.values, np.ndarray) else None for c in columns}
    is_plain = all(c.missing is None for c in columns) and not any(c.missing for c in schema.columns)
    if len(dtypes) == 1 and dtypes <= set(DTYPES.values()) and is_plain:
        # One block of memory is made ten times as fast as a column at a time.
        return pandas.DataFrame(np.column_stack([c.values for c in columns]), table.index, labels)
    fields = zip(schema.columns, columns, strict=True)
    made = [_series(pandas, field, column, table) for field, column in fields]
    frame = pandas.DataFrame(dict(enumerate(made)), index=table.index, copy=False)
    frame.columns = labels
    return frame


def _refuse_half_characters(schema: Schema, columns: Sequence[Fitted]) -> None:
    """Raise `SchemaError` for the first one."""
    for i, (field, column) in enumerate(zip(schema.columns, columns, strict=True)):
        at = i if field.name is None else field.name
        for row, value in enumerate(column.values):
            if is_half(value):
                raise SchemaError(f"column {at!r}, row {row}: half a character: {value!r:.60}", at)


def _series(pandas: Any, field: Column, column: Fitted, table: Table) -> Any:
    made = _usual(pandas, field, column, table)
    if not field.missing or field.type is DataType.DATETIME:
        return made
    objects = pandas.Series(made, index=table.index).astype(object)
    return objects.where(objects.notna(), MISSING[field.missing])


def _usual(pandas: Any, field: Column, column: Fitted, table: Table) -> Any:
    """As pandas has such values where nobody says otherwise."""
    values, kind = column.values, field.type
    if not isinstance(values, np.ndarray):
        return values.array  # by position: Series in a dict may have indices of their own
    if column.categories is not None:
        return pandas.Categorical(values, categories=column.categories)
    if column.missing is not None and kind in DTYPES:
        masked = pandas.arrays.BooleanArray if kind is DataType.BOOLEAN else pandas.arrays.IntegerArray
        return masked(values, column.missing)
    series = pandas.Series(values, index=table.index)
    if kind is DataType.STRING:
        return as_texts(values, table.index)
    return (
        _datetimes(pandas, field, series)
        if kind is DataType.DATETIME and values.dtype.kind == "O"
        else series
    )


def _datetimes(pandas: Any, field: Column, series: Any) -> Any:
    """Of Python's datetimes; pandas has no column for some with and some without a time zone."""
    try:
        return pandas.to_datetime(series)
    except (ValueError, TypeError, OverflowError) as error:
        raise SchemaError(f"column {field.name!r}: no datetimes of one kind: {error}", field.name) from None


def _matrix(schema: Schema, columns: Sequence[Fitted]) -> NDArray[Any]:
    """Numbers alone: without pandas there is nothing that holds texts beside them."""
    other = next((c for c in schema.columns if c.type not in DTYPES), None)
    if other is not None:
        raise SchemaError(
            f"column {other.name!r} is {other.type}: install pandas for columns that are no numbers"
        )
    masked = [
        _numbers(DataType.DOUBLE, _floats(c), c.missing) if c.missing is not None else c for c in columns
    ]
    wanted = np.result_type(*(c.values.dtype for c in masked))
    return np.column_stack(
        [cast(c.values, wanted) if c.values.dtype.kind != "b" else c.values for c in masked]
    )


def _floats(column: Fitted) -> NDArray[Any]:
    return np.asarray(column.values, float)
