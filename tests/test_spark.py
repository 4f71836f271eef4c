"""A model over a Spark DataFrame, by a real Spark in its own processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autotrack._api import spark_udf
from autotrack.errors import ModelError, OptionError
from autotrack.signatures import Column, DataType, Schema, Signature, Tensor

from .serving import toys
from .tracking import Tracking, tracking

__all__ = ["tracking"]

pytestmark = pytest.mark.spark
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A session whose workers find our packages."""
    from pyspark import sql  # who asks for these tests wants them to run: pip install '.[spark]'

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", ":".join([str(ROOT), *filter(None, sys.path)]))
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        settings = {
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.execution.arrow.maxRecordsPerBatch": "7",
        }
        builder = sql.SparkSession.builder.master("local[2]")
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        yield session
        session.stop()


def signed(outputs: Schema | None) -> Signature:
    return Signature(toys.INPUTS, outputs)


DOUBLE = Schema((Column(None, DataType.DOUBLE),))


def scored(spark: Any, folder: Path, *columns: Any, **options: Any) -> list[Any]:
    """The predictions for 20 rows, in their order."""
    predict = spark_udf(spark, str(folder), trusted=[toys.TRUSTED], **options)
    rows = [(i, "x", i / 2, float(i)) for i in range(20)]
    table = spark.createDataFrame(rows, ["id", "s", "b", "a"]).repartition(3)
    return [row.p for row in table.withColumn("p", predict(*columns)).orderBy("id").collect()]


EXPECTED = [i * 1.5 for i in range(20)]


def test_columns_are_taken_by_name(spark: Any, tmp_path: Path) -> None:
    folder = toys.save(tmp_path / "model", signature=signed(DOUBLE))
    assert scored(spark, folder) == EXPECTED
    assert scored(spark, folder, "b", "a", "s") == EXPECTED


def test_columns_that_are_expressions(spark: Any, tmp_path: Path) -> None:
    from pyspark.sql import functions

    folder = toys.save(tmp_path / "model", signature=signed(DOUBLE))
    twice = scored(spark, folder, (functions.col("a") * 2).alias("a"), "b")
    assert twice == [i * 2.5 for i in range(20)]


def test_result_types(spark: Any, tmp_path: Path) -> None:
    tensor = Schema((Tensor(None, "float64", (-1,)),))
    assert scored(spark, toys.save(tmp_path / "tensor", signature=signed(tensor))) == EXPECTED
    bare = toys.save(tmp_path / "bare", signature=signed(None))
    assert scored(spark, bare, "a", "b", result_type="float") == EXPECTED
    assert scored(spark, bare, result_type="struct<prediction: double>")[3].prediction == EXPECTED[3]
    with pytest.raises(OptionError, match="name it by result_type"):
        spark_udf(spark, str(bare), trusted=[toys.TRUSTED])


def test_what_the_caller_did_not_trust_is_not_loaded_elsewhere(spark: Any, tmp_path: Path) -> None:
    folder = toys.save(tmp_path / "model", signature=signed(DOUBLE))
    with pytest.raises(ModelError, match=toys.TRUSTED):
        spark_udf(spark, str(folder))


def test_an_error_names_the_column(spark: Any, tmp_path: Path) -> None:
    folder = toys.save(tmp_path / "model", signature=signed(DOUBLE))
    with pytest.raises(Exception, match="column 'b' is missing"):
        scored(spark, folder, "a")


def test_as_many_as_a_prediction_has(spark: Any, tmp_path: Path) -> None:
    """An array of each row's."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LinearRegression
    from sklearn.multioutput import MultiOutputRegressor

    import autotrack

    x, _ = load_iris(return_X_y=True, as_frame=True)
    x.columns = list("abcd")
    model = MultiOutputRegressor(LinearRegression()).fit(x[["a", "b"]], x[["c", "d"]])
    outputs = np.zeros((3, 2))
    autotrack.save_model(model, tmp_path / "model", inputs=x[["a", "b"]], outputs=outputs)
    found = scored(spark, tmp_path / "model")
    rows = pd.DataFrame({"a": [float(i) for i in range(20)], "b": [i / 2 for i in range(20)]})
    assert np.allclose(found, model.predict(rows))


def test_a_registered_model_by_its_alias(spark: Any, tracking: Tracking) -> None:
    from sklearn.linear_model import LinearRegression

    import autotrack

    tracking.enable("torch")
    rows = pd.DataFrame({"a": [float(i) for i in range(20)], "b": [i / 2 for i in range(20)]})
    models = [LinearRegression().fit(rows[["a"]], factor * rows["a"]) for factor in (2.0, 3.0)]
    for model, alias in zip(models, ("champion", None), strict=True):
        with autotrack.run() as run:
            run.log_model(model, inputs=rows[["a"]], outputs=np.zeros(1))
        autotrack.register_model(f"runs:/{run.id}/model", "line", alias=alias)
    predict = spark_udf(spark, "models:/line@champion")
    found = spark.createDataFrame(rows).repartition(3).withColumn("p", predict()).orderBy("a").collect()
    assert np.allclose([row.p for row in found], 2 * rows["a"])
