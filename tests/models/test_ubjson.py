"""UBJSON that is damaged is found before XGBoost reads it."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost

from autotrack.errors import ModelError
from autotrack.models import ubjson

X = np.random.default_rng(0).normal(size=(60, 5))
Y = (X[:, 0] > 0).astype(int)


def saved(booster: str = "gbtree") -> bytes:
    model = xgboost.XGBClassifier(n_estimators=3, booster=booster).fit(X, Y)
    return bytes(model.get_booster().save_raw("ubj"))


@pytest.mark.parametrize("booster", ["gbtree", "gblinear", "dart"])
def test_what_xgboost_writes_is_whole(booster: str) -> None:
    ubjson.read(saved(booster))


def test_categories_and_names_are_whole() -> None:
    data = xgboost.DMatrix(np.abs(X * 3).astype(int), Y, feature_names=list("abcde"), feature_types=["c"] * 5)
    ubjson.read(bytes(xgboost.train({"max_depth": 3}, data, 3).save_raw("ubj")))


def test_every_part_of_it_is_not() -> None:
    whole = saved()
    for end in range(0, len(whole), 97):
        with pytest.raises(ModelError, match="no whole UBJSON"):
            ubjson.read(whole[:end])


@pytest.mark.parametrize(
    "data",
    [
        b"{L\x7f" + b"\xff" * 7,  # a name of exabytes
        b"[$d#L\x7f" + b"\xff" * 7,
        b"[$d#L" + b"\xff" * 8,  # fewer than none
        b"[#L\x00\x00\x00\x00\x00\x00\x00\x01[",
        b"{}}",
        b"{i\x01a",
        b"[",
        b"S",
        b"[$",
        b"[$x#i\x01",
        b"{i\x01aZi\x01aZ}",  # a name twice
    ],
)
def test_what_is_damaged_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="no whole UBJSON"):
        ubjson.read(data)
