"""Models of other libraries as ONNX, by the converters that those who know them keep."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import ModelError
from ..flavor import NotKept


def to_onnx(model: Any, example: Any) -> Any:
    """See `autotrack.to_onnx`."""
    for base in type(model).__mro__:
        package = base.__module__.partition(".")[0]
        if package in _CONVERTERS:
            try:
                return _CONVERTERS[package](model, example)
            except (ModelError, NotKept) as error:
                raise ModelError(f"the model cannot be converted to ONNX: {error}") from error
            except Exception as error:
                reason = str(error).strip().partition("\n")[0]
                raise ModelError(
                    f"the model cannot be converted to ONNX ({type(error).__name__}: {reason})"
                ) from error
    kind = type(model)
    raise ModelError(
        f"nothing converts a {kind.__module__}.{kind.__qualname__} to ONNX: only models of scikit-learn, "
        "XGBoost and torch"
    )


def _of_sklearn(model: Any, example: Any) -> Any:
    skl2onnx = _converter("skl2onnx")
    from sklearn.base import is_classifier

    _know_xgboost(skl2onnx)
    options = {id(model): {"zipmap": False}} if is_classifier(model) else None  # arrays, no lists of dicts
    opset = {
        "": skl2onnx.get_latest_tested_opset_version(),
        "ai.onnx.ml": 3,
    }  # the one that both converters know
    return skl2onnx.to_onnx(model, example[:1], options=options, target_opset=opset)


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
    return program.model_proto


def _converter(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ModelError(f"{name} is not installed: pip install {name}") from None


_CONVERTERS = {
    "sklearn": _of_sklearn,
    "xgboost": _of_xgboost,
    "torch": _of_torch,
    "lightning": _of_torch,
    "pytorch_lightning": _of_torch,
}
