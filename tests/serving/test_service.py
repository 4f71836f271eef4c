"""What a worker answers, over real sockets: who is let in, what is wrong with a body, what the model does."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
import urllib3
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, scale
from xgboost import XGBRegressor

import autotrack
from autotrack.errors import ModelError
from autotrack.serving.following import Following
from autotrack.serving.inputs import with_larger, with_missing
from autotrack.serving.loading import StoreAddresses
from autotrack.serving.options import Options
from autotrack.serving.worker import _Protocol, application, service_of
from autotrack.signatures import DataType, Param, Signature

from ..listening import Listening
from ..scripts import TIMEOUT, wait_until
from . import toys

SIGNED = Signature(toys.INPUTS, params=(Param("seconds", DataType.DOUBLE, 0.0),))


class Threaded(Listening):
    """A worker's application behind a socket of this process."""

    def __init__(self, folder: Path, model: Following | None = None, **options: Any) -> None:
        told = {"uri": str(folder), "store": "", "trusted": (toys.TRUSTED,), "token": "secret"} | options
        self.options = Options(**told)
        self.model = model or Following(self.options.uri, StoreAddresses(self.options))
        self.service = service_of(self.options, self.model)
        super().__init__(application(self.service), http=_Protocol, lifespan="off")

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> urllib3.BaseHTTPResponse:
        own = {"authorization": "Bearer secret", "content-type": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return urllib3.request(
            method,
            self.url + path,
            body=body,
            headers=own | named,
            retries=False,
            timeout=TIMEOUT,  # of itself 3 s
        )

    def invoke(self, told: Any, **headers: str) -> tuple[int, Any]:
        """The status, and the predictions or the error's text."""
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        answer = self.ask("POST", "/invocations", body, **headers)
        found = answer.json()
        return answer.status, found["predictions"] if "predictions" in found else found["error"]["message"]


def rows(*values: list[Any], **params: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"dataframe_split": {"columns": ["a", "b"], "data": values}}
    return told | ({"params": params} if params else {})


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threaded]:
    """A model with a signature."""
    folder = tmp_path_factory.mktemp("signed") / "model"
    with Threaded(toys.save(folder, signature=SIGNED)) as service:
        yield service


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threaded]:
    """A model without one, and small limits."""
    folder = tmp_path_factory.mktemp("bare") / "model"
    with Threaded(toys.save(folder), most_bytes=1_000, patience=0.3) as service:
        yield service


def test_every_form_is_answered(signed: Threaded) -> None:
    told: list[Any] = [
        rows([1, 2], [3, 4.5]),
        {"dataframe_records": [{"b": 2, "a": 1}, {"a": 3, "b": 4.5, "more": "x"}]},
        {"instances": [[1, 2], [3, 4.5]]},
        {"instances": [{"a": 1, "b": 2}, {"a": 3, "b": 4.5}]},
        {"inputs": [[1, 2], [3, 4.5]]},
        {"inputs": {"a": [1, 3], "b": [2, 4.5]}},
    ]
    for body in told:
        assert signed.invoke(body) == (200, [3, 7.5]), body
    assert signed.invoke(b"a,b\n1,2\n3,4.5\n", content_type="text/csv") == (200, [3, 7.5])
    packed = gzip.compress(json.dumps(told[0]).encode())
    assert signed.invoke(packed, content_encoding="gzip") == (200, [3, 7.5])
    assert signed.invoke(rows([toys.SLEEPS, 1], seconds=0.001)) == (200, [-1])


def test_many_rows_are_answered_in_order(signed: Threaded) -> None:
    values = [[float(i), 1.0] for i in range(20_000)]
    assert signed.invoke(rows(*values)) == (200, [i + 1 for i in range(20_000)])


