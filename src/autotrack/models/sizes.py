"""Whether torch's layers are set to what their weights are.

Some kernels take what a layer says of itself without a look at the tensors: they would read beside them, or
ask for more memory than there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ModelError

MOST = 1 << 24
"""A number that a layer may be set to, unless its weights are larger."""
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
_GATES = {"RNN": 1, "RNNCell": 1, "GRU": 3, "GRUCell": 3, "LSTM": 4, "LSTMCell": 4}


def check(layer: Any) -> None:
    """Raises `ModelError` for a layer of torch's that is not as its weights are."""
    held = vars(layer)
    weights = {
        name: one
        for name, one in (*held["_parameters"].items(), *held["_buffers"].items())
        if one is not None
    }
    most = max([MOST, *(size for one in weights.values() for size in one.shape)])
    if any(abs(number) > most for value in held.values() for number in _numbers(value)):
        raise _refusal(layer, f"is set to a number above {most:,}")
    names = {base.__name__ for base in type(layer).__mro__}
    for name, expected in _expected(layer, names, weights):
        if name in weights and (*weights[name].shape,) != expected:
            raise _refusal(layer, f"has {name} of the shape {(*weights[name].shape,)}, not {expected}")


def _refusal(layer: Any, problem: str) -> ModelError:
    return ModelError(
        f"the module's description and its weights disagree: a {type(layer).__name__} {problem}"
    )


def _numbers(value: Any) -> Iterator[float]:
    if type(value) in (int, float):
        yield value
    elif type(value) in (tuple, list):
        for item in value:
            yield from _numbers(item)


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
    return tuple(size for value in values for size in (value if type(value) is tuple else (value,)))


def _convolution(layer: Any) -> tuple[int, ...]:
    ways = [layer.out_channels, layer.in_channels]
    first, second = reversed(ways) if layer.transposed else ways
    return (first, second // layer.groups, *layer.kernel_size)


def _attention(layer: Any) -> Iterator[tuple[str, Any]]:
    width = layer.embed_dim
    if width != layer.num_heads * layer.head_dim:
        raise _refusal(layer, f"has {layer.num_heads} heads of {layer.head_dim}, and is {width} wide")
    yield "in_proj_bias", (3 * width,)
    yield "in_proj_weight", (3 * width, width)
    yield "q_proj_weight", (width, width)
    yield "k_proj_weight", (width, layer.kdim)
    yield "v_proj_weight", (width, layer.vdim)


def _recurrent(layer: Any, weights: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    kind = next(name for name in (base.__name__ for base in type(layer).__mro__) if name in _GATES)
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
