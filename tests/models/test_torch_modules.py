"""torch's modules kept without an example: made again from their weights and what they are made of."""

from __future__ import annotations

import copy
import importlib
import io
import json
import logging
import math
import os
import pickle
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
import torchmetrics
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import autotrack
from autotrack.errors import ModelError
from autotrack.models import rebuilding
from autotrack.models import torch as torch_flavor
from autotrack.models.modules import size as module_size
from autotrack.models.structure import structure
from autotrack.models.torch import BESIDE, MODULE, PICKLE_MODULE, PICKLED, SOURCE, WEIGHTS, TorchFlavor

from ..scripts import TIMEOUT
from .folders import loaded
from .torch_kit import TorchKit, X

LIMIT = 64 << 20
flavor = TorchFlavor()


def plain() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.GELU("tanh"), nn.Linear(8, 3)
    )


def asked(module: Any, *data: Any) -> Any:
    with torch.no_grad():
        return module.eval()(*data)


def saved(module: Any, folder: Path, **details: Any) -> str:
    autotrack.save_model(module, folder, **details)
    return str(folder)


class TestLayers(TorchKit):
    """The kit, of a module that is made again."""

    def model(self) -> Any:
        return plain()

    def files_read(self, folder: Path) -> list[Path]:
        mlflows = {folder / PICKLED, folder / PICKLE_MODULE}
        return [file for file in super().files_read(folder) if file not in mlflows]


# --- what is hostile or damaged -----------------------------------------------------------------------


def description(module: Any) -> tuple[dict[str, bytes], Any]:
    frozen = flavor.freeze(module, LIMIT)
    files = flavor.files(frozen)
    return {**files}, json.loads(files[MODULE])


def made_again(files: dict[str, bytes], **permitted: Any) -> Any:
    return loaded(flavor, files, flavor.describe(files, "Linear")["pytorch"], **permitted)


def refused(files: dict[str, bytes], told: Any, **permitted: Any) -> str:
    """Why there are the weights alone; predict says it too."""
    data = told if isinstance(told, bytes) else json.dumps(told).encode()
    found = made_again({**files, MODULE: data}, **permitted)
    assert isinstance(found, dict)
    assert len(found.why) < 500
    with pytest.raises(ModelError) as error:
        flavor.predict(found, X, {})
    assert found.why in str(error.value)
    return str(found.why)


def linear() -> tuple[dict[str, bytes], Any]:
    return description(nn.Linear(4, 3))


def layer(told: Any) -> Any:
    """What is told of the only module, wherever it stands."""
    return told["module"]


SEQUENTIAL = {"name": ["torch.nn.modules.container", "Sequential"]}


def module_of(*children: Any, **more: Any) -> Any:
    pairs = [[str(number), child] for number, child in enumerate(children)]
    told = {"class": SEQUENTIAL, "parameters": [], "buffers": [], "transient": [], "attributes": []}
    return {"module": {**told, "modules": pairs, **more}}


def nested(depth: int) -> Any:
    text = json.dumps(module_of("inner")).split('"inner"')
    return (text[0] * depth + json.dumps(module_of()) + text[1] * depth).encode()


def doubled(depth: int) -> Any:
    """A few modules that stand for 2**depth."""
    contents = [module_of(), *(module_of({"same": n}, {"same": n}) for n in range(depth))]
    return {"sharing": [contents, {"same": depth}]}


DESCRIBED = {
    "recurrent": description(nn.LSTM(4, 3)),
    "attention": description(nn.TransformerEncoderLayer(4, 2, 8)),
    "a stack": description(plain()),
}
WHOLE: dict[str, tuple[Any, str]] = {
    "null": (b"null", "is of something else"),
    "a number": (b"7", "is of something else"),
    "a list in lists": (b"[" * 100_000, "nested too deeply"),
    "modules in modules": (nested(5000), "nested too deeply"),
    "modules that hold each other twice": (doubled(60), "more than 1,048,576 layers"),
    "an unknown form": ({"frame": "data/x.parquet"}, "unknown form"),
    "a form of files": ({"artifact": "MLmodel"}, "unknown form"),
    "a form that is a method": ({"_init__": []}, "unknown form"),
    "two forms": ({"tuple": [], "list": []}, "unknown form"),
    "no class": ({"module": {}}, "cannot be made again"),
    "a module in itself": ({"sharing": [[module_of({"same": 0})], {"same": 0}]}, "is in itself"),
    "a list in itself": ({"sharing": [[{"tuple": [{"same": 0}]}], {"same": 0}]}, "holds itself"),
    "a value that is missing": ({"sharing": [[], {"same": 0}]}, "is missing"),
    "a negative place": ({"sharing": [[1], {"same": -1}]}, "is missing"),
    "a place by a text": ({"sharing": [[1], {"same": "0"}]}, "is missing"),
    "a child that is none": (module_of(7), "is no Module"),
    "a buffer that is none": (module_of(buffers=[["b", 1]]), "is no Tensor"),
    "a parameter that is none": (module_of(parameters=[["p", "x"]]), "is no Parameter"),
    "weights that are not there": (module_of(parameters=[["p", {"parameter": ["p", True, None]}]]), "lack"),
    "another forward": (
        module_of(attributes=[["forward", {"name": ["torch.nn.functional", "relu"]}]]),
        "sets 'forward'",
    ),
    "hooks": (module_of(attributes=[["_forward_hooks", {"dict": []}]]), "sets '_forward_hooks'"),
    "its insides": (module_of(attributes=[["_modules", {"dict": []}]]), "sets '_modules'"),
    "another class of its own": (module_of(attributes=[["__class__", 1]]), "sets '__class__'"),
    "a layer as a plain object": (
        module_of(attributes=[["a", {"object": [SEQUENTIAL, {"dict": []}]}]]),
        "plain",
    ),
    "a function as a class": ({"module": {"class": {"name": ["torch", "relu"]}}}, "for a Module"),
    "a layer as an enum": (module_of(attributes=[["a", {"enum": [SEQUENTIAL, 1]}]]), "for a Enum"),
    "a layer as a dict": (
        module_of(attributes=[["a", {"mapping": [SEQUENTIAL, {"dict": []}]}]]),
        "for a dict",
    ),
    "a module of torch's for a type": (
        module_of(attributes=[["a", {"constant": "hub"}]]),
        "no type of numbers",
    ),
    "a method of a layer": (
        module_of(attributes=[["a", {"method": [module_of(), "apply"]}]]),
        "a method that",
    ),
}


