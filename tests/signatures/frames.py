"""A table that MLflow's golden texts were made of, and ours are inferred of; it needs neither."""

from __future__ import annotations

import numpy as np
import pandas as pd


def every_kind() -> pd.DataFrame:
    """A column of each kind of data."""
    return pd.DataFrame(
        {
            "i8": np.array([1, 2], "int8"),
            "u32": np.array([1, 2], "uint32"),
            "f32": np.array([1, 2], "float32"),
            "f64": [1.0, np.nan],
            "Int64": pd.array([1, None], dtype="Int64"),
            "boolean": pd.array([True, None], dtype="boolean"),
            "text": ["a", None],
            "category": pd.Categorical(["a", "b"]),
            "codes": pd.Categorical([1, 2]),
            "when": pd.to_datetime(["2020-01-01", "2020-01-02"]),
            "utc": pd.to_datetime(["2020-01-01", "2020-01-02"], utc=True),
            "bytes": [b"a", b"b"],
            "lists": [[1, 2], []],
            "arrays": [np.array([[1.0]]), np.array([[2.0]])],
            "records": [{"a": 1, "b": "x"}, {"a": 2}],
            "nested": [[{"q": "a"}], []],
            "none": [None, None],
        }
    )
