"""Registered models and their versions, as a user has them in hand."""

from __future__ import annotations

import getpass
import hashlib
import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from . import loading
from .addresses import registered, resolved
from .comparison import Comparison, compared
from .display import text
from .errors import EvaluationFailed, ModelError, RegistryConflict, StoreError
from .evaluating import tags
from .flavor import Permissions
from .locations import database_path, is_server
from .mlmodel import document
from .promotion import promote
from .records import AuditEntry, Dataset, Model, ModelVersion, RegisteredModel
from .registry import (
    ModelSearch,
    Registry,
    checked_limit,
    checked_tags,
    is_address,
    parsed_order,
    parsed_stage,
)
from .semconv import Scalar
from .states import Stage, State
from .store import Run, Store, open_store, search_of

PAGE = 500
"""Models that are asked for at once."""


def author() -> str:
    """Who does it: this process's user, as the system calls him."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return ""


def register(
    store: Store, uri: str, name: str, *, alias: str | None, description: str, tags: Mapping[str, str]
) -> Version:
    """See `autotrack.register_model`."""
    uri, tags = str(uri), checked_tags(tags)  # what is no text is no address, and told as such
    source = registered(store, uri).uri if is_address(uri) else ""
    run, model = loading.kept(store, *resolved(store, uri))
    store.secure(file.sha256 for file in run.artifacts if file.path.startswith(f"{model.path}/"))
    told: dict[str, Any] = {"source": source, "alias": alias, "description": description, "tags": tags}
    made = store.backend.registry.register(name, run.id, model.path, **told, author=author())
    return Version(store, made)


def model(store: Store, name: str) -> Registered:
    """See `autotrack.get_model`."""
    return Registered(store, store.backend.registry.model(name))


def models(
    store: Store, name: str, *, tags: Mapping[str, str], order_by: str, limit: int | None
) -> list[Registered]:
    """See `autotrack.registered_models`."""
    order, descending = parsed_order(order_by)
    limit, tags = checked_limit(limit), checked_tags(tags)
    found = _pages(store.backend.registry, ModelSearch(name, tags, order, descending), limit or PAGE)
    return [Registered(store, one) for one in itertools.islice(found, limit)]


def _pages(registry: Registry, search: ModelSearch, size: int) -> Iterator[RegisteredModel]:
    after = ""
    while True:
        page = registry.search(search, limit=min(size, PAGE), after=after)
        yield from page.models
        after = page.next
        if not after:
            return


def version(store: Store, uri: str) -> Version:
    """The version at an address of a registered model. Raises `ModelError`, `ModelNotFound`."""
    return Version(store, registered(store, uri))


class Registered:
    """A registered model, as it was when it was read; what is changed through it returns it as it is then.

    Attributes: `name`, `description` (Markdown), `tags`, `aliases` (alias → version), `stages` (stage →
    latest version), `latest` (the highest version or None), `count` (of versions), `author`, `created`,
    `updated`.
    """

    def __init__(self, store: Store, record: RegisteredModel) -> None:
        self._store = store
        self._registry = store.backend.registry
        self.name = record.name
        self.description = record.description
        self.tags: dict[str, str] = dict(record.tags)
        self.aliases: dict[str, int] = dict(record.aliases)
        self.stages: dict[str, int] = dict(record.stages)
        self.latest = record.latest
        self.count = record.versions
        self.author = record.author
        self.created = record.created
        self.updated = record.updated

    def versions(self, limit: int | None = None) -> list[Version]:
        """The versions, the latest first."""
        found = self._registry.versions(self.name, limit=checked_limit(limit))
        return [Version(self._store, one) for one in found]

    def version(self, which: int | str = "latest") -> Version:
        """One version: its number, "latest", "@alias" or a stage. Raises `ModelNotFound`."""
        return Version(self._store, self._registry.version(self.name, which))

    def update(
        self, *, description: str | None = None, tags: Mapping[str, str | None] | None = None
    ) -> Registered:
        """Change the description, if one is given, and tags; None takes a tag away."""
        told: dict[str, Any] = {"description": description, "tags": checked_tags(tags or {}, unset=True)}
        return self._again(self._registry.update(self.name, **told, author=author()))

    def rename(self, name: str) -> Registered:
        """Give it another name. Raises `RegistryConflict` if that is taken."""
        return self._again(self._registry.rename(self.name, name, author=author()))

    def delete(self) -> None:
        """Delete it and all its versions. Raises `RegistryConflict` while it has an alias."""
        self._registry.delete(self.name, author=author())

    def set_alias(self, alias: str, version: int, *, expected: int | None = None) -> Version:
        """Point an alias at a version; see `Version.set_alias`."""
        made = self._registry.set_alias(self.name, alias, version, expected=expected, author=author())
        return Version(self._store, made)

    def delete_alias(self, alias: str, *, expected: int | None = None) -> Version:
        """Take an alias away; the version that had it is returned. Raises as `set_alias` does."""
        had = self._registry.delete_alias(self.name, alias, expected=expected, author=author())
        return Version(self._store, had)

    def audit(self, limit: int = 100) -> list[AuditEntry]:
        """Who changed what of it and its versions, the latest first."""
        return self._registry.audit(self.name, limit=checked_limit(limit) or 0)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; times as ISO 8601."""
        return {
            "name": self.name,
            "description": self.description,
            "tags": self.tags,
            "aliases": self.aliases,
            "stages": self.stages,
            "latest": self.latest,
            "versions": self.count,
            "author": self.author,
            "created": self.created.isoformat(),
            "updated": self.updated.isoformat(),
        }

    def __repr__(self) -> str:
        return f"<Registered {self.name!r}, {text.count(self.count, 'version')}>"

    def _again(self, record: RegisteredModel) -> Registered:
        return Registered(self._store, record)