@pytest.mark.parametrize(("told", "reason"), WHOLE.values(), ids=WHOLE)
def test_a_hostile_description_is_refused(told: Any, reason: str) -> None:
    files, _ = linear()
    assert reason in refused(files, told)


def nested_tuples(form: str, depth: int) -> Any:
    """A value whose hash takes 2**depth steps, in a set."""
    contents: list[Any] = [{form: [0]}, *({form: [{"same": n}, {"same": n}]} for n in range(depth))]
    return {"sharing": [contents, module_of(attributes=[["a", {"set": [{"same": depth}]}]])]}


@pytest.mark.parametrize("form", ["tuple", "frozenset", "slice"])
def test_what_has_a_hash_is_not_shared(form: str) -> None:
    files, _ = linear()
    assert f"shares a {form}" in refused(files, nested_tuples(form, 3))
    assert f"shares a {form}" in refused(files, nested_tuples(form, 60))


def test_a_slice_that_is_used_twice_is_one_of_no_others() -> None:
    part = slice(0, 3)
    found = made_again(description(with_attribute([part, part]))[0])
    assert found.extra == [part, part]


ALIKE = [number * sys.hash_info.modulus for number in range(2000)]
CROWDED = {
    "a set": {"set": ALIKE},
    "a frozenset": {"frozenset": ALIKE},
    "a dict": {"dict": [[number, 0] for number in ALIKE]},
    "a counter": {
        "mapping": [{"name": ["collections", "Counter"]}, {"dict": [[number, 0] for number in ALIKE]}]
    },
}


@pytest.mark.parametrize("value", CROWDED.values(), ids=CROWDED)
def test_many_keys_of_one_hash_are_refused(value: Any) -> None:
    files, _ = linear()
    assert "keys that are alike" in refused(files, module_of(attributes=[["a", value]]))


COUNTER = {"name": ["collections", "Counter"]}
WITHOUT_NUMBERS = {
    "a tuple": {"tuple": {"tensor": ["empty", False, None]}},
    "a set": {"set": {"tensor": ["empty", False, None]}},
    "a mapping": {"mapping": [COUNTER, {"tensor": ["empty", False, None]}]},
    "arguments": {"partial": [{"name": ["torch", "relu"]}, {"tensor": ["empty", False, None]}, {"dict": []}]},
}


@pytest.mark.parametrize("value", WITHOUT_NUMBERS.values(), ids=WITHOUT_NUMBERS)
def test_items_are_of_a_list(value: Any) -> None:
    """A tensor of any number of rows may have no bytes."""
    module = nn.Sequential()
    module.empty = nn.Parameter(torch.zeros(1000, 0))
    files, _ = description(module)
    assert refused(files, module_of(attributes=[["a", value]]))


def test_a_size_is_not_as_large_as_a_tensor_without_numbers() -> None:
    module = nn.Linear(0, 1 << 25, bias=False)
    assert "out_features above" in flavor.freeze(module, LIMIT).left


def test_loggers_are_few() -> None:
    """`logging` keeps each for ever."""
    files, _ = linear()
    loggers = [[f"a{number}", {"logger": f"atmany.{number}"}] for number in range(200)]
    assert "too many" in refused(files, module_of(attributes=loggers))


def test_a_logger_has_no_long_name() -> None:
    files, _ = linear()
    told = module_of(attributes=[["a", {"logger": "a." * 1000}]])
    assert "a logger with a long name" in refused(files, told)


def branching(depth: int) -> Any:
    """Layers that come to each other thrice, as attributes: a `forward` of 3**depth steps."""
    _, told = description(nn.TransformerEncoderLayer(4, 1, 8))
    contents: list[Any] = [module_of()]
    for number in range(depth):
        held = copy.deepcopy(layer(told))
        child = {"same": number}
        held["attributes"] += [["activation", child], ["more", [child]], ["most", {"tuple": [child]}]]
        contents.append({"module": held})
    return {"sharing": [contents, {"same": depth}]}


def test_layers_in_attributes_count_too() -> None:
    files, _ = description(nn.TransformerEncoderLayer(4, 1, 8))
    assert isinstance(made_again({**files, MODULE: json.dumps(branching(3)).encode()}), nn.Module)
    assert "more than 1,048,576 layers" in refused(files, branching(30))


def test_layers_that_a_value_between_them_holds_count_too() -> None:
    files, _ = linear()
    contents = [module_of(), *([{"same": number}] * 2 for number in range(60))]
    told = module_of(attributes=[["a", {"same": 60}]])
    assert "more than 1,048,576 layers" in refused(files, {"sharing": [contents, told]})


class Dense(nn.Module):
    """Each layer has all before it in a list."""

    def __init__(self, before: list[nn.Module]) -> None:
        super().__init__()
        self.before = [*before]


def test_lists_of_layers_in_the_users_own_do_not() -> None:
    layers: list[nn.Module] = []
    for _ in range(30):
        layers.append(Dense(layers))
    found = made_again(description(nn.Sequential(*layers))[0], code=True)
    assert found[29].before[28] is found[28]


@pytest.mark.parametrize("data", [b"\x80\x04", b"", b'{"module": {'], ids=["no text", "nothing", "half"])
def test_a_description_that_is_no_json_is_an_error(data: bytes) -> None:
    files, _ = linear()
    with pytest.raises(ModelError, match="no JSON"):
        made_again({**files, MODULE: data})


VALUES = [
    0,
    -1,
    3,
    1 << 40,
    0.5,
    True,
    None,
    "x",
    [],
    {},
    {"tuple": [0]},
    {"same": 0},
    {"name": ["os", "abort"]},
]


