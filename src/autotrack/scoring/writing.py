"""Predictions as the rows of a file, which is there whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError, OptionError
from .plain import as_plain
from .results import Columns


class Sink(ABC):
    """Writes columns below each other."""

    @abstractmethod
    def __init__(self, path: Path) -> None:
        """The file is made anew. Raises OSError."""

    @abstractmethod
    def write(self, columns: Columns) -> None:
        """The next rows. Raises `ModelError` where they do not fit those before."""

    @abstractmethod
    def close(self) -> None:
        """All are written."""


@contextmanager
def sink(path: Path) -> Iterator[Sink]:
    """What becomes the file at `path` once the block is left without an error. Raises `OptionError`."""
    kind = _SINKS.get(path.suffix.lower())
    if kind is None:
        raise OptionError(f"{path} is no {', '.join(_SINKS)} file: the output's form is known by its ending")
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        opened = kind(hidden)
        try:
            yield opened
        finally:
            opened.close()
        with hidden.open("rb") as file:
            os.fsync(file.fileno())
        hidden.replace(path)
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):  # where nothing can be written there is nothing to take away
            hidden.unlink(missing_ok=True)


class _Text(Sink):
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._names: list[str] | None = None

    def write(self, columns: Columns) -> None:
        if self._names is None:
            self._names = list(columns)
            self.begin(self._names)
        _check(self._names, columns)
        try:
            self.rows(zip(*(as_plain(column) for column in columns.values()), strict=True))
        except TypeError as error:
            raise ModelError(f"the predictions cannot be written: {error}") from None
        except UnicodeEncodeError as error:
            raise ModelError(f"the predictions cannot be written, a text is none: {error}") from None

    def close(self) -> None:
        self._file.close()

    def begin(self, names: list[str]) -> None:
        """Before the first rows."""

    @abstractmethod
    def rows(self, rows: Any) -> None:
        """Tuples of JSON's types."""


class _Csv(_Text):
    def begin(self, names: list[str]) -> None:
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(names)

    def rows(self, rows: Any) -> None:
        self._writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


class _Jsonl(_Text):
    def rows(self, rows: Any) -> None:
        assert self._names is not None
        for row in rows:
            told = dict(zip(self._names, row, strict=True))
            self._file.write(json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n")


class _Parquet(Sink):
    """Its types are those of the first rows."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise OptionError("pyarrow is needed to write Parquet: pip install pyarrow") from None
        self._arrow = pyarrow
        self._path = path
        self._writer: Any = None

    def write(self, columns: Columns) -> None:
        arrays = {name: _for_arrow(column) for name, column in columns.items()}
        try:
            if self._writer is None:
                made = self._arrow.table(arrays)
                self._writer = self._arrow.parquet.ParquetWriter(self._path, made.schema)
            else:
                _check(self._writer.schema.names, columns)
                made = self._arrow.table(arrays).cast(self._writer.schema)
        except (self._arrow.ArrowException, OverflowError, UnicodeEncodeError) as error:
            raise ModelError(f"the predictions are no columns of one type: {error}") from None
        self._writer.write_table(made)

    def close(self) -> None:
        if self._writer is None:  # of no rows
            self._arrow.parquet.write_table(self._arrow.table({}), self._path)
        else:
            self._writer.close()


def _for_arrow(column: Any) -> Any:
    several = isinstance(column, np.ndarray) and column.ndim > 1
    return list(column.tolist()) if several else column


def _check(names: list[str], columns: Columns) -> None:
    if list(columns) != names:
        raise ModelError(f"the model gave {', '.join(names)} at first, then {', '.join(columns)}")


_SINKS: Mapping[str, type[Sink]] = {".csv": _Csv, ".jsonl": _Jsonl, ".parquet": _Parquet}
