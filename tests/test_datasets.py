"""What is kept of the data that a run used: digest, shape and schema, and nothing of the data changed."""

from __future__ import annotations

import time
import tracemalloc
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import xgboost

import autotrack
from autotrack.recording.contents import WIDE
from autotrack.recording.datasets import SCHEMA_COLUMNS, described
from autotrack.recording.digest import WHOLE_BYTES

from .scripts import Place
from .tracking import Tracking, tracking  # noqa: F401

X = np.arange(600.0).reshape(150, 4)
Y = np.arange(150) % 3


def digest(data: Any, target: Any = None) -> str:
    return described(data, target).digest


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns or {"a": [1.0, 2.0], "b": ["x", None]})


WIDE_X = np.arange(4.0 * (WIDE + 1)).reshape(4, WIDE + 1)


def fragmented(values: Any) -> pd.DataFrame:
    """As many blocks of memory as there are columns."""
    return pd.concat([pd.DataFrame({i: values[:, i].copy()}) for i in range(values.shape[1])], axis=1)


def changed(data: Any, *at: Any) -> Any:
    """A copy with another value at one place."""
    copy = deepcopy(data)
    inner = copy
    for place in at[:-1]:
        inner = inner[place]
    inner[at[-1]] = -1
    return copy


SAME = {
    "C and F order": (X, np.asfortranarray(X)),
    "a strided view": (X[::2], X[::2].copy()),
    "a reversed view": (X[::-1], X[::-1].copy()),
    "a read-only view": (X, np.broadcast_to(X, X.shape)),
    "three dimensions": (np.arange(24).reshape(2, 3, 4), np.asfortranarray(np.arange(24).reshape(2, 3, 4))),
    "objects": (np.array(["a", 1, None], object), np.array(["a", 1, None], object)),
    "two DataFrames": (frame(), frame()),
    "a DataFrame with another index": (frame(), frame().set_index(pd.Index(["p", "q"]))),
    "a DataFrame made column by column": (
        pd.DataFrame(X),
        pd.DataFrame({i: X[:, i].copy() for i in range(4)}),
    ),
    "wide, C and F order": (pd.DataFrame(WIDE_X), pd.DataFrame(np.asfortranarray(WIDE_X))),
    "wide, one block and many": (pd.DataFrame(WIDE_X), fragmented(WIDE_X)),
    "wide, with a text": (
        pd.DataFrame(WIDE_X).assign(t="x"),
        pd.concat([fragmented(WIDE_X), pd.DataFrame({"t": ["x"] * 4})], axis=1),
    ),
    "arrays in a list": ([X, X], [np.asfortranarray(X), X]),
    "polars with and without chunks": (
        pl.DataFrame({"a": [1, 2]}),
        pl.concat([pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})], rechunk=False),
    ),
    "Arrow with and without chunks": (
        pa.table({"a": [1, 2], "b": ["x", None]}),
        pa.concat_tables(
            [pa.table({"a": [1], "b": ["x"]}), pa.table({"a": [2], "b": pa.array([None], "string")})]
        ),
    ),
    "sparse": (sp.csr_matrix(X), sp.csr_matrix(np.asfortranarray(X))),
    "lists": ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
}

OTHER = {
    "one value": (X, np.where(X == 300, 300.5, X)),
    "the shape": (X, X.reshape(75, 8)),
    "the type": (X, X.astype("float32")),
    "the byte order": (X, X.astype(">f8")),
    "the order of rows": (X, X[::-1]),
    "a column's name": (frame(a=[1]), frame(b=[1])),
    "a text": (frame(a=["x"]), frame(a=["y"])),
    "where texts are cut": (frame(a=["xy", "z"]), frame(a=["x", "yz"])),
    "a text and none": (frame(a=["None"]), frame(a=[None])),
    "a category": (frame(a=pd.Categorical(["x"])), frame(a=pd.Categorical(["y"]))),
    "a missing number": (frame(a=pd.array([1, None], "Int64")), frame(a=pd.array([1, 0], "Int64"))),
    "a missing number of polars": (pl.DataFrame({"a": [1, None]}), pl.DataFrame({"a": [1, 0]})),
    "a missing number of Arrow": (pa.table({"a": [1, None]}), pa.table({"a": [1, 0]})),
    "the mask": (np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0])),
    "where a sparse value stands": (sp.csr_matrix(np.eye(2)), sp.csr_matrix(np.eye(2)[::-1])),
    "a value of a wide table": (pd.DataFrame(WIDE_X), pd.DataFrame(np.where(WIDE_X == 9, 9.5, WIDE_X))),
    "the type of a wide table": (pd.DataFrame(WIDE_X), pd.DataFrame(WIDE_X.astype(int))),
    "a column's name in a wide table": (pd.DataFrame(WIDE_X), pd.DataFrame(WIDE_X).rename(columns={77: "a"})),
    "a text in a wide table": (pd.DataFrame(WIDE_X).assign(t="x"), pd.DataFrame(WIDE_X).assign(t="y")),
    "an array in a list": ([X, X], [X, X[::-1]]),
    "bytes in a list": ([b"x"], [b"y"]),
    "a nested list": ([[1, 2], [3, 4]], [[1, 2], [3, 5]]),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_equal_contents_have_equal_digests(pair: tuple[Any, Any]) -> None:
    one, other = map(digest, pair)
    assert one == other
    assert one.startswith("xxh3:")


