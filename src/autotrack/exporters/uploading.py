"""Uploads files to a store's server in parts: what was sent before a connection broke is not sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import urllib3

from .. import artifacts
from ..artifacts import Stored
from ..interrupts import pass_on
from ..otlp.answer import Answer, Kind
from ..otlp.transport import HttpClient, answer_of, network_problem

if TYPE_CHECKING:
    from ..recording.report import Report

PART = 4 << 20
"""Bytes of a file in one request."""
ATTEMPTS = 3
"""How often a file is begun again because the server has other bytes than we."""
OFFSET, COMPLETE = "upload-offset", "upload-complete"


class Uploader:
    """Moves blobs to a server; a blob's local copy goes once the server has it whole."""

    def __init__(self, client: HttpClient, report: Report, moved: Callable[[int], object]) -> None:
        self._client = client
        self._report = report
        self._moved = moved
        self._given_up: set[str] = set()

    def has_given_up(self, blob: Stored) -> bool:
        """Whether the server has said of these bytes that they are not what their name says."""
        return blob.sha256 in self._given_up

    def upload(
        self, folder: Path, blob: Stored, time_left: Callable[[int], float]
    ) -> Iterator[Answer | None]:
        """Upload in parts; after each one None, or at last what went wrong."""
        url = f"{self._client.endpoint.store}/api/v1/blobs/{blob.sha256}"
        wrong = 0
        try:
            answer = self._request("HEAD", url, time_left)
            offset = _offset(answer[1], 0)
            is_whole = _is_whole(answer, 200)
            if is_whole and answer[1].get("content-length") != str(blob.size):
                self._give_up(blob, folder)  # the server's has the bytes of that name, or says so
                return
            if not is_whole and answer[0] != 404:
                yield _refused(answer)
                return
            while not is_whole:
                part = _part(folder, blob, offset)
                is_last = offset + len(part) >= blob.size
                told = {OFFSET: str(offset), COMPLETE: "?1" if is_last else "?0"}
                answer = self._request("PATCH", url, time_left, part, told)
                if _is_whole(answer, 204) if is_last else answer[0] == 204 and OFFSET in answer[1]:
                    is_whole, offset = is_last, _offset(answer[1], offset)
                    self._moved(len(part))
                elif answer[0] in (409, 422) and wrong < ATTEMPTS:
                    wrong += 1
                    offset = _offset(answer[1], 0)
                elif answer[0] == 422:
                    self._give_up(blob, folder)
                    return
                else:
                    yield _refused(answer)
                    return
                yield None
        except FileNotFoundError:
            return  # another process has uploaded it
        except (urllib3.exceptions.HTTPError, OSError) as error:
            pass_on(error)
            yield Answer(Kind.RETRY, network_problem(error))
            return
        artifacts.remove(folder, blob, blob.modified)
        yield None

    def _request(
        self,
        method: str,
        url: str,
        time_left: Callable[[int], float],
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        if (timeout := time_left(len(body or b""))) <= 0:
            raise TimeoutError("there was no time left to send it")
        return self._client.request(method, url, timeout, body, headers)

    def _give_up(self, blob: Stored, folder: Path) -> None:
        self._given_up.add(blob.sha256)
        path = folder / blob.shelf / blob.name
        self._report.warn(f"{path} is not what was stored there; it is not uploaded")
        self._report.count_skipped("files whose bytes have changed on this disk")


def _part(folder: Path, blob: Stored, offset: int) -> bytes:
    with open(folder / blob.shelf / blob.name, "rb") as file:
        file.seek(offset)
        return file.read(PART)


def _offset(headers: dict[str, str], default: int) -> int:
    value = headers.get(OFFSET, "")
    return int(value) if value.isascii() and value.isdigit() else default


def _is_whole(answer: tuple[int, dict[str, str], bytes], status: int) -> bool:
    """Whether the server says that it has the file; others say 200, or 204, to anything."""
    return answer[0] == status and answer[1].get(COMPLETE) == "?1"


def _refused(answer: tuple[int, dict[str, str], bytes]) -> Answer:
    if 200 <= answer[0] < 300:
        return Answer(Kind.REFUSED, f"HTTP {answer[0]}: not how files are taken")
    told = answer_of(*answer)
    return told if told.kind is Kind.RETRY else Answer(Kind.REFUSED, told.message)
