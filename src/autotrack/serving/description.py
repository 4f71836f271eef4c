"""What a model is asked and what it says, as OpenAPI 3.1: from its signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._version import __version__
from ..predictor import Predictor
from ..server.schemas import ERROR
from ..signatures import Array, Column, DataType, Map, Object, Param, Schema, Signature, Tensor, Type
from ..signatures.casting import DTYPES


def _between(dtype: np.dtype[Any]) -> Mapping[str, Any]:
    """What numbers it holds."""
    if dtype.kind == "f":
        return {"minimum": float(np.finfo(dtype).min), "maximum": float(np.finfo(dtype).max)}
    return {"minimum": int(np.iinfo(dtype).min), "maximum": int(np.iinfo(dtype).max)}


_FLOAT: Mapping[str, Any] = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
_TYPES: Mapping[DataType, Mapping[str, Any]] = {
    DataType.BOOLEAN: {"type": "boolean"},
    DataType.INTEGER: {"type": "integer", "format": "int32", **_between(DTYPES[DataType.INTEGER])},
    DataType.LONG: {"type": "integer", "format": "int64", **_between(DTYPES[DataType.LONG])},
    DataType.FLOAT: {"type": "number", "format": "float", **_between(DTYPES[DataType.FLOAT])},
    DataType.DOUBLE: {"type": "number", "format": "double"},
    DataType.STRING: {"type": "string"},
    DataType.BINARY: {"type": "string", "contentEncoding": "base64"},
    DataType.DATETIME: {"type": "string", "format": "date-time"},
    DataType.ANY: {},
}
_KINDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "U": "string"}
"""Of numpy's."""
_FAILURES = {
    400: "the body is not what its content type says, or an object in it has a name twice",
    401: "a token is needed",
    403: "another host, or a page of another site",
    408: "the body came too slowly",
    413: "the body is too large",
    415: "another content type",
    422: "data that does not fit the signature, or with missing, infinite or too large values that the model "
    "does not take; the message names the column",
    500: "the model failed",
    503: "too many requests wait",
}


def description(predictor: Predictor, identity: str) -> dict[str, Any]:
    """The whole document."""
    signature = predictor.signature or Signature()
    return {
        "openapi": "3.1.0",
        "info": {"title": identity, "version": __version__, "description": f"Signature: {signature}"},
        "paths": {
            "/invocations": {"post": _invocations(signature)},
            "/ping": {"get": _get("ping", "200 while a model can be asked.")},
            "/health": {
                "get": _get("health", "The version that is asked, and what is wrong with a newer one.")
            },
            "/version": {"get": _get("version", "The address of the model, and the version behind it.")},
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
    }


def _get(name: str, summary: str) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": {"200": {"description": "it is so"}}}


def _invocations(signature: Signature) -> dict[str, Any]:
    answer = _object({"predictions": _predictions(signature.outputs)})
    return {
        "operationId": "invocations",
        "summary": "Predict.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"oneOf": _bodies(signature)}},
                "text/csv": {
                    "schema": {"type": "string", "description": "the first line has the columns' names"}
                },
            },
        },
        "responses": {
            "200": {"description": "the predictions", "content": {"application/json": {"schema": answer}}},
            **{
                str(status): {"description": what, "content": {"application/json": {"schema": ERROR}}}
                for status, what in _FAILURES.items()
            },
        },
    }


