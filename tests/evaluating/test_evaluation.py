"""Evaluations of real models, and what each leaves in the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
import torch
import xgboost
from sklearn import metrics
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

import autotrack
from autotrack.errors import AutotrackError, EvaluationFailed, OptionError
from autotrack.evaluating.comparison import differences
from autotrack.evaluating.predicting import predicted
from autotrack.states import State

from ..tracking import Tracking

FRAME, CANCER = load_breast_cancer(return_X_y=True, as_frame=True)
IRIS, SPECIES = load_iris(return_X_y=True, as_frame=True)
close = pytest.approx


@pytest.fixture(autouse=True)
def _on(tracking: Tracking) -> None:
    tracking.enable("torch")  # the models are trained outside of it


@pytest.fixture(scope="module")
def weak() -> Any:
    return DecisionTreeClassifier(max_depth=1, random_state=0).fit(FRAME[::2], CANCER[::2])


@pytest.fixture(scope="module")
def strong() -> Any:
    return LogisticRegression(max_iter=5000).fit(FRAME[::2], CANCER[::2])


# --- what does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"targets": "nope"}, "the data has no column 'nope'"),
        ({"targets": []}, "no targets"),
        ({"targets": CANCER[:5]}, "predicts 569 rows, the targets have 5"),
        ({"task": "clustering"}, "task 'clustering' is not known"),
        ({"targets": None}, "the targets are a NoneType: give one for each row"),
        ({"targets": [[1], [2, 3]]}, "the targets are no array"),
        ({"targets": CANCER.where(CANCER.index != 7)}, "1 targets are missing, the first at row 7"),
        ({"targets": CANCER.astype("Int64").where(CANCER.index != 7)}, "1 targets are missing.*row 7"),
        ({"targets": ["a", None] + ["b"] * 567}, "the targets are missing at row 1"),
        ({"targets": CANCER.astype("M8[ns]")}, "the targets are of the type datetime64"),
        ({"targets": np.where(CANCER, "ill", "well")}, "predicts int64, and the targets are str"),
        ({"targets": np.stack([CANCER, CANCER], axis=1)}, r"metric of targets of .* shape \(569, 2\)"),
        ({"thresholds": ["accuracy_score"]}, "thresholds: give bounds by the metrics' names, no list"),
        ({"thresholds": {"accuracy_score": None}}, "None; write it as in"),
        ({"thresholds": {3: 1, "accuracy_score": "good"}}, "'good'; write it as in"),
        ({"slices": 3}, "slices: give names of columns"),
        ({"slices": [3]}, "slices: the data has no column 3"),
        ({"thresholds": {"accuracy_score": "good"}}, "'good'; write it as in '>= 0.9'"),
        ({"thresholds": {"accuracy_score": ">= 1.2.3"}}, "write it as in"),
        ({"slices": ["nope"]}, "slices: the data has no column 'nope'"),
        ({"slices": ["mean radius"]}, "values, more than 50"),
        (
            {"slices": {"g=1": [True] * 569, "g": np.ones(569, int)}},
            "slices: 'g=1' and 'g' both make a slice 'g=1'",
        ),
        ({"slices": {"young": [True]}}, "give 569 values, one for each row"),
        ({"model": 3}, "a int is no model"),
        ({"model": "runs:/0000/model"}, "no run"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_one_clear_line(
    tracking: Tracking,
    strong: Any,
    arguments: dict[str, Any],
    problem: str,
) -> None:
    given = {"model": strong, "data": FRAME, "targets": CANCER, **arguments}
    with pytest.raises(AutotrackError, match=problem) as refusal:
        autotrack.evaluate(**given)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (None, "predictions are a NoneType"),
        ([[1], [1, 2]], "predictions are no array"),
        ([None] * 4, "predictions are missing at row 0"),
        ([float("nan")] * 4, "predicts nan, which is no class"),
        ([0.0, 1.0, 7.25, 0.0], r"predicts 7\.25, which is no class"),
        (["no", "yes", "no", "yes"], "predicts str96, and the targets are int64"),
        (np.zeros((4, 3, 2)), r"predictions of the type float64 and shape \(4, 3, 2\)"),
        (np.zeros(4, complex), "predictions are of the type complex128"),
    ],
    ids=str,
)
def test_predictions_that_are_no_classes(tracking: Tracking, said: Any, problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        autotrack.evaluate(lambda data: said, np.zeros((4, 1)), np.array([0, 1, 0, 1]))


def test_a_model_that_raises_fails_the_run(tracking: Tracking) -> None:
    def broken(data: Any) -> Any:
        raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError):
        autotrack.evaluate(broken, FRAME, CANCER)
    assert tracking.run().state == State.FAILED


# --- what is measured -----------------------------------------------------------------------------


def test_a_classifier(tracking: Tracking, strong: Any) -> None:
    found = autotrack.evaluate(strong, FRAME, CANCER)
    expected = metrics.accuracy_score(CANCER, strong.predict(FRAME))
    assert found.task == "classification"
    assert found.metrics["accuracy_score"] == close(expected)
    assert found.metrics["roc_auc"] == close(metrics.roc_auc_score(CANCER, strong.predict_proba(FRAME)[:, 1]))
    run = tracking.run()
    assert run.id == found.run_id
    assert run.state == State.FINISHED
    assert run.metrics["accuracy_score"] == close(expected)
    assert run.metrics["class 1/recall"] == close(metrics.recall_score(CANCER, strong.predict(FRAME)))
    assert run.tags["evaluated_model"] == "LogisticRegression"
    [data] = run.datasets
    assert (data.name, data.role) == ("test", "test")
    paths = {artifact.path for artifact in run.artifacts}
    assert {"classes.json", "confusion_matrix.json", "roc_curve.json"} <= paths


@pytest.mark.parametrize("is_column", [False, True], ids=["targets", "column"])
@pytest.mark.parametrize("dtype", ["int64", "str", "category"])
def test_the_data_of_the_training_is_known_again(tracking: Tracking, dtype: str, is_column: bool) -> None:
    """Its digest is of the targets as they were given, not of what was made of them to be measured."""
    truth = CANCER.astype(dtype)
    tracking.enable("sklearn")
    model = DecisionTreeClassifier(max_depth=1).fit(FRAME, truth)
    with autotrack.run("logged") as logged:
        logged.log_dataset(FRAME, y=truth)
    given = (FRAME.assign(target=truth), "target") if is_column else (FRAME, truth)
    found = autotrack.evaluate(model, *given)
    digests = {run.id: run.datasets[0].digest for run in tracking.runs()}
    assert len(digests) == 3
    assert digests[found.run_id] == digests[logged.id]
    assert len(set(digests.values())) == 1


@pytest.mark.parametrize(
    "form", [torch.tensor, pd.Categorical, range], ids=["tensor", "Categorical", "range"]
)
def test_targets_that_nothing_reads_keep_no_data_from_being_known(tracking: Tracking, form: Any) -> None:
    """Of them a digest would tell the shape alone, and then that of all the data."""
    truth = list(range(50))
    targets = range(50) if form is range else form(truth)
    given = [(FRAME[:50], targets), (FRAME[:50], np.array(truth)), (FRAME[50:100], targets)]
    found = [autotrack.evaluate(lambda data: np.ones(len(data)), *one, task="regression") for one in given]
    digests = {run.id: run.datasets[0].digest for run in tracking.runs()}
    same, known, other = (digests[one.run_id] for one in found)
    assert same == known
    assert same != other


def test_targets_in_a_table_of_one_column_are_targets(tracking: Tracking, strong: Any) -> None:
    expected = autotrack.evaluate(strong, FRAME, CANCER).metrics
    assert "roc_auc" in expected
    for targets in (CANCER.to_frame(), CANCER.to_numpy().reshape(-1, 1)):
        assert autotrack.evaluate(strong, FRAME, targets).metrics == expected


def test_a_regression_with_the_target_among_the_columns(tracking: Tracking) -> None:
    data, target = load_diabetes(return_X_y=True, as_frame=True)
    model = LinearRegression().fit(data, target)
    found = autotrack.evaluate(model, data.assign(progress=target), "progress", thresholds={"r2_score": 0.4})
    assert found.task == "regression"
    assert found.metrics["r2_score"] == close(model.score(data, target))
    assert found.passed
    assert tracking.run().tags["evaluation_passed"] == "true"


def test_texts_are_classes(tracking: Tracking) -> None:
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)[SPECIES]
    model = LogisticRegression(max_iter=500).fit(IRIS, names)
    found = autotrack.evaluate(model, IRIS, names)
    assert found.metrics["accuracy_score"] == close(model.score(IRIS, names))
    assert tracking.run().metrics["class virginica/f1"] > 0.9


def test_a_function_that_gives_probabilities(tracking: Tracking, strong: Any) -> None:
    def score(data: Any) -> Any:
        return strong.predict_proba(data)[:, 1]

    found = autotrack.evaluate(score, FRAME, CANCER)
    assert found.metrics["roc_auc"] == close(metrics.roc_auc_score(CANCER, score(FRAME)))


def test_a_network_that_gives_logits(tracking: Tracking) -> None:
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 3)

    def ask(data: Any) -> Any:
        return net(torch.tensor(data.to_numpy(), dtype=torch.float32)).detach().numpy()

    found = autotrack.evaluate(ask, IRIS, SPECIES)
    logits = torch.tensor(ask(IRIS), dtype=torch.float64)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(SPECIES.to_numpy()))
    assert found.metrics["log_loss"] == close(float(loss), rel=1e-5)


def test_a_booster_from_a_folder_by_its_address(tracking: Tracking, tmp_path: Path) -> None:
    data = xgboost.DMatrix(IRIS, SPECIES)
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3}, data, 3)
    autotrack.save_model(booster, tmp_path / "model", inputs=data)
    found = autotrack.evaluate(str(tmp_path / "model"), IRIS, SPECIES)
    assert found.metrics["accuracy_score"] > 0.9
    assert "log_loss" in found.metrics
    assert tracking.run().tags["evaluated_model"] == str(tmp_path / "model")


def test_predictions_of_classes_nobody_knows(tracking: Tracking) -> None:
    found = autotrack.evaluate(lambda data: np.full(len(data), "other"), IRIS, SPECIES.astype(str))
    assert found.metrics["accuracy_score"] == 0


@pytest.mark.parametrize("labels", ["object", "U1"])
@pytest.mark.parametrize("kind", [LogisticRegression, LinearSVC])
def test_classes_that_are_texts_are_not_held_against_numbers(kind: Any, labels: str) -> None:
    data = np.arange(4.0).reshape(-1, 1)
    model = kind().fit(data, np.array(list("nnyy"), labels))
    with pytest.raises(OptionError, match="give both in the same words"):
        autotrack.evaluate(model, data, [0, 0, 1, 1])
    assert autotrack.evaluate(model, data, list("nnyy")).metrics["accuracy_score"] == 1


# --- slices and thresholds ------------------------------------------------------------------------


def test_slices(tracking: Tracking, strong: Any) -> None:
    data = FRAME.assign(site=np.where(FRAME["mean radius"] > 14, "north", "south"))
    masks = {"first": np.arange(len(data)) < 100, "nobody": np.zeros(len(data), bool)}

    def ask(rows: Any) -> Any:
        return strong.predict(rows[FRAME.columns])

    found = autotrack.evaluate(ask, data, CANCER, slices=["site"])
    north = data["site"] == "north"
    expected = metrics.accuracy_score(CANCER[north], strong.predict(FRAME[north]))
    assert found.slices["site=north"]["accuracy_score"] == close(expected)
    assert found.slices["site=south"]["rows"] == (~north).sum()
    assert tracking.run().metrics["site=north/accuracy_score"] == close(expected)
    values = autotrack.evaluate(strong, FRAME, CANCER, slices={"site": data["site"]})
    assert values.slices["site=north"]["accuracy_score"] == close(expected)
    assert list(values.slices) == list(found.slices)
    by_name = autotrack.evaluate(ask, data, CANCER, slices=masks)
    assert by_name.slices["nobody"] == {"rows": 0}
    assert by_name.slices["first"]["rows"] == 100


def test_thresholds_that_are_not_reached(tracking: Tracking, weak: Any) -> None:
    wanted = {"accuracy_score": 0.999, "log_loss": "< 100", "acuracy_score": 0.5}
    found = autotrack.evaluate(weak, FRAME, CANCER, thresholds=wanted)
    assert not found.passed
    [reached, unknown] = found.failures
    assert reached.startswith("accuracy_score is 0.9")
    assert "did you mean 'accuracy_score'?" in unknown
    with pytest.raises(EvaluationFailed, match=r"accuracy_score is 0\.9\d+, wanted accuracy_score >= 0\.999"):
        found.require()
    run = tracking.run()
    assert run.state == State.FINISHED
    assert run.tags["evaluation_passed"] == "false"
    assert run.params["threshold/log_loss"] == "< 100"


# --- champion and challenger ----------------------------------------------------------------------


def test_a_better_model_is_seen_to_be_better(tracking: Tracking, strong: Any) -> None:
    champion = DummyClassifier().fit(FRAME, CANCER)
    found = autotrack.evaluate(strong, FRAME, CANCER, against=champion)
    difference = found.differences["accuracy_score"]
    assert difference.value == close(strong.score(FRAME, CANCER) - champion.score(FRAME, CANCER))
    assert 0 < difference.low < difference.value < difference.high
    assert difference.is_certain
    run = tracking.run()
    assert run.tags["evaluated_against"] == "DummyClassifier"
    assert run.metrics["difference/accuracy_score"] == close(difference.value)
    table = json.loads(run.artifact("comparison.json").read_text())
    assert "low" in table["columns"]


def test_the_champion_by_its_address(tracking: Tracking, weak: Any, strong: Any) -> None:
    with autotrack.run("fit") as run:
        run.log_model(weak)
    autotrack.register_model(f"runs:/{run.id}/model", "tumours", alias="champion")
    found = autotrack.evaluate(strong, FRAME, CANCER, against="models:/tumours@champion")
    better = strong.score(FRAME, CANCER) - weak.score(FRAME, CANCER)
    assert found.differences["accuracy_score"].value == close(better)
    [told] = [run for run in tracking.runs() if run.id == found.run_id]
    assert told.tags["evaluated_against"] == "models:/tumours/1"


def test_the_same_model_is_not_better_than_itself(tracking: Tracking, strong: Any) -> None:
    before = np.random.get_state()[1].tolist()
    found = autotrack.evaluate(strong, FRAME, CANCER, against=strong)
    assert all((d.value, d.low, d.high) == (0, 0, 0) for d in found.differences.values())
    assert not any(d.is_certain for d in found.differences.values())
    assert np.random.get_state()[1].tolist() == before


def test_the_interval_holds_what_is_true() -> None:
    """Of 40 samples whose true difference is known, about 95 % of intervals hold it."""
    generator = np.random.default_rng(3)
    held = 0
    for _ in range(40):
        truth = generator.integers(0, 2, 150)
        ours, theirs = (np.where(generator.random(150) < right, truth, 1 - truth) for right in (0.85, 0.75))
        found = differences(
            *(predicted(lambda _, p=p: p, None, truth, "classification") for p in (ours, theirs))
        )
        held += found["accuracy_score"].low <= 0.10 <= found["accuracy_score"].high
    assert 34 <= held <= 40


def test_inside_a_run_it_is_that_ones_child(tracking: Tracking, strong: Any) -> None:
    with autotrack.run("outer") as outer:
        found = autotrack.evaluate(strong, FRAME, CANCER)
    [children] = [run.children for run in tracking.runs() if run.id == outer.id]
    assert children == (found.run_id,)


def test_data_that_is_a_frame_of_polars(tracking: Tracking, strong: Any, tmp_path: Path) -> None:
    import polars as pl

    autotrack.save_model(strong, tmp_path / "m", inputs=FRAME)
    found = autotrack.evaluate(str(tmp_path / "m"), pl.DataFrame(FRAME.to_dict("list")), CANCER)
    assert found.metrics["accuracy_score"] == close(strong.score(FRAME, CANCER))
    assert isinstance(FRAME, pd.DataFrame)
    with pytest.raises(OptionError, match="no column"):
        autotrack.evaluate(strong, np.zeros((3, 3)), "y")


# --- data of every kind -----------------------------------------------------------------------------


def test_a_class_that_the_targets_lack_is_wrong_and_not_its_neighbour(tracking: Tracking) -> None:
    """Not what sorts beside it, and not what it begins with."""
    said = np.array(["ab", "a", "b", "b"])
    found = autotrack.evaluate(lambda data: said, np.zeros((4, 1)), np.array(["a", "a", "b", "b"]))
    assert found.metrics["accuracy_score"] == 0.75


def test_many_classes_take_no_matrix_of_all_of_them(tracking: Tracking) -> None:
    names = np.arange(20_000).astype(str)
    found = autotrack.evaluate(lambda data: names[::-1], np.zeros((20_000, 1)), names)
    assert found.metrics["accuracy_score"] == 0
    assert "classes.json" not in {artifact.path for artifact in tracking.run().artifacts}


@pytest.mark.parametrize(
    "kind", [pd.DataFrame, polars.DataFrame, pyarrow.table, dict], ids=["pandas", "polars", "arrow", "dict"]
)
def test_the_target_and_slices_are_columns_of_any_table(tracking: Tracking, kind: Any) -> None:
    data = kind({"x": [1.0, 2.0, 3.0], "country": ["DE", "FR", "DE"], "y": [1.0, 2.0, 4.0]})
    seen: list[Any] = []

    def model(data: Any) -> Any:
        seen.append(data)
        return data["x"]

    found = autotrack.evaluate(model, data, "y", slices=["country"])
    assert found.metrics["mean_absolute_error"] == close(1 / 3)
    assert found.slices["country=DE"]["rows"] == 2
    [asked] = seen
    assert list(getattr(asked, "column_names", None) or getattr(asked, "columns", asked)) == ["x", "country"]


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        (np.array([1.0, np.nan, np.nan]), {"s=1.0": 1, "s=nan": 2}),
        (pd.Series([True, pd.NA, True], dtype="boolean"), {"s=<NA>": 1, "s=True": 2}),
        (pd.Series(["2020", "2021", None], dtype="M8[ns]"), {"s=2020-01-01 00:00:00": 1, "s=None": 1}),
        (pd.Series([[1], [1], {}]), {"s=[1]": 2, "s={}": 1}),
    ],
    ids=str,
)
def test_slices_of_what_is_missing_and_of_odd_values(
    tracking: Tracking, values: Any, rows: dict[str, int]
) -> None:
    found = autotrack.evaluate(
        lambda data: [1.0, 2.0, 3.0], np.zeros((3, 1)), [1.0, 2.0, 4.0], slices={"s": values}
    )
    assert {name: found.slices[name]["rows"] for name in rows} == rows


def test_a_slice_of_a_column_whose_name_is_a_number(tracking: Tracking) -> None:
    found = autotrack.evaluate(
        lambda data: data[1], pd.DataFrame({0: ["a", "b"], 1: [1.5, 2.5]}), [1.5, 2.5], slices=["0"]
    )
    assert sorted(found.slices) == ["0=a", "0=b"]


def test_a_tensor_with_a_gradient_is_a_prediction(tracking: Tracking) -> None:
    layer = torch.nn.Linear(1, 1)
    found = autotrack.evaluate(lambda data: layer(torch.zeros(3, 1)), np.zeros((3, 1)), [0.5, 1.5, 2.5])
    assert "r2_score" in found.metrics
