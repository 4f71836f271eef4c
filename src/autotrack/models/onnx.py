"""ONNX: models as they are, asked by onnxruntime."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from ..errors import ModelError, SchemaError
from ..flavor import PYTHON_FUNCTION, Files, Flavor, Frozen, ModelFolder, NotKept, Permissions, Section

FILE = "model.onnx"
INSTALL = "pip install 'autotrack[onnx]'"
PROVIDERS = ["CUDAExecutionProvider", "CPUExecutionProvider"]
"""Where a model may run, what is preferred first."""
MOST_BYTES = (1 << 31) - 1
"""Of a protobuf."""
MOST_SHARED = 4
"""Tensors may share bytes of a file; a few bytes that all of them share would become gigabytes."""
_DTYPES = {
    "float": "float32",
    "double": "float64",
    **{name: name for name in ("float16", "bool", "int8", "int16", "int32", "int64")},
    **{name: name for name in ("uint8", "uint16", "uint32", "uint64")},
    "string": "object",
}


class OnnxFlavor(Flavor):
    """See `Flavor`. An `onnx.ModelProto`; `autotrack.to_onnx` makes one of other libraries' models."""

    name = "onnx"
    libraries = {"onnx": "onnx", "onnxruntime": "onnxruntime", "numpy": "numpy"}
    needs = ("onnx", "onnxruntime", "numpy")

    def freeze(self, model: Any, limit: int, example: Any = None) -> Frozen:
        if type(model).__name__ != "ModelProto":
            raise NotKept(f"{type(model).__qualname__} is no whole model; log the ModelProto")
        if (size := model.ByteSize()) > min(limit, MOST_BYTES):
            what = f"model_max_bytes ({limit:,})" if size > limit else "a protobuf may have"
            raise NotKept(f"it has {size:,} bytes, more than {what}")
        if any(_is_outside(tensor) for tensor in _tensors(model)):
            raise NotKept("some of its tensors are in other files: load it by onnx.load, which reads them")
        return Frozen(model.SerializeToString(), FILE)

    def outputs(self, model: Any) -> Any:
        """Of a model with one output that output's, with the dimensions that are fixed."""
        import numpy as np
        import onnx

        if len(model.graph.output) != 1:
            return None
        told = model.graph.output[0].type.tensor_type
        sizes = [dimension.dim_value for dimension in told.shape.dim]
        if not told.elem_type or not sizes or not all(sizes[1:]):
            return None
        return np.empty((0, *sizes[1:]), onnx.helper.tensor_dtype_to_np_dtype(told.elem_type))

    def describe(self, files: Files, kind: str) -> Mapping[str, Section]:
        import onnx

        ours = {
            "code": None,
            "data": FILE,
            "onnx_session_options": None,
            "onnx_version": onnx.__version__,
            "providers": [*PROVIDERS],
        }
        return {self.name: ours, PYTHON_FUNCTION: {"loader_module": "mlflow.onnx", "data": FILE}}

    def load(self, folder: ModelFolder, section: Section, permissions: Permissions) -> Any:
        """The `ModelProto`, with tensors that lie in other files of the folder read in."""
        try:
            import onnx
            from google.protobuf.message import DecodeError
        except ImportError:
            raise ModelError(f"onnx is not installed: {INSTALL}") from None

        name = str(section.get("data", FILE))
        model = onnx.ModelProto()
        try:
            model.ParseFromString(folder.read(name))
        except DecodeError as error:
            raise ModelError(f"{name} of {folder.told} is no ONNX model: {error}") from None
        if not model.graph.output or not model.opset_import:
            raise ModelError(f"{name} of {folder.told} is no ONNX model: it gives nothing")
        outside = _Outside(folder, PurePosixPath(name).parent)
        for tensor in _tensors(model):
            if _is_outside(tensor):
                outside.read_in(tensor)
        return model

    def ready(self, model: Any) -> Any:
        """A session. Raises `ModelError`."""
        try:
            import onnxruntime
        except ImportError:
            raise ModelError(f"onnxruntime is not installed: {INSTALL}") from None

        there = onnxruntime.get_available_providers()
        try:
            return onnxruntime.InferenceSession(
                model.SerializeToString(), providers=[name for name in PROVIDERS if name in there]
            )
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelError(f"onnxruntime cannot run the model: {reason}") from error

    def check_params(self, model: Any, names: Collection[str]) -> None:
        """A session takes one, which is no JSON."""
        if wrong := sorted({*names} - {"run_options"}):
            raise SchemaError(f"an ONNX model takes no params {', '.join(wrong)}: leave them out")

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        """The output, or a dict of them by their names.

        data: an array or table for a model of one input; a table or a dict by the names of several.
        """
        found = model.run(None, _feed(model.get_inputs(), data), **params)
        names = [output.name for output in model.get_outputs()]
        return found[0] if len(names) == 1 else dict(zip(names, found, strict=True))


