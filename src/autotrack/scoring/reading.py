"""The rows of a file in batches: CSV, JSON Lines, Parquet, numpy's .npy."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OptionError
from ..signatures import Schema
from ..signatures.written import as_written, floats_hold
from .tables import has_pandas, kinds_of, stay_objects, table, typed
from .unlike import Twice, parsed_json


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as a model takes them. `read` is how far in the file they end, as `Source.total` counts."""

    data: Any
    rows: int
    read: int


@dataclass(frozen=True, slots=True)
class Source:
    """A file's rows; `total` are bytes or rows, whatever is known before it is read."""

    total: int
    batches: Iterator[Batch]


def source(path: Path, size: int, schema: Schema | None) -> Source:
    """The rows of a file, `size` in a batch. Raises `OptionError`, also while it is read."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise OptionError(f"{path} is no {', '.join(_READERS)} file: the input's form is known by its ending")
    try:
        found = reader(path, size, schema)
    except OSError as error:
        raise _unreadable(path, error) from None
    return Source(found.total, _read(path, found.batches))


def _read(path: Path, batches: Iterator[Batch]) -> Iterator[Batch]:
    try:
        yield from batches
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> OptionError:
    return OptionError(f"{path} cannot be read: {error.strerror or error}")


# --- CSV --------------------------------------------------------------------------------------------


def _csv(path: Path, size: int, schema: Schema | None) -> Source:
    file = path.open("rb")
    return Source(path.stat().st_size, _csv_batches(path, file, size, schema))


def _csv_batches(path: Path, file: io.BufferedReader, size: int, schema: Schema | None) -> Iterator[Batch]:
    with file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        try:
            lines = (line for line in csv.reader(text, strict=True) if line)
            names = next(lines, None)
            if names is None:
                raise OptionError(f"{path} has no line with the columns' names")
            if len(set(names)) < len(names):
                raise OptionError(f"{path} has two columns of one name: {', '.join(names)[:200]}")
            kinds, done = kinds_of(schema), 0
            while rows := list(islice(lines, size)):
                for i, row in enumerate(rows, done):
                    if len(row) != len(names):
                        raise OptionError(f"row {i} of {path} has {len(row)} values, not {len(names)}")
                done += len(rows)
                columns = zip(names, zip(*rows, strict=True), strict=True)
                data = {name: typed(cells, kinds.get(name)) for name, cells in columns}
                yield Batch(as_written(schema, table(data, schema)), len(rows), file.tell())
        except (UnicodeDecodeError, csv.Error) as error:
            raise OptionError(f"{path} is no CSV in UTF-8: {error}") from None


# --- JSON Lines -------------------------------------------------------------------------------------


def _jsonl(path: Path, size: int, schema: Schema | None) -> Source:
    file = path.open("rb")
    return Source(path.stat().st_size, _jsonl_batches(path, file, size, schema))


def _jsonl_batches(path: Path, file: io.BufferedReader, size: int, schema: Schema | None) -> Iterator[Batch]:
    with file:
        lines = ((i, line) for i, line in enumerate(file, 1) if line.strip())
        while some := list(islice(lines, size)):
            rows = [_record(path, number, line) for number, line in some]
            names = dict.fromkeys(name for row in rows for name in row)
            data = {name: [row.get(name) for row in rows] for name in names}
            yield Batch(as_written(schema, _table(path, data, len(rows), schema)), len(rows), file.tell())


def _table(path: Path, columns: Mapping[str, Any], rows: int, schema: Schema | None) -> Any:
    if not columns:
        raise OptionError(f"{path} has {rows} rows without any column")
    try:
        return table(columns, schema)
    except UnicodeEncodeError:  # JSON has \ud800, which no text has
        raise OptionError(f"{path} has a text with half a character, which is no Unicode") from None


def _record(path: Path, number: int, line: bytes) -> Mapping[str, Any]:
    try:
        row = parsed_json(line)
    except Twice as error:
        raise OptionError(f"line {number} of {path} is unclear: {error}") from None
    except (ValueError, RecursionError) as error:
        raise OptionError(f"line {number} of {path} is no JSON: {str(error)[:200]}") from None
    if not isinstance(row, dict):
        raise OptionError(f"line {number} of {path} is no JSON object")
    return row


# --- Parquet and numpy ------------------------------------------------------------------------------


def _parquet(path: Path, size: int, schema: Schema | None) -> Source:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise OptionError(f"pyarrow is needed to read {path}: pip install pyarrow") from None
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise OptionError(f"{path} is no Parquet file: {error}") from None
    return Source(file.metadata.num_rows, _parquet_batches(path, file, size, schema))


def _parquet_batches(path: Path, file: Any, size: int, schema: Schema | None) -> Iterator[Batch]:
    done = 0
    with file:
        batches = file.iter_batches(size)
        while True:
            try:
                batch = next(batches, None)
                data = _frame(batch, schema) if batch is not None and has_pandas() else batch
            except OSError:
                raise
            except Exception as error:  # pandas' own part of the file, if damaged, fails in many ways
                raise OptionError(f"{path} is damaged: {type(error).__name__}: {error}") from error
            if batch is None:
                return
            done += batch.num_rows
            yield Batch(data, batch.num_rows, done)


def _frame(batch: Any, schema: Schema | None) -> Any:
    """In pandas, which makes floats of integers with nulls among them; those that these do not hold stay."""
    import pandas
    import pyarrow

    data = batch.to_pandas()
    floats = {name for name, dtype in data.dtypes.items() if dtype == np.float64}
    names = batch.schema.names
    for name, column, largest in zip(names, batch.columns, floats_hold(schema, names), strict=True):
        if name in floats and pyarrow.types.is_integer(column.type) and names.count(name) == 1:
            values = column.to_pylist() if column.null_count else ()
            if stay_objects(values, largest):
                data[name] = pandas.Series(values, data.index, object)
    return data


def _npy(path: Path, size: int, schema: Schema | None) -> Source:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # its head is a line of Python, which fails in many ways
        raise OptionError(f"{path} is no array of numbers or texts: {error}") from error
    if not isinstance(array, np.ndarray) or not array.ndim:
        raise OptionError(f"{path} is no array with rows")
    return Source(len(array), _npy_batches(array, size))


def _npy_batches(array: np.ndarray[Any, Any], size: int) -> Iterator[Batch]:
    for start in range(0, len(array), size):
        part = np.array(array[start : start + size])
        yield Batch(part, len(part), start + len(part))


_READERS: Mapping[str, Callable[[Path, int, Schema | None], Source]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".npy": _npy,
    ".parquet": _parquet,
}
