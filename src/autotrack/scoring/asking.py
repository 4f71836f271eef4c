"""A model asked about a file's rows, batch after batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import AutotrackError, ModelError, OptionError
from ..predictor import Predictor
from .reading import Batch, source
from .results import columns_of, no_rows
from .writing import sink

BATCH = 10_000
"""Rows that are asked about at once."""


def score(
    predictor: Predictor,
    given: Path,
    output: Path,
    *,
    batch: int = BATCH,
    params: Mapping[str, Any] | None = None,
    advanced: Callable[[int, int], None] = lambda read, total: None,
) -> int:
    """Write a prediction for each row of a file, in their order; how many.

    batch: rows that are in memory at once. advanced: told how much of how much is done.

    Raises `OptionError` for files that cannot be read or written, `ModelError` where the model fails;
    `output` is then what it was.
    """
    if output.exists() and given.exists() and output.samefile(given):
        raise OptionError(f"{output} is the input: name another output")
    schema = predictor.signature.inputs if predictor.signature else None
    rows = source(given, batch, schema)
    done = 0
    with sink(output) as file:
        for part in rows.batches:
            file.write(columns_of(_asked(predictor, part, params, done), part.rows))
            done += part.rows
            advanced(part.read, rows.total)
        outputs = predictor.signature.outputs if predictor.signature else None
        if not done and (columns := no_rows(outputs)):
            file.write(columns)
    return done


def _asked(predictor: Predictor, part: Batch, params: Mapping[str, Any] | None, before: int) -> Any:
    try:
        return predictor.predict(part.data, params)
    except AutotrackError as error:
        raise ModelError(_told(before, part, str(error))) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() in a model must not end the command as if all were well
        raise ModelError(_told(before, part, f"{type(error).__name__}: {error}")) from error


def _told(before: int, part: Batch, problem: str) -> str:
    """Rows in errors are counted from where the batch begins."""
    return f"in the batch of {part.rows:,} rows that begins at row {before:,}: {problem}"