def spots(told: Any) -> list[tuple[Any, Any]]:
    """All places in a description: what holds a value, and under which key."""
    keys = [*told] if isinstance(told, dict) else range(len(told)) if isinstance(told, list) else []
    return [spot for key in keys for spot in [(told, key), *spots(told[key])]]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_stands_in_a_description_it_is_a_module_weights_or_an_error(data: Any) -> None:
    files, told = DESCRIBED[data.draw(st.sampled_from([*DESCRIBED]))]
    told = json.loads(json.dumps(told))
    for _ in range(data.draw(st.integers(1, 3))):
        place, key = data.draw(st.sampled_from(spots(told)))
        place[key] = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
    found = made_again({**files, MODULE: json.dumps(told).encode()})
    assert isinstance(found, dict | nn.Module)


def test_a_description_may_not_be_large(monkeypatch: pytest.MonkeyPatch) -> None:
    files, told = linear()
    monkeypatch.setattr(rebuilding, "MOST_BYTES", 100)
    assert "more than 100 bytes" in refused(files, told)


RUNS = {
    "a function of the system": ["os", "mkdir"],
    "evaluation": ["builtins", "eval"],
    "a class of the system": ["subprocess", "Popen"],
    "torch's loader": ["torch", "load"],
    "torch's hub": ["torch.hub", "load"],
    "what torch.nn.functional imports": ["torch.nn.functional", "importlib"],
    "a lazy layer": ["torch.nn.modules.linear", "LazyLinear"],
    "a module that is not loaded": ["antigravity", "fly"],
}