@pytest.mark.parametrize("pair", OTHER.values(), ids=OTHER)
def test_other_contents_have_other_digests(pair: tuple[Any, Any]) -> None:
    assert digest(pair[0]) != digest(pair[1])


def test_the_target_belongs_to_the_data() -> None:
    assert len({digest(X), digest(X, Y), digest(X, Y[::-1]), digest(X, pd.Series(Y, name="y"))}) == 4


@pytest.mark.parametrize("order", ["C", "F"])
def test_of_large_data_blocks_are_read(order: Any) -> None:
    large = np.zeros((WHOLE_BYTES // 80 + 1, 10), order=order)
    before = digest(large)
    assert before.startswith("xxh3-blocks:")
    large[-1, -1] = 1  # the first and the last items are always among the blocks
    assert digest(large) != before


def test_of_a_large_file_only_blocks_are_read(tmp_path: Path) -> None:
    """Ten gigabytes with holes; reading them would take far longer than the test may."""
    shape = (10_000_000, 128)
    data = np.memmap(tmp_path / "data", np.float64, "w+", shape=shape)
    tracemalloc.start()
    try:
        found = described(data, np.memmap(tmp_path / "y", np.int64, "w+", shape=shape[:1]))
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert found.digest.startswith("xxh3-blocks:")
    assert (found.data.shape, found.size) == (shape, 8 * shape[0] * shape[1])
    assert (tmp_path / "data").stat().st_blocks * 512 < 64 << 20  # a read page of a hole takes no disk


def test_large_text_is_read_in_blocks() -> None:
    texts = [f"document {i} " * 50 for i in range(50_000)]
    assert digest(pd.DataFrame({"text": texts})).startswith("xxh3-blocks:")
    assert digest(texts).startswith("xxh3-blocks:")


def alternating(make: Any) -> Any:
    """A wide table whose neighbours differ in type, so that no two can be read at once."""
    return make({f"c{i}": np.arange(3) if i % 2 else np.arange(3.0) for i in range(2 * WIDE)})


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_of_a_wide_table_of_many_types_some_columns_are_read(make: Any) -> None:
    table = alternating(make)
    found = described(table)
    assert found.digest.startswith("xxh3-blocks:")
    assert found.digest == digest(alternating(make))
    assert found.size is None
    assert found.data.schema()["columns"][1]["name"] == "c1"
    names = [f"c{i}" for i in range(2 * WIDE - 1)]
    renamed = make({**{n: [0.0] for n in names}, "other": [0.0]})  # each name counts, read or not
    assert digest(make({n: [0.0] for n in [*names, "last"]})) != digest(renamed)


def test_of_a_wide_table_of_long_columns_blocks_are_read() -> None:
    wide = pd.DataFrame(np.zeros((WHOLE_BYTES // 8 // WIDE, WIDE + 1)))
    before = digest(wide)
    assert before.startswith("xxh3-blocks:")
    wide.iloc[-1, -1] = 1
    assert digest(wide) != before


ROW = [0.5] * 100
NESTED = {
    "many short ones": [ROW] * 20_000,
    "few long ones": [[0.5] * 200_000] * 10,
    "three levels": [[ROW] * 28] * 3000,
    "one": [[[0.5] * 1000] * 1000],
    "mappings": [{"id": 1, "curve": [0.5] * 1000}] * 5000,
    "long texts": ["x" * 50_000_000] * 2,
    "arrays": [np.zeros((500, 500))] * 1000,
    "tuples with a list between": [(0, [0.5] * 10_000, 1)] * 1000,
}


@pytest.mark.parametrize("data", NESTED.values(), ids=NESTED)
def test_large_nested_data_is_read_in_blocks(data: Any) -> None:
    """What it costs is a matter of the numbers within, not of the number of lists."""
    digest([ROW])  # imports
    start = time.process_time()
    assert digest(data).startswith("xxh3-blocks:")
    assert time.process_time() - start < 0.5  # read whole they take 2 s and more; in blocks 0.05


@pytest.mark.parametrize(
    ("data", "at"),
    [
        ([ROW] * 20_000, (-1, 99)),
        ([[0.5] * 200_000] * 10, (0, 0)),
        ([[0.5] * 200_000] * 10, (9, -1)),
        ([{"curve": [0.5] * 200_000}] * 10, (0, "curve", -1)),
    ],
)
def test_the_ends_of_large_nested_data_are_among_the_blocks(data: Any, at: Any) -> None:
    assert digest(changed(data, *at)) != digest(data)


def test_a_wide_table_names_the_first_columns() -> None:
    schema = described(pd.DataFrame(np.zeros((2, SCHEMA_COLUMNS + 5)))).data.schema()
    assert len(schema["columns"]) == SCHEMA_COLUMNS
    assert schema["more_columns"] == 5


class Hostile:
    """Whatever code of a user's class may do, it is not called."""

    asked: list[str] = []

    def _ask(self, *args: Any) -> Any:
        self.asked.append("called")
        raise AssertionError

    __repr__ = __eq__ = __hash__ = __len__ = __iter__ = __getattr__ = _ask  # type: ignore[assignment]


def test_objects_of_a_users_class_are_not_asked() -> None:
    items = [Hostile(), Hostile()]
    values = np.empty(2, object)
    values[0], values[1] = items
    table = pd.DataFrame({"a": pd.Series(values, dtype=object)})
    Hostile.asked.clear()
    assert digest(values) == digest(values)
    assert digest(items) == digest([Hostile(), Hostile()])
    assert digest(table).startswith("xxh3:")
    assert Hostile.asked == []


def test_a_list_that_holds_itself() -> None:
    endless: list[Any] = [1]
    endless.append(endless)
    assert digest(endless).startswith("xxh3:")
    alone: list[Any] = []
    alone += [alone] * 3
    assert digest([alone] * 1_000_000).startswith("xxh3-blocks:")


class Indexed(np.ndarray):
    """An array whose reading the user wants to know of."""

    def __getitem__(self, key: Any) -> Any:
        raise AssertionError("read")


def test_a_subclass_of_an_array_is_read_as_the_array_it_is() -> None:
    assert digest(X.view(Indexed)) == digest(X)


@pytest.mark.parametrize(
    "data", [sp.lil_matrix(np.eye(3)), sp.dok_matrix(np.eye(3)), (i for i in range(3)), None, 3]
)
def test_of_what_cannot_be_read_the_digest_says_so(data: Any) -> None:
    assert digest(data).startswith("xxh3-shape:")


def test_a_dmatrix_tells_its_labels() -> None:
    def matrix(label: Any) -> xgboost.DMatrix:
        return xgboost.DMatrix(X, label, feature_names=list("abcd"))

    found = described(matrix(Y))
    assert found.digest.startswith("xxh3-labels:")
    assert found.data.shape == X.shape
    assert found.data.schema()["columns"][0] == {"name": "a", "dtype": "float"}
    assert found.digest != digest(matrix(Y[::-1]))


def test_nothing_of_the_data_is_held() -> None:
    """It may be most of the memory there is, and the user's `del` is to free it."""
    data, column = X.copy(), X[:, 0].copy()
    freed = []
    import weakref

    for thing in (data, column):
        weakref.finalize(thing, freed.append, 1)
    found = described(data, column)
    del data, column, thing
    assert freed == [1, 1]
    assert found.attributes("train", "train")


def test_a_run_tells_its_datasets(tracking: Tracking) -> None:  # noqa: F811
    tracking.enable()
    table = pd.DataFrame({"age": [1, 2], "name": ["x", "y"]})
    with autotrack.run("r") as run:
        run.log_dataset(table, y=np.array([0.5, 1.5]))
        run.log_dataset(X, "test")
        run.log_dataset(X, "holdout", role="eval")
        table.loc[0, "age"] = 9  # later changes are not recorded
    by_name = {d.name: d for d in tracking.run().datasets}
    assert {name: d.role for name, d in by_name.items()} == {
        "train": "train",
        "test": "test",
        "holdout": "eval",
    }
    train = by_name["train"]
    assert (train.kind, train.shape, train.size) == ("pandas.DataFrame", (2, 2), None)
    assert train.schema == {
        "columns": [{"name": "age", "dtype": "int64"}, {"name": "name", "dtype": "str"}],
        "target": {"shape": [2], "dtype": "float64"},
    }
    assert train.digest == digest(pd.DataFrame({"age": [1, 2], "name": ["x", "y"]}), np.array([0.5, 1.5]))
    assert by_name["test"].digest == by_name["holdout"].digest
    assert by_name["test"].size == X.nbytes


def test_what_fails_is_one_line_and_the_run_goes_on(
    tracking: Tracking,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Odd:
        @property
        def shape(self) -> Any:
            raise ValueError("no shape")

    tracking.enable()
    with autotrack.run("r") as run:
        run.log_dataset(Odd())
        run.log({"loss": 1.0})
    assert tracking.run().metrics == {"loss": 1.0}
    assert tracking.run().datasets == []
    assert "log_dataset() failed: ValueError: no shape" in caplog.text


def test_no_library_is_imported_for_it(store: Place) -> None:
    ended = store.run(
        """
        import sys, autotrack
        with autotrack.run("r") as run:
            run.log_dataset([[1, 2], [3, 4]], y=["a", "b"])
        libraries = "numpy", "pandas", "polars", "pyarrow", "scipy", "xgboost"
        print([name for name in libraries if name in sys.modules])
        """
    )
    assert ended.out.strip() == "[]", ended.err
    [data] = store.only_run().datasets
    assert (data.shape, data.kind) == ((2, 2), "builtins.list")
