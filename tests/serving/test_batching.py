"""Requests that are asked together: each gets what it would get alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from autotrack.server.answers import Refused
from autotrack.serving import batching
from autotrack.serving.batching import Batcher, Version
from autotrack.serving.inputs import Asked, Rows, Whole


class Model:
    """Keeps what it is asked; it waits at its first question until the test lets it go on."""

    signature = None

    def __init__(self, predict: Callable[[Any], Any]) -> None:
        self._predict = predict
        self.asked: list[int] = []
        self.may_go_on = threading.Event()

    def predict(self, data: Any, params: Any = None) -> Any:
        self.asked.append(len(data))
        self.may_go_on.wait()
        return self._predict(data)


def doubled(data: Any) -> Any:
    if -1.0 in data["a"].to_numpy():
        raise ValueError("row of doom")
    return 2 * data["a"].to_numpy()


def rows(*values: float) -> Asked:
    return Asked(Rows.of(("a",), [[value] for value in values]))


def together(
    requests: Sequence[Asked], predict: Callable[[Any], Any] = doubled, most_rows: int = 256
) -> tuple[list[Any], Model, Version]:
    """All but the first come while the model is at work on that."""
    model = Model(predict)
    version = Version("models:/toy/1", model, most_rows)  # type: ignore[arg-type]

    async def ask() -> list[Any]:
        batcher = Batcher()
        tasks = [asyncio.create_task(batcher.ask(version, requests[0]))]
        while not model.asked:
            await asyncio.sleep(0.001)
        tasks += [asyncio.create_task(batcher.ask(version, request)) for request in requests[1:]]
        await asyncio.sleep(0)
        model.may_go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = [a if isinstance(a, Exception) else a[0] for a in asyncio.run(ask())]
    return answers, model, version


def test_what_comes_meanwhile_is_asked_together() -> None:
    answers, model, _ = together([rows(1.0), rows(2.0), rows(3.0, 4.0), rows(5.0)])
    assert [answer.tolist() for answer in answers] == [[2], [4], [6, 8], [10]]
    assert model.asked == [1, 4]


def test_a_bad_row_fails_only_its_own_request() -> None:
    answers, model, _ = together([rows(1.0), rows(2.0), rows(3.0, -1.0), rows(5.0)])
    assert [answers[i].tolist() for i in (0, 1, 3)] == [[2], [4], [10]]
    assert isinstance(answers[2], ValueError)
    assert model.asked == [1, 4, 1, 2, 1]


def test_other_types_and_params_are_asked_apart_and_in_turn() -> None:
    def params(value: Any) -> Asked:
        return Asked(rows(1.0).input, {"k": value})

    requests = [rows(1.0), params(1), rows(2.0), params(True), Asked(Rows.of(("a",), [[3]])), params(1)]
    answers, model, _ = together(requests)
    assert [answer.tolist() for answer in answers] == [[2], [2], [4], [2], [6], [2]]
    assert model.asked == [1, 2, 1, 1, 1]


def test_no_more_rows_than_allowed() -> None:
    _, model, _ = together([rows(1.0)] * 7, most_rows=3)
    assert model.asked == [1, 3, 3]
    _, model, _ = together([rows(1.0)] * 4, most_rows=1)
    assert model.asked == [1, 1, 1, 1]
    _, model, _ = together([rows(1.0), rows(1.0, 2.0, 3.0), rows(1.0)], most_rows=2)
    assert model.asked == [1, 3, 1]


def test_a_model_that_does_not_answer_by_rows_is_asked_alone_from_then_on() -> None:
    answers, model, version = together([rows(1.0), rows(2.0), rows(3.0)], lambda data: data["a"].sum())
    assert answers == [1, 2, 3]
    assert model.asked == [1, 2, 1, 1]
    assert version.most_rows == 1


def test_data_that_is_no_table_is_asked_alone() -> None:
    answers, model, _ = together([Asked(Whole("x"))] * 3, lambda data: data)
    assert answers == ["x"] * 3
    assert model.asked == [1, 1, 1]


def test_sys_exit_in_a_model_is_an_error() -> None:
    def leave(data: Any) -> Any:
        raise SystemExit("bye")

    answers, _, _ = together([rows(1.0), rows(2.0)], leave)
    assert all(isinstance(answer, RuntimeError) for answer in answers)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_sys_exit_in_a_joint_prediction_fails_only_its_own_request(error: type[BaseException]) -> None:
    def leave(data: Any) -> Any:
        if -1.0 in data["a"].to_numpy():
            raise error("bye")
        return doubled(data)

    answers, model, _ = together([rows(1.0), rows(2.0), rows(-1.0)], leave)
    assert [answer.tolist() for answer in answers[:2]] == [[2], [4]]
    assert isinstance(answers[2], RuntimeError)
    assert model.asked == [1, 2, 1, 1]


def test_whoever_leaves_holds_up_nobody() -> None:
    model = Model(doubled)
    version = Version("models:/toy/1", model, 256)  # type: ignore[arg-type]

    async def ask() -> Any:
        batcher = Batcher()
        gone = asyncio.create_task(batcher.ask(version, rows(1.0)))
        while not model.asked:
            await asyncio.sleep(0.001)
        stays = asyncio.create_task(batcher.ask(version, rows(2.0)))
        gone.cancel()
        await asyncio.sleep(0)
        model.may_go_on.set()
        return await stays

    assert asyncio.run(ask())[0].tolist() == [4]


def test_too_many_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MOST_WAITING", 2)
    answers, _, _ = together([rows(float(i)) for i in range(5)])
    assert [isinstance(answer, Refused) for answer in answers] == [False, False, False, True, True]
    assert answers[3].status == 503


def test_a_quick_model_is_asked_in_the_event_loop_and_a_slow_one_never() -> None:
    threads: list[bool] = []

    def where(data: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return np.ones(len(data))

    model = Model(where)
    model.may_go_on.set()
    version = Version("models:/toy/1", model, 256)  # type: ignore[arg-type]

    async def ask(times: int) -> None:
        batcher = Batcher()
        for _ in range(times):
            await batcher.ask(version, rows(1.0))

    version.seconds = 0.0
    asyncio.run(ask(1))
    version.seconds = batching.QUICK
    asyncio.run(ask(1))
    assert threads == [True, False]
