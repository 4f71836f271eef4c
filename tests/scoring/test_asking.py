"""Files in, files out: every form, in the rows' order, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from autotrack.cli import commands
from autotrack.cli.predict import predict as command
from autotrack.errors import ModelError, OptionError
from autotrack.flavor import Permissions
from autotrack.loading import load, model_folder
from autotrack.predictor import Predictor
from autotrack.scoring import tables
from autotrack.scoring.asking import score
from autotrack.signatures import Column, DataType, Schema, Signature, Tensor

from ..scripts import TIMEOUT
from ..serving import toys

N = 25
FRAME = pd.DataFrame({"a": np.arange(N) / 2, "b": np.arange(N)})
EXPECTED = (FRAME["a"] + FRAME["b"]).tolist()


def loaded(folder: Path) -> Predictor:
    def no_store() -> Any:
        raise AssertionError

    return load(model_folder(no_store, str(folder)), Permissions({toys.TRUSTED}))


@pytest.fixture
def signed(tmp_path: Path) -> Predictor:
    """A model with a signature."""
    return loaded(toys.save(tmp_path / "signed", signature=Signature(toys.INPUTS)))


def given(folder: Path, form: str, frame: pd.DataFrame = FRAME) -> Path:
    """The frame as a file."""
    path = folder / f"given.{form}"
    match form:
        case "csv":
            frame.to_csv(path, index=False)
        case "jsonl":
            frame.to_json(path, orient="records", lines=True)
        case "parquet":
            frame.to_parquet(path)
        case "npy":
            np.save(path, frame.to_numpy())
    return path


def told(path: Path) -> list[Any]:
    """The predictions in a file."""
    if path.suffix == ".csv":
        return pd.read_csv(path)["prediction"].tolist()
    if path.suffix == ".parquet":
        return pd.read_parquet(path)["prediction"].tolist()
    return [json.loads(line)["prediction"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "npy"])
@pytest.mark.parametrize("output", ["csv", "jsonl", "parquet"])
def test_every_form_in_its_order(signed: Predictor, tmp_path: Path, form: str, output: str) -> None:
    path, seen = tmp_path / f"out.{output}", []
    rows = score(
        signed, given(tmp_path, form), path, batch=10, advanced=lambda read, total: seen.append((read, total))
    )
    assert rows == N
    assert told(path) == EXPECTED
    assert seen[-1][0] == seen[-1][1] > 0
    assert len(seen) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["signed", f"given.{form}", path.name])


def test_without_a_signature(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    assert score(loaded(toys.save(tmp_path / "bare")), given(tmp_path, "csv"), path, batch=7) == N
    assert told(path) == EXPECTED


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_number_is_treated_alike_whatever_stands_beside_it(tmp_path: Path, form: str) -> None:
    """pandas would make floats of integers beside floats, or beside what is missing."""
    large = {
        "csv": "a,o\n16777217,9007199254740993\n{},\n",
        "jsonl": '{{"a":16777217,"o":9007199254740993}}\n{}',
    }
    schema = Schema((Column("a", DataType.FLOAT), Column("o", DataType.LONG, False)))
    path, out = tmp_path / f"in.{form}", tmp_path / "out.jsonl"
    for beside in ("0.5", ""):
        if form == "parquet":
            table = pyarrow.table({"a": [2**24 + 1, None], "o": [2**53 + 1, None]})
            pyarrow.parquet.write_table(table, path)
        else:
            record = f'{{"a": {beside or "null"}}}'
            path.write_text(large[form].format(beside if form == "csv" else record))
        optional = Schema(schema.columns[1:])
        score(_asked(lambda data: data["o"], optional), path, out)
        assert told(out) == [2**53 + 1, None]
        with pytest.raises(ModelError, match="column 'a', row 0: 16777217 has no exact float"):
            score(_asked(lambda data: data["a"], schema), path, out)
        score(_asked(lambda data: data["a"]), path, out)  # nobody says what it is
        assert told(out) == [2**24 + 1, 0.5 if beside and form != "parquet" else "NaN"]


def test_dates_of_csv_may_look_like_numbers(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("t\n20200101\n")
    schema = Schema((Column("t", DataType.DATETIME),))
    score(_asked(lambda data: data["t"].dt.year, schema), tmp_path / "in.csv", tmp_path / "out.csv")
    assert told(tmp_path / "out.csv") == [2020]


def test_texts_stay_texts(tmp_path: Path) -> None:
    """What one batch looks like does not decide for it: 01 is no number where the signature says text."""
    schema = Schema((Column("zip", DataType.STRING),))
    predictor = _asked(lambda data: data["zip"].to_numpy(), schema)
    (tmp_path / "in.csv").write_text("zip\n01\n02\nx\n")
    score(predictor, tmp_path / "in.csv", tmp_path / "out.jsonl", batch=1)
    assert told(tmp_path / "out.jsonl") == ["01", "02", "x"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_numbers_of_a_text_are_as_narrow_as_the_models(tmp_path: Path, form: str) -> None:
    schema = Schema((Column("a", DataType.FLOAT), Column("b", DataType.FLOAT)))
    predictor = _asked(lambda data: data["a"].to_numpy(), schema)
    path = given(tmp_path, form, pd.DataFrame({"a": [0.1, 0.3], "b": [0.2, None]}))
    score(predictor, path, tmp_path / "out.jsonl")
    assert told(tmp_path / "out.jsonl") == [float(np.float32(0.1)), float(np.float32(0.3))]


@pytest.mark.parametrize("output", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("kind", ["Int64", "int64[pyarrow]"])
def test_integers_with_missing_ones_among_them_are_written_as_they_are(
    tmp_path: Path, kind: str, output: str
) -> None:
    said = pd.Series([2**53 + 1, None], dtype=kind)
    (tmp_path / "in.csv").write_text("a\n1\n2\n")
    out = tmp_path / f"out.{output}"
    for made in (said, said.to_frame("prediction")):
        score(Saying(made), tmp_path / "in.csv", out)  # type: ignore[arg-type]
        if output == "parquet":
            assert pyarrow.parquet.read_table(out).column(0).to_pylist() == [2**53 + 1, None]
        else:
            assert str(2**53 + 1) in out.read_text()


COLUMNS = Schema((Column("p", DataType.DOUBLE), Column("q", DataType.STRING)))
NO_ROWS: list[tuple[Schema | None, list[str]]] = [
    (COLUMNS, ["p", "q"]),
    (Schema((Column(None, DataType.LONG),)), ["prediction"]),
    (Schema((Column(None, DataType.LONG),) * 2), []),
    (Schema((Tensor(None, "int64", (-1,)),)), ["prediction"]),
    (Schema((Tensor(None, "str", (-1,)),)), ["prediction"]),
    (Schema((Tensor(None, "float32", (-1, 2)),)), ["prediction_0", "prediction_1"]),
    (Schema((Tensor("x", "float32", (-1, 2)), Tensor("y", "bool", (-1,)))), ["x", "y"]),
    (Schema((Tensor(None, "float32", (-1, -1)),)), []),
    (None, []),
]


@pytest.mark.parametrize(("outputs", "names"), NO_ROWS)
def test_of_no_rows_the_columns_are_written(tmp_path: Path, outputs: Schema | None, names: list[str]) -> None:
    (tmp_path / "in.csv").write_text("a\n")
    predictor = Saying()
    predictor.signature = Signature(toys.INPUTS, outputs)  # type: ignore[assignment]
    for form in ("csv", "jsonl", "parquet"):
        assert score(predictor, tmp_path / "in.csv", tmp_path / f"out.{form}") == 0  # type: ignore[arg-type]
    assert (tmp_path / "out.csv").read_text() == (",".join(names) + "\n" if names else "")
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert (table.column_names, table.num_rows) == (names, 0)
    if outputs is COLUMNS:
        assert list(map(str, table.schema.types)) == ["double", "string"]


def test_columns_of_predictions(tmp_path: Path) -> None:
    path = given(tmp_path, "csv")
    made = {
        "prediction_0,prediction_1": lambda data: data.to_numpy(),
        "p,q": lambda data: data.rename(columns={"a": "p", "b": "q"}),
        "x,y": lambda data: {"x": data["a"].to_numpy(), "y": data["b"].tolist()},
        "prediction": lambda data: data["a"],
    }
    for header, predict in made.items():
        score(_asked(predict), path, tmp_path / "out.csv", batch=10)
        lines = (tmp_path / "out.csv").read_text().splitlines()
        assert lines[0] == header
        assert len(lines) == N + 1


@pytest.mark.parametrize("output", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    "said",
    [
        pd.DataFrame([[1, 2]] * N, columns=["p", "p"]),
        pd.DataFrame([[1, 2]] * N, columns=["p", 1]).rename(columns={"p": "1"}),
        {1: [0] * N, "1": [1] * N},
    ],
    ids=["twice", "number and text", "dict"],
)
def test_a_column_that_is_there_twice_is_not_dropped(tmp_path: Path, said: Any, output: str) -> None:
    with pytest.raises(ModelError, match=r"no columns: column '[p1]' is there twice"):
        score(Saying(said), given(tmp_path, "csv"), tmp_path / f"o.{output}")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["given.csv"]


def test_numbers_that_are_none(tmp_path: Path) -> None:
    values = iter([1.5, np.nan, np.inf])
    predictor = _asked(lambda data: np.array([next(values)]))
    (tmp_path / "in.csv").write_text("a\n1\n2\n3\n")
    score(predictor, tmp_path / "in.csv", tmp_path / "out.jsonl", batch=1)
    assert told(tmp_path / "out.jsonl") == [1.5, "NaN", "Infinity"]


def test_a_failure_leaves_what_was_there(signed: Predictor, tmp_path: Path) -> None:
    frame = FRAME.copy()
    frame.loc[13, "a"] = toys.RAISES
    path = tmp_path / "out.csv"
    path.write_text("of yesterday")
    with pytest.raises(ModelError, match=r"10 rows that begins at row 10: ValueError: row of doom"):
        score(signed, given(tmp_path, "parquet", frame), path, batch=10)
    with pytest.raises(ModelError, match=r"begins at row 10: column 'a', row 3"):
        score(
            signed,
            given(tmp_path, "csv", frame.astype({"a": object}).replace({"a": {-1.0: "x"}})),
            path,
            batch=10,
        )
    assert path.read_text() == "of yesterday"
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("in.txt", b"", "the input's form is known by its ending"),
        ("in.csv", b"", "no line with the columns' names"),
        ("in.csv", b"a,b\n1,2\n1\n", "row 1 of .* has 1 values, not 2"),
        ("in.csv", b"a,a\n1,2\n", "two columns of one name"),
        ("in.csv", b"a,b\n\xff,1\n", "no CSV in UTF-8"),
        ("in.jsonl", b'{"a": 1, "b": 2}\n{"a"\n', "line 2 of .* is no JSON"),
        ("in.jsonl", b"[1]\n", "line 1 of .* is no JSON object"),
        ("in.jsonl", b'{"a": 1, "a": 2}\n', "line 1 of .* is unclear: name 'a' is there twice"),
        ("in.parquet", b"PAR1", "is no Parquet file"),
        ("in.npy", b"\x93NUMPY", "is no array"),
        ("nowhere.csv", None, "cannot be read: No such file"),
    ],
)
def test_what_cannot_be_read(
    signed: Predictor, tmp_path: Path, name: str, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(OptionError, match=problem):
        score(signed, tmp_path / name, tmp_path / "out.csv")
    assert not list(tmp_path.glob("*out*"))


def test_pickled_arrays_are_not_loaded(signed: Predictor, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(OptionError, match="is no array of numbers or texts"):
        score(signed, tmp_path / "in.npy", tmp_path / "out.csv")


def test_what_cannot_be_written(signed: Predictor, tmp_path: Path) -> None:
    path = given(tmp_path, "csv")
    with pytest.raises(OptionError, match="is the input"):
        score(signed, path, path)
    with pytest.raises(OptionError, match="the output's form is known by its ending"):
        score(signed, path, tmp_path / "out.xlsx")
    with pytest.raises(OptionError, match="cannot be written: No such file"):
        score(signed, path, tmp_path / "nowhere" / "out.csv")


@pytest.mark.parametrize("output", ["csv", "parquet"])
def test_predictions_that_are_no_rows(tmp_path: Path, output: str) -> None:
    path, out = given(tmp_path, "csv"), tmp_path / f"out.{output}"
    with pytest.raises(ModelError, match=r"one value of 'prediction' for 25 rows"):
        score(_asked(lambda data: 3.5), path, out)
    with pytest.raises(ModelError, match=r"2 values of 'prediction' for 25 rows"):
        score(_asked(lambda data: [1, 2]), path, out)
    names = iter("xy")
    with pytest.raises(ModelError, match="gave x at first, then y"):
        score(_asked(lambda data: {next(names): data["a"]}), path, out, batch=20)


@pytest.mark.parametrize("code", [0, 3, None])
def test_a_model_that_exits_has_failed(tmp_path: Path, code: int | None) -> None:
    with pytest.raises(ModelError, match=f"begins at row 0: SystemExit: {code if code else ''}"):
        score(_asked(lambda data: sys.exit(code)), given(tmp_path, "csv"), tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["given.csv"]


def test_the_command_tells_of_a_model_that_exits(tmp_path: Path) -> None:
    folder = toys.save(tmp_path / "model")
    path = given(tmp_path, "csv", pd.DataFrame({"a": [toys.LEAVES], "b": [0]}))
    files = ["--model", str(folder), "--input", str(path), "--output", str(tmp_path / "out.csv")]
    done = CliRunner().invoke(commands, ["predict", *files, "--trusted", toys.TRUSTED])
    assert (done.exit_code, done.stdout) == (1, "")
    problem = "in the batch of 1 rows that begins at row 0: SystemExit: no more"
    assert done.stderr == f"autotrack: {problem}\n"


def test_ctrl_c_while_a_model_is_asked_stays_one(tmp_path: Path) -> None:
    def interrupted(data: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(_asked(interrupted), given(tmp_path, "csv"), tmp_path / "out.csv")


def test_parquet_keeps_the_first_rows_types(tmp_path: Path) -> None:
    said: Any = iter([np.ones(20, int), np.array([1.5] * 5)])
    with pytest.raises(ModelError, match="no columns of one type"):
        score(_asked(lambda data: next(said)), given(tmp_path, "csv"), tmp_path / "out.parquet", batch=20)


def test_without_pandas_the_signature_makes_the_table(
    signed: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns and Arrow's batches are what the model's own check takes."""
    monkeypatch.setattr(tables, "has_pandas", lambda: False)
    monkeypatch.setattr("autotrack.scoring.reading.has_pandas", lambda: False)
    for form in ("csv", "jsonl", "parquet"):
        score(signed, given(tmp_path, form), tmp_path / "out.csv", batch=10)
        assert told(tmp_path / "out.csv") == EXPECTED