@pytest.mark.parametrize("place", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("where", ["class", "attribute", "partial", "class of an object"])
def test_what_is_not_torchs_is_not_even_imported(place: list[str], where: str) -> None:
    files, _ = linear()
    name = {"name": place}
    told = {
        "class": module_of(**{"class": name}),
        "attribute": module_of(attributes=[["a", name]]),
        "partial": module_of(attributes=[["a", {"partial": [name, {"tuple": ["x"]}, {"dict": []}]}]]),
        "class of an object": module_of(attributes=[["a", {"object": [name, {"dict": []}]}]]),
    }[where]
    found = made_again({**files, MODULE: json.dumps(told).encode()})
    assert found.keys() == {"weight", "bias"}  # without permission the weights alone
    assert "antigravity" not in sys.modules


def test_a_layers_class_is_no_value_that_could_be_called() -> None:
    files, _ = linear()
    embedding = {"name": ["torch.nn.modules.sparse", "Embedding"]}
    made = {"partial": [embedding, {"tuple": [1 << 40]}, {"dict": []}]}
    told = module_of(attributes=[["activation", made]])
    found = made_again({**files, MODULE: json.dumps(told).encode()})
    assert isinstance(found, dict)


RELU = {"name": ["torch.nn.functional", "relu"]}
TENSOR = {"tensor": ["weight", False, None]}
RECEIVERS = {
    "a path": {"path": "there"},
    "a tensor": TENSOR,
    "a function": RELU,
    "a partial": {"partial": [RELU, [], {"dict": []}]},
    "a number": 3,
    "nothing": None,
    "a layer": module_of(),
}


@pytest.mark.parametrize("receiver", RECEIVERS.values(), ids=RECEIVERS)
@pytest.mark.parametrize(
    "name", ["unlink", "numpy", "func", "forward", "__builtins__", "__class__", "__init__"]
)
@pytest.mark.parametrize("permitted", [{}, {"code": True}], ids=["unasked", "code"])
def test_a_method_is_of_no_other_thing_than_a_module(receiver: Any, name: str, permitted: Any) -> None:
    files, _ = linear()
    told = module_of(attributes=[["a", {"method": [receiver, name]}]])
    assert "has a method that" in refused(files, told, **permitted)


NO_METHODS = [
    *("__class__", "__dict__", "__doc__", "__init__", "__setattr__", "missing", "prop", "static", "held"),
    *(7, None, ["through"]),
]


@pytest.mark.parametrize("name", NO_METHODS, ids=str)
def test_a_method_is_a_function_that_its_class_has(name: Any) -> None:
    files, _ = linear()
    own = module_of(**{"class": {"name": [__name__, "Odd"]}})
    told = module_of(attributes=[["a", {"method": [own, name]}]])
    assert "has a method that" in refused(files, told, trusted=[f"{__name__}.Odd"])
    assert not Odd.asked


class Odd(nn.Module):
    """With what is no method."""

    asked = 0
    held = print

    @property
    def prop(self) -> Any:
        Odd.asked += 1

    @staticmethod
    def static() -> None:
        """Not bound to anything."""


def test_a_method_that_its_layer_has_is_left_with_the_description() -> None:
    frozen = flavor.freeze(with_attribute(nn.Linear(2, 2).forward), LIMIT)
    assert "a method that its class does not have, or torch's" in frozen.left


def test_a_trusted_name_is_not_turned_into_another_by_the_model() -> None:
    files, _ = linear()
    told = module_of(attributes=[["a", {"name": ["package.layers", "act"]}]])
    names = {"package": "", "names": {"package.layers.act": ["builtins", "exec"]}}
    files = {**files, MODULE: json.dumps(told).encode(), SOURCE: json.dumps(names).encode()}
    assert "package.layers.act, which is not to be found" in refused(
        files, told, trusted=["package.layers.act"]
    )
    assert made_again(files, code=True).a is exec


def test_a_trusted_name_opens_no_other_class() -> None:
    files, _ = linear()
    embedding = {"name": ["torch.nn.modules.sparse", "Embedding"]}
    told = module_of(attributes=[["a", {"partial": [embedding, [1 << 40], {"dict": []}]}]])
    files = {**files, MODULE: json.dumps(told).encode()}
    assert isinstance(made_again(files, trusted=["package.layers.Act"]), dict)
    assert made_again(files, trusted=["torch.nn.modules.sparse.Embedding"]).a.func is nn.Embedding


class Falsy(nn.Module):
    """With a length, which is not asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def __len__(self) -> int:
        raise AssertionError("asked")


def test_a_module_in_a_module_is_not_asked_whether_it_is_one() -> None:
    files, _ = description(nn.Sequential(Falsy()))
    assert type(made_again(files, code=True)[0]) is Falsy


ORDERS = {
    "too short": [0],
    "twice the same": [0, 0],
    "negative": [-1, 0],
    "large": [0, 1 << 40],
    "text": ["0", "1"],
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_an_order_that_is_not_the_weights_is_refused(order: Any) -> None:
    files, told = linear()
    [pair] = [pair for pair in layer(told)["parameters"] if pair[0] == "weight"]
    pair[1]["parameter"][2] = order
    refused(files, told)


DISAGREE: dict[str, tuple[Callable[[], Any], str, Any]] = {
    "rows of a linear layer": (lambda: nn.Linear(4, 3), "in_features", 5),
    "rows of an embedding": (lambda: nn.Embedding(4, 3), "num_embeddings", 1 << 40),
    "channels": (lambda: nn.Conv2d(2, 4, 3), "out_channels", 8),
    "a kernel": (lambda: nn.Conv2d(2, 4, 3), "kernel_size", {"tuple": [1 << 30, 3]}),
    "features of a norm": (lambda: nn.BatchNorm1d(4), "num_features", 9),
    "a shape of a norm": (lambda: nn.LayerNorm(4), "normalized_shape", {"tuple": [5]}),
    "what a recurrent layer remembers": (lambda: nn.LSTM(4, 3), "hidden_size", 1 << 40),
    "how deep a recurrent layer is": (lambda: nn.GRU(4, 3), "num_layers", 1 << 40),
    "width of an attention": (lambda: nn.MultiheadAttention(4, 2), "embed_dim", 1 << 20),
    "heads of an attention": (lambda: nn.MultiheadAttention(4, 2), "num_heads", 3),
    "a size that is text": (lambda: nn.Linear(4, 3), "in_features", "4"),
    "a size that is a fraction": (lambda: nn.Linear(4, 3), "in_features", 4.5),
}


@pytest.mark.parametrize(("made", "name", "value"), DISAGREE.values(), ids=DISAGREE)
def test_sizes_that_disagree_with_the_weights_are_refused(made: Any, name: str, value: Any) -> None:
    files, told = description(made())
    held = layer(told if "module" in told else told["sharing"][1])
    [pair] = [pair for pair in held["attributes"] if pair[0] == name]
    pair[1] = value
    assert "disagree" in refused(files, told)


@pytest.mark.parametrize("heads", [0, -1, -2])
def test_an_attention_has_heads_also_where_it_is_of_no_width(heads: int) -> None:
    module = nn.MultiheadAttention(2, 2, bias=False)
    module.embed_dim, module.num_heads, module.head_dim = 0, heads, 0
    for one, name in ((module, "in_proj_weight"), (module.out_proj, "weight")):
        setattr(one, name, nn.Parameter(torch.ones(0, 0)))
    module.out_proj.in_features = module.out_proj.out_features = 0
    module.kdim = module.vdim = 0
    assert f"has {heads} heads" in flavor.freeze(module, LIMIT).left


def renamed(names: list[str]) -> Callable[[Any], None]:
    """Sets what a recurrent layer says that its weights are called, and has them in that order."""

    def change(held: Any) -> None:
        parameters = dict(held["parameters"])
        for pair in held["attributes"]:
            if pair[0] == "_flat_weights_names":
                pair[1] = names
            elif pair[0] == "_flat_weights":
                pair[1] = [parameters[name] for name in names]

    return change


def with_flag(name: str, value: Any) -> Callable[[Any], None]:
    def change(held: Any) -> None:
        [pair] = [pair for pair in held["attributes"] if pair[0] == name]
        pair[1] = value

    return change


IH, HH, BI, BH = "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"
RECURRENT = {
    "one weight four times": renamed([IH] * 4),
    "one bias four times": renamed([BI] * 4),
    "weights for biases": renamed([IH, HH, IH, HH]),
    "another order": renamed([HH, IH, BI, BH]),
    "none": renamed([]),
    "fewer": renamed([IH, HH]),
    "a flag that is a number": with_flag("bias", 7),
    "a way that is a text": with_flag("bidirectional", "x"),
    "more layers than weights": with_flag("num_layers", 2),
    "weights of no layer": with_flag("num_layers", 0),
    "layers below none": with_flag("num_layers", -1),
    "projected": with_flag("proj_size", 2),
    "inputs": with_flag("input_size", 3),
    "another kind": with_flag("mode", "ANY"),
}


@pytest.mark.parametrize("change", RECURRENT.values(), ids=RECURRENT)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_has_the_weights_that_its_settings_ask_for(kind: Any, change: Any) -> None:
    files, told = description(kind(1, 3))
    change(layer(told["sharing"][1]))
    assert "disagree" in refused(files, told)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("more", [{}, {"bias": False}, {"bidirectional": True}], ids=str)
def test_recurrent_layers_of_every_kind_are_made_again(kind: Any, more: Any) -> None:
    module, data = kind(4, 3, 2, **more), torch.randn(2, 5, 4)
    found = made_again(description(module)[0])
    assert torch.equal(asked(found, data)[0], asked(module, data)[0])


# --- what has no description --------------------------------------------------------------------------


class Own(nn.Module):
    """Of this module: with everything that an attribute may be."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.linear.weight
        self.register_buffer("scale", torch.full((4,), 2.0))
        self.register_buffer("fleeting", torch.full((4,), 3.0), persistent=False)
        self.plain = torch.arange(4.0)
        self.array = np.arange(4, dtype="float32")
        self.number = np.float32(0.5)
        self.also = [self.linear, self.tied]
        self.way = self.through
        self.activation = functional.gelu
        self.partly = partial(functional.softmax, dim=-1)
        self.kind = nn.Linear
        self.settings = {"a": (1, None), "b": {2.5}, 3: torch.float32}
        self.device, self.shape = torch.device("cpu"), torch.Size([1, 2])
        self.linear.bias.requires_grad_(False)

    def through(self, x: Any) -> Any:
        for one in self.also:
            x = self.activation(one(x) * self.scale + self.fleeting * self.plain)
        return self.partly(x + torch.from_numpy(self.array) * float(self.number))

    def forward(self, x: Any) -> Any:
        return self.way(x)


def with_attribute(value: Any) -> Any:
    made = plain()
    made.extra = value
    return made


def hooked(register: str) -> Any:
    made = plain()
    getattr(made[0], register)(lambda *_: None)
    return made


def normed() -> Any:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))


