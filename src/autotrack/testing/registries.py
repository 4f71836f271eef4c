"""The part of the kit for backends that holds their model registry to its promises."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .. import semconv as sc
from ..backend import Backend
from ..errors import ModelNotFound, RegistryConflict, RegistryValueError
from ..records import ModelVersion, SpanRecord
from ..registry import ModelSearch, Registry
from ..states import Stage
from .histories import RUNS, WRITERS, ours
from .registry_model import ACTIONS, BEGINNING, Expected

GOOD_NAMES = ["churn", "Churn v2", "a.b-c_d%e?f#g", "модель🙂", "x" * 250, "'; DROP TABLE run", "3", "latest"]
BAD_NAMES = ["", " ", "a/b", "a:b", "a@b", "a\nb", "a\0b", "\u202egpj", "x" * 251, ".", "..", " a", "\ud800"]
BAD_ALIASES = [*BAD_NAMES, "7", "latest", "LATEST"]


def model_spans(run: str = RUNS[0], digest: str = "1", first_seq: int = 1, **facts: Any) -> list[SpanRecord]:
    """A run with two models that are kept, `model` and `other`, and `facts` of its start."""
    start = {sc.RUN_NAME: "a run", sc.EXPERIMENT_NAME: "e", **facts}
    kept = {sc.MODEL_FLAVOR: "f", sc.MODEL_CLASS: "m.C", sc.MODEL_FACTS: '{"state": "kept", "size": 3}'}
    kinds: list[tuple[str, dict[str, Any]]] = [("run.start", start)]
    for path in ("model", "other"):
        blob = {sc.ARTIFACT_PATH: f"{path}/model.bin", sc.ARTIFACT_SHA256: digest * 64, sc.ARTIFACT_SIZE: 3}
        kinds += [("artifact", blob), ("model", {sc.MODEL_PATH: path, **kept})]
    kinds.append(("artifact", {**blob, sc.ARTIFACT_PATH: "model.png"}))
    return [
        ours(kind, run, 1, WRITERS[0], (seq,), told, seq) for seq, (kind, told) in enumerate(kinds, first_seq)
    ]


class RegistryConformance:
    """Every promise of `Registry`; `BackendConformance` has its fixtures."""

    @pytest.fixture
    def new_url(self) -> Callable[[], str]:
        raise NotImplementedError

    def make_backend(self, url: str) -> Backend:
        raise NotImplementedError

    @pytest.fixture
    def url(self, new_url: Callable[[], str]) -> str:
        """A store with a run that has models."""
        url = new_url()
        backend = self.make_backend(url)
        backend.write(model_spans())
        backend.close()
        return url

    @pytest.fixture
    def registry(self, url: str) -> Registry:
        """Its registry."""
        return self.make_backend(url).registry

    # --- versions -----------------------------------------------------------------------------------

    def test_a_version_is_all_that_was_told_of_it(self, registry: Registry) -> None:
        told: Any = {"description": "# Why\n*good*", "tags": {"team": "a", "é": ""}, "author": "ann"}
        made = registry.register("churn", RUNS[0], "model", alias="champion", **told)
        assert made == registry.version("churn", 1)
        assert (made.name, made.version, made.run_id, made.path) == ("churn", 1, RUNS[0], "model")
        assert (made.description, dict(made.tags), made.author) == tuple(told.values())
        assert (made.aliases, made.stage) == (("champion",), Stage.NONE)
        assert made.source == f"runs:/{RUNS[0]}/model"
        assert [(file.path, file.sha256, file.size) for file in made.files] == [
            ("model/model.bin", "1" * 64, 3)
        ]
        assert made.created == made.updated
        model = registry.model("churn")
        assert (model.name, model.latest, model.versions, model.aliases) == ("churn", 1, 1, {"champion": 1})

    def test_versions_count_from_one_and_no_number_comes_twice(self, registry: Registry) -> None:
        def registered() -> int:
            return registry.register("churn", RUNS[0], "model").version

        assert [registered() for _ in range(3)] == [1, 2, 3]
        registry.delete_version("churn", 3)
        registry.delete_version("churn", 1)
        assert registered() == 4
        assert [version.version for version in registry.versions("churn")] == [4, 2]
        registry.delete("churn")
        assert registered() == 5, "models:/churn/1 is never another model"
        assert registry.register("other", RUNS[0], "model").version == 1

    def test_versions_come_in_pages(self, registry: Registry) -> None:
        for _ in range(5):
            registry.register("churn", RUNS[0], "model")
        assert [v.version for v in registry.versions("churn", limit=2)] == [5, 4]
        assert [v.version for v in registry.versions("churn", limit=9, before=4)] == [3, 2, 1]
        assert registry.versions("churn", before=1) == []

    def test_what_points_at_a_version(self, registry: Registry) -> None:
        for _ in range(4):
            registry.register("churn", RUNS[0], "model")
        registry.set_alias("churn", "champion", 2)
        registry.set_stage("churn", 1, Stage.PRODUCTION)
        registry.set_stage("churn", 3, Stage.PRODUCTION)
        points: dict[int | str, int] = {3: 3, "3": 3, "latest": 4, "@champion": 2}
        points |= {"Production": 3, "production": 3, "None": 4}
        for which, number in points.items():
            assert registry.version("churn", which).version == number, which
        nothing: list[int | str] = [0, 5, -(2**70), 2**70, "@champ", "Staging"]
        for which in nothing:
            with pytest.raises(ModelNotFound, match="model 'churn' has no") as refusal:
                registry.version("churn", which)
            assert str(which).strip("@") in str(refusal.value), "it is told as it was asked for"
        for which in ("@", "@7", "best", ""):
            with pytest.raises(RegistryValueError):
                registry.version("churn", which)

    def test_who_mistypes_is_told_what_there_is(self, registry: Registry) -> None:
        registry.register("churn", RUNS[0], "model", alias="champion")
        with pytest.raises(ModelNotFound, match="did you mean 'churn'"):
            registry.version("chrun", 1)
        with pytest.raises(ModelNotFound, match="did you mean 'champion'"):
            registry.version("churn", "@campion")

    @pytest.mark.parametrize(
        ("run", "path", "error", "said"),
        [
            ("f" * 32, "model", ModelNotFound, "no run has the id 'ffff"),
            (RUNS[0], "mdoel", ModelNotFound, "has no model 'mdoel'; it has model, other, pending, refused"),
            (RUNS[0], "pending", RegistryConflict, "still being converted"),
            (RUNS[0], "refused", RegistryConflict, "too large"),
            (RUNS[0], "model/model.bin", ModelNotFound, "has no model"),
        ],
    )
    def test_only_a_model_that_is_kept_becomes_a_version(
        self, url: str, run: str, path: str, error: type[Exception], said: str
    ) -> None:
        backend = self.make_backend(url)
        states = {"pending": '{"state": "pending"}', "refused": '{"state": "refused", "reason": "too large"}'}
        backend.write(
            ours(
                "model",
                RUNS[0],
                1,
                WRITERS[1],
                (seq,),
                {**_A_MODEL, sc.MODEL_PATH: name, sc.MODEL_FACTS: facts},
                9,
            )
            for seq, (name, facts) in enumerate(states.items(), 1)
        )
        with pytest.raises(error, match=said):
            backend.registry.register("churn", run, path)
        with pytest.raises(ModelNotFound):
            backend.registry.model("churn")
        assert backend.registry.audit() == []
        backend.close()

    def test_a_version_keeps_its_files_when_the_run_has_others(self, url: str) -> None:
        backend = self.make_backend(url)
        made = backend.registry.register("churn", RUNS[0], "model")
        backend.write(model_spans(digest="2", first_seq=10))
        assert backend.registry.version("churn", 1).files == made.files
        assert {"1" * 64, "2" * 64} <= backend.blobs(), "they are in use, all of them"
        backend.registry.delete("churn")
        assert "1" * 64 not in backend.blobs()
        backend.close()

    def test_the_versions_of_a_run(self, registry: Registry) -> None:
        made = [registry.register(name, RUNS[0], "model") for name in ("b", "a", "b")]
        assert registry.of_run(RUNS[0]) == [made[1], made[0], made[2]]
        assert registry.of_run(RUNS[1]) == []

    def test_stages_move_on(self, registry: Registry) -> None:
        for _ in range(3):
            registry.register("churn", RUNS[0], "model")
        registry.set_stage("churn", 1, Stage.PRODUCTION)
        registry.set_stage("churn", 2, Stage.PRODUCTION)
        assert registry.set_stage("churn", 3, Stage.PRODUCTION, archive=True).stage is Stage.PRODUCTION
        assert [v.stage for v in registry.versions("churn")] == ["Production", "Archived", "Archived"]
        assert registry.model("churn").stages == {"Archived": 2, "Production": 3}
        assert registry.set_stage("churn", 3, Stage.NONE).stage is Stage.NONE
        assert registry.audit()[1].detail == {
            "stage": {"from": "None", "to": "Production"},
            "archived": [1, 2],
        }

    # --- names --------------------------------------------------------------------------------------

    @pytest.mark.parametrize("name", GOOD_NAMES, ids=ascii)
    def test_odd_names_are_names_of_models(self, registry: Registry, name: str) -> None:
        assert registry.create(name, description="d").name == name
        assert registry.register(name, RUNS[0], "model").name == name
        assert registry.version(name, "latest").version == 1
        assert [model.name for model in registry.search().models] == [name]
        assert registry.rename(name, "plain").name == "plain"

    @pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
    def test_what_cannot_be_a_models_name(self, registry: Registry, name: str) -> None:
        registry.create("good")
        verbs: list[Callable[[], Any]] = [
            lambda: registry.create(name),
            lambda: registry.register(name, RUNS[0], "model"),
            lambda: registry.rename("good", name),
        ]
        for verb in verbs:
            with pytest.raises(RegistryValueError, match="name"):
                verb()
        with pytest.raises(ModelNotFound):
            registry.model(name)
        assert [model.name for model in registry.search().models] == ["good"]

    @pytest.mark.parametrize("alias", BAD_ALIASES, ids=ascii)
    def test_what_cannot_be_an_alias(self, registry: Registry, alias: str) -> None:
        registry.register("churn", RUNS[0], "model")
        with pytest.raises(RegistryValueError, match="alias"):
            registry.set_alias("churn", alias, 1)
        with pytest.raises(RegistryValueError, match="alias"):
            registry.register("churn", RUNS[0], "model", alias=alias)
        assert registry.model("churn").versions == 1

    def test_a_name_is_taken_once(self, registry: Registry) -> None:
        registry.create("churn")
        registry.create("other")
        with pytest.raises(RegistryConflict, match="already"):
            registry.create("churn")
        with pytest.raises(RegistryConflict, match="already"):
            registry.rename("other", "churn")
        assert registry.rename("churn", "churn").name == "churn"

    def test_a_renamed_model_keeps_all_it_has(self, registry: Registry) -> None:
        registry.register("churn", RUNS[0], "model", alias="champion", tags={"a": "b"})
        registry.update("churn", description="d", tags={"x": "y"})
        before, version = registry.model("churn"), registry.version("churn", 1)
        registry.rename("churn", "leavers")
        after = registry.model("leavers")
        assert (after.description, after.tags, after.aliases) == ("d", {"x": "y"}, {"champion": 1})
        assert after.created == before.created
        assert registry.version("leavers", "@champion").files == version.files
        with pytest.raises(ModelNotFound):
            registry.model("churn")
        assert registry.register("churn", RUNS[0], "model").version == 2, "models:/churn/1 was another one"
        assert registry.register("leavers", RUNS[0], "model").version == 2

    def test_descriptions_and_tags_change(self, registry: Registry) -> None:
        registry.create("churn", description="old", tags={"keep": "1", "drop": "2", "change": "3"})
        registry.register("churn", RUNS[0], "model", tags={"drop": "2"})
        changed = registry.update(
            "churn", description="new\n🙂", tags={"drop": None, "change": "4", "none": None}
        )
        assert (changed.description, changed.tags) == ("new\n🙂", {"keep": "1", "change": "4"})
        version = registry.update_version("churn", 1, tags={"drop": None, "new": "x"})
        assert (version.description, version.tags) == ("", {"new": "x"})
        assert registry.update("churn").description == "new\n🙂"
        assert registry.update("churn", description="").description == ""
        bad: list[dict[str, Any]] = [
            {"description": "x" * 65_537},
            {"tags": {"": "x"}},
            {"tags": {"x": "\ud800"}},
        ]
        for wrong in bad:
            with pytest.raises(RegistryValueError):
                registry.update("churn", **wrong)
            with pytest.raises(RegistryValueError):
                registry.update_version("churn", 1, **wrong)

    # --- aliases ------------------------------------------------------------------------------------

    def test_an_alias_points_at_one_version(self, registry: Registry) -> None:
        for _ in range(2):
            registry.register("churn", RUNS[0], "model", alias="champion")
        assert registry.version("churn", 1).aliases == ()
        assert registry.version("churn", "@champion").version == 2
        assert registry.set_alias("churn", "challenger", 2).aliases == ("challenger", "champion")
        assert registry.delete_alias("churn", "champion").aliases == ("challenger",)
        with pytest.raises(ModelNotFound, match="no alias 'champion'"):
            registry.delete_alias("churn", "champion")
        with pytest.raises(ModelNotFound, match="no version 9"):
            registry.set_alias("churn", "champion", 9)

    def test_an_alias_moves_from_where_it_is_expected(self, registry: Registry) -> None:
        for _ in range(3):
            registry.register("churn", RUNS[0], "model")
        registry.set_alias("churn", "champion", 1, expected=0)
        with pytest.raises(RegistryConflict, match="points at version 1, not at none"):
            registry.set_alias("churn", "champion", 2, expected=0)
        registry.set_alias("churn", "champion", 2, expected=1)
        with pytest.raises(RegistryConflict, match="points at version 2, not at 1"):
            registry.set_alias("churn", "champion", 3, expected=1)
        with pytest.raises(RegistryConflict, match="points at version 2"):
            registry.delete_alias("churn", "champion", expected=1)
        with pytest.raises(RegistryConflict, match="points at none, not at 2"):
            registry.set_alias("churn", "unknown", 3, expected=2)
        assert registry.version("churn", "@champion").version == 2
        assert len(registry.audit()) == 5, "what was refused was not done"
        registry.delete_alias("churn", "champion", expected=2)

    def test_what_has_an_alias_is_not_deleted(self, registry: Registry) -> None:
        registry.register("churn", RUNS[0], "model", alias="champion")
        registry.set_alias("churn", "best", 1)
        with pytest.raises(RegistryConflict, match="version 1 of 'churn' has the aliases best, champion"):
            registry.delete_version("churn", 1)
        with pytest.raises(RegistryConflict, match="best, champion"):
            registry.delete("churn")
        for alias in ("best", "champion"):
            registry.delete_alias("churn", alias)
        registry.delete_version("churn", 1)
        with pytest.raises(ModelNotFound):
            registry.version("churn", 1)
        with pytest.raises(ModelNotFound):
            registry.delete_version("churn", 1)

    # --- many at once -------------------------------------------------------------------------------

    def test_who_registers_at_once_gets_consecutive_versions(self, url: str) -> None:
        registered = self._at_once(
            url,
            8,
            lambda registry, n: [registry.register("churn", RUNS[0], "model").version for _ in range(3)],
        )
        assert sorted(number for numbers in registered for number in numbers) == list(range(1, 25))
        assert all(numbers == sorted(numbers) for numbers in registered)

    def test_of_two_who_move_an_alias_one_is_told(self, url: str) -> None:
        backend = self.make_backend(url)
        for _ in range(9):
            backend.registry.register("churn", RUNS[0], "model")
        backend.registry.set_alias("churn", "champion", 1)

        def move(registry: Registry, n: int) -> int:
            try:
                return registry.set_alias("churn", "champion", n + 2, expected=1, author=str(n)).version
            except RegistryConflict:
                return 0

        moved = [number for number in self._at_once(url, 8, move) if number]
        assert len(moved) == 1
        assert backend.registry.version("churn", "@champion").version == moved[0]
        backend.close()

    def _at_once(self, url: str, count: int, work: Callable[[Registry, int], Any]) -> list[Any]:
        """What each of so many threads, with backends of their own, gets to know."""
        found: list[Any] = [None] * count
        gate = threading.Barrier(count)

        def act(number: int) -> None:
            backend = self.make_backend(url)
            gate.wait()
            found[number] = work(backend.registry, number)
            backend.close()

        threads = [threading.Thread(target=act, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    # --- search and audit ---------------------------------------------------------------------------

    def test_models_come_filtered_ordered_and_in_pages(self, registry: Registry) -> None:
        names = ["Churn_a", "churn-b", "other", "churnXa", "z100%"]
        for number, name in enumerate(names):
            registry.create(name, tags={"n": str(number % 2), "all": "1"})
        registry.update("other", description="touched")

        def found(limit: int = 2, **asked: Any) -> list[str]:
            search, shown, after = ModelSearch(**asked), [], ""
            while True:
                page = registry.search(search, limit=limit, after=after)
                assert len(page.models) <= limit
                shown += [model.name for model in page.models]
                assert len(shown) <= len(names), "a model is shown again"
                after = page.next
                if not after:
                    return shown

        assert found() == ["other", "z100%", "churnXa", "churn-b", "Churn_a"]
        assert found(order="created", descending=False) == names
        assert found(order="name", descending=False) == sorted(names)
        assert found(order="name", limit=1) == sorted(names, reverse=True)
        assert found(name="CHURN", order="created", descending=False) == ["Churn_a", "churn-b", "churnXa"]
        assert found(name="n_A") == ["Churn_a"], "an underscore is one"
        assert found(name="%b") == ["churn-b"]
        assert found(tags={"n": "0", "all": "1"}, order="name", descending=False) == [
            "Churn_a",
            "other",
            "z100%",
        ]
        assert found(tags={"n": "0"}, name="churn") == ["Churn_a"]
        assert found(tags={"n": "7"}) == []
        with pytest.raises(RegistryValueError):
            registry.search(after="nonsense")

    def test_the_audit_log_tells_who_did_what(self, registry: Registry) -> None:
        registry.create("churn", author="ann")
        registry.register("churn", RUNS[0], "model", alias="champion", author="bob")
        registry.register("churn", RUNS[0], "model", author="bob")
        registry.set_alias("churn", "champion", 2, author="cy")
        registry.rename("churn", "leavers", author="di")
        registry.create("other", author="ed")
        entries = registry.audit("leavers")
        assert [(e.author, e.verb, e.model, e.version) for e in entries] == [
            ("di", "rename", "churn", None),
            ("cy", "set_alias", "churn", 2),
            ("bob", "register", "churn", 2),
            ("bob", "register", "churn", 1),
            ("ann", "create", "churn", None),
        ]
        assert entries[0].detail == {"name": {"from": "churn", "to": "leavers"}}
        assert entries[1].detail == {"alias": {"name": "champion", "from": 1, "to": 2}}
        assert entries[3].detail["alias"] == {"name": "champion", "from": None, "to": 1}
        assert [e.time for e in entries] == sorted((e.time for e in entries), reverse=True)
        assert [e.author for e in registry.audit(limit=2)] == ["ed", "di"]
        assert registry.audit(limit=9, before=entries[1].number) == entries[2:]
        registry.delete_alias("leavers", "champion", author="eve")
        registry.delete("leavers", author="fay")
        for name in ("leavers", "churn"):
            told = [e.author for e in registry.audit(name)]
            assert told == ["fay", "eve", "di", "cy", "bob", "bob", "ann"], "what is gone is still told of"

    def test_each_verb_is_told_of_once(self, registry: Registry) -> None:
        registry.register("churn", RUNS[0], "model", author="ann")
        verbs: dict[str, Callable[[], Any]] = {
            "create": lambda: registry.create("other"),
            "update": lambda: registry.update("churn", description="d"),
            "update_version": lambda: registry.update_version("churn", 1, tags={"a": "b"}),
            "set_stage": lambda: registry.set_stage("churn", 1, Stage.STAGING),
            "set_alias": lambda: registry.set_alias("churn", "x", 1),
            "delete_alias": lambda: registry.delete_alias("churn", "x"),
            "rename": lambda: registry.rename("churn", "leavers"),
            "delete_version": lambda: registry.delete_version("leavers", 1),
            "delete": lambda: registry.delete("leavers"),
        }
        for verb in verbs.values():
            verb()
        assert [entry.verb for entry in registry.audit()] == [*reversed(verbs), "register"]
        for verb in verbs.values():
            with pytest.raises((ModelNotFound, RegistryConflict)):
                verb()
        assert len(registry.audit()) == len(verbs) + 1, "what was refused was not done"

    def test_a_registry_with_nothing_in_it(self, new_url: Callable[[], str]) -> None:
        backend = self.make_backend(new_url())
        assert backend.registry.search().models == ()
        assert backend.registry.audit() == []
        assert backend.registry.of_run(RUNS[0]) == []
        for read in (backend.registry.model, backend.registry.versions):
            with pytest.raises(ModelNotFound, match="no registered model 'x'"):
                read("x")
        backend.close()

    @settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=30)
    @given(actions=st.lists(ACTIONS, max_size=25))
    def test_a_registry_does_as_a_simple_one_would(
        self, actions: list[tuple[str, tuple[Any, ...]]], new_url: Callable[[], str]
    ) -> None:
        backend, expected = self.make_backend(new_url()), Expected()
        backend.write(model_spans())
        for verb, arguments in [*BEGINNING, *actions]:
            assert expected.outcome(backend.registry, verb, arguments) == expected.apply(verb, arguments)
            assert _contents(backend.registry) == expected.contents()
        assert len(backend.registry.audit(limit=1000)) == expected.done
        backend.close()


_A_MODEL = {sc.MODEL_FLAVOR: "f", sc.MODEL_CLASS: "m.C"}


def _contents(registry: Registry) -> dict[str, Any]:
    """Everything, in the form of `Expected.contents`."""

    def told(version: ModelVersion) -> tuple[Any, ...]:
        return version.path, dict(version.tags), str(version.stage), version.aliases

    return {
        model.name: (
            dict(model.tags),
            dict(model.aliases),
            {version.version: told(version) for version in registry.versions(model.name)},
        )
        for model in registry.search(limit=1000).models
    }