def test_the_command(tmp_path: Path) -> None:
    folder = toys.save(tmp_path / "model", signature=Signature(toys.INPUTS))
    path, out = given(tmp_path, "csv"), tmp_path / "out.csv"

    files = ["--model", str(folder), "--input", str(path), "--output", str(out)]

    def command(*arguments: str) -> Any:
        return subprocess.run(
            [sys.executable, "-m", "autotrack", "predict", *files, *arguments],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "300"},
            capture_output=True,
            text=True,
        )

    done = command("--trusted", toys.TRUSTED, "--batch-size", "10")
    assert (done.returncode, done.stdout) == (0, f"✓ 25 predictions in {out}\n"), done.stderr
    assert told(out) == EXPECTED
    refused = command()
    assert refused.returncode == 1
    assert toys.TRUSTED in refused.stderr
    wrong = command("--trusted", toys.TRUSTED, "--params", "{")
    assert "no JSON" in wrong.stderr
    unknown = command("--trusted", toys.TRUSTED, "--params", '{"x": 1}')
    assert "unknown parameter 'x'" in unknown.stderr


def test_a_terminal_is_shown_how_far_it_is(tmp_path: Path) -> None:
    folder = toys.save(tmp_path / "model", signature=Signature(toys.INPUTS))
    path, out = given(tmp_path, "parquet"), tmp_path / "out.parquet"
    files = ["--model", str(folder), "--input", str(path), "--output", str(out)]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "autotrack", "predict", *files, "--trusted", toys.TRUSTED],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "300", "TERM": "xterm"},
        stdout=theirs,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # so does Linux tell that nobody is left to write to it
        while data := os.read(ours, 1 << 16):
            shown += data
    os.close(ours)
    assert process.wait(TIMEOUT) == 0
    assert told(out) == EXPECTED
    assert re.search(r"given\.parquet.*━━━.*100%.*✓ 25 predictions in ", shown.decode(), re.S)


