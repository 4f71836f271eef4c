"""The helper process as the training process sees it: started when needed, fed, heard, and replaced.

A batch of models is handed over as the descriptor of a file in memory. That takes no time whatever its
size, and what the kernel has taken it delivers, even if this process is killed the moment after. The helper
works on it when it may, or when this process is gone.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from .jobs import MOST_HELPERS, Context, Job, helpers_writer, pack
from .waiting import HANDED_OVER, PERMITTED

MOST_AT_ONCE = 64
"""Batches that wait in the helper; further models are gathered here into the next one."""
ATTEMPTS = 2
"""How often a batch is given to a helper before it counts as what kills it."""
_START = """
import sys
_, fd, writer, *sys.path[:] = sys.argv
from autotrack.keeping.waiting import main
main(int(fd), writer)
"""
_QUIETLY = getattr(socket, "MSG_NOSIGNAL", 0)
"""Where SIGPIPE has its default, a helper that died would end this process; macOS may lack the flag."""
_DETACHED = '"$@" >/dev/null 2>&1 &'
"""For the shell: its child is nobody's that the user's program might wait for."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A batch that the helper has not answered; `file` stays open to be sent again."""

    file: BinaryIO
    jobs: Sequence[Job]  # without their data
    attempts: int


class Converter:
    """Called by one thread at a time.

    name: a new writer, by which readers know its helpers.
    refused: told of each model that came to nothing, why, and whether the helper has said so itself.
    """

    def __init__(self, context: Context, name: str, refused: Callable[[Job, str, bool], None]) -> None:
        self._context = context
        self._writers = (helpers_writer(name, number) for number in range(MOST_HELPERS))
        self._refused = refused
        self._socket: socket.socket | None = None
        self._heard = b""
        self._sent: deque[_Sent] = deque()
        self._waits_since: float | None = None

    @property
    def waits_for(self) -> float:
        """Seconds since the first batch that may not be worked on yet was handed over; 0 without one."""
        return 0.0 if self._waits_since is None else time.monotonic() - self._waits_since

    @property
    def is_at_work(self) -> bool:
        """Whether something is not answered yet."""
        return bool(self._sent)

    @property
    def has_room(self) -> bool:
        """Whether it can take a batch without falling behind."""
        return len(self._sent) < MOST_AT_ONCE

    @property
    def bytes_at_work(self) -> int:
        """The size of what is not answered yet."""
        return sum(os.fstat(batch.file.fileno()).st_size for batch in self._sent)

    def convert(self, jobs: Sequence[Job]) -> None:
        """Hand models over. Raises where there is no memory, or no process can be started."""
        self.listen()
        file = pack(self._context, jobs)
        try:
            self._send(_Sent(file, [replace(job, data=b"") for job in jobs], 0))
        except BaseException:
            file.close()
            raise

    def permit(self) -> None:
        """Let the helper work on all that it has."""
        if self._waits_since is None or self._socket is None:
            return
        try:
            self._socket.send(PERMITTED, _QUIETLY)
        except BlockingIOError:
            return
        except ConnectionError:  # it died since we listened, and will be replaced
            pass
        self._waits_since = None

    def listen(self) -> None:
        """Take the helper's answers so far; where it has gone without one, start another."""
        while self._socket is not None:
            try:
                said = self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            except ConnectionError:
                said = b""
            if said:
                *lines, self._heard = (self._heard + said).split(b"\n")
                for line in lines:
                    self._answered(json.loads(line))
            else:
                self._replace_helper()

    def forget(self) -> None:
        """Let go of the helper, which ends when it has done what it has."""
        self._hang_up()
        while self._sent:
            self._sent.popleft().file.close()

    def _send(self, batch: _Sent) -> None:
        for _ in range(ATTEMPTS):
            if self._socket is None:
                self._socket = _start_helper(next(self._writers))
            try:
                _send_file(self._socket, batch.file)
            except ConnectionError:  # it died since we listened
                self._replace_helper()
            else:
                self._sent.append(replace(batch, attempts=batch.attempts + 1))
                self._waits_since = self._waits_since or time.monotonic()
                return
        raise ChildProcessError("the process that converts models does not stay alive")

    def _answered(self, problems: Sequence[tuple[int, str]]) -> None:
        batch = self._sent.popleft()
        batch.file.close()
        for index, reason in problems:
            self._refused(batch.jobs[index], reason, True)

    def _replace_helper(self) -> None:
        """It was killed, or died of its work: what it has not answered goes to another, but not for ever."""
        self._hang_up()
        batches, self._sent = [*self._sent], deque()
        for batch in batches:
            problem = "the process that was to convert it died of it"
            try:
                if batch.attempts < ATTEMPTS:
                    self._send(batch)
                    continue
            except Exception as error:  # noqa: BLE001  starting a process fails in many ways
                problem = f"it cannot be converted ({error})"
            batch.file.close()
            for job in batch.jobs:
                self._refused(job, problem, False)

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._heard, self._waits_since = None, b"", None


def _send_file(connection: socket.socket, file: BinaryIO) -> None:
    """As `socket.send_fds`, which takes no flags."""
    descriptors = array("i", [file.fileno()])
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
    connection.sendmsg([HANDED_OVER], rights, _QUIETLY)


def _start_helper(writer: str) -> socket.socket:
    """A helper that outlives this process, is in no terminal's group, and finds the same libraries."""
    ours, theirs = socket.socketpair()
    with theirs:
        paths = [os.path.abspath(path) for path in sys.path if isinstance(path, str)]
        command = [sys.executable, "-I", "-c", _START, str(theirs.fileno()), writer, *paths]
        shell = subprocess.Popen(
            ["/bin/sh", "-c", _DETACHED, "sh", *command],
            env=os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        shell.wait()
    ours.setblocking(False)
    return ours
