"""The one check that every request passes: where it is sent to, where it comes from, and who sends it.

- Host: only names that this server goes by, or a page elsewhere could reach it by a name of its own that
  it points here (DNS rebinding).
- Origin: a page of another site may not even ask.
- The token: as ``Authorization: Bearer``, or in the cookie that the one-time address sets. On a shared
  machine loopback is no protection.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import URL, Headers, QueryParams
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .answers import failure_for

OPEN_PATHS = frozenset({"/health", "/ready"})
"""What a load balancer asks, without a token; nothing is told there."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_KEY = "key"


@dataclass
class Access:
    """Who is let in.

    token: None lets everybody in who reaches the server. hosts: names beside loopback's; "*" is any.
    by_address: any IP address is a name of this server too, as it listens everywhere; it takes a name to
    lead a browser astray.
    cookie: its name, one for each port, since browsers keep cookies by host alone.
    open_paths: what is told without a token. told_by: how who has none gets one, as an error says it.
    """

    token: str | None
    hosts: Collection[str] = ()
    by_address: bool = False
    cookie: str = "autotrack"
    open_paths: Collection[str] = OPEN_PATHS
    told_by: str = "open the address that `autotrack ui` prints, or send"
    _keys: set[str] = field(default_factory=set)

    def one_time_key(self) -> str:
        """What opens the page once, in an address: ``/?key=…``; it sets the cookie."""
        key = secrets.token_urlsafe(16)
        self._keys.add(key)
        return key

    def redeem(self, key: str) -> bool:
        """Whether this key was given out and not yet used."""
        known = key in self._keys
        self._keys.discard(key)
        return known

    def knows_host(self, host: str) -> bool:
        """Whether the server goes by this name (with or without a port)."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in LOOPBACK or "*" in self.hosts or name in map(str.lower, self.hosts):
            return True
        return self.by_address and _is_address(name)

    def knows_origin(self, origin: str, host: str) -> bool:
        """Whether a page of this origin is one of ours."""
        try:
            return urlsplit(origin).netloc == host
        except ValueError:
            return False

    def knows_token(self, headers: Headers) -> bool:
        """Whether the sender has the token."""
        if self.token is None:
            return True
        if bears_token(headers.get("authorization", ""), self.token):
            return True
        return hmac.compare_digest(_cookie(headers, self.cookie).encode(), self.token.encode())


def bears_token(authorization: str, token: str) -> bool:
    """Whether it is ``Bearer`` and this token."""
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


_ASKING_IN = (
    "<!doctype html><meta charset=utf-8><title>autotrack</title>"
    "<p>This page needs a key: open the address that <code>autotrack ui</code> or "
    "<code>autotrack server</code> printed when it started. It works once; start it again for another."
)
"""What a person sees who has no cookie; a browser that has had one needs none of this."""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """ASGI middleware around the whole application: nothing is routed before the check."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        refusal = self._refusal(scope)
        if refusal is not None:
            return await refusal(scope, receive, send)
        try:
            return await self._app(scope, receive, send)
        except asyncio.CancelledError:  # the server ends, and its patience has
            ending = failure_for(scope, 503, "the server is ending: try again", headers={"Retry-After": "5"})
            with contextlib.suppress(RuntimeError):  # an answer that has begun is cut off
                await ending(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        """What is answered in the application's place; None lets the request through."""
        access, headers, path = self._access, Headers(scope=scope), scope["path"]
        if scope["type"] != "http":
            return failure_for(scope, 404, "there are no web sockets here")
        host = headers.get("host", "")
        if not access.knows_host(host):
            return failure_for(
                scope, 403, f"this server does not go by {host[:100]!r}: start it with --allow-host NAME"
            )
        origin = headers.get("origin")
        if origin is not None and not access.knows_origin(origin, host):
            return failure_for(scope, 403, "a page of another site may not ask this server")
        if path in access.open_paths:
            return None
        if path == "/" and (redirect := self._redeemed(scope)):
            return redirect
        if not access.knows_token(headers):
            if path == "/" and "text/html" in headers.get("accept", ""):
                return HTMLResponse(_ASKING_IN, 401, {"Cache-Control": "no-store"})
            return failure_for(
                scope,
                401,
                f"a token is needed: {access.told_by} 'Authorization: Bearer TOKEN' (AUTOTRACK_TOKEN)",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return None

    def _redeemed(self, scope: Scope) -> Response | None:
        """The page's address without its key, and the cookie that goes with it."""
        url = URL(scope=scope)
        key = QueryParams(url.query).get(_KEY)
        if not key or not self._access.redeem(key) or self._access.token is None:
            return None
        answer = RedirectResponse(scope.get("root_path", "") + "/", 303)
        answer.set_cookie(
            self._access.cookie,
            self._access.token,
            max_age=30 * 86_400,
            httponly=True,
            samesite="strict",
            secure=url.scheme == "https",
        )
        return answer


def _cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""
