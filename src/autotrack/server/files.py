"""Bytes: the files of runs, and uploads that go on where they broke off.

An upload is by digest (`/api/v1/blobs/<sha256>`), in parts. ``HEAD`` asks how much there is, ``PATCH`` adds
at ``Upload-Offset``, ``Upload-Complete: ?1`` says that this part is the last; then the digest is checked,
and only bytes that have it become a blob. (The names are those of the IETF's draft on resumable uploads.)
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from pathlib import Path
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response

from .. import artifacts
from ..locations import make_private
from ..store import Store
from .answers import Refused
from .bodies import spoken
from .operations import Operation, whole_number

MOST_BYTES = 64 << 30
"""Of one file."""
STALE = 7 * 86_400
"""Seconds after which the beginning of an upload is given up."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FILE = "application/octet-stream"


class _FilePath(PathConvertor):
    """Starlette's ends at a newline, which a file's name may have."""

    regex = "(?s:.+)"


register_url_convertor("file", _FilePath())


class Files:
    """The blobs of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folders = [home.artifacts for home in store.homes if home.is_ours()]
        self._busy: set[str] = set()  # uploads that somebody is adding to

    def operations(self, base: str) -> list[Operation]:
        """All of them."""
        blob = f"{base}/blobs/{{sha256}}"
        return [
            Operation(
                "GET", f"{base}/runs/{{run_id}}/files/{{path:file}}", self.file, _FILE, None, (404, 416)
            ),
            Operation("GET", blob, self.blob, _FILE, None, (404, 416), (200, 206)),
            Operation("HEAD", blob, self.state, _FILE, None, (404,)),
            Operation("PATCH", blob, self.add, _FILE, _FILE, (400, 409, 413), (204,)),
        ]

    # --- out ------------------------------------------------------------------------------------------

    def file(self, run_id: str, path: str) -> Response:
        """A file of a run; `Range` gets a part of it."""
        row = self._store.row(run_id)
        for found in self._store.backend.artifacts(row.id):
            if found.path == path:
                return self._sent(found.sha256, path.rpartition("/")[2], found.media_type)
        raise Refused(404, f"run {row.id} has no file {path[:200]!r}")

    def blob(self, sha256: str) -> Response:
        """A file by its digest; `Range` gets a part of it."""
        return self._sent(sha256, sha256, _FILE, "private, max-age=31536000, immutable")

    def _sent(self, sha256: str, name: str, media_type: str, caching: str = "no-cache") -> Response:
        """As a download that no browser shows as a page of this server."""
        file = artifacts.find(sha256, self._folders)
        if file is None:
            raise Refused(404, f"the bytes of {name[:200]!r} are not here, or not yet")
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": caching,
        }
        kind = media_type if _MEDIA_TYPE.fullmatch(media_type) else _FILE
        return FileResponse(file, headers=headers, media_type=kind)

    # --- in -------------------------------------------------------------------------------------------

    def state(self, sha256: str) -> Response:
        """How much of a file is here: 200 if it is whole, else 404 and `Upload-Offset`."""
        part = self._part(sha256)
        whole = artifacts.find(sha256, self._folders)
        if whole is not None:
            with contextlib.suppress(OSError):
                os.utime(whole)  # whoever clears up by age leaves it alone
            return Response(None, 200, {"Upload-Complete": "?1", "Content-Length": str(whole.stat().st_size)})
        return Response(None, 404, _offset(part))

    async def add(self, request: Request, sha256: str) -> Response:
        """Add bytes at `Upload-Offset`; with `Upload-Complete: ?1` they are the last."""
        part = self._part(sha256)
        told = request.headers.get("upload-offset")
        offset = whole_number(told or "")
        if offset is None:
            what = "is missing" if told is None else f"is no number: {told[:40]!r}"
            raise Refused(400, f"Upload-Offset {what}: say how many bytes are here already")
        if sha256 in self._busy:
            raise Refused(409, "this file is being uploaded by somebody else", headers=_offset(part))
        self._busy.add(sha256)
        try:
            await run_in_threadpool(self._begin, part)
            if offset != _size(part):
                raise Refused(409, "the upload goes on elsewhere", headers=_offset(part))
            await _append(request, part)
            if request.headers.get("upload-complete") == "?1":
                await run_in_threadpool(self._finish, part, sha256)
                return Response(None, 204, {"Upload-Complete": "?1"})
        finally:
            self._busy.discard(sha256)
        return Response(None, 204, _offset(part))

    def _begin(self, part: Path) -> None:
        try:
            make_private(self._folders[0])
            part.parent.mkdir(exist_ok=True, mode=0o700)
            for old in part.parent.iterdir():
                if old.stat().st_mtime < time.time() - STALE:
                    old.unlink(missing_ok=True)
        except OSError as error:
            raise _no_room(error) from None

    def _finish(self, part: Path, sha256: str) -> None:
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256:
            part.unlink(missing_ok=True)
            raise Refused(422, f"these bytes are {digest}: send the file again from its beginning")
        try:
            artifacts.adopt(part, sha256, self._folders[0])
        except OSError as error:
            raise _no_room(error) from None

    def _part(self, sha256: str) -> Path:
        if not _DIGEST.fullmatch(sha256):
            raise Refused(422, "a digest is 64 hexadecimal digits")
        return self._folders[0] / artifacts.UPLOADS / sha256


_MEDIA_TYPE = re.compile(r"[\w.+-]{1,80}/[\w.+-]{1,80}")


async def _append(request: Request, part: Path) -> None:
    """What arrives stays, even if the rest does not."""
    try:
        with open(part, "ab", opener=_private) as file:
            size = _size(part)
            async for data in spoken(request):
                size += len(data)
                if size > MOST_BYTES:
                    raise Refused(413, f"a file has at most {MOST_BYTES:,} bytes")
                await run_in_threadpool(file.write, data)
            file.flush()
    except ClientDisconnect:
        raise Refused(400, "the body ended early", headers=_offset(part)) from None
    except OSError as error:
        raise _no_room(error) from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def _offset(part: Path) -> dict[str, str]:
    return {"Upload-Offset": str(_size(part)), "Upload-Complete": "?0"}


def _no_room(error: OSError) -> Refused:
    return Refused(503, f"files cannot be written: {error.strerror}", headers={"Retry-After": "30"})
