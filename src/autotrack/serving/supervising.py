"""The parent: it holds the socket and keeps workers alive, and loads no model itself.

A connection that no worker has taken yet waits in the socket, so while a dead worker is replaced nothing is
refused; what it was answering is lost with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ModelError, OptionError
from ..server.listening import check_open, listening, reachable, url_of
from ..tokens import VARIABLE, checked, remove_token, write_token
from .options import Options

log = logging.getLogger("autotrack")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a worker that died at its start is replaced: at first, and after many."""
RETRY_AFTER = 600.0
"""Seconds after which a version that no fresh process could load is tried in one again, at most; at first it
is the longest pause, as what ended that process may have been nothing of the version's."""
KILL_AFTER = 5.0
"""Seconds beyond the grace in which a worker must have ended by itself."""


@dataclass(frozen=True)
class Started:
    """A server that listens: its `url`, the `version` it serves, and the file that its new token is in."""

    url: str
    version: str
    token_file: Path | None


def serve(options: Options, started: Callable[[Started], None]) -> None:
    """Serve until SIGTERM or SIGINT; `started` is called once all workers can be asked.

    Raises `OptionError` for a port that is taken, or for others that would be let in without a token;
    `ModelError` for a model that does not load.
    """
    if options.token is None and not options.guarded:
        check_open(options.host, options.allowed_hosts)
    if options.token:
        checked(options.token, VARIABLE)
    with listening(options.host, options.port) as listener:
        port, name = listener.getsockname()[1], reachable(options.host)
        is_new = options.token == ""
        token = secrets.token_urlsafe(24) if is_new else options.token
        told = replace(options, token=token, port=port)
        try:
            file = _left(name, port, token) if is_new else None
            supervisor = _Supervisor(told, listener)
            asyncio.run(
                supervisor.run(lambda version: started(Started(url_of(options.host, port), version, file)))
            )
        finally:
            if is_new:
                remove_token(name, port, token or "")


def _left(name: str, port: int, token: str | None) -> Path:
    try:
        return write_token(name, port, token or "")
    except OSError as error:
        raise OptionError(
            f"the token cannot be left for this user's clients ({error}): set {VARIABLE}"
        ) from None


class _Died(Exception):
    """A worker ended before it could be asked; the text says how."""


@dataclass(eq=False)
class _Worker:
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    version: str = ""
    given_up: str = ""  # a version that no other could load either
    pause: float = 0.0  # seconds for which it is given up
    until: float = 0.0

    def give_up(self, version: str) -> None:
        """For longer each time."""
        self.pause = min(2 * self.pause, RETRY_AFTER) if version == self.given_up else LONGEST_PAUSE
        self.given_up, self.until = version, time.monotonic() + self.pause


