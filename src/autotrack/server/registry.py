"""``/api/v1/models``: the registry. A verb is a transaction in the thread that writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import NoneType
from typing import Annotated, Any

from starlette.requests import Request

from ..backends import wire
from ..errors import RegistryValueError
from ..registry import ModelSearch, checked_tags, parsed_order, parsed_stage
from ..store import Store
from . import schemas
from .answers import Refused
from .bodies import read_json
from .intake import Intake
from .operations import Between, Operation, whole_number

_MOST_BYTES = 4 << 20
_MOST = 2**63 - 1
_Page = Annotated[int, Between(1, 1000)]
_Place = Annotated[int, Between(0, _MOST)]
_TEXT, _TAGS = (str,), (dict,)
_MAYBE_TEXT, _MAYBE_NUMBER = (str, NoneType), (int, NoneType)


class Models:
    """Reads and verbs of a store's registry."""

    def __init__(
        self, store: Store, intake: Intake, told: Callable[[Sequence[str]], list[dict[str, Any]]]
    ) -> None:
        """told: how the API tells of the runs of some ids."""
        self._backend = store.backend
        self._registry = store.backend.registry
        self._told = told
        self._intake = intake

    def operations(self, base: str) -> list[Operation]:
        """All of them."""
        models, versions = f"{base}/models", f"{base}/models/{{name}}/versions"
        one, version = f"{models}/{{name}}", f"{versions}/{{version}}"
        alias = f"{one}/aliases/{{alias}}"
        model, told = schemas.REGISTERED_MODEL, schemas.MODEL_VERSION
        refused = (400, 404, 409, 413)
        return [
            Operation("GET", models, self.search_models, schemas.REGISTERED_MODELS),
            Operation("POST", models, self.create_model, model, schemas.NEW_MODEL, refused),
            Operation("GET", one, self.registered_model, model, None, (404,)),
            Operation("PATCH", one, self.update_model, model, schemas.MODEL_CHANGES, refused),
            Operation("DELETE", one, self.delete_model, failures=(404, 409)),
            Operation("POST", f"{one}/rename", self.rename_model, model, schemas.NEW_NAME, refused),
            Operation("GET", versions, self.model_versions, schemas.MODEL_VERSIONS, None, (404,)),
            Operation("GET", f"{one}/lineage", self.lineage, schemas.LINEAGE, None, (404,)),
            Operation("POST", versions, self.register_version, told, schemas.NEW_VERSION, refused),
            Operation("GET", version, self.model_version, told, None, (404,)),
            Operation("PATCH", version, self.update_version, told, schemas.MODEL_CHANGES, refused),
            Operation("DELETE", version, self.delete_version, failures=(404, 409)),
            Operation("PUT", f"{version}/stage", self.set_stage, told, schemas.NEW_STAGE, refused),
            Operation("PUT", alias, self.set_alias, told, schemas.NEW_ALIAS, refused),
            Operation("DELETE", alias, self.delete_alias, told, None, (404, 409)),
            Operation("GET", f"{base}/versions", self.versions_of_run, schemas.MODEL_VERSIONS),
            Operation("GET", f"{base}/audit", self.audit, schemas.AUDIT),
        ]

    # --- models -------------------------------------------------------------------------------------

    def search_models(
        self,
        *,
        name: str = "",
        tags: str = "",
        order_by: str = "updated desc",
        limit: _Page = 100,
        after: str = "",
    ) -> dict[str, Any]:
        """Registered models in order; `next` is what `after` takes to go on.

        `name` is a part of theirs, or a pattern with %; `tags` a JSON object, all of which they have.
        """
        order, descending = parsed_order(order_by)
        search = ModelSearch(name, _tags(tags), order, descending)
        page = self._registry.search(search, limit=limit, after=after)
        return {"models": list(map(wire.record_to_json, page.models)), "next": page.next or None}

    async def create_model(self, request: Request) -> dict[str, Any]:
        """A new model without versions."""
        told = await _body(request, {"name": _TEXT}, description=_TEXT, tags=_TAGS)
        return await self._do(self._registry.create, **told)

    def registered_model(self, name: str) -> dict[str, Any]:
        """One registered model."""
        return wire.record_to_json(self._registry.model(name))

    async def update_model(self, request: Request, name: str) -> dict[str, Any]:
        """Change the description and tags of a model."""
        told = await _body(request, {}, description=_MAYBE_TEXT, tags=_TAGS)
        return await self._do(self._registry.update, name, **told)

    async def rename_model(self, request: Request, name: str) -> dict[str, Any]:
        """Give a model another name."""
        told = await _body(request, {"to": _TEXT})
        return await self._do(self._registry.rename, name, **told)

    async def delete_model(self, request: Request, name: str, *, author: str = "") -> dict[str, Any]:
        """Delete a model, which must have no alias, and its versions."""
        return await self._do(self._registry.delete, name, author=author)

    # --- versions -----------------------------------------------------------------------------------

    def model_versions(
        self, name: str, *, limit: _Page = 100, before: _Place | None = None
    ) -> dict[str, Any]:
        """The versions of a model, the latest first; `before` is the number of the last one seen."""
        found = self._registry.versions(name, limit=limit, before=before)
        return {"versions": list(map(wire.record_to_json, found))}

    def lineage(self, name: str, *, limit: _Page = 100, before: _Place | None = None) -> dict[str, Any]:
        """What versions are made of, the latest first: the run, its model, its data; null is what is gone."""
        found = self._registry.versions(name, limit=limit, before=before)
        ids = sorted({version.run_id for version in found})
        runs = {run["id"]: run for run in self._told(ids)}
        kept, data = self._backend.models_of(ids), self._backend.datasets_of(ids)
        models = {(id, model.path): model for id in ids for model in kept[id]}
        return {
            "lineage": [
                {
                    "version": version.version,
                    "run": runs.get(version.run_id),
                    "model": _or_null(models.get((version.run_id, version.path))),
                    "datasets": [
                        {"name": one.name, "role": one.role, "digest": one.digest}
                        for one in data[version.run_id]
                    ],
                }
                for version in found
            ]
        }

    async def register_version(self, request: Request, name: str) -> dict[str, Any]:
        """Make the model at a path of a run the next version; the name is made if need be."""
        of = {"run_id": _TEXT, "path": _TEXT}
        told = await _body(request, of, source=_TEXT, alias=_MAYBE_TEXT, description=_TEXT, tags=_TAGS)
        return await self._do(self._registry.register, name, **told)

    def model_version(self, name: str, version: str) -> dict[str, Any]:
        """One version, by its number, `latest`, `@ALIAS` or a stage."""
        return wire.record_to_json(self._registry.version(name, version))

    async def update_version(self, request: Request, name: str, version: str) -> dict[str, Any]:
        """Change the description and tags of a version."""
        told = await _body(request, {}, description=_MAYBE_TEXT, tags=_TAGS)
        return await self._do(self._registry.update_version, name, _number(version), **told)

    async def delete_version(
        self, request: Request, name: str, version: str, *, author: str = ""
    ) -> dict[str, Any]:
        """Delete a version, which must have no alias."""
        return await self._do(self._registry.delete_version, name, _number(version), author=author)

    async def set_stage(self, request: Request, name: str, version: str) -> dict[str, Any]:
        """Move a version to a stage; with `archive` those that are there are archived."""
        told = await _body(request, {"stage": _TEXT}, archive=(bool,))
        stage = parsed_stage(told.pop("stage"))
        return await self._do(self._registry.set_stage, name, _number(version), stage, **told)

    def versions_of_run(self, *, run_id: str = "") -> dict[str, Any]:
        """The versions that are models of a run."""
        return {"versions": list(map(wire.record_to_json, self._registry.of_run(run_id)))}

    # --- aliases and audit --------------------------------------------------------------------------

    async def set_alias(self, request: Request, name: str, alias: str) -> dict[str, Any]:
        """Point an alias at a version: only if it points at `expected`, where that is told (0: at none)."""
        told = await _body(request, {"version": (int,)}, expected=_MAYBE_NUMBER)
        return await self._do(self._registry.set_alias, name, alias, **told)

    async def delete_alias(
        self,
        request: Request,
        name: str,
        alias: str,
        *,
        expected: _Place | None = None,
        author: str = "",
    ) -> dict[str, Any]:
        """Take an alias away; the version that had it is the answer."""
        return await self._do(self._registry.delete_alias, name, alias, expected=expected, author=author)

    def audit(
        self, *, model: str | None = None, limit: _Page = 100, before: _Place | None = None
    ) -> dict[str, Any]:
        """Who changed what, the latest first; `before` is the number of the last entry seen."""
        found = self._registry.audit(model, limit=limit, before=before)
        return {"entries": list(map(wire.record_to_json, found))}

    async def _do(self, verb: Callable[..., Any], *arguments: Any, **told: Any) -> dict[str, Any]:
        """The record that a verb returns; nothing where it deletes one."""
        record = await self._intake.do(partial(verb, *arguments, **told))
        return {} if record is None else wire.record_to_json(record)


