"""Forged archives of torch.export: what torch would unpickle, execute or look up is refused or left out."""

from __future__ import annotations

import io
import json
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autotrack.errors import ModelError
from autotrack.models.exporting import exported
from autotrack.models.pt2 import checked

from .forging import Touch, packed, records, with_graph, with_json, with_record

X = torch.randn(5, 4)
NET = torch.nn.Sequential(
    torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
)


@pytest.fixture(scope="module")
def archive() -> bytes:
    return exported(NET, X)


def module_of(archive: bytes) -> Any:
    return torch.export.load(io.BytesIO(archive)).module()


def nodes(told: Any) -> Any:
    return told["graph_module"]["graph"]["nodes"]


def root_call(told: Any) -> Any:
    return told["graph_module"]["module_call_graph"][0]["signature"]


# --- what torch itself would do ----------------------------------------------------------------------


def pickled_samples(archive: bytes, mark: Path) -> bytes:
    file = io.BytesIO()
    torch.save(Touch(mark), file)
    return with_record(archive, "data/sample_inputs/model.pt", file.getvalue())


def pickled_weight(archive: bytes, mark: Path) -> bytes:
    file = io.BytesIO()
    torch.save(Touch(mark), file)
    forged = with_record(archive, "data/weights/weight_0", file.getvalue())

    def change(told: Any) -> None:
        next(iter(told["config"].values()))["use_pickle"] = True

    return with_json(forged, "model_weights_config.json", change)


def opaque_constant(archive: bytes, mark: Path) -> bytes:
    forged = with_record(archive, "data/constants/opaque_obj_0", pickle.dumps(Touch(mark)))
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    return with_json(forged, "model_constants_config.json", lambda told: told["config"].update(it=entry))


def guard(archive: bytes, mark: Path) -> bytes:
    text = f"__import__('os').mkdir({str(mark)!r}) is None"
    return with_graph(archive, lambda told: told.update(guards_code=[text]))


