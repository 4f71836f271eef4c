"""An application behind a socket of this process: quick to start, real sockets all the same."""

from __future__ import annotations

import socket
import threading
import time
from http.client import HTTPResponse
from typing import Any, Self

import uvicorn

from .scripts import TIMEOUT


class Listening:
    """It listens from the beginning at `port`, and answers inside the context."""

    def __init__(self, application: Any, **config: Any) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._uvicorn = uvicorn.Server(uvicorn.Config(application, log_level="warning", **config))
        self._thread = threading.Thread(target=self._uvicorn.run, args=([self._listener],), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._uvicorn.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *error: object) -> None:
        self._uvicorn.should_exit = True
        self._thread.join(TIMEOUT)
        self._listener.close()


def answer_on(connection: socket.socket) -> HTTPResponse:
    """To what was sent by hand; its body, which may come in parts, is yet to be read."""
    answer = HTTPResponse(connection)
    answer.begin()
    return answer