def _bodies(signature: Signature) -> list[dict[str, Any]]:
    """A schema for each form that a body of this signature may have."""
    inputs = signature.inputs
    record: dict[str, Any] = {"type": "object"}
    columns: dict[str, Any] = {"type": "array"}
    tensors: list[dict[str, Any]] = [{}, {}]
    if inputs is not None and not inputs.is_tensors:
        record = _record(inputs.columns)
        if inputs.names:
            columns = {"type": "array", "items": {"enum": list(inputs.names)}, "uniqueItems": True}
        tensors = [_rows_of(record), _columns(inputs.columns)]
    elif inputs is not None:
        tensors = [_instances(inputs), _tensors(inputs)]
    split = _object({"columns": columns, "data": _rows_of({"type": "array"})})
    forms = {
        "dataframe_split": split,
        "dataframe_records": _rows_of(record),
        "instances": tensors[0],
        "inputs": tensors[1],
    }
    if inputs is not None and inputs.is_tensors:
        del forms["dataframe_split"], forms["dataframe_records"]
    params = {"params": _params(signature.params)} if signature.params else {}
    return [
        _object({name: schema}) | {"properties": {name: schema, **params}, "additionalProperties": False}
        for name, schema in forms.items()
    ]


def _params(params: tuple[Param, ...]) -> dict[str, Any]:
    found = {}
    for param in params:
        schema = dict(_type(param.type))
        for _ in param.shape or ():
            schema = _list_of(schema)
        found[param.name] = schema
    return {"type": "object", "properties": found, "additionalProperties": False}


def _predictions(outputs: Schema | None) -> dict[str, Any]:
    if outputs is None:
        return {}
    if outputs.is_tensors:
        return _tensors(outputs, is_answer=True)
    if outputs.names:
        return {"anyOf": [_list_of(_record(outputs.columns)), {"type": "array"}]}
    return {"type": "array"}


# --- columns ----------------------------------------------------------------------------------------


def _record(columns: tuple[Column, ...]) -> dict[str, Any]:
    properties = {str(column.name): _value(column) for column in columns if column.name is not None}
    required = [str(column.name) for column in columns if column.name is not None and column.required]
    return {"type": "object", "required": required, "properties": properties}


def _columns(columns: tuple[Column, ...]) -> dict[str, Any]:
    record = _record(columns)
    return {**record, "properties": {name: _rows_of(of) for name, of in record["properties"].items()}}


def _value(column: Column) -> Mapping[str, Any]:
    known = _type(column.type)
    return known if column.required or not known else {"anyOf": [known, {"type": "null"}]}


def _type(kind: Type) -> Mapping[str, Any]:
    if isinstance(kind, Array):
        return _list_of(_type(kind.items))
    if isinstance(kind, Map):
        return {"type": "object", "additionalProperties": _type(kind.values)}
    if isinstance(kind, Object):
        properties = {p.name: _type(p.type) for p in kind.properties}
        return {
            "type": "object",
            "properties": properties,
            "required": [p.name for p in kind.properties if p.required],
        }
    return _TYPES[kind]


# --- tensors ----------------------------------------------------------------------------------------


def _tensors(schema: Schema, is_answer: bool = False) -> dict[str, Any]:
    found = {tensor.name: _tensor(tensor, tensor.shape, is_answer) for tensor in schema.tensors}
    return found[None] if None in found else _object(found)


def _instances(schema: Schema) -> dict[str, Any]:
    found = {tensor.name: _tensor(tensor, tensor.shape[1:]) for tensor in schema.tensors}
    return _rows_of(found[None] if None in found else _object(found))


def _tensor(tensor: Tensor, shape: tuple[int, ...], is_answer: bool = False) -> dict[str, Any]:
    dtype = np.dtype(tensor.dtype)
    found: dict[str, Any] = {"type": _KINDS[dtype.kind]} if dtype.kind in _KINDS else {}
    if dtype.kind == "f" and is_answer:
        found = dict(_FLOAT)
    elif dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize < 8):
        found |= _between(dtype)
    for length in reversed(shape):
        found = _list_of(found) if is_answer else _rows_of(found)
        if length >= 0:
            found |= {"minItems": length, "maxItems": length}
    return found


def _rows_of(items: Mapping[str, Any]) -> dict[str, Any]:
    """No model is asked about none."""
    return {**_list_of(items), "minItems": 1}


def _list_of(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


def _object(properties: Mapping[Any, Mapping[str, Any]]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": dict(properties)}