def _feed(inputs: Any, data: Any) -> dict[str, Any]:
    import numpy as np

    names = [one.name for one in inputs]
    if len(names) == 1 and not isinstance(data, Mapping):
        found = {names[0]: np.asarray(data)}
    elif missing := [name for name in names if name not in getattr(data, "columns", data)]:
        raise ModelError(f"the model takes {', '.join(names)}, and the data lacks {', '.join(missing)}")
    else:
        is_table = not isinstance(data, Mapping)
        found = {name: np.asarray(data[name]) for name in names}
        if is_table:
            found = {name: column.reshape(-1, 1) for name, column in found.items()}
    return {one.name: _fitting(found[one.name], one) for one in inputs}


def _fitting(array: Any, wanted: Any) -> Any:
    """Numbers in the type that the model takes, as far as they are of the same kind."""
    import numpy as np

    dtype = np.dtype(_DTYPES.get(wanted.type.removeprefix("tensor(").rstrip(")"), array.dtype))
    return array.astype(dtype) if np.can_cast(array.dtype, dtype, "same_kind") else array


# --- tensors in other files -------------------------------------------------------------------------


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor in it, wherever it stands."""
    if message.DESCRIPTOR.full_name == "onnx.TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in (value,) if hasattr(value, "DESCRIPTOR") else value:
                yield from _tensors(item)


def _is_outside(tensor: Any) -> bool:
    return bool(tensor.data_location == tensor.EXTERNAL or tensor.external_data)


class _Outside:
    """The files beside a model in which its tensors lie, each read once."""

    def __init__(self, folder: ModelFolder, root: PurePosixPath) -> None:
        self._folder = folder
        self._root = root
        self._files: dict[str, bytes] = {}
        self._taken = 0

    def read_in(self, tensor: Any) -> None:
        """The file must be one of the model's own: its name is looked up there, never opened as a path."""
        told = {entry.key: entry.value for entry in tensor.external_data}
        name = (self._root / told.get("location", "")).as_posix()
        if name not in self._folder.names:
            raise ModelError(
                f"{self._folder.told} refers to {told.get('location')!r}, which is none of its files"
            )
        data = self._read(name)
        try:
            start = int(told.get("offset", 0))
            length = int(told.get("length", len(data) - start))
        except ValueError:
            start = length = -1
        if start < 0 or length < 0 or start + length > len(data):
            raise ModelError(f"{self._folder.told} refers to bytes of {name} that are not there")
        self._taken += length
        if self._taken > MOST_SHARED * sum(map(len, self._files.values())):
            raise ModelError(
                f"{self._folder.told} refers to the same bytes of {name} more than {MOST_SHARED} times"
            )
        tensor.raw_data = data[start : start + length]
        del tensor.external_data[:]
        tensor.ClearField("data_location")

    def _read(self, name: str) -> bytes:
        if name not in self._files:
            self._files[name] = self._folder.read(name)
        return self._files[name]
