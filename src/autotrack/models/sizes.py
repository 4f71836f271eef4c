"""Whether torch's layers are set to what their weights are, and made of the layers that torch makes them of.

Some kernels take what a layer says of itself without a look at the tensors: they would read beside them, or
ask for more memory than there is.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ModelError
from .layers import is_torchs

MOST = 1 << 24
"""A size that a layer may be set to, unless its weights are larger."""
MOST_TOGETHER = 1 << 26
"""Of what is a size for each dimension, all together: so many values may come of one."""
_SIZE_NAMES = (
    "cutoffs d_model dilation div_value downscale_factor embed_dim embedding_dim groups head_dim "
    "head_size hidden_size in1_features in2_features in_channels in_features input_size kdim kernel_size "
    "n_classes n_clusters nhead normalized_shape num_channels num_embeddings num_features num_groups "
    "num_heads num_layers num_parameters out_channels out_features output_padding output_ratio "
    "output_size padding padding_idx proj_size scale_factor shortlist_size size stride unflattened_size "
    "upscale_factor vdim _reversed_padding_repeated_twice"
)
"""Settings by which kernels reckon what they read and ask for; other numbers may be anything."""
_NORM = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), ("num_features",))
_SHAPES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Linear": {"weight": ("out_features", "in_features"), "bias": ("out_features",)},
    "Bilinear": {"weight": ("out_features", "in1_features", "in2_features"), "bias": ("out_features",)},
    "Embedding": {"weight": ("num_embeddings", "embedding_dim")},
    "EmbeddingBag": {"weight": ("num_embeddings", "embedding_dim")},
    "LayerNorm": {"weight": ("normalized_shape",), "bias": ("normalized_shape",)},
    "RMSNorm": {"weight": ("normalized_shape",)},
    "GroupNorm": {"weight": ("num_channels",), "bias": ("num_channels",)},
    "PReLU": {"weight": ("num_parameters",)},
    "_NormBase": _NORM,
}
"""By the class that has them: of a tensor the settings that its sizes are."""
_PARTS: Mapping[str, Mapping[str, str]] = {
    "MultiheadAttention": {"out_proj": "Linear"},
    "TransformerEncoderLayer": {"self_attn": "MultiheadAttention"},
}
"""Layers that hand to a kernel what others within them say of themselves, which it does not look at."""
_GATES = {"RNN": 1, "RNNCell": 1, "GRU": 3, "GRUCell": 3, "LSTM": 4, "LSTMCell": 4}


def check(layer: Any) -> None:
    """Raises `ModelError` for a layer of torch's that is not as its weights are."""
    try:
        _check(layer)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _refusal(layer, f"has settings that are none of its kind ({error})") from error


def _check(layer: Any) -> None:
    held = vars(layer)
    weights = {
        name: one
        for name, one in (*held["_parameters"].items(), *held["_buffers"].items())
        if one is not None
    }
    # The values, not the longest side: beside a side of 0 another may be as long as its author likes.
    values = max([0, *(one.numel() for one in weights.values())])
    most, together = max(MOST, values), max(MOST_TOGETHER, values)
    for name in held.keys() & _SIZE_NAMES.split():
        numbers = [*map(abs, _numbers(held[name]))]
        if not all(number <= most for number in numbers):
            raise _refusal(layer, f"has a {name} above {most:,}")
        ways = [*map(max, numbers[::2], numbers[1::2])] if _has_both_ends(layer, name) else numbers
        if math.prod(max(1, number) for number in ways) > together:
            raise _refusal(layer, f"has a {name} above {together:,} in all")
    names = {base.__name__ for base in type(layer).__mro__}
    _check_parts(layer, names)
    for name, expected in _expected(layer, names, weights):
        if name in weights and (*weights[name].shape,) != expected:
            raise _refusal(layer, f"has {name} of the shape {(*weights[name].shape,)}, not {expected}")


def _has_both_ends(layer: Any, name: str) -> bool:
    """Whether a setting has two numbers for each dimension: what is added before and after."""
    is_padding = any(base.__name__.endswith("PadNd") for base in type(layer).__mro__)
    return name == "_reversed_padding_repeated_twice" or (is_padding and name == "padding")


def _check_parts(layer: Any, names: set[str]) -> None:
    """Of another class only what is not torch's: that is code which the caller has permitted."""
    held = vars(layer)
    for kind in _PARTS.keys() & names:
        for name, expected in _PARTS[kind].items():
            part = type(held["_modules"].get(name))
            if name in held or (is_torchs(part) and expected not in {base.__name__ for base in part.__mro__}):
                raise _refusal(layer, f"has no {expected} for {name}")


