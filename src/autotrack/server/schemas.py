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
_TAGS: Schema = {**_map(_STRING), "description": "text by name"}
_NEW_TAGS: Schema = {**_map(_or_null(_STRING)), "description": "text by name; null takes a tag away"}
_STAGE: Schema = {"enum": ["None", "Staging", "Production", "Archived"]}
_ARTIFACT = _object(path=_STRING, sha256=_STRING, size=_INTEGER, media_type=_STRING)
REGISTERED_MODEL = _object(
    name=_STRING,
    description={"type": "string", "description": "Markdown"},
    tags=_TAGS,
    aliases={**_map(_INTEGER), "description": "versions by alias"},
    stages={**_map(_INTEGER), "description": "the latest version in each stage"},
    latest=_or_null({"type": "integer", "description": "the highest version"}),
    versions={"type": "integer", "description": "how many there are"},
    author=_STRING,
    created=_TIME,
    updated=_TIME,
)
REGISTERED_MODELS = _object(models=_array(REGISTERED_MODEL), next=_or_null(_STRING))
MODEL_VERSION = _object(
    name=_STRING,
    version=_INTEGER,
    run_id=_ID,
    path=_STRING,
    source=_STRING,
    description={"type": "string", "description": "Markdown"},
    tags=_TAGS,
    aliases=_array(_STRING),
    stage=_STAGE,
    files=_array(_ARTIFACT),
    author=_STRING,
    created=_TIME,
    updated=_TIME,
)
MODEL_VERSIONS = _object(versions=_array(MODEL_VERSION))
LINEAGE = _object(
    lineage=_array(
        _object(
            version=_INTEGER,
            run=_or_null(RUN),
            model=_or_null({"type": "object"}),
            datasets=_array(_object(name=_STRING, role=_STRING, digest=_STRING)),
        )
    )
)
AUDIT = _object(
    entries=_array(
        _object(
            number=_INTEGER,
            time=_TIME,
            author=_STRING,
            verb=_STRING,
            model=_STRING,
            version=_or_null(_INTEGER),
            detail={"type": "object"},
        )
    )
)


def _asked(*required: str, **properties: Schema) -> Schema:
    """A body; everybody may say who he is."""
    known = {**properties, "author": {"type": "string", "maxLength": 250}}
    return {
        "type": "object",
        "required": list(required),
        "additionalProperties": False,
        "properties": known,
    }


_TEXT: Schema = {"type": "string", "maxLength": 65_536}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 250}
_EXPECTED: Schema = {"description": "the version that it points at now, 0 for none", **_or_null(_INTEGER)}
NEW_MODEL = _asked("name", name=_NAME, description=_TEXT, tags=_TAGS)
MODEL_CHANGES = _asked(description=_or_null(_TEXT), tags=_NEW_TAGS)
NEW_NAME = _asked("to", to=_NAME)
NEW_VERSION = _asked(
    *("run_id", "path"),
    run_id=_ID,
    path=_STRING,
    source=_STRING,
    alias=_or_null(_NAME),
    description=_TEXT,
    tags=_TAGS,
)
NEW_STAGE = _asked("stage", stage=_STAGE, archive={"type": "boolean"})
NEW_ALIAS = _asked("version", version=_INTEGER, expected=_EXPECTED)
POINTS = _object(
    name=_STRING, count=_INTEGER, step=_array(_INTEGER), time=_array(_TIME), value=_array(_NUMBER)
)


def listed(name: str) -> Schema:
    """A list, or a mapping, of what a run has."""
    return _object(**{name: _map(_SCALAR) if name == "attributes" else _array({"type": "object"})})
