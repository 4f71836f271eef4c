"""The parent of the workers: what it does about what they tell it."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from autotrack.serving import supervising
from autotrack.serving.options import Options
from autotrack.serving.supervising import _Died, _Supervisor, _Worker


class Tried(_Supervisor):
    """Counts the processes that it would start, of which none comes up."""

    def __init__(self, worker: _Worker) -> None:
        super().__init__(Options(uri="models:/toy@champion", store=""), socket.socket())
        self._workers.add(worker)
        self.tries = 0
        self.revived = asyncio.Event()

    async def _start(self) -> _Worker:
        self.tries += 1
        raise _Died("it does not load")

    async def _revived(self, worker: _Worker) -> _Worker:
        self.revived.set()
        return await asyncio.Future()


async def _tries(lines: list[float], is_dead: bool) -> int:
    """For a worker that names a version which no other can load either, after so many seconds each."""
    ours, theirs = socket.socketpair()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "" if is_dead else "import time; time.sleep(60)"
    )
    if is_dead:
        await process.wait()
    reader, writer = await asyncio.open_connection(sock=ours)
    worker = _Worker(process, reader, writer, "models:/toy/1")
    supervisor = Tried(worker)
    slot = asyncio.create_task(supervisor._keep(worker))
    for pause in lines:
        await asyncio.sleep(pause)
        theirs.sendall(b'{"blocked": "models:/toy/2"}\n')
    theirs.close()
    if not is_dead:
        await asyncio.sleep(0.1)
        process.kill()
    async with asyncio.timeout(20):
        await supervisor.revived.wait()
    slot.cancel()
    supervisor._listener.close()
    return supervisor.tries


def test_a_dead_worker_that_named_a_version_several_times_is_one_try() -> None:
    assert asyncio.run(_tries([0, 0, 0], is_dead=True)) == 1


def test_a_version_that_did_not_come_up_is_tried_again_soon_and_then_ever_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first fresh worker may have been killed: nobody waits ten minutes for that."""
    monkeypatch.setattr(supervising, "LONGEST_PAUSE", 0.1)
    assert 3 <= asyncio.run(_tries([0.02] * 50, is_dead=False)) <= 5