def pruned() -> Any:
    made = nn.Sequential(nn.Linear(4, 8))
    made[0].weight = nn.Parameter(made[0].weight[:5].clone())
    return made


def set_to(name: str, value: Any) -> Any:
    made = nn.Sequential(nn.Linear(4, 4))
    setattr(made[0], name, value)
    return made


def tagged(value: Any, name: str = "scale") -> Any:
    """As a `forward` or an optimizer may read it."""
    made = nn.Sequential(nn.Linear(4, 3))
    setattr(made[0].weight, name, value)
    return made


def no_attention() -> Any:
    """What an encoder's kernel takes from its attention it finds here too, with no heads to divide by."""
    made = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    attention, other = made.self_attn, nn.Identity()
    for name in (
        "batch_first",
        "embed_dim",
        "_qkv_same_embed_dim",
        "in_proj_weight",
        "in_proj_bias",
        "out_proj",
    ):
        setattr(other, name, getattr(attention, name))
    other.num_heads = 0
    made.self_attn = other  # type: ignore[assignment]
    return nn.Sequential(made)


def other_projection() -> Any:
    made = nn.MultiheadAttention(4, 2)
    made.out_proj = nn.Linear(8, 8)  # type: ignore[assignment]
    return nn.Sequential(made)


class Pair(namedtuple("Pair", "a b")):
    """With attributes, as it has no slots."""


def pair_with_more() -> Any:
    made = Pair(1, 2)
    made.more = 3  # type: ignore[attr-defined]
    return made


def partial_with_more() -> Any:
    made = partial(torch.relu)
    made.more = 3  # type: ignore[attr-defined]
    return made


INDESCRIBABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "a lambda": (lambda: with_attribute(lambda x: x), "a lambda has no name"),
    "a generator": (lambda: with_attribute(iter(())), "attribute extra is a"),
    "a file": (lambda: with_attribute(open(os.devnull)), "attribute extra is a _io"),  # noqa: SIM115
    "a lock": (lambda: with_attribute(__import__("threading").Lock()), "attribute extra is a _thread"),
    "random numbers": (lambda: with_attribute(torch.Generator()), "attribute extra is a torch"),
    "a sparse tensor": (lambda: with_attribute(torch.eye(2).to_sparse()), "a tensor of a kind"),
    "an array of text": (lambda: with_attribute(np.array(["a"])), "attribute extra cannot be written"),
    "a hook": (lambda: hooked("register_forward_hook"), "0 has hooks (_forward_hooks)"),
    "a hook before": (lambda: hooked("register_forward_pre_hook"), "has hooks"),
    "a hook of gradients": (lambda: hooked("register_full_backward_hook"), "has hooks"),
    "parametrized": (normed, "has hooks"),
    "pruned": (pruned, "0 would not load again: the module's description and its weights disagree"),
    "a method on an instance": (lambda: set_to("extra_repr", print), "0 has a extra_repr of its own"),
    "a size that is no number": (lambda: set_to("in_features", object()), "a object is no size"),
    "a size above all": (lambda: nn.Sequential(nn.ZeroPad1d(1 << 40)), "has a padding above"),
    "sizes above all together": (
        lambda: nn.Sequential(nn.Upsample(size=(1 << 14, 1 << 14))),
        "has a size above 67,108,864 in all",
    ),
    "pads above all together": (lambda: nn.Sequential(nn.ZeroPad2d(1 << 14)), "has a padding above"),
    "pads at one end": (lambda: nn.Sequential(nn.ZeroPad2d((0, 1 << 14, 0, 1 << 14))), "has a padding above"),
    "convolutions with pads": (
        lambda: nn.Sequential(nn.Conv2d(1, 1, 1, padding=(1 << 14, 1 << 14))),
        "above 67,108,864 in all",
    ),
    "an attention that is none": (no_attention, "has no MultiheadAttention for self_attn"),
    "a projection of another size": (other_projection, "has an out_proj of the shape (8, 8)"),
    "a weight with an object": (lambda: tagged(object()), "has an attribute scale of its own"),
    "a weight with a method hidden": (lambda: tagged(1.0, "numpy"), "has an attribute numpy of its own"),
    "a tuple with an attribute": (lambda: with_attribute(pair_with_more()), "a Pair with an attribute more"),
    "a partial with an attribute": (lambda: with_attribute(partial_with_more()), "with an attribute more"),
}


@pytest.mark.parametrize(("made", "reason"), INDESCRIBABLE.values(), ids=INDESCRIBABLE)
def test_what_has_no_description_is_kept_as_its_weights(
    made: Any, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = made()
    [line] = [one.getMessage() for one in _lines(caplog, lambda: saved(module, tmp_path / "m"))]
    assert "all but its weights" in line
    assert reason in line
    found = autotrack.load_model(tmp_path / "m")
    assert found.keys() == module.state_dict().keys()


def _lines(caplog: pytest.LogCaptureFixture, call: Callable[[], Any]) -> list[logging.LogRecord]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "autotrack"):
        call()
    return [*caplog.records]


class Slotted(nn.Module):
    """With a value that its `__dict__` does not have."""

    __slots__ = ("factor",)

    def __init__(self) -> None:
        super().__init__()
        self.factor = 3.0


def test_a_value_in_a_slot_is_said_to_be_missing() -> None:
    assert "attribute factor stands in a slot" in flavor.freeze(Slotted(), LIMIT).left


def _doubling(function: Any) -> Any:
    @wraps(function)
    def doubled(x: Any) -> Any:
        return 2 * function(x)

    return doubled


@_doubling
def shifted(x: Any) -> Any:
    return x + 1


def test_a_function_is_not_what_a_decorator_made_of_it() -> None:
    assert "by now a decorated function" in flavor.freeze(with_attribute(shifted.__wrapped__), LIMIT).left
    assert made_again(description(with_attribute(shifted))[0], code=True).extra is shifted


def in_itself() -> Any:
    made = nn.Sequential(nn.Sequential())
    made[0].append(made)
    return made


def called(name: str) -> Any:
    made = nn.Linear(2, 2)
    made.register_parameter(name, nn.Parameter(torch.ones(1)))
    return made


