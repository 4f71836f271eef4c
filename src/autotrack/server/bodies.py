"""A request's body, whole, unpacked, and never larger than allowed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from ..otlp.compression import zstd
from .answers import Refused

MOST_BEING_READ = 256 << 20
"""Of all bodies that are coming in or being unpacked."""
SILENCE = 30.0
"""Seconds within which more of a body must come."""
LEAST_RATE = 16 << 10
"""Bytes that come each second once a body has been coming for `SILENCE`: a byte now and then is too slow."""
LINGER = 0.5
"""Seconds for which more of a body is taken that is refused."""
_being_read = 0
_account = threading.Lock()
"""Of what is being read: bodies come in the event loop, and are unpacked in threads."""
_SLICE = 64 << 10
_STEP = 1 << 20
"""What is unpacked before it is counted."""
_MOST_MEMBERS = 1_000
MOST_BYTES = 64 << 20
"""Of a body, before and after it is unpacked."""


async def read_body(request: Request, limit: int = MOST_BYTES, within: float | None = None) -> bytes:
    """The body, chunked or with a length, unpacked. Raises `Refused`: 400, 408, 413, 415 or 429.

    within: seconds in which all of it must come; None: as long as some of it comes each `SILENCE`, and all
    of it at `LEAST_RATE`.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "zstd"):
        raise Refused(
            415,
            f"content-encoding {encoding[:40]!r} is not known: send gzip, zstd or identity",
            headers={"Accept-Encoding": "gzip, zstd, identity"},
        )
    length = request.headers.get("content-length", "")
    try:
        if length.isdecimal() and int(length) > limit:
            raise _too_large(limit)
        body = await _read(request, limit, within)
    except Refused:
        await _let_finish(request)
        raise
    if encoding == "identity":
        return body
    return await run_in_threadpool(_unpacked, body, encoding, limit)


async def _let_finish(request: Request) -> None:
    """Take what comes for a moment: a connection that is closed on what nobody has read loses its answer."""
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):  # the last where all has come
        async with asyncio.timeout(LINGER):
            async for _ in request.stream():
                pass


async def _read(request: Request, limit: int, within: float | None) -> bytes:
    """What is being read for all requests together is bounded too."""
    parts, size = [], 0
    now = asyncio.get_running_loop().time
    began = now()
    try:
        async with asyncio.timeout(within or SILENCE) as patience:
            async for part in request.stream():
                size += len(part)
                _count(len(part), size)
                if size > limit:
                    raise _too_large(limit)
                parts.append(part)
                if part and not within:
                    patience.reschedule(SILENCE + min(now(), began + size / LEAST_RATE))
        return b"".join(parts)
    except TimeoutError:
        if within:
            raise Refused(408, f"the body did not come within {within:g} s") from None
        raise Refused(408, "the body ended early, or comes too slowly: send it in smaller parts") from None
    except ClientDisconnect:
        raise Refused(400, "the body ended early") from None
    finally:
        _count(-size)


def _count(more: int, own: int = 0) -> None:
    """Raises `Refused` where it is too much, unless all of it is this request's own."""
    global _being_read
    with _account:
        _being_read += more
        is_too_much = _being_read > MOST_BEING_READ and own < _being_read
    if is_too_much and more > 0:
        raise Refused(429, "too much is being sent at once: try again", headers={"Retry-After": "1"})


async def spoken(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes; who says nothing for `SILENCE` seconds has gone. Raises `ClientDisconnect`."""
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(SILENCE):
                part = await anext(stream, None)
        except TimeoutError:
            raise ClientDisconnect from None
        if part is None:
            return
        yield part


async def read_json(request: Request, limit: int) -> dict[str, Any]:
    """A body that is a JSON object. Raises `Refused`."""
    body = await read_body(request, limit)
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is no JSON") from None
    if not isinstance(told, dict):
        raise Refused(400, "the body is no JSON object")
    return told


def _unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    parts, size = [], 0
    try:
        for part in _gunzipped(body) if encoding == "gzip" else _unzstd(body):
            size += len(part)
            _count(len(part), size)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
        return b"".join(parts)
    except (zlib.error, EOFError, ValueError) as error:
        raise Refused(400, f"the body is no {encoding}: {error}") from None
    finally:
        _count(-size)


def _gunzipped(body: bytes) -> Iterator[bytes]:
    """Member by member."""
    return _members(body, lambda: zlib.decompressobj(wbits=31), lambda member: member.unconsumed_tail)


def _unzstd(body: bytes) -> Iterator[bytes]:
    """Frame by frame; one keeps what it has not unpacked yet."""
    try:
        yield from _members(body, zstd.ZstdDecompressor, lambda frame: b"")
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from None


def _members(body: bytes, new: Callable[[], Any], left: Callable[[Any], bytes]) -> Iterator[bytes]:
    """What each part of a body unpacks to, at most `_STEP` at a time.

    Fed by slices, since what a part leaves over is copied.
    """
    view, at = memoryview(body), 0
    member, members = new(), 1
    while at < len(view):
        if member.eof:
            member, members = new(), members + 1
            if members > _MOST_MEMBERS:
                raise ValueError(f"it has more than {_MOST_MEMBERS:,} parts")
        part = view[at : at + _SLICE]
        found = member.decompress(part, _STEP)
        yield found
        while len(found) == _STEP and not member.eof:
            found = member.decompress(left(member), _STEP)
            yield found
        at += len(part) - (len(member.unused_data) if member.eof else 0)
    if not member.eof:
        raise EOFError("it ends early")


def _too_large(limit: int) -> Refused:
    return Refused(413, f"the body is larger than {limit:,} bytes: send it in parts")
