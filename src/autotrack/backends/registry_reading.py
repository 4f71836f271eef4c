"""Reads of the model registry: rows as records."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NoReturn

from sqlalchemy import Connection, Row, Select, Table, bindparam, func, select, tuple_

from ..errors import ModelNotFound, RegistryValueError
from ..options import did_you_mean
from ..records import Artifact, AuditEntry, ModelVersion, RegisteredModel
from ..registry import MOST_NAME, MOST_VERSION, Alias, ModelPage, ModelSearch, Which, parsed_which
from ..states import Stage
from . import schema
from .sql import in_parts

MOST_NAMES = 10_000
"""Names among which the one that was meant is looked for."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_model, _version, _alias = schema.registered_model, schema.model_version, schema.model_alias


# --- one ----------------------------------------------------------------------------------------------


def key_of(db: Connection, name: str) -> int:
    """A model's key. Raises `ModelNotFound`, and says which name may be meant."""
    key = db.scalar(select(_model.c.pk).where(_model.c.name == _sound(name)))
    if key is None:
        known = db.scalars(select(_model.c.name).order_by(_model.c.updated.desc()).limit(MOST_NAMES)).all()
        raise missing(name, known)
    return int(key)


def _sound(name: str) -> str:
    """Half a surrogate pair is no text, so no model has it in its name."""
    return name.encode("utf-8", "replace").decode()


def missing(name: str, known: Sequence[str] = ()) -> ModelNotFound:
    """What is said of a name that nobody has given."""
    text = f"no registered model {name[:MOST_NAME]!r}{_meant(name, known)}"
    return ModelNotFound(f"{text}; see: autotrack models list")


def _meant(name: str, known: Sequence[str]) -> str:
    """What is there, if it is little or looks alike."""
    said = did_you_mean(name, known)
    return said if len(known) <= 10 or "did you mean" in said else ""


def find(db: Connection, name: str, which: int | str) -> Row[Any]:
    """The row of a version, with the model's key as `model`. Raises `ModelNotFound`."""
    target = parsed_which(which)
    query: Select[Any]
    more: dict[str, int | str]
    match target:
        case int():
            query, more = _numbered(), {"number": min(max(target, 0), MOST_VERSION)}
        case Alias(alias):
            query, more = _aliased(), {"alias": alias}
        case Stage.NONE:
            query, more = _latest().where(_version.c.stage.is_(None)), {}
        case Stage():
            query, more = _latest_in_stage(), {"stage": str(target)}
        case _:
            query, more = _latest(), {}
    row = db.execute(query, {"model_name": _sound(name), **more}).first()
    return row or _nothing(db, name, target)


def _nothing(db: Connection, name: str, target: Which) -> NoReturn:
    """Say why there is no such version."""
    key = key_of(db, name)
    match target:
        case int():
            problem = f"no version {target}"
        case Alias(alias):
            known = db.scalars(select(_alias.c.name).where(_alias.c.model == key)).all()
            problem = f"no alias {alias!r}{did_you_mean(alias, known)}"
        case Stage():
            problem = f"no version in the stage {target}"
        case _:
            problem = "no version yet"
    raise ModelNotFound(f"model {name!r} has {problem}; see: autotrack models show {shlex.quote(name)}")


@cache
def _named() -> Select[Any]:
    """Statements are made once: to put one together takes longer than to run it."""
    return _rows().where(_model.c.name == bindparam("model_name"))


@cache
def _numbered() -> Select[Any]:
    return _named().where(_version.c.version == bindparam("number"))


@cache
def _aliased() -> Select[Any]:
    points = (_alias.c.model == _version.c.model) & (_alias.c.version == _version.c.version)
    return _named().join(_alias, points).where(_alias.c.name == bindparam("alias"))


@cache
def _latest() -> Select[Any]:
    return _named().order_by(_version.c.version.desc()).limit(1)


@cache
def _latest_in_stage() -> Select[Any]:
    return _latest().where(_version.c.stage == bindparam("stage"))


