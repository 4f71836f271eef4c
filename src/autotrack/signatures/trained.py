"""The signature of what a library's own training call was given, where it has one."""

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
        return Signature(infer_schema(_as_array(inputs)))
    except SchemaError:
        return Signature()


def _are_dicts(inputs: Any) -> bool:
    """Whether a model takes dicts by themselves: a table of what they hold would be another thing to it."""
    return isinstance(inputs, (list, tuple)) and all(isinstance(row, Mapping) for row in spread(inputs))


def _as_array(inputs: Any) -> Any:
    """Some of the lists of numbers, if all are of one length, as numpy's array of them; else the data."""
    if not isinstance(inputs, (list, tuple)) or not inputs:
        return inputs
    try:
        array = np.asarray(spread(inputs))
    except ValueError:  # of several lengths
        return inputs
    return array if array.ndim > 1 and array.dtype.kind in "biuf" else inputs