def shape(archive: bytes, mark: Path) -> bytes:
    def change(told: Any) -> None:
        for value in told["graph_module"]["graph"]["tensor_values"].values():
            for size in value["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = f"__import__('os').mkdir({str(mark)!r}) or s77"

    return with_graph(archive, change)


def called(archive: bytes, mark: Path) -> bytes:
    def change(told: Any) -> None:
        node = {
            "target": "torch.os.mkdir",
            "inputs": [{"name": "path", "arg": {"as_string": str(mark)}, "kind": 1}],
            "outputs": [],
            "metadata": {},
            "name": "made",
            "is_hop_single_tensor_return": None,
        }
        nodes(told).insert(0, node)

    return with_graph(archive, change)


def named(archive: bytes, mark: Path) -> bytes:
    """Names stand in the source that torch writes of the graph and executes."""

    def change(told: Any) -> None:
        text = json.dumps(told)
        name = nodes(told)[0]["outputs"][0]["as_tensor"]["name"]
        evil = f"{name}=__import__('os').mkdir('{mark}');{name}"
        told.clear()
        told.update(json.loads(text.replace(f'"{name}"', json.dumps(evil))))

    return with_graph(archive, change)


RUN_BY_TORCH = [pickled_samples, pickled_weight, opaque_constant, guard, shape]


@pytest.mark.parametrize("attack", [*RUN_BY_TORCH, called, named])
def test_a_forged_archive_runs_nothing(
    archive: bytes, tmp_path: Path, attack: Callable[[bytes, Path], bytes]
) -> None:
    forged = attack(archive, tmp_path / "mark")
    try:
        module_of(checked(forged))(X)
    except ModelError:
        refused = True
    else:
        refused = False
    assert not (tmp_path / "mark").exists()
    assert refused == (attack not in (pickled_samples, guard))  # those parts are never read


@pytest.mark.parametrize("attack", RUN_BY_TORCH)
def test_torch_itself_would_run_it(
    archive: bytes, tmp_path: Path, attack: Callable[[bytes, Path], bytes]
) -> None:
    """Else the test before this one would show nothing. The other two its own checks find."""
    forged = attack(archive, tmp_path / "mark")
    try:
        module_of(forged)(X)
    except Exception:
        assert (tmp_path / "mark").exists()
    assert (tmp_path / "mark").exists()


# --- what else is refused ----------------------------------------------------------------------------


def set_target(target: Any) -> Callable[[Any], None]:
    return lambda told: nodes(told)[0].update(target=target)


def set_spec(name: str, tree: Any) -> Callable[[Any], None]:
    return lambda told: root_call(told).update({name: json.dumps([1, tree])})


LEAF = {"type": None, "context": None, "children_spec": []}
GRAPHS: dict[str, Callable[[Any], None]] = {
    "a method of torch's": set_target("torch.hub.load"),
    "a class of torch's": set_target("torch.ops.load_library"),
    "a file": set_target("torch.ops.aten.from_file.default"),
    "a file that is written": set_target("torch.ops.aten.save.default"),
    "an attribute": set_target("torch.ops.aten.add.__class__"),
    "a namespace of its own": set_target("torch.ops.mine.op.default"),
    "an extension": set_target("#mine"),
    "an operator that looks up": set_target("_operator.attrgetter"),
    "no text": set_target(["torch.ops.aten.add.Tensor"]),
    "a default factory": set_spec(
        "out_spec",
        {
            "type": "collections.defaultdict",
            "context": {
                "default_factory_module": "antigravity",
                "default_factory_name": "x",
                "dict_context": [],
            },
            "children_spec": [],
        },
    ),
    "an enum": set_spec(
        "in_spec",
        {
            "type": "builtins.tuple",
            "context": '{"__enum__": true, "fqn": "antigravity:x"}',
            "children_spec": [],
        },
    ),
    "an argument's name": set_spec(
        "in_spec",
        {"type": "builtins.dict", "context": '["x=print(1)"]', "children_spec": [LEAF]},
    ),
    "no tree": lambda told: root_call(told).update(in_spec="[1, [[[["),
    "a tree without end": set_spec(
        "in_spec", {"type": "builtins.tuple", "context": "null", "children_spec": 7}
    ),
    "a name of forward": lambda told: root_call(told).update(forward_arg_names=["x=print(1)"]),
    "a range": lambda told: told.update(range_constraints={"print(1)": {"min_val": 0, "max_val": 1}}),
    "a parameter's name": lambda told: told["graph_module"]["signature"]["input_specs"][0][
        "parameter"
    ].update(parameter_name="__class__.x"),
    "an object": lambda told: nodes(told)[0]["inputs"][0].update(
        arg={"as_custom_obj": {"name": "x", "class_fqn": "y"}}
    ),
    "no graph": lambda told: told.pop("graph_module"),
    "no nodes": lambda told: told["graph_module"]["graph"].update(nodes=7),
    "no calls": lambda told: told["graph_module"].update(module_call_graph=[7]),
}


@pytest.mark.parametrize("what", GRAPHS)
def test_a_graph_with_something_strange_is_refused(archive: bytes, what: str) -> None:
    with pytest.raises(ModelError, match="archive"):
        checked(with_graph(archive, GRAPHS[what]))


@pytest.mark.parametrize(
    "name",
    [
        "_sparse_coo_tensor_unsafe.default",
        "_unsafe_index.Tensor",
        "_nested_view_from_buffer.default",
        "set_.source_Storage_storage_offset",
        "resize_.default",
        "as_strided.default",
        "empty.memory_format",
        "_fused_adam_.default",
        "_foreach_add_.List",
        "to_dense.default",
        "add.out",
        "cat.names_out",
    ],
)
def test_an_operator_that_trusts_what_it_is_given_is_refused(archive: bytes, name: str) -> None:
    with pytest.raises(ModelError, match="not known to be safe"):
        checked(with_graph(archive, set_target(f"torch.ops.aten.{name}")))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "().__class__",
        "Symbol('s77').__class__",
        "Symbol('os')",
        "lambda",
        "preview(s1)",
        "Float('1', precision=53).x",
        "exec(s1)",
        "s77.x",
        "Symbol('s77', positive=print())",
        "'s77'",
        "[s77]",
        "s77 if s77 else s77",
        "Pow(Integer(9), Integer(999999999))",
    ],
)
def test_a_shape_that_is_more_than_numbers_is_refused(archive: bytes, text: str) -> None:
    def change(told: Any) -> None:
        values = told["graph_module"]["graph"]["tensor_values"]
        next(iter(values.values()))["sizes"][0] = {"as_expr": {"expr_str": text, "hint": None}}

    with pytest.raises(ModelError, match="has a shape that is none"):
        checked(with_graph(archive, change))