def test_what_comes_while_the_model_is_at_work_is_asked_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    may_go_on = threading.Event()

    def predict(model: toys.Toy, data: Any) -> Any:
        asked.append(len(data))
        may_go_on.wait(TIMEOUT)
        return data["a"].to_numpy()

    monkeypatch.setattr(toys.Toy, "predict", predict)
    with Threaded(toys.save(tmp_path / "model")) as threaded, ThreadPoolExecutor(9) as clients:
        answers = [clients.submit(threaded.invoke, rows([0.0, 0.0]))]
        wait_until(lambda: bool(asked))
        answers += [clients.submit(threaded.invoke, rows([float(i), 0.0])) for i in range(1, 9)]
        wait_until(lambda: len(threaded.service._batcher._waiting) == 8 or len(asked) > 1)
        may_go_on.set()
        assert [answer.result() for answer in answers] == [(200, [i]) for i in range(9)]
    assert asked == [1, 8]


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        (rows(["x", 1.0]), 422, "column 'a', row 0"),
        (rows([1.0, 2.0], [1.0, "y"]), 422, "column 'b', row 1"),
        (rows(["x", 1.0], ["\ud800", 1.0]), 422, "column 'a', row 1: half a character"),
        ({"dataframe_records": [{"a": 1.0, "\ud800": 1.0}]}, 422, "column 1 has half a character in its"),
        ({"dataframe_records": [{"a": 1.0}]}, 422, "column 'b' is missing"),
        ({"inputs": {}}, 422, "columns 'a', 'b' are missing; there are none"),
        ({"inputs": [[1.0, 2.0, 3.0]]}, 422, "the model takes 2 columns"),
        (rows([1.0, 2.0], secnds=1), 422, "did you mean 'seconds'"),
        (rows([1.0, 2.0], seconds="x"), 422, "parameter 'seconds'"),
        (rows(), 422, "there are no rows"),
        (rows([toys.RAISES, 1.0]), 500, "the model failed: ValueError: row of doom and more of it"),
        (rows([toys.LEAVES, 1.0]), 500, "SystemExit: no more"),
    ],
)
def test_what_is_wrong_is_one_line(signed: Threaded, body: Any, status: int, problem: str) -> None:
    told = signed.invoke(body)
    assert told[0] == status, told
    assert problem in told[1]
    assert "\n" not in told[1]
    assert signed.invoke(rows([1, 2])) == (200, [3])


def test_a_models_traceback_is_only_in_the_log_and_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Threaded(toys.save(tmp_path / "model", signature=SIGNED)) as fresh:
        for value in (toys.RAISES, toys.RAISES, toys.LEAVES, toys.RAISES):
            assert "Traceback" not in fresh.invoke(rows([value, 1.0]))[1]
    logged = [record for record in caplog.records if " failed" in record.getMessage()]
    assert [bool(record.exc_info) for record in logged] == [True, False, True, False]
    assert caplog.text.count("toys.py") == 1
    assert logged[1].getMessage().endswith("/model failed: ValueError: row of doom and more of it")


def test_numbers_that_are_none(signed: Threaded) -> None:
    assert signed.invoke(b'{"inputs": [[NaN, 1], [-4, 0]]}') == (200, ["NaN", "Infinity"])
    assert signed.invoke(b'{"inputs": [[null, 1], [-4, 0]]}') == (200, ["NaN", "Infinity"])


NAMED = np.array([[0.0, 1.0, 5.0], [1.0, 0.0, 3.0]] * 20)
WELL = {"instances": [[0.0, 1.0, 5.0]]}
LACKING = [
    {"instances": [[None, 1.0, 5.0], [0.0, 1.0, None]]},
    {"dataframe_split": {"columns": ["a", "b", "c"], "data": [[0.0, 1.0, None], [float("nan"), 1.0, 1.0]]}},
    {"inputs": {"a": [float("nan")], "b": [1.0], "c": [None]}},
]


@pytest.mark.parametrize("kind", ["table", "array"])
def test_a_model_that_takes_no_missing_values_says_which_columns_have_some(tmp_path: Path, kind: str) -> None:
    """It is the data of whoever asks that is wrong, not the model."""
    inputs: Any = pandas.DataFrame(NAMED, columns=["a", "b", "c"]) if kind == "table" else NAMED
    autotrack.save_model(LogisticRegression().fit(inputs, [0, 1] * 20), tmp_path / "m", inputs=inputs)
    columns = "'a', 'c'" if kind == "table" else "0, 2"
    with Threaded(tmp_path / "m") as service:
        for body in LACKING if kind == "table" else LACKING[:1]:
            status, told = service.invoke(body)
            assert status == 422, told
            assert f"values are missing in the columns {columns}: ValueError: Input X contains NaN" in told
        assert service.invoke(WELL) == (200, [0])


def test_a_model_that_takes_missing_values_is_asked(tmp_path: Path) -> None:
    inputs = pandas.DataFrame(NAMED, columns=["a", "b", "c"])
    model = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=1).fit(inputs, [0, 1] * 20)
    autotrack.save_model(model, tmp_path / "m", inputs=inputs)
    with Threaded(tmp_path / "m") as service:
        for body in LACKING:
            status, told = service.invoke(body)
            assert (status, {*told} <= {0, 1}) == (200, True), told


