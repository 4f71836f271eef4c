"""What a model gets of what its caller gives: the columns or tensors of its signature, or an error.

Nothing is changed that would lose something: texts stay texts, floats do not become integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import SchemaError
from ..options import did_you_mean
from .arrays import enforce_tensors
from .casting import Misfit, fitted
from .columns import enforce_columns
from .types import Array, Param, Schema, Signature, Type
from .values import is_missing


def enforce(schema: Schema, data: Any) -> Any:
    """The data as the schema wants it.

    Of columns a pandas DataFrame, or where pandas is not installed a 2-D numpy array; in the schema's order,
    without others, and with what is missing for a column that is not required and not there. Of a series
    that one column by itself. What is missing is told as the training told it.
    Of tensors a numpy array (or what is sparse, as it is), of named ones a dict of them. `data` may
    be a table of pandas, polars or Arrow, an array, a dict of columns or of one row, or a list of rows.
    Columns and tensors without names are taken by position. Raises `SchemaError`, which names the
    column and the first row that does not fit.
    """
    return enforce_tensors(schema, data) if schema.is_tensors else enforce_columns(schema, data)


def enforce_params(signature: Signature, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Every parameter's value: the given one, made one of its type, or its default. Raises `SchemaError`."""
    known = {p.name: p for p in signature.params}
    given = given or {}
    for name in given:
        if name not in known:
            raise SchemaError(f"unknown parameter {name!r}{did_you_mean(str(name), known)}", name)
    return {name: _param(p, given[name]) if name in given else p.default for name, p in known.items()}


def _param(param: Param, value: Any) -> Any:
    if is_missing(value) and param.default is None:
        return None
    kind: Type = param.type
    for _ in param.shape or ():
        kind = Array(kind)
    try:
        made = fitted(value, kind)
        _check_lengths(made, param.shape or ())
    except Misfit as error:
        raise SchemaError(f"parameter {param.name!r}: {error.problem}", param.name) from None
    return made


def _check_lengths(value: Any, shape: tuple[int, ...]) -> None:
    if shape and shape[0] not in (-1, len(value)):
        raise Misfit(f"{len(value)} values, not {shape[0]}")
    for item in value if len(shape) > 1 else ():
        _check_lengths(item, shape[1:])