UNSAVED: dict[str, tuple[Callable[[], Any], str]] = {
    "in itself": (in_itself, "one is in itself"),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(2)), "0.weight of a lazy layer has no size yet"),
    "a name that safetensors has": (lambda: called("__metadata__"), "a tensor called '__metadata__'"),
    "a name that is no text": (lambda: called("\ud800"), "a tensor called '\\ud800'"),
}


@pytest.mark.parametrize(("made", "reason"), UNSAVED.values(), ids=UNSAVED)
def test_what_cannot_be_saved_is_refused_in_a_line(made: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        saved(made(), tmp_path / "m")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_beside_the_weights_counts_for_the_limit() -> None:
    module = plain()
    size = len(flavor.freeze(module, LIMIT).data)
    module.register_buffer("large", torch.zeros(10_000), persistent=False)
    frozen = flavor.freeze(module, size + 1000)
    assert "more than model_max_bytes" in frozen.left
    assert not frozen.more


def test_the_description_counts_for_the_limit() -> None:
    module = with_attribute([float(number) for number in range(10_000)])
    frozen = flavor.freeze(module, len(flavor.freeze(module, LIMIT).data) + 1000)
    assert "more than model_max_bytes" in frozen.left
    assert not frozen.more


def test_a_description_that_would_not_load_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "MOST_BYTES", 100)
    frozen = flavor.freeze(plain(), LIMIT)
    assert "its description has" in frozen.left
    assert not frozen.more


WORDS = {f"word {number}": number for number in range(20_000)}
MUCH: dict[str, Any] = {
    "words": WORDS,
    "lists": [[number] for number in range(20_000)],
    "text": "x" * (4 << 20),
    "bytes": bytes(4 << 20),
    "the same again": [WORDS] * 3,
}


@pytest.mark.parametrize("value", MUCH.values(), ids=MUCH)
def test_unasked_no_more_than_a_few_values_are_told(value: Any) -> None:
    module = with_attribute(value)
    frozen = flavor.unasked().freeze(module, LIMIT)
    assert "holds more than 20," in frozen.left
    assert "attribute extra" in frozen.left
    assert not flavor.freeze(module, LIMIT).left
    assert not flavor.unasked().freeze(plain(), LIMIT).left


def test_what_is_asked_for_has_its_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_flavor, "ASKED", 1000)
    assert "holds more than 1,6" in TorchFlavor().freeze(with_attribute(WORDS), LIMIT).left


def test_settings_of_layers_are_not_counted_however_many_there_are() -> None:
    module = nn.Sequential(*(nn.Conv2d(1, 1, 3) for _ in range(2000)))
    assert not flavor.unasked().freeze(module, LIMIT).left


def test_hyperparameters_count_too() -> None:
    module = Classifier(3)
    module.hparams["words"] = WORDS
    assert "holds more than 20," in flavor.unasked().freeze(module, LIMIT).left


def test_a_number_that_has_no_text_is_left_with_the_description() -> None:
    assert "it cannot be written" in flavor.freeze(with_attribute(10**5000), LIMIT).left