def _refusal(layer: Any, problem: str) -> ModelError:
    return ModelError(
        f"the module's description and its weights disagree: a {type(layer).__name__} {problem:.160}"
    )


def _numbers(value: Any) -> Iterator[float]:
    """All in a setting that is a size. Raises `TypeError` for what is none, whatever that says of itself."""
    if issubclass(type(value), (tuple, list)):
        for item in value:
            yield from _numbers(item)
    elif type(value) in (int, float) or _is_numpys(type(value)):
        yield value
    elif value is not None and type(value) not in (bool, str):
        raise TypeError(f"a {type(value).__qualname__} is no size")


def _is_numpys(kind: type) -> bool:
    """Of its numbers, such as an array's shape may come as."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(kind, numpy.number) and kind.__module__ == "numpy"


def _expected(layer: Any, names: set[str], weights: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for kind in _SHAPES.keys() & names:
        for weight, settings in _SHAPES[kind].items():
            if weight in weights:
                yield weight, _sizes(layer, settings)
    if "_ConvNd" in names:
        yield "weight", _convolution(layer)
        yield "bias", (layer.out_channels,)
    if names & {"RNNBase", "RNNCellBase"}:
        yield from _recurrent(layer, weights)
    if "MultiheadAttention" in names:
        yield from _attention(layer)


def _sizes(layer: Any, settings: tuple[str, ...]) -> tuple[int, ...]:
    values = [getattr(layer, name) for name in settings]
    return tuple(size for value in values for size in (value if issubclass(type(value), tuple) else (value,)))


def _convolution(layer: Any) -> tuple[int, ...]:
    ways = [layer.out_channels, layer.in_channels]
    first, second = reversed(ways) if layer.transposed else ways
    return (first, second // layer.groups, *layer.kernel_size)


def _attention(layer: Any) -> Iterator[tuple[str, Any]]:
    width = layer.embed_dim
    if layer.num_heads < 1 or width != layer.num_heads * layer.head_dim:  # a kernel divides by it unasked
        raise _refusal(layer, f"has {layer.num_heads} heads of {layer.head_dim}, and is {width} wide")
    projection = layer._modules["out_proj"]
    if is_torchs(type(projection)) and (*projection.weight.shape,) != (width, width):
        raise _refusal(
            layer, f"has an out_proj of the shape {(*projection.weight.shape,)}, and is {width} wide"
        )
    yield "in_proj_bias", (3 * width,)
    yield "in_proj_weight", (3 * width, width)
    yield "q_proj_weight", (width, width)
    yield "k_proj_weight", (width, layer.kdim)
    yield "v_proj_weight", (width, layer.vdim)


def _recurrent(layer: Any, weights: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    kind = next((base.__name__ for base in type(layer).__mro__ if base.__name__ in _GATES), None)
    if kind is None:  # what they have in common, which computes nothing
        return
    rows = _GATES[kind] * layer.hidden_size
    if kind.endswith("Cell"):
        yield "weight_ih", (rows, layer.input_size)
        yield "weight_hh", (rows, layer.hidden_size)
        return
    if layer.mode.partition("_")[0] != kind or {type(layer.bias), type(layer.bidirectional)} != {bool}:
        raise _refusal(layer, "has settings that are none of its kind")
    names = [*_flat_names(layer)]
    if layer._flat_weights_names != names or any(
        one is not weights[name] for one, name in zip(layer._flat_weights, names, strict=True)
    ):
        raise _refusal(layer, f"has other weights than those of {layer.num_layers} layers")
    projected = layer.proj_size or layer.hidden_size
    inputs = projected * (2 if layer.bidirectional else 1)
    for name in names:
        if name.startswith("weight_ih"):
            yield name, (rows, layer.input_size if name.startswith("weight_ih_l0") else inputs)
        elif name.startswith("weight_hh"):
            yield name, (rows, projected)
        elif name.startswith("bias"):
            yield name, (rows,)
        else:
            yield name, (projected, layer.hidden_size)


def _flat_names(layer: Any) -> Iterator[str]:
    """As torch calls the weights: its kernels take them in this order, and look at no name or shape."""
    kinds = ["weight_ih", "weight_hh"]
    kinds += ["bias_ih", "bias_hh"] if layer.bias else []
    kinds += ["weight_hr"] if layer.proj_size else []
    ways = ("", "_reverse") if layer.bidirectional else ("",)
    deep = min(layer.num_layers, len(layer._flat_weights_names) + 1)  # however many it says that there are
    return (f"{kind}_l{depth}{way}" for depth in range(deep) for way in ways for kind in kinds)
