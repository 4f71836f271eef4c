"""A request's body, whole, unpacked, and never larger than allowed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

from starlette.requests import ClientDisconnect, Request

from .answers import Refused

MOST_BYTES = 64 << 20
"""Of a body, before and after it is unpacked."""


async def read_body(request: Request, limit: int = MOST_BYTES) -> bytes:
    """The body, chunked or with a length, unpacked. Raises `Refused`: 400, 413 or 415."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "zstd"):
        raise Refused(
            415,
            f"content-encoding {encoding[:40]!r} is not known: send gzip, zstd or identity",
            headers={"Accept-Encoding": "gzip, zstd, identity"},
        )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
    except ClientDisconnect:
        raise Refused(400, "the body ended early") from None
    body = b"".join(parts)
    return body if encoding == "identity" else _unpacked(body, encoding, limit)


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
    found = bytearray()
    try:
        for part in _gunzipped(body, limit) if encoding == "gzip" else _unzstd(body, limit):
            found += part
            if len(found) > limit:
                raise _too_large(limit)
    except (zlib.error, EOFError, ValueError) as error:
        raise Refused(400, f"the body is no {encoding}: {error}") from None
    return bytes(found)


def _gunzipped(body: bytes, limit: int) -> Iterator[bytes]:
    """Member by member; a part is no longer than what is allowed of the whole, and a byte."""
    while body:
        member = zlib.decompressobj(wbits=31)
        yield member.decompress(body, limit + 1)
        if not member.eof:
            if member.unconsumed_tail:
                raise _too_large(limit)
            raise EOFError("it ends early")
        body = member.unused_data


def _unzstd(body: bytes, limit: int) -> Iterator[bytes]:
    """Frame by frame, as `_gunzipped`."""
    zstd: Any = _zstd()
    while body:
        frame = zstd.ZstdDecompressor()
        try:
            yield frame.decompress(body, limit + 1)
        except zstd.ZstdError as error:
            raise ValueError(str(error)) from None
        if not frame.eof:
            if not frame.needs_input:
                raise _too_large(limit)
            raise EOFError("it ends early")
        body = frame.unused_data


def _zstd() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]  # Python 3.14 and later
    except ImportError:
        from backports import zstd
    return zstd


def _too_large(limit: int) -> Refused:
    return Refused(413, f"the body is larger than {limit:,} bytes: send it in parts")