class _Flavor:
    """Asks a function."""

    predicts_by_row = False

    def ready(self, model: Any) -> Any:
        return model

    def predict(self, model: Any, data: Any, params: Any) -> Any:
        return model(data)


def _asked(predict: Any, schema: Schema | None = None) -> Predictor:
    """A predictor of a function's."""
    predictor = Predictor.__new__(Predictor)
    predictor.model = predict
    predictor.signature = Signature(schema) if schema else None
    predictor._flavor = _Flavor()  # type: ignore[assignment]
    return predictor


# --- what is odd --------------------------------------------------------------------------------------


class Saying:
    """Stands for a model that says one thing of each batch."""

    def __init__(self, *said: Any) -> None:
        self._said = list(said)
        self.signature = None

    def predict(self, data: Any, params: Any = None) -> Any:
        return self._said.pop(0)


@pytest.mark.parametrize("output", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    "said",
    [np.array(1.0), [object()] * N, np.zeros(N, complex), ["\ud800"] * N],
    ids=["no dimension", "objects", "complex", "half a character"],
)
def test_predictions_that_no_file_holds(tmp_path: Path, said: Any, output: str) -> None:
    with pytest.raises(ModelError):
        score(Saying(said), given(tmp_path, "csv"), tmp_path / f"scored.{output}")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["given.csv"]