def _or_null(record: Any) -> dict[str, Any] | None:
    return None if record is None else wire.record_to_json(record)


async def _body(
    request: Request, required: Mapping[str, tuple[type, ...]], **optional: tuple[type, ...]
) -> dict[str, Any]:
    """What a body says, by name, each of the types it can be. Raises `Refused`."""
    told = await read_json(request, _MOST_BYTES)
    known = {**required, **optional, "author": _TEXT}
    if unknown := sorted(told.keys() - known.keys()):
        raise Refused(422, f"no {unknown[0][:60]!r} here; there is {', '.join(known)}")
    if missing := next((name for name in required if name not in told), None):
        raise Refused(422, f"{missing} is missing")
    for name, value in told.items():
        if type(value) not in known[name]:
            raise Refused(422, f"{name} is not of the type that it has: see openapi.json")
    return told


def _number(told: str) -> int:
    """A version's number in a path. Raises `Refused`."""
    number = whole_number(told)
    if number is None:
        raise Refused(422, f"{told[:60]!r} is no version's number")
    return number


def _tags(told: str) -> dict[str, str]:
    try:
        tags = json.loads(told or "{}")
    except (ValueError, RecursionError):
        tags = None
    if not isinstance(tags, dict):
        raise RegistryValueError("tags is no JSON object")
    return checked_tags(tags)