@pytest.mark.parametrize("kind", ["table", "array"])
def test_numbers_of_a_body_are_as_narrow_as_the_models(tmp_path: Path, kind: str) -> None:
    """JSON and CSV do not say how wide a number is, and 0.1 is no float of 32 bits."""
    values = (NAMED / 10).astype("float32")
    inputs: Any = pandas.DataFrame(values, columns=["a", "b", "c"]) if kind == "table" else values
    model = LinearRegression().fit(inputs, values[:, 0])
    autotrack.save_model(model, tmp_path / "m", inputs=inputs)
    wide = [0.1, 0.7, 0.3]
    forms: dict[str, Any] = {
        "dataframe_split": {"columns": ["a", "b", "c"], "data": [wide]},
        "dataframe_records": [dict(zip("abc", wide, strict=True))],
        "instances": [wide],
        "inputs": {"a": wide[:1], "b": wide[1:2], "c": wide[2:]} if kind == "table" else [wide],
    }
    expected = model.predict(inputs[:1] * 0 + np.float32(wide)).tolist()
    with Threaded(tmp_path / "m") as service:
        for form, told in forms.items():
            assert service.invoke({form: told}) == (200, expected), form
        assert service.invoke(b"a,b,c\n0.1,0.7,0.3\n", content_type="text/csv") == (200, expected)
        lacking = {"dataframe_split": {"columns": ["a", "b", "c"], "data": [[0.1, 0.7, None]]}}
        assert "values are missing in the columns" in service.invoke(lacking)[1]
        status, problem = service.invoke(
            {"dataframe_split": {"columns": ["a", "b", "c"], "data": [[0.1, 1e300, 1]]}}
        )
        assert (status, "1e+300 has no exact float" in problem) == (422, True), problem


def test_what_a_model_fails_of_beside_missing_values_is_its_own_error(signed: Threaded) -> None:
    """Only if it speaks of them are they what it did not take."""
    own = (500, "the model failed: ValueError: row of doom and more of it")
    assert signed.invoke(rows([toys.RAISES, None])) == own


def test_where_nobody_can_tell_what_is_missing_the_models_error_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs_out(data: Any) -> Any:
        raise MemoryError

    autotrack.save_model(LogisticRegression().fit(NAMED, [0, 1] * 20), tmp_path / "m", inputs=NAMED)
    monkeypatch.setattr("autotrack.serving.service.with_missing", runs_out)
    with Threaded(tmp_path / "m") as service:
        status, told = service.invoke(LACKING[0])
    assert status == 500
    assert told.startswith("the model failed: ValueError: Input X contains NaN")


def test_of_several_parts_those_are_named_that_lack_values() -> None:
    parts = {"a": np.array([1.0, np.nan]), "b": np.array([[1, 2]]), "c": np.array(["x", None], object)}
    assert with_missing(parts) == ["'a'", "'c'"]
    assert with_missing({"a": [1.0, None], "b": [[1.0], [1.0, 2.0]]}) == ["'a'"]
    assert with_missing([[1.0, [1.0]], [None, [1.0, 2.0]]]) == ["0"]
    assert with_missing(np.array([1.0, 2.0])) == with_missing(pandas.DataFrame({"a": [1]})) == []
    assert with_missing(np.full((2, 3, 2), np.nan)) == ["0", "1", "2"]


def test_of_several_parts_those_are_named_that_have_larger_values() -> None:
    large = np.array([1e39, 0.0])
    assert with_larger(1e38, {"a": large, "b": [1, 2], "c": ["x", -(10**400)]}) == ["'a'", "'c'"]
    assert with_larger(1e308, {"a": large, "b": [[np.inf]], "c": [True]}) == []
    assert with_larger(1e38, [[1.0, -np.inf], [2.0, None]]) == ["1"]
    assert with_larger(1e38, np.array([[0.0, 1.0], [0.0, np.inf]])) == ["1"]
    frame = pandas.DataFrame({"a": large, "t": pandas.to_datetime(["2024-01-02", None]), "o": ["x", 1e40]})
    assert with_larger(1e38, frame) == ["'a'", "'o'"]


