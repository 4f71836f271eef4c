"""Models of other libraries as ONNX, by the converters that those who know them keep."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import ModelError
from ..flavor import NotKept
from ..interrupts import pass_on
from .onnx import OnnxFlavor

log = logging.getLogger("autotrack")

MOST_COMPARED = 1000
"""Rows of the example."""


def to_onnx(model: Any, example: Any) -> Any:
    """See `autotrack.to_onnx`."""
    for base in type(model).__mro__:
        package = base.__module__.partition(".")[0]
        if package in _CONVERTERS:
            try:
                made = _CONVERTERS[package](model, example)
            except (ModelError, NotKept) as error:
                raise ModelError(f"the model cannot be converted to ONNX: {error}") from error
            except Exception as error:
                reason = str(error).strip().partition("\n")[0]
                raise ModelError(
                    f"the model cannot be converted to ONNX ({type(error).__name__}: {reason})"
                ) from error
            if package in _ASKED:
                _compare(model, made, example[:MOST_COMPARED], _ASKED[package])
            return made
    kind = type(model)
    raise ModelError(
        f"nothing converts a {kind.__module__}.{kind.__qualname__} to ONNX: only models of scikit-learn, "
        "XGBoost and torch"
    )


def _compare(model: Any, made: Any, example: Any, asked: Callable[[Any, Any], list[Any]]) -> None:
    """Say so where the two disagree about the example.

    Converters compute in single precision where the library does not: what lies at the threshold of a tree
    may fall to its other side.
    """
    try:
        apart = _apart(asked(model, example), made, example)
    except Exception as error:  # noqa: BLE001  the model is made; whether it is good is its user's to see
        pass_on(error)
        log.warning("autotrack: the ONNX model could not be compared with the original: %s", error)
        return
    if apart.any():
        log.warning(
            "autotrack: the ONNX model, which computes in single precision, predicts otherwise than the "
            "original for %d of %d rows of the example, first for row %d",
            *(apart.sum(), len(apart), apart.argmax()),
        )


def _apart(expected: list[Any], made: Any, example: Any) -> Any:
    """Whether the ONNX model gives something else, by row."""
    import numpy as np

    flavor = OnnxFlavor()
    found = flavor.predict(flavor.ready(made), example, {})
    apart = np.zeros(len(example), bool)
    for pair in zip(expected, [*found.values()] if isinstance(found, dict) else [found], strict=False):
        ours, theirs = (np.asarray(of).reshape(len(example), -1) for of in pair)
        is_number = ours.dtype.kind == theirs.dtype.kind == "f"
        same = np.isclose(theirs, ours, rtol=1e-3, atol=1e-4) if is_number else theirs == ours
        apart |= ~same.all(axis=1)
    return apart


def _ask_estimator(model: Any, data: Any) -> list[Any]:
    if not hasattr(model, "predict"):
        return [model.transform(data)]
    return [model.predict(data), *([model.predict_proba(data)] if hasattr(model, "predict_proba") else [])]


def _ask_xgboost(model: Any, data: Any) -> list[Any]:
    if hasattr(model, "get_booster"):
        return _ask_estimator(model, data)
    import xgboost

    return [model.predict(xgboost.DMatrix(data))]


def _of_sklearn(model: Any, example: Any) -> Any:
    """From the form of the data that gives a graph which runs: the example's own first."""
    skl2onnx = _converter("skl2onnx")
    from sklearn.base import is_classifier

    _know_xgboost(skl2onnx)
    options = {id(model): {"zipmap": False}} if is_classifier(model) else None  # arrays, no lists of dicts
    opset = {
        "": skl2onnx.get_latest_tested_opset_version(),
        "ai.onnx.ml": 3,
    }  # the one that both converters know
    problems: list[Exception] = []
    for data in _forms(example[:1]):
        try:
            made = skl2onnx.to_onnx(model, data, options=options, target_opset=opset)
            OnnxFlavor().ready(made)
        except Exception as error:  # noqa: BLE001  the converters have many
            pass_on(error)
            problems.append(error)
        else:
            return made
    raise problems[0]


def _forms(data: Any) -> Iterator[Any]:
    """As it is; in single precision, as trees take it; and as one matrix, which most estimators take."""
    yield data
    if hasattr(data, "columns"):
        numbers = [name for name in data.columns if data[name].dtype.kind in "fiub"]
        yield data.astype({name: "float32" for name in numbers if data[name].dtype == "float64"})
        if len(numbers) == len(data.columns):
            yield data.to_numpy("float32")
    elif getattr(data, "dtype", None) == "float64":
        yield data.astype("float32")


def _know_xgboost(skl2onnx: Any) -> None:
    """A pipeline may end in one of its estimators."""
    try:
        import xgboost
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    except ImportError:
        return
    from skl2onnx.common import shape_calculator as shapes

    for kind, shape in (
        (xgboost.XGBClassifier, shapes.calculate_linear_classifier_output_shapes),
        (xgboost.XGBRegressor, shapes.calculate_linear_regressor_output_shapes),
    ):
        choices = {"zipmap": [True, False], "nocl": [True, False]}
        skl2onnx.update_registered_converter(kind, kind.__name__, shape, convert_xgboost, options=choices)


def _of_xgboost(model: Any, example: Any) -> Any:
    onnxmltools = _converter("onnxmltools")
    from onnxmltools.convert.common.data_types import FloatTensorType

    kind = FloatTensorType([None, example.shape[1]])
    return onnxmltools.convert_xgboost(model, initial_types=[("input", kind)])


def _of_torch(model: Any, example: Any) -> Any:
    _converter("onnxscript")
    import torch

    from .exporting import traceable
    from .modules import unwrapped

    with traceable(unwrapped(model), example) as (module, positional, named, shapes):
        program: Any = torch.onnx.export(
            module, positional, kwargs=named, dynamic_shapes=shapes, dynamo=True, verbose=False
        )
    made = program.model_proto
    _forget_sources(made)
    return made


def _forget_sources(message: Any) -> None:
    """Torch notes the lines of the user's source that each operation is of, and the paths of their files."""
    for field, value in message.ListFields():
        if field.name == "metadata_props":
            others = [entry for entry in value if not entry.key.endswith("stack_trace")]
            message.ClearField(field.name)
            message.metadata_props.extend(others)
        elif field.message_type is not None:
            for item in (value,) if hasattr(value, "DESCRIPTOR") else value:
                _forget_sources(item)


def _converter(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ModelError(f"{name} is not installed: pip install {name}") from None


_ASKED = {"sklearn": _ask_estimator, "xgboost": _ask_xgboost}
"""How the original is asked; torch checks what it exports."""
_CONVERTERS = {
    "sklearn": _of_sklearn,
    "xgboost": _of_xgboost,
    "torch": _of_torch,
    "lightning": _of_torch,
    "pytorch_lightning": _of_torch,
}
