"""The helper process until it may work: it loads nothing that takes time.

The libraries that a conversion needs take a core for seconds, which a training that goes on would lose. What
is handed over is safe here whatever becomes of the process that trains.
"""

import os
import signal
import socket
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

HANDED_OVER, PERMITTED = b"\0", b"\1"
"""What the process that trains says: with a batch, and when all that was handed over may be worked on."""


def main(fd: int, writer: str) -> None:
    """Serve the socket until its other end is closed and everything is done, under this writer's name."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the thread that started this leaves some to others
    _yield_to_others()
    with socket.socket(fileno=fd) as connection:
        batches = _permitted(connection)
        first = next(batches, None)
        if first is not None:
            from .helper import convert

            convert(chain([first], batches), connection, writer)


def _permitted(connection: socket.socket) -> Iterator[BinaryIO]:
    """What is handed over, once the other end permits to work on it or is gone."""
    waiting: list[int] = []
    said = HANDED_OVER
    while said:
        try:
            said, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        except ConnectionError:  # it went before it had read all that it was told
            said, descriptors = b"", []
        waiting += descriptors
        if said != HANDED_OVER:
            while waiting:
                yield os.fdopen(waiting.pop(0), "rb")


def _yield_to_others() -> None:
    try:
        os.nice(10)  # not 19: where all cores train for days, the models must come too
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass
