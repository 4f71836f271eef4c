"""Signatures: what a model takes and gives, in MLflow's words and form, and data made to fit it.

Here is what tells and infers one. `enforcing.py` makes a caller's data fit and `examples.py` keeps an example
of it, for those who need that: a training process does not load them.
"""

from .codec import from_mlmodel, to_mlmodel
from .infer import infer, infer_schema
from .types import Array, Column, DataType, Map, Object, Param, Property, Schema, Signature, Tensor, Type

__all__ = [
    "Array",
    "Column",
    "DataType",
    "Map",
    "Object",
    "Param",
    "Property",
    "Schema",
    "Signature",
    "Tensor",
    "Type",
    "from_mlmodel",
    "infer",
    "infer_schema",
    "to_mlmodel",
]
