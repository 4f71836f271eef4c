"""What a model is given is in the form of its training: what is missing, texts by themselves, lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder
from xgboost import DMatrix, XGBClassifier, train

import autotrack
from autotrack.errors import SchemaError
from autotrack.predictor import Predictor
from autotrack.scoring.asking import score
from autotrack.serving.batching import Version
from autotrack.serving.inputs import parsed

from ..tracking import Tracking, tracking  # noqa: F401


def kept(model: Any, data: Any, path: Path) -> Predictor:
    autotrack.save_model(model, path / "model", inputs=data)
    return autotrack.load_predictor(path / "model")


def served(predictor: Predictor, body: Mapping[str, Any]) -> list[Any]:
    asked = parsed(json.dumps(body).encode(), "application/json", predictor.signature)
    found: list[Any] = predictor.predict(Version("", predictor, 1).data([asked.input])).tolist()
    return found


def scored(predictor: Predictor, path: Path, batch: int) -> list[int]:
    score(predictor, path, path.with_name("out.csv"), batch=batch)
    return [int(line) for line in path.with_name("out.csv").read_text().split()[1:]]


# --- what is missing --------------------------------------------------------------------------------

NAN = float("nan")
MISSING: dict[str, tuple[Any, tuple[Any, Any]]] = {
    "texts": (["a", "b", None], ("a", "b")),
    "objects with None": (pd.Series(["a", "b", None], dtype=object), ("a", "b")),
    "objects with NaN": (pd.Series(["a", "b", NAN], dtype=object), ("a", "b")),
    "categories": (pd.Categorical(["a", "b", None]), ("a", "b")),
    "truth values": (pd.Series([True, False, None], dtype=object), (True, False)),
    "pandas' truth values": (pd.array([True, False, None], dtype="boolean"), (True, False)),
    "integers as objects": (pd.Series([1, 2, None], dtype=object), (1, 2)),
    "numbers": ([1.0, 2.0, None], (1.0, 2.0)),
}


@pytest.fixture(params=MISSING)
def training(request: pytest.FixtureRequest) -> tuple[pd.DataFrame, tuple[Any, Any]]:
    column, present = MISSING[request.param]
    return pd.DataFrame({"k": pd.concat([pd.Series(column)] * 20, ignore_index=True)}), present


@pytest.fixture
def predictor(training: tuple[pd.DataFrame, Any], tmp_path: Path) -> Predictor:
    data, _ = training
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    return kept(model.fit(data, [0, 1, 2] * 20), data, tmp_path)


def test_the_frame_of_the_training_is_answered_as_the_model_does(
    training: tuple[pd.DataFrame, Any], predictor: Predictor
) -> None:
    data, _ = training
    assert predictor.predict(data).tolist() == [0, 1, 2] * 20
    for rows in (data[:2], data[:1], data[2:3], data[3:].set_index(np.zeros(57, int))):
        assert predictor.predict(rows).tolist() == predictor.model.predict(rows).tolist()


def test_a_row_is_answered_alike_whatever_stands_beside_it(
    training: tuple[pd.DataFrame, tuple[Any, Any]], predictor: Predictor, tmp_path: Path
) -> None:
    _, (one, two) = training
    rows = [{"k": one}, {"k": two}, {"k": None}]
    assert [*predictor.predict(rows)] == [0, 1, 2]
    assert [served(predictor, {"dataframe_records": [row]}) for row in rows] == [[0], [1], [2]]
    assert [predictor.predict([row]).tolist() for row in rows] == [[0], [1], [2]]
    assert [*predictor.predict([{}])] == [2] == served(predictor, {"dataframe_records": [{}]})
    if type(one) is not int:  # of integers and null pandas makes floats
        assert served(predictor, {"dataframe_records": rows}) == [0, 1, 2]
        assert served(predictor, {"inputs": {"k": [one, two, None]}}) == [0, 1, 2]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, [rows[2], rows[2], rows[0], rows[1]])))
    assert scored(predictor, file, 1) == [2, 2, 0, 1]
    if isinstance(one, str):
        file = tmp_path / "rows.csv"
        file.write_text('k\n""\n""\na\nb\n')
        assert scored(predictor, file, 1) == scored(predictor, file, 9) == [2, 2, 0, 1]


@pytest.mark.parametrize("values", [(1, 2, 3), (1.5, 2.0, 3.0), (1, 2.5, 3), (True, False, True)])
def test_numbers_that_were_objects_are_objects_again(values: tuple[Any, ...], tmp_path: Path) -> None:
    """As in a table of an array of texts and numbers: encoders know them apart from an array of numbers."""
    data = pd.DataFrame({"k": pd.Series([*values] * 20, dtype=object), "t": ["a", "b", "c"] * 20})
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(data, [0, 1, 2] * 20)
    predictor = kept(model, data, tmp_path)
    rows = data[:3].to_dict("records")
    assert predictor.predict(data[:3]).tolist() == predictor.predict(rows).tolist() == [0, 1, 2]
    assert [predictor.predict(data[i : i + 1])[0] for i in range(3)] == [0, 1, 2]
    assert [served(predictor, {"dataframe_records": [row]}) for row in rows] == [[0], [1], [2]]
    assert served(predictor, {"dataframe_records": rows}) == [0, 1, 2]


def test_an_imputer_of_none_finds_it(tmp_path: Path) -> None:
    data = pd.DataFrame({"k": pd.Series(["a", "b", None] * 20, dtype=object)})
    imputer = SimpleImputer(missing_values=None, strategy="constant", fill_value="c")
    model = make_pipeline(imputer, OneHotEncoder(), LogisticRegression()).fit(data, [0, 1, 2] * 20)
    predictor = kept(model, data, tmp_path)
    assert predictor.predict(data[:3]).tolist() == [0, 1, 2]
    assert served(predictor, {"dataframe_records": [{"k": "a"}, {"k": None}]}) == [0, 2]


def test_null_of_polars_is_what_the_training_had(tmp_path: Path) -> None:
    data = pl.DataFrame({"k": ["a", "b", None] * 20, "t": [True, None, False] * 20})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    predictor = kept(model.fit(data, [0, 1, 2] * 20), data, tmp_path)
    assert predictor.predict(data[:3]).tolist() == [0, 1, 2]
    assert predictor.predict(data[2:3]).tolist() == [2]


# --- texts by themselves ----------------------------------------------------------------------------

TEXTS = ["hello world", "good bye"] * 10
ALONE = {
    "a list": TEXTS,
    "a tuple": tuple(TEXTS),
    "a column": pd.Series(TEXTS, name="t"),
    "one without a name": pd.Series(TEXTS),
    "polars": pl.Series("t", TEXTS),
    "an array": np.array(TEXTS),
    "objects": np.array(TEXTS, object),
}


@pytest.mark.parametrize("vectorizer", [TfidfVectorizer, CountVectorizer])
@pytest.mark.parametrize("form", ALONE)
def test_texts_reach_the_model_by_themselves(form: str, vectorizer: Any, tmp_path: Path) -> None:
    model = make_pipeline(vectorizer(), LogisticRegression()).fit(ALONE[form], [0, 1] * 10)
    predictor = kept(model, ALONE[form], tmp_path)
    two = ["good bye", "hello world"]
    asked = [two, pd.Series(two, name="t"), pd.Series(two), pl.Series("t", two), np.array(two)]
    for data in asked:
        assert predictor.predict(data).tolist() == [1, 0]
    assert served(predictor, {"inputs": two}) == [1, 0]
    assert served(predictor, {"inputs": ["good bye"]}) == [1]
    named = str(predictor.signature).startswith("(t")
    if named:
        for table in (pd.DataFrame({"t": two}), pl.DataFrame({"t": two, "u": [1, 2]}), {"t": two}):
            assert predictor.predict(table).tolist() == [1, 0]
        assert served(predictor, {"dataframe_records": [{"t": text} for text in two]}) == [1, 0]
        (tmp_path / "rows.csv").write_text("t\ngood bye\nhello world\n")
        assert scored(predictor, tmp_path / "rows.csv", 1) == [1, 0]


@pytest.mark.parametrize("search", [False, True])
def test_a_table_of_one_column_of_texts_is_that_column_to_what_reads_texts(
    search: bool, tmp_path: Path
) -> None:
    model: Any = make_pipeline(TfidfVectorizer(), LogisticRegression())
    model = GridSearchCV(model, {}, cv=2) if search else model
    predictor = kept(model.fit(TEXTS, [0, 1] * 10), pd.DataFrame({"t": TEXTS}), tmp_path)
    assert predictor.predict([{"t": "good bye"}]).tolist() == [1]
    assert predictor.predict(pd.DataFrame({"t": TEXTS})).tolist() == [0, 1] * 10


def test_a_number_of_predictions_that_is_not_that_of_the_rows_is_told(tmp_path: Path) -> None:
    model = make_pipeline(make_union(TfidfVectorizer()), LogisticRegression()).fit(TEXTS, [0, 1] * 10)
    predictor = kept(model, pd.DataFrame({"t": TEXTS}), tmp_path)
    with pytest.raises(SchemaError, match="1 prediction for 3 rows"):
        predictor.predict([{"t": "good bye"}] * 3)


# --- XGBoost's categories ---------------------------------------------------------------------------

COLORS = pd.DataFrame(
    {
        "c": pd.Categorical(["red", "blue", "green", None] * 20),
        "k": pd.Categorical(np.array([3, 5] * 40, "int16")),
        "n": np.arange(80.0),
    }
)
TRUTH = np.array([1, 0, 0, 0] * 20)


def booster() -> Any:
    return train({"objective": "binary:logistic"}, DMatrix(COLORS, TRUTH, enable_categorical=True), 5)


@pytest.mark.parametrize("dart", [False, True])
@pytest.mark.parametrize("alone", [False, True])
def test_texts_are_the_categories_that_xgboost_knows(alone: bool, dart: bool, tmp_path: Path) -> None:
    kind = "dart" if dart else "gbtree"
    model = XGBClassifier(n_estimators=5, enable_categorical=True, booster=kind).fit(COLORS, TRUTH)
    kept(booster() if alone else model, COLORS, tmp_path)
    predictor = autotrack.load_predictor(tmp_path / "model")
    wanted = predictor.predict(COLORS[:4]).tolist()
    assert [round(p) for p in wanted] == [1, 0, 0, 0]
    rows = [{"c": c, "k": k, "n": n} for c, k, n in COLORS[:4].astype(object).to_numpy().tolist()]
    rows = [{**row, "c": row["c"] if isinstance(row["c"], str) else None} for row in rows]
    assert served(predictor, {"dataframe_records": rows}) == wanted
    assert [served(predictor, {"dataframe_records": [row]})[0] for row in rows] == wanted
    with pytest.raises(SchemaError, match=r"column 'c', row 1: 'pink' is no category .*: 'blue', 'gr"):
        served(predictor, {"dataframe_records": [rows[0], {**rows[0], "c": "pink"}]})
    with pytest.raises(SchemaError, match=r"column 'k', row 0: 4 is no category .*: 3, 5"):
        predictor.predict([{**rows[0], "k": 4}])


@pytest.mark.parametrize(
    "wrap",
    [lambda m: GridSearchCV(m, {"max_depth": [3, 6]}, cv=2), make_pipeline],
    ids=["search", "pipeline"],
)
def test_so_they_are_to_what_hands_its_data_on_to_xgboost(wrap: Any, tmp_path: Path) -> None:
    model = wrap(XGBClassifier(n_estimators=5, enable_categorical=True)).fit(COLORS, TRUTH)
    predictor = kept(model, COLORS, tmp_path)
    rows = COLORS[:9].astype(object).to_dict("records")
    expected = model.predict(COLORS)[:9].tolist()
    assert predictor.predict(COLORS)[:9].tolist() == predictor.predict(rows).tolist() == expected
    assert served(predictor, {"dataframe_records": rows}) == expected
    with pytest.raises(SchemaError, match=r"column 'c', row 0: 'pink' is no category"):
        predictor.predict([{**rows[0], "c": "pink"}])


def test_categories_whose_names_xgboost_damages_are_asked_for(tmp_path: Path) -> None:
    data = COLORS.assign(c=COLORS["c"].cat.rename_categories({"red": "réd"}))
    predictor = kept(XGBClassifier(n_estimators=5, enable_categorical=True).fit(data, TRUTH), data, tmp_path)
    assert predictor.predict(data[:4]).tolist() == [1, 0, 0, 0]
    with pytest.raises(SchemaError, match="column 'c' is of categories whose names the model does not know"):
        predictor.predict([{"c": "réd", "k": 3, "n": 0.0}])


def test_categories_whose_names_xgboost_does_not_know_are_asked_for(tmp_path: Path) -> None:
    codes = DMatrix(
        np.stack([TRUTH, COLORS["n"]], 1), TRUTH, feature_names=["c", "n"], feature_types=["c", "q"]
    )
    model = train({"objective": "binary:logistic"}, codes, 5)
    predictor = kept(model, pd.DataFrame({"c": ["red"], "n": [0.0]}), tmp_path)
    with pytest.raises(SchemaError, match="column 'c' is of categories whose names the model does not know"):
        predictor.predict([{"c": "red", "n": 0.0}])


# --- lists ------------------------------------------------------------------------------------------

LISTS = [[0.0, 1.0], [1.0, 0.0], [0.0, 2.0], [2.0, 0.0]] * 5


@pytest.mark.parametrize("rows", [LISTS, [np.array(row) for row in LISTS], tuple(map(tuple, LISTS))])
def test_lists_of_numbers_are_the_array_that_numpy_makes_of_them(
    rows: Any,
    tracking: Tracking,  # noqa: F811
) -> None:
    tracking.enable()
    model = LogisticRegression().fit(rows, [0, 1] * 10)
    run = tracking.run()
    autotrack.flush()
    predictor = autotrack.load_predictor(f"runs:/{run.id}/model")
    assert str(predictor.signature) == "(float64[*, 2]) → int64[*]"
    for data in (LISTS[:2], np.array(LISTS[:2]), pd.DataFrame(LISTS[:2])):
        assert predictor.predict(data).tolist() == model.predict(LISTS[:2]).tolist() == [0, 1]
    assert served(predictor, {"inputs": LISTS[:2]}) == [0, 1]


def test_lists_of_texts_beside_numbers_are_a_table_of_both(tracking: Tracking) -> None:  # noqa: F811
    tracking.enable()
    rows = [["male", 1], ["female", 3], ["female", 2]] * 20
    make_pipeline(OneHotEncoder(), LogisticRegression()).fit(rows, [0, 1, 2] * 20)
    run = tracking.run()
    autotrack.flush()
    predictor = autotrack.load_predictor(f"runs:/{run.id}/model")
    for data in (rows[:3], np.array(rows[:3], object), pd.DataFrame(rows[:3])):
        assert predictor.predict(data).tolist() == [0, 1, 2]
    assert served(predictor, {"inputs": rows[:3]}) == [0, 1, 2]
    assert [served(predictor, {"instances": [row]}) for row in rows[:3]] == [[0], [1], [2]]


@pytest.mark.parametrize("how", ["inputs", "input_example"])
def test_lists_that_a_model_is_saved_with_are_what_it_makes_of_them(how: Any, tmp_path: Path) -> None:
    mixed = [["male", 1], ["female", 3], ["female", 2]] * 20
    models = (
        (LogisticRegression(), LISTS, [0, 1] * 10),
        (make_pipeline(OneHotEncoder(), LogisticRegression()), mixed, [0, 1, 2] * 20),
        (XGBClassifier(n_estimators=2), LISTS, [0, 1] * 10),
    )
    for number, (model, rows, truth) in enumerate(models):
        model.fit(rows, truth)
        autotrack.save_model(model, tmp_path / f"{number}", **{how: rows})
        predictor = autotrack.load_predictor(tmp_path / f"{number}")
        assert predictor.predict(rows[:3]).tolist() == model.predict(rows[:3]).tolist()
        assert served(predictor, {"instances": rows[:1]}) == model.predict(rows[:1]).tolist()


def test_of_many_lists_the_first_are_the_example(tmp_path: Path) -> None:
    rows = [[float(number), 0.0] for number in range(5000)]
    model = LogisticRegression().fit(rows[:20], [0, 1] * 10)
    autotrack.save_model(model, tmp_path / "model", input_example=rows)
    kept = json.loads((tmp_path / "model" / "input_example.json").read_text())
    assert kept == rows[: len(kept)]


def test_dicts_that_a_model_takes_have_no_signature(tracking: Tracking) -> None:  # noqa: F811
    tracking.enable()
    dicts = [{"a": a} for a, _ in LISTS]
    make_pipeline(DictVectorizer(), LogisticRegression()).fit(dicts, [0, 1] * 10)
    run = tracking.run()
    autotrack.flush()
    predictor = autotrack.load_predictor(f"runs:/{run.id}/model")
    assert predictor.signature is None
    assert predictor.predict(dicts[:2]).tolist() == [0, 1]
