"""The store that a server keeps: what it says over its API, and spans to it over OTLP."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import urllib3

from .. import artifacts
from ..backend import EVERYTHING, UNKNOWN, Backend, Liveness, RunRow
from ..errors import StoreError
from ..interrupts import pass_on
from ..locations import homes, make_private
from ..otlp.answer import Kind
from ..otlp.endpoint import Endpoint
from ..otlp.records import encode_records
from ..otlp.requests import joined
from ..otlp.transport import HttpClient, HttpTransport, network_problem
from ..query import Search
from ..records import Artifact, Dataset, Experiment, Fit, LogLine, Model, Points, Rank, SpanRecord
from ..registry import Registry
from ..semconv import RUN_ID, Scalar
from . import wire
from .http_registry import HttpRegistry

TIMEOUT = 30.0
"""Seconds that an answer may take."""
PART = 16 << 20
"""Bytes of a file in one answer."""
_EXPECTED = (200, 206, 404, 416)
_COLUMNS = "application/octet-stream"


class HttpBackend(Backend):
    """See `Backend`; the server at `url` has one of its own, and says for itself who lives."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = HttpClient(Endpoint.of_store(url))
        self._transport = HttpTransport(self._client)
        self._registry = HttpRegistry(self._request)

    def exists(self) -> bool:
        """A server tells of a store that is not there yet as of an empty one."""
        return True

    def write(self, spans: Iterable[SpanRecord], received: int | None = None) -> set[str]:
        """`received` is the server's to say."""
        records = list(spans)
        if records:
            answer = self._transport.send(joined(encode_records(records)), TIMEOUT)
            if answer.kind is not Kind.ACCEPTED:
                raise self._problem(answer.message)
            if answer.rejected:
                raise self._problem(f"{answer.rejected} spans were not taken: {answer.message}")
        runs = (record.attributes.get(RUN_ID) for record in records)
        return {run for run in runs if isinstance(run, str)}

    def compact(self, within: float | None = None) -> bool:
        """The server does so by itself."""
        return True

    def runs(
        self,
        search: Search = EVERYTHING,
        liveness: Liveness = UNKNOWN,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[RunRow]:
        page = {"offset": offset} if limit is None else {"limit": limit, "offset": offset}
        told = self._asked("POST", f"/search?{urlencode(page)}", wire.search_to_json(search))
        return [self._run(run) for run in told["runs"]]

    def experiments(self) -> list[Experiment]:
        told = self._get("/experiments")["experiments"]
        return [wire.record_from_json(Experiment, one) for one in told]

    def count(self, search: Search = EVERYTHING, liveness: Liveness = UNKNOWN) -> int:
        told = self._asked("POST", "/search/count", wire.search_to_json(search))
        return int(told["count"])

    def run_ids(self, text: str) -> list[str]:
        return list(self._get(f"/runs/ids?{urlencode({'like': text})}")["ids"])

    def run(self, run_id: str) -> RunRow | None:
        told = self._of_run(run_id, "")
        return self._run(told) if told else None

    def points(self, run_id: str, name: str) -> Points:
        path = f"/runs/{quote(run_id, safe='')}/points?{urlencode({'name': name})}"
        status, body = self._request("GET", path, headers={"accept": _COLUMNS})
        if status != 200:
            return Points(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))
        third = len(body) // 3
        return Points(
            np.frombuffer(body[:third], "<i8"),
            np.frombuffer(body[third : 2 * third], "<i8"),
            np.frombuffer(body[2 * third :], "<f8"),
        )

    def artifacts(self, run_id: str) -> list[Artifact]:
        return [wire.record_from_json(Artifact, one) for one in self._list(run_id, "artifacts")]

    def attributes(self, run_id: str) -> dict[str, Scalar]:
        return wire.scalars_from_json(self._of_run(run_id, "/attributes").get("attributes", {}))

    def datasets(self, run_id: str) -> list[Dataset]:
        return [wire.record_from_json(Dataset, one) for one in self._list(run_id, "datasets")]

    def models(self, run_id: str) -> list[Model]:
        return [wire.record_from_json(Model, one) for one in self._list(run_id, "models")]

    def logs(self, run_id: str) -> list[LogLine]:
        return [wire.record_from_json(LogLine, one) for one in self._list(run_id, "logs")]

    def fits(self, run_id: str) -> list[Fit]:
        return [wire.record_from_json(Fit, one) for one in self._list(run_id, "fits")]

    def ranks(self, run_id: str) -> list[Rank]:
        """In the states that the server shows."""
        return [wire.record_from_json(Rank, one) for one in self._list(run_id, "ranks")]

    def spans(self, run_id: str) -> list[SpanRecord]:
        return [wire.record_from_json(SpanRecord, one) for one in self._list(run_id, "spans")]

    @property
    def registry(self) -> Registry:
        return self._registry

    def blobs(self) -> set[str]:
        return set(self._get("/blobs")["ids"])

    def blob(self, sha256: str) -> Path | None:
        """Fetched once, then from a folder beside what waits for the server."""
        folder = homes(self._url)[0].artifacts.with_name("fetched")
        known = artifacts.find(sha256, [folder])
        if known is not None:
            return known
        if not artifacts.is_digest(sha256):
            return None
        try:
            return self._fetched(sha256, folder)
        except OSError as error:
            raise StoreError(f"cannot keep a file of {self._url} in {folder}: {error.strerror}") from error

    def _fetched(self, sha256: str, folder: Path) -> Path | None:
        """In parts, so that it fits into memory, and goes on where it broke off; by one process at a time."""
        make_private(folder)
        part = folder / artifacts.UPLOADS / sha256
        part.parent.mkdir(exist_ok=True, mode=0o700)
        with part.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if known := artifacts.find(sha256, [folder]):  # another process has fetched it meanwhile
                part.unlink(missing_ok=True)
                return known
            file.seek(0, os.SEEK_END)
            status = 206
            while status == 206:
                wanted = f"bytes={file.tell()}-{file.tell() + PART - 1}"
                status, body = self._request("GET", f"/blobs/{sha256}", headers={"range": wanted})
                if status in (200, 206):
                    file.write(body)
            if status == 404:
                return None
            file.seek(0)
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                file.truncate(0)  # who waits for the lock has this very file open
                return None
            return artifacts.adopt(part, sha256, folder).path

    def facts(self) -> Mapping[str, int | str]:
        told = self._get("/facts")
        return {name: value for name, value in told.items() if name != "exists"}

    def close(self) -> None:
        self._transport.close()

    # --- requests -----------------------------------------------------------------------------------

    def _run(self, told: Mapping[str, Any]) -> RunRow:
        return wire.run_from_json(told, time.time_ns())

    def _list(self, run_id: str, name: str) -> list[Any]:
        return list(self._of_run(run_id, f"/{name}").get(name, ()))

    def _of_run(self, run_id: str, path: str) -> dict[str, Any]:
        """What a run has; nothing, where there is no such run."""
        status, body = self._request("GET", f"/runs/{quote(run_id, safe='')}{path}")
        return self._json(body) if status == 200 else {}

    def _get(self, path: str) -> dict[str, Any]:
        return self._asked("GET", path)

    def _asked(self, method: str, path: str, told: Any = None) -> dict[str, Any]:
        status, body = self._request(method, path, told)
        if status != 200:
            raise self._problem(f"HTTP {status} for {path}")
        return self._json(body)

    def _request(
        self,
        method: str,
        path: str,
        told: Any = None,
        headers: Mapping[str, str] | None = None,
        expected: Collection[int] = _EXPECTED,
    ) -> tuple[int, bytes]:
        """Status, one of those expected, and body. Raises `StoreError` for others, and without an answer."""
        body = None if told is None else json.dumps(told).encode()
        url = f"{self._url}/api/v1{path}"
        try:
            status, _, answer = self._client.request(
                method, url, TIMEOUT, body, dict(headers or {}), most=None
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            pass_on(error)
            raise self._problem(network_problem(error)) from error
        if status not in expected:
            raise self._problem(wire.message_from_json(answer) or f"HTTP {status}")
        return status, answer

    def _json(self, body: bytes) -> dict[str, Any]:
        try:
            told = json.loads(body)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise self._problem("it does not answer as an autotrack server does")
        return told

    def _problem(self, message: str) -> StoreError:
        return StoreError(f"{self._url}: {message}")
