"""Real servers: one as its command starts it, and many in this process behind one socket."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import urllib3

from autotrack.server.access import Access
from autotrack.server.app import Server

from ..listening import Listening
from ..scripts import TIMEOUT

MOST_OPEN = 6
"""Stores that are open at once: each has a thread of its own."""


class Process:
    """`autotrack server` in a process of its own."""

    def __init__(self, store: str, env: dict[str, str], *arguments: str, port: int = 0) -> None:
        command = [sys.executable, "-m", "autotrack", "server", "--store", store, "--port", str(port)]
        self.process = subprocess.Popen(
            [*command, *arguments], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.page = self.process.stdout.readline().removeprefix("autotrack: ").split(" ")[0].strip()
        said = self.process.stdout.readline()
        if "AUTOTRACK_STORE=" not in said:
            raise AssertionError(f"the server did not start: {self.process.communicate(timeout=TIMEOUT)}")
        self.url = said.strip().partition("AUTOTRACK_STORE=")[2]
        self.port = int(self.url.rpartition(":")[2])

    def end(self) -> str:
        """Ask it to end; what it said on stderr."""
        self.process.terminate()
        return self.process.communicate(timeout=TIMEOUT)[1]

    def kill(self) -> None:
        """As the kernel does."""
        self.process.kill()
        self.process.communicate(timeout=TIMEOUT)


class Threaded(Listening):
    """A server in a thread of this process."""

    def __init__(
        self,
        store: str,
        token: str | None = "secret",
        grpc_at: tuple[str, int] | None = None,
        may_lack_grpc: bool = False,
        http: Any = "httptools",
        **access: Any,
    ) -> None:
        self.token = token
        self._file = store.removeprefix("sqlite:///")
        self.access = Access(token, **access)
        self.server = Server(store, self.access, grpc_at, may_lack_grpc)
        super().__init__(self.server.app, http=http, lifespan="on", ws="none")

    def __exit__(self, *error: object) -> None:
        self.server.events.close()
        super().__exit__(*error)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **more: Any
    ) -> urllib3.BaseHTTPResponse:
        """A request with the token, unless `headers` say otherwise."""
        own = {"authorization": f"Bearer {self.token}"} if self.token else {}
        asked = {
            "redirect": False,
            "retries": False,  # it would wait as Retry-After says
            "timeout": TIMEOUT,  # of itself 3 s
        } | more
        return urllib3.request(method, self.url + path, body=body, headers=own | (headers or {}), **asked)

    def facts(self) -> str:
        """A digest of what the store has; not of `axis` and `chunk`, which merging changes."""
        with contextlib.closing(sqlite3.connect(self._file, timeout=TIMEOUT)) as db, db:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            told = {name: db.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}
        for merged in ("axis", "chunk"):
            told.pop(merged, None)
        return hashlib.sha256(repr(told).encode()).hexdigest()


class Many(Listening):
    """Servers of many stores: `http://…/NAME` is that of `sqlite:///FOLDER/NAME.db`; none needs a token."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: OrderedDict[str, tuple[Server, AsyncExitStack]] = OrderedDict()
        self._lock = asyncio.Lock()
        super().__init__(self._app, interface="asgi3", lifespan="off", ws="none")

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        _, name, rest = scope["path"].split("/", 2)
        server = await self._server(name)
        await server.app({**scope, "path": f"/{rest}", "raw_path": None}, receive, send)

    async def _server(self, name: str) -> Server:
        async with self._lock:
            if name in self._open:
                self._open.move_to_end(name)
                return self._open[name][0]
            if len(self._open) >= MOST_OPEN:
                _, (_, stack) = self._open.popitem(last=False)
                await stack.aclose()
            server = Server(f"sqlite:///{self._folder / name}.db", Access(None))
            stack = AsyncExitStack()
            await stack.enter_async_context(server.app.router.lifespan_context(server.app))
            self._open[name] = server, stack
            return server


@contextlib.contextmanager
def many(folder: Path) -> Iterator[Many]:
    """Servers of the stores in a folder."""
    with Many(folder) as servers:
        yield servers