def version(db: Connection, key: int, number: int) -> ModelVersion:
    """A version that is there."""
    (row,) = db.execute(_keyed(), {"key": key, "number": number})
    return as_version(row)


@cache
def _keyed() -> Select[Any]:
    return _rows().where(_version.c.model == bindparam("key"), _version.c.version == bindparam("number"))


def model(db: Connection, key: int) -> RegisteredModel:
    """A model that is there."""
    (found,) = _models(db, db.execute(select(_model).where(_model.c.pk == key)))
    return found


# --- many ---------------------------------------------------------------------------------------------


def versions(db: Connection, key: int, limit: int | None, before: int | None) -> list[ModelVersion]:
    """Those of a model, the latest first."""
    query = _rows().where(_version.c.model == key).order_by(_version.c.version.desc()).limit(limit)
    if before is not None:
        query = query.where(_version.c.version < min(before, MOST_VERSION))
    return list(map(as_version, db.execute(query)))


def of_run(db: Connection, run_id: str) -> list[ModelVersion]:
    """Those of a run."""
    query = _rows().where(_version.c.run == run_id).order_by(_model.c.name, _version.c.version)
    return list(map(as_version, db.execute(query)))


def search(db: Connection, search: ModelSearch, limit: int, after: str) -> ModelPage:
    """A page of models: keyset, so that a page deep down costs what the first does."""
    by = _model.c[search.order]
    key = (_model.c.name,) if search.order == "name" else (by, _model.c.name)
    query = select(_model)
    if after:
        place = _place(search, after)
        query = query.where(tuple_(*key) < place if search.descending else tuple_(*key) > place)
    if search.name:
        query = query.where(_is_named(search.name))
    for name, value in search.tags.items():
        tag = schema.model_tag
        query = query.where(
            _model.c.pk.in_(select(tag.c.model).where(tag.c.name == name, tag.c.value == value))
        )
    order = [column.desc() if search.descending else column.asc() for column in key]
    rows = list(db.execute(query.order_by(*order).limit(limit + 1)))
    shown = rows[:limit]
    following = _cursor(search, shown[-1]) if len(rows) > limit else ""
    return ModelPage(tuple(_models(db, shown)), following)


def _is_named(name: str) -> Any:
    if "%" in name:
        return func.lower(_model.c.name).like(
            name.lower().replace("\\", "\\\\").replace("_", "\\_"), escape="\\"
        )
    return func.lower(_model.c.name).contains(name.lower(), autoescape=True)


def _cursor(search: ModelSearch, row: Row[Any]) -> str:
    return row.name if search.order == "name" else f"{row._mapping[search.order]}:{row.name}"


def _place(search: ModelSearch, after: str) -> tuple[Any, ...]:
    if search.order == "name":
        return (after,)
    time, colon, name = after.partition(":")
    if not (colon and time.isascii() and time.isdecimal() and len(time) < 20):
        raise RegistryValueError(f"{after[:MOST_NAME]!r} is not what a page said of the next one")
    return min(int(time), 2**63 - 1), name


def audit(db: Connection, name: str | None, limit: int, before: int | None) -> list[AuditEntry]:
    """The latest entries first; a model's also from when it had another name."""
    table = schema.audit
    query = select(table).order_by(table.c.number.desc()).limit(limit)
    if name is not None:
        now = select(_model.c.pk).where(_model.c.name == name)
        ever = select(table.c.key).where(table.c.model == name)
        query = query.where(table.c.key.in_(now.union(ever)))
    if before is not None:
        query = query.where(table.c.number < before)
    return [
        AuditEntry(
            number=row.number,
            time=moment(row.time),
            author=row.author,
            verb=row.verb,
            model=row.model,
            version=row.version,
            detail=json.loads(row.detail),
        )
        for row in db.execute(query)
    ]