class Watching(nn.Module):
    """Says when it is asked for anything, once it is armed."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        vars(self)["armed"] = True

    def __getattribute__(self, name: str) -> Any:
        if "armed" in object.__getattribute__(self, "__dict__"):
            raise AssertionError(name)
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if "armed" in object.__getattribute__(self, "__dict__"):
            raise AssertionError(name)
        super().__setattr__(name, value)


def test_no_code_of_the_users_is_run_for_it() -> None:
    found = structure(Watching(), 1_000_000)
    assert [*found.users] == [f"{__name__}.Watching"]


# --- torch's own layers -------------------------------------------------------------------------------


def encoder() -> Any:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2)


def tied() -> Any:
    made = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    made[1].weight = made[0].weight
    return made


LAYERS: dict[str, tuple[Callable[[], Any], Any]] = {
    "a stack": (plain, (5, 4)),
    "an encoder": (encoder, (2, 5, 4)),
    "with a function": (lambda: nn.TransformerEncoderLayer(4, 2, 8, activation="gelu"), (2, 5, 4)),
    "recurrent": (lambda: nn.LSTM(4, 3, 2, bidirectional=True, batch_first=True, proj_size=2), (2, 5, 4)),
    "channels last": (lambda: nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last), (2, 3, 8, 8)),
    "tied": (tied, (5, 4)),
    "one layer twice": (lambda: nn.Sequential(*[nn.Linear(4, 4)] * 2), (5, 4)),
    "without weights": (lambda: nn.Sequential(nn.ReLU(), nn.Flatten()), (5, 4)),
    "in lists and dicts": (lambda: nn.Sequential(nn.Linear(4, 4), nn.Identity()), (5, 4)),
}


LARGE: dict[str, Callable[[], Any]] = {
    "a pad": lambda: nn.ConstantPad1d(1, float("-inf")),
    "a threshold": lambda: nn.Threshold(0.0, -1e9),
    "bounds": lambda: nn.Hardtanh(0.0, float("inf")),
    "what the user counts": lambda: set_to("samples_seen", 100_000_000),
}


@pytest.mark.parametrize("made", LARGE.values(), ids=LARGE)
def test_numbers_that_are_no_sizes_may_be_large(made: Any) -> None:
    module, data = made(), torch.randn(1, 5, 4)
    found = made_again(description(module)[0])
    assert torch.equal(asked(found, data), asked(module, data))


SIZES = {
    "a shape": {"shape": [1 << 40]},
    "a list": [[1 << 40]],
    "a fraction": 1e30,
    "no number": {"float": "nan"},
    "negative": -(1 << 40),
    "a dict": {"dict": [["a", 1]]},
}


@pytest.mark.parametrize("value", SIZES.values(), ids=SIZES)
def test_a_size_is_a_number_in_whatever_form(value: Any) -> None:
    files, told = description(nn.ZeroPad1d(1))
    [pair] = [pair for pair in layer(told)["attributes"] if pair[0] == "padding"]
    pair[1] = value
    assert "disagree" in refused(files, told)


@pytest.mark.parametrize(
    "made", [nn.ZeroPad3d(300), nn.Upsample(size=(4096, 4096)), nn.Unflatten(1, (-1, 4))]
)
def test_sizes_of_several_dimensions_may_be_large(made: Any) -> None:
    assert type(made_again(description(made)[0])) is type(made)


def test_a_size_in_an_array_is_a_number_too() -> None:
    files, _ = description(with_padding(np.int64(3)))
    assert made_again(files).padding == 3
    frozen = flavor.freeze(with_padding(np.int64(1 << 40)), LIMIT)
    assert "has a padding above" in frozen.left


def with_padding(value: Any) -> Any:
    made = nn.ZeroPad1d(1)
    made.padding = value
    return made


def test_a_recurrent_weight_that_was_replaced_is_loaded() -> None:
    module, data = nn.LSTM(4, 3), torch.randn(2, 5, 4)
    module.weight_ih_l0 = nn.Parameter(module.weight_ih_l0.detach() * 2)
    found = made_again(description(module)[0])
    assert torch.equal(asked(found, data)[0], asked(module, data)[0])


@pytest.mark.parametrize(("made", "shape"), LAYERS.values(), ids=LAYERS)
def test_layers_of_torch_are_made_again_by_anybody(made: Any, shape: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, data = made(), torch.randn(shape)
    found = autotrack.load_model(saved(module, tmp_path / "m"))
    assert type(found) is type(module)
    assert not any(one.training for one in found.modules())
    assert found.state_dict().keys() == module.state_dict().keys()
    for first, again in zip(module.parameters(), found.parameters(), strict=True):
        assert (first.dtype, first.shape, first.stride()) == (again.dtype, again.shape, again.stride())
    expected, predicted = asked(module, data), asked(found, data)
    if isinstance(expected, tuple):
        expected, predicted = expected[0], predicted[0]
    assert torch.equal(expected, predicted)


def test_each_kind_of_layer_is_made_again(tmp_path: Path) -> None:
    count = 0
    for name in nn.modules.__all__:
        kind = getattr(nn, name)
        for arguments in ((), (2,), (2, 2), (2, 2, 2), (1, (1, 1))):
            if not issubclass(kind, nn.Module):
                break
            try:
                module = kind(*arguments)
            except Exception:  # it takes other arguments
                continue
            if name.startswith("Lazy"):
                break
            if module_size(module) > LIMIT:
                break
            found = made_again(description(module)[0])
            assert type(found) is kind
            assert vars(found).keys() == vars(module).keys()
            count += 1
            break
    assert count > 120


def test_a_tied_weight_is_one_again_and_can_be_trained(tmp_path: Path) -> None:
    found = autotrack.load_model(saved(tied(), tmp_path / "m"))
    assert found[0].weight is found[1].weight
    found(torch.ones(1, 4)).sum().backward()
    assert found[0].weight.grad is not None


READ: dict[str, Callable[[Any], Any]] = {
    "as they are": lambda numbers: numbers,
    "as other numbers": lambda numbers: numbers.view(torch.int64),
    "conjugated": lambda numbers: numbers.conj(),
    "negative": lambda numbers: numbers.conj().imag,
}


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_one_memory_may_be_read_in_two_ways(read: Any, tmp_path: Path) -> None:
    numbers = torch.complex(torch.arange(3.0), torch.ones(3))
    module = nn.Module()
    for name, value in {"first": numbers, "imag": numbers.imag, "second": read(numbers)}.items():
        module.register_buffer(name, value)
    found = autotrack.load_model(saved(module, tmp_path / "m")).state_dict()
    for name, value in module.state_dict().items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value.resolve_conj().resolve_neg())


def test_torch_load_reads_it_as_mlflow_calls_it_and_nothing_is_pickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = plain()
    folder = Path(saved(module, tmp_path / "model"))
    file = folder / PICKLED
    named = (folder / PICKLE_MODULE).read_text()
    monkeypatch.syspath_prepend(folder / "code")
    try:
        reader = importlib.import_module(named)
        assert str(reader.__file__).startswith(str(folder))
        read = torch.load(file, pickle_module=reader)
        torch.testing.assert_close(asked(read, torch.from_numpy(X)), asked(module, torch.from_numpy(X)))
        with pytest.raises(ValueError, match="needs that file's path"):
            torch.load(io.BytesIO(file.read_bytes()), pickle_module=reader)
    finally:
        for name in [name for name in sys.modules if name.startswith("torch_module_")]:
            del sys.modules[name]
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=False)


def test_it_predicts_as_any_model(tmp_path: Path) -> None:
    module = plain()
    predictor = autotrack.load_predictor(saved(module, tmp_path / "m", code_paths=[]))
    expected = asked(module, torch.from_numpy(X)).numpy()
    for data in (X, X.tolist(), torch.from_numpy(X), X.astype("float64")):
        assert np.array_equal(predictor.predict(data), expected)


# --- classes of the user's ----------------------------------------------------------------------------


def test_a_class_of_the_users_needs_permission_and_its_weights_do_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    module, data = Own(), torch.randn(3, 4)
    folder = saved(module, tmp_path / "m")
    with caplog.at_level(logging.WARNING, "autotrack"):
        state = autotrack.load_model(folder)
    assert state.keys() == module.state_dict().keys()
    [line] = caplog.messages
    assert "allow_code=True" in line
    assert "Own" in line
    found = autotrack.load_model(folder, allow_code=True)
    assert torch.equal(asked(found, data), asked(module, data))
    assert found.tied.weight is found.linear.weight
    assert found.also[0] is found.linear
    assert found.way.__self__ is found
    assert found.settings == module.settings
    assert not found.linear.bias.requires_grad
    assert found.linear.weight.requires_grad
    assert "fleeting" not in found.state_dict()
    assert found.kind.__name__ == "Linear"
    predicted = autotrack.load_predictor(folder, allow_code=True).predict(data.numpy())
    assert np.array_equal(predicted, asked(module, data).numpy())


def test_a_named_class_may_be_trusted_where_it_is_known(tmp_path: Path) -> None:
    module = torchmetrics.MeanSquaredError()
    folder = saved(nn.ModuleList([module]), tmp_path / "m")
    assert isinstance(autotrack.load_model(folder), dict)
    names = ["torchmetrics.regression.mse.MeanSquaredError", "torchmetrics.utilities.data.dim_zero_sum"]
    names += ["torchmetrics.utilities.distributed.jit_distributed_available"]
    names += ["torchmetrics.metric.jit_distributed_available"]
    [found] = autotrack.load_model(folder, trusted=names)
    found.update(torch.ones(2), torch.zeros(2))
    assert found.compute() == 1


SCRIPT = """
import sys, torch, autotrack
from torch import nn

