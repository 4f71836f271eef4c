"""One row of a small scikit-learn model over HTTP, asked by 8 clients at once: requests a second, and how
long an answer takes; beside `mlflow models serve`."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from _common import Environment, child, quantile, report, temporary_home

CLIENTS = 8
SECONDS = 5.0
ROUNDS = 3
TARGET = {"times": 5.0, "p99": 10.0}
PORTS = {"autotrack": 28_080, "mlflow": 28_081}

Figures = dict[str, float]


def main() -> None:
    peer_python = os.environ.get("BENCH_PEERS")
    with temporary_home() as (folder, env), ExitStack() as open_servers:
        body = child(os.path.abspath(__file__), "autotrack", folder=folder, env=env)["body"].encode()
        open_servers.enter_context(_autotrack(folder, env))
        if peer_python:
            child(os.path.abspath(__file__), "mlflow", folder=folder, env=env, python=peer_python)
            open_servers.enter_context(_mlflow(folder, env, peer_python))
        servers = [name for name in PORTS if name == "autotrack" or peer_python]
        rounds: dict[str, list[Figures]] = {name: [] for name in servers}
        for name in servers:
            _load(name, body, 1.0)
        for turn in range(ROUNDS):
            for name in servers if turn % 2 else reversed(servers):
                rounds[name].append(_load(name, body, SECONDS))
    found = {name: {key: median(r[key] for r in of) for key in of[0]} for name, of in rounds.items()}
    ours, peers = found.pop("autotrack"), found
    times = ours["requests_per_second"] / peers["mlflow"]["requests_per_second"] if peers else None
    report(
        "serving",
        f"requests a second and ms, one row, {CLIENTS} clients",
        ours,
        TARGET,
        peers=peers,
        times=times,
        n=ROUNDS,
        ok=times is not None and times >= TARGET["times"] and ours["p99"] <= TARGET["p99"],
    )


# --- servers ----------------------------------------------------------------------------------------


@contextmanager
def _autotrack(folder: Path, env: Environment) -> Iterator[None]:
    command = [sys.executable, "-m", "autotrack", "serve", str(folder / "autotrack"), "--no-token"]
    with _running([*command, "--port", str(PORTS["autotrack"])], env, PORTS["autotrack"]):
        yield


@contextmanager
def _mlflow(folder: Path, env: Environment, python: str) -> Iterator[None]:
    command = [python, "-m", "mlflow", "models", "serve", "-m", str(folder / "mlflow")]
    port = PORTS["mlflow"]
    own = {"PATH": f"{Path(python).parent}:{env['PATH']}"}
    with _running([*command, "--port", str(port), "--env-manager", "local"], {**env, **own}, port):
        yield


@contextmanager
def _running(command: list[str], env: Environment, port: int) -> Iterator[None]:
    with subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/ping").close()
                    break
                except OSError:
                    time.sleep(0.2)
            yield
        finally:
            os.killpg(process.pid, 15)


# --- clients ----------------------------------------------------------------------------------------


def _load(name: str, body: bytes, seconds: float) -> Figures:
    times = asyncio.run(_clients(PORTS[name], body, seconds))
    return {
        "requests_per_second": len(times) / seconds,
        "p50": 1e3 * median(times),
        "p99": 1e3 * quantile(times, 0.99),
    }


async def _clients(port: int, body: bytes, seconds: float) -> list[float]:
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    clients = [_Client(head.encode() + body, loop.time() + seconds) for _ in range(CLIENTS)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    return [spent for client in clients for spent in await client.ended]


class _Client(asyncio.Protocol):
    """Asks again as soon as it has its answer, over one connection, until `end`."""

    def __init__(self, request: bytes, end: float) -> None:
        self._request = request
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._answer = b""
        self.times: list[float] = []
        self.ended: asyncio.Future[list[float]] = self._loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._asked = self._loop.time()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0]):
            return
        assert head.startswith(b"HTTP/1.1 200"), self._answer
        self._answer = b""
        now = self._loop.time()
        self.times.append(now - self._asked)
        if now < self._end:
            self._ask()
        else:
            self._transport.close()
            self.ended.set_result(self.times)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or ConnectionError("the server closed the connection"))


# --- the model --------------------------------------------------------------------------------------


def train(library: str) -> None:
    """In a process of its own: a folder with the model, and the body of a request for one row."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    x, y = load_iris(return_X_y=True, as_frame=True)
    model = LogisticRegression(max_iter=1000).fit(x, y)
    if library == "autotrack":
        import autotrack

        autotrack.save_model(model, "autotrack", inputs=x, outputs=model.predict(x))
    else:
        import mlflow
        from mlflow.models import infer_signature

        mlflow.sklearn.save_model(model, "mlflow", signature=infer_signature(x, model.predict(x)))
    row = {"columns": list(x.columns), "data": x.head(1).to_numpy().tolist()}
    print(json.dumps({"body": json.dumps({"dataframe_split": row})}))


if __name__ == "__main__":
    train(sys.argv[1]) if len(sys.argv) > 1 else main()
