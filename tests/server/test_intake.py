"""The one writer: what waits together is committed together, and whatever happens is answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from autotrack.server.intake import Intake, _Verb
from autotrack.store import Store
from autotrack.testing.histories import RUNS, table


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Intake]:
    store = Store(f"sqlite:///{tmp_path}/runs.db")
    intake = Intake(store, lambda runs, models: None)
    intake.start()
    yield intake
    intake.stop()
    store.close()


def taken(intake: Intake, seq: int) -> Awaitable[None]:
    return intake.take(lambda: [table(seq, [seq], x=[1.0])], 100)


def counted(intake: Intake) -> int:
    return len(intake._store.backend.points(RUNS[0], "x"))


def test_a_verb_comes_after_what_came_before_it(intake: Intake) -> None:
    async def act() -> int:
        intake._last_sizes.extend((50, 50))  # so that the group waits for others
        before = [asyncio.ensure_future(taken(intake, seq)) for seq in range(1, 4)]
        await asyncio.sleep(0)
        found = await intake.do(lambda: counted(intake))
        await asyncio.gather(*before)
        return found

    assert asyncio.run(act()) == 3


def test_a_verb_that_comes_with_the_end_does_not_take_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a long group is written, the end is asked for, and a verb after it."""
    monkeypatch.setattr("autotrack.server.intake.DRAIN_INTERVAL", 0.0)
    monkeypatch.setattr("autotrack.server.intake.LINGER", 60.0)  # the end comes into the group
    store = Store(f"sqlite:///{tmp_path}/runs.db")
    monkeypatch.setattr(
        store, "draining", lambda live: iter([None])
    )  # a backlog, amid which others are served
    intake = Intake(store, lambda runs, models: None)
    is_at_it, may_end = threading.Event(), threading.Event()

    def slow() -> list[Any]:
        is_at_it.set()
        may_end.wait(60)
        return [table(1, [1], x=[1.0])]

    def ask() -> None:
        asyncio.run(intake.take(slow, 100))

    intake._last_sizes.extend((2, 2))
    intake.start()
    asking = threading.Thread(target=ask)
    asking.start()
    while not intake._waiting_bytes:
        time.sleep(0.001)
    stopping = threading.Thread(target=intake.stop)
    stopping.start()
    is_at_it.wait()
    late: Future[int] = Future()
    intake._queue.put(_Verb(lambda: 7, late))
    may_end.set()
    stopping.join(20)
    assert not stopping.is_alive()
    asking.join()


def test_what_fails_after_a_verb_costs_nobody_an_answer(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("mine")

    monkeypatch.setattr(intake._news, "take", fail)

    async def act() -> None:
        for round in range(3):
            intake._last_sizes.extend((50, 50))
            waiting = asyncio.ensure_future(taken(intake, round + 1))
            await asyncio.sleep(0)
            assert await intake.do(lambda: 7) == 7
            await asyncio.wait_for(waiting, 20)

    asyncio.run(act())
    assert (counted(intake), intake._waiting_bytes) == (3, 0)


def test_what_fails_before_a_verb_costs_it_no_answer(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(runs: Any, models: Any) -> None:
        raise RuntimeError("mine")

    monkeypatch.setattr(intake, "_changed", fail)

    async def act() -> None:
        intake._last_sizes.extend((50, 50))
        waiting = asyncio.ensure_future(taken(intake, 1))
        await asyncio.sleep(0)
        assert await asyncio.wait_for(intake.do(lambda: 7), 20) == 7
        await asyncio.wait_for(waiting, 20)

    asyncio.run(act())
    assert intake._waiting_bytes == 0


def test_a_verb_that_raises_says_so_to_who_asked(intake: Intake) -> None:
    async def act() -> None:
        waiting = asyncio.ensure_future(taken(intake, 1))
        with pytest.raises(ZeroDivisionError):
            await intake.do(lambda: 1 / 0)
        await asyncio.wait_for(waiting, 20)

    asyncio.run(act())


def test_what_waits_for_others_when_the_server_ends_is_committed(intake: Intake) -> None:
    async def act() -> None:
        intake._last_sizes.extend((50, 50))
        waiting = asyncio.ensure_future(taken(intake, 1))
        await asyncio.sleep(0)
        await asyncio.to_thread(intake.stop)
        await asyncio.wait_for(waiting, 20)

    asyncio.run(act())
    assert counted(intake) == 1


def test_a_group_is_what_comes_together(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    commit = Intake._commit
    monkeypatch.setattr(
        Intake, "_commit", lambda self, group: (groups.append(len(group)), commit(self, group))
    )
    monkeypatch.setattr("autotrack.server.intake.LINGER", 20.0)

    async def act() -> None:
        intake._last_sizes.extend((3, 3))
        first = asyncio.ensure_future(taken(intake, 1))
        await asyncio.sleep(0.2)
        assert groups == []
        await asyncio.gather(first, taken(intake, 2), taken(intake, 3))

    asyncio.run(act())
    assert groups == [3]