class _Supervisor:
    """Workers, each in a slot whose task replaces it when it dies, or cannot load what is meant by now."""

    def __init__(self, options: Options, listener: socket.socket) -> None:
        self._options = options
        self._listener = listener
        self._workers: set[_Worker] = set()
        self._ends: set[asyncio.Task[None]] = set()  # of those that were replaced
        self._version: str | None = None
        self._ending = asyncio.Event()

    async def run(self, started: Callable[[str], None]) -> None:
        """Until a signal. Raises `ModelError` where the first workers do not come up."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_end)
        try:
            first = await self._first()
            if not self._ending.is_set():
                started(self._version or self._options.uri)
            slots = [asyncio.create_task(self._keep(worker)) for worker in first]
            await self._ending.wait()
            for slot in slots:
                slot.cancel()
            await asyncio.gather(*slots, return_exceptions=True)
        finally:
            self._listener.close()
            await asyncio.gather(*map(self._end, list(self._workers)), *self._ends)

    def _asked_to_end(self) -> None:
        """A second signal waits for nobody."""
        if self._ending.is_set():
            for worker in self._workers:
                with contextlib.suppress(ProcessLookupError):
                    worker.process.kill()
        self._ending.set()

    async def _first(self) -> list[_Worker]:
        starts = [asyncio.create_task(self._start()) for _ in range(self._options.workers)]
        ending = asyncio.create_task(self._ending.wait())
        all_started = asyncio.gather(*starts)
        try:
            await asyncio.wait((all_started, ending), return_when=asyncio.FIRST_COMPLETED)
            return [] if self._ending.is_set() else all_started.result()
        except _Died as error:
            raise ModelError(str(error)) from None
        finally:
            for task in (*starts, ending):
                task.cancel()
            await asyncio.gather(all_started, ending, return_exceptions=True)

    async def _keep(self, worker: _Worker) -> None:
        """One slot: whenever its worker dies another takes its place."""
        while True:
            version = await self._blocked_by(worker)
            worker = await (self._revived(worker) if version is None else self._replaced(worker, version))

    async def _blocked_by(self, worker: _Worker) -> str | None:
        """The version that it cannot load and another might, once it names one; None: it has ended."""
        with contextlib.suppress(ConnectionError):
            while line := await worker.reader.readline():
                told = json.loads(line)
                if "moved" in told:
                    self._version = worker.version = told["moved"]
                elif told["blocked"] != worker.given_up or time.monotonic() > worker.until:
                    return str(told["blocked"])
        await worker.process.wait()
        self._forget(worker)
        return None

    async def _revived(self, worker: _Worker) -> _Worker:
        """Another, as this one has ended; it is tried until one comes up."""
        how = _how(worker.process.returncode)
        log.warning("autotrack: worker %d ended (%s): another takes its place", worker.process.pid, how)
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._start()
            except _Died as error:
                log.warning("autotrack: no worker can be started, next try in %g s: %s", pause, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _replaced(self, worker: _Worker, version: str) -> _Worker:
        """Another that serves the version, while this one answers what it has; this one if no other does."""
        try:
            other = await self._start()
        except _Died as error:
            log.warning("autotrack: no worker can be started for %s: %s", version, error)
            other = worker
        if other.version == worker.version:  # also where it has died: it may have named the version twice
            worker.give_up(version)
        serves_the_same = other.version == worker.version and worker.process.returncode is None
        ending, staying = (other, worker) if serves_the_same else (worker, other)
        if ending is not staying:
            task = asyncio.create_task(self._end(ending))
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)
        return staying

    async def _start(self) -> _Worker:
        """A worker that can be asked. Raises `_Died`."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await self._process(theirs)
            except BaseException:
                ours.close()
                raise
        reader, writer = await asyncio.open_connection(sock=ours)
        worker = _Worker(process, reader, writer)
        self._workers.add(worker)
        try:
            writer.write(f"{self._options.to_json()}\n{json.dumps(self._version)}\n".encode())
            with contextlib.suppress(ConnectionError):
                line = await reader.readline()
                told = json.loads(line) if line else {}
                if "ready" in told:
                    self._version = worker.version = told["ready"]
                    return worker
                if "failed" in told:
                    raise _Died(told["failed"])
            raise _Died(f"the worker ended while it loaded the model ({_how(await process.wait())})")
        except _Died:
            await process.wait()
            self._forget(worker)
            raise

    async def _process(self, control: socket.socket) -> asyncio.subprocess.Process:
        numbers = (self._listener.fileno(), control.fileno())
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "autotrack.serving.worker",
                *map(str, numbers),
                pass_fds=numbers,
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C is answered by the parent alone
            )
        except OSError as error:
            raise _Died(f"a process cannot be started: {error}") from None

    async def _end(self, worker: _Worker) -> None:
        """Its requests are answered first."""
        worker.writer.close()
        try:
            async with asyncio.timeout(self._options.grace + KILL_AFTER):
                await worker.process.wait()
        except TimeoutError:
            log.warning("autotrack: worker %d does not end: it is killed", worker.process.pid)
            with contextlib.suppress(ProcessLookupError):
                worker.process.kill()
            await worker.process.wait()
        self._forget(worker)

    def _forget(self, worker: _Worker) -> None:
        worker.writer.close()
        self._workers.discard(worker)


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit status {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