@pytest.mark.parametrize("said", [([2**80] * N,), ([1] * 20, [2**80] * 5)], ids=["first", "second"])
def test_numbers_too_large_for_parquet(tmp_path: Path, said: Any) -> None:
    with pytest.raises(ModelError, match="no columns of one type"):
        score(Saying(*said), given(tmp_path, "csv"), tmp_path / "o.parquet", batch=len(said[0]))  # type: ignore[arg-type]


@pytest.mark.parametrize("output", ["csv", "jsonl"])
def test_long_doubles(tmp_path: Path, output: str) -> None:
    said = np.arange(N).astype(np.longdouble)
    score(Saying(said), given(tmp_path, "csv"), tmp_path / f"o.{output}")  # type: ignore[arg-type]
    assert told(tmp_path / f"o.{output}") == list(range(N))


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("given.npy", b"", "is no array of numbers"),
        ("given.npy", b"\x93NUMPY\x01\x00\x05\x00{'a'(", "is no array of numbers"),
        ("given.jsonl", b'{"a": "\\ud800"}\n', "half a character"),
        ("given.jsonl", b"{}\n{}\n", "2 rows without any column"),
    ],
)
def test_files_that_only_begin_well(tmp_path: Path, name: str, data: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(OptionError, match=problem):
        score(Saying([1, 2]), tmp_path / name, tmp_path / "o.csv")  # type: ignore[arg-type]


def test_parquet_with_damaged_metadata_of_pandas(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"a": [1]}).replace_schema_metadata({"pandas": "{"})
    parquet.write_table(table, tmp_path / "given.parquet")
    with pytest.raises(OptionError, match="is damaged"):
        score(Saying([1]), tmp_path / "given.parquet", tmp_path / "o.csv")  # type: ignore[arg-type]


def test_a_name_too_long_for_the_file_system(signed: Predictor, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be written: File name too long"):
        score(signed, given(tmp_path, "csv"), tmp_path / f"{'o' * 248}.csv")


@pytest.mark.parametrize("params", ["{", "[1]", "[" * 100_000], ids=["cut", "list", "deep"])
def test_params_that_are_none(tmp_path: Path, params: str) -> None:
    path = str(given(tmp_path, "csv"))
    arguments = ["--model", "m", "--input", path, "--output", str(tmp_path / "o.csv"), "--params", params]
    told = CliRunner().invoke(command, arguments, standalone_mode=False)
    assert isinstance(told.exception, click.BadParameter)
    assert "no JSON" in str(told.exception)
