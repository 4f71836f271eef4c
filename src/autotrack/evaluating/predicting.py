"""What a model predicts for an evaluation: numbers, or classes with their probabilities where it has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import OptionError
from ..measuring.predictions import Predictions
from ..predictor import Predictor
from ..signatures.values import is_missing

if TYPE_CHECKING:
    from numpy.typing import NDArray

Task = Literal["classification", "regression"]
_OF_TEXTS = "USO"
"""Kinds of arrays; of pandas' texts a model keeps classes as objects."""
MOST_INFERRED = 20
"""Distinct whole numbers up to which targets are taken for classes."""


def task_of(truth: NDArray[Any], model: Any) -> Task:
    """What the model says it does, else what the targets look like."""
    if hasattr(model, "classes_"):
        return "classification"
    if truth.dtype.kind in "bOUS":
        return "classification"
    is_few = truth.dtype.kind in "iu" and len(np.unique(truth)) <= MOST_INFERRED
    return "classification" if is_few else "regression"


def predicted(
    asked: Predictor | Callable[[Any], Any], data: Any, truth: NDArray[Any], task: Task
) -> Predictions:
    """Of every row. Raises `OptionError` where the predictions do not belong to the targets."""
    model = asked.model if isinstance(asked, Predictor) else asked
    classes = None
    if task == "classification":
        values, probabilities, classes = _classified(asked, model, data, truth)
        _refuse_other_words(truth, values)
    else:
        values, probabilities = _array(_predict(asked, data)), None
        if values.ndim == 2 and values.shape[1] == 1 and truth.ndim == 1:
            values = values[:, 0]
    if values.shape[:1] != truth.shape[:1]:
        raise OptionError(f"the model predicts {len(values)} rows, the targets have {len(truth)}")
    rows = len(truth)
    return Predictions(truth, values, probabilities, classes, None, rows, rows, False)


def _classified(
    asked: Any, model: Any, data: Any, truth: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any]]:
    """Predicted classes, probabilities of each, and the classes, sorted."""
    known = getattr(model, "classes_", None)
    if callable(getattr(model, "predict_proba", None)) and isinstance(known, np.ndarray):
        fitting = asked.fitting(data) if isinstance(asked, Predictor) else data
        probabilities = array_of(model.predict_proba(fitting), "the model's probabilities")
        is_usual = probabilities.shape == (len(truth), len(known))
        return _array(_predict(asked, data)), probabilities if is_usual else None, known
    values = _array(_predict(asked, data))
    classes = np.unique(truth) if known is None else np.asarray(known)
    if values.dtype.kind == "f" and values.ndim == 2 and values.shape[1] == len(classes):
        return classes[values.argmax(axis=1)], _as_probabilities(values), classes
    is_one = values.dtype.kind == "f" and len(classes) == 2 and ((values >= 0) & (values <= 1)).all()
    if is_one and not np.isin(values, classes).all():
        positive = values.reshape(-1)
        return classes[(positive > 0.5).astype(int)], np.column_stack([1 - positive, positive]), classes
    return values, None, _with_predicted(classes, values) if known is None else classes


def _with_predicted(classes: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """The targets' classes and those that the model made up. Raises `OptionError` where these are none."""
    _refuse_other_words(classes, values)
    others = np.setdiff1d(values, classes)
    if others.dtype.kind == "f" and (odd := others[others != np.round(others)]).size:
        raise OptionError(
            f"the model predicts {odd[0]:g}, which is no class; is it a regression? then say so by task"
        )
    return np.union1d(classes, others)


def _refuse_other_words(truth: NDArray[Any], values: NDArray[Any]) -> None:
    if (truth.dtype.kind in _OF_TEXTS) != (values.dtype.kind in _OF_TEXTS):
        raise OptionError(
            f"the model predicts {values.dtype.name}, and the targets are {truth.dtype.name}: "
            "give both in the same words"
        )


def _as_probabilities(values: NDArray[Any]) -> NDArray[Any]:
    """Rows of probabilities as they are; other scores of the classes, as a network's logits, by softmax."""
    if (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-3):
        return values
    odds = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _predict(asked: Predictor | Callable[[Any], Any], data: Any) -> Any:
    if isinstance(asked, Predictor):
        return asked.predict(data)
    predict = getattr(asked, "predict", asked)
    if not callable(predict):
        raise OptionError(f"a {type(asked).__name__} is no model: it has no predict and cannot be called")
    return predict(data)


def array_of(values: Any, what: str) -> NDArray[Any]:
    """An array of numbers, bools or texts with rows. Raises `OptionError`, which begins with `what`."""
    if hasattr(values, "detach"):  # a tensor of torch, of which numpy takes none with a gradient
        values = values.detach().cpu()
    try:
        array = np.asarray(values.toarray() if hasattr(values, "toarray") else values)
        if array.dtype == object:
            array = np.array(array.tolist())
    except ValueError as error:
        raise OptionError(f"{what} are no array: {error}") from None
    if not array.ndim:
        raise OptionError(f"{what} are a {type(values).__name__}: give one for each row")
    if array.dtype.kind not in "biufUS":
        missing = [row for row, value in enumerate(array) if array.ndim == 1 and is_missing(value)]
        found = f"missing at row {missing[0]}" if missing else f"of the type {array.dtype.name}"
        raise OptionError(f"{what} are {found}: numbers, bools and texts can be measured")
    return array


def column_of(array: NDArray[Any]) -> NDArray[Any]:
    """Without the second dimension, if it is one of length 1: as a table with one column has it."""
    return array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array


def _array(values: Any) -> NDArray[Any]:
    return column_of(array_of(values, "the model's predictions"))
