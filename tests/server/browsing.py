"""A real Chromium, and servers for it to look at."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ..scripts import Place

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'"
)
Page, Browser, Locator, Route, expect = (
    sync_api.Page, sync_api.Browser, sync_api.Locator, sync_api.Route, sync_api.expect,
)  # fmt: skip

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = 120_000
"""For a machine that has much else to do."""
expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def serving(
    place: Place, port: int = 0, command: tuple[str, ...] = ("server", "--no-token")
) -> Iterator[str]:
    """The address of the page of a server of its own, in a process of its own."""
    own = [sys.executable, "-m", "autotrack", *command, "--port", str(port), "--store", place.url]
    process = subprocess.Popen(own, cwd=place.folder, env=place.env, text=True, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, "the server says where it is"
        yield found[0]
    finally:
        process.kill()
        process.communicate()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; without one the test is skipped."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@contextmanager
def watched(browser: Browser) -> Iterator[Page]:
    """A page that must end without a complaint in its console, and without having asked another host."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    complaints: list[str] = []
    hosts: set[str] = set()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: hosts.add(request.url.split("/")[2].partition(":")[0]))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    yield page
    context.close()
    refused = "Failed to load resource"  # said of each answer that is an error
    unexpected = [said for said in complaints if not said.startswith(refused)]
    assert not unexpected, unexpected
    assert hosts <= {"127.0.0.1"}
