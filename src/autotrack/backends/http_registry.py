"""The model registry of the store that a server keeps, over its API."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from ..errors import ModelNotFound, RegistryConflict, RegistryValueError, StoreError
from ..records import AuditEntry, ModelVersion, RegisteredModel
from ..registry import (
    ALL_MODELS,
    NO_TAGS,
    ModelPage,
    ModelSearch,
    Registry,
    checked_alias,
    checked_name,
    parsed_which,
)
from ..states import Stage
from . import wire

NO_ROUTE = "there is nothing here"
"""What a server says of a path that it does not know."""
PAGE = 1000
"""Versions that are asked for at once."""
_REFUSALS = {404: ModelNotFound, 409: RegistryConflict, 422: RegistryValueError}


class HttpRegistry(Registry):
    """See `Registry`; each verb is one request."""

    def __init__(self, request: Callable[..., tuple[int, bytes]]) -> None:
        """request: what `HttpBackend` asks the server with."""
        self._request = request

    # --- models -------------------------------------------------------------------------------------

    def create(
        self, name: str, *, description: str = "", tags: Mapping[str, str] = NO_TAGS, author: str = ""
    ) -> RegisteredModel:
        told = {"name": name, "description": description, "tags": dict(tags), "author": author}
        return _model(self._ask("POST", "/models", told))

    def update(
        self,
        name: str,
        *,
        description: str | None = None,
        tags: Mapping[str, str | None] = NO_TAGS,
        author: str = "",
    ) -> RegisteredModel:
        told = {"description": description, "tags": dict(tags), "author": author}
        return _model(self._ask("PATCH", _path(name), told))

    def rename(self, name: str, to: str, *, author: str = "") -> RegisteredModel:
        return _model(self._ask("POST", f"{_path(name)}/rename", {"to": to, "author": author}))

    def delete(self, name: str, *, author: str = "") -> None:
        self._ask("DELETE", f"{_path(name)}?{urlencode({'author': author})}")

    def model(self, name: str) -> RegisteredModel:
        return _model(self._ask("GET", _path(name)))

    def search(self, search: ModelSearch = ALL_MODELS, *, limit: int = 100, after: str = "") -> ModelPage:
        way = "desc" if search.descending else "asc"
        query = {"name": search.name, "order_by": f"{search.order} {way}", "limit": limit, "after": after}
        if search.tags:
            query["tags"] = json.dumps(dict(search.tags))
        told = self._ask("GET", f"/models?{urlencode(query)}")
        return ModelPage(tuple(map(_model, told["models"])), told["next"] or "")

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
        of = {"run_id": run_id, "path": path, "source": source, "alias": alias}
        told = {**of, "description": description, "tags": dict(tags), "author": author}
        return _version(self._ask("POST", f"{_path(checked_name(name))}/versions", told))

    def versions(
        self, name: str, *, limit: int | None = None, before: int | None = None
    ) -> list[ModelVersion]:
        found: list[ModelVersion] = []
        while limit is None or len(found) < limit:
            size = PAGE if limit is None else min(limit - len(found), PAGE)
            place = {} if before is None else {"before": before}
            told = self._ask("GET", f"{_path(name)}/versions?{urlencode({'limit': size, **place})}")
            some = list(map(_version, told["versions"]))
            found += some
            if len(some) < size:
                break
            before = some[-1].version
        return found

    def version(self, name: str, which: int | str) -> ModelVersion:
        number = parsed_which(which)
        shown = str(number if isinstance(number, int) else which)
        return _version(self._ask("GET", _path(name, "versions", shown)))

    def of_run(self, run_id: str) -> list[ModelVersion]:
        told = self._ask("GET", f"/versions?{urlencode({'run_id': run_id})}")
        return list(map(_version, told["versions"]))

    def update_version(
        self,
        name: str,
        version: int,
        *,
        description: str | None = None,
        tags: Mapping[str, str | None] = NO_TAGS,
        author: str = "",
    ) -> ModelVersion:
        told = {"description": description, "tags": dict(tags), "author": author}
        return _version(self._ask("PATCH", _version_path(name, version), told))

    def delete_version(self, name: str, version: int, *, author: str = "") -> None:
        self._ask("DELETE", f"{_version_path(name, version)}?{urlencode({'author': author})}")

    def set_stage(
        self, name: str, version: int, stage: Stage, *, archive: bool = False, author: str = ""
    ) -> ModelVersion:
        told = {"stage": stage, "archive": archive, "author": author}
        return _version(self._ask("PUT", f"{_version_path(name, version)}/stage", told))

    # --- aliases ------------------------------------------------------------------------------------

    def set_alias(
        self, name: str, alias: str, version: int, *, expected: int | None = None, author: str = ""
    ) -> ModelVersion:
        told = {"version": version, "expected": expected, "author": author}
        return _version(self._ask("PUT", _path(name, "aliases", checked_alias(alias)), told))

    def delete_alias(
        self, name: str, alias: str, *, expected: int | None = None, author: str = ""
    ) -> ModelVersion:
        query = {"author": author} | ({} if expected is None else {"expected": expected})
        parsed_which(f"@{alias}")
        return _version(self._ask("DELETE", f"{_path(name, 'aliases', alias)}?{urlencode(query)}"))

    # --- audit --------------------------------------------------------------------------------------

    def audit(
        self, name: str | None = None, *, limit: int = 100, before: int | None = None
    ) -> list[AuditEntry]:
        query: dict[str, int | str] = {"limit": limit}
        query |= {} if name is None else {"model": name}
        query |= {} if before is None else {"before": before}
        told = self._ask("GET", f"/audit?{urlencode(query)}")
        return [wire.record_from_json(AuditEntry, entry) for entry in told["entries"]]

    # --- requests -----------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, told: Any = None) -> dict[str, Any]:
        """What the server answers; what it refuses is raised as the store itself would have."""
        status, body = self._request(method, path, told, expected=(200, *_REFUSALS))
        if status == 200:
            found = json.loads(body)
            assert isinstance(found, dict)
            return found
        message = wire.message_from_json(body)
        if message == NO_ROUTE:
            raise StoreError("the server knows no model registry: is it of an older autotrack?")
        raise _REFUSALS[status](message)


def _path(name: str, *rest: str) -> str:
    """The path of a model, or of something of its; a name that cannot be one has none."""
    try:
        parts = [quote(part, safe="@") for part in (checked_name(name), *rest)]
    except RegistryValueError as error:
        raise ModelNotFound(str(error)) from None
    return f"/models/{'/'.join(parts)}"


def _version_path(name: str, version: int) -> str:
    return _path(name, "versions", str(parsed_which(version)))


def _model(told: Mapping[str, Any]) -> RegisteredModel:
    return wire.record_from_json(RegisteredModel, told)


def _version(told: Mapping[str, Any]) -> ModelVersion:
    return wire.record_from_json(ModelVersion, told)
