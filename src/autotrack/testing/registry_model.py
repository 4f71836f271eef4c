"""A registry in a few dictionaries: what a real one is held against, verb by verb."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from ..errors import ModelNotFound, RegistryConflict
from ..registry import Registry
from ..states import Stage
from .histories import RUNS

_names = st.sampled_from(["a", "a", "b"])
_aliases = st.sampled_from(["x", "y"])
_numbers = st.integers(1, 3)
_expected = st.sampled_from([None, 0, 1, 2])
_tags = st.dictionaries(st.sampled_from("tu"), st.sampled_from([None, "1", "2"]), max_size=2)


def _action(verb: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    return st.tuples(st.just(verb), st.tuples(*arguments))


_REGISTER = _action("register", _names, st.sampled_from(["model", "other"]), st.none() | _aliases)
ACTIONS = st.one_of(
    *[_REGISTER] * 4,
    _action("create", _names),
    _action("update", _names, _tags),
    _action("rename", _names, _names),
    _action("delete", _names),
    _action("update_version", _names, _numbers, _tags),
    _action("delete_version", _names, _numbers),
    _action("set_stage", _names, _numbers, st.sampled_from(list(Stage)), st.booleans()),
    *[_action("set_alias", _names, _aliases, _numbers, _expected)] * 3,
    _action("delete_alias", _names, _aliases, _expected),
)
"""Verbs and their arguments; most of them collide."""
BEGINNING = [("register", ("a", "model", "x")), ("register", ("a", "other", None))]
"""So that there is something to collide with."""


@dataclass
class _Version:
    path: str
    tags: dict[str, str] = field(default_factory=dict)
    stage: Stage = Stage.NONE


@dataclass
class _Model:
    tags: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    versions: dict[int, _Version] = field(default_factory=dict)


class Refused(Exception):
    """By the error that a real registry raises."""


class Expected:
    """The same verbs; `done` is how many were not refused."""

    def __init__(self) -> None:
        self.done = 0
        self._models: dict[str, _Model] = {}
        self._last: dict[str, int] = {}

    def apply(self, verb: str, arguments: tuple[Any, ...]) -> str:
        """Do it: "done", or the name of the error."""
        try:
            getattr(self, f"_{verb}")(*arguments)
        except Refused as refused:
            return str(refused)
        self.done += 1
        return "done"

    def outcome(self, registry: Registry, verb: str, arguments: tuple[Any, ...]) -> str:
        """What a real registry makes of it."""
        try:
            match verb, arguments:
                case "register", (name, path, alias):
                    registry.register(name, RUNS[0], path, alias=alias)
                case "update", (name, tags):
                    registry.update(name, tags=tags)
                case "update_version", (name, number, tags):
                    registry.update_version(name, number, tags=tags)
                case "set_stage", (name, number, stage, archive):
                    registry.set_stage(name, number, stage, archive=archive)
                case "set_alias", (name, alias, number, expected):
                    registry.set_alias(name, alias, number, expected=expected)
                case "delete_alias", (name, alias, expected):
                    registry.delete_alias(name, alias, expected=expected)
                case _:
                    getattr(registry, verb)(*arguments)
        except (ModelNotFound, RegistryConflict) as error:
            return type(error).__name__
        return "done"

    def contents(self) -> dict[str, Any]:
        """Everything."""

        def told(model: _Model, number: int) -> tuple[Any, ...]:
            version = model.versions[number]
            aliases = tuple(sorted(alias for alias, at in model.aliases.items() if at == number))
            return version.path, version.tags, str(version.stage), aliases

        return {
            name: (model.tags, model.aliases, {number: told(model, number) for number in model.versions})
            for name, model in self._models.items()
        }

    # --- verbs --------------------------------------------------------------------------------------

    def _create(self, name: str) -> None:
        self._free(name)
        self._models[name] = _Model()

    def _register(self, name: str, path: str, alias: str | None) -> None:
        model = self._models.setdefault(name, _Model())
        number = self._last[name] = self._last.get(name, 0) + 1
        model.versions[number] = _Version(path)
        if alias is not None:
            model.aliases[alias] = number

    def _update(self, name: str, tags: dict[str, str | None]) -> None:
        self._tag(self._model(name).tags, tags)

    def _rename(self, name: str, to: str) -> None:
        model = self._model(name)
        if to != name:
            self._free(to)
        del self._models[name]
        self._models[to] = model
        self._last[to] = max(self._last.get(to, 0), self._last.get(name, 0))

    def _delete(self, name: str) -> None:
        if self._model(name).aliases:
            raise Refused("RegistryConflict")
        del self._models[name]

    def _update_version(self, name: str, number: int, tags: dict[str, str | None]) -> None:
        self._tag(self._version(name, number).tags, tags)

    def _delete_version(self, name: str, number: int) -> None:
        self._version(name, number)
        if number in self._model(name).aliases.values():
            raise Refused("RegistryConflict")
        del self._model(name).versions[number]

    def _set_stage(self, name: str, number: int, stage: Stage, archive: bool) -> None:
        moved = self._version(name, number)
        for version in self._model(name).versions.values():
            if archive and version.stage is stage is not Stage.NONE:
                version.stage = Stage.ARCHIVED
        moved.stage = stage

    def _set_alias(self, name: str, alias: str, number: int, expected: int | None) -> None:
        self._version(name, number)
        self._expect(name, alias, expected)
        self._model(name).aliases[alias] = number

    def _delete_alias(self, name: str, alias: str, expected: int | None) -> None:
        if alias not in self._model(name).aliases:
            raise Refused("ModelNotFound")
        self._expect(name, alias, expected)
        del self._model(name).aliases[alias]

    def _expect(self, name: str, alias: str, expected: int | None) -> None:
        if expected is not None and expected != self._model(name).aliases.get(alias, 0):
            raise Refused("RegistryConflict")

    def _tag(self, tags: dict[str, str], changes: dict[str, str | None]) -> None:
        for name, value in changes.items():
            tags.pop(name, None)
            if value is not None:
                tags[name] = value

    def _free(self, name: str) -> None:
        if name in self._models:
            raise Refused("RegistryConflict")

    def _model(self, name: str) -> _Model:
        if name not in self._models:
            raise Refused("ModelNotFound")
        return self._models[name]

    def _version(self, name: str, number: int) -> _Version:
        if number not in self._model(name).versions:
            raise Refused("ModelNotFound")
        return self._model(name).versions[number]