@pytest.mark.parametrize("kind", ["table", "array"])
def test_a_model_says_which_columns_have_infinite_or_too_large_values(tmp_path: Path, kind: str) -> None:
    """It is the data of whoever asks that is wrong, not the model."""
    inputs: Any = pandas.DataFrame(NAMED, columns=["a", "b", "c"]) if kind == "table" else NAMED
    linear, forest = LogisticRegression(), RandomForestClassifier(2)
    first, third = ("'a'", "'c'") if kind == "table" else ("0", "2")
    for model in (linear, forest):
        folder = tmp_path / type(model).__name__
        autotrack.save_model(model.fit(inputs, [0, 1] * 20), folder, inputs=inputs)
        with Threaded(folder) as service:
            asked: list[tuple[bytes, str]] = [
                (b'{"instances": [[1e400, 1.0, 5.0]]}', first),
                (b'{"instances": [[0.0, 1.0, -Infinity], [1e39, 0, 0]]}', third),
            ]
            for body, column in asked:
                status, told = service.invoke(body)
                named = f"{first}, {third}" if model is forest and column == third else column
                assert status == 422, told
                assert f"values are infinite or too large in the columns {named}: ValueError: Input X" in told
            status, told = service.invoke(b"a,b,c\n1,2,inf\n", content_type="text/csv")
            assert (status, f"too large in the columns {third}:" in told) == (422, True), told
            status, told = service.invoke({"instances": [[1e39, 1, 5]]})
            assert status == (422 if model is forest else 200), told


HALF = [
    (b'{"dataframe_records": [{"tags": ["x"]}, {"tags": ["\\ud800"]}]}', "column 'tags', row 1: half a"),
    (b'{"inputs": {"tags": [{"x": "\\udfff"}]}}', "half a character: '\\udfff'"),
    (b'{"instances": [["\\ud800"]]}', "half a character: '\\ud800'"),
]


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize(("body", "problem"), HALF)
def test_half_a_character_inside_a_list_is_the_askers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, problem: str, raises: bool
) -> None:
    def echo(model: toys.Toy, data: Any) -> Any:
        found = data["tags"].tolist() if hasattr(data, "columns") else data
        found = found["tags"] if isinstance(found, dict) else found
        if raises:
            json.dumps(np.asarray(found, object).tolist(), ensure_ascii=False).encode()
        return found

    monkeypatch.setattr(toys.Toy, "predict", echo)
    with Threaded(toys.save(tmp_path / "m")) as service:
        status, told = service.invoke(body)
        assert (status, problem in told) == (422, True), told


def test_half_a_character_of_the_models_own_is_its_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toys.Toy, "predict", lambda model, data: [["\ud800"]] * len(data))
    with Threaded(toys.save(tmp_path / "m")) as service:
        status, told = service.invoke(rows([1, 2]))
        assert (status, "the model's answer cannot be told" in told) == (500, True), told


def test_missing_columns_without_a_signature_are_the_models_own_error(bare: Threaded) -> None:
    status, told = bare.invoke({"dataframe_records": [{"a": 1.0}]})
    assert (status, told) == (500, "the model failed: KeyError: 'b'")


def test_a_huge_body_is_refused(bare: Threaded) -> None:
    body = json.dumps(rows(*[[1.0, 2.0]] * 1_000)).encode()
    assert bare.invoke(body)[0] == 413
    assert bare.invoke(gzip.compress(body), content_encoding="gzip")[0] == 413
    assert bare.invoke(b"x", content_encoding="br")[0] == 415


def test_who_still_sends_a_huge_body_is_told(bare: Threaded) -> None:
    """A connection that is closed on what nobody has read loses its answer."""
    with socket.create_connection(("127.0.0.1", bare.port), TIMEOUT) as client:
        head = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n"
        client.sendall(f"{head}Content-Length: 4000000\r\n\r\n".encode())
        time.sleep(0.1)
        client.sendall(bytes(4_000_000))
        assert client.recv(1_000).startswith(b"HTTP/1.1 413")


def test_a_body_that_dribbles_is_not_waited_for(bare: Threaded) -> None:
    """It sends something all the time, as slow clients do: only the whole must come in time."""
    with socket.create_connection(("127.0.0.1", bare.port), TIMEOUT) as client:
        head = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n"
        client.sendall(f"{head}Content-Length: 900\r\n\r\n".encode())
        answer = b""
        client.settimeout(0.02)
        while not answer:
            client.sendall(b" ")
            try:
                answer = client.recv(1_000)
            except TimeoutError:
                continue
        client.settimeout(TIMEOUT)
        while part := client.recv(1_000):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer.lower()
    assert bare.invoke(rows([1.0, 2.0])) == (200, [3])


