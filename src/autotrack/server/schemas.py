"""What the API's answers look like, as JSON Schema: OpenAPI publishes it."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_STRING: Schema = {"type": "string"}
_INTEGER: Schema = {"type": "integer"}
_TIME: Schema = {"type": "integer", "description": "unix nanoseconds"}
_ID: Schema = {"type": "string", "description": "32 hexadecimal digits"}
_NUMBER: Schema = {
    "anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}],
    "description": "a metric's number",
}
_SCALAR: Schema = {
    "anyOf": [
        {"type": ["string", "number", "boolean"]},
        {"type": "object", "properties": {"float": {"enum": ["NaN", "Infinity", "-Infinity"]}}},
    ]
}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _map(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


ERROR = _object(error={"type": "object", "required": ["message"], "properties": {"message": _STRING}})
EXPERIMENTS = _object(experiments=_array(_object(name=_STRING, runs=_INTEGER, latest=_TIME)))
COUNT = _object(count=_INTEGER)
IDS = _object(ids=_array(_STRING))
RUN = _object(
    id=_ID,
    name=_STRING,
    experiment=_STRING,
    state={"enum": ["running", "finished", "failed", "killed", "lost", "idle"]},
    told=_or_null({"type": "string", "description": "the state that the run told of itself"}),
    started=_TIME,
    ended=_or_null(_TIME),
    duration={"type": "number", "description": "seconds"},
    parent=_or_null(_ID),
    children=_array(_ID),
    params=_map(_SCALAR),
    tags=_map(_STRING),
    metrics=_map(_object(last=_NUMBER, min=_NUMBER, max=_NUMBER, count=_INTEGER, non_finite=_INTEGER)),
    error=_or_null(_object(type=_STRING, message=_STRING, traceback=_STRING)),
    note=_STRING,
    archived={"type": "boolean"},
    host=_STRING,
    writer=_STRING,
    beat_interval={"type": "number", "description": "seconds"},
    last_seen=_TIME,
    silence=_or_null({"type": "number", "description": "seconds since the server heard of it"}),
)
RUNS: Schema = {
    "type": "object",
    "required": ["runs"],
    "properties": {"runs": _array(RUN), "next": _or_null(_STRING)},
}
SEARCH: Schema = {"type": "object", "description": "a search as autotrack's own clients send it"}
EDIT: Schema = {
    "type": "object",
    "required": ["field", "value"],
    "additionalProperties": False,
    "properties": {
        "field": {"type": "string", "pattern": r"^(name|note|archived|tags\..+)$", "maxLength": 250},
        "value": {"anyOf": [{"type": "string", "maxLength": 65_536}, {"type": "boolean"}]},
        "author": {"type": "string", "maxLength": 250},
    },
}
POINTS = _object(
    name=_STRING, count=_INTEGER, step=_array(_INTEGER), time=_array(_TIME), value=_array(_NUMBER)
)


def listed(name: str) -> Schema:
    """A list, or a mapping, of what a run has."""
    return _object(**{name: _map(_SCALAR) if name == "attributes" else _array({"type": "object"})})