RECORDS: dict[str, Callable[[bytes], bytes]] = {
    "a pickle": lambda archive: pickle.dumps(Touch("never")),
    "nothing": lambda archive: b"",
    "half an archive": lambda archive: archive[: len(archive) // 2],
    "another archive": lambda archive: packed({"a/b": b"c"}),
    "a compiled library": lambda archive: with_record(archive, "data/aotinductor/model/a.so", b"\x7fELF"),
    "weights of an older form": lambda archive: with_record(archive, "data/weights/model.pt", b"\x80"),
    "an extra file": lambda archive: with_record(archive, "extra/x", b"x"),
    "a way out": lambda archive: with_record(archive, "../../x", b"x"),
    "compressed records": lambda archive: packed(records(archive), zipfile.ZIP_DEFLATED),
    "a strange version": lambda archive: with_record(archive, "archive_version", b"cos\nsystem\n."),
    "no weights": lambda archive: with_record(archive, "data/weights/weight_1", None),
    "no list of weights": lambda archive: with_record(archive, "model_weights_config.json", None),
    "no graph": lambda archive: with_record(archive, "models/model.json", None),
    "a graph that is a list": lambda archive: with_record(archive, "models/model.json", b"[]"),
    "a graph that is a pickle": lambda archive: with_record(archive, "models/model.json", pickle.dumps(1)),
    "a deep graph": lambda archive: with_record(archive, "models/model.json", b"[" * 100_000),
}


@pytest.mark.parametrize("what", RECORDS)
def test_an_archive_with_something_strange_is_refused(archive: bytes, what: str) -> None:
    with pytest.raises(ModelError, match="archive"):
        checked(RECORDS[what](archive))


# --- what is not refused -----------------------------------------------------------------------------


class Branches(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))


class Shapes(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        flat = x.reshape(x.shape[0] * 2, -1)
        return {"flat": flat, "both": (torch.cat([x, x]), [x[: x.shape[0] // 2]])}


class Attends(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.embedding = torch.nn.Embedding(11, 8)
        self.register_buffer("shift", torch.ones(5, 8))

    def forward(self, x: Any) -> Any:
        return self.encoder(self.embedding(x)) + self.shift


MODULES: dict[str, tuple[Any, Any]] = {
    "normalised": (NET, X),
    "convolution": (
        torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.MaxPool2d(2), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        ),
        torch.randn(2, 3, 12, 12),
    ),
    "branches": (Branches(), X),
    "shapes": (Shapes(), X),
    "attention": (Attends(), torch.randint(0, 11, (4, 5))),
    "in place": (
        torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.ReLU(inplace=True), torch.nn.Dropout(inplace=True)
        ),
        X,
    ),
    "gated": (
        torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.LayerNorm(8), torch.nn.Softmax(1)
        ),
        X,
    ),
    "upsampled": (
        torch.nn.Sequential(
            torch.nn.GroupNorm(1, 3), torch.nn.Upsample(scale_factor=2), torch.nn.ConvTranspose2d(3, 2, 3)
        ),
        torch.randn(2, 3, 6, 6),
    ),
    "recurrent": (torch.nn.LSTM(4, 6, batch_first=True), torch.randn(3, 7, 4)),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_computes_the_same_from_its_archive(name: str) -> None:
    module, x = MODULES[name]
    module.eval()
    with torch.no_grad():
        expected = module(x)
        found = module_of(checked(exported(module, x)))(x)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", MODULES)
def test_an_archive_says_nothing_of_where_it_was_made(name: str) -> None:
    module, x = MODULES[name]
    archive = exported(module.eval(), x)
    for place in (str(Path.cwd()), str(Path(__file__).parent), sys.prefix, "stack_trace"):
        assert place.encode() not in archive
    with torch.no_grad():
        expected = torch.export.export(module, (x,)).module()(x)
        torch.testing.assert_close(module_of(archive)(x), expected, rtol=0, atol=0)