def test_a_head_that_does_not_come_is_not_waited_for(bare: Threaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotrack.server.listening.HEAD_TIMEOUT", 0.2)
    with socket.create_connection(("127.0.0.1", bare.port), TIMEOUT) as client:
        client.sendall(b"POST /invocations HTTP/1.1\r\nHost: localhost\r\n")
        assert client.recv(10) == b""


def test_every_path_is_behind_the_same_check(signed: Threaded) -> None:
    for path in ("/invocations", "/version", "/openapi.json", "/nothing"):
        assert signed.ask("POST", path, b"{}", authorization="Bearer wrong").status == 401, path
        assert signed.ask("POST", path, b"{}", host="evil.example").status == 403, path
        assert signed.ask("POST", path, b"{}", origin="http://evil.example").status == 403, path
    for path in ("/ping", "/health"):
        assert signed.ask("GET", path, authorization="").status == 200
        assert signed.ask("GET", path, host="evil.example").status == 403
    assert signed.ask("GET", "/health", authorization="").json() == {"status": "ok"}


def test_who_it_is(signed: Threaded) -> None:
    uri = signed.options.uri
    assert signed.ask("GET", "/health").json() == {"status": "ok", "model": uri, "version": uri}
    assert signed.ask("GET", "/version").json()["version"] == uri
    assert signed.ask("GET", "/nothing").status == 404
    assert signed.ask("GET", "/invocations").status == 405
    refused = signed.ask("POST", "/ping")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    assert signed.ask("GET", "/ping").data == b""


@pytest.mark.parametrize("path", ["/ping", "/health", "/version", "/openapi.json"])
def test_head_is_answered_as_get_is(signed: Threaded, path: str) -> None:
    got, head = signed.ask("GET", path), signed.ask("HEAD", path)
    assert (head.status, head.data) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.data))


def test_openapi_comes_from_the_signature(signed: Threaded, bare: Threaded) -> None:
    told = signed.ask("GET", "/openapi.json").json()
    assert told["openapi"] == "3.1.0"
    content = told["paths"]["/invocations"]["post"]["requestBody"]["content"]
    forms = {
        form["required"][0]: form["properties"] for form in content["application/json"]["schema"]["oneOf"]
    }
    record = forms["dataframe_records"]["dataframe_records"]["items"]
    assert record["required"] == ["a", "b"]
    assert record["properties"]["a"] == {"type": "number", "format": "double"}
    assert forms["inputs"]["params"]["properties"] == {"seconds": {"type": "number", "format": "double"}}
    assert "params" not in json.dumps(bare.ask("GET", "/openapi.json").json()["paths"]["/invocations"])


def centered(x: Any) -> Any:
    return x - x.mean(0)


def test_only_models_that_surely_predict_row_by_row_are_asked_together(tmp_path: Path) -> None:
    """A graph, or source of the user's, may look at the whole batch."""
    linear = LinearRegression().fit(NAMED, NAMED[:, 0])
    own = make_pipeline(FunctionTransformer(centered), LinearRegression()).fit(NAMED, NAMED[:, 0])
    models: dict[str, tuple[Any, int]] = {
        "sklearn": (linear, 256),
        "xgboost": (XGBRegressor(n_estimators=1).fit(NAMED, NAMED[:, 0]), 256),
        "own": (own, 1),
        "torch": (torch.nn.Linear(3, 1), 1),
        "onnx": (autotrack.to_onnx(linear, NAMED[:2]), 1),
        "function": (centered, 1),
    }
    for name, (model, rows_together) in models.items():
        folder = tmp_path / name
        autotrack.save_model(model, folder, inputs=NAMED)
        options = Options(uri=str(folder), store="", allow_code=True)
        assert StoreAddresses(options).load(str(folder)).most_rows == rows_together, name
        told = StoreAddresses(replace(options, most_rows=7)).load(str(folder))
        assert told.most_rows == 7, name


def test_a_model_that_is_not_trusted_is_not_loaded(tmp_path: Path) -> None:
    folder = toys.save(tmp_path / "model")
    with pytest.raises(ModelError, match=toys.TRUSTED):
        Following(str(folder), StoreAddresses(Options(uri=str(folder), store="")))


@pytest.mark.parametrize(("trusted", "most"), [((), 256), (("sklearn.preprocessing._data.scale",), 1)])
def test_what_a_model_holds_beside_what_flavors_know_may_look_at_all_rows(
    trusted: tuple[str, ...], most: int, tmp_path: Path
) -> None:
    function = FunctionTransformer(scale if trusted else None)
    data = np.arange(8.0).reshape(4, 2)
    model = make_pipeline(function, LinearRegression()).fit(data, [0, 1, 2, 4])
    autotrack.save_model(model, tmp_path / "model", inputs=data)
    options = Options(uri=str(tmp_path / "model"), store="", trusted=trusted, token="secret")
    assert StoreAddresses(options).load(options.uri).most_rows == most
