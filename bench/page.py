"""The page: from a click on its address to the first row of 100,000 runs, in Chromium, nothing cached."""

from __future__ import annotations

import shutil
from statistics import median

from playwright.sync_api import Browser, sync_playwright

import search
from _common import child, interval, report, server, temporary_home

RUNS = 100_000
TARGET_MS = 1200.0
REPEATS = 9
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")
WATCH = """window.firstRow = new Promise((resolve) =>
    new MutationObserver((_, observer) => {
        if (!document.querySelector("tr[data-run]")) return;
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
    }).observe(document, { childList: true, subtree: true }))"""
"""Milliseconds since the navigation began, once the first row has been painted."""


def main() -> None:
    with temporary_home() as (folder, env):
        child(search.__file__, "record", folder=folder, env=env)
        search.multiply(str(folder / "runs.db"), RUNS)
        with server(env) as address, sync_playwright() as playwright:
            chromium = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            _first_row(browser, address)  # the server reads its store from the disk
            times = [_first_row(browser, address) for _ in range(REPEATS)]
            browser.close()
    report(
        "page_first_row",
        f"ms: to the first row of {RUNS:,} runs, nothing cached",
        median(times),
        TARGET_MS,
        interval=interval(times),
        n=REPEATS,
        ok=median(times) <= TARGET_MS,
    )


def _first_row(browser: Browser, address: str) -> float:
    """In a browser profile of its own."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(address)
    taken: float = page.evaluate("window.firstRow")
    context.close()
    return taken


if __name__ == "__main__":
    main()
