"""Signatures as they stand in an `MLmodel` file: three texts of JSON, in MLflow's form, both ways.

A fourth, of our own, tells what that form does not: how a training had its columns. MLflow passes it over.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, TypeVar

import numpy as np

from ..errors import ModelError, SchemaError
from .types import (
    MISSING,
    Array,
    Column,
    DataType,
    Map,
    Object,
    Param,
    Property,
    Schema,
    Signature,
    Tensor,
    Type,
    dtype_name,
    one_line,
)

OURS = "autotrack"
MOST_DEPTH = 50
"""Arrays, objects and maps in each other; what is deeper is no signature that anybody made."""

Node = Mapping[str, Any]
T = TypeVar("T")


def to_mlmodel(signature: Signature) -> dict[str, str | None]:
    """The mapping that stands under `signature` in an `MLmodel`: inputs, outputs, params; None: not known."""
    params = [_param_node(p) for p in signature.params]
    trained = {} if signature.inputs is None else _trained_node(signature.inputs)
    return {
        "inputs": _schema_text(signature.inputs),
        "outputs": _schema_text(signature.outputs),
        "params": json.dumps(params) if params else None,
        **({OURS: json.dumps(trained)} if trained else {}),
    }


def from_mlmodel(mapping: Mapping[str, Any]) -> Signature:
    """The signature that stands under `signature` in an `MLmodel`. Raises `ModelError` naming the place."""
    if not isinstance(mapping, Mapping):
        raise ModelError(f"signature: a mapping is wanted, not {_kind(mapping)}")
    params = _nodes(mapping.get("params"), "params")
    inputs, outputs = (_schema(mapping.get(place), place) for place in ("inputs", "outputs"))
    known = tuple(_param(node, f"params[{i}]") for i, node in enumerate(params or ()))
    if inputs is not None and mapping.get(OURS) is not None:
        inputs = _as_trained(inputs, mapping[OURS])
    return _made(lambda: Signature(inputs, outputs, known), "params")


# --- writing ----------------------------------------------------------------------------------------


def _schema_text(schema: Schema | None) -> str | None:
    return None if schema is None else json.dumps([_field_node(f) for f in schema])


def _trained_node(inputs: Schema) -> dict[str, Any]:
    """Whether there was a series, and by its word what was missing, in the columns of these positions."""
    words = sorted({column.missing for column in inputs.columns} - {""})
    missing = {word: [i for i, c in enumerate(inputs.columns) if c.missing == word] for word in words}
    return ({"series": True} if inputs.is_series else {}) | ({"missing": missing} if missing else {})


def _field_node(field: Column | Tensor) -> dict[str, Any]:
    named = {} if field.name is None else {"name": field.name}
    if isinstance(field, Tensor):
        spec = {"dtype": field.dtype, "shape": list(field.shape)}
        return named | {"type": "tensor", "tensor-spec": spec}
    return _type_node(field.type) | named | {"required": field.required}


def _type_node(kind: Type) -> dict[str, Any]:
    if isinstance(kind, Array):
        return {"type": "array", "items": _type_node(kind.items)}
    if isinstance(kind, Map):
        return {"type": "map", "values": _type_node(kind.values)}
    if isinstance(kind, Object):
        properties = {p.name: _type_node(p.type) | {"required": p.required} for p in kind.properties}
        return {"type": "object", "properties": properties}
    return {"type": str(kind)}


def _param_node(param: Param) -> dict[str, Any]:
    shape = None if param.shape is None else list(param.shape)
    return {"name": param.name, "default": plain(param.default), "shape": shape} | _type_node(param.type)


def plain(value: Any) -> Any:
    """A value as JSON can say it: datetimes by ISO 8601, bytes by base64, arrays as lists.

    What is missing (None, NaN, NaT, pandas' NA) and infinity are null, since JSON has no word for them.
    Raises `SchemaError` for what JSON cannot say.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if abs(value) < float("inf") else None
    if isinstance(value, np.generic):
        return None if value.dtype.kind == "M" and np.isnat(value) else _plain_numpy(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value] if value.ndim else plain(value[()])
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return _plain_object(value)


def _plain_numpy(value: np.generic) -> Any:
    if isinstance(value, np.datetime64):
        return str(value)
    if value.dtype.kind == "f":  # a long double's item is itself
        return plain(float(value))
    return plain(value.item()) if value.dtype.kind in "biuUS" else _plain_object(value)


def _plain_object(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    raise SchemaError(f"JSON cannot say a {type(value).__name__}")


# --- reading ----------------------------------------------------------------------------------------


def _nodes(text: Any, place: str) -> list[Any] | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise ModelError(f"signature.{place}: a text of JSON is wanted, not {_kind(text)}")
    try:
        nodes = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"signature.{place}: no JSON: {error}") from None
    if not isinstance(nodes, list):
        raise ModelError(f"signature.{place}: a list is wanted, not {_kind(nodes)}")
    return nodes


def _schema(text: Any, place: str) -> Schema | None:
    nodes = _nodes(text, place)
    if nodes is None:
        return None
    fields = tuple(_field(node, f"{place}[{i}]") for i, node in enumerate(nodes))
    return _made(lambda: Schema(fields), place)  # type: ignore[arg-type]  # it refuses a mixture


def _field(node: Any, place: str) -> Column | Tensor:
    name = _get(node, "name", (str, int, type(None)), place, None)
    if node.get("type") == "tensor":
        spec = _get(node, "tensor-spec", (dict,), place)
        inside = f"{place}.tensor-spec"
        dtype, shape = _get(spec, "dtype", (str,), inside), _shape(spec, inside)
        if shape is None:
            raise ModelError(f"signature.{inside}.shape: it is missing")
        return Tensor(None if name is None else str(name), _dtype(dtype, inside), shape)
    return Column(name, _type(node, place), _required(node, place))


def _as_trained(inputs: Schema, text: Any) -> Schema:
    """With what `_trained_node` told."""
    try:
        told = json.loads(text)
        words = {i: word for word in MISSING for i in told.get("missing", {}).get(word, ())}
        columns = tuple(replace(c, missing=words.get(i, "")) for i, c in enumerate(inputs.columns))
        return Schema(columns or inputs.fields, is_series=told.get("series") is True)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:  # SchemaError is a ValueError
        raise ModelError(f"signature.{OURS}: it tells of no such columns: {error}") from None


def _required(node: Node, place: str) -> bool:
    if "optional" in node:  # what MLflow wrote before 2.6
        return not _get(node, "optional", (bool,), place)
    required: bool = _get(node, "required", (bool,), place, True)
    return required


def _dtype(text: str, place: str) -> str:
    try:
        return dtype_name(np.dtype(text))
    except (TypeError, ValueError, SyntaxError):  # SchemaError is a ValueError
        raise ModelError(f"signature.{place}.dtype: numpy knows no {text[:80]!r}") from None


def _shape(node: Node, place: str) -> tuple[int, ...] | None:
    shape = _get(node, "shape", (list, type(None)), place, None)
    if shape is not None and not all(type(n) is int and n >= -1 for n in shape):
        raise ModelError(f"signature.{place}.shape: lengths are wanted, or -1, not {json.dumps(shape)[:80]}")
    return None if shape is None else tuple(shape)


def _type(node: Any, place: str, depth: int = 0) -> Type:
    name = _get(node, "type", (str,), place)
    if depth > MOST_DEPTH:
        raise ModelError(f"signature.{place[:80]}…: types are more than {MOST_DEPTH} deep in each other")
    if name == "array":
        return Array(_type(_get(node, "items", (dict,), place), f"{place}.items", depth + 1))
    if name == "map":
        return Map(_type(_get(node, "values", (dict,), place), f"{place}.values", depth + 1))
    if name == "object":
        return _object(_get(node, "properties", (dict,), place), f"{place}.properties", depth + 1)
    try:
        return DataType(name)
    except ValueError:
        known = ", ".join([*DataType, "array", "object", "map", "tensor"])
        raise ModelError(f"signature.{place}.type: {name[:80]!r} is none of {known}") from None


def _object(nodes: Node, place: str, depth: int) -> Object:
    properties = tuple(
        _property(name, node, f"{place}.{one_line(name)}", depth) for name, node in nodes.items()
    )
    return _made(lambda: Object(properties), place)


def _property(name: str, node: Any, place: str, depth: int) -> Property:
    return Property(name, _type(node, place, depth), _required(node, place))


def _param(node: Any, place: str) -> Param:
    name = _get(node, "name", (str,), place)
    kind, shape = _type(node, place), _shape(node, place)
    default = node.get("default")
    if kind is DataType.DATETIME:
        default = _made(lambda: _datetimes(default), f"{place}.default")
    return Param(name, kind, default, shape)


def _datetimes(value: Any) -> Any:
    if isinstance(value, list):
        return [_datetimes(item) for item in value]
    return None if value is None else parsed_datetime(value)


def parsed_datetime(text: Any) -> datetime:
    """A datetime of its text by ISO 8601; pandas' own where it has nanoseconds. Raises `SchemaError`."""
    try:
        made = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise SchemaError(f"{text!r:.80} is no datetime as ISO 8601 has it") from None
    finer = _FINER.search(text)
    return made if finer is None else _with_nanoseconds(made, finer[1], text)


_FINER = re.compile(r"[.,]\d{6}(\d*[1-9])")
"""Digits of a second that Python's datetimes pass over."""


def _with_nanoseconds(made: datetime, digits: str, text: str) -> datetime:
    if len(digits) > 3:
        raise SchemaError(f"{text!r:.80} is finer than nanoseconds: give nine digits of a second at most")
    try:
        import pandas

        more = pandas.Timedelta(int(digits.ljust(3, "0")), "ns")
        whole: datetime = pandas.Timestamp(made).as_unit("ns") + more
    except (ImportError, ValueError) as error:  # ns reach from 1677 to 2262
        raise SchemaError(f"{text!r:.80} cannot keep its nanoseconds: {error}") from None
    return whole


def parsed_bytes(text: str) -> bytes:
    """Bytes of base64, as JSON carries them; line ends are passed over. Raises `SchemaError`."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise SchemaError(f"{text!r:.80} is no base64") from None


_WANTED = {str: "a text", int: "a number", dict: "an object", list: "a list", bool: "true or false"}
_MISSING = object()


def _get(node: Any, key: str, kinds: Sequence[type], place: str, default: Any = _MISSING) -> Any:
    """The value of a key, of one of these types; the first of them is named where it is another."""
    if not isinstance(node, dict):
        raise ModelError(f"signature.{place}: an object is wanted, not {_kind(node)}")
    value = node.get(key, default)
    if value is _MISSING:
        raise ModelError(f"signature.{place}.{key}: it is missing")
    if type(value) not in kinds:
        raise ModelError(f"signature.{place}.{key}: {_WANTED[kinds[0]]} is wanted, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    return "null" if value is None else _WANTED.get(type(value), f"a {type(value).__name__}")


def _made(make: Callable[[], T], place: str) -> T:
    try:
        return make()
    except SchemaError as error:
        raise ModelError(f"signature.{place}: {error}") from None
