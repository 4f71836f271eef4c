"""The parent of the workers: what it does about what they tell it."""

from __future__ import annotations

import asyncio
import socket
import sys

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


async def _tries_for_a_worker_that_dies() -> int:
    """It names a version that it cannot load three times, and is dead before any of it is read."""
    ours, theirs = socket.socketpair()
    theirs.sendall(b'{"blocked": "models:/toy/2"}\n' * 3)
    theirs.close()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    reader, writer = await asyncio.open_connection(sock=ours)
    worker = _Worker(process, reader, writer, "models:/toy/1")
    supervisor = Tried(worker)
    slot = asyncio.create_task(supervisor._keep(worker))
    async with asyncio.timeout(20):
        await supervisor.revived.wait()
    slot.cancel()
    supervisor._listener.close()
    return supervisor.tries


def test_a_dead_worker_that_named_a_version_several_times_is_one_try() -> None:
    assert asyncio.run(_tries_for_a_worker_that_dies()) == 1
