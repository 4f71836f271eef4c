"""The helper process until it may work: run as a file, for it imports nothing that takes time.

The libraries that a conversion needs take a core for seconds, which a training that goes on would lose. What
is handed over is safe here whatever becomes of the process that trains.
"""

import os
import socket
import sys
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO


def main() -> None:
    """The socket's descriptor, the helper's writer and its module path are the arguments."""
    _, fd, writer, *sys.path[:] = sys.argv
    _yield_to_others()
    with socket.socket(fileno=int(fd)) as connection:
        batches = _permitted(connection)
        first = next(batches, None)
        if first is not None:
            from autotrack.keeping.helper import convert

            convert(chain([first], batches), connection, writer)


def _permitted(connection: socket.socket) -> Iterator[BinaryIO]:
    """What is handed over, once the other end permits to work on it or is closed."""
    waiting: list[int] = []
    goes_on = True
    while goes_on:
        said, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        waiting += descriptors
        if not descriptors:
            while waiting:
                yield os.fdopen(waiting.pop(0), "rb")
        goes_on = bool(said)


def _yield_to_others() -> None:
    try:
        os.nice(10)  # not 19: where all cores train for days, the models must come too
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass


if __name__ == "__main__":
    main()
