"""torch's modules: as a graph, or as weights."""

from __future__ import annotations

import json
import pickle
import sys
from collections import defaultdict, deque
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

import autotrack
from autotrack.errors import AutotrackError, ModelError
from autotrack.flavor import NotKept
from autotrack.models.modules import twin
from autotrack.models.torch import PROGRAM, WEIGHTS, TorchFlavor
from autotrack.models.weights import saved
from autotrack.testing import Tracking

from .folders import loaded
from .forging import Touch
from .torch_kit import TorchKit, X, predicted

LIMIT = 64 << 20
flavor = TorchFlavor()


class Net(torch.nn.Module):
    """Everything in it that is another thing when it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5))
        self.head = torch.nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x))


class LightningNet(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, x: Any) -> Any:
        return self.net(x)


def net(kind: type[torch.nn.Module] = Net) -> Any:
    torch.manual_seed(0)
    made = kind()
    made(torch.from_numpy(X)).sum().backward()  # it has statistics and gradients, and is in training
    return made


class TestGraph(TorchKit):
    kind: type[torch.nn.Module] = Net

    def model(self) -> Any:
        return net(self.kind)

    def example(self) -> Any:
        return X


class TestLightning(TestGraph):
    kind = LightningNet


@pytest.mark.parametrize("example", [X, None])
def test_a_folder_says_nothing_of_where_it_was_made(example: Any, tmp_path: Path) -> None:
    autotrack.save_model(net(), tmp_path / "model", input_example=example)
    files = [file for file in (tmp_path / "model").rglob("*") if file.is_file()]
    assert files
    for place in (str(Path.cwd()), str(Path(__file__).parent), sys.prefix):
        assert [file for file in files if place.encode() in file.read_bytes()] == []


# --- freezing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", [X, None])
def test_flags_gradients_and_random_numbers_are_left_alone(example: Any) -> None:
    model = net()
    model.body[1].eval()  # somebody froze its statistics
    flags = [one.training for one in model.modules()]
    gradients = [(one.grad, one.grad.clone()) for one in model.parameters()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    flavor.freeze(model, LIMIT, example)
    assert [one.training for one in model.modules()] == flags
    for parameter, (gradient, value) in zip(model.parameters(), gradients, strict=True):
        assert parameter.grad is gradient
        assert torch.equal(gradient, value)
        assert parameter.requires_grad
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


class Draws(Net):
    calls = 0

    def forward(self, x: Any) -> Any:
        np.random.rand()
        __import__("random").random()
        self.calls += 1
        return super().forward(x)

    def train(self, mode: bool = True) -> Any:
        raise AssertionError("called")


def test_what_forward_draws_and_sets_is_not_the_users() -> None:
    model = Draws()
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    flavor.freeze(model, LIMIT, X)
    assert (np.random.get_state()[1] == before).all()
    assert model.calls == 0


class Wide(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1000, 1000))

    def forward(self, x: Any) -> Any:
        raise AssertionError("called")


@pytest.mark.parametrize("example", [X, None])
def test_the_limit_is_looked_at_first(example: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: pytest.fail("copied"))
    with pytest.raises(NotKept, match="more than model_max_bytes"):
        flavor.freeze(Wide(), 3_999_999, example)


class Unexportable(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x[: int(x.sum().item())] if x.sum() > 0 else x


def test_what_cannot_be_traced_says_so() -> None:
    with pytest.raises(NotKept, match=r"torch.export cannot trace it \(\w+: "):
        flavor.freeze(Unexportable(), LIMIT, X)


def test_a_function_is_no_module() -> None:
    with pytest.raises(NotKept, match="is no torch module"):
        flavor.freeze(torch.nn.Parameter(torch.ones(1)), LIMIT)


def test_a_scripted_module_is_refused() -> None:
    with pytest.raises(NotKept, match="scripted"):
        flavor.freeze(torch.jit.script(torch.nn.Linear(4, 3)), LIMIT)


@pytest.mark.parametrize("wrap", [torch.compile, torch.nn.DataParallel])
def test_what_stands_around_a_module_is_left_away(wrap: Any) -> None:
    model = net()
    assert flavor.freeze(wrap(model), LIMIT).data == flavor.freeze(model, LIMIT).data


class Holds(Net):
    """A module beside those that torch knows of."""

    def __init__(self) -> None:
        super().__init__()
        self.also = [self.body]
        self.way = self.through

    def through(self, x: Any) -> Any:
        return self.head(self.also[0](x))

    def forward(self, x: Any) -> Any:
        return self.way(x)


def test_modules_that_are_held_otherwise_are_in_eval_mode_too(tmp_path: Path) -> None:
    model = net(Holds)
    autotrack.save_model(model, tmp_path / "m", input_example=X)
    found = autotrack.load_predictor(tmp_path / "m").predict(X)
    assert np.array_equal(found, predicted(model, X))
    assert model.also[0].training


# --- asking -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torch") / "model"
    autotrack.save_model(net(), path, input_example=X[:1])
    return path


@pytest.mark.parametrize("rows", [1, 2, 5, 500])
def test_any_number_of_rows(folder: Path, rows: int) -> None:
    data = np.resize(X, (rows, 4))
    assert np.allclose(autotrack.load_predictor(folder).predict(data), predicted(net(), data), atol=1e-6)


@pytest.mark.parametrize(
    "data", [X.astype("float64"), torch.from_numpy(X), pd.DataFrame(X), X.tolist(), X.astype("float16")]
)
def test_data_of_any_kind(folder: Path, data: Any) -> None:
    found = autotrack.load_predictor(folder).predict(data)
    assert isinstance(found, np.ndarray)
    assert np.allclose(found, predicted(net(), X), atol=1e-2)


def test_data_without_numbers_is_an_error(folder: Path) -> None:
    with pytest.raises(AutotrackError, match="not float32"):
        autotrack.load_predictor(folder).predict(pd.DataFrame({"a": ["x"]}))
    with pytest.raises(ModelError, match="takes numbers"):
        flavor.predict(net(), pd.DataFrame({"a": ["x"]}), {})


def test_a_wrong_number_of_columns_is_an_error(folder: Path) -> None:
    with pytest.raises(Exception):  # noqa: B017  torch's own
        autotrack.load_predictor(folder).predict(X[:, :2])


class Several(torch.nn.Module):
    def forward(self, left: Any, right: Any) -> Any:
        return {"sum": left + right, "both": (left, right)}


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    data = {"left": X, "right": X}
    autotrack.save_model(Several(), tmp_path / "m", input_example=data)
    found = autotrack.load_predictor(tmp_path / "m").predict(data)
    assert np.array_equal(found["sum"], X + X)
    assert np.array_equal(found["both"][1], X)


def test_inputs_without_names_are_refused() -> None:
    with pytest.raises(NotKept, match="given as a dict"):
        flavor.freeze(Several(), LIMIT, (X, X))


# --- weights ------------------------------------------------------------------------------------------


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, 4)
        self.second = torch.nn.Linear(4, 4)
        self.second.weight = self.first.weight
        memory = torch.arange(10.0)
        self.register_buffer("whole", memory)
        self.register_buffer("part", memory[2:5])
        self.register_buffer("gone", torch.ones(3), persistent=False)
        self.register_buffer("transposed", torch.arange(6.0).reshape(2, 3).T)


def test_weights_come_back_also_where_they_are_shared(tmp_path: Path) -> None:
    model = Tied()
    autotrack.save_model(model, tmp_path / "m")
    state = autotrack.load_model(tmp_path / "m")
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in state.items())
    assert state["second.weight"] is state["first.weight"]
    assert (tmp_path / "m" / WEIGHTS).stat().st_size < 1500  # the shared ones once
    Tied().load_state_dict(state)


def test_weights_alone_are_not_asked(tmp_path: Path) -> None:
    autotrack.save_model(net(), tmp_path / "m")
    with pytest.raises(ModelError, match="only the model's weights were loaded"):
        autotrack.load_predictor(tmp_path / "m").predict(X)


def test_of_weights_alone_nobody_is_told_that_they_can_be_asked(tmp_path: Path) -> None:
    module = net()
    module.register_forward_hook(lambda *_: None)  # which has no description
    autotrack.save_model(module, tmp_path / "m")
    assert "python_function" not in (tmp_path / "m" / "MLmodel").read_text()
    assert not (tmp_path / "m" / "code").exists()


@pytest.mark.parametrize("data", [b"", b"{}", pickle.dumps(Touch("never")), b"\xff" * 20])
def test_what_is_no_safetensors_file_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="not in safetensors' format"):
        load_files({WEIGHTS: data})


def headed(header: dict[str, object]) -> bytes:
    data = json.dumps(header).encode()
    return len(data).to_bytes(8, "little") + data


FORGED = {
    "lists in lists": headed({"__metadata__": {"autotrack": "[" * 100_000}}),
    "a size above all": headed({"w": {"dtype": "F32", "shape": [1 << 63, 0], "data_offsets": [0, 0]}}),
}


@pytest.mark.parametrize("data", FORGED.values(), ids=FORGED)
def test_a_forged_header_is_refused_in_a_line(data: bytes) -> None:
    with pytest.raises(ModelError, match="not in safetensors' format") as error:
        load_files({WEIGHTS: data})
    assert "\n" not in str(error.value)


TYPES = (
    "float16 bfloat16 float32 float64 uint8 int8 int16 int32 int64 bool complex64 float8_e4m3fn float8_e5m2"
)


@pytest.mark.parametrize("name", TYPES.split())
def test_a_file_of_weights_is_what_the_library_reads(name: str) -> None:
    kind = getattr(torch, name)
    tensors = {
        "many": torch.arange(12).reshape(3, 4).to(kind),
        "turned": torch.arange(12).reshape(3, 4).to(kind).T,
        "one": torch.ones((), dtype=kind),
        "none": torch.zeros((0, 2), dtype=kind),
        "other": torch.arange(3.0),
    }
    found = safetensors.torch.load(bytes(saved(tensors, {"a": "b"})))
    assert found.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert (found[key].dtype, found[key].shape) == (tensor.dtype, tensor.shape)
        raw = tensor.contiguous().reshape(-1).view(torch.uint8)
        assert torch.equal(found[key].reshape(-1).view(torch.uint8), raw)


def test_no_weights_at_all_are_a_file_too() -> None:
    assert safetensors.torch.load(bytes(saved({}, {}))) == {}


@pytest.mark.parametrize(
    "made", [lambda: torch.eye(2).to_sparse(), lambda: torch.ones(2, dtype=torch.complex128)]
)
def test_a_tensor_that_the_file_cannot_hold_is_named(made: Any) -> None:
    with pytest.raises(NotKept, match="safetensors cannot hold odd"):
        saved({"odd": made()}, {})


# --- what others wrote --------------------------------------------------------------------------------


def load_files(files: dict[str, bytes], **permitted: Any) -> Any:
    return loaded(flavor, files, {"model_data": "data"}, **permitted)


def test_what_mlflow_pickled_needs_permission(tmp_path: Path) -> None:
    torch.save(net(), tmp_path / "model.pth")
    files = {"data/model.pth": (tmp_path / "model.pth").read_bytes()}
    with pytest.raises(ModelError, match="allow_pickle=True"):
        load_files(files)
    found = load_files(files, pickle=True)
    assert isinstance(found, Net)
    assert not found.training


def test_a_pickle_posing_as_a_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no archive of torch\.export"):
        load_files({PROGRAM: pickle.dumps(Touch(tmp_path / "mark"))})
    assert not (tmp_path / "mark").exists()


def test_a_folder_without_a_model_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"has no model\.pt2"):
        load_files({"data/other": b""})


# --- through a run ------------------------------------------------------------------------------------


def test_a_module_of_a_run_is_loaded_by_its_address(tmp_path: Path) -> None:
    with Tracking(f"sqlite:///{tmp_path}/runs.db") as tracking:
        tracking.enable("torch")
        model = net()
        with autotrack.run() as run:
            run.log_model(model, input_example=X)
            run.log_model(model, "weights")
            run.log_model(model, "refused", input_example={"other": X})
        [kept] = tracking.runs()
        states = {one.path: one.facts["state"] for one in kept.models}
        assert states == {"model": "kept", "weights": "kept", "refused": "refused"}
        found = autotrack.load_predictor(f"runs:/{kept.id}/model")
        assert np.allclose(found.predict(X), predicted(model, X), atol=1e-6)
        model.load_state_dict(autotrack.load_model(f"runs:/{kept.id}/weights"))


class Keeps(torch.nn.Module):
    """Appends to what it holds whenever it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)
        self.seen: Any = deque(maxlen=9)
        self.kinds: set[str] = set()
        self.by_name: Any = defaultdict(list)

    def forward(self, x: Any) -> Any:
        self.seen.append(1)
        self.kinds.add("x")
        self.by_name["x"].append(1)
        return self.linear(x)


def test_tracing_calls_no_hook_and_changes_nothing_that_the_module_holds() -> None:
    module, called = Keeps(), []
    module.linear.register_forward_hook(lambda *_: called.append("after"))
    module.register_forward_pre_hook(lambda *_, **__: called.append("before"), with_kwargs=True)
    made = twin(module)
    made(torch.randn(3, 4))
    assert not called
    assert not any((module.seen, module.kinds, module.by_name))
    assert len(made.seen) == 1


def test_hooks_that_are_not_kept_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    module = torch.nn.Sequential(
        torch.nn.utils.spectral_norm(torch.nn.Linear(4, 2)), torch.nn.Linear(2, 1)
    ).eval()
    autotrack.save_model(module, tmp_path / "plain", input_example=np.ones((1, 4), np.float32))
    assert "hooks" not in caplog.text
    module[1].register_forward_hook(lambda module, given, made: made * 100)
    autotrack.save_model(module, tmp_path / "hooked", input_example=np.ones((1, 4), np.float32))
    assert "without the hooks of 1" in caplog.text


def test_torchs_own_hooks_compute_the_weights_of_the_twin() -> None:
    module = torch.nn.utils.spectral_norm(torch.nn.Linear(4, 2)).eval()
    with torch.no_grad():
        module.weight_orig.mul_(3)
        x = torch.randn(3, 4)
        torch.testing.assert_close(twin(module)(x), module(x))


def test_tensors_without_data_are_refused() -> None:
    with pytest.raises(NotKept, match=r"has no data \(device meta\)"):
        flavor.freeze(torch.nn.Linear(2, 2, device="meta"), 1 << 20)