class Body(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear = nn.Linear(size, 2)

    def forward(self, x):
        return helped(self.linear(x))

def helped(x):
    return x * FACTOR

FACTOR = 3.0
torch.manual_seed(0)
autotrack.save_model(Body(4), sys.argv[1])
print(Body(4).forward.__name__)
"""
ASK = """
import sys, autotrack, torch
state = autotrack.load_model(sys.argv[1])
model = autotrack.load_model(sys.argv[1], allow_code=True)
x = torch.ones(1, 4)
expected = (x @ state["linear.weight"].T + state["linear.bias"]) * 3
assert torch.allclose(model(x), expected), (model(x), expected)
print(type(model).__module__)
"""


def test_the_source_comes_along_from_a_script(tmp_path: Path) -> None:
    for code in (SCRIPT, ASK):
        (tmp_path / "script.py").write_text(code)
        done = subprocess.run(
            [sys.executable, "script.py", str(tmp_path / "m")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("._main")
    assert "FACTOR = 3.0" in "".join(path.read_text() for path in (tmp_path / "m" / "code").rglob("_main.py"))


@pytest.mark.parametrize("name", ["scale", "_no_weight_decay"])
@pytest.mark.parametrize("value", [True, 3, math.inf, "decay", None])
def test_a_weight_keeps_its_plain_attributes(name: str, value: Any) -> None:
    module = tagged(value, name)
    module[0].register_buffer("seen", torch.ones(2))
    setattr(module[0].seen, name, value)
    found = made_again(description(module)[0])
    assert getattr(found[0].weight, name) == getattr(found[0].seen, name) == value
    assert type(found[0].weight) is nn.Parameter


@pytest.mark.parametrize(
    "tag", [["numpy", 1], ["scale", {"tuple": []}], ["scale", [1]], [3, 1], ["__class__", 1], ["data", 1]]
)
def test_a_weight_is_told_no_other_attributes(tag: Any) -> None:
    files, told = description(tagged(1.0))
    [[_, linear]] = layer(told)["modules"]
    [weight] = [pair for pair in layer(linear)["parameters"] if pair[0] == "weight"]
    weight[1]["parameter"][3] = [tag]
    assert "sets" in refused(files, told)


def test_a_buffer_is_no_attribute_of_its_own() -> None:
    """torch sets some on what it calls a `Buffer`."""
    module = with_attribute(None)
    module.scale = nn.Buffer(torch.full((3,), 2.0))
    found = made_again(description(module)[0])
    assert torch.equal(found.scale, module.scale)


def test_without_its_source_it_is_loaded_where_its_class_is_known(tmp_path: Path) -> None:
    module = Own()
    folder = saved(module, tmp_path / "m", own_code=False)
    [package] = (tmp_path / "m" / "code").iterdir()
    assert package.name.startswith("torch_module_")
    assert type(autotrack.load_model(folder, allow_code=True)) is Own
    told = (tmp_path / "m" / MODULE).read_text().replace('"Own"', '"Gone"')
    files = {name: (tmp_path / "m" / name).read_bytes() for name in (WEIGHTS, BESIDE)}
    assert "Gone, which is not to be found here" in refused(files, told.encode(), code=True)


def test_a_class_inside_a_function_comes_with_its_source(tmp_path: Path) -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 2)

        def forward(self, x: Any) -> Any:
            return self.linear(x)

    module = Inner()
    found = autotrack.load_model(saved(module, tmp_path / "m"), allow_code=True)
    assert torch.equal(asked(found, torch.ones(1, 4)), asked(module, torch.ones(1, 4)))


def test_source_that_is_not_found_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known: dict[str, Any] = {"__name__": __name__, "nn": nn}
    exec("class Made(nn.Module): pass", known)
    made = known["Made"]()
    made.linear = nn.Linear(4, 2)
    [line] = [one.getMessage() for one in _lines(caplog, lambda: saved(made, tmp_path / "m"))]
    assert "the source of its classes, as" in line
    assert autotrack.load_model(tmp_path / "m").keys() == {"linear.weight", "linear.bias"}
    [line] = [
        one.getMessage()
        for one in _lines(caplog, lambda: autotrack.load_model(tmp_path / "m", allow_code=True))
    ]
    assert "Made, which is not to be found here" in line


class Asked:
    """An object of the user's that holds a module of the user's."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def predict(self, data: Any) -> Any:
        return asked(self.module, torch.from_numpy(data)).numpy()


@pytest.mark.parametrize("made", [plain, Own])
def test_a_module_in_an_object_of_the_users(made: Any, tmp_path: Path) -> None:
    model = Asked(made())
    found = autotrack.load_model(saved(model, tmp_path / "m", inputs=X), allow_code=True)
    assert np.array_equal(found.predict(X), model.predict(X))


# --- Lightning ----------------------------------------------------------------------------------------


class Classifier(lightning.LightningModule):
    def __init__(self, width: int = 4, net: Any = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = net or plain()
        self.accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=3)

    def forward(self, x: Any) -> Any:
        return self.net(x) * self.hparams.width


class Trainer:
    """What a module must not be followed into."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def test_a_lightning_module_leaves_its_trainer_behind(tmp_path: Path) -> None:
    module = Classifier(3)
    module.hparams["odd"] = (line for line in "ab")
    module.accuracy.update(torch.eye(3), torch.arange(3))
    vars(module)["_trainer"] = Trainer()
    folder = saved(module, tmp_path / "m")
    found = autotrack.load_model(folder, allow_code=True)
    assert torch.equal(asked(found, torch.from_numpy(X)), asked(module, torch.from_numpy(X)))
    assert found._trainer is None
    assert dict(found.hparams) == {"width": 3, "net": None}
    assert found.device == torch.device("cpu")
    found.accuracy.update(torch.eye(3), torch.arange(3))
    assert found.accuracy.compute() == 1
    assert "Trainer" not in (tmp_path / "m" / MODULE).read_text()
