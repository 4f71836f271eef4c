"""Our measures are scikit-learn's, on whatever targets, ties and weights there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from autotrack.measuring import measures

close = pytest.approx


@st.composite
def classified(draw: st.DrawFn) -> tuple[Any, Any, Any, Any, int]:
    """Truth, prediction, probabilities with many ties, weights with zeros or none, number of classes."""
    count = draw(st.integers(2, 4))
    size = draw(st.integers(count, 40))
    codes = st.lists(st.integers(0, count - 1), min_size=size, max_size=size)
    truth, predicted = np.array(draw(codes)), np.array(draw(codes))
    truth[:count] = np.arange(count)  # each class is there
    steps = st.lists(st.integers(0, 5), min_size=size * count, max_size=size * count)
    scores = np.array(draw(steps)).reshape(size, count) + 1e-9
    weight = draw(st.none() | st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=size, max_size=size))
    weights = None if weight is None else np.array(weight)
    if weights is not None:
        weights[:count] = 1.0
    return truth, predicted, scores / scores.sum(axis=1, keepdims=True), weights, count


@settings(deadline=None)
@given(classified())
def test_measures(case: tuple[Any, Any, Any, Any, int]) -> None:
    truth, predicted, probabilities, weight, count = case
    matrix = measures.confusion(truth, predicted, count, weight)
    labels = np.arange(count)
    assert (
        matrix.tolist()
        == metrics.confusion_matrix(truth, predicted, labels=labels, sample_weight=weight).tolist()
    )
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        truth, predicted, average="weighted", zero_division=0.0, sample_weight=weight
    )
    assert measures.of_confusion(matrix) == close(
        {
            "accuracy_score": metrics.accuracy_score(truth, predicted, sample_weight=weight),
            "precision_score": precision,
            "recall_score": recall,
            "f1_score": f1,
        }
    )
    assert measures.log_loss(truth, probabilities, weight) == close(
        metrics.log_loss(truth, probabilities, labels=labels, sample_weight=weight)
    )
    score = probabilities[:, 1] if count == 2 else probabilities
    assert measures.roc_auc(truth, probabilities, weight) == close(
        metrics.roc_auc_score(truth, score, average="weighted", multi_class="ovr", sample_weight=weight)
    )


@settings(deadline=None)
@given(classified())
def test_curves(case: tuple[Any, Any, Any, Any, int]) -> None:
    truth, _, probabilities, weight, _ = case
    is_it, score = truth == 1, probabilities[:, 1]
    ranked = measures.ranking(is_it, score, weight)
    expected = metrics.roc_curve(is_it, score, sample_weight=weight)
    for ours, theirs in zip(ranked.roc().values(), expected, strict=True):
        assert ours.tolist() == close(theirs.tolist())
    precision, recall, threshold = metrics.precision_recall_curve(is_it, score, sample_weight=weight)
    found = ranked.precision_recall()
    assert found["precision"].tolist() == close(precision[:-1].tolist())
    assert found["recall"].tolist() == close(recall[:-1].tolist())
    assert found["threshold"].tolist() == close(threshold.tolist())


@st.composite
def numbers(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """Truth and prediction of one target or several, some of them constant, and weights or none."""
    rows, columns = draw(st.integers(2, 12)), draw(st.integers(1, 3))
    values = st.lists(st.integers(-3, 3), min_size=rows * columns, max_size=rows * columns)
    truth, predicted = (np.array(draw(values), float).reshape(rows, columns) for _ in range(2))
    if draw(st.booleans()):
        truth[:, 0] = 1.0
    weight = draw(st.none() | st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=rows, max_size=rows))
    one = columns == 1 and draw(st.booleans())
    shape = (rows,) if one else (rows, columns)
    return truth.reshape(shape), predicted.reshape(shape), None if weight is None else np.array(weight)


@settings(deadline=None)
@given(numbers())
def test_numbers(case: tuple[Any, Any, Any]) -> None:
    truth, predicted, weight = case
    squared = metrics.mean_squared_error(truth, predicted, sample_weight=weight)
    assert measures.of_numbers(truth, predicted, weight) == close(
        {
            "mean_squared_error": squared,
            "root_mean_squared_error": np.sqrt(squared),
            "mean_absolute_error": metrics.mean_absolute_error(truth, predicted, sample_weight=weight),
            "r2_score": metrics.r2_score(truth, predicted, sample_weight=weight),
        }
    )


@settings(deadline=None)
@given(classified())
def test_each_class(case: tuple[Any, Any, Any, Any, int]) -> None:
    truth, predicted, _, weight, count = case
    found = measures.by_class(measures.confusion(truth, predicted, count, weight))
    expected = metrics.precision_recall_fscore_support(
        truth, predicted, labels=np.arange(count), zero_division=0.0, sample_weight=weight
    )
    for ours, theirs in zip(found.values(), expected, strict=True):
        assert ours.tolist() == close(theirs.tolist())
