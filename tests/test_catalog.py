"""Registered models in Python: real training, real files, what is loaded and what is refused."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import autotrack
from autotrack import artifacts, catalog, garbage
from autotrack.addresses import resolved
from autotrack.errors import (
    EvaluationFailed,
    ModelError,
    ModelNotFound,
    RegistryConflict,
    RegistryValueError,
    RunNotFound,
    StoreError,
)
from autotrack.loading import model_folder
from autotrack.store import Store
from autotrack.testing.histories import RUNS

from .registered import BYTES, sha256, trained
from .scripts import Place
from .test_cli_gc import age
from .tracking import Tracking, tracking  # noqa: F401

X, Y = load_iris(return_X_y=True)


@pytest.fixture
def kept(store: Place) -> Store:
    """The test's store, with a run that has a model."""
    found = store.open()
    trained(found)
    return found


def registered(store: Store, name: str = "churn", **told: Any) -> catalog.Version:
    told = {"alias": None, "description": "", "tags": {}} | told
    return catalog.register(store, f"runs:/{RUNS[0]}/model", name, **told)


def test_a_model_is_trained_registered_and_loaded(tracking: Tracking) -> None:  # noqa: F811
    tracking.enable("sklearn")
    with autotrack.run("fit") as run:
        model = LogisticRegression(max_iter=500).fit(X, Y)
    made = autotrack.register_model(
        f"runs:/{run.id}/model", "churn", alias="champion", description="# good", tags={"team": "a"}
    )
    assert (made.uri, made.aliases, made.description, made.tags) == (
        *("models:/churn/1", ("champion",), "# good", {"team": "a"}),
    )
    assert made.author == getpass.getuser()
    made.set_stage("production")
    for uri in (
        "models:/churn/1",
        "models:/churn/latest",
        "models:/churn@champion",
        "models:/churn/Production",
    ):
        loaded = autotrack.load_model(uri)
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert made.run.id == run.id
    assert made.model.kind.endswith("LogisticRegression")
    assert [data.name for data in made.datasets] == ["train"]
    copy = autotrack.register_model("models:/churn@champion", "leavers")
    assert (copy.source, copy.run_id, copy.files) == ("models:/churn/1", run.id, made.files)
    assert [one.name for one in autotrack.registered_models("CHUR")] == ["churn"]
    assert autotrack.get_model("churn").version("@champion").uri == "models:/churn/1"