class Version:
    """A version of a registered model, as it was when it was read.

    Attributes: `name`, `version`, `uri` (its address), `run_id` and `path` (the model of a run that it is),
    `source` (where it was taken from), `description` (Markdown), `tags`, `aliases`, `stage`, `files`, `size`
    (bytes), `author`, `created`, `updated`.
    """

    def __init__(self, store: Store, record: ModelVersion) -> None:
        self._store = store
        self._registry = store.backend.registry
        self._record = record
        self.name = record.name
        self.version = record.version
        self.uri = record.uri
        self.run_id = record.run_id
        self.path = record.path
        self.source = record.source
        self.description = record.description
        self.tags: dict[str, str] = dict(record.tags)
        self.aliases = record.aliases
        self.stage: Stage = record.stage
        self.files = record.files
        self.size = record.size
        self.author = record.author
        self.created = record.created
        self.updated = record.updated

    # --- where it comes from ------------------------------------------------------------------------

    @property
    def run(self) -> Run:
        """The run that trained it. Raises `RunNotFound`."""
        return self._store.run(self.run_id)

    @property
    def datasets(self) -> list[Dataset]:
        """The data of that run."""
        return self._store.backend.datasets(self.run_id)

    @property
    def model(self) -> Model:
        """What its run says of the model: flavor, class, facts. Raises `ModelError` if it has it no more."""
        for found in self._store.backend.models(self.run_id):
            if found.path == self.path:
                return found
        raise ModelError(f"run {self.run_id} has no model {self.path!r} any more")

    @property
    def evaluations(self) -> list[Run]:
        """The runs of `autotrack.evaluate` for this model, under whatever name, the latest first."""
        try:
            model_id = str(self.model.facts.get("id", ""))
        except ModelError:
            return []
        is_id = model_id.isalnum()
        return [*self._store.runs(f"tags.{tags.MODEL_ID} = '{model_id}'")] if is_id else []

    def require(self, filter: str) -> Version:
        """Itself, if its latest evaluation passes a filter of runs, as "metrics.roc_auc >= 0.9 and …".

        Thresholds that the evaluation had must have been reached, too. Raises `EvaluationFailed`,
        `QueryError`.
        """
        search_of(filter)  # by itself: a bracket of it closes none of ours
        known = self.evaluations
        if not known:
            raise EvaluationFailed(f"{self.uri} was never evaluated; see autotrack.evaluate")
        latest = known[0]
        if latest.state is not State.FINISHED:
            raise EvaluationFailed(
                f"the evaluation {latest.id} of {self.uri} is {latest.state}, not finished"
            )
        if latest.tags.get(tags.PASSED) == "false":
            raise EvaluationFailed(f"{self.uri} did not reach the thresholds of its evaluation {latest.id}")
        passing = self._store.runs(f"attributes.run_id = '{latest.id}' and ({filter})") if filter else known
        if not passing:
            raise EvaluationFailed(f"the evaluation {latest.id} of {self.uri} does not pass: {filter}")
        return self

    @property
    def digest(self) -> str:
        """The sha256 of the model's own files' names and digests: equal where the models are.

        Its `MLmodel` is left out: that has the run, an id and the time in it.
        """
        own = [file for file in self.files if file.path != f"{self.path}/{document.FILE}"]
        told = [[file.path.removeprefix(self.path), file.sha256] for file in own]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def load(
        self, *, trusted: Collection[str] = (), allow_pickle: bool = False, allow_code: bool = False
    ) -> Any:
        """The library's own object, to predict with; see `autotrack.load_model`."""
        permissions = Permissions(trusted, pickle=allow_pickle, code=allow_code)
        return loading.load(loading.model_folder(lambda: self._store, self.uri), permissions).model

    def compare(self, *others: Version) -> Comparison:
        """This one and others: their models, and the metrics, params and data of their runs."""
        return compared_versions([self, *others])

    # --- verbs --------------------------------------------------------------------------------------

    def update(
        self, *, description: str | None = None, tags: Mapping[str, str | None] | None = None
    ) -> Version:
        """Change the description, if one is given, and tags; None takes a tag away."""
        told: dict[str, Any] = {"description": description, "tags": checked_tags(tags or {}, unset=True)}
        made = self._registry.update_version(self.name, self.version, **told, author=author())
        return Version(self._store, made)

    def set_alias(self, alias: str, *, expected: int | None = None) -> Version:
        """Point an alias at it, wherever that points now.

        expected: only if it points at this version now, 0 for none: of two who move it at once one gets
        `RegistryConflict`.
        """
        made = self._registry.set_alias(self.name, alias, self.version, expected=expected, author=author())
        return Version(self._store, made)

    def set_stage(self, stage: str | None, *, archive: bool = False) -> Version:
        """Move it to None, Staging, Production or Archived; with `archive` those that are there make room."""
        to = parsed_stage(stage)
        made = self._registry.set_stage(self.name, self.version, to, archive=archive, author=author())
        return Version(self._store, made)

    def delete(self) -> None:
        """Delete it; its number is not given again. Raises `RegistryConflict` while an alias points at it."""
        self._registry.delete_version(self.name, self.version, author=author())

    def promote(
        self, store: str | None = None, *, name: str | None = None, alias: str | None = None
    ) -> Version:
        """Take it to another store, with its run and files, or to another name of this one.

        store: its URL, None for this one. name: default is the same. alias: points at it there. What is there
        already is not made again; a store is, in a folder that there is. Raises `ModelError`, `StoreError`,
        `RegistryConflict` if nothing is asked.
        """
        target = self._store if store is None else open_store(store)
        _check_folder(target.url)
        if target.url == self._store.url and name in (None, self.name) and alias is None:
            raise RegistryConflict(f"{self.uri} is there: name another store, another name or an alias")
        made = promote(self._store, self._record, target, name=name, alias=alias, author=author())
        return Version(target, made)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; times as ISO 8601."""
        return {
            "name": self.name,
            "version": self.version,
            "uri": self.uri,
            "run_id": self.run_id,
            "path": self.path,
            "source": self.source,
            "description": self.description,
            "tags": self.tags,
            "aliases": list(self.aliases),
            "stage": str(self.stage),
            "size": self.size,
            "digest": self.digest,
            "files": [{"path": file.path, "sha256": file.sha256, "size": file.size} for file in self.files],
            "author": self.author,
            "created": self.created.isoformat(),
            "updated": self.updated.isoformat(),
        }

    def __repr__(self) -> str:
        return f"<Version {self.uri} of run {self.run_id}>"


def _check_folder(url: str) -> None:
    """Raise `StoreError` for a database in a folder that is not there: its path may be mistyped."""
    folder = None if is_server(url) else database_path(url).parent
    if folder is not None and not folder.is_dir():
        raise StoreError(f"there is no folder {folder} for the store {url}: make it, or mend the path")


def compared_versions(versions: Sequence[Version]) -> Comparison:
    """Versions side by side: the models first, then all that can be compared of their runs."""
    found = compared([version.run for version in versions])
    return found.preceded("model", [_facts(version) for version in versions])


def _facts(version: Version) -> dict[str, Scalar]:
    """What tells one model from another."""
    model = version.model
    facts: dict[str, Scalar] = {"class": model.kind, "flavor": model.flavor, "size": version.size}
    facts["digest"] = version.digest
    if signature := model.facts.get("signature"):
        facts["signature"] = signature if isinstance(signature, str) else json.dumps(signature)
    for package, number in dict(model.facts.get("versions") or {}).items():
        facts[str(package)] = str(number)
    return facts
