"""The model registry in a SQL store: each verb one transaction, with one row in the audit log."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert_insert

from ..errors import ModelNotFound, RegistryConflict
from ..records import AuditEntry, Model, ModelVersion, RegisteredModel
from ..registry import (
    ALL_MODELS,
    MOST_NAME,
    NO_TAGS,
    ModelPage,
    ModelSearch,
    Registry,
    checked_alias,
    checked_expected,
    checked_name,
    checked_tags,
    checked_text,
)
from ..states import Stage
from . import registry_reading as reading
from . import schema
from .reading import facts_of
from .sql import upsert

Connected = Callable[[], AbstractContextManager[Connection]]


class SqlRegistry(Registry):
    """See `Registry`; any thread may use it."""

    def __init__(self, exists: Callable[[], bool], reading: Connected, writing: Connected) -> None:
        """reading, writing: transactions, of which at most one is written in; `exists`: is there a store?"""
        self._exists = exists
        self._reading = reading
        self._writing = writing

    # --- models -------------------------------------------------------------------------------------

    def create(
        self, name: str, *, description: str = "", tags: Mapping[str, str] = NO_TAGS, author: str = ""
    ) -> RegisteredModel:
        name, description, tags = checked_name(name), checked_text(description), checked_tags(tags)
        with self._writing() as db:
            if _is_taken(db, name):
                raise RegistryConflict(f"there is a registered model {name!r} already; take another name")
            verb = _Verb(db, "create", author, name)
            key = verb.new_model(description)
            _set_tags(db, schema.model_tag, {"model": key}, tags)
            verb.audit(key, None, _told(description=description, tags=tags))
            return reading.model(db, key)

    def update(
        self,
        name: str,
        *,
        description: str | None = None,
        tags: Mapping[str, str | None] = NO_TAGS,
        author: str = "",
    ) -> RegisteredModel:
        tags = checked_tags(tags, unset=True)
        with self._writing() as db:
            verb, key = _Verb(db, "update", author, name), reading.key_of(db, name)
            before = reading.model(db, key)
            if description is not None:
                _change(db, key, description=checked_text(description))
            _set_tags(db, schema.model_tag, {"model": key}, tags)
            verb.touch(key)
            verb.audit(key, None, _changes(before, description, tags))
            return reading.model(db, key)

    def rename(self, name: str, to: str, *, author: str = "") -> RegisteredModel:
        to = checked_name(to)
        with self._writing() as db:
            verb, key = _Verb(db, "rename", author, name), reading.key_of(db, name)
            if to != name and _is_taken(db, to):
                raise RegistryConflict(f"there is a registered model {to!r} already; take another name")
            _change(db, key, name=to)
            _count_to(db, to, _last_number(db, name))
            verb.touch(key)
            verb.audit(key, None, {"name": {"from": name, "to": to}})
            return reading.model(db, key)

    def delete(self, name: str, *, author: str = "") -> None:
        with self._writing() as db:
            verb, key = _Verb(db, "delete", author, name), reading.key_of(db, name)
            found = reading.model(db, key)
            if found.aliases:
                raise _aliased(f"model {name!r}", name, tuple(found.aliases))
            for table in (schema.model_tag, schema.version_tag, schema.model_version):
                db.execute(delete(table).where(table.c.model == key))
            db.execute(delete(schema.registered_model).where(schema.registered_model.c.pk == key))
            verb.audit(key, None, {"versions": found.versions})

    def model(self, name: str) -> RegisteredModel:
        if not self._exists():
            raise reading.missing(name)
        with self._reading() as db:
            return reading.model(db, reading.key_of(db, name))

    def search(self, search: ModelSearch = ALL_MODELS, *, limit: int = 100, after: str = "") -> ModelPage:
        if not self._exists():
            return ModelPage(())
        with self._reading() as db:
            return reading.search(db, search, limit, after)

    # --- versions -----------------------------------------------------------------------------------

    def register(
        self,
        name: str,
        run_id: str,
        path: str,
        *,
        source: str = "",
        alias: str | None = None,
        description: str = "",
        tags: Mapping[str, str] = NO_TAGS,
        author: str = "",
    ) -> ModelVersion:
        name, description, tags = checked_name(name), checked_text(description), checked_tags(tags)
        alias = None if alias is None else checked_alias(alias)
        source = checked_text(source or f"runs:/{run_id}/{path}", "a source")
        checked_text(run_id + path, "where it was taken from")
        with self._writing() as db:
            files = _files_of(db, run_id, path)
            verb = _Verb(db, "register", author, name)
            key = verb.known_or_new_model()
            number = _last_number(db, name) + 1
            _count_to(db, name, number)
            row = {"model": key, "version": number, "run": run_id, "path": path, "source": source}
            told = {"description": description, "files": json.dumps(files), "author": verb.author}
            db.execute(
                insert(schema.model_version).values(**row, **told, created=verb.time, updated=verb.time)
            )
            _set_tags(db, schema.version_tag, {"model": key, "version": number}, tags)
            detail = {"source": source, **_told(description=description, tags=tags)}
            if alias is not None:
                detail["alias"] = {"name": alias, "from": _point(db, key, alias, number), "to": number}
            verb.touch(key)
            verb.audit(key, number, detail)
            return reading.version(db, key, number)

    def versions(
        self, name: str, *, limit: int | None = None, before: int | None = None
    ) -> list[ModelVersion]:
        if not self._exists():
            raise reading.missing(name)
        with self._reading() as db:
            return reading.versions(db, reading.key_of(db, name), limit, before)

    def version(self, name: str, which: int | str) -> ModelVersion:
        if not self._exists():
            raise reading.missing(name)
        with self._reading() as db:
            return reading.as_version(reading.find(db, name, which))

    def of_run(self, run_id: str) -> list[ModelVersion]:
        if not self._exists():
            return []
        with self._reading() as db:
            return reading.of_run(db, run_id)

    def update_version(
        self,
        name: str,
        version: int,
        *,
        description: str | None = None,
        tags: Mapping[str, str | None] = NO_TAGS,
        author: str = "",
    ) -> ModelVersion:
        tags = checked_tags(tags, unset=True)
        with self._writing() as db:
            before, key = _found(db, name, version)
            verb, number = _Verb(db, "update_version", author, name), before.version
            if description is not None:
                _change_version(db, key, number, description=checked_text(description))
            _set_tags(db, schema.version_tag, {"model": key, "version": number}, tags)
            verb.touch(key, number)
            verb.audit(key, number, _changes(before, description, tags))
            return reading.version(db, key, number)

    def delete_version(self, name: str, version: int, *, author: str = "") -> None:
        with self._writing() as db:
            found, key = _found(db, name, version)
            verb, number = _Verb(db, "delete_version", author, name), found.version
            if found.aliases:
                raise _aliased(f"version {number} of {name!r}", name, found.aliases)
            for table in (schema.version_tag, schema.model_version):
                db.execute(delete(table).where(table.c.model == key, table.c.version == number))
            verb.touch(key)
            verb.audit(key, number, {"source": found.source, "stage": found.stage})

    def set_stage(
        self, name: str, version: int, stage: Stage, *, archive: bool = False, author: str = ""
    ) -> ModelVersion:
        with self._writing() as db:
            before, key = _found(db, name, version)
            verb, number = _Verb(db, "set_stage", author, name), before.version
            archived = _archive(db, key, stage, number) if archive else []
            _change_version(db, key, number, stage=None if stage is Stage.NONE else str(stage))
            for one in (number, *archived):
                verb.touch(key, one)
            moved = {"stage": {"from": before.stage, "to": stage}}
            verb.audit(key, number, moved | _told(archived=archived))
            return reading.version(db, key, number)

    # --- aliases ------------------------------------------------------------------------------------

    def set_alias(
        self, name: str, alias: str, version: int, *, expected: int | None = None, author: str = ""
    ) -> ModelVersion:
        alias = checked_alias(alias)
        with self._writing() as db:
            found, key = _found(db, name, version)
            verb, number = _Verb(db, "set_alias", author, name), found.version
            _expect(db, name, key, alias, expected)
            before = _point(db, key, alias, number)
            verb.touch(key)
            verb.audit(key, number, {"alias": {"name": alias, "from": before, "to": number}})
            return reading.version(db, key, number)

    def delete_alias(
        self, name: str, alias: str, *, expected: int | None = None, author: str = ""
    ) -> ModelVersion:
        with self._writing() as db:
            found = reading.find(db, name, f"@{alias}")
            key, number = found.model, found.version
            verb, table = _Verb(db, "delete_alias", author, name), schema.model_alias
            _expect(db, name, key, alias, expected)
            db.execute(delete(table).where(table.c.model == key, table.c.name == alias))
            verb.touch(key)
            verb.audit(key, number, {"alias": {"name": alias, "from": number, "to": None}})
            return reading.version(db, key, number)

    # --- audit --------------------------------------------------------------------------------------

    def audit(
        self, name: str | None = None, *, limit: int = 100, before: int | None = None
    ) -> list[AuditEntry]:
        if not self._exists():
            return []
        with self._reading() as db:
            return reading.audit(db, name, limit, before)


class _Verb:
    """Who does what, and when, in the transaction of `db`."""

    def __init__(self, db: Connection, verb: str, author: str, model: str) -> None:
        self._db = db
        self._verb = verb
        self._model = model
        self.author = checked_text(author, "an author")[:MOST_NAME]
        self.time = time.time_ns()

    def known_or_new_model(self) -> int:
        """The key of the model."""
        table = schema.registered_model
        key = self._db.scalar(select(table.c.pk).where(table.c.name == self._model))
        return self.new_model("") if key is None else key

    def new_model(self, description: str) -> int:
        """The key of a model that is made."""
        facts = {"name": self._model, "description": description, "author": self.author}
        made = insert(schema.registered_model).values(**facts, created=self.time, updated=self.time)
        key = self._db.execute(made).inserted_primary_key
        assert key is not None
        return int(key[0])

    def touch(self, key: int, version: int | None = None) -> None:
        """Something of the model changed, or of a version of it."""
        _change(self._db, key, updated=self.time)
        if version is not None:
            _change_version(self._db, key, version, updated=self.time)

    def audit(self, key: int, version: int | None, detail: Mapping[str, Any]) -> None:
        """The row of the audit log."""
        facts = {"time": self.time, "author": self.author, "verb": self._verb, "model": self._model}
        told = json.dumps(detail, ensure_ascii=False)
        self._db.execute(insert(schema.audit).values(**facts, key=key, version=version, detail=told))


# --- what verbs consist of ----------------------------------------------------------------------------


def _found(db: Connection, name: str, version: int) -> tuple[ModelVersion, int]:
    """A version as it is, and the key of its model. Raises `ModelNotFound`."""
    row = reading.find(db, name, version)
    return reading.as_version(row), row.model


def _is_taken(db: Connection, name: str) -> bool:
    table = schema.registered_model
    return db.scalar(select(table.c.pk).where(table.c.name == name)) is not None


def _last_number(db: Connection, name: str) -> int:
    table = schema.model_number
    return db.scalar(select(table.c.last).where(table.c.name == name)) or 0


def _count_to(db: Connection, name: str, number: int) -> None:
    """From now on the versions of a name have higher numbers than this."""
    new = upsert_insert(schema.model_number).values(name=name, last=number)
    most = func.max(schema.model_number.c.last, new.excluded.last)
    db.execute(new.on_conflict_do_update(index_elements=["name"], set_={"last": most}))


def _change(db: Connection, key: int, **values: Any) -> None:
    table = schema.registered_model
    db.execute(update(table).where(table.c.pk == key).values(**values))


def _change_version(db: Connection, key: int, number: int, **values: Any) -> None:
    table = schema.model_version
    db.execute(update(table).where(table.c.model == key, table.c.version == number).values(**values))


def _set_tags(db: Connection, table: Any, owner: Mapping[str, int], tags: Mapping[str, str | None]) -> None:
    """None takes a tag away."""
    upsert(db, table, [{**owner, "name": n, "value": v} for n, v in tags.items() if v is not None])
    for name in (name for name, value in tags.items() if value is None):
        is_owners = [table.c[column] == value for column, value in owner.items()]
        db.execute(delete(table).where(*is_owners, table.c.name == name))


def _changes(
    before: RegisteredModel | ModelVersion, description: str | None, tags: Mapping[str, str | None]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if description is not None:
        found["description"] = {"from": before.description, "to": description}
    changed = {name: {"from": before.tags.get(name), "to": value} for name, value in tags.items()}
    return found | _told(tags=changed)


def _told(**facts: Any) -> dict[str, Any]:
    """What there is of them."""
    return {name: value for name, value in facts.items() if value}


def _point(db: Connection, key: int, alias: str, number: int) -> int | None:
    """Point an alias at a version; where it pointed before."""
    before = _pointed(db, key, alias)
    upsert(db, schema.model_alias, [{"model": key, "name": alias, "version": number}])
    return before


def _pointed(db: Connection, key: int, alias: str) -> int | None:
    table = schema.model_alias
    return db.scalar(select(table.c.version).where(table.c.model == key, table.c.name == alias))


def _expect(db: Connection, name: str, key: int, alias: str, expected: int | None) -> None:
    """Raises `RegistryConflict` where somebody else has moved an alias."""
    expected, now = checked_expected(expected), _pointed(db, key, alias) or 0
    if expected is not None and expected != now:
        there = f"points at version {now}" if now else "points at none"
        wanted = f"not at {expected}" if expected else "not at none"
        raise RegistryConflict(
            f"alias {alias!r} of {name!r} {there}, {wanted}: somebody has moved it; look, and try again"
        )


def _aliased(what: str, name: str, aliases: tuple[str, ...]) -> RegistryConflict:
    first = f"autotrack models alias {shlex.quote(name)} {shlex.quote(aliases[0])} --remove"
    plural = "es" if len(aliases) > 1 else ""
    return RegistryConflict(
        f"{what} has the alias{plural} {', '.join(aliases)}: move or remove first, as by {first}"
    )


def _archive(db: Connection, key: int, stage: Stage, number: int) -> list[int]:
    """Archive what is in a stage, but for one version; which ones that were."""
    if stage is Stage.ARCHIVED:
        return []
    table = schema.model_version
    is_there = (table.c.model == key, table.c.stage == str(stage), table.c.version != number)
    found = list(db.scalars(select(table.c.version).where(*is_there).order_by(table.c.version)))
    db.execute(update(table).where(*is_there).values(stage=str(Stage.ARCHIVED)))
    return found


def _files_of(db: Connection, run_id: str, path: str) -> list[dict[str, Any]]:
    """The files of a model that is kept. Raises `ModelNotFound`, `RegistryConflict`."""
    run, model = schema.run, schema.model
    key = db.scalar(select(run.c.pk).where(run.c.id == run_id))
    if key is None:
        raise ModelNotFound(f"no run has the id {run_id[:100]!r}; see: autotrack runs")
    rows = db.execute(select(model.c.name, model.c.facts).where(model.c.run == key))
    known: dict[str, str] = {row.name: row.facts for row in rows}
    if path not in known:
        there = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise ModelNotFound(f"run {run_id} has no model {path[:MOST_NAME]!r}; {there}")
    facts = facts_of(known[path])
    if facts.get("state") != "kept":
        why = facts.get("reason") or ("it is still being converted" if facts else "it was not kept")
        raise RegistryConflict(f"model {path!r} of run {run_id} cannot be registered: {why}")
    table = schema.artifact
    below = (table.c.run == key, table.c.name > f"{path}/", table.c.name < f"{path}0")  # 0 follows /
    found = db.execute(select(table).where(*below).order_by(table.c.name))
    its = Model(path, "", "", facts)
    return [
        {"path": row.name, "sha256": row.sha256, "size": row.size, "media_type": row.media_type}
        for row in found
        if its.owns(row.name)
    ]
