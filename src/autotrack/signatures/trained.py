"""What a library's own model makes of data that it is given, and the signature of that, where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import SchemaError
from .infer import infer_schema
from .types import Signature
from .values import spread


def signature_of(inputs: Any) -> Signature:
    """With these inputs, or with none where they have no signature: nobody was asked for it."""
    if inputs is None or _are_dicts(inputs):
        return Signature()
    try:
        return Signature(infer_schema(as_array(inputs)))
    except SchemaError:
        return Signature()


def _are_dicts(inputs: Any) -> bool:
    """Whether a model takes dicts by themselves: a table of what they hold would be another thing to it."""
    return isinstance(inputs, (list, tuple)) and all(isinstance(row, Mapping) for row in spread(inputs))


def as_array(inputs: Any) -> Any:
    """Some of the lists, if all are of one length and of numbers, or of these and texts, as numpy's array;
    else the data: lists of nothing but texts may be words of a text each."""
    if not isinstance(inputs, (list, tuple)) or not inputs:
        return inputs
    rows = spread(inputs)
    try:
        array = np.asarray(rows)
    except ValueError:  # of several lengths
        return inputs
    if array.ndim > 1 and array.dtype.kind in "biuf":
        return array
    kinds = {type(value) for row in rows if isinstance(row, (list, tuple)) for value in row}
    is_mixed = array.ndim == 2 and len(kinds) > 1 and kinds <= {str, int, float, bool, type(None)}
    return np.array(rows, object) if is_mixed else inputs
