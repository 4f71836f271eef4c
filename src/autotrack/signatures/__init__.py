"""Signatures: what a model takes and gives, in MLflow's words and form, and data made to fit it."""

from ..errors import SchemaError
from .codec import from_mlmodel, to_mlmodel
from .enforce import enforce, enforce_params
from .examples import Example, example_of, read_example
from .infer import infer, infer_schema
from .types import Array, Column, DataType, Map, Object, Param, Property, Schema, Signature, Tensor, Type

__all__ = [
    "Array",
    "Column",
    "DataType",
    "Example",
    "Map",
    "Object",
    "Param",
    "Property",
    "Schema",
    "SchemaError",
    "Signature",
    "Tensor",
    "Type",
    "enforce",
    "enforce_params",
    "example_of",
    "from_mlmodel",
    "infer",
    "infer_schema",
    "read_example",
    "to_mlmodel",
]