@pytest.mark.parametrize(
    ("uri", "error", "said"),
    [
        ("runs:/ffffffff/model", RunNotFound, "no run has the id 'ffffffff'"),
        (f"runs:/{RUNS[0]}/mdoel", ModelError, "has no model 'mdoel'; it has model"),
        ("models:/churn/1", ModelNotFound, "no registered model 'churn'"),
        ("churn", ModelError, "no model's address"),
        ("models:/churn", ModelError, "names no version"),
        ("models:/churn/best", ModelError, "is no version"),
    ],
)
def test_what_cannot_be_registered(kept: Store, uri: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        catalog.register(kept, uri, "churn", alias=None, description="", tags={})
    assert kept.backend.registry.search().models == ()


@pytest.mark.parametrize(
    ("ask", "error", "said"),
    [
        (lambda kept: registered(kept).set_stage(5), RegistryValueError, "'5' is no stage; there are None"),
        (lambda kept: registered(kept, tags=[("a", "b")]), RegistryValueError, "tags are a mapping .* list"),
        (lambda kept: registered(kept, tags="x"), RegistryValueError, "tags are a mapping .* not str"),
        (lambda kept: registered(kept).update(tags="x"), RegistryValueError, "tags are a mapping"),
        (lambda kept: asked(kept, tags=["x"]), RegistryValueError, "tags are a mapping"),
        (lambda kept: asked(kept, limit=-1), RegistryValueError, "limit is a whole number from 0"),
        (lambda kept: asked(kept, limit="2"), RegistryValueError, "limit is a whole number from 0"),
        (lambda kept: whole(kept).versions(limit=-1), RegistryValueError, "limit is a whole number from 0"),
        (lambda kept: whole(kept).audit(limit=-1), RegistryValueError, "limit is a whole number from 0"),
        (
            lambda kept: registered(kept).set_alias("a", expected="1"),
            RegistryValueError,
            "or 0 for none, not",
        ),  # type: ignore[arg-type]
        (lambda kept: addressed(kept, None), ModelError, "'None' is no model's address"),
        (lambda kept: addressed(kept, 5), ModelError, "'5' is no model's address"),
    ],
)
def test_what_makes_no_sense(
    kept: Store, ask: Callable[[Store], Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as refusal:
        ask(kept)
    assert "\n" not in str(refusal.value)


def asked(store: Store, **told: Any) -> Any:
    return catalog.models(store, "", **{"tags": {}, "order_by": "name", "limit": None} | told)


def whole(store: Store) -> catalog.Registered:
    registered(store)
    return catalog.model(store, "churn")


def addressed(store: Store, uri: Any) -> Any:
    return catalog.register(store, uri, "churn", alias=None, description="", tags={})


def test_the_command_that_removes_an_alias_is_one_for_the_shell(kept: Store) -> None:
    made = registered(kept, "my churn; x", alias="the champion")
    with pytest.raises(RegistryConflict, match="alias 'my churn; x' 'the champion' --remove"):
        made.delete()


def test_no_stage_is_a_stage(kept: Store) -> None:
    made = registered(kept).set_stage("Staging")
    assert made.set_stage(None).stage == "None"
    assert asked(kept, limit=0) == whole(kept).versions(limit=0) == whole(kept).audit(limit=0) == []


def test_addresses(kept: Store) -> None:
    registered(kept, "churn", alias="champion")
    registered(kept, "churn").set_stage("Staging")
    here = (RUNS[0], "model")
    assert resolved(kept, "runs:/5d1c/a/b") == ("5d1c", "a/b")
    for which in ("/1", "/2", "/latest", "@champion", "/staging"):
        assert resolved(kept, f"models:/churn{which}") == here
    with pytest.raises(ModelNotFound, match="did you mean 'churn'"):
        resolved(kept, "models:/chrun/1")
    with pytest.raises(ModelNotFound, match="no alias 'best'; there is champion"):
        resolved(kept, "models:/churn@best")


def test_a_version_is_never_another_model_than_was_registered(kept: Store) -> None:
    """A run that is resumed may keep another model at the same path."""
    made = registered(kept)
    trained(kept, files={"model/model.bin": b"another model"}, first_seq=50)
    assert model_folder(lambda: kept, made.uri).read("model.bin") == b"a model"
    assert model_folder(lambda: kept, f"runs:/{RUNS[0]}/model").read("model.bin") == b"another model"
    elsewhere = f"sqlite:///{kept.homes[0].spool.parent}/production.db"
    copies: list[Callable[[], Any]] = [
        lambda: resolved(kept, made.uri),
        lambda: catalog.register(kept, made.uri, "leavers", alias=None, description="", tags={}),
        lambda: made.promote(elsewhere),
        lambda: made.promote(name="leavers"),
    ]
    for copied in copies:
        with pytest.raises(ModelError, match=r"models:/churn/1 is not what run .* has at 'model' by now"):
            copied()
    assert resolved(kept, registered(kept).uri) == (RUNS[0], "model")


def test_files_of_a_version_are_not_garbage(store: Place, kept: Store) -> None:
    """Not even when its run has others in their place."""
    made = registered(kept)
    trained(kept, files={"model/model.bin": b"another model"}, first_seq=50)
    folders = [home.artifacts for home in kept.homes]
    age(store)
    garbage.collect(kept)
    assert artifacts.find(sha256(BYTES["model/model.bin"]), folders)
    made.delete()
    garbage.collect(kept)
    assert not artifacts.find(sha256(BYTES["model/model.bin"]), folders)
    assert artifacts.find(sha256(b"another model"), folders)


def test_a_model_in_hand(kept: Store) -> None:
    version = registered(kept, tags={"team": "a"})
    registered(kept)
    model = catalog.model(kept, "churn")
    assert (model.name, model.latest, model.count, repr(model)) == (
        *("churn", 2, 2, "<Registered 'churn', 2 versions>"),
    )
    assert model.update(description="d", tags={"x": "y"}).tags == {"x": "y"}
    assert version.update(tags={"team": None, "new": "1"}).tags == {"new": "1"}
    assert model.set_alias("champion", 1, expected=0).aliases == ("champion",)
    with pytest.raises(RegistryConflict, match="points at version 1"):
        model.version(2).set_alias("champion", expected=2)
    with pytest.raises(RegistryConflict, match="alias champion"):
        version.delete()
    with pytest.raises(RegistryConflict, match="alias champion"):
        model.delete()
    assert model.delete_alias("champion", expected=1).version == 1
    assert [one.version for one in model.versions()] == [2, 1]
    assert [one.version for one in model.versions(limit=1)] == [2]
    assert model.rename("leavers").name == "leavers"
    renamed = catalog.model(kept, "leavers")
    assert {entry.author for entry in renamed.audit()} == {getpass.getuser()}
    assert [entry.verb for entry in renamed.audit(3)] == ["rename", "delete_alias", "set_alias"]
    renamed.delete()
    with pytest.raises(ModelNotFound):
        catalog.model(kept, "leavers")
    with pytest.raises(RegistryValueError, match="no stage"):
        registered(kept).set_stage("best")


def test_models_are_found_beyond_a_page(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "PAGE", 2)
    for number in range(5):
        kept.backend.registry.create(f"m{number}", tags={"odd": str(number % 2)})

    def names(limit: int | None = None, **told: Any) -> list[str]:
        told = {"tags": {}, "order_by": "name"} | told
        return [one.name for one in catalog.models(kept, "M", limit=limit, **told)]

    assert names() == ["m0", "m1", "m2", "m3", "m4"]
    assert names(3) == ["m0", "m1", "m2"]
    assert names(order_by="created desc") == ["m4", "m3", "m2", "m1", "m0"]
    assert names(tags={"odd": "1"}) == ["m1", "m3"]
    with pytest.raises(RegistryValueError, match="no order"):
        names(order_by="size")


def test_versions_side_by_side(kept: Store) -> None:
    trained(kept, RUNS[1], {"model/model.bin": b"a larger model"})
    one = registered(kept)
    two = catalog.register(kept, f"runs:/{RUNS[1]}/model", "churn", alias=None, description="", tags={})
    found = one.compare(two)
    rows = {row.name: row for row in found.sections["model"]}
    assert rows["size"].values == (7, 14)
    assert rows["digest"].differs
    assert rows["class"].values == ("toys.Model", "toys.Model")
    assert rows["signature"].values == ('{"inputs": ["age"]}',) * 2
    assert rows["lib"].values == ("1.2", "1.2")
    assert [row.name for row in found.sections["metrics"]] == ["acc"]
    assert [row.name for row in found.sections["params"]] == ["depth"]


def test_versions_that_take_other_data_differ_by_their_signatures(kept: Store) -> None:
    trained(kept, RUNS[1], signature="(age: long, sex: string) → double")
    one = registered(kept)
    two = catalog.register(kept, f"runs:/{RUNS[1]}/model", "churn", alias=None, description="", tags={})
    rows = {row.name: row for row in one.compare(two).sections["model"]}
    assert rows["signature"].values == ('{"inputs": ["age"]}', "(age: long, sex: string) → double")
    assert [name for name, row in rows.items() if row.differs] == ["signature"]


def test_the_same_model_of_two_runs_has_one_digest(kept: Store) -> None:
    """`MLmodel` tells which run it is of."""
    digests = []
    for number, run in enumerate(RUNS[:2]):
        files = {"model/model.bin": b"a model", "model/MLmodel": f"run_id: {run}".encode()}
        trained(kept, run, files, first_seq=50 * number + 50)
        told: dict[str, Any] = {"alias": None, "description": "", "tags": {}}
        digests.append(catalog.register(kept, f"runs:/{run}/model", "churn", **told).digest)
    assert digests[0] == digests[1]
    trained(kept, files={"model/model.bin": b"another model"}, first_seq=400)
    assert registered(kept).digest != digests[0]


def test_a_file_that_is_logged_below_a_model_is_not_of_it(kept: Store) -> None:
    names = ["model.bin"]
    trained(kept, first_seq=50, names=names)
    made = registered(kept)
    files = {"model/README.txt": b"read me"}
    trained(kept, files=files, first_seq=100, names=names)
    assert resolved(kept, made.uri) == (RUNS[0], "model")
    assert made.promote(name="leavers").files == made.files
    assert [file.path for file in registered(kept).files] == ["model/model.bin"]
    elsewhere = made.promote(f"sqlite:///{kept.homes[0].spool.parent}/production.db")
    assert elsewhere.files == made.files
    assert model_folder(lambda: kept, f"runs:/{RUNS[0]}/model").names == ["model.bin"]


def test_of_two_who_promote_a_candidate_one_is_told(kept: Store) -> None:
    for _ in range(3):
        registered(kept)
    model = catalog.model(kept, "churn")
    model.set_alias("champion", 1)
    outcomes: list[str] = []
    gate = threading.Barrier(2)

    def move(version: int) -> None:
        gate.wait()
        try:
            model.set_alias("champion", version, expected=1)
            outcomes.append("moved")
        except RegistryConflict:
            outcomes.append("told")

    threads = [threading.Thread(target=move, args=(number,)) for number in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["moved", "told"]


def test_promotion_needs_something_to_do(kept: Store) -> None:
    version = registered(kept)
    with pytest.raises(RegistryConflict, match="name another store, another name or an alias"):
        version.promote()
    assert version.promote(alias="champion").aliases == ("champion",)
    assert version.promote(name="leavers").uri == "models:/leavers/1"
    target = f"sqlite:///{kept.homes[0].spool.parent}/production.db"
    with pytest.raises(StoreError, match=r"there is no folder .*mistyped for the store .*: make it, or mend"):
        version.promote(f"sqlite:///{kept.homes[0].spool.parent}/mistyped/production.db")
    elsewhere = version.promote(target, alias="champion")
    assert (elsewhere.uri, elsewhere.run.state) == ("models:/churn/1", "finished")


def broken(data: Any) -> Any:
    raise ZeroDivisionError("no")


def test_a_promotion_that_needs_an_evaluation(tracking: Tracking) -> None:  # noqa: F811
    """The latest one counts, whatever address the model was evaluated by."""
    tracking.enable()
    xgboost.XGBClassifier(n_estimators=3).fit(X, Y)
    run = tracking.run()
    version = autotrack.register_model(f"runs:/{run.id}/model", "iris", alias="candidate")
    with pytest.raises(EvaluationFailed, match=r"models:/iris/1 was never evaluated"):
        version.require("metrics.accuracy_score > 0.5")
    autotrack.evaluate("models:/iris@candidate", X, Y, thresholds={"accuracy_score": 0.99999})
    autotrack.flush()
    with pytest.raises(EvaluationFailed, match="did not reach the thresholds"):
        autotrack.get_model("iris").version("@candidate").require("")
    with pytest.raises(ZeroDivisionError):  # its metrics are there by then
        autotrack.evaluate("models:/iris@candidate", X, Y, thresholds={"accuracy_score": 0.1}, against=broken)
    autotrack.flush()
    with pytest.raises(EvaluationFailed, match="is failed, not finished"):
        autotrack.get_model("iris").version("@candidate").require("metrics.accuracy_score > 0.1")
    found = autotrack.evaluate("models:/iris@candidate", X, Y)
    autotrack.flush()
    version = autotrack.get_model("iris").version(1)
    assert version.evaluations[0].id == found.run_id
    with pytest.raises(EvaluationFailed, match=r"does not pass: metrics\.accuracy_score > 2"):
        version.require("metrics.accuracy_score > 2")
    assert version.require("metrics.accuracy_score > 0.5 or metrics.log_loss > 9").set_alias("champion")
    renamed = autotrack.get_model("iris").rename("o'iris").version(1)
    assert renamed.evaluations[0].id == found.run_id