def files(db: Connection) -> set[str]:
    """The sha256 of every file of a registered version."""
    return {file["sha256"] for text in db.scalars(select(_version.c.files)) for file in json.loads(text)}


# --- rows as records ----------------------------------------------------------------------------------


@cache
def _rows() -> Select[Any]:
    """Versions, each with its tags and aliases as JSON: in one statement, since a lookup is to be quick."""
    tag, alias = schema.version_tag, schema.model_alias.alias("pointing")
    tags = select(func.json_group_object(tag.c.name, tag.c.value)).where(
        tag.c.model == _version.c.model, tag.c.version == _version.c.version
    )
    aliases = select(func.json_group_array(alias.c.name)).where(
        alias.c.model == _version.c.model, alias.c.version == _version.c.version
    )
    told = tags.scalar_subquery().label("tags"), aliases.scalar_subquery().label("aliases")
    return select(_model.c.name, _version, *told).join(_model, _model.c.pk == _version.c.model)


def as_version(row: Row[Any]) -> ModelVersion:
    """A row of `find` as a record."""
    return ModelVersion(
        name=row.name,
        version=row.version,
        run_id=row.run,
        path=row.path,
        source=row.source,
        description=row.description,
        tags=dict(sorted(json.loads(row.tags).items())),
        aliases=tuple(sorted(json.loads(row.aliases))),
        stage=Stage(row.stage or Stage.NONE),
        files=tuple(Artifact(**file) for file in json.loads(row.files)),
        author=row.author,
        created=moment(row.created),
        updated=moment(row.updated),
    )


def _models(db: Connection, rows: Iterable[Row[Any]]) -> list[RegisteredModel]:
    rows = list(rows)
    keys = [row.pk for row in rows]
    tags: dict[int, dict[str, str]] = defaultdict(dict)
    for tag in _by_model(db, schema.model_tag, keys):
        tags[tag.model][tag.name] = tag.value
    aliases: dict[int, dict[str, int]] = defaultdict(dict)
    for alias in _by_model(db, _alias, keys):
        aliases[alias.model][alias.name] = alias.version
    counts = _counts(db, keys)
    stages = _stages(db, keys)
    return [
        RegisteredModel(
            name=row.name,
            description=row.description,
            tags=tags[row.pk],
            aliases=aliases[row.pk],
            stages=stages[row.pk],
            latest=counts[row.pk][0] if row.pk in counts else None,
            versions=counts[row.pk][1] if row.pk in counts else 0,
            author=row.author,
            created=moment(row.created),
            updated=moment(row.updated),
        )
        for row in rows
    ]


def _by_model(db: Connection, table: Table, keys: Iterable[int]) -> list[Row[Any]]:
    """The rows of some models, by name."""
    return [
        row
        for some in in_parts(keys)
        for row in db.execute(
            select(table).where(table.c.model.in_(some)).order_by(table.c.model, table.c.name)
        )
    ]


def _counts(db: Connection, keys: Iterable[int]) -> dict[int, tuple[int, int]]:
    """The highest version of models, and how many there are."""
    column = _version.c.model
    return {
        row[0]: (row[1], row[2])
        for some in in_parts(keys)
        for row in db.execute(
            select(column, func.max(_version.c.version), func.count())
            .where(column.in_(some))
            .group_by(column)
        )
    }


def _stages(db: Connection, keys: Iterable[int]) -> dict[int, dict[str, int]]:
    """The latest version in each stage of models."""
    found: dict[int, dict[str, int]] = defaultdict(dict)
    model, stage = _version.c.model, _version.c.stage
    for some in in_parts(keys):
        query = (
            select(model, stage, func.max(_version.c.version))
            .where(model.in_(some), stage.is_not(None))
            .group_by(model, stage)
            .order_by(model, stage)
        )
        for key, name, number in db.execute(query):
            found[key][name] = number
    return found


def moment(ns: int) -> datetime:
    """A time of the store, to the microsecond."""
    return _EPOCH + timedelta(microseconds=ns // 1000)
