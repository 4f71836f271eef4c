"""Who is let in: every route behind the one check, whatever the path."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from starlette.routing import Mount, Route

from autotrack.server.access import OPEN_PATHS

from ..scripts import TIMEOUT, Place
from .live import Threaded


def paths(server: Threaded) -> Iterator[tuple[str, str]]:
    """Method and path of everything that is routed."""
    for route in server.server.app.routes:
        path = re.sub(r"\{sha256\}", "0" * 64, route.path)  # type: ignore[attr-defined]
        path = re.sub(r"\{\w+(:\w+)?\}", "x", path)
        if isinstance(route, Mount):
            yield "GET", f"{path}/index.html"
        else:
            assert isinstance(route, Route)
            assert route.methods
            for method in sorted(route.methods):
                yield method, path


def test_every_route_needs_the_token(server: Threaded) -> None:
    routed = [(method, path) for method, path in paths(server) if path not in OPEN_PATHS]
    assert len(routed) > 25
    for method, path in routed:
        for token in ("", "Bearer ", "Bearer wrong", "Basic secret", "secret", "Bearer secret2"):
            answer = server.ask(method, path, headers={"authorization": token})
            assert answer.status == 401, (method, path, token)
            assert answer.headers["www-authenticate"] == "Bearer"


def test_every_route_knows_its_host(server: Threaded) -> None:
    """A page elsewhere may point a name of its own to this machine: that name is refused."""
    for method, path in paths(server):
        for host in (
            "evil.example",
            "evil.example:80",
            "127.0.0.1.evil.example",
            "",
            "localhost@evil.example",
        ):
            answer = server.ask(method, path, headers={"host": host})
            assert answer.status in (400, 403), (method, path, host)


def test_a_page_of_another_site_may_not_ask(server: Threaded) -> None:
    for method, path in paths(server):
        for origin in ("http://evil.example", "null", f"https://evil.example:{server.port}", "file://"):
            answer = server.ask(method, path, headers={"origin": origin})
            assert answer.status == 403, (method, path, origin)
            assert "access-control-allow-origin" not in answer.headers
    assert server.ask("GET", "/api/v1/runs", headers={"origin": server.url}).status == 200


@pytest.mark.parametrize("path", ["//api/v1/runs", "/static/../../x", "/nothing"])
def test_no_other_way_in(server: Threaded, path: str) -> None:
    assert server.ask("GET", path, headers={"authorization": ""}).status == 401
    assert server.ask("GET", path).status in (307, 404)


def test_health_tells_nothing_and_needs_nothing(server: Threaded) -> None:
    for path in OPEN_PATHS:
        answer = server.ask("GET", path, headers={"authorization": ""})
        assert answer.status == 200
        assert answer.json() in ({"status": "ok"}, {"status": "ready"})


def test_the_address_of_the_page_works_once_and_leaves_a_cookie(server: Threaded) -> None:
    key = server.access.one_time_key()
    no_token = {"authorization": ""}
    first = server.ask("GET", f"/?key={key}", headers=no_token)
    assert (first.status, first.headers["location"]) == (303, "/")
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    given = cookie.partition(";")[0]
    assert server.ask("GET", "/api/v1/runs", headers=no_token | {"cookie": given}).status == 200
    assert server.ask("GET", "/api/v1/runs", headers=no_token | {"cookie": given[:-1]}).status == 401
    assert server.ask("GET", f"/?key={key}", headers=no_token).status == 401
    assert server.ask("GET", "/?key=guessed", headers=no_token).status == 401


def test_names_that_were_allowed(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("names")
    with Threaded(f"sqlite:///{folder}/runs.db", token=None, hosts=["ml.example"]) as server:
        assert server.ask("GET", "/api/v1/runs", headers={"host": "ml.example:8080"}).status == 200
        assert server.ask("GET", "/api/v1/runs", headers={"host": "other.example"}).status == 403


def test_a_person_without_a_key_is_told_where_to_find_it(server: Threaded) -> None:
    answer = server.ask("GET", "/", headers={"authorization": "", "accept": "text/html,*/*"})
    assert answer.status == 401
    assert b"autotrack ui" in answer.data
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("command", ["server", "ui"])
@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["--host", "0.0.0.0"], "--no-token is for this machine alone, not for 0.0.0.0: leave it out"),
        (
            ["--allow-host", "*"],
            "--no-token and --allow-host '*' together let every web page in: leave one out",
        ),
    ],
)
def test_without_a_token_nobody_elsewhere_is_let_in(
    store: Place, command: str, told: list[str], said: str
) -> None:
    arguments = [command, "--no-token", "--port", "0", *told]
    if command == "ui":
        arguments.append("--no-browser")
    ended = subprocess.run(
        [sys.executable, "-m", "autotrack", *arguments],
        env=store.env, capture_output=True, text=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert (ended.returncode != 0, ended.stdout, ended.stderr) == (True, "", f"autotrack: {said}\n")
